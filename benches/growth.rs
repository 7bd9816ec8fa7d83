//! How the cost of reading one key grows with what else there is: keys in the session, other cookies, keys in the ring, and
//! cookies that one session is split over; and how the cost of many keys in one request grows with
//! their number. Each should grow as the work does, and not faster.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
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

/// A form of so many fields that is copied into a session.
fn filled(keys: &[String]) -> Session {
    let session = Session::new();
    for key in keys {
        session.insert(key, 17).unwrap();
    }
    session
}

/// What is done to a session of these keys.
type Deed = fn(&Session, &[String]);

fn many(criterion: &mut Criterion) {
    let deeds: [(&str, Deed); 3] = [
        ("insert", |_, keys| drop(black_box(filled(keys)))),
        ("read each key", |session, keys| {
            for key in keys {
                assert_eq!(session.get::<u8>(key).unwrap(), Some(17));
            }
        }),
        ("remove and set each key", |session, keys| {
            for key in keys {
                session.remove(key).unwrap();
                session.insert(key, 17).unwrap();
            }
        }),
    ];
    for (what, deed) in deeds {
        let mut group = criterion.benchmark_group(format!("many keys, {what}"));
        for count in [100_usize, 1_000, 4_000, 16_000] {
            let keys: Vec<String> = (0..count).map(|n| format!("k{n}")).collect();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(count.to_string(), |bencher| {
                bencher.iter_batched_ref(|| filled(&keys), |session| deed(session, &keys), BatchSize::LargeInput);
            });
        }
        group.finish();
    }
    #[cfg(feature = "memory")]
    stored::many(criterion);
}

/// A stored session, each key of which is read in the request that has fetched it.
#[cfg(feature = "memory")]
mod stored {
    use std::convert::Infallible;

    use http::{Request, Response, header::SET_COOKIE};
    use http_session::store::MemoryStore;
    use tower::service_fn;

    use super::*;

    pub(super) fn many(criterion: &mut Criterion) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut group = criterion.benchmark_group("many keys, read each key of a stored session");
        for count in [100_usize, 1_000, 4_000, 16_000] {
            let layer = SessionLayer::with_store(MemoryStore::new()).build().unwrap();
            let handle = async |request: Request<()>| {
                let session = request.extensions().get::<Session>().unwrap().clone();
                session.load().await.unwrap();
                if session.is_new().unwrap() {
                    (0..count).for_each(|n| session.insert(&format!("k{n}"), 17).unwrap());
                } else {
                    for n in 0..count {
                        assert_eq!(session.get::<u8>(&format!("k{n}")).unwrap(), Some(17));
                    }
                }
                Ok::<_, Infallible>(Response::new(()))
            };
            let ask = |request: Request<()>| {
                runtime.block_on(async {
                    let mut service = layer.layer(service_fn(handle));
                    tower::Service::call(&mut service, request).await.unwrap()
                })
            };
            let response = ask(Request::new(()));
            let line = response.headers()[SET_COOKIE].to_str().unwrap();
            let headers = headers(Some(line.split(';').next().unwrap()));
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(count.to_string(), |bencher| {
                bencher.iter_batched(|| request(&headers), ask, BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

criterion_group!(growth, benches, many);
criterion_main!(growth);
