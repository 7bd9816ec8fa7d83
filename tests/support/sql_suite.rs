//! What must hold on every engine. Each function has a database of its own.
#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic
)]

use std::{
    error::Error as _,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use http_session::{
    Error, SessionId,
    store::{
        Applied, Changes, Created, HashedTicket, Loaded, Login, Owner, OwnerId, Record, SecretHash, SqlStore,
        Store as _, Which, conformance,
    },
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::sql_servers::Raw;

pub const NOW: u64 = 1_700_000_000_000;
pub const LATER: u64 = NOW + 3_600_000;

pub fn ticket(number: u64) -> HashedTicket {
    let mut id = [7; 32];
    // In another order than the numbers, as hashes are.
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    HashedTicket {
        id: SessionId::from_bytes(id),
        secret: SecretHash::from_bytes([9; 32]),
    }
}

pub fn record() -> Record {
    Record::new(ticket(0).secret, NOW, LATER)
}

/// An owner of this name, which a layer would have sealed.
pub fn owner(name: &str) -> Owner {
    let mut id = [5; 32];
    for (at, byte) in name.bytes().enumerate() {
        id[at % 32] ^= byte.wrapping_add(at as u8);
    }
    Owner::new(OwnerId::from_bytes(id), name)
}

/// Logs in: a new session of this owner.
pub async fn log_in(store: &SqlStore, number: u64, of: &str) -> HashedTicket {
    let (ticket, of) = (ticket(number), owner(of));
    let mut record = record();
    let login = Login::new(store.begin_login(&of.id, NOW).await.unwrap().number);
    (record.owner, record.authenticated) = (Some(of), Some(NOW));
    let created = store.create(&ticket.id, &record, Some(&login), NOW).await.unwrap();
    assert_eq!(created, Created::Created);
    ticket
}

pub fn set(key: &str, json: impl Into<String>) -> Changes {
    let mut changes = Changes::new(NOW, LATER);
    changes.set = vec![(key.to_owned(), json.into())];
    changes
}

pub async fn open(url: &str) -> SqlStore {
    let store = SqlStore::connect(url).await.unwrap();
    store.migrate().await.unwrap();
    store
}

pub async fn create(store: &SqlStore, number: u64) -> HashedTicket {
    let ticket = ticket(number);
    assert_eq!(
        store.create(&ticket.id, &record(), None, NOW).await.unwrap(),
        Created::Created
    );
    ticket
}

pub async fn live(store: &SqlStore, ticket: &HashedTicket) -> Record {
    match store.load(ticket, NOW).await {
        Ok(Loaded::Live(record)) => *record,
        Ok(other) => panic!("{other:?}"),
        Err(error) => panic!("{error}: {:?}", error.source()),
    }
}

pub fn source(error: &Error) -> String {
    assert!(matches!(error, Error::Store { .. }), "{error}");
    error.source().unwrap().to_string()
}

pub async fn conforms(url: &str) {
    let store = open(url).await;
    conformance::check(&store).await.unwrap();
}

pub async fn conforms_by_epoch(url: &str) {
    let store = open(url).await;
    conformance::check_epoch(&store).await.unwrap();
}

/// Many processes start at once, and again later.
pub async fn migrates_at_once(url: &str) {
    for prefix in ["http_", "a_", "b_", "c_", "d_"] {
        let mut starts = JoinSet::new();
        let together = Arc::new(Barrier::new(8));
        for _ in 0..8 {
            let store = SqlStore::connect(url).await.unwrap().table_prefix(prefix).unwrap();
            let together = Arc::clone(&together);
            starts.spawn(async move {
                // Connected, all of them.
                assert!(store.schema_version().await.is_err());
                together.wait().await;
                store.migrate().await.unwrap();
                store.migrate().await.unwrap();
                store.schema_version().await.unwrap()
            });
        }
        assert_eq!(starts.join_all().await, [1; 8]);
    }
    let raw = Raw::connect(url).await;
    assert_eq!(raw.number("SELECT COUNT(*) FROM http_session_schema").await, 1);
    let store = open(url).await;
    let ticket = create(&store, 1).await;
    store.migrate().await.unwrap();
    assert_eq!(live(&store, &ticket).await, record(), "what was there stays");
}

pub async fn says_that_tables_are_missing(url: &str) {
    let store = SqlStore::connect(url).await.unwrap();
    let ticket = ticket(1);
    let errors = [
        store.load(&ticket, NOW).await.unwrap_err(),
        store.create(&ticket.id, &record(), None, NOW).await.unwrap_err(),
        store.apply(&ticket, &set("a", "1"), NOW).await.unwrap_err(),
        store.apply(&ticket, &Changes::new(NOW, LATER), NOW).await.unwrap_err(),
        store.delete_expired(NOW).await.unwrap_err(),
        store.schema_version().await.unwrap_err(),
    ];
    for error in errors {
        let said = source(&error);
        assert!(said.contains("`SqlStore::migrate`"), "{said}");
    }
    store.migrate().await.unwrap();
    assert_eq!(store.load(&ticket, NOW).await.unwrap(), Loaded::Missing);
}

/// The printed SQL makes a store that passes, may be run twice, and is known to `migrate`.
pub async fn passes_on_the_printed_schema(url: &str) {
    let store = SqlStore::connect(url).await.unwrap().table_prefix("mine_").unwrap();
    let raw = Raw::connect(url).await;
    raw.run(&store.schema()).await;
    raw.run(&store.schema()).await;
    assert_eq!(store.schema_version().await.unwrap(), 1);
    store.migrate().await.unwrap();
    conformance::check(&store).await.unwrap();
    assert_eq!(raw.number("SELECT COUNT(*) FROM mine_session_schema").await, 1);
    for bad in ["a-b", "A", "a b", "1a", "a;", "é", &"a".repeat(33)] {
        assert!(
            matches!(store.clone().table_prefix(bad), Err(Error::Config { .. })),
            "{bad}"
        );
    }
}

pub async fn deletes_leave_nothing_behind(url: &str) {
    let store = open(url).await;
    let raw = Raw::connect(url).await;
    let count = async || raw.number("SELECT COUNT(*) FROM http_session_values").await;
    let mut with_values = record();
    with_values.values = [("a", "1"), ("b", "2")].into_iter().collect();
    with_values.owner = Some(owner("ann"));
    for (at, ticket) in (0_i64..).zip((0..5).map(ticket)) {
        assert_eq!(count().await, 2 * at);
        store.create(&ticket.id, &with_values, None, NOW).await.unwrap();
    }
    assert_eq!(count().await, 10);
    assert!(store.delete(&ticket(0), NOW).await.unwrap());
    assert_eq!(count().await, 8);
    assert_eq!(
        store
            .delete_of(&owner("ann").id, &Which::Only(ticket(1).id), NOW)
            .await
            .unwrap(),
        1
    );
    assert_eq!(count().await, 6);
    // An expired one makes room for a new one of the same id, with all it had.
    let mut other = record();
    other.expires = LATER + 10;
    assert_eq!(
        store.create(&ticket(2).id, &other, None, LATER + 1).await.unwrap(),
        Created::Created
    );
    assert_eq!(count().await, 4);
    assert_eq!(store.delete_expired(LATER + 1).await.unwrap(), 2);
    assert_eq!(count().await, 0);
    assert_eq!(raw.number("SELECT COUNT(*) FROM http_sessions").await, 1);
}

/// More than one batch.
pub async fn sweeps_in_batches(url: &str) {
    let store = open(url).await;
    for number in 0..1_203 {
        create(&store, number).await;
    }
    let mut longer = record();
    longer.expires = LATER + 1;
    let kept = ticket(5_000);
    store.create(&kept.id, &longer, None, NOW).await.unwrap();
    assert_eq!(store.delete_expired(LATER).await.unwrap(), 0);
    assert_eq!(store.delete_expired(LATER + 1).await.unwrap(), 1_203);
    assert!(matches!(store.load(&kept, LATER + 1).await.unwrap(), Loaded::Live(_)));
}

pub async fn sweeper_works_until_it_is_dropped(url: &str) {
    let store = open(url).await;
    let raw = Raw::connect(url).await;
    create(&store, 1).await; // long over
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    let mut lasting = record();
    lasting.expires = now + 3_600_000;
    store.create(&ticket(2).id, &lasting, None, NOW).await.unwrap();
    let sweeper = store.sweep_every(Duration::from_millis(5)).unwrap();
    let count = async || raw.number("SELECT COUNT(*) FROM http_sessions").await;
    while count().await != 1 {}
    create(&store, 3).await;
    while count().await != 1 {} // not only once
    drop(sweeper);
    // Another sweeper of the same period tells the time.
    let other = store.clone().table_prefix("other_").unwrap();
    other.migrate().await.unwrap();
    let _ticks = other.sweep_every(Duration::from_millis(5)).unwrap();
    for tick in 0..6 {
        if tick == 2 {
            create(&store, 4).await;
        }
        create(&other, 1).await;
        while raw.number("SELECT COUNT(*) FROM other_sessions").await != 0 {}
    }
    assert_eq!(count().await, 2, "nobody swept any more");
    assert!(matches!(store.sweep_every(Duration::ZERO), Err(Error::Config { .. })));
    let elsewhere = std::thread::spawn(move || store.sweep_every(Duration::from_secs(1)).map(drop));
    assert!(
        matches!(elsewhere.join().unwrap(), Err(Error::Config { .. })),
        "no runtime there"
    );
}

/// 200 requests of one session at once, each with a key of its own, through two stores as of two processes.
pub async fn row_36_concurrent_writers_all_win(url: &str) {
    let stores = [open(url).await, open(url).await];
    let ticket = create(&stores[0], 1).await;
    let mut writers = JoinSet::new();
    for at in 0..200_usize {
        let store = stores[at % 2].clone();
        writers.spawn(async move {
            let mut changes = set(&format!("key {at}"), at.to_string());
            // Some take the longer way.
            if at % 3 == 0 {
                changes.removed = vec![format!("none {at}")];
            }
            store.apply(&ticket, &changes, NOW).await.unwrap()
        });
    }
    assert!(writers.join_all().await.iter().all(|done| *done == Applied::Updated));
    let values = live(&stores[1], &ticket).await.values;
    assert_eq!(values.len(), 200);
    assert!((0..200).all(|at| values.get(&format!("key {at}")) == Some(&at.to_string())));
}

/// Compare-and-set from several stores at once counts right.
pub async fn row_36_increments_of_two_processes_lose_nothing(url: &str) {
    let stores = [open(url).await, open(url).await];
    let ticket = create(&stores[0], 1).await;
    let mut counters = JoinSet::new();
    for at in 0..6_usize {
        let store = stores[at % 2].clone();
        counters.spawn(async move {
            for _ in 0..20 {
                loop {
                    let old = live(&store, &ticket).await.values.get("n").map(str::to_owned);
                    let next = old.as_deref().map_or(0, |old| old.parse::<u32>().unwrap()) + 1;
                    let mut changes = set("n", next.to_string());
                    changes.expected = vec![("n".to_owned(), old)];
                    match store.apply(&ticket, &changes, NOW).await.unwrap() {
                        Applied::Updated => break,
                        Applied::Conflict => {}
                        Applied::Gone => panic!("gone"),
                    }
                }
            }
        });
    }
    counters.join_all().await;
    assert_eq!(live(&stores[0], &ticket).await.values.get("n"), Some("120"));
}

/// A `clear` at the same time as writes: what was set before it is gone, what was set after it is there; here each writer sets two
/// keys, and they are always there together or not at all.
pub async fn row_36_clear_and_set_are_one_after_the_other(url: &str) {
    let store = open(url).await;
    for round in 0..15 {
        let ticket = create(&store, round).await;
        let mut writers = JoinSet::new();
        for at in 0..12 {
            let store = store.clone();
            writers.spawn(async move {
                let mut changes = Changes::new(NOW, LATER);
                if at % 4 == 3 {
                    changes.cleared = true;
                } else {
                    changes.set = ["a", "b"].map(|key| (key.to_owned(), at.to_string())).into();
                    if at % 4 == 2 {
                        changes.removed = vec!["c".to_owned()];
                    } else {
                        changes.set.push(("c".to_owned(), at.to_string()));
                    }
                }
                store.apply(&ticket, &changes, NOW).await.unwrap();
            });
        }
        writers.join_all().await;
        let values = live(&store, &ticket).await.values;
        assert_eq!(values.get("a"), values.get("b"));
        match values.get("c") {
            Some(last) => assert_eq!(values.get("a"), Some(last)),
            // The last one of all that did not clear has removed it.
            None => assert!(values.get("a").is_none_or(|last| last.parse::<u32>().unwrap() % 4 == 2)),
        }
    }
}

pub async fn row_7_create_never_overwrites_a_live_session(url: &str) {
    let store = open(url).await;
    for round in 0..20 {
        let id = ticket(round).id;
        let mut creators = JoinSet::new();
        for at in 0..5 {
            let store = store.clone();
            creators.spawn(async move {
                let mut mine = record();
                mine.values = [("of".to_owned(), at.to_string())].into_iter().collect();
                (at, store.create(&id, &mine, None, NOW).await.unwrap())
            });
        }
        let done = creators.join_all().await;
        let first: Vec<u32> = done
            .iter()
            .filter(|(_, done)| *done == Created::Created)
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(first.len(), 1, "{done:?}");
        let values = live(&store, &ticket(round)).await.values;
        assert_eq!(values.get("of"), Some(first[0].to_string().as_str()));
        assert_eq!(values.len(), 1);
    }
}

pub async fn row_4_nothing_brings_a_dead_session_back(url: &str) {
    let store = open(url).await;
    for round in 0..20 {
        let ticket = create(&store, round).await;
        let mut requests = JoinSet::new();
        for at in 0..4_u32 {
            let store = store.clone();
            requests.spawn(async move {
                if at == 1 {
                    assert!(store.delete(&ticket, NOW).await.unwrap());
                } else {
                    store.apply(&ticket, &set("a", "1"), NOW).await.unwrap();
                }
            });
        }
        requests.join_all().await;
        assert_eq!(store.load(&ticket, NOW).await.unwrap(), Loaded::Missing);
        assert_eq!(store.apply(&ticket, &set("a", "1"), NOW).await.unwrap(), Applied::Gone);
    }
    let raw = Raw::connect(url).await;
    assert_eq!(raw.number("SELECT COUNT(*) FROM http_session_values").await, 0);
}

pub async fn large_sessions_come_back_whole(url: &str) {
    let store = open(url).await;
    let ticket = create(&store, 1).await;
    let big = format!("\"{}\"", "é\u{1f980}".repeat(1 << 18)); // 1.5 MB
    let mut changes = Changes::new(NOW, LATER);
    changes.set = (0..1_203).map(|at| (format!("key {at}"), format!("[{at}]"))).collect();
    changes
        .set
        .extend(["x", "y", "z"].map(|key| (key.to_owned(), big.clone())));
    assert_eq!(store.apply(&ticket, &changes, NOW).await.unwrap(), Applied::Updated);
    let values = live(&store, &ticket).await.values;
    assert_eq!(values.len(), 1_206);
    assert!(changes.set.iter().all(|(key, json)| values.get(key) == Some(json)));
    // All of it looked at, and all but one key removed.
    let mut changes = Changes::new(NOW, LATER);
    changes.expected = values
        .iter()
        .map(|(key, json)| (key.to_owned(), Some(json.to_owned())))
        .collect();
    changes.removed = values
        .iter()
        .map(|(key, _)| key.to_owned())
        .filter(|key| key != "key 7")
        .collect();
    assert_eq!(store.apply(&ticket, &changes, NOW).await.unwrap(), Applied::Updated);
    assert_eq!(store.apply(&ticket, &changes, NOW).await.unwrap(), Applied::Conflict);
    assert_eq!(
        live(&store, &ticket).await.values.iter().collect::<Vec<_>>(),
        [("key 7", "[7]")]
    );
    let mut whole = record();
    whole.values = values;
    assert_eq!(
        store.create(&self::ticket(2).id, &whole, None, NOW).await.unwrap(),
        Created::Created
    );
    assert_eq!(live(&store, &self::ticket(2)).await, whole);
}

pub async fn names_have_an_end(url: &str) {
    let store = open(url).await;
    let ticket = create(&store, 1).await;
    let longest = "\u{fffd}".repeat(682) + "zz"; // what no compression makes shorter would do as well
    let changes = set(&longest, "1");
    assert_eq!(store.apply(&ticket, &changes, NOW).await.unwrap(), Applied::Updated);
    assert_eq!(live(&store, &ticket).await.values.get(&longest), Some("1"));
    let random: String = (0..2_048_u32)
        .map(|at| char::from(33 + (at.wrapping_mul(2_654_435_761) >> 16) as u8 % 90))
        .collect();
    let mut changes = set(&random, "2");
    // As long as an owner's sealed name and a label get.
    changes.owner = http_session::store::Field::Set(Owner::new(owner("ann").id, &random[..1_404]));
    changes.label = http_session::store::Field::Set("\u{fffd}".repeat(341));
    assert_eq!(store.apply(&ticket, &changes, NOW).await.unwrap(), Applied::Updated);
    let found = live(&store, &ticket).await;
    assert_eq!(found.owner.unwrap().name, random[..1_404]);
    assert_eq!(found.label.unwrap().len(), 1_023);
    let too_long = longest + "z";
    let error = store.apply(&ticket, &set(&too_long, "1"), NOW).await.unwrap_err();
    assert!(
        matches!(&error, Error::Value { .. }) && error.to_string().contains("2,048"),
        "{error}"
    );
}

/// A future that is dropped after so many polls leaves a whole step or none, and whoever has the connection next is not in its
/// transaction.
pub async fn dropped_steps_harm_nobody(url: &str) {
    let (store, witness) = (open(url).await, open(url).await);
    let ticket = create(&store, 1).await;
    for polls in 0..60_u32 {
        let mut changes = set("a", polls.to_string());
        changes.set.push(("b".to_owned(), polls.to_string()));
        changes.removed = vec!["c".to_owned()];
        {
            let mut apply = pin!(store.apply(&ticket, &changes, NOW));
            let mut left = polls % 20;
            poll_fn(|context| {
                if left == 0 || apply.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                left -= 1;
                Poll::Pending
            })
            .await;
        }
        // Acknowledged, so everybody sees it.
        let renewal = Changes::new(NOW + u64::from(polls) + 1, LATER);
        assert_eq!(store.apply(&ticket, &renewal, NOW).await.unwrap(), Applied::Updated);
        let seen = live(&witness, &ticket).await;
        assert_eq!(seen.seen, NOW + u64::from(polls) + 1);
        assert_eq!(seen.values.get("a"), seen.values.get("b"));
    }
}

macro_rules! suite {
    ($database:path) => {
        $crate::sql_suite::suite!($database:
            conforms, conforms_by_epoch, migrates_at_once, says_that_tables_are_missing, passes_on_the_printed_schema,
            deletes_leave_nothing_behind, sweeps_in_batches, sweeper_works_until_it_is_dropped,
            row_36_concurrent_writers_all_win, row_36_increments_of_two_processes_lose_nothing,
            row_36_clear_and_set_are_one_after_the_other, row_7_create_never_overwrites_a_live_session,
            row_4_nothing_brings_a_dead_session_back, large_sessions_come_back_whole, names_have_an_end,
            dropped_steps_harm_nobody
        );
    };
    ($database:path: $($name:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some((url, _server)) = $database().await {
                    sql_suite::$name(&url).await;
                }
            }
        )+
    };
}

pub(crate) use suite;
