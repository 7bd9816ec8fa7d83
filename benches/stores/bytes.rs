//! What each store takes for a session: the difference that many of them make.

use std::{env, process::Command};

use tokio::runtime::Runtime;

use crate::{
    client::{Client, Cookie, Deed, sessions},
    places::{Behind, Kind, Place, number},
    processes,
    support::SESSIONS,
};

const SESSION: [(&str, &str, bool); 3] = [
    ("small", SESSIONS[0].1, false),
    ("small, with owner", SESSIONS[0].1, true),
    ("large", SESSIONS[1].1, false),
];

const WRITES: usize = 4;

pub fn table(runtime: &Runtime, kinds: &[Kind], count: usize) {
    println!(
        "| store | sessions | bytes each | each after 4 writes more | log bytes for a new one | log bytes for a write |"
    );
    println!("|---|---|--:|--:|--:|--:|");
    for &kind in kinds {
        for (number, (what, json, owners)) in SESSION.into_iter().enumerate() {
            let [bytes, later, begun, written] = if kind == Kind::Memory {
                // A process that has freed memory has room in it that would not be counted.
                let mut again = Command::new(env::current_exe().unwrap());
                again.args(["--resident", &number.to_string(), "--sessions", &count.to_string()]);
                let bytes = String::from_utf8(again.output().unwrap().stdout).unwrap();
                let bytes = bytes.trim().parse().unwrap();
                [bytes, bytes, 0.0, 0.0]
            } else {
                // New each time: what was deleted leaves holes that the next one would fill.
                let Some(place) = runtime.block_on(kind.start()) else {
                    continue;
                };
                runtime.block_on(measure(&place, count, json, owners))
            };
            println!(
                "| {} | {what} | {bytes:.0} | {later:.0} | {begun:.0} | {written:.0} |",
                kind.name()
            );
        }
    }
}

/// Prints how much memory a session in this process takes.
pub fn resident(runtime: &Runtime, number: usize, count: usize) {
    let (_, json, owners) = SESSION[number];
    runtime.block_on(async {
        let place = Kind::Memory.start().await.unwrap();
        let mut client = Client::new(&place.layer);
        let mut begin = async |from: usize, to: usize| {
            for owner in from..to {
                drop(client.begin(json, owners.then_some(owner as u64)).await);
            }
        };
        let warm_up = count / 20;
        begin(0, warm_up).await;
        let before = processes::resident();
        begin(warm_up, warm_up + count).await;
        println!("{}", (processes::resident() - before) as f64 / count as f64);
    });
}

async fn measure(place: &Place, count: usize, json: &'static str, owners: bool) -> [f64; 4] {
    // All connections are made, and tables are no longer empty.
    sessions(&place.layer, count / 20, json, owners).await;
    let (before, log_before) = (size(place).await, log(place).await);
    let known = sessions(&place.layer, count, json, owners).await;
    let (begun, log_begun) = (size(place).await, log(place).await);
    for _ in 0..WRITES {
        write_each(place, &known).await;
    }
    let (written, log_written) = (size(place).await, log(place).await);
    let each = |from: u64, to: u64| (to - from) as f64 / count as f64;
    [
        each(before, begun),
        each(before, written),
        each(log_before, log_begun),
        each(log_begun, log_written) / WRITES as f64,
    ]
}

async fn write_each(place: &Place, known: &[Cookie]) {
    const CLIENTS: usize = 64;
    let known = std::sync::Arc::new(known.to_vec());
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..CLIENTS {
        let (mut client, known) = (Client::new(&place.layer), known.clone());
        tasks.spawn(async move {
            for cookie in known.iter().skip(first).step_by(CLIENTS) {
                client.ask(Some(cookie), Deed::Write).await;
            }
        });
    }
    tasks.join_all().await;
}

/// Bytes of all sessions, indexes included.
async fn size(place: &Place) -> u64 {
    match &place.behind {
        Behind::Nothing => 0,
        Behind::File(folder) => {
            let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
            let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
            let pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
            let size: i64 = sqlx::query_scalar(pages).fetch_one(&pool).await.unwrap();
            size as u64
        }
        Behind::Database(server) if server.url.starts_with("postgres") => {
            let tables =
                "SELECT pg_total_relation_size('http_sessions') + pg_total_relation_size('http_session_values')";
            postgres(&server.url, tables).await
        }
        Behind::Database(server) => ["http_sessions", "http_session_values"]
            .iter()
            .map(|table| std::fs::metadata(server.innodb_file(table)).unwrap().len())
            .sum(),
        // A cluster's replicas hold all of it once more.
        Behind::Redis(servers) => servers
            .iter()
            .filter(|server| server.replication().contains("role:master"))
            .map(|server| number(server, "memory", "used_memory"))
            .sum(),
    }
}

/// Bytes that were written to the log that survives a crash.
async fn log(place: &Place) -> u64 {
    match &place.behind {
        Behind::Database(server) if server.url.starts_with("postgres") => {
            postgres(
                &server.url,
                "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint",
            )
            .await
        }
        Behind::Redis(servers) if servers.len() == 1 => number(&servers[0], "persistence", "aof_current_size"),
        _ => 0,
    }
}

async fn postgres(url: &str, question: &'static str) -> u64 {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let answer: i64 = sqlx::query_scalar(question).fetch_one(&pool).await.unwrap();
    answer as u64
}
