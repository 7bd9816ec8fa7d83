//! Sessions in a Redis cluster: three primaries with a replica each, one of which dies.
#![cfg(all(feature = "redis", feature = "test-util"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "support/sessions.rs"]
mod sessions;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http_session::{
    Error,
    store::{RedisStore, Store, Which, conformance},
};
use redis::Value;
use redis_server::Cluster;
use sessions::{Known, create, live, now, owner, session, work};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_cluster_passes_the_conformance_suite() {
    let Some(cluster) = Cluster::start() else { return };
    let store = RedisStore::cluster(cluster.urls()).await.unwrap();
    conformance::check(&store).await.unwrap();
    conformance::check_epoch(&store).await.unwrap();
    let replicated = RedisStore::cluster(cluster.urls()).await.unwrap();
    cluster.until_replicated();
    conformance::check(&replicated.wait_replicas(1, Duration::from_secs(10)))
        .await
        .unwrap();

    // An owner's sessions lie on all servers, and each is found.
    let (mut tickets, mut slots) = (Vec::new(), HashSet::new());
    for _ in 0..50 {
        let (ticket, mut record) = session("a");
        record.owner = Some(owner("alice"));
        create(&store, &ticket, &record).await;
        let Value::Int(slot) = cluster.servers[0].ask(&["CLUSTER", "KEYSLOT", &format!("session:{}", ticket.id)])
        else {
            panic!("no slot");
        };
        slots.insert(slot / 5_462);
        tickets.push(ticket);
    }
    assert_eq!(slots.len(), 3);
    assert_eq!(store.sessions_of(&owner("alice").id, now()).await.unwrap().len(), 50);
    assert_eq!(
        store
            .delete_of(&owner("alice").id, &Which::AllBut(tickets[7].id), now())
            .await
            .unwrap(),
        49
    );
    live(&store, &tickets[7], now()).await;
    // It serves reads from primaries: a replica is not asked at all.
    for at in 0..6 {
        drop(cluster.servers[at].ask(&["CONFIG", "RESETSTAT"]));
    }
    for _ in 0..100 {
        live(&store, &tickets[7], now()).await;
    }
    let reads = |at: usize| {
        let calls = cluster.servers[at].calls();
        calls
            .iter()
            .find(|(name, _)| name == "hgetall")
            .map_or(0, |(_, calls)| *calls)
    };
    let primaries = cluster.primaries();
    assert_eq!(primaries.iter().map(|&at| reads(at)).sum::<u64>(), 100);
    assert_eq!((0..6).map(reads).sum::<u64>(), 100, "one round trip for each");

    drop(cluster.servers[primaries[1]].ask(&["CONFIG", "SET", "maxmemory", "100mb"]));
    drop(cluster.servers[primaries[1]].ask(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]));
    let refused = RedisStore::cluster(cluster.urls()).await;
    assert!(matches!(refused, Err(Error::Config { .. })), "one primary may evict");
}

/// Kills a primary while requests run, and returns what each worker knows, the cluster, and a store.
async fn failover(replicas: u32) -> Option<(Vec<Known>, Cluster, RedisStore)> {
    let mut cluster = Cluster::start()?;
    cluster.until_replicated();
    let mut store = RedisStore::cluster(cluster.urls()).await.unwrap();
    if replicas > 0 {
        store = store.wait_replicas(replicas, Duration::from_secs(1));
    }
    let acknowledged = Arc::new(AtomicU64::new(0));
    let failures = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let (acknowledged, failures, stop) = (acknowledged.clone(), failures.clone(), stop.clone());
        // As long as the layer waits.
        workers.spawn(work(store.clone(), Duration::from_secs(5), move |failed| {
            acknowledged.fetch_add(1, Ordering::Relaxed);
            failures.fetch_add(failed, Ordering::Relaxed);
            !stop.load(Ordering::Relaxed)
        }));
    }
    let reach = |more: u64| {
        let goal = acknowledged.load(Ordering::Relaxed) + more;
        let acknowledged = acknowledged.clone();
        tokio::task::spawn_blocking(move || {
            daemon::until("more steps", || acknowledged.load(Ordering::Relaxed) >= goal);
        })
    };
    reach(2_000).await.unwrap();
    let victim = cluster.primaries()[0];
    cluster.servers[victim].kill();
    cluster.until_whole();
    if replicas > 0 {
        // Its replica is the primary now, and has none itself: changes are honest errors until it is back.
        cluster.servers[victim].again();
        cluster.until_replicated();
    }
    reach(2_000).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let known = workers.join_all().await.concat();
    // The service is back, on every slot.
    for _ in 0..100 {
        let (ticket, record) = session("after");
        create(&store, &ticket, &record).await;
        live(&store, &ticket, now()).await;
    }
    println!(
        "{} steps were acknowledged and {} failed; {} sessions, {} ended",
        acknowledged.load(Ordering::Relaxed),
        failures.load(Ordering::Relaxed),
        known.len(),
        known.iter().filter(|one| one.ended).count()
    );
    Some((known, cluster, store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_36_a_failover_loses_nothing_that_a_replica_acknowledged() {
    let Some((known, cluster, store)) = failover(1).await else {
        return;
    };
    assert_eq!(sessions::lost(&store, &known).await, Vec::<String>::new());
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_36_after_a_failover_without_replicas_asked_service_goes_on_and_losses_are_the_last_moment_s() {
    let Some((known, cluster, store)) = failover(0).await else {
        return;
    };
    let lost = sessions::lost(&store, &known).await;
    println!("the failover lost {} acknowledged changes: {lost:#?}", lost.len());
    assert!(lost.len() < known.len() / 10, "{} of {}", lost.len(), known.len());
    drop(cluster);
}
