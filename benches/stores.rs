//! What a session in a store costs, through the whole layer, on each store that there is.
//!
//! ```sh
//! cargo bench --all-features --bench stores              # time per request, one at a time
//! cargo bench --all-features --bench stores -- --load    # requests per second, latency and CPU, 1 to 64 clients
//! cargo bench --all-features --bench stores -- --bytes   # what each store takes for a session
//! ```
//!
//! Servers are started here, in a temporary folder; one that is not installed is left out. The service is driven directly,
//! so there is no HTTP in the numbers. A small session is 3 keys in 91 bytes of JSON, a large one 25 keys in 1,941 bytes.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod support;

#[path = "stores/bytes.rs"]
mod bytes_each;
#[path = "stores/client.rs"]
mod client;
#[path = "../tests/support/daemon.rs"]
mod daemon;
#[path = "stores/databases.rs"]
mod databases;
#[path = "stores/load.rs"]
mod load;
#[path = "stores/places.rs"]
mod places;
#[path = "stores/processes.rs"]
mod processes;
#[path = "../tests/support/redis_server.rs"]
mod redis_server;

use std::{env, time::Instant};

use client::{Client, Deed};
use criterion::{Criterion, Throughput};
use places::Kind;
use support::SESSIONS;
use tokio::runtime::{Builder, Runtime};

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let arguments: Vec<String> = env::args().collect();
    let option = |name: &str| arguments.iter().position(|argument| argument == name);
    let number = |name, otherwise| {
        option(name).map_or(otherwise, |at| {
            arguments
                .get(at + 1)
                .and_then(|text| text.parse().ok())
                .expect("a number")
        })
    };
    let kinds: Vec<Kind> = match option("--only").and_then(|at| arguments.get(at + 1)) {
        Some(names) => Kind::ALL
            .into_iter()
            .filter(|kind| names.split(',').any(|name| name == kind.name()))
            .collect(),
        None => Kind::ALL.to_vec(),
    };
    let sessions = number("--sessions", 20_000) as usize;
    if option("--resident").is_some() {
        bytes_each::resident(&runtime, number("--resident", 0) as usize, sessions);
    } else if option("--load").is_some() {
        load::table(&runtime, &kinds, number("--milliseconds", 1_500));
    } else if option("--bytes").is_some() {
        bytes_each::table(&runtime, &kinds, sessions);
    } else {
        let mut criterion = Criterion::default()
            .sample_size(20)
            .warm_up_time(std::time::Duration::from_millis(500))
            .measurement_time(std::time::Duration::from_secs(2))
            .configure_from_args();
        for kind in kinds {
            one_at_a_time(&mut criterion, &runtime, kind);
        }
        criterion.final_summary();
    }
}

fn one_at_a_time(criterion: &mut Criterion, runtime: &Runtime, kind: Kind) {
    let Some(place) = runtime.block_on(kind.start()) else {
        return;
    };
    for (size, json) in SESSIONS {
        let mut client = Client::new(&place.layer);
        let cookie = runtime.block_on(client.begin(json, None));
        let mut group = criterion.benchmark_group(format!("{}, {size}", kind.name()));
        group.throughput(Throughput::Elements(1));
        for (case, deed) in [
            ("untouched", Deed::Nothing),
            ("read", Deed::Read),
            ("write", Deed::Write),
            ("create", Deed::Begin { json, owner: None }),
        ] {
            let cookie = (case != "create").then_some(&cookie);
            group.bench_function(case, |bencher| {
                bencher.iter_custom(|times| {
                    runtime.block_on(async {
                        let start = Instant::now();
                        for _ in 0..times {
                            client.ask(cookie, deed).await;
                        }
                        start.elapsed()
                    })
                });
            });
        }
        group.finish();
    }
}
