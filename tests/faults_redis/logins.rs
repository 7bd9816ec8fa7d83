//! How many sessions an owner has, whoever logs in from where, and what becomes of logins that
//! never came to their end.

use std::time::Duration;

use http_session::{
    Error, SessionId,
    store::{Applied, Changes, Created, Epoch, Field, HashedTicket, Loaded, Login, Owner, RedisStore, Store, Which},
};
use redis::Value;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    daemon, held, key_of,
    redis_proxy::Proxy,
    redis_server::{Cluster, Server},
    sessions::{DAY, apply, begin, create, live, now, owner, session, set},
    store,
};

/// A login whose clock is so far ahead.
async fn log_in(store: RedisStore, owner: Owner, most: u32, ahead: i64) -> HashedTicket {
    let (ticket, mut record) = session("a");
    let now = now().saturating_add_signed(ahead);
    (record.created, record.sent, record.seen) = (now, now, now);
    (record.authenticated, record.expires) = (Some(now), now + 20 * DAY);
    record.owner = Some(owner.clone());
    let mark = store.begin_login(&owner.id, now).await.unwrap().number;
    let login = Login::new(mark).most(most);
    let answer = store.create(&ticket.id, &record, Some(&login), now).await.unwrap();
    assert_eq!(answer, Created::Created);
    ticket
}

async fn is_live(store: &RedisStore, ticket: &HashedTicket) -> bool {
    matches!(store.load(ticket, now()).await.unwrap(), Loaded::Live(_))
}

/// Two processes, whose clocks are seconds and days apart.
async fn logins_at_once(stores: &[RedisStore], rounds: usize) {
    for most in [1, 2, 5] {
        for round in 0..rounds {
            let who = owner(&format!("{most} of {round}"));
            let mut logins = JoinSet::new();
            for at in 0..20 {
                let ahead = [5_000, -5_000, 10 * DAY as i64][at % 3];
                logins.spawn(log_in(stores[at % 2].clone(), who.clone(), most, ahead));
            }
            let tickets = logins.join_all().await;
            let mut there = 0;
            for ticket in &tickets {
                there += u32::from(is_live(&stores[0], ticket).await);
            }
            assert_eq!(there, most, "of {most}, round {round}");
            assert_eq!(
                stores[1].sessions_of(&who.id, now()).await.unwrap().len(),
                most as usize
            );
            // The last one lives, although its clock is behind.
            let last = log_in(stores[0].clone(), who.clone(), most, -5_000).await;
            assert!(is_live(&stores[1], &last).await);
            assert_eq!(
                stores[1].sessions_of(&who.id, now()).await.unwrap().len(),
                most as usize
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f2_logins_at_once_leave_as_many_sessions_as_are_allowed_and_the_last_one() {
    for server in Server::each(&[]) {
        let stores = [store(&server).await, store(&server).await];
        logins_at_once(&stores, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f2_logins_at_once_in_a_cluster() {
    let Some(cluster) = Cluster::start() else { return };
    let one = RedisStore::cluster(cluster.urls()).await.unwrap();
    let two = RedisStore::cluster(cluster.urls()).await.unwrap();
    logins_at_once(&[one, two], 4).await;
}

/// While an owner is logged out everywhere, logins come without pause. None of those that began
/// before the call is there after it, and those that begin after it are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_a6_an_end_leaves_nothing_that_began_before_it() {
    let Some(server) = Server::start(&[]) else { return };
    let stores = [store(&server).await, store(&server).await];
    for round in 0..30 {
        let who = owner(&format!("round {round}"));
        let mut logins = JoinSet::new();
        for at in 0..20 {
            let (store, who) = (stores[at % 2].clone(), who.clone());
            logins.spawn(async move {
                let (ticket, mut record) = session("a");
                let known = at % 3 == 0;
                if known {
                    create(&store, &ticket, &record).await;
                }
                let login = Login::new(store.begin_login(&who.id, now()).await.unwrap().number);
                tokio::task::yield_now().await;
                record.owner = Some(who.clone());
                let logged_in = if known {
                    let mut changes = Changes::new(now(), now() + DAY);
                    (changes.owner, changes.login) = (Field::Set(who), Some(login));
                    store.apply(&ticket, &changes, now()).await.unwrap() == Applied::Updated
                } else {
                    store.create(&ticket.id, &record, Some(&login), now()).await.unwrap() == Created::Created
                };
                (ticket, logged_in)
            });
        }
        let end = {
            let (store, who) = (stores[round % 2].clone(), who.clone());
            tokio::spawn(async move {
                if round % 3 == 0 {
                    store.delete_begun(&Epoch::before(0).or_after(0)).await.unwrap();
                } else {
                    store.delete_of(&who.id, &Which::All, now()).await.unwrap();
                }
            })
        };
        let before_the_end = logins.join_all();
        let (tickets, ended) = tokio::join!(before_the_end, end);
        ended.unwrap();
        // All logins have been answered. What an end refused is not there; what it did not is, and
        // can be ended.
        let mut there = Vec::new();
        for (ticket, logged_in) in &tickets {
            let live = match stores[0].load(ticket, now()).await.unwrap() {
                Loaded::Live(record) => record.owner.is_some(),
                _ => false,
            };
            assert!(*logged_in || !live, "a login that was refused is there, round {round}");
            if live {
                there.push(ticket.id);
            }
        }
        let listed: Vec<SessionId> = stores[1]
            .sessions_of(&who.id, now())
            .await
            .unwrap()
            .iter()
            .map(|one| one.id)
            .collect();
        there.sort_unstable();
        let mut listed = listed;
        listed.sort_unstable();
        assert_eq!(there, listed, "round {round}");
        stores[0].delete_of(&who.id, &Which::All, now()).await.unwrap();
        for (ticket, _) in &tickets {
            let loaded = stores[1].load(ticket, now()).await.unwrap();
            let is_theirs = matches!(loaded, Loaded::Live(record) if record.owner.is_some());
            assert!(!is_theirs, "round {round}");
        }
    }
}

/// Writes the record of a login as a server does that dies before the next step.
async fn dies_half_way(server: &Server, who: &Owner, known: Option<&HashedTicket>) -> HashedTicket {
    let proxy = Proxy::start(server.port).await;
    let store = RedisStore::connect(&proxy.url()).await.unwrap();
    let login = Login::new(store.begin_login(&who.id, now()).await.unwrap().number).most(1);
    let (ticket, mut record) = session("half");
    record.owner = Some(who.clone());
    let ticket = known.copied().unwrap_or(ticket);
    // The server hears the first step of the login, and its answer is not heard.
    let key = format!("session:{}", ticket.id);
    let is_there = || server.ask(&["HEXISTS", &key, "login"]) == Value::Int(1);
    let mut changes = Changes::new(now(), now() + DAY);
    (changes.owner, changes.login) = (Field::Set(who.clone()), Some(login));
    let dying = async {
        if known.is_some() {
            // It asks for the mark before.
            store.apply(&ticket, &changes, now()).await.map(drop)
        } else {
            store.create(&ticket.id, &record, Some(&login), now()).await.map(drop)
        }
    };
    proxy.deaf_on(&who.name);
    let mut dying = Box::pin(dying);
    while !is_there() {
        let _ = timeout(Duration::from_millis(1), &mut dying).await;
    }
    // As if the process were gone: nothing is cleaned up.
    std::mem::forget(dying);
    std::mem::forget(proxy);
    ticket
}

#[tokio::test]
async fn fault_b5_a_login_whose_server_died_is_no_device_and_pushes_nobody_out() {
    for server in Server::each(&[]) {
        let store = store(&server).await;
        let who = owner("alice");
        let (phone, mut record) = session("phone");
        record.owner = Some(who.clone());
        create(&store, &phone, &record).await;
        let half = dies_half_way(&server, &who, None).await;
        let listed = store.sessions_of(&who.id, now()).await.unwrap();
        assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [phone.id]);
        // A login with room for two: the phone and itself.
        let (laptop, mut record) = session("laptop");
        record.owner = Some(who.clone());
        assert_eq!(
            begin(&store, &laptop, &record, Some(2)).await.unwrap(),
            Created::Created
        );
        live(&store, &phone, now()).await;
        live(&store, &laptop, now()).await;
        // A log-out everywhere is one for it, too.
        store.delete_of(&who.id, &Which::All, now()).await.unwrap();
        assert_eq!(store.load(&half, now()).await.unwrap(), Loaded::Missing);
    }
}

#[tokio::test]
async fn fault_b5_a_login_whose_server_died_is_finished_by_the_next_request() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let who = owner("alice");
    // The server learns the scripts.
    let (warm, record) = session("warm");
    create(&store, &warm, &record).await;
    apply(&store, &warm, &set("a", "1")).await;
    for by_write in [false, true] {
        let (phone, mut record) = session("phone");
        record.owner = Some(who.clone());
        create(&store, &phone, &record).await;
        let (known, record) = session("known");
        create(&store, &known, &record).await;
        dies_half_way(&server, &who, Some(&known)).await;
        if by_write {
            apply(&store, &known, &set("a", "2")).await;
        }
        let record = live(&store, &known, now()).await;
        assert_eq!(record.owner.map(|owner| owner.id), Some(who.id));
        let listed = store.sessions_of(&who.id, now()).await.unwrap();
        assert_eq!(
            listed.iter().map(|one| one.id).collect::<Vec<_>>(),
            [known.id],
            "its limit was one"
        );
        assert_eq!(store.load(&phone, now()).await.unwrap(), Loaded::Missing);

        let (known, record) = session("known");
        create(&store, &known, &record).await;
        dies_half_way(&server, &who, Some(&known)).await;
        store.delete_of(&who.id, &Which::All, now()).await.unwrap();
        if by_write {
            let answer = store.apply(&known, &set("a", "2"), now()).await.unwrap();
            assert_eq!(answer, Applied::Gone);
        }
        assert_eq!(store.load(&known, now()).await.unwrap(), Loaded::Missing);
    }
}

/// Nobody has the ticket of a session whose login was given up.
#[tokio::test]
async fn fault_b5_a_login_that_was_given_up_is_cleaned_up() {
    let Some(server) = Server::start(&[]) else { return };
    let store = store(&server).await;
    let who = owner("alice");
    let login = Login::new(store.begin_login(&who.id, now()).await.unwrap().number);
    let (warm, mut record) = session("warm");
    record.owner = Some(who.clone());
    create(&store, &warm, &record).await;
    server.signal("STOP");
    let (ticket, mut record) = session("a");
    record.owner = Some(who.clone());
    timeout(
        Duration::from_millis(50),
        store.create(&ticket.id, &record, Some(&login), now()),
    )
    .await
    .unwrap_err();
    server.signal("CONT");
    let key = format!("session:{}", ticket.id);
    for _ in 0..1_000 {
        // The step came late, and its end after it.
        if server.ask(&["HEXISTS", &key, "secret"]) == Value::Int(0) && server.ask(&["EXISTS", &key]) == Value::Int(1) {
            break;
        }
        let _ = timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
    }
    assert_eq!(server.ask(&["HEXISTS", &key, "secret"]), Value::Int(0));
    assert_eq!(held(&server, &who.id), 1);
    assert_eq!(store.load(&ticket, now()).await.unwrap(), Loaded::Missing);
    live(&store, &warm, now()).await;
}

/// A server that fails between the steps of a login: an error, and afterwards the limit holds.
#[tokio::test]
async fn a_login_that_failed_half_way_leaves_no_session_too_many() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let store = store(&server).await;
    let who = owner("alice");
    for _ in 0..5 {
        let mut logins = JoinSet::new();
        for at in 0..10 {
            let (store, who) = (store.clone(), who.clone());
            logins.spawn(async move {
                let (ticket, mut record) = session("a");
                record.owner = Some(who);
                for _ in 0..at {
                    tokio::task::yield_now().await;
                }
                match begin(&store, &ticket, &record, Some(2)).await {
                    Ok(answer) => assert_eq!(answer, Created::Created),
                    Err(error) => assert!(matches!(error, Error::Store { .. })),
                }
            });
        }
        tokio::task::yield_now().await;
        server.kill();
        server.again();
        drop(logins.join_all().await);
        let (last, mut record) = session("last");
        record.owner = Some(who.clone());
        daemon::until("Redis", || server.ask(&["PING"]) == Value::SimpleString("PONG".into()));
        assert_eq!(begin(&store, &last, &record, Some(2)).await.unwrap(), Created::Created);
        let listed = store.sessions_of(&who.id, now()).await.unwrap();
        assert!((1..=2).contains(&listed.len()), "{}", listed.len());
        live(&store, &last, now()).await;
    }
}

/// Has a session's login be one that was not settled, though it has its place.
fn unsettle(server: &Server, who: &Owner, ticket: &HashedTicket, most: u32) {
    let id = ticket.id.to_string();
    let place: String = redis::from_redis_value(server.ask(&["HGET", &key_of(&who.id), &id])).unwrap();
    let login = format!("- {most} {}", place.split(' ').nth(2).unwrap());
    drop(server.ask(&["HSET", &format!("session:{id}"), "login", &login]));
}

#[tokio::test]
async fn fault_f2_a_login_keeps_its_place_when_another_request_finishes_it() {
    for server in Server::each(&[]) {
        let (store, who) = (store(&server).await, owner("alice"));
        let one = log_in(store.clone(), who.clone(), 2, 0).await;
        let two = log_in(store.clone(), who.clone(), 2, 0).await;
        unsettle(&server, &who, &one, 2);
        assert!(is_live(&store, &one).await && is_live(&store, &two).await);
        let three = log_in(store.clone(), who.clone(), 2, 0).await;
        let there = [one, two, three].map(|ticket| ticket.id);
        let mut listed: Vec<SessionId> = Vec::new();
        for session in store.sessions_of(&who.id, now()).await.unwrap() {
            listed.push(session.id);
        }
        assert!(!listed.contains(&there[0]) && listed.contains(&there[1]) && listed.contains(&there[2]));
    }
}

/// A request finds a login that is not settled, and before it can do so another login ends that session.
#[tokio::test]
async fn fault_f2_who_finishes_a_login_that_has_ended_ends_nobody_else() {
    for server in Server::each(&[]) {
        let (store, who) = (store(&server).await, owner("alice"));
        let proxy = Proxy::start(server.port).await;
        let late = RedisStore::connect(&proxy.url()).await.unwrap();
        let one = log_in(store.clone(), who.clone(), 1, 0).await;
        unsettle(&server, &who, &one, 1);
        proxy.hold_on(&key_of(&who.id));
        let loading = tokio::spawn(async move { late.load(&one, now()).await });
        proxy.held().await;
        let two = log_in(store.clone(), who.clone(), 1, 0).await;
        proxy.go_on();
        assert_eq!(loading.await.unwrap().unwrap(), Loaded::Missing);
        assert!(is_live(&store, &two).await);
    }
}

/// A request finds a login that is not settled. Before it can settle it another one does so, and the
/// user ends all sessions but this one.
#[tokio::test]
async fn fault_a6_who_finishes_a_login_late_does_not_end_what_was_settled_in_time() {
    for server in Server::each(&[]) {
        let (store, who) = (store(&server).await, owner("alice"));
        for by_epoch in [false, true] {
            let proxy = Proxy::start(server.port).await;
            let late = RedisStore::connect(&proxy.url()).await.unwrap();
            let one = log_in(store.clone(), who.clone(), 1, 0).await;
            unsettle(&server, &who, &one, 1);
            let id = one.id.to_string();
            let mark = store.begin_login(&who.id, now()).await.unwrap().number;
            let record = format!("session:{id}");
            let login: String = redis::from_redis_value(server.ask(&["HGET", &record, "login"])).unwrap();
            drop(server.ask(&["HSET", &record, "login", &login.replace('-', &mark.to_string())]));
            proxy.hold_on(&key_of(&who.id));
            let loading = tokio::spawn(async move { late.load(&one, now()).await });
            proxy.held().await;
            assert!(is_live(&store, &one).await);
            if by_epoch {
                store.delete_begun(&Epoch::before(0)).await.unwrap();
            } else {
                let others = Which::AllBut(one.id);
                store.delete_of(&who.id, &others, now()).await.unwrap();
            }
            proxy.go_on();
            assert!(matches!(loading.await.unwrap().unwrap(), Loaded::Live(_)));
            assert!(is_live(&store, &one).await);
        }
    }
}

/// All sessions end between the first step of a login and the second one.
#[tokio::test]
async fn fault_a6_an_end_in_the_middle_of_a_login_refuses_it() {
    for server in Server::each(&[]) {
        let store = store(&server).await;
        for (by_epoch, known) in [(false, false), (false, true), (true, false), (true, true)] {
            let who = owner(&format!("{by_epoch} {known}"));
            let proxy = Proxy::start(server.port).await;
            let late = RedisStore::connect(&proxy.url()).await.unwrap();
            let (ticket, mut record) = session("a");
            if known {
                create(&store, &ticket, &record).await;
            }
            record.owner = Some(who.clone());
            let login = Login::new(late.begin_login(&who.id, now()).await.unwrap().number);
            let mut changes = Changes::new(now(), now() + DAY);
            (changes.owner, changes.login) = (Field::Set(who.clone()), Some(login));
            let key = format!("session:{}", ticket.id);
            let logging_in = tokio::spawn(async move {
                if known {
                    late.apply(&ticket, &changes, now()).await.unwrap() == Applied::Updated
                } else {
                    late.create(&ticket.id, &record, Some(&login), now()).await.unwrap() == Created::Created
                }
            });
            // An existing session asks for the owner's mark first.
            if known {
                proxy.hold_on(&who.name);
                proxy.held().await;
            }
            proxy.hold_on(&key_of(&who.id));
            if known {
                proxy.go_on();
            }
            proxy.held().await;
            assert_eq!(server.ask(&["HEXISTS", &key, "login"]), Value::Int(1));
            if by_epoch {
                store.delete_begun(&Epoch::before(0)).await.unwrap();
            } else {
                store.delete_of(&who.id, &Which::All, now()).await.unwrap();
            }
            proxy.go_on();
            assert!(!logging_in.await.unwrap(), "by epoch {by_epoch}, known {known}");
            assert_eq!(store.load(&ticket, now()).await.unwrap(), Loaded::Missing);
            assert_eq!(held(&server, &who.id), 0);
        }
    }
}
