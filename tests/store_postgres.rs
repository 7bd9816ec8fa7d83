//! `SqlStore` on PostgreSQL.
#![cfg(all(feature = "postgres", feature = "test-util"))]
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
    let server = Server::shared(Kind::Postgres)?;
    Some((server.url().await, server))
}

sql_suite::suite!(database);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_pool_does_as_well() {
    let Some((url, _server)) = database().await else { return };
    // The application's own default must not matter.
    let name = url.rsplit('/').next().unwrap();
    let raw = Raw::connect(&url).await;
    raw.run(&format!(
        "ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    ))
    .await;
    let store = SqlStore::from(sqlx::PgPool::connect(&url).await.unwrap());
    store.migrate().await.unwrap();
    conformance::check(&store).await.unwrap();
}

/// Counted in the server's own log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_steps_are_one_round_trip() {
    let Some(server) = Server::new(Kind::Postgres) else {
        return;
    };
    let store = SqlStore::connect(&server.url().await).await.unwrap();
    store.migrate().await.unwrap();
    let log = server.log();
    let statements = || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines()
            .filter(|line| line.contains("LOG:  execute ") || line.contains("LOG:  statement: "))
            .count()
    };
    let (mut with_values, one) = (record(), ticket(1));
    with_values.values = [("a", "1"), ("b", "2"), ("c", "3")].into_iter().collect();
    let before = statements();
    store.create(&one.id, &with_values, None, NOW).await.unwrap();
    assert_eq!(statements() - before, 1, "create");
    let before = statements();
    sql_suite::live(&store, &one).await;
    assert_eq!(statements() - before, 1, "load");
    let before = statements();
    store.apply(&one, &set("a", "2"), NOW).await.unwrap();
    assert_eq!(statements() - before, 1, "set");
    let before = statements();
    store.apply(&one, &Changes::new(NOW, LATER), NOW).await.unwrap();
    assert_eq!(statements() - before, 1, "refresh");
    let before = statements();
    let mut removal = set("a", "2");
    removal.removed = vec!["b".to_owned()];
    removal.expected = vec![("a".to_owned(), Some("2".to_owned()))];
    store.apply(&one, &removal, NOW).await.unwrap();
    assert_eq!(statements() - before, 6, "look, remove and set");
    let before = statements();
    assert!(store.delete(&one, NOW).await.unwrap());
    assert_eq!(statements() - before, 1, "delete");
}

/// The engine gives up one of two transactions that wait for each other; the store tries again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_tried_again() {
    let Some((url, _server)) = database().await else { return };
    let store = sql_suite::open(&url).await;
    for number in 1..3 {
        sql_suite::log_in(&store, number, "ann").await;
    }
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let touch = "UPDATE http_sessions SET seen = seen + 1 WHERE id = $1";
    let mut other = pool.begin().await.unwrap();
    sqlx::query(touch)
        .bind(ticket(2).id.as_bytes())
        .execute(&mut *other)
        .await
        .unwrap();
    let ann = sql_suite::owner("ann").id;
    let deletion = tokio::spawn(async move { store.delete_of(&ann, &http_session::store::Which::All, NOW).await });
    // It has deleted the first one and waits for the second.
    let waiting =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() == 0 {}
    let touched = sqlx::query(touch)
        .bind(ticket(1).id.as_bytes())
        .execute(&mut *other)
        .await;
    assert!(
        touched.is_ok(),
        "the store was there first, so it was the store that was given up"
    );
    other.commit().await.unwrap();
    assert_eq!(deletion.await.unwrap().unwrap(), 2);
}
