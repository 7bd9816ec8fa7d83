//! What a session in `MemoryStore` takes, from its first request until it has expired and was swept.

use std::{
    convert::Infallible,
    env,
    future::{Ready, ready},
    pin::pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use allocation_counter::measure;
use http::{HeaderMap, Request, Response, header::SET_COOKIE};
use http_session::{
    Session, SessionLayer, SessionService,
    store::{MemoryStore, Store},
};
use tower::{Layer, Service};

use crate::{
    processes,
    support::{SESSIONS, drive, headers, request},
};

const KINDS: [(&str, &str, bool); 3] = [
    ("small", SESSIONS[0].1, false),
    ("small, with owner and label", SESSIONS[0].1, true),
    ("large", SESSIONS[1].1, false),
];

/// The layer's `max_age`, in seconds.
const MAX_AGE: u64 = 14 * 86_400;

/// Prints a row for each kind and number of sessions. Each is a process of its own: one that has freed memory has room in it
/// that would not be counted.
pub fn table(most: u64) {
    assert!(
        processes::resident() > 0,
        "resident memory is read from /proc/self/statm, so run this on Linux"
    );
    println!(
        "\n| sessions | number | heap bytes each | resident bytes each | swept: heap | swept: resident | as many again: resident |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (kind, (name, ..)) in KINDS.into_iter().enumerate() {
        for count in [most / 100, most / 10, most] {
            let mut again = Command::new(env::current_exe().unwrap());
            again.args(["--resident", &kind.to_string(), "--sessions", &count.to_string()]);
            let output = again.output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}, {count} sessions: {errors}");
            print!("| {name} | {count} |{}", String::from_utf8(output.stdout).unwrap());
        }
    }
}

/// Begins so many sessions of a kind, lets them expire, sweeps, and begins as many again. Prints what was there after each,
/// per session.
pub fn child(kind: u64, count: u64) {
    let (_, json, owned) = KINDS[kind as usize];
    // The default is 100,000 sessions in 100 MiB.
    let store = MemoryStore::new().max_sessions(4 << 20).max_bytes(64 << 30);
    let time = Arc::new(AtomicU64::new(1_700_000_000));
    let clock = time.clone();
    let layer = SessionLayer::with_store(store.clone())
        .max_age(Duration::from_secs(MAX_AGE))
        .clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)))
        .build()
        .unwrap();
    let mut begin = Begin {
        service: layer.layer(Begins { json, owned, number: 0 }),
        headers: headers(None),
    };
    // The first one pays for what is made once.
    begin.sessions(1);

    let before = processes::resident();
    let each = |bytes: i64| bytes as f64 / count as f64;
    let resident = || each(processes::resident() as i64 - before as i64);
    let begun = measure(|| begin.sessions(count)).bytes_current;
    let full = resident();
    time.fetch_add(2 * MAX_AGE, Ordering::Relaxed);
    let now = time.load(Ordering::Relaxed) * 1_000;
    let swept = measure(|| assert_eq!(at_once(store.delete_expired(now)).unwrap(), 1 + count)).bytes_current;
    let empty = resident();
    begin.sessions(count);
    println!(
        " {:.0} | {full:.0} | {:.0} | {empty:.0} | {:.0} |",
        each(begun),
        each(begun + swept),
        resident()
    );
}

/// Begins a session with each request, for an owner of its own.
#[derive(Clone)]
struct Begins {
    json: &'static str,
    owned: bool,
    number: u64,
}

impl Service<Request<()>> for Begins {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let session: &Session = request.extensions().get().unwrap();
        let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(self.json).unwrap();
        for (key, value) in data {
            session.insert(&key, value).unwrap();
        }
        if self.owned {
            session.set_owner(format!("user-{:08}", self.number)).unwrap();
            session.set_label("Firefox 140 on Linux").unwrap();
        }
        self.number += 1;
        ready(Ok(Response::new(())))
    }
}

struct Begin {
    service: SessionService<Begins>,
    headers: HeaderMap,
}

impl Begin {
    fn sessions(&mut self, count: u64) {
        for _ in 0..count {
            let response = drive(&mut self.service, request(&self.headers));
            assert!(response.headers().contains_key(SET_COOKIE), "no session was begun");
        }
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
