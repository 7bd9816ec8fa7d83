//! What a session costs per request: the service driven directly, on one thread.
//!
//! A request has 8 browser headers and, where it brings a session, 3 unrelated cookies of about 40 bytes beside it. A small
//! session is 3 keys in 91 bytes of JSON, a large one 25 keys in 1,941 bytes. `bare` is the same service without a layer.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::header::{COOKIE, SET_COOKIE};
use http_session::{Key, Session, SessionLayer};
use support::{Handler, SESSIONS, drive, forged, headers, read, reject, request, write};
use tower::Layer;

fn create(session: &Session) {
    session.insert("user", "5f3c9a72-8d1e-4b6a-9c05-2e7f4d8b1a63").unwrap();
    session.insert("visits", 1).unwrap();
    session.insert("csrf", "kX9vQ2mT7pL4wR8sZ1aB5d").unwrap();
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
