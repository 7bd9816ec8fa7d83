//! What the stores' own errors say: each sentence once, and what the data did wrong is no outage.
#![cfg(any(feature = "redis", feature = "sqlite", feature = "postgres", feature = "mysql"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, dead_code)]

#[path = "support/daemon.rs"]
mod daemon;
#[cfg(all(feature = "sqlite", feature = "tracing"))]
#[path = "support/events.rs"]
mod events;
#[cfg(feature = "redis")]
#[path = "support/redis_server.rs"]
mod redis_server;
#[cfg(any(feature = "postgres", feature = "mysql"))]
#[path = "support/sql_servers.rs"]
mod sql_servers;

use std::error::Error as _;

use http_session::{
    Error, SessionId,
    store::{Changes, HashedTicket, Record, SecretHash, Store},
};

const NOW: u64 = 1_700_000_000_000;
const LATER: u64 = NOW + 3_600_000;

/// The whole chain in one line, with each of its sentences found once in it.
#[track_caller]
fn chain(error: &Error) -> String {
    let mut sentences = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        sentences.push(error.to_string());
        source = error.source();
    }
    let whole = sentences.join(": ");
    for sentence in sentences {
        assert_eq!(whole.matches(&sentence).count(), 1, "{whole}");
    }
    whole
}

/// An error of a store that cannot be reached or does not work, and why.
#[track_caller]
fn is_outage(error: &Error, says: &str) {
    let whole = chain(error);
    assert!(matches!(error, Error::Store { .. }) && whole.contains(says), "{whole}");
    assert!(
        !error.to_string().contains(says) && format!("{error:?}").contains(says),
        "{error:?}"
    );
    assert_eq!(error.status(), 503);
}

/// An error of a store that works, about data that it cannot keep.
#[track_caller]
fn is_refusal(error: &Error, says: &str) {
    let whole = chain(error);
    assert!(matches!(error, Error::Value { .. }) && whole.contains(says), "{whole}");
    assert_eq!(error.status(), 422);
}

fn ticket(byte: u8) -> HashedTicket {
    HashedTicket {
        id: SessionId::from_bytes([byte; 32]),
        secret: SecretHash::from_bytes([9; 32]),
    }
}

fn record(byte: u8) -> Record {
    Record::new(ticket(byte).secret, NOW, LATER)
}

fn set(key: &str, json: String) -> Changes {
    let mut changes = Changes::new(NOW, LATER);
    changes.set = vec![(key.to_owned(), json)];
    changes
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
async fn names_that_are_too_long_are_no_outage(store: &impl Store) {
    let long = "k".repeat(2_049);
    let error = store
        .apply(&ticket(1), &set(&long, "1".to_owned()), NOW)
        .await
        .unwrap_err();
    is_refusal(&error, "2,048 bytes");
    assert!(!error.to_string().contains("kkk"), "{error}");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn said_by_sqlite_each_sentence_once() {
    use http_session::store::SqlStore;

    let folder = daemon::Folder::new("texts");
    let missing = SqlStore::connect(&format!("sqlite:{}/none/x.db", folder.path().display())).await;
    let missing = missing.unwrap_err();
    is_outage(&missing, "unable to open database file");
    is_outage(&missing, "none/x.db\" cannot be opened: see that its folder is there");
    let url = format!("sqlite:{}/x.db", folder.path().display());
    let store = SqlStore::connect(&url).await.unwrap();
    is_outage(&store.load(&ticket(1), NOW).await.unwrap_err(), "no such table");
    is_outage(
        &store.load(&ticket(1), NOW).await.unwrap_err(),
        "call `SqlStore::migrate`",
    );
    store.migrate().await.unwrap();
    names_that_are_too_long_are_no_outage(&store).await;
}

/// `must_use` does not see it.
#[cfg(all(feature = "sqlite", feature = "tracing"))]
#[tokio::test]
async fn said_that_a_sweeper_was_dropped_at_once() {
    use std::time::Duration;

    use http_session::store::SqlStore;

    let store = SqlStore::connect("sqlite::memory:").await.unwrap();
    store.migrate().await.unwrap();
    events::listen();
    let _ = store.sweep_every(Duration::from_secs(600)).unwrap();
    let heard = events::heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(
        heard[0].starts_with("WARN") && heard[0].contains("dropped before its first sweep"),
        "{heard:?}"
    );
    // One that has swept goes without a word.
    events::listen();
    let mut one = Record::new(ticket(1).secret, 1, 2);
    one.values = [("a", "1")].into_iter().collect();
    store.create(&ticket(1).id, &one, None, 1).await.unwrap();
    let sweeper = store.sweep_every(Duration::from_secs(600)).unwrap();
    while store.delete_expired(NOW).await.unwrap() > 0 {}
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(sweeper);
    assert_eq!(events::heard(), [""; 0]);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn said_by_redis_each_sentence_once() {
    use http_session::store::RedisStore;

    let url = format!("redis://127.0.0.1:{}", daemon::free_port());
    let connecting = tokio::time::timeout(std::time::Duration::from_secs(5), RedisStore::connect(&url));
    if let Ok(connected) = connecting.await {
        is_outage(&connected.unwrap_err(), "refused");
    }
    let Some(mut server) = redis_server::Server::start(&[]) else {
        return;
    };
    let store = RedisStore::connect(&server.url()).await.unwrap();
    server.kill();
    let error = store.load(&ticket(1), NOW).await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }));
    chain(&error);
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn said_by_postgres_each_sentence_once() {
    use http_session::store::SqlStore;
    use sql_servers::{Kind, Server};

    let nobody = format!("postgres://app@127.0.0.1:{}/app", daemon::free_port());
    is_outage(&SqlStore::connect(&nobody).await.unwrap_err(), "onnection"); // refused, or none in time
    let Some(server) = Server::shared(Kind::Postgres) else {
        return;
    };
    let store = SqlStore::connect(&server.url().await).await.unwrap();
    is_outage(
        &store.load(&ticket(1), NOW).await.unwrap_err(),
        "call `SqlStore::migrate`",
    );
    store.migrate().await.unwrap();
    names_that_are_too_long_are_no_outage(&store).await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn said_by_mysql_each_sentence_once_and_a_large_value_is_no_outage() {
    use http_session::store::SqlStore;
    use sql_servers::{Kind, Raw, Server};

    let nobody = format!("mysql://app@127.0.0.1:{}/app", daemon::free_port());
    is_outage(&SqlStore::connect(&nobody).await.unwrap_err(), "onnection"); // refused, or none in time
    let Some(server) = Server::new(Kind::MariaDb) else {
        return;
    };
    let url = server.url().await;
    Raw::connect(&url)
        .await
        .run("SET GLOBAL max_allowed_packet = 1048576")
        .await;
    let store = SqlStore::connect(&url).await.unwrap();
    is_outage(
        &store.load(&ticket(1), NOW).await.unwrap_err(),
        "call `SqlStore::migrate`",
    );
    store.migrate().await.unwrap();
    names_that_are_too_long_are_no_outage(&store).await;
    store.create(&ticket(1).id, &record(1), None, NOW).await.unwrap();
    for kilobytes in [1_100, 3_000, 20_000] {
        let large = set("large", format!("\"{}\"", "x".repeat(kilobytes * 1_000)));
        let error = store.apply(&ticket(1), &large, NOW).await.unwrap_err();
        is_refusal(&error, "max_allowed_packet");
        let mut record = record(2);
        record.values = large.set.into_iter().collect();
        let error = store.create(&ticket(2).id, &record, None, NOW).await.unwrap_err();
        is_refusal(&error, "max_allowed_packet");
    }
    // The store works.
    store
        .apply(&ticket(1), &set("small", "1".to_owned()), NOW)
        .await
        .unwrap();
}
