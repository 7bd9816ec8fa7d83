//! `MemoryStore`: what every store must do, its bounds, and what it does when it is full.
#![cfg(all(feature = "memory", feature = "test-util"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[cfg(feature = "tracing")]
#[path = "support/events.rs"]
mod events;
mod support;

use std::thread;

use http_session::{
    Error, SessionId,
    store::{
        Applied, Changes, Created, Epoch, Field, HashedTicket, Loaded, Login, MemoryStore, Owner, OwnerId, Record,
        SecretHash, Store, Which, conformance,
    },
};
use support::{START, poll_now};

const END: u64 = START + 1_000_000;

fn ticket(number: u32) -> HashedTicket {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    HashedTicket {
        id: SessionId::from_bytes(bytes),
        secret: SecretHash::from_bytes(bytes),
    }
}

/// Creates the session of this number, with a text of this many bytes.
fn create(store: &MemoryStore, number: u32, bytes: usize) -> Result<Created, Error> {
    let mut record = Record::new(ticket(number).secret, START, END);
    if bytes > 0 {
        record.values.set("text", "x".repeat(bytes));
    }
    poll_now(store.create(&ticket(number).id, &record, None, START))
}

fn load(store: &MemoryStore, number: u32) -> Option<Record> {
    match poll_now(store.load(&ticket(number), START)).unwrap() {
        Loaded::Live(record) => Some(*record),
        Loaded::Renewed => panic!("renewed"),
        Loaded::Missing => None,
    }
}

/// Those of these sessions that are there.
fn there(store: &MemoryStore, numbers: std::ops::Range<u32>) -> Vec<u32> {
    numbers.filter(|&number| load(store, number).is_some()).collect()
}

#[test]
fn row_36_it_does_what_every_store_must_do() {
    let store = MemoryStore::new();
    poll_now(conformance::check(&store)).unwrap();
    poll_now(conformance::check_epoch(&store)).unwrap();
    thread::scope(|scope| {
        let runs = [(); 4].map(|()| scope.spawn(|| poll_now(conformance::check(&store))));
        for run in runs {
            run.join().unwrap().unwrap();
        }
    });
}

#[test]
fn row_36_there_are_never_more_sessions_than_allowed_and_the_newest_stay() {
    let store = MemoryStore::new().max_sessions(100);
    for number in 0..1_000 {
        assert_eq!(create(&store, number, 10).unwrap(), Created::Created);
        let first = (number + 1).saturating_sub(100);
        assert!(load(&store, number).is_some());
        assert!(number < 100 || load(&store, first - 1).is_none());
    }
    assert_eq!(there(&store, 0..1_000), (900..1_000).collect::<Vec<_>>());
}

#[test]
fn row_36_all_sessions_together_never_take_more_bytes_than_allowed() {
    // Each takes a little more than 10,000 bytes.
    let store = MemoryStore::new().max_bytes(1_000_000);
    for number in 0..1_000 {
        create(&store, number, 10_000).unwrap();
    }
    let kept = there(&store, 0..1_000);
    assert!((80..100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept, (1_000 - kept.len() as u32..1_000).collect::<Vec<_>>());
    // A session that grows needs room as well.
    let mut changes = Changes::new(START, END);
    changes.set.push(("more".into(), "x".repeat(500_000)));
    assert_eq!(
        poll_now(store.apply(&ticket(999), &changes, START)).unwrap(),
        Applied::Updated
    );
    let kept = there(&store, 0..1_000);
    assert!(
        (35..50).contains(&kept.len()) && kept.ends_with(&[998, 999]),
        "{}",
        kept.len()
    );
}

#[test]
fn row_36_a_session_that_is_used_stays_and_the_one_longest_not_used_goes() {
    let store = MemoryStore::new().max_sessions(10);
    for number in 0..10 {
        create(&store, number, 0).unwrap();
    }
    assert!(load(&store, 0).is_some());
    assert_eq!(
        poll_now(store.apply(&ticket(1), &Changes::new(START, END), START)).unwrap(),
        Applied::Updated
    );
    for number in 10..18 {
        create(&store, number, 0).unwrap();
    }
    assert_eq!(there(&store, 0..18), [0, 1, 10, 11, 12, 13, 14, 15, 16, 17]);
    assert_eq!(
        poll_now(store.apply(&ticket(2), &Changes::new(START, END), START)).unwrap(),
        Applied::Gone
    );
}

#[test]
fn row_36_a_session_larger_than_all_may_be_is_an_error_and_changes_nothing() {
    let store = MemoryStore::new().max_bytes(50_000);
    create(&store, 1, 10).unwrap();
    assert!(matches!(create(&store, 2, 50_000), Err(Error::Value { .. })));
    assert!(load(&store, 2).is_none());
    let mut changes = Changes::new(START + 5, END + 5);
    changes.set.push(("large".into(), "x".repeat(50_000)));
    let owner = Owner::new(OwnerId::from_bytes([9; 32]), "somebody");
    changes.owner = Field::Set(owner.clone());
    changes.login = Some(Login::new(0));
    assert!(matches!(
        poll_now(store.apply(&ticket(1), &changes, START)),
        Err(Error::Value { .. })
    ));
    let record = load(&store, 1).unwrap();
    assert_eq!((record.values.len(), record.seen, record.expires), (1, START, END));
    assert!(poll_now(store.sessions_of(&owner.id, START)).unwrap().is_empty());
}

#[test]
#[cfg(feature = "tracing")]
fn row_36_the_first_live_session_that_has_to_go_is_a_warning_and_the_others_are_for_debugging() {
    events::listen();
    let store = MemoryStore::new().max_sessions(10);
    for number in 0..10 {
        create(&store, number, 0).unwrap();
    }
    assert_eq!(events::heard(), [""; 0]);
    create(&store, 10, 0).unwrap();
    let heard = events::heard();
    assert!(
        heard.len() == 1 && heard[0].starts_with("WARN") && heard[0].contains("max_sessions"),
        "{heard:?}"
    );
    create(&store, 11, 0).unwrap();
    create(&store, 12, 0).unwrap();
    let heard = events::heard();
    assert!(
        heard.len() == 2 && heard.iter().all(|line| line.starts_with("DEBUG")),
        "{heard:?}"
    );
    // What is deleted, replaced or expired is no event.
    poll_now(store.delete(&ticket(12), START)).unwrap();
    poll_now(store.delete_of(&OwnerId::from_bytes([8; 32]), &Which::All, END)).unwrap();
    poll_now(store.apply(&ticket(11), &Changes::new(START, END), START)).unwrap();
    for number in 20..25 {
        let record = Record::new(ticket(number).secret, START, END + 50);
        poll_now(store.create(&ticket(number).id, &record, None, END + 1)).unwrap();
    }
    assert_eq!(events::heard(), [""; 0]);
}

#[test]
fn row_36_many_threads_on_one_session_lose_nothing() {
    const THREADS: u32 = 8;
    const OPERATIONS: u32 = 500;
    let store = MemoryStore::new();
    create(&store, 1, 0).unwrap();
    let one = ticket(1);
    let work = |thread: u32| {
        for at in 0..OPERATIONS {
            let mut changes = Changes::new(START + u64::from(at), END);
            changes.set.push((format!("{thread} {}", at % 50), at.to_string()));
            changes.removed.push(format!("{thread} {}", (at + 25) % 50));
            assert_eq!(poll_now(store.apply(&one, &changes, START)).unwrap(), Applied::Updated);
            loop {
                let count = load(&store, 1).unwrap().values.get("count").map(str::to_owned);
                let next = count.as_deref().map_or(0, |count| count.parse::<u32>().unwrap()) + 1;
                let mut changes = Changes::new(START, END);
                changes.expected.push(("count".into(), count));
                changes.set.push(("count".into(), next.to_string()));
                match poll_now(store.apply(&one, &changes, START)).unwrap() {
                    Applied::Updated => break,
                    Applied::Conflict => {}
                    Applied::Gone => panic!("gone"),
                }
            }
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|thread| drop(scope.spawn(move || work(thread)))));
    let record = load(&store, 1).unwrap();
    assert_eq!(
        record.values.get("count"),
        Some((THREADS * OPERATIONS).to_string().as_str())
    );
    assert_eq!(record.seen, START + u64::from(OPERATIONS) - 1);
    for thread in 0..THREADS {
        let theirs: Vec<_> = (475..500)
            .map(|at| (format!("{thread} {}", at % 50), at.to_string()))
            .collect();
        for (key, text) in &theirs {
            assert_eq!(record.values.get(key), Some(text.as_str()));
        }
    }
    assert_eq!(record.values.len() as u32, 1 + THREADS * 25);
}

#[test]
fn row_36_what_expired_never_loads_before_it_is_cleaned_up() {
    let store = MemoryStore::new();
    for number in 0..100 {
        create(&store, number, 0).unwrap();
    }
    for number in 0..50 {
        assert!(matches!(
            poll_now(store.load(&ticket(number), END)).unwrap(),
            Loaded::Live(_)
        ));
        assert_eq!(poll_now(store.load(&ticket(number), END + 1)).unwrap(), Loaded::Missing);
        // And is cleaned up then.
        assert_eq!(load(&store, number), None);
    }
    assert_eq!(poll_now(store.delete_expired(END)).unwrap(), 0);
    assert_eq!(poll_now(store.delete_expired(END + 1)).unwrap(), 50);
    assert_eq!(there(&store, 0..100), [0; 0]);
}

#[test]
fn clones_share_the_sessions_and_other_bounds_are_another_store() {
    let store = MemoryStore::new();
    let clone = store.clone();
    create(&clone, 1, 0).unwrap();
    assert!(load(&store, 1).is_some());
    let other = clone.max_sessions(5);
    assert!(load(&other, 1).is_none() && load(&store, 1).is_some());
    assert_eq!(
        format!("{other:?}"),
        "MemoryStore { max_sessions: 5, max_bytes: 104857600, .. }"
    );
}

/// Somebody has logged in to this session.
fn log_in(store: &MemoryStore, number: u32) {
    let mut changes = Changes::new(START, END);
    if number.is_multiple_of(2) {
        changes.authenticated = Field::Set(START);
    } else {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        changes.owner = Field::Set(Owner::new(OwnerId::from_bytes(bytes), "name"));
        changes.login = Some(Login::new(0));
    }
    let applied = poll_now(store.apply(&ticket(number), &changes, START)).unwrap();
    assert_eq!(applied, Applied::Updated);
}

#[test]
fn fault_a15_and_b7_strangers_end_nobodys_session() {
    const BOUND: u32 = 1_000;
    let store = MemoryStore::new().max_sessions(BOUND.into());
    for number in 0..BOUND / 2 {
        create(&store, number, 10).unwrap();
        log_in(&store, number);
    }
    // Ten times the bound, also by several at once.
    for number in BOUND..6 * BOUND {
        create(&store, number, 10).unwrap();
    }
    thread::scope(|scope| {
        for part in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in (6 + part) * BOUND..(7 + part) * BOUND {
                    create(store, number, 10).unwrap();
                }
            });
        }
    });
    assert_eq!(there(&store, 0..BOUND / 2).len(), BOUND as usize / 2);
    let visitors = there(&store, BOUND..10 * BOUND).len();
    assert!(
        visitors <= BOUND as usize / 2 && visitors > BOUND as usize / 2 - 10,
        "{visitors}"
    );
    // A visitor who logs in is safe from then on.
    create(&store, 77_777, 10).unwrap();
    log_in(&store, 77_777);
    for number in 100_000..100_000 + 2 * BOUND {
        create(&store, number, 10).unwrap();
    }
    assert!(load(&store, 77_777).is_some());
    // And one who logs out is a visitor again.
    let mut changes = Changes::new(START, END);
    changes.authenticated = Field::Unset;
    poll_now(store.apply(&ticket(0), &changes, START)).unwrap();
    for number in 200_000..200_000 + 2 * BOUND {
        create(&store, number, 10).unwrap();
    }
    assert!(load(&store, 0).is_none() && load(&store, 1).is_some());
}

#[test]
fn fault_a15_where_all_have_logged_in_the_one_longest_not_used_goes() {
    let store = MemoryStore::new().max_sessions(10);
    for number in 0..10 {
        create(&store, number, 10).unwrap();
        log_in(&store, number);
    }
    // 0 and 1 were used last.
    assert_eq!(there(&store, 0..2).len(), 2);
    let mut record = Record::new(ticket(50).secret, START, END);
    record.authenticated = Some(START);
    for number in 50..55 {
        record.secret = ticket(number).secret;
        poll_now(store.create(&ticket(number).id, &record, None, START)).unwrap();
    }
    assert_eq!(there(&store, 0..10), [0, 1, 7, 8, 9]);
    // A stranger gets no place among them.
    create(&store, 99, 10).unwrap();
    assert_eq!(load(&store, 99), None);
    assert_eq!(there(&store, 50..55).len(), 5);
}

#[test]
fn fault_b8_work_over_everything_lets_others_go_first() {
    type Work = fn(&MemoryStore) -> std::pin::Pin<Box<dyn Future<Output = Result<u64, Error>> + '_>>;
    let works: [Work; 2] = [
        |store| Box::pin(store.delete_expired(END + 1)),
        |store| Box::pin(store.delete_begun(&const { Epoch::before(START + 1) })),
    ];
    for work in works {
        let store = MemoryStore::new();
        for number in 0..5_000 {
            create(&store, number, 0).unwrap();
        }
        let mut work = work(&store);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut polls = 1;
        let ended = loop {
            match work.as_mut().poll(&mut context) {
                std::task::Poll::Ready(ended) => break ended.unwrap(),
                std::task::Poll::Pending => {
                    polls += 1;
                    // Another request is answered.
                    let number = 1_000_000 + polls;
                    let mut record = Record::new(ticket(number).secret, START + 2, 2 * END);
                    record.authenticated = Some(START + 2);
                    let created = poll_now(store.create(&ticket(number).id, &record, None, START + 2)).unwrap();
                    assert_eq!(created, Created::Created);
                }
            }
        };
        assert_eq!(ended, 5_000);
        assert!(polls >= 10, "{polls}");
        assert_eq!(there(&store, 1_000_002..1_000_001 + polls).len() as u32, polls - 1);
    }
}

#[test]
fn fault_a6_what_began_before_an_epoch_is_not_kept_after_it() {
    let store = MemoryStore::new();
    let epoch = Epoch::before(START);
    assert_eq!(poll_now(store.delete_begun(&epoch)).unwrap(), 0);
    let mut record = Record::new(ticket(1).secret, START - 1, END);
    let create = |record: &Record| poll_now(store.create(&ticket(1).id, record, None, START)).unwrap();
    assert_eq!(create(&record), Created::Ended);
    record.authenticated = Some(START);
    assert_eq!(create(&record), Created::Created);
    let mut changes = Changes::new(START, END);
    changes.authenticated = Field::Set(START - 1);
    assert_eq!(
        poll_now(store.apply(&ticket(1), &changes, START)).unwrap(),
        Applied::Gone
    );
    // An earlier epoch takes nothing back.
    poll_now(store.delete_begun(&Epoch::before(0))).unwrap();
    assert_eq!(
        poll_now(store.apply(&ticket(1), &changes, START)).unwrap(),
        Applied::Gone
    );
}
