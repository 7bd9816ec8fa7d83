//! How the cost of reading one key grows with what else there is: keys in the session, other cookies, keys in the ring, and
//! cookies that one session is split over. Each should grow as the work does, and not faster.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, header::COOKIE};
use http_session::{Key, KeyRing, Session, SessionLayer};
use support::{Handler, drive, headers, request};
use tower::Layer;

fn read_one(session: &Session) {
    assert!(black_box(session.get::<u64>("wanted")).unwrap().is_some());
}

/// A session of so many keys, the wanted one in the middle.
fn data(keys: usize) -> serde_json::Map<String, serde_json::Value> {
    let key = |n| {
        if n == keys / 2 {
            "wanted".to_owned()
        } else {
            format!("k{n}")
        }
    };
    (0..keys).map(|n| (key(n), 17.into())).collect()
}

fn cookie(layer: &SessionLayer, data: &serde_json::Map<String, serde_json::Value>) -> String {
    layer.cookie_header(data).unwrap().to_str().unwrap().to_owned()
}

fn measure(criterion: &mut Criterion, group: &str, case: &str, layer: &SessionLayer, headers: &HeaderMap) {
    let mut service = layer.layer(Handler(read_one));
    criterion.benchmark_group(group).bench_function(case, |bencher| {
        bencher.iter_batched(
            || request(headers),
            |request| drive(&mut service, request),
            BatchSize::SmallInput,
        );
    });
}

fn benches(criterion: &mut Criterion) {
    let key = || Key::generate().unwrap();
    for (codec, layer) in [
        ("signed", SessionLayer::signed(key())),
        ("encrypted", SessionLayer::encrypted(key())),
    ] {
        let layer = layer.chunked(4).build().unwrap();
        for keys in [1, 10, 100, 1000] {
            let headers = headers(Some(&cookie(&layer, &data(keys))));
            measure(
                criterion,
                &format!("{codec}, keys in the session"),
                &keys.to_string(),
                &layer,
                &headers,
            );
        }
        for kilobytes in [4, 8, 12] {
            let mut data = data(1);
            // base64 makes four characters of three bytes.
            data.insert("rest".to_owned(), "x".repeat(kilobytes * 1024 * 3 / 4 - 160).into());
            let cookies = cookie(&layer, &data);
            let group = format!("{codec}, KB in cookies");
            measure(
                criterion,
                &group,
                &kilobytes.to_string(),
                &layer,
                &headers(Some(&cookies)),
            );
        }
    }

    let layer = SessionLayer::signed(key()).build().unwrap();
    let own = cookie(&layer, &data(3));
    for others in [1, 10, 50] {
        let mut pairs: Vec<String> = (0..others)
            .map(|n| format!("other-{n}=4f1c2e9a7b3d8056af91c4e2d7b8a0"))
            .collect();
        pairs.insert(others / 2, own.clone());
        let mut headers = headers(None);
        headers.insert(COOKIE, HeaderValue::try_from(pairs.join("; ")).unwrap());
        // A header that was never cloned costs one allocation more on its first clone.
        let _ = black_box(headers.clone());
        measure(criterion, "other cookies", &others.to_string(), &layer, &headers);
    }

    for keys in [1, 20] {
        let oldest = key();
        let accepted = (2..keys).map(|_| key());
        let ring = accepted.fold(KeyRing::new(key()), KeyRing::accept);
        let ring = if keys == 1 {
            KeyRing::new(oldest.clone())
        } else {
            ring.accept(oldest.clone())
        };
        let layer = SessionLayer::signed(ring).build().unwrap();
        let cookie = cookie(&SessionLayer::signed(oldest), &data(3));
        measure(
            criterion,
            "keys in the ring",
            &keys.to_string(),
            &layer,
            &headers(Some(&cookie)),
        );
    }
}

criterion_group!(growth, benches);
criterion_main!(growth);
