//! Heap allocations per request, counted and printed: they do not depend on the machine.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    convert::Infallible,
    future::ready,
    task::{Context, Waker},
};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::COOKIE};
use http_session::{Key, Session, SessionLayer};
use tower::{Layer, Service, service_fn};

const SMALL: &str = include_str!("../benches/small.json");
const LARGE: &str = include_str!("../benches/large.json");

/// What one request costs, from the layer's `call` to its response.
fn request(layer: &SessionLayer, cookie: Option<&HeaderValue>, handler: fn(&Session)) -> AllocationInfo {
    let mut service = layer.layer(service_fn(|request: Request<()>| {
        handler(request.extensions().get::<Session>().unwrap());
        ready(Ok::<_, Infallible>(Response::new(())))
    }));
    let mut once = || {
        let mut request = Request::new(());
        if let Some(cookie) = cookie {
            request.headers_mut().insert(COOKIE, cookie.clone());
        }
        let mut response = None;
        let info = measure(|| {
            let mut future = std::pin::pin!(service.call(request));
            let std::task::Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("the service waits");
            };
            response = Some(done);
        });
        drop(response);
        info
    };
    // The first request of a process pays for what is made once.
    once();
    once()
}

/// As a server hands it over: shared bytes of a longer buffer.
fn cookie(layer: &SessionLayer, json: &str) -> HeaderValue {
    let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    let session = layer.cookie_header(&data).unwrap();
    let text = format!("theme=dark; {}; consent=all", session.to_str().unwrap());
    let bytes = Bytes::from(text.into_bytes());
    let shared = bytes.clone();
    let value = HeaderValue::from_maybe_shared(bytes).unwrap();
    drop(shared);
    value
}

fn check(name: &str, most: u64, info: &AllocationInfo) {
    println!(
        "{name}: {} allocations, {} bytes (at most {most})",
        info.count_total, info.bytes_total
    );
    assert!(info.count_total <= most, "{name}: {} allocations", info.count_total);
}

#[test]
fn allocations_per_request() {
    for (codec, layer) in [
        ("signed", SessionLayer::signed(Key::generate().unwrap())),
        ("encrypted", SessionLayer::encrypted(Key::generate().unwrap())),
    ] {
        let layer = layer.build().unwrap();
        let small = cookie(&layer, SMALL);
        let large = cookie(&layer, LARGE);
        let read: fn(&Session) = |session| assert_eq!(session.get::<u64>("visits").unwrap(), Some(17));
        let write: fn(&Session) = |session| session.insert("visits", 18).unwrap();
        check(
            &format!("{codec}, anonymous, untouched"),
            4,
            &request(&layer, None, |_| {}),
        );
        check(
            &format!("{codec}, known, untouched"),
            4,
            &request(&layer, Some(&small), |_| {}),
        );
        check(
            &format!("{codec}, large, untouched"),
            4,
            &request(&layer, Some(&large), |_| {}),
        );
        check(
            &format!("{codec}, read of one u64"),
            8,
            &request(&layer, Some(&small), read),
        );
        check(
            &format!("{codec}, large, read of one u64"),
            9,
            &request(&layer, Some(&large), read),
        );
        check(&format!("{codec}, write"), 16, &request(&layer, Some(&small), write));
        check(&format!("{codec}, create"), 14, &request(&layer, None, write));
    }
}
