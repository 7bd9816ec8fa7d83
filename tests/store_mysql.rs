//! `SqlStore` on MariaDB.
#![cfg(all(feature = "mysql", feature = "test-util"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/sql_servers.rs"]
mod sql_servers;
#[path = "support/sql_suite.rs"]
mod sql_suite;

use std::sync::Arc;

use http_session::store::{Changes, SqlStore, Store as _, conformance};
use sql_servers::{Kind, Raw, Server};
use sql_suite::{LATER, NOW, record, set, ticket};

async fn database() -> Option<(String, Arc<Server>)> {
    let server = Server::shared(Kind::MariaDb)?;
    Some((server.url().await, server))
}

sql_suite::suite!(database);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_pool_does_as_well() {
    let Some((url, _server)) = database().await else { return };
    // Neither the connection's character set nor its isolation must matter.
    let options = sqlx::mysql::MySqlPoolOptions::new().after_connect(|connection, _| {
        Box::pin(async move {
            use sqlx::Executor as _;
            connection
                .execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                .await?;
            connection.execute("SET NAMES latin1").await.map(drop)
        })
    });
    let store = SqlStore::from(options.connect(&url).await.unwrap());
    store.migrate().await.unwrap();
    conformance::check(&store).await.unwrap();
}

/// Counted by the server itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_is_one_round_trip() {
    let Some(server) = Server::new(Kind::MariaDb) else {
        return;
    };
    let url = server.url().await;
    let store = SqlStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let raw = Raw::connect(&url).await;
    // Each count is a statement itself.
    let statements = async || {
        raw.number(
            "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'QUESTIONS'",
        )
        .await
    };
    let (mut with_values, one) = (record(), ticket(1));
    with_values.values = [("a", "1"), ("b", "2"), ("c", "3")].into_iter().collect();
    statements().await;
    let before = statements().await;
    store.create(&one.id, &with_values, None, NOW).await.unwrap();
    assert_eq!(statements().await - before - 1, 4, "create");
    let before = statements().await;
    sql_suite::live(&store, &one).await;
    assert_eq!(statements().await - before - 1, 1, "load");
    let before = statements().await;
    store.apply(&one, &set("a", "2"), NOW).await.unwrap();
    assert_eq!(statements().await - before - 1, 4, "set");
    let before = statements().await;
    store.apply(&one, &Changes::new(NOW, LATER), NOW).await.unwrap();
    assert_eq!(statements().await - before - 1, 1, "refresh");
    let before = statements().await;
    assert!(store.delete(&one, NOW).await.unwrap());
    assert_eq!(statements().await - before - 1, 1, "delete");
}
