//! Servers and databases that are set otherwise than by default.

use http_session::store::{Applied, Created, Loaded, SqlStore, Store as _, conformance};

use crate::{
    sql_servers::{Kind, Raw, Server},
    sql_suite::{NOW, create, live, open, record, set, source, ticket},
};

/// Texts that a server converts, or cannot: in keys, values, labels and owners.
const TEXTS: [&str; 6] = ["5 €", "\u{1f980}", "é", "日本語", "\\u0000 \u{7f}", "\u{10ffff}"];

/// In a database of another encoding, texts come back as they were.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f5_texts_are_bytes_in_a_database_of_any_encoding() {
    let Some(server) = Server::shared(Kind::Postgres) else {
        return;
    };
    let raw = Raw::connect(&server.url_at(server.port, "postgres")).await;
    for encoding in ["LATIN1", "EUC_JP", "SQL_ASCII"] {
        let name = format!("encoded_{}", encoding.to_lowercase());
        raw.run(&format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        ))
        .await;
        let url = server.url_at(server.port, &name);
        texts(&url).await;
        let store = open(&url).await.unprepared();
        conformance::check(&store).await.unwrap();
    }
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f5_texts_are_bytes_in_mariadb() {
    let Some(server) = Server::shared(Kind::MariaDb) else {
        return;
    };
    // The database is in Latin letters.
    texts(&server.url().await).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f5_texts_are_bytes_in_sqlite() {
    let folder = crate::daemon::Folder::new("sqlite-texts");
    let url = format!("sqlite:{}", folder.path().join("a.db").display());
    let raw = Raw::connect(&format!("{url}?mode=rwc")).await;
    raw.run("PRAGMA encoding = 'UTF-16'").await;
    drop(raw);
    texts(&url).await;
}

async fn texts(url: &str) {
    let store = open(url).await;
    conformance::check(&store).await.unwrap();
    for (at, text) in (100..).zip(TEXTS) {
        let mut kept = record();
        kept.values = [(text, format!("\"{text}\""))].into_iter().collect();
        kept.label = Some(text.to_owned());
        let one = ticket(at);
        assert_eq!(store.create(&one.id, &kept, None, NOW).await.unwrap(), Created::Created);
        assert_eq!(live(&store, &one).await, kept);
        let mut changes = set(&format!("{text} 2"), format!("\"{text}\""));
        changes.expected = vec![(text.to_owned(), Some(format!("\"{text}\"")))];
        changes.removed = vec![text.to_owned()];
        assert_eq!(store.apply(&one, &changes, NOW).await.unwrap(), Applied::Updated);
        let found = live(&store, &one).await;
        assert_eq!(
            found.values.iter().next().unwrap(),
            (format!("{text} 2").as_str(), format!("\"{text}\"").as_str())
        );
    }
}

/// The server's own default is that nothing is committed unless it is said.
#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b9_what_is_acknowledged_is_committed() {
    let Some(server) = Server::new(Kind::MariaDb) else {
        return;
    };
    let url = server.url().await;
    let raw = Raw::alone(&url).await;
    let before = open(&url).await;
    raw.run("SET GLOBAL autocommit = 0; SET GLOBAL tx_isolation = 'READ-UNCOMMITTED'; SET GLOBAL sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'").await;
    let store = open(&url).await;
    conformance::check(&store).await.unwrap();
    let one = create(&store, 1).await;
    assert_eq!(live(&before, &one).await, record());
    assert!(store.delete(&one, NOW).await.unwrap());
    for _ in 0..20 {
        assert_eq!(before.load(&one, NOW).await.unwrap(), Loaded::Missing);
        assert_eq!(store.load(&one, NOW).await.unwrap(), Loaded::Missing);
    }
    // A pool of the application's own is refused, whatever is asked of it first.
    let pool = async || SqlStore::from(sqlx::MySqlPool::connect(&url).await.unwrap());
    for error in [
        pool().await.migrate().await.unwrap_err(),
        pool().await.load(&one, NOW).await.unwrap_err(),
        pool().await.create(&one.id, &record(), None, NOW).await.unwrap_err(),
        pool().await.delete(&one, NOW).await.unwrap_err(),
        pool().await.apply(&one, &set("a", "1"), NOW).await.unwrap_err(),
        pool().await.delete_expired(NOW).await.unwrap_err(),
    ] {
        let said = source(&error);
        assert!(said.contains("`autocommit = 1`"), "{said}");
    }
    // As it says, it does.
    let options = sqlx::mysql::MySqlPoolOptions::new().after_connect(|connection, _| {
        Box::pin(async move {
            use sqlx::Executor as _;
            connection.execute("SET autocommit = 1").await.map(drop)
        })
    });
    let store = SqlStore::from(options.connect(&url).await.unwrap());
    store.migrate().await.unwrap();
    conformance::check(&store).await.unwrap();
}

/// A value that is larger than the server takes is no outage, and harms no session.
#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f4_a_value_that_is_too_large_is_not_an_outage() {
    let Some(server) = Server::new(Kind::MariaDb) else {
        return;
    };
    let url = server.url().await;
    Raw::alone(&url)
        .await
        .run("SET GLOBAL max_allowed_packet = 1048576")
        .await;
    let store = open(&url).await;
    let one = create(&store, 1).await;
    for size in [1 << 20, 2 << 20, 20 << 20] {
        let large = format!("\"{}\"", "x".repeat(size));
        let mut changes = set("large", large.clone());
        changes.set.push(("a".to_owned(), "1".to_owned()));
        let error = store.apply(&one, &changes, NOW).await.unwrap_err();
        assert!(
            matches!(&error, http_session::Error::Value { key, .. } if key == "large"),
            "{size}: {error:?}"
        );
        let mut record = record();
        record.values.set("large", large);
        let error = store.create(&ticket(2).id, &record, None, NOW).await.unwrap_err();
        assert!(matches!(error, http_session::Error::Value { .. }), "{size}: {error:?}");
        assert!(live(&store, &one).await.values.is_empty());
    }
    // Many that fit are as many as it takes.
    let mut changes = set("n", "1");
    changes
        .set
        .extend((0..10).map(|at| (format!("key {at}"), format!("\"{}\"", "x".repeat(900_000)))));
    assert_eq!(store.apply(&one, &changes, NOW).await.unwrap(), Applied::Updated);
    assert_eq!(live(&store, &one).await.values.len(), 11);
}
