//! An owner's keys that have lost a session find it again, and no client's clock takes one out of
//! them.

use http_session::store::{HashedTicket, Loaded, RedisStore, Store, Which};
use redis::Value;

use crate::{
    held, key_of,
    redis_server::{Cluster, Server},
    sessions::{DAY, apply, begin, create, live, now, owner, session, set},
    store,
};

async fn lists(store: &RedisStore, ticket: &HashedTicket) -> bool {
    let listed = store.sessions_of(&owner("alice").id, now()).await.unwrap();
    listed.iter().any(|one| one.id == ticket.id)
}

async fn alices(store: &RedisStore) -> HashedTicket {
    let (ticket, mut record) = session("a");
    record.owner = Some(owner("alice"));
    create(store, &ticket, &record).await;
    ticket
}

/// Loses the session in different ways, and uses it once.
async fn found_again(one: &RedisStore, other: &RedisStore, lose: impl Fn(&HashedTicket, bool)) {
    for whole in [false, true] {
        for by_write in [false, true] {
            for store in [one, other] {
                let ticket = alices(one).await;
                for _ in 0..2 {
                    lose(&ticket, whole);
                    if by_write {
                        apply(store, &ticket, &set("a", "2")).await;
                    } else {
                        live(store, &ticket, now()).await;
                    }
                    assert!(lists(other, &ticket).await, "whole {whole}, by a write {by_write}");
                }
                lose(&ticket, whole);
                live(store, &ticket, now()).await;
                let alice = owner("alice").id;
                assert!(other.delete_of(&alice, &Which::All, now()).await.unwrap() >= 1);
                assert_eq!(one.load(&ticket, now()).await.unwrap(), Loaded::Missing);
            }
        }
    }
}

#[tokio::test]
async fn fault_b11_a_session_that_its_owner_s_keys_lost_is_found_again_when_it_is_used() {
    for server in Server::each(&[]) {
        let (one, other) = (store(&server).await, store(&server).await);
        let key = key_of(&owner("alice").id);
        found_again(&one, &other, |ticket, whole| {
            if whole {
                drop(server.ask(&["DEL", &key]));
            } else {
                drop(server.ask(&["HDEL", &key, &ticket.id.to_string()]));
            }
        })
        .await;
    }
}

#[tokio::test]
async fn fault_b11_in_a_cluster() {
    let Some(cluster) = Cluster::start() else { return };
    let one = RedisStore::cluster(cluster.urls()).await.unwrap();
    let other = RedisStore::cluster(cluster.urls()).await.unwrap();
    let key = key_of(&owner("alice").id);
    found_again(&one, &other, |ticket, whole| {
        let ask = |command: &[&str]| {
            let mut cmd = redis::cmd(command[0]);
            cmd.arg(&command[1..]);
            // Those that do not hold the key say so.
            for at in cluster.primaries() {
                let _ = cmd.query::<Value>(&mut cluster.servers[at].connection());
            }
        };
        if whole {
            ask(&["DEL", &key]);
        } else {
            ask(&["HDEL", &key, &ticket.id.to_string()]);
        }
    })
    .await;
}

#[tokio::test]
async fn fault_b12_a_login_from_a_clock_that_is_days_ahead_takes_no_other_session_out() {
    for server in Server::each(&[]) {
        let store = store(&server).await;
        let ticket = alices(&store).await;
        for ahead in [5 * DAY, 400 * DAY] {
            for most in [None, Some(10)] {
                let (other, mut record) = session("b");
                let at = now() + ahead;
                (record.created, record.seen, record.sent, record.expires) = (at, at, at, at + DAY);
                record.owner = Some(owner("alice"));
                let login =
                    http_session::store::Login::new(store.begin_login(&owner("alice").id, at).await.unwrap().number);
                let login = most.map_or(login, |most| login.most(most));
                store.create(&other.id, &record, Some(&login), at).await.unwrap();
                assert!(lists(&store, &ticket).await, "{ahead} ms ahead, {most:?}");
                assert!(lists(&store, &other).await);
            }
        }
        let alice = owner("alice").id;
        assert_eq!(store.delete_of(&alice, &Which::All, now()).await.unwrap(), 5);
        assert_eq!(store.load(&ticket, now()).await.unwrap(), Loaded::Missing);
    }
}

/// What has ended leaves the owner's keys, so that they do not grow.
#[tokio::test]
async fn an_owner_s_keys_forget_sessions_that_have_ended() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let members = || held(&server, &owner("alice").id);
    for _ in 0..50 {
        let (ticket, mut record) = session("short");
        (record.owner, record.expires) = (Some(owner("alice")), now() + 1);
        begin(&store, &ticket, &record, Some(3)).await.unwrap();
    }
    let ticket = alices(&store).await;
    crate::daemon::until("the end of the short ones", || {
        server.ask(&["EXISTS", &format!("session:{}", ticket.id)]) == Value::Int(1)
            && matches!(server.ask(&["DBSIZE"]), Value::Int(2))
    });
    assert_eq!(store.sessions_of(&owner("alice").id, now()).await.unwrap().len(), 1);
    assert_eq!(members(), 1);
    assert!(store.delete(&ticket, now()).await.unwrap());
    assert_eq!(members(), 0);
}

/// A session that loads in one round trip does so with an owner, too, once this process knows whose
/// it is.
#[tokio::test]
async fn what_a_session_with_an_owner_costs() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let ticket = alices(&store).await;
    apply(&store, &ticket, &set("a", "1")).await;
    let reads = || {
        let info: String = redis::from_redis_value(server.ask(&["INFO", "stats"])).unwrap();
        let reads = info
            .lines()
            .find_map(|line| line.strip_prefix("total_reads_processed:"));
        reads.unwrap().parse::<u64>().unwrap()
    };
    let asking = {
        let before = reads();
        reads() - before
    };
    let before = reads();
    for _ in 0..50 {
        live(&store, &ticket, now()).await;
        apply(&store, &ticket, &set("a", "2")).await;
    }
    let each = reads() - before - asking;
    assert!(each <= 100, "{each} reads from sockets for 100 steps");
}
