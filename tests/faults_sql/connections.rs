//! Connections that are dead or do not write, and callers who lose interest.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use http_session::store::{SqlStore, Store as _};
use tokio::task::JoinSet;

use crate::{
    kinds::{STEPS, own_servers, pool_of, prepare, servers, step},
    sql_servers::{Kind, Raw, Server},
    sql_suite::{NOW, create, live, open, set, source, ticket},
};

/// How the test counts and ends connections.
struct Sql {
    ids: &'static str,
    end: &'static str,
}

fn sql(kind: Kind) -> Sql {
    match kind {
        Kind::Postgres => Sql {
            ids: "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
            end: "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()",
        },
        Kind::MariaDb => Sql {
            ids: "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
            end: "",
        },
    }
}

/// Ends all connections to the database but the asking one, and waits until they are gone.
async fn end_connections(kind: Kind, raw: &Raw) {
    let Sql { ids, end } = sql(kind);
    match kind {
        Kind::Postgres => drop(raw.number(end).await),
        Kind::MariaDb => {
            while raw.number(ids).await > 0 {
                let first = ids.replace("COUNT(*)", "COALESCE(MIN(CAST(id AS SIGNED)), 0)");
                let id = raw.number(&first).await;
                if id > 0 {
                    // It may have ended by itself.
                    raw.try_run(&format!("KILL {id}")).await;
                }
            }
        }
    }
    while raw.number(ids).await > 0 {}
}

/// Each of a pool's connections is ended by the server, and the next step of each kind does its
/// work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f9_a_step_of_each_kind_goes_on_after_connections_were_ended() {
    for (kind, server) in servers() {
        let url = server.url().await;
        let raw = Raw::alone(&url).await;
        open(&url).await;
        for (number, name) in (1..).zip(STEPS) {
            let store = pool_of(&url, 3).await;
            prepare(&store, number).await;
            end_connections(kind, &raw).await;
            if let Err(error) = step(&store, name, number).await {
                panic!("{name}: {}", source(&error));
            }
        }
    }
}

/// A server that died without a word: at most one step of those that cannot be done again fails,
/// however many connections the pool has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f9_one_dead_connection_tells_of_the_others() {
    for (_, server) in own_servers() {
        let url = server.url().await;
        open(&url).await;
        let store = pool_of(&url, 6).await;
        let one = create(&store, 1).await;
        let shorter = {
            let mut changes = set("a", "1");
            changes.may_shorten = true;
            changes
        };
        for name in ["set", "label"] {
            let store = pool_of(&url, 6).await;
            // Statements are known on all connections.
            for _ in 0..12 {
                store.apply(&one, &shorter, NOW).await.unwrap();
            }
            server.kill();
            server.start();
            let mut failed = 0;
            for _ in 0..8 {
                let mut changes = set("a", "2");
                if name == "label" {
                    changes.set.clear();
                    changes.label = http_session::store::Field::Set("a phone".to_owned());
                }
                failed += u32::from(store.apply(&one, &changes, NOW).await.is_err());
            }
            assert!(failed <= 1, "{name}: {failed}");
        }
    }
}

/// A database that did not write when the connections were made, and does now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f4_a_step_of_each_kind_goes_on_after_the_server_was_read_only() {
    for (kind, server) in own_servers() {
        let database = server.database().await;
        let url = server.url_at(server.port, &database);
        let raw = Raw::alone(&url).await;
        let writable = open(&url).await;
        for (number, name) in (1..).zip(STEPS) {
            prepare(&writable, number).await;
            let (on, off) = match kind {
                Kind::Postgres => {
                    let set = |to| format!("ALTER DATABASE {database} SET default_transaction_read_only = {to}");
                    (set("on"), set("off"))
                }
                // Sessions that begin now write nothing.
                Kind::MariaDb => {
                    let set = |to| format!("SET GLOBAL tx_read_only = {to}");
                    (set("ON"), set("OFF"))
                }
            };
            raw.run(&on).await;
            let store = pool_of(&url, 3).await;
            let reads = matches!(name, "load" | "sessions_of");
            if !reads && !matches!(name, "delete_of") {
                source(&step(&store, name, number).await.unwrap_err());
                source(&step(&store, name, number).await.unwrap_err());
            }
            // Again a pool full of connections that began so.
            let store = pool_of(&url, 3).await;
            raw.run(&off).await;
            if let Err(error) = step(&store, name, number).await {
                panic!("{name}: {}", source(&error));
            }
        }
    }
}

/// MariaDB says it of connections that are as they were, and then no more.
#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f4_a_server_that_was_read_only_for_a_while() {
    let Some(server) = Server::new(Kind::MariaDb) else {
        return;
    };
    let database = server.database().await;
    let root = server.url_at(server.port, &database);
    let raw = Raw::alone(&root).await;
    // The superuser may write even so.
    raw.run(&format!("CREATE USER ann; GRANT ALL ON {database}.* TO ann"))
        .await;
    let store = open(&root.replace("root@", "ann@")).await;
    for (number, name) in (1..).zip(STEPS) {
        prepare(&store, number).await;
        raw.run("SET GLOBAL read_only = ON").await;
        if !matches!(name, "load" | "sessions_of" | "delete_of") {
            let said = source(&step(&store, name, number).await.unwrap_err());
            assert!(said.contains("read-only") || said.contains("read_only"), "{said}");
        }
        raw.run("SET GLOBAL read_only = OFF").await;
        step(&store, name, number).await.unwrap();
    }
}

/// Connections of a pool remember statements and tables as they were.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f4_connections_that_remember_another_schema() {
    let Some(server) = Server::shared(Kind::Postgres) else {
        return;
    };
    let url = server.url().await;
    let raw = Raw::alone(&url).await;
    open(&url).await;
    let store = pool_of(&url, 3).await;
    let one = create(&store, 1).await;
    for _ in 0..6 {
        live(&store, &one).await;
    }
    raw.run("ALTER TABLE http_sessions ALTER COLUMN label TYPE TEXT USING NULL")
        .await;
    raw.run("ALTER TABLE http_sessions ALTER COLUMN label TYPE BYTEA USING NULL")
        .await;
    raw.run("ALTER TABLE http_sessions ADD COLUMN more BIGINT").await;
    for _ in 0..6 {
        live(&store, &one).await;
    }
}

/// Callers hang up in the middle of each kind of step, again and again: the pool keeps its
/// connections, and they are as clean as they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b1_callers_who_hang_up_cost_no_connection() {
    for (kind, server) in servers() {
        let url = server.url().await;
        let raw = Raw::alone(&url).await;
        open(&url).await;
        let store = pool_of(&url, 4).await;
        prepare(&store, 1).await;
        // All statements are known on all connections.
        for _ in 0..20 {
            live(&store, &ticket(1)).await;
        }
        let first = first_ids(kind, &raw).await;
        let made_up = ticket(999);
        for round in 0..300_u32 {
            let mut guests = JoinSet::new();
            for at in 0..8_u32 {
                let store = store.clone();
                guests.spawn(async move {
                    let mut left = (round + at) % 9;
                    let mut load = pin!(store.load(&made_up, NOW));
                    poll_fn(|context| {
                        if left == 0 || load.as_mut().poll(context).is_ready() {
                            return Poll::Ready(());
                        }
                        left -= 1;
                        Poll::Pending
                    })
                    .await;
                });
            }
            live(&store, &ticket(1)).await;
            guests.join_all().await;
        }
        assert_eq!(first_ids(kind, &raw).await, first, "the same connections");
    }
}

/// The ids of the connections that there are, as one number.
async fn first_ids(kind: Kind, raw: &Raw) -> i64 {
    let Sql { ids, .. } = sql(kind);
    match kind {
        Kind::Postgres => raw.number(&ids.replace("COUNT(*)", "SUM(pid)::bigint")).await,
        Kind::MariaDb => raw.number(&ids.replace("COUNT(*)", "CAST(SUM(id) AS SIGNED)")).await,
    }
}

/// A transaction whose caller hung up is rolled back and holds no lock, and its connection is used
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b1_a_transaction_that_nobody_waits_for_is_rolled_back() {
    for (kind, server) in servers() {
        let url = server.url().await;
        let raw = Raw::alone(&url).await;
        open(&url).await;
        let store = pool_of(&url, 1).await;
        prepare(&store, 1).await;
        let before = first_ids(kind, &raw).await;
        for polls in 0..40_u32 {
            let mut changes = http_session::store::Changes::new(NOW, NOW + 1);
            changes.removed = vec!["z".to_owned()];
            changes.expected = vec![("a".to_owned(), Some("1".to_owned()))];
            {
                let one = ticket(1);
                let mut apply = pin!(store.apply(&one, &changes, NOW));
                let mut left = polls;
                poll_fn(|context| {
                    if left == 0 || apply.as_mut().poll(context).is_ready() {
                        return Poll::Ready(());
                    }
                    left -= 1;
                    Poll::Pending
                })
                .await;
            }
            // The only connection is back soon.
            let one = ticket(1);
            let found = tokio::time::timeout(Duration::from_secs(3), live(&store, &one)).await;
            assert_eq!(found.unwrap().values.len(), 2);
        }
        if kind == Kind::Postgres {
            assert_eq!(first_ids(kind, &raw).await, before);
        }
    }
}

/// Nothing of a runtime is needed to drop a step.
#[cfg(feature = "postgres")]
#[test]
fn fault_b1_a_step_may_be_dropped_where_no_runtime_is() {
    let Some(server) = Server::shared(Kind::Postgres) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = runtime.block_on(server.url());
    let store: SqlStore = runtime.block_on(async {
        open(&url).await;
        pool_of_lazy(&url)
    });
    let one = ticket(1);
    let mut load = Box::pin(store.load(&one, NOW));
    runtime.block_on(async {
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            assert!(load.as_mut().poll(context).is_pending() || polls > 0);
            Poll::Ready(())
        })
        .await;
    });
    drop(load);
}

#[cfg(feature = "postgres")]
fn pool_of_lazy(url: &str) -> SqlStore {
    SqlStore::from(sqlx::PgPool::connect_lazy(url).unwrap())
}
