//! What Starlette's format costs beside the native ones, and which HMAC-SHA1 is the fastest. `starlette_asgi.py` measures the
//! same requests with the real Starlette.
//!
//! A request has 8 browser headers and 3 unrelated cookies of about 40 bytes beside the session. A small session is 3 keys in
//! 91 bytes of JSON, a large one 25 keys in 1,941 bytes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::SET_COOKIE;
use http_session::{Key, Session, SessionLayer};
use sha1::Sha1;
use support::{Handler, SESSIONS, drive, forged, headers, read, reject, request, write};
use tower::Layer;

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
            let forged = forged(cookie);
            let cases: [Case<'_>; 4] = [
                ("untouched", cookie, |_| {}, false),
                ("read", cookie, read, false),
                ("write", cookie, write, true),
                ("forged", &forged, reject, false),
            ];
            let mut group = criterion.benchmark_group(format!("{codec}, {size}"));
            for (case, cookie, handler, writes) in cases {
                let headers = headers(Some(cookie));
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
