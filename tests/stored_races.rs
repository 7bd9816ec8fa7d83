//! Requests that come in each other's way, and futures that are dropped: nothing is lost, and nothing comes back.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/client.rs"]
mod client;
#[path = "support/map_store.rs"]
mod map_store;
#[path = "support/map_world.rs"]
mod map_world;
mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use client::{ask, visit};
use http::StatusCode;
use http_session::{Error, Reject, Session, SessionLayer};
use map_store::MapStore;
use map_world::*;
use support::*;

/// Polls once, and drops it where it waits.
fn poll_and_drop<F: Future>(future: F) {
    let mut future = std::pin::pin!(future);
    assert!(
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
}

// --- What may be sent.

#[tokio::test]
async fn a_cookie_that_was_saved_is_not_sent_if_the_session_is_gone_by_then() {
    for told in [false, true] {
        let world = world();
        let jar = world.jar().await;
        let response = ask(&world.layer, &jar.header("/"), async |session: Session| {
            let session = loaded(session).await;
            session.authenticated().unwrap();
            session.set_owner("ada").unwrap();
            session.save().await.unwrap();
            world.layer.destroy_all("ada", None).await.unwrap();
            session.insert("n", 2).unwrap();
            if told {
                assert!(matches!(session.save().await, Err(Error::Gone)));
            }
            ok()
        })
        .await;
        assert_eq!(set_cookies(response.headers()), [""; 0], "{told}");
    }
}

#[tokio::test]
async fn a_cookie_that_was_saved_is_not_sent_if_an_update_finds_the_session_gone() {
    let world = world();
    let jar = world.jar().await;
    let response = ask(&world.layer, &jar.header("/"), async |session: Session| {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        session.set_owner("ada").unwrap();
        session.save().await.unwrap();
        world.store.conflict(1);
        let racing = async {
            world.store.held().await;
            world.layer.destroy_all("ada", None).await.unwrap();
            world.store.open();
        };
        world.store.hold_after("apply");
        let (updated, ()) = tokio::join!(session.update("n", |n: Option<u8>| n.unwrap_or(0) + 1), racing);
        assert!(matches!(updated, Err(Error::Gone)));
        ok()
    })
    .await;
    assert_eq!(set_cookies(response.headers()), [""; 0]);
}

#[tokio::test]
async fn no_removal_on_a_ticket_that_was_renewed() {
    let world = world();
    let mut jar = world.jar().await;
    let old = jar.clone();
    visit(&mut jar, &world.layer, async |session: Session| {
        session.authenticated().unwrap();
        ok()
    })
    .await;
    for loads in [false, true] {
        let response = ask(&world.layer, &old.header("/"), async |session: Session| {
            if loads {
                session.load().await.unwrap();
            }
            session.renew().unwrap();
            session.clear().unwrap();
            ok()
        })
        .await;
        assert_eq!(set_cookies(response.headers()), [""; 0], "{loads}");
        let response = ask(&world.layer, &old.header("/"), async |session: Session| {
            session.load().await.unwrap();
            session.renew().unwrap();
            session.destroy().unwrap();
            ok()
        })
        .await;
        assert_eq!(set_cookies(response.headers()), [""; 0], "destroy {loads}");
    }
    assert!(world.opens(&jar).await);
}

// --- Logins.

#[tokio::test]
async fn a_login_that_ends_what_was_before_works_with_a_ticket_that_opens_nothing() {
    for (authenticated, loads) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = world();
        let mut jar = world.jar().await;
        world.clock.advance(DAY * 400);
        visit(&mut jar, &world.layer, async |session: Session| {
            if loads {
                session.load().await.unwrap();
            }
            session.destroy().unwrap();
            if authenticated {
                session.authenticated().unwrap();
            }
            session.insert("user", 7).unwrap();
            session.save().await.unwrap();
            ok()
        })
        .await;
        assert!(world.opens(&jar).await, "authenticated {authenticated}, loads {loads}");
    }
}

#[tokio::test]
async fn a_login_that_ends_what_was_before_works_although_another_request_ended_it() {
    let world = world();
    let mut jar = world.jar().await;
    let other = jar.clone();
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        ask(&world.layer, &other.header("/"), async |session: Session| {
            session.destroy().unwrap();
            ok()
        })
        .await;
        session.destroy().unwrap();
        session.authenticated().unwrap();
        session.insert("user", 7).unwrap();
        ok()
    })
    .await;
    assert!(world.opens(&jar).await);
}

#[tokio::test]
async fn what_is_deleted_already_need_not_be_deleted_when_the_rest_is_tried_again() {
    let world = world();
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.destroy().unwrap();
        session.insert("user", 7).unwrap();
        world.store.collide(4);
        assert!(matches!(session.save().await, Err(Error::Random)));
        session.save().await.unwrap();
        ok()
    })
    .await;
    assert_eq!(texts(&world), [pair("user", "7")]);
    assert!(world.opens(&jar).await);
}

#[tokio::test]
async fn a_login_during_a_commit_that_finds_the_session_gone_is_not_lost() {
    let world = world();
    let mut jar = world.jar().await;
    let other = jar.clone();
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("a", 1).unwrap();
        world.store.hold_before("apply");
        let during = async {
            world.store.held().await;
            ask(&world.layer, &other.header("/"), async |session: Session| {
                session.destroy().unwrap();
                ok()
            })
            .await;
            session.insert("user", 7).unwrap();
            let saving = session.save();
            world.store.open();
            saving.await
        };
        let (first, second) = tokio::join!(session.save(), during);
        assert!(matches!(first, Err(Error::Gone)));
        assert!(matches!(second, Err(Error::Gone)), "what it was about is lost");
        ok()
    })
    .await;
}

#[tokio::test]
async fn two_logins_at_once_do_not_end_each_other() {
    let world = world_of(|layer| layer.max_sessions_per_owner(1));
    let login = async |session: Session| {
        session.authenticated().unwrap();
        session.set_owner("ada").unwrap();
        ok()
    };
    // Whichever is stamped first: the one that the store keeps last lives, and it is never none.
    for first_is_late in [false, true] {
        let (mut one, mut two) = (Jar::new(), Jar::new());
        world.store.hold_before("create");
        {
            let first = visit(&mut one, &world.layer, login);
            let second = async {
                world.store.held().await;
                world.clock.advance(Duration::from_secs(5));
                let second = visit(&mut two, &world.layer, login);
                let open = async {
                    world.store.held().await;
                    // Both have begun, and nothing was kept yet.
                    world.store.go();
                    world.store.open();
                };
                tokio::join!(second, open)
            };
            if first_is_late {
                tokio::join!(second, first);
            } else {
                tokio::join!(first, second);
            }
        }
        let alive = [world.opens(&one).await, world.opens(&two).await];
        assert_eq!(alive.iter().filter(|alive| **alive).count(), 1, "{alive:?}");
        assert_eq!(world.layer.sessions_of("ada").await.unwrap().len(), 1);
    }
}

// --- Logouts.

#[tokio::test]
async fn destroyed_during_a_load_is_destroyed() {
    for fails in [false, true] {
        let world = world();
        let mut jar = world.jar().await;
        let old = jar.clone();
        visit(&mut jar, &world.layer, async |session: Session| {
            world.store.hold_before("load");
            let during = async {
                world.store.held().await;
                session.destroy().unwrap();
                world.store.down(fails);
                world.store.open();
            };
            let _ = tokio::join!(session.load(), during);
            world.store.down(false);
            assert!(session.is_empty().unwrap());
            ok()
        })
        .await;
        assert!(!world.opens(&old).await, "the old ticket opens nothing");
        assert_eq!((world.store.len(), jar.0.len()), (0, 0));
    }
}

#[tokio::test]
async fn cleared_during_an_update_is_cleared() {
    let world = world();
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("user", 7).unwrap();
        session.save().await.unwrap();
        world.store.hold_after("apply");
        let during = async {
            world.store.held().await;
            session.clear().unwrap();
            world.store.open();
        };
        let (updated, ()) = tokio::join!(session.update("n", |n: Option<u8>| n.unwrap_or(0) + 1), during);
        updated.unwrap();
        assert_eq!(session.get::<u8>("user").unwrap(), None);
        ok()
    })
    .await;
    assert_eq!((world.store.len(), jar.0.len()), (0, 0));
}

#[tokio::test]
async fn destroyed_during_an_update_is_destroyed() {
    for conflicts in [0, 1] {
        let world = world();
        let mut jar = world.jar().await;
        visit(&mut jar, &world.layer, async |session: Session| {
            let session = loaded(session).await;
            world.store.conflict(conflicts);
            world.store.hold_after("apply");
            let during = async {
                world.store.held().await;
                session.destroy().unwrap();
                world.store.open();
            };
            let _ = tokio::join!(session.update("n", |n: Option<u8>| n.unwrap_or(0) + 1), during);
            ok()
        })
        .await;
        assert_eq!((world.store.len(), jar.0.len()), (0, 0), "{conflicts}");
    }
}

#[tokio::test]
async fn a_session_that_was_not_accepted_ends_when_it_is_destroyed() {
    // The clock was set back.
    let world = world();
    let mut jar = world.jar().await;
    let old = jar.clone();
    world
        .clock
        .set(std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(START) - MINUTE * 10);
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.rejected(), Some(Reject::NotYetValid));
        session.destroy().unwrap();
        ok()
    })
    .await;
    world.clock.advance(MINUTE * 20);
    assert!(!world.opens(&old).await, "not yet valid");
    // Two tickets, and nobody can tell which is meant.
    let world = world_of(|layer| layer.path("/app"));
    let (one, two) = (world.jar().await, world.jar().await);
    let both = format!("{}; {}", one.header("/app"), two.header("/app"));
    ask(&world.layer, &both, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.rejected(), Some(Reject::Ambiguous));
        session.destroy().unwrap();
        ok()
    })
    .await;
    assert_eq!(world.store.len(), 0, "ambiguous");
}

#[tokio::test]
async fn what_comes_after_a_logout_is_nobodys() {
    let world = world();
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        session.authenticated().unwrap();
        session.set_owner("ada").unwrap();
        session.set_label("phone").unwrap();
        ok()
    })
    .await;
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.clear().unwrap();
        session.save().await.unwrap();
        assert_eq!(session.owner().unwrap(), None);
        session.insert("bye", true).unwrap();
        ok()
    })
    .await;
    let record = world.store.record();
    assert_eq!((record.owner, record.label), (None, None));
}

// --- What is written at the same time.

#[tokio::test]
async fn what_is_set_during_an_update_of_it_is_not_lost() {
    let world = world();
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        world.store.hold_after("apply");
        let during = async {
            world.store.held().await;
            session.insert("n", 9).unwrap();
            world.store.open();
        };
        let (updated, ()) = tokio::join!(session.update("n", |n: Option<u8>| n.unwrap_or(0) + 1), during);
        assert_eq!(updated.unwrap(), 2);
        ok()
    })
    .await;
    assert_eq!(texts(&world), [pair("n", "9")]);
}

#[tokio::test]
async fn a_session_that_ended_between_two_fetches_is_gone() {
    let world = world();
    let mut jar = world.jar().await;
    let other = jar.clone();
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("a", 1).unwrap();
        world.store.conflict(1);
        world.store.hold_after("apply");
        let during = async {
            world.store.held().await;
            world.store.down(true);
            world.store.open();
        };
        let (updated, ()) = tokio::join!(session.update("n", |n: Option<u8>| n.unwrap_or(0) + 1), during);
        assert!(matches!(updated, Err(Error::Store { .. })));
        world.store.down(false);
        ask(&world.layer, &other.header("/"), async |session: Session| {
            session.destroy().unwrap();
            ok()
        })
        .await;
        let _ = session.load().await;
        ok()
    })
    .await;
    assert_eq!((world.store.len(), jar.0 == other.0), (0, true));
}

// --- Futures that are dropped, without anything that could run them to their end.

#[test]
fn row_35_a_renewal_whose_save_is_dropped_is_still_to_be_done() {
    for step in ["before", "after"] {
        let world = world();
        let mut jar = poll_now(world.jar());
        let old = jar.clone();
        poll_now(visit(&mut jar, &world.layer, async |session: Session| {
            let session = loaded(session).await;
            session.authenticated().unwrap();
            session.set_owner("ada").unwrap();
            session.insert("user", 7).unwrap();
            if step == "before" {
                world.store.hold_before("apply");
            } else {
                world.store.hold_after("apply");
            }
            poll_and_drop(session.save());
            world.store.open();
            ok()
        }));
        assert!(
            !poll_now(world.opens(&old)),
            "{step}: a ticket that was planted does not gain what the user has"
        );
        // Even if the first attempt was carried out and only its answer was lost.
        assert!(world.store.record().owner.is_some());
        assert!(poll_now(world.opens(&jar)), "{step}");
    }
}

#[test]
fn what_was_undone_after_a_save_without_an_answer_is_undone() {
    let world = world();
    let mut jar = poll_now(world.jar());
    poll_now(visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("new", 1).unwrap();
        session.insert("n", 2).unwrap();
        world.store.hold_after("apply");
        poll_and_drop(session.save());
        world.store.open();
        session.remove("new").unwrap();
        session.insert("n", 1).unwrap();
        ok()
    }));
    assert_eq!(texts(&world), [pair("n", "1")]);
}

#[test]
fn what_a_renewal_without_an_answer_made_is_ended_by_a_logout() {
    let world = world();
    let mut jar = poll_now(world.jar());
    poll_now(visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        world.store.hold_after("apply");
        poll_and_drop(session.save());
        world.store.open();
        session.destroy().unwrap();
        ok()
    }));
    assert_eq!((world.store.len(), jar.0.len()), (0, 0));
}

#[test]
fn a_logout_whose_save_is_dropped_is_still_to_be_done() {
    let world = world();
    let mut jar = poll_now(world.jar());
    poll_now(visit(&mut jar, &world.layer, async |session: Session| {
        session.destroy().unwrap();
        world.store.hold_before("delete");
        poll_and_drop(session.save());
        world.store.open();
        ok()
    }));
    assert_eq!((world.store.len(), jar.0.len()), (0, 0));
}

#[test]
fn dropped_at_any_store_step_the_rest_is_done_with_the_response() {
    for step in ["load", "create", "apply", "delete"] {
        for after in [false, true] {
            let world = world();
            let mut jar = if step == "create" {
                Jar::new()
            } else {
                poll_now(world.jar())
            };
            poll_now(visit(&mut jar, &world.layer, async |session: Session| {
                if step == "delete" {
                    session.destroy().unwrap();
                }
                session.insert("a", 1).unwrap();
                if after {
                    world.store.hold_after(step);
                } else {
                    world.store.hold_before(step);
                }
                poll_and_drop(session.save());
                world.store.open();
                world.store.settle();
                ok()
            }));
            let mut a = None;
            poll_now(ask(&world.layer, &jar.header("/"), async |session: Session| {
                a = loaded(session).await.get::<u8>("a").unwrap();
                ok()
            }));
            // Deleted, and nobody heard of it: then it looks as if another request had done it.
            if !(step == "delete" && after) {
                assert_eq!(a, Some(1), "{step} {after}");
            }
        }
    }
}

// --- Turns.

#[tokio::test]
async fn a_save_that_waited_while_the_response_came_leaves_the_cookie_to_it() {
    let world = world_of(|layer| layer.max_age(DAY).max_age_limit(DAY * 30));
    let mut jar = world.jar().await;
    let (done, response) = {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let response = visit(&mut jar, &world.layer, async |session: Session| {
            let session = loaded(session).await;
            session.insert("a", 1).unwrap();
            world.store.hold_after("apply");
            let (one, two) = (session.clone(), session.clone());
            let task = tokio::spawn(async move { one.save().await });
            world.store.held().await;
            session.set_max_age(DAY * 30).unwrap();
            let waits = tokio::spawn(async move { two.save().await });
            tokio::task::yield_now().await;
            let store = world.store.clone();
            let opener = tokio::spawn(async move {
                tokio::task::yield_now().await;
                store.open();
            });
            tx.send((task, waits, opener)).unwrap();
            ok()
        })
        .await;
        let (task, waits, opener) = rx.await.unwrap();
        opener.await.unwrap();
        task.await.unwrap().unwrap();
        (waits.await.unwrap(), response)
    };
    let lines = set_cookies(response.headers());
    assert!(
        lines.len() == 1 && lines[0].contains("Max-Age=2592000"),
        "{lines:?} {done:?} {:?}",
        world.store.record().max_age
    );
}

#[test]
fn two_threads_that_open_a_session_at_once_do_not_undo_each_others_ticket() {
    // The clock is the caller's; it is asked in the middle of opening.
    let store = MapStore::new();
    let slow = Arc::new(Mutex::new(None::<std::thread::ThreadId>));
    let (stop, go) = (
        Arc::new(std::sync::Barrier::new(2)),
        Arc::new(std::sync::Barrier::new(2)),
    );
    let asked = Arc::new(AtomicUsize::new(0));
    let clock = {
        let (slow, stop, go, asked) = (slow.clone(), stop.clone(), go.clone(), asked.clone());
        move || {
            if *slow.lock().unwrap() == Some(std::thread::current().id()) && asked.fetch_add(1, Ordering::SeqCst) == 0 {
                stop.wait();
                go.wait();
            }
            std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(START)
        }
    };
    let layer = SessionLayer::with_store(store.clone()).clock(clock).build().unwrap();
    let mut jar = Jar::new();
    poll_now(visit(&mut jar, &layer, async |session: Session| {
        session.insert("n", 1).unwrap();
        ok()
    }));
    poll_now(visit(&mut jar, &layer, async |session: Session| {
        let other = session.clone();
        let slow = slow.clone();
        let thread = std::thread::spawn(move || {
            *slow.lock().unwrap() = Some(std::thread::current().id());
            other.insert("b", 2).unwrap();
        });
        stop.wait();
        session.load().await.unwrap();
        session.renew().unwrap();
        session.save().await.unwrap();
        go.wait();
        thread.join().unwrap();
        session.insert("a", 1).unwrap();
        session.save().await.unwrap();
        ok()
    }));
    assert_eq!(store.record().values.len(), 3);
}

#[tokio::test]
async fn a_session_that_was_only_used_is_shown_although_it_cannot_be_prolonged() {
    let world = world_of(|layer| layer.rolling(true));
    let mut jar = world.jar().await;
    world.clock.advance(DAY * 2);
    let response = visit(&mut jar, &world.layer, async |session: Session| {
        session.load().await.unwrap();
        world.store.down(true);
        ok()
    })
    .await;
    assert_eq!(response.status(), StatusCode::OK);
}

// --- Chance.

/// What one request of a round did, and what came of it.
#[derive(Default, Debug)]
struct Story {
    deeds: Vec<String>,
    /// Its own keys as they should be.
    model: std::collections::BTreeMap<String, u64>,
    /// It cleared, ended or renewed the session at some time.
    cleared: bool,
    destroyed: bool,
    /// The last deed about the session's life was a logout, and it was acknowledged.
    logout_acknowledged: bool,
    renewed: bool,
    /// Told that it is gone, and no login came after.
    gone: bool,
    /// The last `save` was acknowledged, for this session.
    acknowledged: Option<Option<http_session::SessionId>>,
    updates: u64,
    /// It gave up a commit, so that nobody would be told if the session was gone.
    gave_up: bool,
    /// Nobody knows whether these happened.
    unsure: u64,
    aborted: bool,
    lines: Vec<String>,
}

impl Story {
    fn told<T>(&mut self, what: &str, answer: Result<T, Error>) -> bool {
        match answer {
            Ok(_) => true,
            Err(Error::Gone) => {
                self.deeds.push(format!("{what}: gone"));
                self.gone = true;
                self.model.clear();
                false
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

async fn yields(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// `wild`: deeds that end or renew sessions as well.
async fn act(session: &Session, who: &str, random: &Mutex<Random>, story: &Mutex<Story>, wild: bool) {
    let below = |end| random.lock().unwrap().below(end);
    let say = |text: String| story.lock().unwrap().deeds.push(text);
    for _ in 0..below(7) {
        yields(below(3)).await;
        let key = format!("{who}{}", below(3));
        match below(if wild { 16 } else { 10 }) {
            0 => {
                say("load".into());
                let answer = session.load().await;
                story.lock().unwrap().told("load", answer);
            }
            1..=3 => {
                let value = below(1000);
                say(format!("{key}={value}"));
                session.insert(&key, value).unwrap();
                story.lock().unwrap().model.insert(key, value);
            }
            4 => {
                say(format!("-{key}"));
                session.remove(&key).unwrap();
                story.lock().unwrap().model.remove(&key);
            }
            5 | 6 => {
                say("save".into());
                let answer = session.save().await;
                story.lock().unwrap().told("save", answer);
            }
            7 | 8 => {
                say("update".into());
                let answer = session.update("count", |n: Option<u64>| n.unwrap_or(0) + 1).await;
                let mut story = story.lock().unwrap();
                if story.told("update", answer) {
                    story.updates += 1;
                }
            }
            9 => {
                say("save, dropped".into());
                let times = below(6);
                tokio::select! {
                    biased;
                    answer = session.save() => drop(story.lock().unwrap().told("save", answer)),
                    () = yields(times) => story.lock().unwrap().gave_up = true,
                }
            }
            10 => {
                say("clear".into());
                session.clear().unwrap();
                let mut story = story.lock().unwrap();
                story.model.clear();
                story.cleared = true;
            }
            11 | 12 => {
                say("destroy".into());
                session.destroy().unwrap();
                let mut story = story.lock().unwrap();
                story.model.clear();
                story.destroyed = true;
            }
            13 => {
                say("authenticated".into());
                session.authenticated().unwrap();
                session.set_owner("ada").unwrap();
                let mut story = story.lock().unwrap();
                story.gone = false;
                story.renewed = true;
            }
            14 => {
                say("renew".into());
                session.renew().unwrap();
                let mut story = story.lock().unwrap();
                story.gone = false;
                story.renewed = true;
            }
            _ => {
                say("update, dropped".into());
                let times = below(6);
                tokio::select! {
                    biased;
                    answer = session.update("count", |n: Option<u64>| n.unwrap_or(0) + 1) => {
                        let mut story = story.lock().unwrap();
                        if story.told("update", answer) {
                            story.updates += 1;
                        }
                    }
                    () = yields(times) => {
                        let mut story = story.lock().unwrap();
                        story.unsure += 1;
                        story.gave_up = true;
                    }
                }
            }
        }
    }
}

async fn round(seed: u64) {
    let mut random = Random(seed);
    // What is left of a commit goes on in a runtime, or where it is told, or nowhere.
    let spawner = random.below(3);
    let goes_on = spawner == 0 || (spawner == 1 && cfg!(feature = "tokio"));
    let world = world_of(|layer| match spawner {
        0 => layer.spawn_with(|future| drop(tokio::spawn(future))),
        1 => layer,
        _ => layer.spawn_with(drop),
    });
    world.store.dither(random.next());
    let jar = if random.below(8) == 0 {
        Jar::new()
    } else {
        world.jar().await
    };
    let header = jar.header("/");
    let wild = random.below(4) > 0;
    let aborts = random.below(4) == 0;
    let requests = 1 + random.below(4);
    let local = tokio::task::LocalSet::new();
    let mut tasks = Vec::new();
    for request in 0..requests {
        let (layer, header) = (world.layer.clone(), header.clone());
        let random = Mutex::new(Random(random.next()));
        tasks.push(local.spawn_local(async move {
            let story = Mutex::new(Story::default());
            let clones = 1 + random.lock().unwrap().below(2);
            let patience = if aborts {
                random.lock().unwrap().below(60)
            } else {
                u64::MAX
            };
            let asked = ask(&layer, &header, async |session: Session| {
                let (a, b) = (format!("a{request}"), format!("b{request}"));
                if clones == 1 {
                    act(&session, &a, &random, &story, wild).await;
                } else {
                    let other = session.clone();
                    tokio::join!(
                        act(&session, &a, &random, &story, wild),
                        act(&other, &b, &random, &story, wild)
                    );
                }
                if random.lock().unwrap().below(3) > 0 {
                    let answer = session.save().await;
                    let mut story = story.lock().unwrap();
                    if story.told("last save", answer) {
                        story.acknowledged = Some(session.id().ok().flatten());
                        story.logout_acknowledged = story.destroyed && !story.gone;
                    }
                }
                ok()
            });
            let response = tokio::select! {
                biased;
                response = asked => Some(response),
                () = yields(patience) => None,
            };
            let mut story = story.into_inner().unwrap();
            story.aborted = response.is_none();
            story.lines = response.map_or_else(Vec::new, |response| {
                assert!(response.status().is_success(), "seed {seed}: {story:?}");
                set_cookies(response.headers())
            });
            (story, clones)
        }));
    }
    let stories = local
        .run_until(async {
            let mut stories = Vec::new();
            for task in tasks {
                stories.push(task.await.unwrap());
            }
            // What was spawned comes to its end.
            yields(300).await;
            stories
        })
        .await;
    let at = format!("seed {seed}, {stories:#?}");
    let records = world.store.records();
    let mut opened_by = vec![0; records.len()];
    let mut tickets = Vec::new();
    if !jar.0.is_empty() {
        tickets.push((jar.0[0].value.clone(), false));
    }
    for (story, clones) in &stories {
        assert!(story.lines.len() <= 1, "{at}");
        // What a clone began anew while another one was told is no part of it.
        if story.gone && (*clones == 1 || !(story.destroyed || story.renewed)) {
            assert!(story.lines.is_empty(), "a cookie after gone; {at}");
        }
        for line in &story.lines {
            let mut jar = Jar::new();
            jar.set(line);
            tickets.extend(jar.0.pop().map(|cookie| (cookie.value, true)));
        }
    }
    for (ticket, sent) in &tickets {
        let mut id = None;
        ask(
            &world.layer,
            &format!("__Host-session={ticket}"),
            async |session: Session| {
                id = loaded(session).await.id().unwrap();
                ok()
            },
        )
        .await;
        match id.and_then(|id| records.iter().position(|(other, _)| *other == id)) {
            Some(which) => opened_by[which] += 1,
            None => assert!(!sent, "a ticket that was sent opens nothing; {at}"),
        }
    }
    // A record that was made when nobody waited for the answer any more has no client.
    let has_orphans = |story: &Story| story.aborted || (story.gave_up && !goes_on);
    if !stories.iter().any(|(story, _)| has_orphans(story)) {
        assert!(
            opened_by.iter().all(|&tickets| tickets == 1),
            "{opened_by:?} tickets open the records; {at}"
        );
    }
    assert!(opened_by.iter().all(|&tickets| tickets <= 1), "{at}");
    if let Some((_, story)) = stories
        .iter()
        .map(|(story, _)| ((), story))
        .find(|(_, s)| s.logout_acknowledged)
    {
        let open = world.opens(&jar).await;
        assert!(!open, "{story:?} ended it; {at}");
    }
    let peaceful = !stories
        .iter()
        .any(|(story, _)| story.cleared || story.destroyed || story.renewed);
    let calm = |but: usize| {
        !stories
            .iter()
            .enumerate()
            .any(|(n, (story, _))| n != but && (story.cleared || story.destroyed))
    };
    for (n, (story, clones)) in stories.iter().enumerate() {
        let Some(Some(id)) = story.acknowledged else { continue };
        if *clones > 1 && (story.cleared || story.destroyed || story.renewed || story.gone) {
            continue;
        }
        let Some((_, record)) = records.iter().find(|(other, _)| *other == id) else {
            assert!(!calm(n), "lost a session; {at}");
            continue;
        };
        let others_renewed = stories
            .iter()
            .enumerate()
            .any(|(m, (other, _))| m != n && other.renewed);
        if calm(n) && !(story.gave_up && others_renewed) {
            let own: std::collections::BTreeMap<String, u64> = record
                .values
                .iter()
                .filter(|(key, _)| key[1..].starts_with(&n.to_string()) && !key.starts_with('c'))
                .map(|(key, json)| (key.to_owned(), json.parse().unwrap()))
                .collect();
            assert_eq!(own, story.model, "request {n}; {at}");
        }
    }
    if peaceful && !jar.0.is_empty() {
        let (count, unsure) = stories
            .iter()
            .fold((0, 0), |(a, b), (story, _)| (a + story.updates, b + story.unsure));
        let unsure = unsure + stories.iter().filter(|(story, _)| story.aborted).count() as u64 * 2;
        let record = world.store.record();
        let holds: u64 = record.values.get("count").map_or(0, |json| json.parse().unwrap());
        assert!((count..=count + unsure).contains(&holds), "{holds} of {count}; {at}");
    }
}

#[test]
fn whatever_requests_do_at_once_nothing_is_lost_and_nothing_comes_back() {
    let mut random = Random::new();
    for _ in 0..300 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(round(random.next()));
    }
}

#[tokio::test(start_paused = true)]
#[cfg(feature = "tokio")]
async fn a_future_that_nobody_polls_any_more_does_not_hold_the_response_for_ever() {
    for load in [false, true] {
        let world = world();
        let mut jar = world.jar().await;
        let kept = Mutex::new(None);
        let response = visit(&mut jar, &world.layer, async |session: Session| {
            session.insert("a", 1).unwrap();
            world.store.hold_before("load");
            let mut begun: std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> = if load {
                Box::pin(async move { session.load().await })
            } else {
                Box::pin(async move { session.save().await })
            };
            let mut context = Context::from_waker(Waker::noop());
            assert!(begun.as_mut().poll(&mut context).is_pending());
            world.store.open();
            // Into the body of the response, say.
            *kept.lock().unwrap() = Some(begun);
            ok()
        })
        .await;
        assert_eq!(response.status(), 503, "load {load}");
        assert_eq!(jar.0.len(), 1, "and the client keeps what it has");
    }
}
