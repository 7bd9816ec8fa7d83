//! Waits and loops that had no end, lifetimes above the limit, and what is written after a load
//! that failed.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use http_session::{Error, Key, Session, SessionLayer};

use crate::{
    client::{ask, visit},
    map_store::MapStore,
    map_world::*,
    support::*,
};

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;
type Step = for<'a> fn(&'a Session) -> Boxed<'a>;

const LOAD: Step = |session| Box::pin(session.load());
const SAVE: Step = |session| Box::pin(session.save());
const UPDATE: Step = |session| {
    Box::pin(async move {
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).await?;
        Ok(())
    })
};

#[tokio::test(start_paused = true)]
async fn fault_a5_nobody_waits_for_ever_for_a_turn_whose_holder_is_not_polled() {
    for (name, holder, step) in [
        ("load", LOAD, "load"),
        ("save", SAVE, "load"),
        ("save", SAVE, "apply"),
        ("update", UPDATE, "apply"),
    ] {
        for (waiting, waiter) in [("load", LOAD), ("save", SAVE), ("update", UPDATE)] {
            let world = world_of(|layer| layer.store_timeout(Duration::from_secs(2)));
            let jar = world.jar().await;
            world.store.hold_before(step);
            let response = ask(&world.layer, &jar.header("/"), async |session: Session| {
                if step == "apply" {
                    session.load().await.unwrap();
                }
                session.insert("m", 1).unwrap();
                let mut held = holder(&session);
                assert!(held.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                let began = tokio::time::Instant::now();
                let result = waiter(&session).await;
                if step == "apply" && waiting == "load" {
                    result.unwrap();
                } else {
                    let error = result.unwrap_err();
                    assert!(
                        matches!(error, Error::Store { .. }),
                        "{waiting} behind {name}: {error:?}"
                    );
                    assert_eq!(began.elapsed(), Duration::from_secs(2), "{waiting} behind {name}");
                }
                // It was the other one's doing: nothing is wrong with the session once it goes on.
                world.store.open();
                held.await.unwrap();
                waiter(&session).await.unwrap();
                ok()
            })
            .await;
            assert_eq!(response.status(), 200, "{waiting} behind {name}");
            let values = world.store.record().values;
            let m: Vec<_> = values.iter().filter(|(key, _)| *key == "m").collect();
            assert_eq!(m, [("m", "1")]);
        }
    }
}

#[tokio::test]
async fn fault_a20_an_update_whose_closure_writes_the_same_key_comes_to_an_end() {
    let store = MapStore::new();
    for layer in [
        SessionLayer::encrypted(Key::generate().unwrap()),
        SessionLayer::with_store(store),
    ] {
        ask(&layer, "", async |session: Session| {
            let (mut calls, mut n) = (0, 0_u64);
            let result = session
                .update("n", |_: Option<u64>| {
                    calls += 1;
                    n += 1;
                    session.insert("n", n).unwrap();
                    0
                })
                .await;
            assert!(
                matches!(&result, Err(Error::Contended { key, .. }) if key == "n"),
                "{result:?}"
            );
            assert_eq!(calls, 100);
            assert_eq!(
                session.get::<u64>("n").unwrap(),
                Some(100),
                "nothing but what the closure wrote"
            );
            // One that does so now and then is no such case.
            let mut once = true;
            let new = session
                .update("n", |n: Option<u64>| {
                    if std::mem::take(&mut once) {
                        session.insert("n", 7).unwrap();
                    }
                    n.unwrap_or(0) + 1
                })
                .await;
            assert_eq!(new.unwrap(), 8);
            ok()
        })
        .await;
    }
}

thread_local! {
    static AT_WORK: std::cell::RefCell<Option<(Session, u64)>> = const { std::cell::RefCell::new(None) };
}

/// Writes to the session while it is read from it.
#[derive(Debug, serde::Serialize)]
struct Restless;

impl<'de> serde::Deserialize<'de> for Restless {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        u64::deserialize(from)?;
        AT_WORK.with_borrow_mut(|at_work| {
            let (session, n) = at_work.as_mut().unwrap();
            *n += 1;
            session.insert("n", *n).unwrap();
        });
        Ok(Self)
    }
}

#[test]
fn fault_a20_so_does_a_take_and_get_or_insert_with_never_tries_again() {
    let layer = SessionLayer::encrypted(Key::generate().unwrap());
    send(&layer, "", |session| {
        session.insert("n", 0).unwrap();
        AT_WORK.set(Some((session.clone(), 0)));
        let taken = session.take::<Restless>("n");
        assert!(matches!(taken, Err(Error::Contended { .. })), "{taken:?}");
        assert_eq!(session.get::<u64>("n").unwrap(), Some(100), "it stays");
        session.get_or_insert_with("n", || Restless).unwrap();
        assert_eq!(AT_WORK.take().unwrap().1, 101);
        ok()
    });
}

#[tokio::test]
async fn fault_f7_a_lifetime_above_the_limit_is_an_error_that_names_the_setter() {
    let store = MapStore::new();
    for layer in [
        SessionLayer::encrypted(Key::generate().unwrap()),
        SessionLayer::with_store(store.clone()),
    ] {
        let response = ask(&layer, "", async |session: Session| {
            session.insert("n", 1).unwrap();
            session.set_max_age(DAY * 7).unwrap();
            let error = session.set_max_age(DAY * 30).unwrap_err();
            assert!(matches!(error, Error::Config { .. }));
            assert!(error.to_string().contains("`max_age_limit`"), "{error}");
            ok()
        })
        .await;
        let lines = set_cookies(response.headers());
        assert!(lines[0].contains("Max-Age=604800"), "as it was: {lines:?}");
    }
}

#[tokio::test]
async fn fault_f7_remember_me_outlives_the_browser_and_all_others_do_not() {
    let (store, clock) = (MapStore::new(), Clock::new());
    for layer in [
        SessionLayer::encrypted(Key::generate().unwrap()),
        SessionLayer::with_store(store.clone()),
    ] {
        let layer = layer
            .browser_session(true)
            .max_age(DAY)
            .max_age_limit(DAY * 30)
            .clock(clock.reader())
            .build()
            .unwrap();
        for (ticked, told) in [(true, Some("Max-Age=2592000")), (false, None)] {
            let mut jar = Jar::new();
            let response = visit(&mut jar, &layer, async |session: Session| {
                session.authenticated().unwrap();
                session.insert("user", 1).unwrap();
                if ticked {
                    session.set_max_age(DAY * 30).unwrap();
                }
                ok()
            })
            .await;
            let lines = set_cookies(response.headers());
            assert_eq!(
                lines.iter().find_map(|line| told.filter(|told| line.contains(told))),
                told
            );
            assert_eq!(lines[0].contains("Max-Age"), ticked, "{lines:?}");
            // A later write says so again, when the browser would otherwise drop the cookie too
            // soon.
            clock.advance(DAY / 2);
            let response = visit(&mut jar, &layer, async |session: Session| {
                session.load().await.unwrap();
                session.insert("n", clock.now()).unwrap();
                ok()
            })
            .await;
            assert!(
                set_cookies(response.headers())
                    .iter()
                    .all(|line| line.contains("Max-Age") == ticked)
            );
            clock.advance(DAY * 20);
            let response = ask(&layer, &jar.header("/"), async |session: Session| {
                session.load().await.unwrap();
                assert_eq!(session.is_new().unwrap(), !ticked);
                // A logout ends that, too: the next user is not remembered.
                session.clear().unwrap();
                session.insert("flash", 1).unwrap();
                ok()
            })
            .await;
            assert!(!set_cookies(response.headers())[0].contains("Max-Age"));
        }
    }
}

#[tokio::test]
async fn fault_a18_after_a_load_that_failed_nothing_is_written_until_one_succeeds() {
    for again in [false, true] {
        let world = world();
        let mut jar = world.jar().await;
        let before = world.store.record();
        let response = visit(&mut jar, &world.layer, async |session: Session| {
            session.load().await.unwrap();
            session.insert("pending", 1).unwrap();
            // Another is first, and then the store goes away.
            world.store.conflict(1);
            world.store.hold_after("apply");
            let update = session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1);
            let fails = async {
                world.store.held().await;
                world.store.down(true);
                world.store.open();
            };
            let (updated, ()) = tokio::join!(update, fails);
            assert!(matches!(updated, Err(Error::Store { .. })), "{updated:?}");
            world.store.down(false);
            assert!(matches!(session.insert("more", 1), Err(Error::Store { .. })));
            assert!(matches!(session.save().await, Err(Error::Store { .. })));
            assert_eq!(world.store.record(), before);
            if again {
                session.load().await.unwrap();
                session.insert("more", 1).unwrap();
            }
            ok()
        })
        .await;
        if again {
            assert_eq!(response.status(), 200);
            assert_eq!(texts(&world), [pair("more", "1"), pair("n", "1"), pair("pending", "1")]);
        } else {
            assert_eq!(response.status(), 503, "what was changed is not dropped in silence");
            assert_eq!(world.store.record(), before);
            assert_eq!(set_cookies(response.headers()), [""; 0]);
        }
    }
}

#[tokio::test]
async fn fault_a18_nor_is_a_session_prolonged_or_what_came_before_the_first_load_written() {
    let world = world_of(|layer| layer.rolling(true));
    let jar = world.jar().await;
    let before = world.store.record();
    world.clock.advance(DAY * 7);
    let response = ask(&world.layer, &jar.header("/"), async |session: Session| {
        session.insert("pending", 1).unwrap();
        world.store.down(true);
        session.load().await.unwrap_err();
        session.save().await.unwrap_err();
        ok()
    })
    .await;
    assert_eq!(
        (response.status().as_u16(), set_cookies(response.headers()).len()),
        (503, 0)
    );
    world.store.down(false);
    assert_eq!(world.store.record(), before);
}

#[tokio::test(start_paused = true)]
async fn fault_b5_what_a_store_may_have_carried_out_is_told_until_it_has_answered() {
    let update: Step = |session| {
        Box::pin(async move {
            session.update("m", |m: Option<u64>| m.unwrap_or(0) + 1).await?;
            Ok(())
        })
    };
    for (name, then, conflicts) in [("load", LOAD, 0), ("update", update, 0), ("update", update, 1)] {
        let world = world_of(|layer| layer.store_timeout(Duration::from_secs(2)));
        let mut jar = world.jar().await;
        visit(&mut jar, &world.layer, async |session: Session| {
            session.load().await.unwrap();
            session.insert("n", 2).unwrap();
            world.store.hold_after("apply");
            session.save().await.unwrap_err();
            world.store.open();
            assert_eq!(world.store.record().values.get("n"), Some("2"), "the answer was lost");
            // Back to what it was, as far as was ever heard.
            session.insert("n", 1).unwrap();
            world.store.conflict(conflicts);
            then(&session).await.unwrap();
            assert!(session.is_modified());
            ok()
        })
        .await;
        let values = world.store.record().values;
        assert_eq!(values.get("n"), Some("1"), "{name}, {conflicts} conflicts");
        assert_eq!(values.get("m"), (name == "update").then_some("1"));
    }
}
