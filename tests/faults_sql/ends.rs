//! Work over everything: page by page, each with an end, and nothing that is in the way stops the
//! rest.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use http_session::store::{Created, Epoch, Loaded, Login, SqlStore, Store as _, Which};
use tokio::task::JoinSet;

use crate::{
    kinds::{own_servers, servers},
    sql_servers::{Kind, Line, Raw, Server},
    sql_suite::{LATER, NOW, create, live, log_in, open, owner, record, source, ticket},
};

/// Bytes as the server's SQL spells them.
fn bytes(kind: Kind, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match kind {
        Kind::Postgres => format!("'\\x{hex}'::bytea"),
        Kind::MariaDb => format!("X'{hex}'"),
    }
}

/// Sessions by the thousand, faster than one by one.
async fn fill(kind: Kind, raw: &Raw, count: u64, of: Option<&str>) {
    let bytes = |text: &[u8]| bytes(kind, text);
    let owner = of.map_or_else(|| "NULL".to_owned(), |of| bytes(owner(of).id.as_bytes()));
    let name = of.map_or_else(|| "NULL".to_owned(), |_| bytes(b"name"));
    let rows: Vec<String> = (0..count)
        .map(|number| {
            let id = bytes(ticket(number).id.as_bytes());
            let secret = bytes(&[9; 32]);
            format!("({id}, {secret}, {NOW}, {NOW}, {NOW}, {NOW}, {LATER}, {owner}, {name}, 0)")
        })
        .collect();
    for rows in rows.chunks(1_000) {
        raw.run(&format!(
            "INSERT INTO http_sessions (id, secret, created, sent, seen, begun, expires, owner, owner_name, login) VALUES {}",
            rows.join(", ")
        ))
        .await;
    }
}

/// One session that another transaction holds is the only one that is left, and that is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b8_what_is_in_the_way_of_one_is_in_the_way_of_no_other() {
    for (kind, server) in own_servers() {
        let database = server.database().await;
        let url = server.url_at(server.port, &database);
        let raw = Raw::alone(&url).await;
        let wait = match kind {
            Kind::Postgres => format!("ALTER DATABASE {database} SET lock_timeout = '200ms'"),
            Kind::MariaDb => "SET GLOBAL innodb_lock_wait_timeout = 1".to_owned(),
        };
        raw.run(&wait).await;
        let store = open(&url).await;
        for of in [None, Some("ada")] {
            fill(kind, &raw, 1_700, of).await;
            raw.run("BEGIN").await;
            let id = bytes(kind, ticket(7).id.as_bytes());
            raw.run(&format!("UPDATE http_sessions SET seen = seen + 1 WHERE id = {id}"))
                .await;
            let ended = match of {
                None => store.delete_begun(&Epoch::before(NOW + 1)).await,
                Some(of) => store.delete_of(&owner(of).id, &Which::All, NOW).await,
            };
            source(&ended.unwrap_err());
            let others = Raw::alone(&url).await;
            assert_eq!(others.number("SELECT COUNT(*) FROM http_sessions").await, 1, "{of:?}");
            raw.run("ROLLBACK").await;
            let ended = match of {
                None => store.delete_begun(&Epoch::before(NOW + 1)).await,
                Some(of) => store.delete_of(&owner(of).id, &Which::All, NOW).await,
            };
            assert_eq!(ended.unwrap(), 1);
        }
    }
}

/// While everything ends, logins go on; and those that began after it live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b8_logins_go_on_while_everything_ends() {
    for (kind, server) in servers() {
        let url = server.url().await;
        let raw = Raw::alone(&url).await;
        let store = open(&url).await;
        fill(kind, &raw, 20_000, None).await;
        let ends = tokio::spawn({
            let store = store.clone();
            async move {
                store.delete_begun(&Epoch::before(NOW)).await.unwrap()
                    + store.delete_begun(&Epoch::before(NOW + 1)).await.unwrap()
            }
        });
        let (mut longest, mut logins) = (Duration::ZERO, 0);
        while !ends.is_finished() {
            let begun = Instant::now();
            logged_in_later(&store, 100_000 + logins).await;
            longest = longest.max(begun.elapsed());
            logins += 1;
        }
        assert_eq!(ends.await.unwrap(), 20_000);
        assert!(logins > 5, "{logins} logins, one of them took {longest:?}");
        for number in 0..logins {
            assert!(matches!(
                store.load(&ticket(100_000 + number), NOW).await.unwrap(),
                Loaded::Live(_)
            ));
        }
        assert_eq!(store.delete_begun(&Epoch::before(NOW + 1)).await.unwrap(), 0);
    }
}

async fn logged_in_later(store: &SqlStore, number: u64) {
    let mut record = record();
    (record.created, record.authenticated) = (NOW + 5, Some(NOW + 5));
    let of = owner("ada");
    // An end may come in between: then the login begins anew.
    loop {
        let login = Login::new(store.begin_login(&of.id, NOW).await.unwrap().number);
        record.owner = Some(of.clone());
        match store
            .create(&ticket(number).id, &record, Some(&login), NOW)
            .await
            .unwrap()
        {
            Created::Created => return,
            Created::Ended => {}
            other @ Created::Collision => panic!("{other:?}"),
        }
    }
}

/// 16 clients log in without pause; whoever ends all of them leaves none that had begun, and nobody
/// is locked out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b8_an_end_among_logins_leaves_none() {
    for (_, server) in servers() {
        let url = server.url().await;
        let stores = [open(&url).await, open(&url).await];
        let mut clients = JoinSet::new();
        for client in 0..16_u64 {
            let store = stores[client as usize % 2].clone();
            clients.spawn(async move {
                let mut begun_before = Vec::new();
                for at in 0..8 {
                    let ada = owner("ada");
                    let number = client * 100 + at;
                    let mark = store.begin_login(&ada.id, NOW).await.unwrap().number;
                    let mut record = record();
                    record.owner = Some(ada);
                    let created = store
                        .create(&ticket(number).id, &record, Some(&Login::new(mark)), NOW)
                        .await;
                    begun_before.push((number, mark, created.unwrap()));
                }
                begun_before
            });
        }
        let ada = owner("ada");
        for _ in 0..3 {
            stores[0].delete_of(&ada.id, &Which::All, NOW).await.unwrap();
        }
        let last = stores[0].begin_login(&ada.id, NOW).await.unwrap().number;
        for (number, mark, created) in clients.join_all().await.into_iter().flatten() {
            let found = stores[1].load(&ticket(number), NOW).await.unwrap();
            if mark != last {
                assert_eq!(found, Loaded::Missing, "a login that began before the last end");
            } else {
                assert_eq!(created, Created::Created);
                assert!(matches!(found, Loaded::Live(_)));
            }
        }
    }
}

/// What nobody needs any more is forgotten, and what is needed is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b8_owners_without_sessions_are_forgotten() {
    const WEEK: u64 = 7 * 86_400_000;
    for (_, server) in servers() {
        let url = server.url().await;
        let (store, raw) = (open(&url).await, Raw::alone(&url).await);
        let owners = async || raw.number("SELECT COUNT(*) FROM http_session_owners").await;
        let lasting = log_in(&store, 1, "ada").await;
        let mut changes = http_session::store::Changes::new(NOW, NOW + 9 * WEEK);
        changes.sent = Some(NOW);
        store.apply(&lasting, &changes, NOW).await.unwrap();
        let gone = log_in(&store, 2, "bob").await;
        assert!(store.delete(&gone, NOW).await.unwrap());
        store.delete_expired(NOW + WEEK).await.unwrap();
        assert_eq!(owners().await, 2);
        store.delete_expired(NOW + WEEK + 1).await.unwrap();
        assert_eq!(owners().await, 1);
        // The next login is still the last one.
        let ada = owner("ada");
        let mark = store.begin_login(&ada.id, NOW).await.unwrap().number;
        let mut second = record();
        second.owner = Some(ada);
        let login = Login::new(mark).most(1);
        assert_eq!(
            store.create(&ticket(3).id, &second, Some(&login), NOW).await.unwrap(),
            Created::Created
        );
        assert_eq!(store.load(&lasting, NOW).await.unwrap(), Loaded::Missing);
        live(&store, &ticket(3)).await;
    }
}

/// A server that is silent does not hold up a sweep or an epoch for ever, nor the next one.
#[tokio::test]
async fn fault_b10_a_silent_server_ends_a_page() {
    for (_, server) in servers() {
        let database = server.database().await;
        let line = Line::to(server.port);
        let store = open(&server.url_at(line.port, &database)).await;
        create(&store, 1).await;
        line.silent.store(true, SeqCst);
        // Whatever waits now waits for the clock.
        tokio::time::pause();
        let errors = [
            store.delete_expired(NOW).await.unwrap_err(),
            store.delete_begun(&Epoch::before(NOW)).await.unwrap_err(),
            store.delete_of(&owner("ada").id, &Which::All, NOW).await.unwrap_err(),
            store
                .delete_of(&owner("ada").id, &Which::Only(ticket(1).id), NOW)
                .await
                .unwrap_err(),
        ];
        for error in errors {
            source(&error);
        }
        tokio::time::resume();
        line.silent.store(false, SeqCst);
        live(&store, &ticket(1)).await;
        store.delete_expired(NOW).await.unwrap();
    }
}

/// What is kept once for a session comes once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b13_a_label_is_read_once() {
    for (_, server) in servers() {
        let database = server.database().await;
        let line = Line::to(server.port);
        let store = open(&server.url_at(line.port, &database)).await;
        let mut large = record();
        large.label = Some("l".repeat(1_024));
        large.values = (0..1_000).map(|at| (format!("key {at}"), "1")).collect();
        store.create(&ticket(1).id, &large, None, NOW).await.unwrap();
        assert_eq!(live(&store, &ticket(1)).await, large);
        let before = line.bytes.load(SeqCst);
        assert_eq!(live(&store, &ticket(1)).await, large);
        let bytes = line.bytes.load(SeqCst) - before;
        assert!(bytes < 100_000, "{bytes}");
        // And nothing of it for those who have no ticket.
        let mut other = ticket(1);
        other.secret = http_session::store::SecretHash::from_bytes([1; 32]);
        let before = line.bytes.load(SeqCst);
        assert_eq!(store.load(&other, NOW).await.unwrap(), Loaded::Missing);
        let bytes = line.bytes.load(SeqCst) - before;
        assert!(bytes < 3_000, "{bytes}");
    }
}

/// Neither ends nor sweeps read whole tables.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_b14_an_index_knows_that_there_is_nothing() {
    let Some(server) = Server::shared(Kind::Postgres) else {
        return;
    };
    let url = server.url().await;
    open(&url).await;
    let raw = Raw::alone(&url).await;
    fill(Kind::Postgres, &raw, 5_000, Some("ada")).await;
    raw.run("ANALYZE").await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    for (sql, index) in [
        (
            "SELECT begun, id FROM http_sessions WHERE begun >= 0 AND begun <= 5 AND (begun > 0 OR id > '') ORDER BY begun, id LIMIT 500",
            "http_sessions_begun",
        ),
        (
            "SELECT owner FROM http_session_owners WHERE kept_until < 5 ORDER BY kept_until LIMIT 500",
            "http_session_owners",
        ),
        (
            "SELECT login, id FROM http_sessions WHERE owner = '\\x00' AND login <= 5 AND (login < 5 OR id < '\\xff') \
             ORDER BY login DESC, id DESC LIMIT 500",
            "http_sessions_owner",
        ),
    ] {
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN {sql}")))
            .fetch_all(&pool)
            .await
            .unwrap();
        assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}");
    }
}
