//! What a Redis server does to a store when it dies, hangs, forgets, and comes back.
#![cfg(all(feature = "redis", feature = "test-util"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "support/sessions.rs"]
mod sessions;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http_session::{
    Error,
    store::{Epoch, Loaded, RedisStore, Store, Which},
};
use redis_server::Server;
use sessions::{apply, create, live, now, owner, session, set, work};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

const LONG: Duration = Duration::from_secs(60);

async fn store(server: &Server) -> RedisStore {
    RedisStore::connect(&server.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_36_kill_9_loses_nothing_that_was_acknowledged() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let store = store(&server).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let down = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for _ in 0..16 {
        let (acknowledged, down) = (acknowledged.clone(), down.clone());
        let store = store.clone();
        workers.spawn(work(store, LONG, move |failed| {
            let done = acknowledged.fetch_add(1, Ordering::Relaxed);
            // Until it has been down, and then some more.
            !(down.load(Ordering::Relaxed) && (failed > 0 || done > 2_000))
        }));
    }
    daemon::until("1,000 steps", || acknowledged.load(Ordering::Relaxed) > 1_000);
    server.kill();
    down.store(true, Ordering::Relaxed);
    let before = acknowledged.load(Ordering::Relaxed);
    server.again();
    let known: Vec<_> = timeout(LONG, workers.join_all()).await.unwrap().concat();
    let unsure = known
        .iter()
        .filter(|one| one.acknowledged < one.sent || one.unsure)
        .count();
    let ended = known.iter().filter(|one| one.ended).count();
    println!(
        "{before} steps before the kill, {} sessions, {ended} ended, {unsure} in the middle of a step",
        known.len()
    );
    assert!(unsure > 0, "nobody was at work");
    assert!(ended > 10);
    assert_eq!(sessions::lost(&store, &known).await, Vec::<String>::new());
}

#[tokio::test]
async fn row_36_a_server_that_is_away_is_an_error_and_the_first_request_after_its_return_is_answered() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let store = store(&server).await;
    let (ticket, record) = session("a");
    create(&store, &ticket, &record).await;
    for round in 0..5 {
        server.kill();
        for _ in 0..round {
            assert!(matches!(store.load(&ticket, now()).await, Err(Error::Store { .. })));
            assert!(matches!(
                store.apply(&ticket, &set("a", "2"), now()).await,
                Err(Error::Store { .. })
            ));
            assert!(matches!(store.delete(&ticket, now()).await, Err(Error::Store { .. })));
            assert!(matches!(
                store.create(&ticket.id, &record, None, now()).await,
                Err(Error::Store { .. })
            ));
            assert!(matches!(
                store.sessions_of(&owner("alice").id, now()).await,
                Err(Error::Store { .. })
            ));
            assert!(matches!(
                store.delete_of(&owner("alice").id, &Which::All, now()).await,
                Err(Error::Store { .. })
            ));
            assert!(matches!(
                store.delete_begun(&Epoch::before(now())).await,
                Err(Error::Store { .. })
            ));
        }
        server.again();
        // It has forgotten the scripts, too.
        if round % 2 == 0 {
            apply(&store, &ticket, &set("round", &round.to_string())).await;
        }
        live(&store, &ticket, now()).await;
    }
    assert_eq!(live(&store, &ticket, now()).await.values.get("round"), Some("4"));
    let server_is_away = RedisStore::connect(&format!("redis://127.0.0.1:{}", daemon::free_port())).await;
    assert!(matches!(server_is_away, Err(Error::Store { .. })));
}

#[tokio::test]
async fn connections_that_are_cut_are_made_anew_and_nobody_notices() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let (ticket, record) = session("a");
    create(&store, &ticket, &record).await;
    for round in 0..20 {
        drop(server.ask(&["CLIENT", "KILL", "TYPE", "normal"]));
        if round % 2 == 0 {
            live(&store, &ticket, now()).await;
        } else {
            apply(&store, &ticket, &set("round", &round.to_string())).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_the_attempt_to_connect() {
    let Some(mut server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let all_at_once = async || {
        let mut requests = JoinSet::new();
        for _ in 0..200 {
            let store = store.clone();
            requests.spawn(async move { store.load(&session("a").0, now()).await });
        }
        requests.join_all().await
    };
    server.kill();
    assert!(
        all_at_once()
            .await
            .iter()
            .all(|answer| matches!(answer, Err(Error::Store { .. })))
    );
    server.again();
    assert!(
        all_at_once()
            .await
            .iter()
            .all(|answer| matches!(answer, Ok(Loaded::Missing)))
    );
    let info: String = redis::from_redis_value(server.ask(&["INFO", "stats"])).unwrap();
    let connections = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    let connections: u32 = connections.unwrap().parse().unwrap();
    // With those of the test itself.
    assert!(connections < 15, "{connections} connections");
}

#[tokio::test]
async fn a_server_that_does_not_answer_harms_no_later_request() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let (ticket, record) = session("a");
    create(&store, &ticket, &record).await;
    // The server knows the script from here on.
    apply(&store, &ticket, &set("before", "1")).await;
    server.signal("STOP");
    for _ in 0..3 {
        timeout(Duration::from_millis(50), store.load(&ticket, now()))
            .await
            .unwrap_err();
        timeout(
            Duration::from_millis(50),
            store.apply(&ticket, &set("late", "1"), now()),
        )
        .await
        .unwrap_err();
    }
    server.signal("CONT");
    apply(&store, &ticket, &set("after", "1")).await;
    // Given up, and none the less done, wholly.
    let values = live(&store, &ticket, now()).await.values;
    assert_eq!((values.get("late"), values.get("after")), (Some("1"), Some("1")));
}

#[tokio::test]
async fn a_request_that_was_given_up_on_a_dead_connection_gets_the_next_one_another() {
    let Some(server) = Server::start(&[]) else { return };
    // Passes on what it hears, until it hangs: new connections still work, as after the failover of a load balancer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let hangs = Arc::new(tokio::sync::Notify::new());
    let (port, hang) = (server.port, hangs.clone());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        for first in [true, false, false, false] {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            if first {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    () = hang.notified() => {}
                }
                kept.push((client, server));
            } else {
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
            }
        }
    });
    let store = RedisStore::connect(&url).await.unwrap();
    let (ticket, record) = session("a");
    create(&store, &ticket, &record).await;
    hangs.notify_one();
    timeout(Duration::from_millis(2_500), store.load(&ticket, now()))
        .await
        .unwrap_err();
    timeout(LONG, live(&store, &ticket, now())).await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_answers_is_an_error_when_the_store_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move { (listener.accept().await, std::future::pending::<()>().await) });
    let connected = timeout(LONG, RedisStore::connect(&url)).await.unwrap();
    assert!(matches!(connected, Err(Error::Store { .. })));
    silent.abort();
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_learns_them_again() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let forget = || drop(server.ask(&["SCRIPT", "FLUSH"]));
    let (ticket, mut record) = session("a");
    record.owner = Some(owner("alice"));
    for _ in 0..2 {
        forget();
        create(&store, &ticket, &record).await;
        forget();
        apply(&store, &ticket, &set("a", "2")).await;
        forget();
        assert!(store.delete(&ticket, now()).await.unwrap());
        create(&store, &ticket, &record).await;
        forget();
        assert_eq!(
            store.delete_of(&owner("alice").id, &Which::All, now()).await.unwrap(),
            1
        );
        create(&store, &ticket, &record).await;
        forget();
        assert_eq!(store.delete_begun(&Epoch::before(now() + 1_000)).await.unwrap(), 1);
    }
}
