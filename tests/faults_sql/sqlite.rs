//! SQLite's URLs and files.

use http_session::{
    Error,
    store::{SqlStore, Store as _, conformance},
};

use crate::{
    daemon::Folder,
    sql_suite::{create, live, open, source},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f14_a_file_name_asks_for_nothing() {
    let folder = Folder::new("sqlite-names");
    for name in [
        "a mode=ro.db",
        "a:memory:.db",
        ":memory:.db",
        "mode=memory.db",
        "immutable=1",
        "cache=shared&mode=ro",
        "a%3Fmode=ro.db",
        "file:a.db",
    ] {
        let url = format!("sqlite:{}/{name}", folder.path().display());
        let store = open(&url).await;
        let one = create(&store, 1).await;
        // Readers and the writer are connections of one file.
        live(&store, &one).await;
        live(&open(&url).await, &one).await;
        let path = folder.path().join(name.replace("%3F", "?"));
        assert!(path.is_file(), "{name}");
        let wal = path.with_file_name(format!("{}-wal", path.file_name().unwrap().to_str().unwrap()));
        assert!(wal.is_file(), "{name} is in WAL mode");
    }
}

/// The path is one, whatever SQLite makes of such names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f14_a_path_is_a_path() {
    let folder = Folder::new("sqlite-paths");
    for name in [":memory:", "file:a.db?mode=memory", "?", "a?mode=ro"] {
        let path = folder.path().join(name);
        let store = SqlStore::sqlite(&path).await.unwrap();
        store.migrate().await.unwrap();
        let one = create(&store, 1).await;
        live(&store, &one).await;
        assert!(path.is_file(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f14_databases_in_memory_are_asked_for_in_two_ways() {
    for url in [
        "sqlite::memory:",
        "sqlite://:memory:",
        "sqlite:any?mode=memory",
        "sqlite://any2?cache=shared&mode=memory",
    ] {
        let store = open(url).await;
        conformance::check(&store).await.unwrap();
        assert!(!std::path::Path::new("any").exists());
    }
}

#[tokio::test]
async fn fault_f14_no_file_is_refused() {
    for url in ["sqlite:", "sqlite://", "sqlite:?mode=rwc", "sqlite://?cache=private"] {
        let error = SqlStore::connect(url).await.unwrap_err();
        assert!(matches!(&error, Error::Config { .. }), "{url}: {error}");
        assert!(error.to_string().contains("path"), "{error}");
    }
    assert!(matches!(SqlStore::sqlite("").await, Err(Error::Config { .. })));
}

#[tokio::test]
async fn fault_f14_a_database_that_cannot_be_written_is_refused() {
    let folder = Folder::new("sqlite-read");
    let path = folder.path().join("sessions.db");
    let url = format!("sqlite:{}", path.display());
    open(&url).await;
    for query in [
        "mode=ro",
        "immutable=1",
        "immutable=true&mode=rw",
        "cache=private&mode=ro",
        "mod%65=r%6f",
    ] {
        let error = SqlStore::connect(&format!("{url}?{query}")).await.unwrap_err();
        assert!(matches!(&error, Error::Config { .. }), "{query}: {error}");
        assert!(error.to_string().contains("reading only"), "{error}");
    }
    // What the application's own pool does not say, its first transaction does.
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .read_only(true);
    let store = SqlStore::from(sqlx::SqlitePool::connect_with(options).await.unwrap());
    assert!(source(&store.migrate().await.unwrap_err()).contains("cannot be written to"));
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .pragma("query_only", "on");
    let store = SqlStore::from(sqlx::SqlitePool::connect_with(options).await.unwrap());
    assert!(source(&store.migrate().await.unwrap_err()).contains("cannot be written to"));
    // It was written all the while.
    store.delete_expired(0).await.unwrap_err();
    open(&format!("{url}?mode=rw")).await;
    assert!(
        SqlStore::connect(&format!("sqlite:{}/none.db?mode=rw", folder.path().display()))
            .await
            .is_err()
    );
}
