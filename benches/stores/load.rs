//! Clients that ask as fast as they are answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::JoinSet};

use crate::{
    client::{Client, Cookie, Deed, sessions},
    places::{Kind, Place},
    processes,
    support::SESSIONS,
};

/// Sessions that clients choose from.
const KNOWN: usize = 2_000;

const CLIENTS: [usize; 4] = [1, 4, 16, 64];

/// How many of ten requests write; a request that does not, reads.
const MIXES: [(&str, u64); 2] = [("9 reads, 1 write", 1), ("writes", 10)];

struct Outcome {
    per_second: f64,
    /// Half of the requests, and all but one of a hundred, took no longer.
    half: Duration,
    most: Duration,
    /// CPU time per request, in seconds: of this process, and of the servers.
    ours: f64,
    servers: f64,
}

pub fn table(runtime: &Runtime, kinds: &[Kind], milliseconds: u64) {
    println!(
        "| store | requests | clients | per second | p50 ms | p99 ms | CPU here, µs each | CPU of the servers, µs each |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|");
    for &kind in kinds {
        let Some(place) = runtime.block_on(kind.start()) else {
            continue;
        };
        let known = Arc::new(runtime.block_on(sessions(&place.layer, KNOWN, SESSIONS[0].1, false)));
        for (mix, writes) in MIXES {
            for clients in CLIENTS {
                let time = Duration::from_millis(milliseconds);
                let outcome = runtime.block_on(run(&place, &known, clients, writes, time));
                println!(
                    "| {} | {mix} | {clients} | {:.0} | {:.3} | {:.3} | {:.1} | {:.1} |",
                    kind.name(),
                    outcome.per_second,
                    outcome.half.as_secs_f64() * 1e3,
                    outcome.most.as_secs_f64() * 1e3,
                    outcome.ours * 1e6,
                    outcome.servers * 1e6,
                );
            }
        }
    }
}

async fn run(place: &Place, known: &Arc<Vec<Cookie>>, clients: usize, writes: u64, time: Duration) -> Outcome {
    // Connections are made and caches filled.
    ask(place, known, clients, writes, time / 5).await;
    let here = [std::process::id()];
    // Not those that come and go meanwhile, as a database's for housekeeping.
    let servers = place.behind.processes();
    let cpu = |processes: &[u32]| processes.iter().map(|&process| processes::cpu(process)).sum::<f64>();
    let before = (cpu(&here), cpu(&servers));
    let start = Instant::now();
    let mut times = ask(place, known, clients, writes, time).await;
    let elapsed = start.elapsed();
    let count = times.len() as f64;
    times.sort_unstable();
    let at = |part: f64| Duration::from_nanos(times[((count - 1.0) * part) as usize].into());
    Outcome {
        per_second: count / elapsed.as_secs_f64(),
        half: at(0.5),
        most: at(0.99),
        ours: (cpu(&here) - before.0) / count,
        servers: (cpu(&servers) - before.1) / count,
    }
}

/// How long each request took, in nanoseconds.
async fn ask(place: &Place, known: &Arc<Vec<Cookie>>, clients: usize, writes: u64, time: Duration) -> Vec<u32> {
    let mut tasks = JoinSet::new();
    let end = Instant::now() + time;
    for number in 0..clients {
        let mut client = Client::new(&place.layer);
        let known = known.clone();
        tasks.spawn(async move {
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1) << 17);
            let mut times = Vec::with_capacity(1 << 16);
            let mut now = Instant::now();
            while now < end {
                let cookie = &known[random.below(known.len() as u64) as usize];
                let deed = if random.below(10) < writes {
                    Deed::Write
                } else {
                    Deed::Read
                };
                client.ask(Some(cookie), deed).await;
                let then = Instant::now();
                times.push(u32::try_from((then - now).as_nanos()).unwrap_or(u32::MAX));
                now = then;
                // A store in memory never waits: the others have their turn all the same.
                tokio::task::consume_budget().await;
            }
            times
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Xorshift: the same sessions in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
