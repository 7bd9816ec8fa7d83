//! Each kind of step once, on each server.

use std::sync::Arc;

use http_session::{
    Error,
    store::{Applied, Changes, Created, Field, HashedTicket, Loaded, SecretHash, SqlStore, Store as _, Which},
};

use crate::{
    sql_servers::{Kind, Server},
    sql_suite::{LATER, NOW, log_in, owner, record, set, ticket},
};

const KINDS: &[Kind] = &[
    #[cfg(feature = "postgres")]
    Kind::Postgres,
    #[cfg(feature = "mysql")]
    Kind::MariaDb,
];

/// The servers that are compiled in and installed.
pub(crate) fn servers() -> Vec<(Kind, Arc<Server>)> {
    let found = |&kind: &Kind| Server::shared(kind).map(|server| (kind, server));
    KINDS.iter().filter_map(found).collect()
}

/// The same, and nobody else uses them.
pub(crate) fn own_servers() -> Vec<(Kind, Server)> {
    let found = |&kind: &Kind| Server::new(kind).map(|server| (kind, server));
    KINDS.iter().filter_map(found).collect()
}

/// A store with a pool of so many connections that asks none of them whether it is alive.
pub(crate) async fn pool_of(url: &str, connections: u32) -> SqlStore {
    macro_rules! filled {
        ($options:expr) => {{
            let options = $options.max_connections(connections).test_before_acquire(false);
            let pool = options.connect(url).await.unwrap();
            // All of them at the same time.
            let mut held = Vec::new();
            for _ in 0..connections {
                held.push(pool.acquire().await.unwrap());
            }
            for connection in held {
                // As a drop does, but waited for.
                let mut connection = connection;
                connection.return_to_pool().await;
            }
            assert_eq!(pool.num_idle(), connections as usize);
            SqlStore::from(pool)
        }};
    }
    match url.split(':').next().unwrap() {
        #[cfg(feature = "postgres")]
        "postgres" => filled!(sqlx::postgres::PgPoolOptions::new()),
        #[cfg(feature = "mysql")]
        "mysql" => filled!(sqlx::mysql::MySqlPoolOptions::new()),
        other => panic!("{other}"),
    }
}

/// A step of each kind, and that it does what it should.
pub(crate) const STEPS: [&str; 12] = [
    "load",
    "create",
    "create with values",
    "set",
    "refresh",
    "renew",
    "renew and set",
    "remove",
    "clear",
    "delete",
    "sessions_of",
    "delete_of",
];

/// Prepares session `number` for [`step`].
pub(crate) async fn prepare(store: &SqlStore, number: u64) {
    let mut record = record();
    record.values = [("a", "1"), ("b", "2")].into_iter().collect();
    let created = store.create(&ticket(number).id, &record, None, NOW).await.unwrap();
    assert_eq!(created, Created::Created);
}

pub(crate) async fn step(store: &SqlStore, kind: &str, number: u64) -> Result<(), Error> {
    let one = ticket(number);
    let fresh = ticket(number + 1_000_000);
    let mut changes = Changes::new(NOW, LATER);
    match kind {
        "load" => {
            assert!(matches!(store.load(&one, NOW).await?, Loaded::Live(record) if record.values.len() == 2));
            return Ok(());
        }
        "create" | "create with values" => {
            let mut record = record();
            if kind != "create" {
                record.values = [("a", "1")].into_iter().collect();
            }
            assert_eq!(store.create(&fresh.id, &record, None, NOW).await?, Created::Created);
            assert_eq!(store.load(&fresh, NOW).await?, Loaded::Live(Box::new(record)));
            return Ok(());
        }
        "delete" => {
            assert!(store.delete(&one, NOW).await?);
            assert_eq!(store.load(&one, NOW).await?, Loaded::Missing);
            return Ok(());
        }
        "sessions_of" => {
            store.sessions_of(&owner("ann").id, NOW).await?;
            return Ok(());
        }
        "delete_of" => {
            let theirs = log_in(store, number + 2_000_000, "ann").await;
            assert!(store.delete_of(&owner("ann").id, &Which::All, NOW).await? > 0);
            assert_eq!(store.load(&theirs, NOW).await?, Loaded::Missing);
            return Ok(());
        }
        "sweep" => {
            store.delete_expired(NOW - 1).await?;
            return Ok(());
        }
        "set" => changes = set("a", "3"),
        "refresh" => {}
        "renew" => changes.secret = Some(SecretHash::from_bytes([1; 32])),
        "renew and set" => {
            changes = set("a", "3");
            changes.secret = Some(SecretHash::from_bytes([1; 32]));
            changes.authenticated = Field::Set(NOW);
        }
        "remove" => changes.removed = vec!["b".to_owned()],
        "clear" => changes.cleared = true,
        other => panic!("{other}"),
    }
    assert_eq!(store.apply(&one, &changes, NOW).await?, Applied::Updated, "{kind}");
    let now = HashedTicket {
        secret: changes.secret.unwrap_or(one.secret),
        ..one
    };
    let Loaded::Live(record) = store.load(&now, NOW).await? else {
        panic!("{kind}")
    };
    let values: Vec<_> = record.values.iter().collect();
    let expected: &[(&str, &str)] = match kind {
        "set" | "renew and set" => &[("a", "3"), ("b", "2")],
        "remove" => &[("a", "1")],
        "clear" => &[],
        _ => &[("a", "1"), ("b", "2")],
    };
    assert_eq!(values, expected, "{kind}");
    Ok(())
}
