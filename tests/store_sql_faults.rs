//! `SqlStore` when processes die, servers are gone or silent, and disks are full.
#![cfg(all(
    feature = "test-util",
    any(feature = "sqlite", feature = "postgres", feature = "mysql")
))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/sql_servers.rs"]
mod sql_servers;
#[path = "support/sql_suite.rs"]
mod sql_suite;

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::{
        env,
        io::{BufRead as _, BufReader, Write as _},
        process::{Command, Stdio},
    };

    use http_session::store::{Applied, Created, SqlStore, Store as _};
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

    use crate::{
        daemon::Folder,
        sql_suite::{NOW, create, live, open, record, set, source, ticket},
    };

    const FILE: &str = "HTTP_SESSION_TEST_FILE";

    /// Not a test of its own: the process that is killed.
    #[tokio::test]
    async fn the_writing_child() {
        let Ok(url) = env::var(FILE) else { return };
        let store = open(&url).await;
        for number in 0..10_000_u64 {
            let ticket = create(&store, number % 50 + 100 * (number / 50)).await;
            let mut changes = set("n", number.to_string());
            changes.set.push(("m".to_owned(), number.to_string()));
            assert_eq!(store.apply(&ticket, &changes, NOW).await.unwrap(), Applied::Updated);
            // Acknowledged from here on.
            println!("\nacknowledged {number}");
            std::io::stdout().flush().unwrap();
        }
    }

    #[tokio::test]
    async fn row_33_a_killed_process_loses_nothing_that_was_acknowledged() {
        let folder = Folder::new("sqlite-kill");
        let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "sqlite::the_writing_child", "--nocapture"])
            .env(FILE, &url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut last = None;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut read = |line: std::io::Result<String>| {
            if let Some(number) = line.unwrap_or_default().strip_prefix("acknowledged ") {
                last = number.parse::<u64>().ok();
            }
            last
        };
        while read(lines.next().unwrap()).is_none_or(|number| number < 300) {}
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            read(line);
        }
        let last = last.unwrap();
        let store = open(&url).await;
        for number in 0..=last {
            let values = live(&store, &ticket(number % 50 + 100 * (number / 50))).await.values;
            assert_eq!(values.get("n"), Some(number.to_string().as_str()), "of {last}");
            assert_eq!(values.get("n"), values.get("m"));
        }
    }

    #[tokio::test]
    async fn row_34_a_full_disk_is_an_error_and_harms_no_session() {
        let folder = Folder::new("sqlite-full");
        let path = folder.path().join("sessions.db");
        let roomy = SqlStore::sqlite(&path).await.unwrap();
        roomy.migrate().await.unwrap();
        let ticket = create(&roomy, 1).await;
        roomy.apply(&ticket, &set("a", "1"), NOW).await.unwrap();

        // SQLite says of a file that may not grow what it says of a full disk.
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .pragma("max_page_count", "12");
        let full = SqlStore::from(SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options));
        let mut changes = set("big", format!("\"{}\"", "x".repeat(100_000)));
        changes.set.push(("a".to_owned(), "2".to_owned()));
        let error = full.apply(&ticket, &changes, NOW).await.unwrap_err();
        assert!(source(&error).contains("full"), "{}", source(&error));
        let before = live(&full, &ticket).await;
        assert_eq!(before.values.iter().collect::<Vec<_>>(), [("a", "1")]);
        let mut large = record();
        large.values = before.values.clone();
        large.values.set("big", "x".repeat(100_000));
        let new = crate::sql_suite::ticket(2);
        assert!(full.create(&new.id, &large, None, NOW).await.is_err());
        // A session can be ended even so, and small changes find room.
        full.apply(&ticket, &set("a", "3"), NOW).await.unwrap();

        // Space is made.
        assert_eq!(roomy.apply(&ticket, &changes, NOW).await.unwrap(), Applied::Updated);
        assert_eq!(live(&full, &ticket).await.values.get("a"), Some("2"));
        assert_eq!(
            roomy.create(&new.id, &large, None, NOW).await.unwrap(),
            Created::Created
        );
    }

    #[tokio::test]
    async fn row_34_a_read_only_file_is_an_error_and_harms_no_session() {
        let folder = Folder::new("sqlite-read-only");
        let path = folder.path().join("sessions.db");
        let writable = SqlStore::sqlite(&path).await.unwrap();
        writable.migrate().await.unwrap();
        let ticket = create(&writable, 1).await;
        let url = format!("sqlite:{}?mode=ro", path.display());
        // Refused where the program starts; but a pool of the application's own may be so all the
        // same.
        assert!(matches!(
            SqlStore::connect(&url).await,
            Err(http_session::Error::Config { .. })
        ));
        let only = SqlStore::from(sqlx::SqlitePool::connect(&url).await.unwrap());
        let said = source(&only.migrate().await.unwrap_err());
        assert!(said.contains("cannot be written to"), "{said}");
        let errors = [
            only.apply(&ticket, &set("a", "1"), NOW).await.map(drop),
            only.apply(&ticket, &http_session::store::Changes::new(NOW, NOW), NOW)
                .await
                .map(drop),
            only.create(&crate::sql_suite::ticket(2).id, &record(), None, NOW)
                .await
                .map(drop),
            only.delete(&ticket, NOW).await.map(drop),
        ];
        for error in errors {
            let said = source(&error.unwrap_err());
            assert!(said.contains("readonly"), "{said}");
        }
        assert_eq!(live(&only, &ticket).await, record());
        writable.apply(&ticket, &set("a", "1"), NOW).await.unwrap();
        assert_eq!(live(&only, &ticket).await.values.get("a"), Some("1"));
    }

    /// A writer of another process holds the file: the store waits for it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_locked_file_is_waited_for() {
        let folder = Folder::new("sqlite-locked");
        let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
        let store = open(&url).await;
        let ticket = create(&store, 1).await;
        let other = sqlx::SqlitePool::connect(&url).await.unwrap();
        let held = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
        let writer = tokio::spawn({
            let store = store.clone();
            async move { store.apply(&ticket, &set("a", "1"), NOW).await }
        });
        // Readers do not wait.
        live(&store, &ticket).await;
        assert!(!writer.is_finished());
        held.rollback().await.unwrap();
        assert_eq!(writer.await.unwrap().unwrap(), Applied::Updated);
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod servers {
    use std::{
        net::TcpListener,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::SeqCst},
        },
        time::Duration,
    };

    use http_session::store::{Applied, Loaded, SqlStore, Store as _};
    use tokio::task::JoinSet;

    use crate::{
        daemon,
        sql_servers::{Kind, Line, Server},
        sql_suite::{NOW, create, live, open, set, source, ticket},
    };

    /// Runs it for each engine that is compiled in and installed.
    macro_rules! for_each_server {
        ($($name:ident),+) => { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                #[cfg(feature = "postgres")]
                if let Some(server) = Server::new(Kind::Postgres) {
                    run::$name(server).await;
                }
                #[cfg(feature = "mysql")]
                if let Some(server) = Server::new(Kind::MariaDb) {
                    run::$name(server).await;
                }
            }
        )+ };
    }

    for_each_server!(
        row_33_a_killed_server_loses_nothing_that_was_acknowledged,
        row_37_a_server_that_is_gone_is_an_error_and_the_store_works_when_it_is_back,
        row_37_a_silent_server_keeps_no_place_in_the_pool
    );

    mod run {
        use super::*;

        const SESSIONS: u64 = 20;

        pub(super) async fn row_33_a_killed_server_loses_nothing_that_was_acknowledged(server: Server) {
            let store = open(&server.url().await).await;
            for number in 0..SESSIONS {
                create(&store, number).await;
            }
            let acknowledged = Arc::new(AtomicU64::new(0));
            let mut writers = JoinSet::new();
            for number in 0..SESSIONS {
                let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
                writers.spawn(async move {
                    let mut last = 0;
                    // Until the server is killed.
                    for next in 1..=1_000_000_u64 {
                        let mut changes = set("n", next.to_string());
                        changes.set.push(("m".to_owned(), next.to_string()));
                        // Some are one statement and some a transaction of several.
                        if next % 2 == 0 {
                            changes.removed = vec!["none".to_owned()];
                        }
                        match store.apply(&ticket(number), &changes, NOW).await {
                            Ok(Applied::Updated) => last = next,
                            Ok(other) => panic!("{other:?}"),
                            Err(_) => break,
                        }
                        acknowledged.fetch_add(1, SeqCst);
                    }
                    (number, last)
                });
            }
            while acknowledged.load(SeqCst) < 1_000 {
                tokio::task::yield_now().await;
            }
            server.kill();
            let last = writers.join_all().await;
            server.start();
            for (number, last) in last {
                let values = live(&store, &ticket(number)).await.values;
                assert_eq!(values.get("n"), values.get("m"), "never a half");
                let kept = values.get("n").map_or(0, |text| text.parse::<u64>().unwrap());
                assert!(kept == last || kept == last + 1, "{kept} of {last}");
            }
        }

        pub(super) async fn row_37_a_server_that_is_gone_is_an_error_and_the_store_works_when_it_is_back(
            server: Server,
        ) {
            let url = server.url().await;
            let store = open(&url).await;
            let one = create(&store, 1).await;
            store.apply(&one, &set("a", "1"), NOW).await.unwrap();
            server.kill();
            // sqlx tries to connect for as long as it is let.
            let changes = set("a", "2");
            let (loaded, applied) = tokio::join!(store.load(&one, NOW), store.apply(&one, &changes, NOW));
            source(&loaded.unwrap_err());
            source(&applied.unwrap_err());
            server.start();
            assert_eq!(live(&store, &one).await.values.get("a"), Some("1"));
            // Every connection of the pool at once, none of them an old one.
            let mut all = JoinSet::new();
            for _ in 0..30 {
                let store = store.clone();
                all.spawn(async move { store.apply(&one, &set("a", "3"), NOW).await.unwrap() });
            }
            assert_eq!(all.join_all().await, [Applied::Updated; 30]);
            // A restart that the store does not hear of until it reads.
            server.kill();
            server.start();
            assert_eq!(live(&store, &one).await.values.get("a"), Some("3"));
        }

        /// The layer gives up waiting and drops the future.
        pub(super) async fn row_37_a_silent_server_keeps_no_place_in_the_pool(server: Server) {
            let database = server.database().await;
            let line = Line::to(server.port);
            let store = open(&server.url_at(line.port, &database)).await;
            let one = create(&store, 1).await;
            store.apply(&one, &set("a", "1"), NOW).await.unwrap();
            line.silent.store(true, SeqCst);
            let mut steps = JoinSet::new();
            for at in 0..30 {
                let store = store.clone();
                steps.spawn(async move {
                    let mut changes = set("a", "2");
                    changes.cleared = at % 2 == 0;
                    let step = store.apply(&one, &changes, NOW);
                    tokio::time::timeout(Duration::from_millis(200), step).await.is_err()
                });
            }
            assert_eq!(steps.join_all().await, [true; 30]);
            line.silent.store(false, SeqCst);
            let record = live(&store, &one).await;
            assert_eq!(record.values.get("a"), Some("1"));
            assert_eq!(store.apply(&one, &set("a", "3"), NOW).await.unwrap(), Applied::Updated);
            assert_eq!(
                open(&server.url_at(server.port, &database))
                    .await
                    .load(&one, NOW)
                    .await
                    .unwrap(),
                { Loaded::Live(Box::new(live(&store, &one).await)) }
            );
        }
    }

    /// Nobody answers from the first connection on.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn row_37_a_server_that_never_answers_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let patience = Duration::from_millis(100);
        #[cfg(feature = "postgres")]
        {
            let url = format!("postgres://postgres@127.0.0.1:{port}/none");
            let options = sqlx::postgres::PgPoolOptions::new().acquire_timeout(patience);
            let store = SqlStore::from(options.connect_lazy(&url).unwrap());
            source(&store.load(&ticket(1), NOW).await.unwrap_err());
            source(&store.apply(&ticket(1), &set("a", "1"), NOW).await.unwrap_err());
        }
        #[cfg(feature = "mysql")]
        {
            let url = format!("mysql://root@127.0.0.1:{port}/none");
            let options = sqlx::mysql::MySqlPoolOptions::new().acquire_timeout(patience);
            let store = SqlStore::from(options.connect_lazy(&url).unwrap());
            source(&store.load(&ticket(1), NOW).await.unwrap_err());
            source(&store.apply(&ticket(1), &set("a", "1"), NOW).await.unwrap_err());
        }
        drop(listener);
        // And one that is not there at all.
        let nobody = daemon::free_port();
        #[cfg(feature = "postgres")]
        source(
            &SqlStore::connect(&format!("postgres://postgres@127.0.0.1:{nobody}/none"))
                .await
                .unwrap_err(),
        );
        #[cfg(feature = "mysql")]
        source(
            &SqlStore::connect(&format!("mysql://root@127.0.0.1:{nobody}/none"))
                .await
                .unwrap_err(),
        );
    }
}
