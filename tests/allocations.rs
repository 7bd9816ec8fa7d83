//! Heap allocations per request, counted, printed and compared with the numbers here: they do not depend on the machine, so a
//! change that makes requests dearer is seen in CI.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::COOKIE};
use http_session::{Key, Session, SessionLayer};
use tower::{Layer, Service};

const SMALL: &str = include_str!("../benches/small.json");
const LARGE: &str = include_str!("../benches/large.json");

/// Bytes may differ by so many percent, since they are other crates' too; the number of allocations may not differ at all.
const MARGIN: u64 = 10;

/// What a handler does with the session.
#[derive(Clone, Copy)]
enum Deed {
    Nothing,
    /// Gets one number.
    Read,
    /// Sets one number, each time another.
    Write,
    /// Sets all keys of this JSON.
    Create(&'static str),
    /// Finds that there is nothing.
    Reject,
}

#[derive(Clone)]
struct Handler(Deed);

impl Service<Request<()>> for Handler {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Answer {
        let session: &Session = request.extensions().get().unwrap();
        // As the extractor does. A session in a cookie is there.
        if !matches!(self.0, Deed::Nothing | Deed::Create(_)) {
            at_once(session.load()).unwrap();
        }
        match self.0 {
            Deed::Nothing => {}
            Deed::Read => assert_eq!(session.get::<u64>("visits").unwrap(), Some(17)),
            Deed::Write => {
                static NEXT: AtomicU64 = AtomicU64::new(18);
                session.insert("visits", NEXT.fetch_add(1, Ordering::Relaxed)).unwrap();
            }
            Deed::Create(json) => {
                let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
                for (key, value) in &data {
                    session.insert(key, value).unwrap();
                }
            }
            Deed::Reject => assert!(session.get::<u64>("visits").unwrap().is_none()),
        }
        ready(Ok(Response::new(())))
    }
}

type Answer = Ready<Result<Response<()>, Infallible>>;

/// What one request costs, from the layer's `call` to its response, which is returned too.
fn request(layer: &SessionLayer, headers: &HeaderMap, deed: Deed) -> (AllocationInfo, Response<()>) {
    let mut service = layer.layer(Handler(deed));
    let mut once = || {
        let mut request = Request::new(());
        *request.headers_mut() = headers.clone();
        let mut response = None;
        let info = measure(|| response = Some(at_once(service.call(request)).unwrap()));
        (info, response.unwrap())
    };
    // The first requests pay for what is made once, be it for each of a store's sixteen maps, and now and then a map grows.
    (0..200).for_each(|_| drop(once()));
    let runs = [(); 5].map(|()| once());
    runs.into_iter().min_by_key(|(info, _)| info.count_total).unwrap()
}

fn at_once<F: Future>(future: F) -> F::Output {
    let future: Pin<&mut F> = pin!(future);
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// The headers of a client that got this response, as a server hands them over: shared bytes of a longer buffer.
fn known(response: &Response<()>, forged: bool) -> HeaderMap {
    let line = response.headers()["set-cookie"].to_str().unwrap();
    let mut pair = line.split(';').next().unwrap().to_owned();
    if forged {
        let at = pair.len() - 5;
        let other = if pair.as_bytes()[at] == b'A' { "B" } else { "A" };
        pair.replace_range(at..=at, other);
    }
    let bytes = Bytes::from(format!("theme=dark; {pair}; consent=all").into_bytes());
    let shared = bytes.clone();
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_maybe_shared(bytes).unwrap());
    drop(shared);
    headers
}

/// A case, its allocations, and the bytes that they ask for in all.
type Expected = (&'static str, u64, u64);

fn check(name: &str, layer: &SessionLayer, expected: [Expected; 9]) {
    let nobody = HeaderMap::new();
    let [small, large] = [SMALL, LARGE].map(|json| request(layer, &nobody, Deed::Create(json)).1);
    let [small_known, large_known] = [&small, &large].map(|response| known(response, false));
    let forged = known(&small, true);
    let cases = [
        (&nobody, Deed::Nothing),
        (&small_known, Deed::Nothing),
        (&large_known, Deed::Nothing),
        (&small_known, Deed::Read),
        (&large_known, Deed::Read),
        (&small_known, Deed::Write),
        (&large_known, Deed::Write),
        (&nobody, Deed::Write),
        (&forged, Deed::Reject),
    ];
    let mut differs = false;
    for ((headers, deed), (case, count, bytes)) in cases.into_iter().zip(expected) {
        let (info, _) = request(layer, headers, deed);
        let (now, now_bytes) = (info.count_total, info.bytes_total);
        let ok = now == count && now_bytes.abs_diff(bytes) * 100 <= bytes * MARGIN;
        println!("{name}, {case}: {now} allocations of {now_bytes} bytes (here: {count} of {bytes})");
        differs |= !ok;
    }
    assert!(
        !differs,
        "{name}: a request costs more, or less, than the table in tests/allocations.rs says; if that is meant, say so there"
    );
}

fn build(layer: SessionLayer) -> SessionLayer {
    layer.build().unwrap()
}

#[test]
fn signed() {
    let layer = build(SessionLayer::signed(Key::generate().unwrap()));
    check(
        "signed",
        &layer,
        [
            ("anonymous, untouched", 4, 692),
            ("small, untouched", 4, 692),
            ("large, untouched", 4, 692),
            ("small, read", 8, 1_718),
            ("large, read", 8, 5_936),
            ("small, write", 15, 2_714),
            ("large, write", 15, 13_099),
            ("create", 13, 2_071),
            ("forged", 7, 1_518),
        ],
    );
}

#[test]
fn encrypted() {
    let layer = build(SessionLayer::encrypted(Key::generate().unwrap()));
    check(
        "encrypted",
        &layer,
        [
            ("anonymous, untouched", 4, 692),
            ("small, untouched", 4, 692),
            ("large, untouched", 4, 692),
            ("small, read", 8, 1_726),
            ("large, read", 8, 5_944),
            ("small, write", 15, 2_730),
            ("large, write", 15, 13_115),
            ("create", 13, 2_079),
            ("forged", 7, 1_526),
        ],
    );
}

#[cfg(feature = "starlette")]
#[test]
fn starlette() {
    let layer = build(SessionLayer::starlette("2f0f3a5d0f4f0e8f5ae5a0a4b4c1e3d2").secure(true));
    check(
        "starlette",
        &layer,
        [
            ("anonymous, untouched", 4, 692),
            ("small, untouched", 4, 692),
            ("large, untouched", 4, 692),
            ("small, read", 9, 1_688),
            ("large, read", 9, 6_103),
            ("small, write", 16, 2_636),
            ("large, write", 16, 14_214),
            ("create", 13, 2_003),
            ("forged", 6, 1_348),
        ],
    );
}

#[cfg(feature = "memory")]
#[test]
fn memory() {
    let store = http_session::store::MemoryStore::new();
    let layer = build(SessionLayer::with_store(store));
    check(
        "memory",
        &layer,
        [
            ("anonymous, untouched", 4, 692),
            ("small, untouched", 4, 692),
            ("large, untouched", 4, 692),
            ("small, read", 10, 2_172),
            ("large, read", 10, 2_172),
            ("small, write", 21, 4_683),
            ("large, write", 21, 7_413),
            ("create", 24, 4_459),
            ("forged", 9, 2_028),
        ],
    );
}

/// What a session no longer holds is not kept as room for more: the bound is about what is in memory.
#[cfg(feature = "memory")]
#[test]
fn sessions_that_shrink_give_back_what_they_took() {
    use http_session::{
        SessionId,
        store::{Changes, HashedTicket, MemoryStore, Record, SecretHash, Store as _},
    };

    const MAX_BYTES: u64 = 10 << 20;
    let large = format!("\"{}\"", "x".repeat(100_000));
    let change = |set: Option<&str>| {
        let mut changes = Changes::new(1, 1_000);
        match set {
            Some(json) => changes.set.push(("key".to_owned(), json.to_owned())),
            None => changes.removed.push("key".to_owned()),
        }
        changes
    };
    for changes in [change(None), change(Some("1")), change(Some(&large))] {
        let store = MemoryStore::new().max_bytes(MAX_BYTES);
        let held = measure(|| {
            for number in 0..1_000_u64 {
                let mut bytes = [7; 32];
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                let ticket = HashedTicket {
                    id: SessionId::from_bytes(bytes),
                    secret: SecretHash::from_bytes(bytes),
                };
                let mut record = Record::new(ticket.secret, 0, 1_000);
                record.values.set("key", &large);
                at_once(store.create(&ticket.id, &record, None, 0)).unwrap();
                drop(record);
                let _ = at_once(store.apply(&ticket, &changes, 1)).unwrap();
            }
        });
        assert!(held.bytes_current as u64 <= MAX_BYTES, "{} bytes", held.bytes_current);
    }
}
