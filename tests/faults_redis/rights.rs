//! Redis users with few rights.

use std::time::Duration;

use http_session::{
    Error,
    store::{RedisStore, conformance},
};

use crate::redis_server::{Cluster, Server};

/// What the documentation of `RedisStore` lists.
const NEEDED: [&str; 18] = [
    "+del",
    "+eval",
    "+evalsha",
    "+exists",
    "+hdel",
    "+hexists",
    "+hget",
    "+hgetall",
    "+hkeys",
    "+hlen",
    "+hmget",
    "+hset",
    "+info",
    "+pexpire",
    "+pexpireat",
    "+ping",
    "+scan",
    "+time",
];

fn user(server: &Server, rights: &[&str]) -> String {
    let mut command = vec!["ACL", "SETUSER", "app", "reset", "on", ">pass"];
    command.extend(rights);
    drop(server.ask(&command));
    format!("redis://app:pass@127.0.0.1:{}", server.port)
}

fn refused(connected: Result<RedisStore, Error>) -> String {
    match connected {
        Err(error @ Error::Config { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn fault_f11_the_rights_that_are_listed_are_enough_for_everything() {
    for server in Server::each(&[]) {
        let mut rights = vec!["~session:*"];
        rights.extend(NEEDED);
        let store = RedisStore::connect(&user(&server, &rights)).await.unwrap();
        conformance::check(&store).await.unwrap();
        conformance::check_epoch(&store).await.unwrap();
        rights.push("+wait");
        let store = RedisStore::connect(&user(&server, &rights)).await.unwrap();
        let store = store.wait_replicas(0, Duration::from_millis(10));
        conformance::check(&store).await.unwrap();
    }
}

#[tokio::test]
async fn fault_f11_each_right_that_is_missing_is_named_when_the_store_connects() {
    for server in Server::each(&[]) {
        for missing in NEEDED {
            let mut rights = vec!["~session:*"];
            rights.extend(NEEDED.iter().filter(|&&right| right != missing));
            let said = refused(RedisStore::connect(&user(&server, &rights)).await);
            let name = missing[1..].to_uppercase();
            assert!(said.contains(&format!("`{name}`")), "without {missing}: {said}");
        }
    }
}

#[tokio::test]
async fn fault_f11_common_sets_of_rights_work_or_are_told_what_is_missing() {
    for server in Server::each(&[]) {
        let url = user(&server, &["~*", "+@all", "-@dangerous"]);
        let said = refused(RedisStore::connect(&url).await);
        assert!(
            said.contains("INFO") && said.contains("connect_evicting") && said.contains("+info"),
            "{said}"
        );
        let store = RedisStore::connect_evicting(&url).await.unwrap();
        conformance::check(&store).await.unwrap();

        let url = user(&server, &["~*", "+@read", "+@write", "+@scripting", "+@connection"]);
        for connected in [
            RedisStore::connect(&url).await,
            RedisStore::connect_evicting(&url).await,
        ] {
            let said = refused(connected);
            assert!(said.contains("TIME") && !said.contains("pass@"), "{said}");
        }
    }
}

#[tokio::test]
async fn fault_f11_in_a_cluster_one_right_more_is_enough() {
    let Some(cluster) = Cluster::start() else { return };
    let mut rights = vec!["~session:*", "+cluster|slots"];
    rights.extend(NEEDED);
    let urls: Vec<String> = cluster.servers.iter().map(|server| user(server, &rights)).collect();
    let store = RedisStore::cluster(urls.clone()).await.unwrap();
    conformance::check(&store).await.unwrap();
    conformance::check_epoch(&store).await.unwrap();
    rights.retain(|right| !["+time", "+hset"].contains(right));
    for server in &cluster.servers {
        user(server, &rights);
    }
    let said = refused(RedisStore::cluster(urls).await);
    assert!(said.contains("TIME") && said.contains("HSET"), "{said}");
}
