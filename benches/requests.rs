//! What a session costs per request: the service driven directly, on one thread.
//!
//! A request has 8 browser headers and, where it brings a session, 3 unrelated cookies of about 40 bytes beside it. A small
//! session is 3 keys in 91 bytes of JSON, a large one 25 keys in 1,941 bytes. `bare` is the same service without a layer.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use http_session::{Key, Session, SessionLayer};
use tower::{Layer, Service};

const SESSIONS: [(&str, &str); 2] = [
    ("small", include_str!("small.json")),
    ("large", include_str!("large.json")),
];

/// Answers at once, after doing this with the session.
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

fn drive<S: Service<Request<()>, Response = Response<()>, Error = Infallible>>(
    service: &mut S,
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
fn headers(session: Option<&str>) -> HeaderMap {
    let mut lines: Vec<(&str, String)> = [
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
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec();
    if let Some(session) = session {
        let other = |name: &str| format!("{name}=4f1c2e9a7b3d8056af91c4e2d7b8a0");
        lines.push((
            "cookie",
            format!("{}; {}; {session}; {}", other("_ga"), other("_gid"), other("consent")),
        ));
    }
    let buffer = Bytes::from(lines.iter().map(|(_, value)| value.as_str()).collect::<String>());
    let mut headers = HeaderMap::new();
    let mut at = 0;
    for (name, value) in lines {
        let slice = buffer.slice(at..at + value.len());
        at += value.len();
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
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

/// The same cookie with one bit of its MAC changed.
fn forged(cookie: &str) -> String {
    let mut bytes = cookie.as_bytes().to_vec();
    let at = bytes.len() - 5;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

fn read(session: &Session) {
    assert!(black_box(session.get::<String>("user")).unwrap().is_some());
    assert!(black_box(session.get::<u64>("visits")).unwrap().is_some());
}

fn write(session: &Session) {
    let visits = session.get::<u64>("visits").unwrap().unwrap_or(0);
    session.insert("visits", visits + 1).unwrap();
}

fn create(session: &Session) {
    session.insert("user", "5f3c9a72-8d1e-4b6a-9c05-2e7f4d8b1a63").unwrap();
    session.insert("visits", 1).unwrap();
    session.insert("csrf", "kX9vQ2mT7pL4wR8sZ1aB5d").unwrap();
}

fn reject(session: &Session) {
    assert!(black_box(session.get::<u64>("visits")).unwrap().is_none());
}

/// Name, session cookie, what the handler does, and whether a cookie must come back.
type Case = (&'static str, Option<String>, fn(&Session), bool);

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bare");
    for (name, cookie) in [
        ("anonymous", None),
        ("known", Some("__Host-session=AaMWgHMAAFsAAaH82TTVAaH82TTVAAAA")),
    ] {
        let headers = headers(cookie);
        let mut service = Handler(|_| {});
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || request(&headers),
                |request| drive(&mut service, request),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();

    for (codec, layer) in [
        ("signed", SessionLayer::signed(Key::generate().unwrap())),
        ("encrypted", SessionLayer::encrypted(Key::generate().unwrap())),
    ] {
        let layer = layer.build().unwrap();
        for (size, json) in SESSIONS {
            let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
            let cookie = layer.cookie_header(&data).unwrap();
            let cookie = cookie.to_str().unwrap();
            let cases: [Case; 6] = [
                ("untouched, anonymous", None, |_| {}, false),
                ("untouched, known", Some(cookie.to_owned()), |_| {}, false),
                ("read", Some(cookie.to_owned()), read, false),
                ("write", Some(cookie.to_owned()), write, true),
                ("create", None, create, true),
                ("forged", Some(forged(cookie)), reject, false),
            ];
            let mut group = criterion.benchmark_group(format!("{codec}, {size}"));
            group.throughput(Throughput::Elements(1));
            for (case, cookie, handler, writes) in cases {
                let headers = headers(cookie.as_deref());
                assert_eq!(headers.contains_key(COOKIE), cookie.is_some());
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

criterion_group!(requests, benches);
criterion_main!(requests);
