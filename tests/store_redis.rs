//! Sessions on one Redis server.
#![cfg(all(feature = "redis", feature = "test-util"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "support/sessions.rs"]
mod sessions;

use std::{error::Error as _, time::Duration};

use http_session::{
    Error,
    store::{Applied, Changes, Created, Epoch, Field, Loaded, Record, RedisStore, Store, Which, conformance},
};
use redis::Value;
use redis_server::Server;
use sessions::{DAY, apply, create, live, now, owner, session, set};

fn server() -> Option<Server> {
    Server::start(&["--appendonly", "no"])
}

async fn store(server: &Server) -> RedisStore {
    RedisStore::connect(&server.url()).await.unwrap()
}

fn strings(value: Value) -> Vec<String> {
    redis::from_redis_value(value).unwrap()
}

#[tokio::test]
async fn one_server_passes_the_conformance_suite() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    conformance::check(&store).await.unwrap();
    // Answers as maps.
    let url = format!("{}/?protocol=resp3", server.url());
    let maps = RedisStore::connect(&url).await.unwrap().key_prefix("*?[maps]\\{}:");
    conformance::check(&maps).await.unwrap();
    // One application's sessions are not another's.
    let (ticket, record) = session("a");
    create(&store, &ticket, &record).await;
    conformance::check_epoch(&maps).await.unwrap();
    live(&store, &ticket, now()).await;
    conformance::check_epoch(&store).await.unwrap();
    every_key_ends(&server);
}

#[tokio::test]
async fn each_step_is_one_round_trip() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    // The server learns the scripts.
    for _ in 0..2 {
        let (ticket, record) = session("a");
        create(&store, &ticket, &record).await;
        apply(&store, &ticket, &set("a", "2")).await;
        live(&store, &ticket, now()).await;
        assert!(store.delete(&ticket, now()).await.unwrap());
        drop(server.ask(&["CONFIG", "RESETSTAT"]));
    }
    let (ticket, record) = session("a");
    create(&store, &ticket, &record).await;
    apply(&store, &ticket, &set("a", "2")).await;
    live(&store, &ticket, now()).await;
    assert!(store.delete(&ticket, now()).await.unwrap());
    let calls = server.calls();
    let of = |name: &str| calls.iter().find(|(one, _)| one == name).map_or(0, |(_, calls)| *calls);
    assert_eq!((of("evalsha"), of("hgetall")), (3, 1), "{calls:?}");
    // What scripts call counts, too; the rest is the test's.
    let others = [
        "exists",
        "hget",
        "hmget",
        "hset",
        "hdel",
        "hkeys",
        "del",
        "pexpireat",
        "pexpire",
        "evalsha",
        "hgetall",
        "time",
    ];
    let tests = ["config|resetstat", "info", "hello", "client|setinfo", "auth", "select"];
    for (name, count) in &calls {
        assert!(
            others.contains(&&**name) || tests.contains(&&**name),
            "{name} {count} times"
        );
    }
}

fn every_key_ends(server: &Server) {
    let keys = strings(server.ask(&["KEYS", "*"]));
    assert!(!keys.is_empty());
    for key in keys {
        assert_ne!(server.ask(&["PTTL", &key]), Value::Int(-1), "{key} has no end");
    }
}

#[tokio::test]
async fn a_key_ends_with_its_session_at_a_time_and_not_after_a_time() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let (ticket, mut record) = session("a");
    record.owner = Some(owner("alice"));
    create(&store, &ticket, &record).await;
    let key = format!("session:{}", ticket.id);
    let end = || server.ask(&["PEXPIRETIME", &key]);
    if matches!(
        redis::cmd("PEXPIRETIME")
            .arg(&key)
            .query::<Value>(&mut server.connection()),
        Ok(Value::Int(_))
    ) {
        assert_eq!(end(), Value::Int(record.expires as i64));
        let longer = Changes::new(now(), record.expires + DAY);
        apply(&store, &ticket, &longer).await;
        assert_eq!(end(), Value::Int((record.expires + DAY) as i64));
        let mut shorter = Changes::new(now(), record.expires - 1000);
        shorter.may_shorten = true;
        apply(&store, &ticket, &shorter).await;
        assert_eq!(end(), Value::Int((record.expires - 1000) as i64));
        let mut endless = Changes::new(now(), (1 << 48) - 1);
        endless.cleared = true;
        apply(&store, &ticket, &endless).await;
        assert_eq!(end(), Value::Int((1 << 48) - 1));
    }
    assert!(store.delete(&ticket, now()).await.unwrap());
    every_key_ends(&server);
    // What a deleted session leaves is soon gone, and no session.
    let Value::Int(left) = server.ask(&["PTTL", &key]) else {
        panic!("no time")
    };
    assert!((0..=60_000).contains(&left), "{left}");
    assert_eq!(store.load(&ticket, now()).await.unwrap(), Loaded::Missing);
    assert_eq!(
        store.create(&ticket.id, &record, None, now()).await.unwrap(),
        Created::Created
    );
    live(&store, &ticket, now()).await;
}

#[tokio::test]
async fn the_server_deletes_what_has_expired() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let (ticket, mut record) = session("a");
    record.expires = now() + 300;
    create(&store, &ticket, &record).await;
    daemon::until("the end of a session", || server.ask(&["DBSIZE"]) == Value::Int(0));
    assert_eq!(store.load(&ticket, record.expires).await.unwrap(), Loaded::Missing);
    assert_eq!(store.delete_expired(now()).await.unwrap(), 0);
}

/// Each command that the store sends goes to the server twice, as when an answer was lost. The first answer is what the store
/// hears, and the second one must be the same.
#[tokio::test]
async fn row_35_a_step_that_arrives_twice_is_taken_once() {
    let Some(server) = server() else { return };
    let twice = sessions::Repeater::start(server.port).await;
    let store = RedisStore::connect(&twice.url()).await.unwrap();
    let (ticket, mut record) = session("a");
    record.owner = Some(owner("alice"));
    // Without the scripts yet, and then with them.
    for round in 0..2 {
        let (ticket, record) = if round == 0 {
            session("b")
        } else {
            (ticket, record.clone())
        };
        assert_eq!(
            store.create(&ticket.id, &record, None, now()).await.unwrap(),
            Created::Created
        );
        // Another session of the same id is none the less refused.
        assert_eq!(
            store.create(&ticket.id, &record, None, now()).await.unwrap(),
            Created::Collision
        );
        let mut count = set("n", "1");
        count.expected = vec![("n".into(), None)];
        apply(&store, &ticket, &count).await;
        assert_eq!(store.apply(&ticket, &count, now()).await.unwrap(), Applied::Conflict);
        let (renewed, _) = session("c");
        let renewed = http_session::store::HashedTicket {
            secret: renewed.secret,
            ..ticket
        };
        let mut renewal = set("n", "2");
        renewal.secret = Some(renewed.secret);
        apply(&store, &ticket, &renewal).await;
        assert_eq!(store.apply(&ticket, &renewal, now()).await.unwrap(), Applied::Gone);
        assert!(!store.delete(&ticket, now()).await.unwrap());
        assert!(store.delete(&renewed, now()).await.unwrap());
        assert!(!store.delete(&renewed, now()).await.unwrap());
    }
    create(&store, &ticket, &record).await;
    assert_eq!(
        store.delete_of(&owner("alice").id, &Which::All, now()).await.unwrap(),
        1
    );
    assert_eq!(twice.differences(), Vec::<String>::new());
    assert!(twice.repeated() > 15, "{}", twice.repeated());
}

/// A record keeps the steps that may still come again: of a process that has all its answers, that
/// is the last one.
#[tokio::test]
async fn what_a_record_keeps_of_steps_does_not_grow() {
    let Some(server) = server() else { return };
    let stores = [store(&server).await, store(&server).await];
    let (ticket, record) = session("a");
    create(&stores[0], &ticket, &record).await;
    for round in 0..10 {
        for store in &stores {
            apply(store, &ticket, &set("n", &round.to_string())).await;
        }
        let key = format!("session:{}", ticket.id);
        let steps: String = redis::from_redis_value(server.ask(&["HGET", &key, "steps"])).unwrap();
        assert_eq!(steps.matches(';').count(), 2, "{steps}");
        assert!(!steps.contains(',') && steps.len() < 100, "{steps}");
    }
}

#[tokio::test]
async fn row_7_create_never_overwrites_a_live_session() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let (ticket, record) = session("mine");
    create(&store, &ticket, &record).await;
    let (_, theirs) = session("theirs");
    let mut creates = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (store, theirs) = (store.clone(), theirs.clone());
        creates.spawn(async move { store.create(&ticket.id, &theirs, None, now()).await.unwrap() });
    }
    assert!(creates.join_all().await.iter().all(|one| *one == Created::Collision));
    assert_eq!(*live(&store, &ticket, now()).await, record);
}

#[tokio::test]
async fn a_server_that_may_evict_is_refused() {
    for (args, setting) in [
        (
            &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"][..],
            Some("allkeys-lru"),
        ),
        (
            &["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"],
            Some("volatile-ttl"),
        ),
        (&["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"], None),
        (&["--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"], None),
    ] {
        let Some(server) = Server::start(args) else { return };
        let connected = RedisStore::connect(&server.url()).await;
        match (setting, connected) {
            (None, Ok(_)) => {}
            (Some(setting), Err(error)) => {
                assert!(matches!(error, Error::Config { .. }), "{error}");
                let text = error.to_string();
                assert!(
                    text.contains(setting) && text.contains("maxmemory-policy noeviction"),
                    "{text}"
                );
                let store = RedisStore::connect_evicting(&server.url()).await.unwrap();
                let (ticket, record) = session("a");
                create(&store, &ticket, &record).await;
            }
            (_, other) => panic!("{args:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn row_36_a_full_server_refuses_changes_whole_and_lets_users_log_out() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let (ticket, mut record) = session("a");
    record.values.set("gone", "1");
    create(&store, &ticket, &record).await;
    let (other, other_record) = session("b");
    create(&store, &other, &other_record).await;
    drop(server.ask(&["CONFIG", "SET", "maxmemory", "1"]));
    let mut changes = set("big", &format!("{:?}", "x".repeat(100_000)));
    changes.removed = vec!["gone".into()];
    changes.secret = Some(other.secret);
    for cleared in [false, true] {
        changes.cleared = cleared;
        let error = store.apply(&ticket, &changes, now()).await.unwrap_err();
        assert!(matches!(error, Error::Store { .. }));
        let said = format!("{error:?}");
        assert!(said.contains("memory is full") && said.contains("OOM"), "{said}");
        assert_eq!(*live(&store, &ticket, now()).await, record, "half a change");
    }
    // Nobody has the owner any more, and the mark is set.
    assert_eq!(
        store.delete_of(&owner("alice").id, &Which::All, now()).await.unwrap(),
        0
    );
    let (new, new_record) = session("c");
    store.create(&new.id, &new_record, None, now()).await.unwrap_err();
    assert_eq!(store.load(&new, now()).await.unwrap(), Loaded::Missing);
    assert!(store.delete(&ticket, now()).await.unwrap());
    assert_eq!(store.load(&ticket, now()).await.unwrap(), Loaded::Missing);
    assert_eq!(
        store
            .delete_begun(&Epoch::before(other_record.created + 1))
            .await
            .unwrap(),
        1
    );
    drop(server.ask(&["CONFIG", "SET", "maxmemory", "0"]));
    let (new, new_record) = session("c");
    create(&store, &new, &new_record).await;
    every_key_ends(&server);
}

#[tokio::test]
async fn many_keys_and_many_requests_lose_nothing() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let (ticket, mut record) = session("a");
    record.values = (0..20_000)
        .map(|at| (format!("key {at}"), format!("\"{at}\"")))
        .collect();
    create(&store, &ticket, &record).await;
    assert_eq!(*live(&store, &ticket, now()).await, record);
    // Cleared, removed and set, 20,000 of each.
    let mut changes = set("left", "1");
    changes.removed = record.values.iter().map(|(key, _)| key.to_owned()).collect();
    apply(&store, &ticket, &changes).await;
    assert_eq!(live(&store, &ticket, now()).await.values.len(), 1);
    let mut changes = Changes::new(now(), record.expires);
    changes.set = record
        .values
        .iter()
        .map(|(key, json)| (key.to_owned(), json.to_owned()))
        .collect();
    apply(&store, &ticket, &changes).await;
    assert_eq!(live(&store, &ticket, now()).await.values.len(), 20_001);
    changes.set.truncate(1);
    changes.cleared = true;
    apply(&store, &ticket, &changes).await;
    assert_eq!(live(&store, &ticket, now()).await.values.len(), 1);

    let mut requests = tokio::task::JoinSet::new();
    for at in 0..200 {
        let store = store.clone();
        requests.spawn(async move { apply(&store, &ticket, &set(&format!("request {at}"), &at.to_string())).await });
    }
    drop(requests.join_all().await);
    let values = live(&store, &ticket, now()).await.values;
    for at in 0..200 {
        assert_eq!(values.get(&format!("request {at}")), Some(&*at.to_string()));
    }
}

/// An owner's index lies elsewhere than the sessions. It must outlive each of them.
#[tokio::test]
async fn an_owner_s_session_that_is_prolonged_again_and_again_stays_listed() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let order = format!("session:owner:{}", owner("alice").id);
    let start = now();
    let (ticket, mut record) = session("a");
    record.owner = Some(owner("alice"));
    create(&store, &ticket, &record).await;
    drop(server.ask(&["CONFIG", "RESETSTAT"]));
    // 60 days, half a day at a time.
    for half_days in 1..=120 {
        let at = start + half_days * DAY / 2;
        let changes = Changes::new(at, at + DAY);
        assert_eq!(store.apply(&ticket, &changes, at).await.unwrap(), Applied::Updated);
        assert_eq!(store.sessions_of(&owner("alice").id, at).await.unwrap().len(), 1);
        // Others come and go, which tidies the index up.
        let (other, mut record) = session("b");
        (record.owner, record.expires) = (Some(owner("alice")), at + 1000);
        assert_eq!(
            store.create(&other.id, &record, None, at).await.unwrap(),
            Created::Created
        );
        let Value::Int(index_left) = server.ask(&["PTTL", &order]) else {
            panic!()
        };
        let Value::Int(left) = server.ask(&["PTTL", &format!("session:{}", ticket.id)]) else {
            panic!()
        };
        assert!(
            index_left >= left,
            "the index ends {} ms before the session",
            left - index_left
        );
    }
    let calls = server.calls();
    let pexpireat = calls.iter().find(|(name, _)| name == "pexpireat").unwrap().1;
    // One for each change, two for each login, and one whenever the owner's key must hold the
    // session longer.
    assert!(pexpireat <= 120 + 240 + 70, "the ends were written {pexpireat} times");
    let members = || {
        let fields: Vec<String> = strings(server.ask(&["HKEYS", &order]));
        fields.into_iter().filter(|field| field.len() == 64)
    };
    // The server's clock says when one has ended, and for it all of this was a moment.
    assert_eq!(members().count(), 121);
    let end = start + 61 * DAY;
    assert!(store.delete(&ticket, end).await.unwrap());
    assert!(members().all(|id| id != ticket.id.to_string()));
}

#[tokio::test]
async fn a_session_that_changes_hands_is_listed_by_its_owner_alone() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let (ticket, mut record) = session("a");
    record.owner = Some(owner("alice"));
    create(&store, &ticket, &record).await;
    let mut changes = Changes::new(now(), record.expires);
    changes.owner = Field::Set(owner("bob"));
    apply(&store, &ticket, &changes).await;
    assert!(store.sessions_of(&owner("alice").id, now()).await.unwrap().is_empty());
    assert_eq!(store.sessions_of(&owner("bob").id, now()).await.unwrap().len(), 1);
    assert_eq!(
        store.delete_of(&owner("alice").id, &Which::All, now()).await.unwrap(),
        0
    );
    assert_eq!(
        store
            .delete_of(&owner("alice").id, &Which::Only(ticket.id), now())
            .await
            .unwrap(),
        0
    );
    live(&store, &ticket, now()).await;
    assert_eq!(
        store
            .delete_of(&owner("bob").id, &Which::Only(ticket.id), now())
            .await
            .unwrap(),
        1
    );
    assert_eq!(store.load(&ticket, now()).await.unwrap(), Loaded::Missing);
}

#[tokio::test]
async fn the_end_of_all_looks_at_many_keys_and_at_sessions_only() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let mut creates = tokio::task::JoinSet::new();
    for at in 0..5_000_u64 {
        let store = store.clone();
        creates.spawn(async move {
            let (ticket, mut record) = session("a");
            record.created = at;
            create(&store, &ticket, &record).await;
        });
    }
    drop(creates.join_all().await);
    drop(server.ask(&["SET", "session:something", "else"]));
    drop(server.ask(&["HSET", "another", "created", "1"]));
    assert_eq!(store.delete_begun(&Epoch::before(4_000)).await.unwrap(), 4_000);
    assert_eq!(server.ask(&["DBSIZE"]), Value::Int(1_003));
    assert_eq!(server.ask(&["EXISTS", "session:ends"]), Value::Int(1));
}

#[tokio::test]
async fn too_few_replicas_are_an_error() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let one = store.clone().wait_replicas(1, Duration::from_millis(1));
    let (ticket, record) = session("a");
    let error = one.create(&ticket.id, &record, None, now()).await.unwrap_err();
    assert!(
        error.source().unwrap().to_string().contains("0 replicas"),
        "{:?}",
        error.source()
    );
    // The change has been made, and who asks for none waits for none.
    live(&one, &ticket, now()).await;
    apply(&store, &ticket, &set("a", "2")).await;
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", server.port)]).unwrap();
    daemon::until("a replica", || replica.replication().contains("master_link_status:up"));
    let one = store.wait_replicas(1, Duration::from_secs(30));
    apply(&one, &ticket, &set("a", "3")).await;
    let key = format!("session:{}", ticket.id);
    assert_eq!(replica.ask(&["HGET", &key, "v:a"]), Value::BulkString(b"3".to_vec()));
    // A replica refuses what it is asked to change, and that is an error, too.
    let replica = RedisStore::connect(&replica.url()).await.unwrap();
    let error = replica.apply(&ticket, &set("a", "4"), now()).await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }));
}

#[tokio::test]
async fn nothing_that_is_shown_holds_the_address_or_the_password() {
    let Some(server) = Server::start(&[]) else { return };
    drop(server.ask(&["ACL", "SETUSER", "app", "on", ">s3cret-password", "~*", "+@all"]));
    let url = format!("redis://app:s3cret-password@127.0.0.1:{}", server.port);
    let store = RedisStore::connect(&url).await.unwrap();
    assert!(!format!("{store:?}").contains("s3cret"));
    let wrong = url.replace("s3cret-password", "s3cret-wrong");
    for url in [
        &wrong,
        "s3cret-no-url",
        "redis://:s3cret@[",
        "rediss://:s3cret@127.0.0.1:1",
    ] {
        let error = RedisStore::connect(url).await.unwrap_err();
        let source = error.source().map(|source| format!("{source} {source:?}"));
        assert!(
            !format!("{error} {error:?} {source:?}").contains("s3cret"),
            "{error} {source:?}"
        );
    }
}

#[tokio::test]
async fn a_hash_of_somebody_else_is_an_error() {
    let Some(server) = server() else { return };
    let store = store(&server).await;
    let (ticket, record) = session("a");
    let key = format!("session:{}", ticket.id);
    drop(server.ask(&["HSET", &key, "secret", "short"]));
    assert!(matches!(store.load(&ticket, now()).await, Err(Error::Store { .. })));
    drop(server.ask(&["DEL", &key]));
    drop(server.ask(&["SET", &key, "text"]));
    assert!(matches!(store.load(&ticket, now()).await, Err(Error::Store { .. })));
    assert!(matches!(
        store.create(&ticket.id, &record, None, now()).await,
        Err(Error::Store { .. })
    ));
    assert_eq!(server.ask(&["GET", &key]), Value::BulkString(b"text".to_vec()));
}

const _: fn() = || {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<RedisStore>();
    let _ = Record::new;
};
