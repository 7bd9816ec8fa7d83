//! The oldest Redis that the store works with, beside the one that is installed.

use http_session::store::{RedisStore, conformance};

use crate::{
    daemon,
    redis_proxy::Proxy,
    redis_server::Server,
    sessions::{apply, create, live, now, session, set},
    store,
};

#[tokio::test]
async fn fault_f3_the_oldest_redis_passes_the_conformance_suite() {
    let Some(server) = Server::oldest(&[]) else { return };
    let version: String = redis::from_redis_value(server.ask(&["INFO", "server"])).unwrap();
    assert!(version.contains("redis_version:6.2."), "{version}");
    let store = store(&server).await;
    conformance::check(&store).await.unwrap();
    conformance::check_epoch(&store).await.unwrap();
}

/// After a failover behind one address the old connections lead to a replica.
#[tokio::test]
async fn fault_f3_a_failover_behind_one_address_is_noticed_at_once() {
    let (old, new) = (Server::each(&[]), Server::each(&[]));
    for (primary, replica) in old.into_iter().zip(new) {
        let proxy = Proxy::start(primary.port).await;
        let store = RedisStore::connect(&proxy.url()).await.unwrap();
        let (ticket, record) = session("a");
        create(&store, &ticket, &record).await;
        let port = primary.port.to_string();
        drop(replica.ask(&["REPLICAOF", "127.0.0.1", &port]));
        daemon::until("a replica", || replica.replication().contains("master_link_status:up"));
        drop(replica.ask(&["REPLICAOF", "NO", "ONE"]));
        let port = replica.port.to_string();
        drop(primary.ask(&["REPLICAOF", "127.0.0.1", &port]));
        daemon::until("a replica", || primary.replication().contains("master_link_status:up"));
        proxy.lead_to(replica.port);

        apply(&store, &ticket, &set("a", "2")).await;
        assert_eq!(live(&store, &ticket, now()).await.values.get("a"), Some("2"));
        assert!(store_ends(&store, &ticket).await);
    }
}

async fn store_ends(store: &RedisStore, ticket: &http_session::store::HashedTicket) -> bool {
    use http_session::store::Store as _;
    store.delete(ticket, now()).await.unwrap()
}

/// What a server cannot do for the moment, another one behind the same address may do.
#[tokio::test]
async fn fault_f3_each_refusal_that_changed_nothing_is_tried_on_another_connection() {
    for (setting, undone) in [
        (["min-replicas-to-write", "1"], "0"),
        // Of a replica without its primary, to reads.
        (["replica-serve-stale-data", "no"], "yes"),
    ] {
        let (old, new) = (Server::each(&[]), Server::each(&[]));
        for (first, second) in old.into_iter().zip(new) {
            let proxy = Proxy::start(first.port).await;
            let store = RedisStore::connect(&proxy.url()).await.unwrap();
            let (ticket, record) = session("a");
            create(&store, &ticket, &record).await;
            drop(first.ask(&["CONFIG", "SET", setting[0], setting[1]]));
            if undone == "yes" {
                drop(first.ask(&["REPLICAOF", "127.0.0.1", "1"]));
            }
            proxy.lead_to(second.port);
            let (other, record) = session("b");
            create(&store, &other, &record).await;
            live(&store, &other, now()).await;
        }
    }
}

/// A demoted server answers reads, and knows of nothing that happened since.
#[tokio::test]
async fn fault_f3_after_a_failover_behind_one_address_old_answers_soon_end() {
    use http_session::store::{Loaded, Store as _};
    for (primary, replica) in Server::each(&[]).into_iter().zip(Server::each(&[])) {
        let proxy = Proxy::start(primary.port).await;
        let reads = RedisStore::connect(&proxy.url()).await.unwrap();
        let (ticket, record) = session("a");
        create(&reads, &ticket, &record).await;
        let port = primary.port.to_string();
        drop(replica.ask(&["REPLICAOF", "127.0.0.1", &port]));
        daemon::until("a replica", || replica.replication().contains("master_link_status:up"));
        drop(replica.ask(&["REPLICAOF", "NO", "ONE"]));
        // It never hears of its primary.
        drop(primary.ask(&["REPLICAOF", "127.0.0.1", "1"]));
        proxy.lead_to(replica.port);
        let other = store(&replica).await;
        assert!(other.delete(&ticket, now()).await.unwrap());
        // Nobody writes through the old connection.
        let start = std::time::Instant::now();
        while reads.load(&ticket, now()).await.unwrap() != Loaded::Missing {
            assert!(start.elapsed().as_secs() < 10, "logged in still");
            tokio::task::yield_now().await;
        }
    }
}
