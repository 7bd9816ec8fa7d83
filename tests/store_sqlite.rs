//! `SqlStore` on SQLite.
#![cfg(all(feature = "sqlite", feature = "test-util"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/daemon.rs"]
mod daemon;
#[cfg(feature = "tracing")]
#[path = "support/events.rs"]
mod events;
#[path = "support/sql_servers.rs"]
mod sql_servers;
#[path = "support/sql_suite.rs"]
mod sql_suite;

use daemon::Folder;
use http_session::store::{SqlStore, conformance};
use sqlx::{Row as _, SqlitePool};

async fn database() -> Option<(String, Folder)> {
    let folder = Folder::new("sqlite");
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    Some((url, folder))
}

sql_suite::suite!(database);

#[tokio::test]
async fn memory_and_plain_paths_and_pools_do_as_well() {
    let memory = SqlStore::connect("sqlite::memory:").await.unwrap();
    memory.migrate().await.unwrap();
    conformance::check(&memory).await.unwrap();
    assert!(format!("{memory:?}").contains("SQLite"));

    let folder = Folder::new("sqlite");
    // Nothing in a path is special.
    let path = folder.path().join("a%20?b #.db");
    let store = SqlStore::sqlite(&path).await.unwrap();
    store.migrate().await.unwrap();
    assert!(path.is_file());
    let ticket = sql_suite::create(&store, 1).await;

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let same = SqlStore::from(pool);
    sql_suite::live(&same, &ticket).await;
    conformance::check(&same).await.unwrap();
    assert!(SqlStore::sqlite(folder.path().join("none/a.db")).await.is_err());
    for url in ["mssql://a", "/tmp/a.db", "", "redis://a"] {
        let error = SqlStore::connect(url).await.unwrap_err();
        assert!(matches!(error, http_session::Error::Config { .. }), "{url}");
    }
}

/// The journal and what a commit waits for are as promised.
#[tokio::test]
async fn a_file_is_in_wal_mode() {
    let (url, _folder) = database().await.unwrap();
    let store = sql_suite::open(&url).await;
    sql_suite::create(&store, 1).await;
    let pool = SqlitePool::connect(&url).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
}

/// Neither a sweep nor a list of an owner's sessions reads the whole table.
#[tokio::test]
async fn indexes_are_used() {
    let (url, _folder) = database().await.unwrap();
    sql_suite::open(&url).await;
    let pool = SqlitePool::connect(&url).await.unwrap();
    for (sql, index) in [
        (
            "DELETE FROM http_sessions WHERE id IN (SELECT id FROM http_sessions WHERE expires < 5 ORDER BY expires LIMIT 5)",
            "USING COVERING INDEX http_sessions_expires",
        ),
        ("DELETE FROM http_sessions WHERE owner = ?", "http_sessions_owner"),
        (
            "SELECT id, label FROM http_sessions WHERE owner = ? AND expires >= 5",
            "http_sessions_owner",
        ),
        ("DELETE FROM http_session_values WHERE session = ?", "USING PRIMARY KEY"),
    ] {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(&pool)
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}");
        assert!(!plan.iter().any(|line| line.starts_with("SCAN")), "{plan:?}");
    }
}

/// A sweep that fails is an event, and the next one tries again.
#[cfg(feature = "tracing")]
#[tokio::test]
async fn a_failed_sweep_is_seen() {
    use http_session::store::Store as _;

    let store = SqlStore::connect("sqlite::memory:").await.unwrap();
    let raw = sql_suite::ticket(1);
    events::listen();
    let sweeper = store.sweep_every(std::time::Duration::from_millis(1)).unwrap();
    let mut heard = 0;
    while heard < 2 {
        tokio::task::yield_now().await;
        for line in events::warnings() {
            assert!(
                line.starts_with("ERROR") && line.contains("expired sessions could not be deleted"),
                "{line}"
            );
            heard += 1;
        }
    }
    store.migrate().await.unwrap();
    store
        .create(&raw.id, &sql_suite::record(), None, sql_suite::NOW)
        .await
        .unwrap();
    while store.delete(&raw, sql_suite::NOW).await.unwrap() {
        store
            .create(&raw.id, &sql_suite::record(), None, sql_suite::NOW)
            .await
            .unwrap();
    }
    drop(sweeper);
}
