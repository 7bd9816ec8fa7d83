//! One session on many threads: what is written while the response leaves, and user code that uses the session it is
//! called for.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/plain.rs"]
mod plain;
mod support;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use http::{Response, StatusCode, header::VARY};
use http_session::{Error, Session, SessionLayer};
use plain::{ID, Plain, planted, read, removed, sent, sent_json};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use support::*;

const THREADS: usize = 4;
const ROUNDS: usize = 200;

type Map = BTreeMap<String, u64>;

fn map(json: Option<&str>) -> Map {
    json.map(|json| serde_json::from_str(json).unwrap()).unwrap_or_default()
}

/// The clock is asked between the seal and the last look at the data: the very moment that a late write would hit.
fn slow_clock() -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let clock = Clock::new();
    move || {
        thread::yield_now();
        clock.now()
    }
}

/// Does `work` on a clone of the session in each thread; it calls its last argument after each step. The handler answers
/// once all threads have done one; each goes on until it is refused. Returns the response and what the threads returned.
fn hammer<T: Send + 'static>(
    layer: &SessionLayer,
    cookie: &str,
    answer: impl FnOnce(&Session) -> Response<String>,
    work: impl Fn(&Session, usize, &dyn Fn()) -> T + Send + Sync + 'static,
) -> (Response<String>, Vec<T>) {
    let work = Arc::new(work);
    let begun = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    let response = send(layer, cookie, |session| {
        threads.extend((0..THREADS).map(|number| {
            let (session, work) = (session.clone(), work.clone());
            let (begun, over) = (begun.clone(), over.clone());
            thread::spawn(move || {
                let (steps, late) = (Cell::new(0), Cell::new(0));
                work(&session, number, &|| {
                    steps.set(steps.get() + 1);
                    if steps.get() == 1 {
                        begun.fetch_add(1, Ordering::SeqCst);
                    }
                    // What was written before may be told only now, but then it must come to an end.
                    if over.load(Ordering::SeqCst) {
                        late.set(late.get() + 1);
                        assert!(late.get() < 2, "a write after the response was not refused");
                    }
                })
            })
        }));
        while begun.load(Ordering::SeqCst) < THREADS {
            thread::yield_now();
        }
        answer(session)
    });
    over.store(true, Ordering::SeqCst);
    let results = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    (response, results)
}

/// Fails instead of hanging.
fn within_a_minute<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let worker = thread::spawn(move || {
        let _ = done.send(work());
    });
    match result.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!(),
        },
    }
}

#[test]
fn rule_23_every_write_that_was_ok_is_in_the_cookie_and_every_other_one_got_the_error() {
    let layer = SessionLayer::with_codec(Plain::new()).clock(slow_clock());
    // So that going back to what was is among the writes.
    let base: Map = (0..THREADS).map(|number| (format!("t{number}"), 0)).collect();
    let base_json = serde_json::to_string(&base).unwrap();
    for round in 0..ROUNDS {
        let cookie = if round % 2 == 0 {
            String::new()
        } else {
            planted(&base_json, &Clock::new())
        };
        let known = if round % 2 == 0 { Map::new() } else { base.clone() };
        let (response, results) = hammer(
            &layer,
            &cookie,
            |_| ok(),
            move |session, number, begun| {
                let key = format!("t{number}");
                let mut last = known.get(&key).copied();
                let mut counted = 0;
                for n in 0_u64.. {
                    let (result, next) = match n % 4 {
                        3 => (session.remove(&key), None),
                        value => (session.insert(&key, value), Some(value)),
                    };
                    match result {
                        Ok(()) => last = next,
                        Err(Error::HeadersSent) => break,
                        Err(error) => panic!("{error}"),
                    }
                    match poll_now(session.update("all", |all: Option<u64>| all.unwrap_or(0) + 1)) {
                        Ok(_) => counted += 1,
                        Err(Error::HeadersSent) => break,
                        Err(error) => panic!("{error}"),
                    }
                    begun();
                }
                let late = (0..10).all(|n| matches!(session.insert(&key, n), Err(Error::HeadersSent)));
                assert!(late, "refused once, refused for ever");
                (key, last, counted)
            },
        );
        let json = sent_json(response.headers()).expect("`all` has changed");
        let mut written = map(Some(&json));
        assert_eq!(
            written.remove("all"),
            Some(results.iter().map(|(.., counted)| counted).sum())
        );
        let wanted: Map = results
            .into_iter()
            .filter_map(|(key, last, _)| Some((key, last?)))
            .collect();
        assert_eq!(written, wanted, "round {round}");
    }
}

#[test]
fn rule_23_writes_that_return_to_what_was_are_not_lost_beside_saves() {
    let layer = SessionLayer::with_codec(Plain::new().on_encode(thread::yield_now)).clock(slow_clock());
    let base: Map = (0..THREADS).map(|number| (format!("t{number}"), 0)).collect();
    let base_json = serde_json::to_string(&base).unwrap();
    for round in 0..ROUNDS {
        let cookie = planted(&base_json, &Clock::new());
        let (response, results) = hammer(
            &layer,
            &cookie,
            |_| ok(),
            move |session, number, begun| {
                let key = format!("t{number}");
                let mut last = 0;
                for n in 0_u64.. {
                    match session.insert(&key, n % 2) {
                        Ok(()) => last = n % 2,
                        Err(Error::HeadersSent) => break,
                        Err(error) => panic!("{error}"),
                    }
                    match poll_now(session.save()) {
                        Ok(()) => begun(),
                        Err(Error::HeadersSent) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                assert!(matches!(poll_now(session.save()), Err(Error::HeadersSent)));
                (key, last)
            },
        );
        let written = sent_json(response.headers()).unwrap_or_else(|| base_json.clone());
        assert_eq!(map(Some(&written)), results.into_iter().collect(), "round {round}");
    }
}

#[test]
fn rule_23_a_session_that_threads_fill_save_and_empty_ends_as_they_left_it() {
    let layer = SessionLayer::with_codec(Plain::new().on_encode(thread::yield_now)).clock(slow_clock());
    for round in 0..ROUNDS {
        // Every other client has a cookie already.
        let cookie = if round % 2 == 0 {
            String::new()
        } else {
            planted(r#"{"t0":1}"#, &Clock::new())
        };
        let mut jar = Jar::new();
        if !cookie.is_empty() {
            jar.set(&format!("{cookie}; Path=/; Secure"));
        }
        let begins_with = usize::from(!cookie.is_empty());
        let (response, results) = hammer(
            &layer,
            &cookie,
            |_| ok(),
            move |session, number, begun| {
                let key = format!("t{number}");
                let mut there = number < begins_with;
                for n in number.. {
                    let result = if n % 2 == 0 {
                        session.insert(&key, 1).map(|()| there = true)
                    } else {
                        session.remove(&key).map(|()| there = false)
                    };
                    let saved = result.and_then(|()| poll_now(session.save()));
                    match saved {
                        Ok(()) => begun(),
                        Err(Error::HeadersSent) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                there.then_some(key)
            },
        );
        jar.receive(response.headers());
        let written = jar
            .0
            .first()
            .map(|stored| read(&stored.value).unwrap().json().to_owned());
        let written: BTreeSet<String> = map(written.as_deref()).into_keys().collect();
        assert_eq!(written, results.into_iter().flatten().collect(), "round {round}");
    }
}

#[test]
fn rule_23_what_was_saved_is_sent_whatever_becomes_of_the_commit() {
    let fails = |session: &Session| {
        session.insert("big", "x".repeat(5_000)).unwrap();
        ok()
    };
    let discards = |_: &Session| {
        let mut response = ok();
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    let layer = SessionLayer::with_codec(Plain::new()).clock(slow_clock());
    for round in 0..ROUNDS {
        let answer: fn(&Session) -> Response<String> = if round % 2 == 0 { fails } else { discards };
        let (response, results) = hammer(&layer, "", answer, |session, number, begun| {
            let key = format!("t{number}");
            let (mut last, mut saved) = (0, 0);
            for n in 1_u64.. {
                match session.insert(&key, n) {
                    Ok(()) => last = n,
                    Err(Error::HeadersSent) => break,
                    Err(error) => panic!("{error}"),
                }
                match poll_now(session.save()) {
                    Ok(()) => {
                        saved = n;
                        begun();
                    }
                    Err(Error::TooLarge { .. }) => begun(),
                    Err(Error::HeadersSent) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            (key, saved, last)
        });
        assert!(response.status().is_server_error());
        let json = sent_json(response.headers());
        let written = map(json.as_deref());
        for (key, saved, last) in results {
            let value = written.get(&key).copied().unwrap_or(0);
            assert!(
                (saved..=last).contains(&value),
                "round {round}: {saved} <= {value} <= {last}"
            );
        }
    }
}

#[test]
fn rule_23_a_save_that_has_begun_is_waited_for() {
    let (begun, begins) = mpsc::channel();
    let codec = Plain::new().on_encode(move || {
        begun.send(()).unwrap();
        // Time enough for a commit that does not wait.
        (0..1_000).for_each(|_| thread::yield_now());
    });
    let layer = SessionLayer::with_codec(codec).clock(Clock::new().reader());
    for _ in 0..20 {
        let mut saver = None;
        let response = send(&layer, "", |session| {
            session.insert("a", 1).unwrap();
            let session = session.clone();
            saver = Some(thread::spawn(move || poll_now(session.save())));
            begins.recv().unwrap();
            // Everything is dropped but what is saved.
            let mut response = ok();
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        });
        saver.unwrap().join().unwrap().unwrap();
        assert_eq!(sent_json(response.headers()).as_deref(), Some(r#"{"a":1}"#));
    }
}

#[test]
fn rule_23_a_first_read_beside_the_commit_is_told_to_caches_or_refused() {
    let layer = SessionLayer::with_codec(Plain::new().on_decode(thread::yield_now)).clock(slow_clock());
    let (mut reads, mut refusals) = (0, 0);
    for round in 0..ROUNDS {
        let (go, gone) = mpsc::channel();
        let mut reader = None;
        let response = send(&layer, &planted(r#"{"a":1}"#, &Clock::new()), |session| {
            let session = session.clone();
            reader = Some(thread::spawn(move || {
                go.send(()).unwrap();
                (0..round % 7).for_each(|_| thread::yield_now());
                session.get::<u8>("a")
            }));
            gone.recv().unwrap();
            (0..round % 11).for_each(|_| thread::yield_now());
            ok()
        });
        let told = response.headers().contains_key(VARY);
        match reader.unwrap().join().unwrap() {
            Ok(value) => {
                assert_eq!(value, Some(1));
                assert!(told, "a value was read and no cache was told");
                reads += 1;
            }
            Err(Error::HeadersSent) => {
                assert!(!told);
                refusals += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(reads + refusals, ROUNDS);
}

#[test]
fn rule_23_a_client_that_hangs_up_ends_all_writing() {
    use http::Request;
    use tower::{Layer, Service, service_fn};

    let layer = SessionLayer::with_codec(Plain::new()).clock(slow_clock());
    for _ in 0..50 {
        let leaked = Mutex::new(None);
        let mut service = layer.layer(service_fn(|request: Request<()>| {
            *leaked.lock().unwrap() = request.extensions().get::<Session>().cloned();
            std::future::pending::<Result<Response<String>, std::convert::Infallible>>()
        }));
        let future = service.call(Request::new(()));
        let session: Session = leaked.lock().unwrap().take().unwrap();
        session.insert("a", 0).unwrap();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let session = session.clone();
                // It ends only if it is refused.
                thread::spawn(move || while session.insert("a", 1).and_then(|()| poll_now(session.save())).is_ok() {})
            })
            .collect();
        drop(future);
        within_a_minute("writing on after the end", move || {
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

// --- While a save is at work.

#[test]
fn what_is_written_while_a_save_is_at_work_is_in_the_response_even_if_it_undoes_the_save() {
    struct Case {
        what: &'static str,
        came: Option<&'static str>,
        before: fn(&Session),
        meanwhile: fn(&Session),
        after: fn(&Session),
        left: Option<&'static str>,
    }
    let nothing: fn(&Session) = |_| {};
    let cases = [
        Case {
            what: "more",
            came: None,
            before: |s| s.insert("a", 1).unwrap(),
            meanwhile: |s| s.insert("b", 2).unwrap(),
            after: nothing,
            left: Some(r#"{"a":1,"b":2}"#),
        },
        Case {
            what: "back to what came, meanwhile",
            came: Some(r#"{"a":1}"#),
            before: |s| s.insert("a", 2).unwrap(),
            meanwhile: |s| s.insert("a", 1).unwrap(),
            after: nothing,
            left: Some(r#"{"a":1}"#),
        },
        Case {
            what: "back to what came, afterwards",
            came: Some(r#"{"a":1}"#),
            before: |s| s.insert("a", 2).unwrap(),
            meanwhile: |s| s.insert("a", 3).unwrap(),
            after: |s| s.insert("a", 1).unwrap(),
            left: Some(r#"{"a":1}"#),
        },
        Case {
            what: "emptied meanwhile, and none came",
            came: None,
            before: |s| s.insert("a", 1).unwrap(),
            meanwhile: |s| s.remove("a").unwrap(),
            after: nothing,
            left: None,
        },
        Case {
            what: "emptied afterwards, and none came",
            came: None,
            before: |s| s.insert("a", 1).unwrap(),
            meanwhile: |s| s.insert("b", 1).unwrap(),
            after: |s| {
                s.remove("a").unwrap();
                s.remove("b").unwrap();
            },
            left: None,
        },
        Case {
            what: "destroyed meanwhile",
            came: Some(r#"{"a":1}"#),
            before: |s| s.insert("a", 2).unwrap(),
            meanwhile: |s| s.destroy().unwrap(),
            after: nothing,
            left: None,
        },
        Case {
            what: "destroyed and begun anew meanwhile",
            came: Some(r#"{"a":1}"#),
            before: |s| s.insert("a", 2).unwrap(),
            meanwhile: |s| {
                s.destroy().unwrap();
                s.insert("a", 2).unwrap();
            },
            after: nothing,
            left: Some(r#"{"a":2}"#),
        },
        Case {
            what: "emptied and filled with what was saved",
            came: None,
            before: |s| s.insert("a", 1).unwrap(),
            meanwhile: |s| s.remove("a").unwrap(),
            after: |s| s.insert("a", 1).unwrap(),
            left: Some(r#"{"a":1}"#),
        },
    ];
    for case in cases {
        for saves_again in [false, true] {
            let clock = Clock::new();
            let handle: Arc<Mutex<Option<Session>>> = Arc::default();
            let codec = Plain::new().on_encode({
                let handle = handle.clone();
                move || {
                    let session = handle.lock().unwrap().take();
                    if let Some(session) = session {
                        (case.meanwhile)(&session);
                    }
                }
            });
            let layer = SessionLayer::with_codec(codec).clock(clock.reader());
            let mut jar = Jar::new();
            if let Some(json) = case.came {
                jar.set(&format!("{}; Path=/; Secure", planted(json, &clock)));
            }
            jar.visit(&layer, |session| {
                (case.before)(session);
                *handle.lock().unwrap() = Some(session.clone());
                poll_now(session.save()).unwrap();
                assert!(handle.lock().unwrap().is_none(), "the codec was not asked");
                (case.after)(session);
                if saves_again {
                    poll_now(session.save()).unwrap();
                    assert!(!session.is_modified(), "{}", case.what);
                }
                ok()
            });
            let left = jar
                .0
                .first()
                .map(|stored| read(&stored.value).unwrap().json().to_owned());
            assert_eq!(left.as_deref(), case.left, "{}", case.what);
        }
    }
}

#[test]
fn a_renewal_while_a_save_is_at_work_is_final() {
    let handle: Arc<Mutex<Option<Session>>> = Arc::default();
    let codec = Plain::new().on_encode({
        let handle = handle.clone();
        move || {
            let session = handle.lock().unwrap().take();
            if let Some(session) = session {
                session.renew().unwrap();
            }
        }
    });
    let clock = Clock::new();
    let layer = SessionLayer::with_codec(codec).clock(clock.reader());
    let response = send(&layer, &planted(r#"{"a":1}"#, &clock), |session| {
        session.insert("a", 2).unwrap();
        *handle.lock().unwrap() = Some(session.clone());
        poll_now(session.save()).unwrap();
        session.insert("a", 1).unwrap();
        ok()
    });
    let payload = sent(response.headers()).unwrap();
    assert_eq!(payload.json(), r#"{"a":1}"#);
    assert!(payload.id().is_some_and(|id| id != ID));
}

// --- Reading and writing in one step.

#[test]
fn update_loses_no_increment() {
    let layer = SessionLayer::with_codec(Plain::new()).clock(Clock::new().reader());
    const EACH: u64 = 500;
    let response = send(&layer, "", |session| {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut seen = 0;
                    for _ in 0..EACH {
                        let now = poll_now(session.update("n", |n: Option<u64>| {
                            thread::yield_now();
                            n.unwrap_or(0) + 1
                        }))
                        .unwrap();
                        assert!(now > seen, "what it returns is what it set");
                        seen = now;
                    }
                });
            }
        });
        ok()
    });
    let total = THREADS as u64 * EACH;
    assert_eq!(sent_json(response.headers()).unwrap(), format!(r#"{{"n":{total}}}"#));
}

#[test]
fn of_many_takers_one_gets_the_value_and_of_many_makers_all_get_the_same() {
    for _ in 0..ROUNDS {
        let session = Session::new();
        session.insert("flash", "hello").unwrap();
        let taken = AtomicUsize::new(0);
        let made = Mutex::new(BTreeSet::new());
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (session, taken, made) = (session.clone(), &taken, &made);
                scope.spawn(move || {
                    if session.take::<String>("flash").unwrap().is_some() {
                        taken.fetch_add(1, Ordering::SeqCst);
                    }
                    let value = session
                        .get_or_insert_with("made", || {
                            thread::yield_now();
                            number
                        })
                        .unwrap();
                    made.lock().unwrap().insert(value);
                });
            }
        });
        assert_eq!(taken.into_inner(), 1);
        assert_eq!(made.into_inner().unwrap().len(), 1);
        assert_eq!(session.keys().unwrap(), ["made"]);
    }
}

#[test]
fn take_takes_what_it_returns() {
    /// While it is read, the value becomes another.
    #[derive(Debug, PartialEq)]
    struct Changing(u8);
    impl<'de> Deserialize<'de> for Changing {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            if let Some(session) = AT_HAND.take() {
                session.insert("a", 2).unwrap();
            }
            u8::deserialize(deserializer).map(Self)
        }
    }
    let session = Session::new();
    session.insert("a", 1).unwrap();
    hand(&session);
    assert_eq!(session.take::<Changing>("a").unwrap(), Some(Changing(2)));
    was_reached();
    assert!(!session.contains_key("a").unwrap());
}

#[test]
fn clones_are_one_session_on_every_thread() {
    let layer = SessionLayer::with_codec(Plain::new()).clock(Clock::new().reader());
    let response = send(&layer, "", |session| {
        let clone = session.clone();
        thread::spawn(move || clone.insert("from afar", 1).unwrap())
            .join()
            .unwrap();
        assert_eq!(session.get::<u8>("from afar").unwrap(), Some(1));
        assert!(session.is_modified());
        session.insert("here", 2).unwrap();
        let clone = session.clone();
        let seen = thread::spawn(move || clone.get::<u8>("here").unwrap()).join().unwrap();
        assert_eq!(seen, Some(2));
        ok()
    });
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"from afar":1,"here":2}"#);
}

// --- No user code under the lock.

thread_local! {
    /// The session that user code reaches for, once.
    static AT_HAND: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// Puts the session at hand for the code that runs next.
fn hand(session: &Session) {
    AT_HAND.set(Some(session.clone()));
}

/// What user code does with the session at hand; then it is taken.
fn reach() {
    if let Some(session) = AT_HAND.take() {
        use_everything(&session);
    }
}

fn was_reached() {
    assert!(
        AT_HAND.take().is_none(),
        "the code that should have used the session never ran"
    );
}

fn use_everything(session: &Session) {
    // Some of it is refused after the seal; none of it may hang.
    let _ = session.len();
    let _ = session.get::<serde_json::Value>("a");
    let _ = session.to_map::<BTreeMap<String, serde_json::Value>>();
    let _ = session.keys();
    let _ = session.contains_key("a");
    let _ = (
        session.is_new(),
        session.created_at(),
        session.authenticated_at(),
        session.expires_at(),
    );
    let _ = (session.rejected(), session.is_modified(), format!("{session:?}"));
    let _ = session.insert("nosy", 1);
    let _ = session.take::<u8>("nosy");
    let _ = poll_now(session.update("nosy", |_: Option<u8>| 2));
    let _ = session.get_or_insert_with("nosy", || 3);
    let _ = session.remove("nosy");
    let _ = session.set_max_age(Duration::from_secs(60));
    let _ = session.renew();
    let _ = session.authenticated();
}

fn done<T>(result: Result<T, Error>) {
    let _: T = result.unwrap();
}

/// Reaches for the session while it is written, and while it is read.
struct Nosy;

impl Serialize for Nosy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        reach();
        serializer.serialize_u8(0)
    }
}

impl<'de> Deserialize<'de> for Nosy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        reach();
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[test]
fn values_may_use_the_session_while_they_are_read_and_written() {
    within_a_minute("a value that uses the session", || {
        let layer = SessionLayer::with_codec(Plain::new()).clock(Clock::new().reader());
        let deeds: [fn(&Session); 8] = [
            |s| s.insert("a", Nosy).unwrap(),
            |s| done(s.get::<Nosy>("a")),
            |s| done(s.take::<Nosy>("a")),
            |s| done(s.to_map::<BTreeMap<String, Nosy>>()),
            |s| done(s.get_or_insert_with("a", || Nosy)),
            |s| done(s.get_or_insert_with("new", || Nosy)),
            |s| done(poll_now(s.update("a", |_: Option<Nosy>| Nosy))),
            |s| done(poll_now(s.update("new", |_: Option<Nosy>| Nosy))),
        ];
        for deed in deeds {
            send(&layer, &planted(r#"{"a":1}"#, &Clock::new()), |session| {
                hand(session);
                deed(session);
                was_reached();
                ok()
            });
        }
    });
}

#[test]
fn closures_may_use_the_session_they_are_called_for() {
    within_a_minute("a closure that uses the session", || {
        let layer = SessionLayer::with_codec(Plain::new()).clock(Clock::new().reader());
        let response = send(&layer, &planted(r#"{"a":1}"#, &Clock::new()), |session| {
            let made = session.get_or_insert_with("made", || {
                use_everything(session);
                poll_now(session.save()).unwrap();
                // It is there when the closure returns, so that is the value.
                session.insert("made", 1).unwrap();
                2
            });
            assert_eq!(made.unwrap(), 1);
            let mut calls = 0;
            let updated = poll_now(session.update("a", |a: Option<u8>| {
                calls += 1;
                if calls == 1 {
                    use_everything(session);
                    poll_now(session.save()).unwrap();
                    session.insert("a", 10).unwrap();
                }
                a.unwrap() + 1
            }));
            assert_eq!((updated.unwrap(), calls), (11, 2), "called again with the newer value");
            ok()
        });
        assert_eq!(sent_json(response.headers()).unwrap(), r#"{"a":11,"made":1}"#);
    });
}

#[test]
fn the_clock_and_the_codec_may_use_the_session_they_are_asked_for() {
    within_a_minute("a clock or a codec that uses the session", || {
        let clock = Clock::new();
        let now = clock.reader();
        let cookie = planted(r#"{"a":1}"#, &clock);
        let asked_by_clock = SessionLayer::with_codec(Plain::new()).clock(move || {
            reach();
            now()
        });
        let asked_by_codec = SessionLayer::with_codec(Plain::new().on_decode(reach).on_encode(reach));
        let asked_by_codec = asked_by_codec.clock(clock.reader());
        for (layer, has_clock) in [(asked_by_clock, true), (asked_by_codec, false)] {
            send(&layer, &cookie, |session| {
                // The first use opens the cookie.
                hand(session);
                session.get::<u8>("a").unwrap();
                was_reached();
                if has_clock {
                    hand(session);
                    session.authenticated().unwrap();
                    was_reached();
                }
                session.insert("a", 2).unwrap();
                hand(session);
                poll_now(session.save()).unwrap();
                was_reached();
                session.insert("a", 3).unwrap();
                // For the commit.
                hand(session);
                ok()
            });
            was_reached();
            // After the seal it finds what is to be removed.
            let response = send(&layer, &cookie, |session| {
                session.destroy().unwrap();
                hand(session);
                ok()
            });
            AT_HAND.take();
            assert_eq!(removed(response.headers()), [plain::NAME]);
        }
    });
}

#[test]
fn a_panic_of_user_code_leaves_the_session_as_it_was() {
    let panics = Arc::new(AtomicBool::new(false));
    let codec = Plain::new().on_encode({
        let panics = panics.clone();
        move || assert!(!panics.load(Ordering::SeqCst), "as told")
    });
    let layer = SessionLayer::with_codec(codec).clock(Clock::new().reader());
    let response = send(&layer, &planted(r#"{"a":1}"#, &Clock::new()), |session| {
        let attempt = |deed: &dyn Fn()| {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed)).is_err());
        };
        attempt(&|| done(session.get_or_insert_with("b", || -> u8 { panic!("as told") })));
        let panicking = |_: Option<u8>| -> u8 { panic!("as told") };
        attempt(&|| done(poll_now(session.update("a", panicking))));
        session.insert("a", 2).unwrap();
        panics.store(true, Ordering::SeqCst);
        attempt(&|| done(poll_now(session.save())));
        panics.store(false, Ordering::SeqCst);
        assert!(session.is_modified());
        assert_eq!(session.keys().unwrap(), ["a"]);
        ok()
    });
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"a":2}"#);
}
