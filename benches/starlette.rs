//! What Starlette's format costs beside the native ones, and which HMAC-SHA1 is the fastest. `starlette_asgi.py` measures the
//! same requests with the real Starlette.
//!
//! A request has 8 browser headers and 3 unrelated cookies of about 40 bytes beside the session. A small session is 3 keys in
//! 91 bytes of JSON, a large one 25 keys in 1,941 bytes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::SET_COOKIE};
use http_session::{Key, Session, SessionLayer};
use sha1::Sha1;
use tower::{Layer, Service};

const SESSIONS: [(&str, &str); 2] = [
    ("small", include_str!("small.json")),
    ("large", include_str!("large.json")),
];

#[derive(Clone)]
struct Handler(fn(&Session));

impl Service<Request<()>> for Handler {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        if let Some(session) = request.extensions().get::<Session>() {
            self.0(session);
        }
        black_box(request);
        ready(Ok(Response::new(())))
    }
}

fn drive(
    service: &mut impl Service<Request<()>, Response = Response<()>, Error = Infallible>,
    request: Request<()>,
) -> Response<()> {
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    match pin!(service.call(request)).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        _ => panic!("the service waits"),
    }
}

/// Headers as a server hands them over: slices of one shared buffer.
fn headers(session: &str) -> HeaderMap {
    let other = |name: &str| format!("{name}=4f1c2e9a7b3d8056af91c4e2d7b8a0");
    let cookies = format!("{}; {}; {session}; {}", other("_ga"), other("_gid"), other("consent"));
    let lines = [
        ("host", "example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("connection", "keep-alive"),
        ("sec-fetch-mode", "navigate"),
        ("priority", "u=0, i"),
        ("cookie", &cookies),
    ];
    let buffer = Bytes::from(lines.map(|(_, value)| value).concat());
    let mut headers = HeaderMap::new();
    let mut at = 0;
    for (name, value) in lines {
        let slice = buffer.slice(at..at + value.len());
        at += value.len();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_maybe_shared(slice).unwrap(),
        );
    }
    headers
}

fn request(headers: &HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    *request.headers_mut() = headers.clone();
    request
}

fn read(session: &Session) {
    assert!(black_box(session.get::<String>("user")).unwrap().is_some());
    assert!(black_box(session.get::<u64>("visits")).unwrap().is_some());
}

fn write(session: &Session) {
    let visits = session.get::<u64>("visits").unwrap().unwrap_or(0);
    session.insert("visits", visits + 1).unwrap();
}

fn reject(session: &Session) {
    assert!(black_box(session.get::<u64>("visits")).unwrap().is_none());
}

/// Its name, the cookie, what the handler does, and whether a cookie is sent.
type Case<'a> = (&'static str, &'a str, fn(&Session), bool);

fn requests(criterion: &mut Criterion) {
    for (size, json) in SESSIONS {
        for (codec, layer) in [
            ("signed", SessionLayer::signed(Key::generate().unwrap())),
            ("encrypted", SessionLayer::encrypted(Key::generate().unwrap())),
            ("starlette", SessionLayer::starlette("vQ2mT7pL4wR8sZ1aB5dkX9vQ2mT7pL4w")),
        ] {
            let layer = layer.build().unwrap();
            // Its members in their order and as they are spelled, so that both write the same.
            let data: Box<serde_json::value::RawValue> = serde_json::from_str(json.trim()).unwrap();
            let cookie = layer.cookie_header(&data).unwrap();
            let cookie = cookie.to_str().unwrap();
            let mut forged = cookie.to_owned();
            let digit = if forged.ends_with("AAAAA") { "B" } else { "A" };
            forged.replace_range(forged.len() - 5..forged.len() - 4, digit);
            let cases: [Case<'_>; 4] = [
                ("untouched", cookie, |_| {}, false),
                ("read", cookie, read, false),
                ("write", cookie, write, true),
                ("forged", &forged, reject, false),
            ];
            let mut group = criterion.benchmark_group(format!("{codec}, {size}"));
            for (case, cookie, handler, writes) in cases {
                let headers = headers(cookie);
                let mut service = layer.layer(Handler(handler));
                let response = drive(&mut service, request(&headers));
                assert_eq!(response.headers().contains_key(SET_COOKIE), writes, "{case}");
                group.bench_function(case, |bencher| {
                    bencher.iter_batched(
                        || request(&headers),
                        |request| drive(&mut service, request),
                        BatchSize::SmallInput,
                    );
                });
            }
            group.finish();
        }
    }
}

/// Checking a signature with a prepared key, over what is signed of a small and of a large session.
fn hmac_sha1(criterion: &mut Criterion) {
    use ring::hmac;

    for (size, len) in [("small", 131), ("large", 2595)] {
        let (key, text) = ([7; 20], vec![b'a'; len]);
        let mut group = criterion.benchmark_group(format!("HMAC-SHA1, {size}"));

        let ring = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
        let tag = hmac::sign(&ring, &text);
        group.bench_function("ring", |bencher| {
            bencher.iter(|| hmac::verify(&ring, black_box(&text), tag.as_ref()).unwrap());
        });

        let rust_crypto = Hmac::<Sha1>::new_from_slice(&key).unwrap();
        group.bench_function("hmac and sha1", |bencher| {
            bencher.iter(|| {
                rust_crypto
                    .clone()
                    .chain_update(black_box(&text))
                    .verify_slice(tag.as_ref())
                    .unwrap();
            });
        });
        group.finish();
    }
}

criterion_group!(starlette, requests, hmac_sha1);
criterion_main!(starlette);
