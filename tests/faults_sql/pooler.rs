//! PostgreSQL behind `PgBouncer`, as Debian has it.

use std::fs;

use http_session::store::{Applied, SqlStore, Store as _, conformance};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;

use crate::{
    daemon::{self, Daemon, Folder},
    kinds::{STEPS, prepare, step},
    sql_servers::{Kind, Raw, Server, as_nobody},
    sql_suite::{NOW, create, live, log_in, owner, set, source},
};

/// A pooler with few connections to the server, for many clients.
struct Pooler {
    port: u16,
    _running: Daemon,
    _folder: Folder,
}

impl Pooler {
    fn before(server: &Server, mode: &str, more: &str) -> Option<Self> {
        let program = daemon::find(&["pgbouncer"])?;
        let folder = Folder::new("pgbouncer");
        let port = daemon::free_port();
        // A session keeps its connection.
        let size = if mode == "session" { 60 } else { 5 };
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = {size}\n\
             max_client_conn = 200\n{more}\n",
            server.port
        );
        fs::write(&file, text).unwrap();
        let mut command = as_nobody(&program, folder.path());
        let running = Daemon::start(command.arg(&file), &folder.path().join("log"));
        daemon::until_listening(port);
        Some(Self {
            port,
            _running: running,
            _folder: folder,
        })
    }
}

/// Requests of many kinds at once, of several programs, on few connections of the server.
async fn works(url: &str) {
    let stores = [connect(url).await, connect(url).await, connect(url).await];
    stores[0].migrate().await.unwrap();
    conformance::check(&stores[1]).await.unwrap();
    let mut requests = JoinSet::new();
    for (at, store) in stores.iter().cycle().take(3 * STEPS.len()).enumerate() {
        let store = store.clone();
        requests.spawn(async move {
            let (number, name) = (10_000 + at as u64, STEPS[at % STEPS.len()]);
            prepare(&store, number).await;
            // Ends of one owner meet each other.
            if name != "delete_of" {
                step(&store, name, number)
                    .await
                    .unwrap_or_else(|error| panic!("{name}: {}", source(&error)));
            }
        });
    }
    requests.join_all().await;
    let one = create(&stores[0], 1).await;
    for store in &stores {
        assert_eq!(
            store.apply(&one, &set("a", "\"5 €\""), NOW).await.unwrap(),
            Applied::Updated
        );
        assert_eq!(live(store, &one).await.values.get("a"), Some("\"5 €\""));
    }
    log_in(&stores[1], 2, "ada").await;
    assert_eq!(stores[2].sessions_of(&owner("ada").id, NOW).await.unwrap().len(), 1);
}

async fn connect(url: &str) -> SqlStore {
    SqlStore::connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f10_pgbouncer_in_transaction_mode_is_noticed() {
    let Some(server) = Server::shared(Kind::Postgres) else {
        return;
    };
    // The one refuses what it does not know at the start of a connection, the other passes over it.
    for (mode, more) in [
        ("transaction", ""),
        ("transaction", "ignore_startup_parameters = extra_float_digits"),
        ("session", "ignore_startup_parameters = extra_float_digits"),
    ] {
        let Some(pooler) = Pooler::before(&server, mode, more) else {
            return;
        };
        let database = server.database().await;
        // As text, bytes come as this database says.
        Raw::connect(&server.url_at(server.port, &database))
            .await
            .run(&format!("ALTER DATABASE {database} SET bytea_output = 'escape'"))
            .await;
        works(&server.url_at(pooler.port, &database)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f10_a_pool_of_the_applications_own_is_told() {
    let Some(server) = Server::shared(Kind::Postgres) else {
        return;
    };
    let more = "ignore_startup_parameters = extra_float_digits";
    let Some(pooler) = Pooler::before(&server, "transaction", more) else {
        return;
    };
    let database = server.database().await;
    let url = server.url_at(pooler.port, &database);
    let options: PgConnectOptions = url.parse().unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .connect_with(options)
        .await
        .unwrap();
    let store = SqlStore::from(pool.clone()).unprepared();
    store.migrate().await.unwrap();
    conformance::check(&store).await.unwrap();
    // With its tables under another name it is so as well.
    let other = store.table_prefix("other_").unwrap();
    other.migrate().await.unwrap();
    conformance::check(&other).await.unwrap();

    // One that was not told says what is wrong, and what to do.
    let store = SqlStore::from(pool);
    let mut requests = JoinSet::new();
    for number in 0..40 {
        let store = store.clone();
        requests.spawn(async move { store.load(&crate::sql_suite::ticket(number), NOW).await.err() });
    }
    let failed: Vec<String> = requests
        .join_all()
        .await
        .into_iter()
        .flatten()
        .map(|error| source(&error))
        .collect();
    assert!(
        failed.iter().any(|said| said.contains("`SqlStore::unprepared`")),
        "{failed:?}"
    );
}

/// A server without a pooler is not taken for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f10_without_a_pooler_statements_are_prepared() {
    let Some(server) = Server::new(Kind::Postgres) else {
        return;
    };
    let store = connect(&server.url().await).await;
    store.migrate().await.unwrap();
    let one = create(&store, 1).await;
    live(&store, &one).await;
    let log = fs::read_to_string(server.log()).unwrap();
    assert!(log.contains("execute sqlx_s_"), "{log}");
    let store = store.unprepared();
    let before = log.matches("execute sqlx_s_").count();
    live(&store, &one).await;
    let log = fs::read_to_string(server.log()).unwrap();
    assert_eq!(log.matches("execute sqlx_s_").count(), before);
}
