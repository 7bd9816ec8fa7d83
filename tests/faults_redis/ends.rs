//! Ends of many sessions: in pages, past what fails, and known to replicas.

use std::time::Duration;

use http_session::{
    Error,
    store::{Epoch, HashedTicket, Loaded, RedisStore, Store, Which},
};
use redis::Value;
use tokio::task::JoinSet;

use crate::{
    daemon, held, key_of,
    redis_server::{Cluster, Server},
    said,
    sessions::{apply, create, live, now, owner, session, set},
    store,
};

/// So many sessions of an owner, the last one with the last login.
async fn owned(store: &RedisStore, name: &'static str, count: usize) -> Vec<HashedTicket> {
    let mut tickets = Vec::with_capacity(count);
    for _ in 0..count.div_ceil(200) {
        let mut logins = JoinSet::new();
        for _ in 0..200.min(count - tickets.len()) {
            let store = store.clone();
            logins.spawn(async move {
                let (ticket, mut record) = session("a");
                record.owner = Some(owner(name));
                create(&store, &ticket, &record).await;
                ticket
            });
        }
        tickets.extend(logins.join_all().await);
    }
    tickets
}

#[tokio::test]
async fn fault_b2_an_owner_with_very_many_sessions_is_logged_out_in_few_round_trips() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let tickets = owned(&store, "alice", 10_000).await;
    let kept = tickets[5_000];
    drop(server.ask(&["CONFIG", "RESETSTAT"]));
    let alice = owner("alice").id;
    assert_eq!(
        store.delete_of(&alice, &Which::AllBut(kept.id), now()).await.unwrap(),
        9_999
    );
    // All of a page at once: they arrive together, and are read from the socket together.
    let info: String = redis::from_redis_value(server.ask(&["INFO", "stats"])).unwrap();
    let reads = info
        .lines()
        .find_map(|line| line.strip_prefix("total_reads_processed:"));
    let reads: u64 = reads.unwrap().parse().unwrap();
    assert!(reads < 2_000, "{reads} reads from sockets");
    assert_eq!(held(&server, &alice), 1);
    assert_eq!(store.sessions_of(&alice, now()).await.unwrap().len(), 1);
    live(&store, &kept, now()).await;
    for ticket in tickets.iter().filter(|ticket| ticket.id != kept.id).step_by(97) {
        assert_eq!(store.load(ticket, now()).await.unwrap(), Loaded::Missing);
    }
}

/// Whatever becomes of the call, what it has done is done, and the last login comes first.
#[tokio::test]
async fn fault_b2_what_is_given_up_half_way_has_ended_the_last_logins() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let tickets = owned(&store, "alice", 2_000).await;
    let alice = owner("alice").id;
    let left = || held(&server, &alice);
    {
        let mut call = Box::pin(store.delete_of(&alice, &Which::All, now()));
        while left() > 1_500 {
            let step = tokio::time::timeout(Duration::from_millis(1), &mut call);
            if step.await.is_ok() {
                break;
            }
        }
    }
    let (first, last) = (tickets[0], tickets[1_999]);
    assert_eq!(
        store.load(&last, now()).await.unwrap(),
        Loaded::Missing,
        "the last login"
    );
    if left() > 0 {
        live(&store, &first, now()).await;
    }
    store.delete_of(&alice, &Which::All, now()).await.unwrap();
    assert_eq!((left(), store.load(&first, now()).await.unwrap()), (0, Loaded::Missing));
}

/// A session that cannot be ended is not in the way of the others.
#[tokio::test]
async fn fault_b3_an_end_goes_past_what_fails_and_reports_it() {
    for server in Server::each(&[]) {
        let store = store(&server).await;
        let tickets = owned(&store, "alice", 5).await;
        let strange = format!("session:{}", tickets[4].id);
        drop(server.ask(&["DEL", &strange]));
        drop(server.ask(&["SET", &strange, "text"]));
        let alice = owner("alice").id;
        for others in [4, 0] {
            let error = store.delete_of(&alice, &Which::All, now()).await.unwrap_err();
            assert!(matches!(error, Error::Store { .. }));
            let said = said(&error);
            assert!(
                said.contains(&format!("ended {others} sessions")) && said.contains("failed at 1"),
                "{said}"
            );
            for ticket in &tickets[..4] {
                assert_eq!(store.load(ticket, now()).await.unwrap(), Loaded::Missing);
            }
        }
        drop(server.ask(&["DEL", &strange]));
        assert_eq!(store.delete_of(&alice, &Which::All, now()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn fault_b3_with_a_replica_down_all_end_and_the_error_comes_last() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let tickets = owned(&store, "alice", 700).await;
    let waits = store.clone().wait_replicas(1, Duration::from_millis(1));
    let alice = owner("alice").id;
    let error = waits.delete_of(&alice, &Which::All, now()).await.unwrap_err();
    assert!(said(&error).contains("0 replicas"), "{}", said(&error));
    for ticket in tickets.iter().step_by(7) {
        assert_eq!(store.load(ticket, now()).await.unwrap(), Loaded::Missing);
    }
    assert_eq!(held(&server, &alice), 0);
    // Replicas are waited for once, not for each session.
    let calls = server.calls();
    let waited = calls.iter().find(|(name, _)| name == "wait").map(|(_, calls)| *calls);
    assert_eq!(waited, Some(1), "{calls:?}");
}

#[tokio::test]
async fn fault_b15_the_end_of_all_sessions_waits_for_replicas() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let (ticket, record) = session("a");
    create(&store, &ticket, &record).await;
    let waits = store.clone().wait_replicas(1, Duration::from_millis(1));
    let epoch = Epoch::before(record.created + 1);
    let error = waits.delete_begun(&epoch).await.unwrap_err();
    assert!(said(&error).contains("0 replicas"), "{}", said(&error));
    assert_eq!(store.load(&ticket, now()).await.unwrap(), Loaded::Missing);

    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", server.port)]).unwrap();
    daemon::until("a replica", || replica.replication().contains("master_link_status:up"));
    let (ticket, record) = session("b");
    create(&store, &ticket, &record).await;
    let waits = store.wait_replicas(1, Duration::from_secs(30));
    let epoch = Epoch::before(record.created + 1);
    assert_eq!(waits.delete_begun(&epoch).await.unwrap(), 1);
    let key = format!("session:{}", ticket.id);
    assert_eq!(replica.ask(&["EXISTS", &key]), Value::Int(0));
}

#[tokio::test]
async fn fault_a9_a_key_of_another_type_does_not_stop_the_end_of_all_sessions() {
    for server in Server::each(&[]) {
        let store = store(&server).await;
        let mut tickets = Vec::new();
        for _ in 0..30 {
            let (ticket, record) = session("a");
            create(&store, &ticket, &record).await;
            tickets.push(ticket);
        }
        let strange = |at: u8| format!("session:{}", format!("{at:02x}").repeat(32));
        drop(server.ask(&["SET", &strange(1), "text"]));
        drop(server.ask(&["RPUSH", &strange(2), "a"]));
        drop(server.ask(&["HSET", &strange(3), "secret", "s", "created", "long ago"]));
        drop(server.ask(&["HSET", &strange(4), "a", "b"]));
        let epoch = Epoch::before(now() + 1);
        assert_eq!(store.delete_begun(&epoch).await.unwrap(), 30);
        for ticket in &tickets {
            assert_eq!(store.load(ticket, now()).await.unwrap(), Loaded::Missing);
        }
        for at in 1..=4 {
            assert_eq!(server.ask(&["EXISTS", &strange(at)]), Value::Int(1));
        }
    }
}

/// A server that is away is not in the way of the sessions on the others.
#[tokio::test]
async fn fault_b3_in_a_cluster_ends_go_past_a_server_that_is_away() {
    let Some(mut cluster) = Cluster::start() else { return };
    let store = RedisStore::cluster(cluster.urls()).await.unwrap();
    let anonymous: Vec<HashedTicket> = {
        let mut tickets = Vec::new();
        for _ in 0..60 {
            let (ticket, record) = session("a");
            create(&store, &ticket, &record).await;
            tickets.push(ticket);
        }
        tickets
    };
    let tickets = owned(&store, "alice", 60).await;
    let alice = owner("alice").id;
    // A primary that does not hold the owner's keys, and its replica.
    let slot = |key: &str| match cluster.servers[0].ask(&["CLUSTER", "KEYSLOT", key]) {
        Value::Int(slot) => slot,
        other => panic!("{other:?}"),
    };
    let shards = |key: &str| slot(key) / 5_462;
    let away = (0..3)
        .find(|&shard| shard != shards(&key_of(&alice)) && shard != shards("session:ends"))
        .unwrap();
    let there: Vec<bool> = [&anonymous[..], &tickets]
        .concat()
        .iter()
        .map(|ticket| shards(&format!("session:{}", ticket.id)) != away)
        .collect();
    let nodes: String = redis::from_redis_value(cluster.servers[0].ask(&["CLUSTER", "NODES"])).unwrap();
    let range = ["0-5460", "5461-10922", "10923-16383"][away as usize];
    let primary = nodes.lines().find(|line| line.ends_with(range)).unwrap();
    let id = primary.split(' ').next().unwrap();
    let ports: Vec<u16> = nodes
        .lines()
        .filter(|line| line.starts_with(id) || line.contains(&format!(" {id} ")))
        .map(|line| {
            let address = line.split(' ').nth(1).unwrap().split('@').next().unwrap();
            address.rsplit(':').next().unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(ports.len(), 2);
    for server in cluster.servers.iter_mut().filter(|server| ports.contains(&server.port)) {
        server.kill();
    }
    let error = store.delete_of(&alice, &Which::All, now()).await.unwrap_err();
    assert!(said(&error).contains("failed at"), "{}", said(&error));
    let left: Vec<bool> = there[60..].to_vec();
    for (ticket, there) in tickets.iter().zip(left) {
        if there {
            assert_eq!(store.load(ticket, now()).await.unwrap(), Loaded::Missing);
        }
    }
    let error = store.delete_begun(&Epoch::before(now() + 1)).await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }));
    for (ticket, there) in anonymous.iter().zip(&there) {
        if *there {
            assert_eq!(store.load(ticket, now()).await.unwrap(), Loaded::Missing);
        }
    }
}

/// On one server a session that began before the end of all sessions, and comes late, is not begun
/// at all.
#[tokio::test]
async fn fault_a6_what_comes_after_the_end_of_all_sessions_and_began_before_is_refused() {
    use http_session::store::{Applied, Created, Field};
    for server in Server::each(&[]) {
        let store = store(&server).await;
        let (known, record) = session("known");
        create(&store, &known, &record).await;
        let epoch = record.created;
        assert_eq!(store.delete_begun(&Epoch::before(epoch)).await.unwrap(), 0);
        let (late, mut record) = session("late");
        record.created = epoch - 1;
        assert_eq!(
            store.create(&late.id, &record, None, now()).await.unwrap(),
            Created::Ended
        );
        record.created = epoch;
        create(&store, &late, &record).await;
        let mut login = set("a", "2");
        login.authenticated = Field::Set(epoch - 1);
        assert_eq!(store.apply(&known, &login, now()).await.unwrap(), Applied::Gone);
        login.authenticated = Field::Set(epoch);
        apply(&store, &known, &login).await;
    }
}
