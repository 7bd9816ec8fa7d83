//! Sessions in a store, through the whole layer: what is asked of the store and when, what the client gets, and what becomes of
//! requests that are slower than a logout.
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
    time::Duration,
};

use client::{ask, visit};
use http::{Response, StatusCode};
use http_session::{DefaultErrorResponse, Error, Fallback, Key, Reject, Session, SessionLayer, Until, codec};
use map_store::MapStore;
use map_world::*;
use support::*;

// --- What is asked of the store.

#[tokio::test]
async fn no_ticket_or_nobody_looking_asks_nothing() {
    let world = world();
    let response = ask(&world.layer, "", async |session: Session| {
        session.load().await.unwrap();
        assert_eq!(session.get::<u8>("n").unwrap(), None);
        assert!(session.is_new().unwrap() && session.is_empty().unwrap());
        assert_eq!((session.rejected(), session.id().unwrap()), (None, None));
        session.save().await.unwrap();
        ok()
    })
    .await;
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    assert_eq!(world.store.asked(), [""; 0]);
    let jar = world.jar().await;
    let response = ask(&world.layer, &jar.header("/"), async |_: Session| ok()).await;
    assert!(response.headers().is_empty(), "{response:?}");
    // Not a ticket: no question.
    for cookie in [
        "",
        "x",
        &"A".repeat(63),
        &"A".repeat(65),
        &"!".repeat(64),
        "../../etc/passwd",
        &"%41".repeat(32),
    ] {
        ask(
            &world.layer,
            &format!("__Host-session={cookie}"),
            async |session: Session| {
                session.load().await.unwrap();
                assert_eq!(session.rejected(), Some(Reject::Malformed));
                ok()
            },
        )
        .await;
    }
    assert_eq!(world.store.asked(), [""; 0]);
}

#[tokio::test]
async fn a_read_is_one_step_and_a_write_two() {
    let world = world();
    let mut jar = world.jar().await;
    assert_eq!(jar.0[0].value.len(), 64);
    let response = visit(&mut jar, &world.layer, async |session: Session| {
        assert!(matches!(session.get::<u8>("n"), Err(Error::NotLoaded)));
        assert!(matches!(session.len(), Err(Error::NotLoaded)));
        assert!(matches!(session.created_at(), Err(Error::NotLoaded)));
        let (one, two) = (session.clone(), session.clone());
        // Two at the same time are one.
        let (one, two) = tokio::join!(one.load(), two.load());
        one.and(two).unwrap();
        assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
        assert!(!session.is_new().unwrap() && !session.is_modified());
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load"]);
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    assert_eq!(response.headers()["vary"], "Cookie");
    assert_eq!(response.headers()["cache-control"], "private");
    let response = visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("m", "x").unwrap();
        assert!(session.is_modified());
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "apply"]);
    assert_eq!(texts(&world), [pair("m", "\"x\""), pair("n", "1")]);
    // The browser has the ticket, and it is fresh.
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    // What is already there is not written.
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("n", 1).unwrap();
        session.remove("none").unwrap();
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load"]);
}

#[tokio::test]
async fn what_is_written_without_looking_goes_onto_what_is_there() {
    let world = world();
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        session.insert("m", 2).unwrap();
        session.remove("gone").unwrap();
        session.remove("n").unwrap();
        assert_eq!(session.get::<u8>("m").unwrap(), Some(2));
        assert_eq!(session.get::<u8>("n").unwrap(), None, "removed by this very request");
        assert!(matches!(session.get::<u8>("other"), Err(Error::NotLoaded)));
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "apply"]);
    assert_eq!(texts(&world), [pair("m", "2")]);
    visit(&mut jar, &world.layer, async |session: Session| {
        session.clear().unwrap();
        assert_eq!(session.get::<u8>("m").unwrap(), None);
        assert_eq!(session.len().unwrap(), 0);
        session.insert("k", 3).unwrap();
        // A load puts what is there under what was done.
        let session = loaded(session).await;
        assert_eq!(session.keys().unwrap(), ["k"]);
        ok()
    })
    .await;
    assert_eq!(texts(&world), [pair("k", "3")]);
}

#[tokio::test]
async fn the_ticket_is_sent_again_when_it_wears_out_and_a_use_prolongs_if_it_should() {
    let world = world_of(|layer| layer.max_age(DAY * 10).rolling(true));
    let mut jar = world.jar().await;
    world.clock.advance(MINUTE);
    let read = async |session: Session| {
        loaded(session).await.get::<u8>("n").unwrap().unwrap();
        ok()
    };
    visit(&mut jar, &world.layer, read).await;
    assert_eq!(world.store.asked(), ["load"], "a use is not worth a step yet");
    world.clock.advance(DAY);
    let ticket = jar.0[0].value.clone();
    let response = visit(&mut jar, &world.layer, read).await;
    assert_eq!(world.store.asked(), ["load", "apply"]);
    let line = set_cookies(response.headers()).remove(0);
    assert!(
        line.starts_with(&format!("__Host-session={ticket};")) && line.ends_with("Max-Age=864000"),
        "{line}"
    );
    assert_eq!(world.store.record().expires, millis(&world.clock) + 10 * 86_400_000);
    let response = visit(&mut jar, &world.layer, read).await;
    assert_eq!(
        (world.store.asked(), set_cookies(response.headers()).len()),
        (vec!["load"], 0)
    );
    // Written every day, the ticket is sent again whenever a tenth of its time is over.
    for sent in [1, 1, 1] {
        world.clock.advance(DAY);
        let response = visit(&mut jar, &world.layer, async |session: Session| {
            session.insert("n", 2).unwrap();
            session.insert("day", session.get::<u8>("n").unwrap()).unwrap();
            session.insert("at", sent).unwrap();
            ok()
        })
        .await;
        assert_eq!(set_cookies(response.headers()).len(), sent);
    }
    // A public page is not worth it.
    world.clock.advance(DAY * 2);
    world.store.asked();
    let response = visit(&mut jar, &world.layer, async |session: Session| {
        loaded(session).await.get::<u8>("n").unwrap().unwrap();
        let mut response = ok();
        response
            .headers_mut()
            .insert("cache-control", "public".parse().unwrap());
        response
    })
    .await;
    assert_eq!(
        (world.store.asked(), set_cookies(response.headers()).len()),
        (vec!["load"], 0)
    );
}

fn millis(clock: &Clock) -> u64 {
    clock
        .now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

#[tokio::test]
async fn a_write_counts_as_use_and_expiry_is_the_servers() {
    let world = world_of(|layer| layer.max_age(DAY));
    let jar = world.jar().await;
    world.clock.advance(DAY / 2);
    let cookie = jar.header("/");
    ask(&world.layer, &cookie, async |session: Session| {
        let session = loaded(session).await;
        session.insert("n", 2).unwrap();
        ok()
    })
    .await;
    world.clock.advance(DAY);
    ask(&world.layer, &cookie, async |session: Session| {
        assert_eq!(loaded(session).await.get::<u8>("n").unwrap(), Some(2));
        ok()
    })
    .await;
    world.clock.advance(Duration::from_millis(1));
    let response = ask(&world.layer, &cookie, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.get::<u8>("n").unwrap(), None);
        assert_eq!(session.rejected(), Some(Reject::UnknownTicket));
        ok()
    })
    .await;
    assert_eq!(set_cookies(response.headers()), [""; 0], "not echoed");
}

#[tokio::test]
async fn row_39_a_lower_max_age_and_an_absolute_lifetime_hold_for_old_sessions() {
    let world = world();
    let jar = world.jar().await;
    world.clock.advance(DAY);
    let lower = world.layer.clone().max_age(MINUTE).build().unwrap();
    let absolute = world.layer.clone().absolute_lifetime(MINUTE).build().unwrap();
    for layer in [lower, absolute] {
        ask(&layer, &jar.header("/"), async |session: Session| {
            let session = loaded(session).await;
            assert_eq!(session.rejected(), Some(Reject::Expired));
            assert!(session.is_empty().unwrap() && session.is_new().unwrap());
            ok()
        })
        .await;
    }
}

// --- Logout, renewal, and those who come late.

#[tokio::test]
async fn row_3_a_destroyed_session_never_loads() {
    let world = world();
    let mut jar = world.jar().await;
    let cookie = jar.header("/");
    let response = visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.destroy().unwrap();
        assert_eq!(session.get::<u8>("n").unwrap(), None);
        assert_eq!(session.id().unwrap(), None);
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "delete"]);
    assert!(set_cookies(response.headers())[0].contains("Max-Age=0"));
    assert_eq!((world.store.len(), jar.0.len()), (0, 0));
    let response = ask(&world.layer, &cookie, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.rejected(), Some(Reject::UnknownTicket));
        assert!(session.is_empty().unwrap());
        ok()
    })
    .await;
    assert_eq!(set_cookies(response.headers()), [""; 0]);
}

#[tokio::test]
async fn a_logout_needs_no_load_and_clear_is_one_too() {
    let world = world();
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        session.destroy().unwrap();
        ok()
    })
    .await;
    assert_eq!(
        (world.store.asked(), world.store.len(), jar.0.len()),
        (vec!["delete"], 0, 0)
    );
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        session.clear().unwrap();
        ok()
    })
    .await;
    assert_eq!((world.store.len(), jar.0.len()), (0, 0));
    // The last key is no logout: another request may just be setting one.
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        loaded(session).await.remove("n").unwrap();
        ok()
    })
    .await;
    assert_eq!((world.store.len(), texts(&world), jar.0.len()), (1, vec![], 1));
    visit(&mut jar, &world.layer, async |session: Session| {
        assert!(!loaded(session).await.is_new().unwrap());
        ok()
    })
    .await;
}

#[tokio::test]
async fn an_insert_after_destroy_begins_another_session() {
    let world = world();
    let mut jar = world.jar().await;
    let (ticket, created) = (jar.0[0].value.clone(), world.store.record().created);
    world.clock.advance(MINUTE);
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.set_owner("ada").unwrap();
        session.destroy().unwrap();
        session.insert("bye", true).unwrap();
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "delete", "create"]);
    assert_ne!(jar.0[0].value[..21], ticket[..21], "not even the selector");
    let record = world.store.record();
    assert_ne!(record.created, created);
    assert_eq!(record.owner, None);
    assert_eq!(texts(&world), [pair("bye", "true")]);
}

#[tokio::test]
async fn row_2_after_renew_the_old_ticket_reads_empty_and_the_data_stays() {
    let world = world();
    let mut jar = world.jar().await;
    let old = jar.clone();
    let record = world.store.record();
    world.clock.advance(MINUTE);
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        let id = session.id().unwrap();
        session.authenticated().unwrap();
        session.save().await.unwrap();
        assert_eq!(session.id().unwrap(), id, "stable");
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "apply"]);
    let renewed = world.store.record();
    assert_ne!(renewed.secret.as_bytes(), record.secret.as_bytes());
    assert_eq!((renewed.created, renewed.values), (record.created, record.values));
    assert_eq!(renewed.authenticated, Some(millis(&world.clock)));
    // The selector stays, the secret does not.
    assert_eq!(jar.0[0].value[..21], old.0[0].value[..21]);
    assert_ne!(jar.0[0].value[22..], old.0[0].value[22..]);
    row_37_old_ticket_is_dead(&world, &old).await;
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
        assert!(session.authenticated_at().unwrap().is_some());
        ok()
    })
    .await;
}

/// Reads empty, writes nothing, gets no cookie: the new one must survive.
async fn row_37_old_ticket_is_dead(world: &World, old: &Jar) {
    let before = world.store.record();
    for deed in [
        (|session: &Session| session.insert("n", 666).unwrap()) as fn(&Session),
        |session| session.destroy().unwrap(),
        |session| session.clear().unwrap(),
        |session| {
            session.destroy().unwrap();
            session.insert("n", 666).unwrap();
        },
        |session| session.set_owner("eve").unwrap(),
    ] {
        for look in [false, true] {
            let response = ask(&world.layer, &old.header("/"), async |session: Session| {
                if look {
                    let session = loaded(session.clone()).await;
                    assert_eq!(session.rejected(), Some(Reject::Renewed));
                    assert!(session.is_empty().unwrap() && session.is_new().unwrap());
                }
                deed(&session);
                Response::new("as it was".to_owned())
            })
            .await;
            assert_eq!(set_cookies(response.headers()), [""; 0]);
            assert_eq!((response.status(), &**response.body()), (StatusCode::OK, "as it was"));
        }
    }
    ask(&world.layer, &old.header("/"), async |session: Session| {
        session.insert("n", 666).unwrap();
        assert!(matches!(session.save().await, Err(Error::Gone)));
        ok()
    })
    .await;
    assert_eq!(world.store.record(), before);
}

#[tokio::test]
async fn a_login_on_a_dead_ticket_is_a_session_of_its_own() {
    // The answer to the first login was lost on the way: the browser has the old ticket still.
    let world = world();
    let mut jar = world.jar().await;
    let login = async |session: Session| {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        session.insert("user", "ada").unwrap();
        ok()
    };
    drop(ask(&world.layer, &jar.header("/"), login).await);
    visit(&mut jar, &world.layer, login).await;
    assert_eq!(world.store.len(), 2);
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("ada"));
        assert_eq!(session.get::<u8>("n").unwrap(), None, "nothing of the other one");
        ok()
    })
    .await;
}

#[tokio::test]
async fn row_4_a_slow_request_brings_nothing_back() {
    let world = world();
    let mut jar = world.jar().await;
    let slow = jar.clone();
    let response = ask(&world.layer, &slow.header("/"), async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
        visit(&mut jar, &world.layer, async |session: Session| {
            session.destroy().unwrap();
            ok()
        })
        .await;
        session.insert("n", 2).unwrap();
        Response::new("done".to_owned())
    })
    .await;
    assert_eq!((response.status(), &**response.body()), (StatusCode::OK, "done"));
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    assert_eq!(world.store.len(), 0);
    // The handler that asks is told.
    let mut jar = world.jar().await;
    let slow = jar.clone();
    ask(&world.layer, &slow.header("/"), async |session: Session| {
        let session = loaded(session).await;
        visit(&mut jar, &world.layer, async |session: Session| {
            session.destroy().unwrap();
            session.insert("another", 1).unwrap();
            ok()
        })
        .await;
        session.insert("n", 2).unwrap();
        assert!(matches!(session.save().await, Err(Error::Gone)));
        assert!(session.is_empty().unwrap(), "and holds nothing any more");
        session.insert("n", 3).unwrap();
        assert!(matches!(
            session.update("n", |n: Option<u8>| n.unwrap_or(0)).await,
            Err(Error::Gone)
        ));
        ok()
    })
    .await;
    assert_eq!(texts(&world), [pair("another", "1")]);
}

#[tokio::test]
async fn two_requests_that_set_different_keys_both_win() {
    let world = world();
    let jar = world.jar().await;
    let cookie = jar.header("/");
    let set = async |key: String| {
        ask(&world.layer, &cookie, async |session: Session| {
            let session = loaded(session).await;
            tokio::task::yield_now().await;
            session.insert(&key, 1).unwrap();
            ok()
        })
        .await
    };
    let all: Vec<_> = (0..200).map(|n| set(format!("key-{n}"))).collect();
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    assert_eq!(world.store.record().values.len(), 201);
}

// --- Identity.

#[tokio::test]
async fn row_1_an_unknown_ticket_is_never_adopted() {
    let world = world();
    let planted = "A".repeat(64);
    let mut jar = Jar::new();
    jar.set(&format!("__Host-session={planted}; Path=/; Secure"));
    visit(&mut jar, &world.layer, async |session: Session| {
        session.insert("n", 1).unwrap();
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "create"]);
    assert_ne!(jar.0[0].value[..21], planted[..21]);
    ask(
        &world.layer,
        &format!("__Host-session={planted}"),
        async |session: Session| {
            assert!(loaded(session).await.is_empty().unwrap());
            ok()
        },
    )
    .await;
}

#[tokio::test]
async fn row_7_a_collision_is_tried_again_and_never_overwrites() {
    let world = world();
    world.store.collide(2);
    let mut jar = Jar::new();
    let write = async |session: Session| {
        session.insert("n", 1).unwrap();
        ok()
    };
    let response = visit(&mut jar, &world.layer, write).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(world.store.asked(), ["create", "create", "create"]);
    // A random source that repeats itself is one that failed.
    world.store.collide(100);
    let response = ask(&world.layer, "", write).await;
    assert!(matches!(response.extensions().get::<Error>(), Some(Error::Random)));
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    assert_eq!(world.store.len(), 1);
}

#[tokio::test]
async fn row_16_a_ticket_is_worth_nothing_under_another_name_or_application() {
    let world = world();
    let jar = world.jar().await;
    let ticket = &jar.0[0].value;
    let named = world.layer.clone().cookie_name("other").build().unwrap();
    let app = world.layer.clone().app("other").build().unwrap();
    for (layer, name) in [(named, "__Host-other"), (app, "__Host-session")] {
        ask(&layer, &format!("{name}={ticket}"), async |session: Session| {
            let session = loaded(session).await;
            assert_eq!(session.rejected(), Some(Reject::UnknownTicket));
            session.destroy().unwrap();
            ok()
        })
        .await;
    }
    assert_eq!(world.store.len(), 1);
}

#[tokio::test]
async fn row_27_visitors_who_only_look_fill_nothing() {
    let world = world();
    for n in 0..1000 {
        let cookie = if n % 2 == 0 {
            String::new()
        } else {
            format!("__Host-session={n:064}")
        };
        let response = ask(&world.layer, &cookie, async |session: Session| {
            let session = loaded(session).await;
            assert_eq!(session.get::<u8>("n").unwrap(), None);
            session.renew().unwrap();
            ok()
        })
        .await;
        assert_eq!(set_cookies(response.headers()), [""; 0]);
    }
    let asked = world.store.asked();
    assert_eq!(asked.len(), 500);
    assert!(asked.iter().all(|step| *step == "load"));
    assert_eq!(world.store.len(), 0);
}

#[tokio::test]
async fn several_tickets_are_as_several_cookies() {
    let world = world_of(|layer| layer.domain("example.com"));
    let (one, two) = (world.jar().await, world.jar().await);
    let (one, two) = (&one.0[0].value, &two.0[0].value);
    let both = format!("__Secure-session={one}; __Secure-session={two}; __Secure-session={one}");
    ask(&world.layer, &both, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.rejected(), Some(Reject::Ambiguous));
        assert!(session.is_empty().unwrap());
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "load"]);
    // A dead one beside a good one is no rival.
    let planted = format!("__Secure-session={}; __Secure-session={two}", "A".repeat(64));
    ask(&world.layer, &planted, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
        session.insert("n", 2).unwrap();
        ok()
    })
    .await;
    // At most four are asked for.
    let many: Vec<_> = (0..9).map(|n| format!("__Secure-session={n:064}")).collect();
    world.store.asked();
    ask(
        &world.layer,
        &format!("{}; __Secure-session={two}", many.join("; ")),
        async |session: Session| {
            assert!(loaded(session).await.is_empty().unwrap());
            ok()
        },
    )
    .await;
    assert_eq!(world.store.asked().len(), 4);
    let newest = world_of(|layer| layer);
    let old = newest.jar().await;
    newest.clock.advance(MINUTE);
    let new = newest.jar().await;
    let both = format!("__Host-session={}; __Host-session={}", new.0[0].value, old.0[0].value);
    ask(&newest.layer, &both, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(
            session.created_at().unwrap(),
            Some(newest.clock.now()),
            "the newest wins under __Host-"
        );
        session.insert("won", true).unwrap();
        ok()
    })
    .await;
    let winner: Vec<_> = newest
        .store
        .records()
        .into_iter()
        .filter(|(_, record)| record.values.len() == 2)
        .collect();
    assert_eq!(winner.len(), 1);
    assert_eq!(winner[0].1.created, millis(&newest.clock));
}

// --- A store that is down.

#[tokio::test]
async fn row_34_a_store_that_is_down_is_not_an_empty_session() {
    let world = world();
    let jar = world.jar().await;
    let cookie = jar.header("/");
    world.store.down(true);
    let response = ask(&world.layer, &cookie, async |session: Session| {
        assert!(matches!(session.load().await, Err(Error::Store { .. })));
        assert!(matches!(session.get::<u8>("n"), Err(Error::Store { .. })));
        assert!(matches!(session.insert("n", 2), Err(Error::Store { .. })));
        assert!(matches!(session.clear(), Err(Error::Store { .. })));
        assert!(matches!(session.destroy(), Err(Error::Store { .. })));
        assert!(matches!(session.authenticated(), Err(Error::Store { .. })));
        assert!(matches!(
            session.update("n", |n: Option<u8>| n.unwrap_or(0)).await,
            Err(Error::Store { .. })
        ));
        ok()
    })
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    // At the commit.
    for cookie in ["", &cookie] {
        let response = ask(&world.layer, cookie, async |session: Session| {
            session.insert("n", 2).unwrap();
            ok()
        })
        .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(matches!(
            response.extensions().get::<Error>(),
            Some(Error::Store { .. })
        ));
        assert_eq!(set_cookies(response.headers()), [""; 0]);
    }
    // It is back in the middle of a request.
    ask(&world.layer, &cookie, async |session: Session| {
        assert!(session.load().await.is_err());
        world.store.down(false);
        assert!(matches!(session.get::<u8>("n"), Err(Error::Store { .. })));
        session.load().await.unwrap();
        assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
        ok()
    })
    .await;
}

#[tokio::test]
async fn calls_that_wait_for_one_load_share_its_failure() {
    let world = world();
    let jar = world.jar().await;
    world.store.down(true);
    world.store.hold_before("load");
    ask(&world.layer, &jar.header("/"), async |session: Session| {
        let (one, two, three) = (session.clone(), session.clone(), session.clone());
        let open = async {
            world.store.held().await;
            world.store.open();
        };
        let (one, two, three, ()) = tokio::join!(one.load(), two.load(), three.load(), open);
        assert!(one.is_err() && two.is_err() && three.is_err());
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load"]);
}

#[tokio::test(start_paused = true)]
#[cfg(feature = "tokio")]
async fn a_store_that_never_answers_is_one_that_failed() {
    let world = world_of(|layer| layer.store_timeout(Duration::from_secs(2)));
    let jar = world.jar().await;
    world.store.hold_before("load");
    let began = tokio::time::Instant::now();
    ask(&world.layer, &jar.header("/"), async |session: Session| {
        let error = session.load().await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "no answer within 2s");
        ok()
    })
    .await;
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

// --- Saving.

#[tokio::test]
async fn saved_is_saved_whatever_the_answer() {
    let world = world();
    let mut jar = Jar::new();
    visit(&mut jar, &world.layer, async |session: Session| {
        session.insert("a", 1).unwrap();
        session.save().await.unwrap();
        assert!(!session.is_modified());
        session.save().await.unwrap();
        assert_eq!(world.store.asked(), ["create"]);
        session.insert("b", 2).unwrap();
        let mut response = ok();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
    .await;
    assert_eq!((world.store.asked(), texts(&world)), (vec![], vec![pair("a", "1")]));
    assert_eq!(jar.0.len(), 1, "and the client has its ticket");
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.get::<u8>("a").unwrap(), Some(1));
        ok()
    })
    .await;
}

#[tokio::test]
async fn what_changes_during_a_save_is_kept_and_nothing_twice() {
    let world = world();
    let mut jar = world.jar().await;
    let other = jar.clone();
    world.store.hold_after("apply");
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("a", 1).unwrap();
        session.insert("b", 1).unwrap();
        session.insert("undone", 1).unwrap();
        let during = async {
            world.store.held().await;
            session.insert("b", 2).unwrap();
            session.insert("c", 2).unwrap();
            session.remove("undone").unwrap();
            world.store.open();
        };
        let (saved, ()) = tokio::join!(session.save(), during);
        saved.unwrap();
        assert!(session.is_modified());
        // Another request has the last word on what is no longer pending here.
        ask(&world.layer, &other.header("/"), async |session: Session| {
            session.insert("a", 3).unwrap();
            ok()
        })
        .await;
        ok()
    })
    .await;
    assert_eq!(
        texts(&world),
        [pair("a", "3"), pair("b", "2"), pair("c", "2"), pair("n", "1")]
    );
}

#[tokio::test]
async fn destroyed_during_a_save_is_destroyed() {
    for known in [false, true] {
        let world = world();
        let mut jar = if known { world.jar().await } else { Jar::new() };
        let step = if known { "apply" } else { "create" };
        world.store.hold_after(step);
        visit(&mut jar, &world.layer, async |session: Session| {
            session.insert("a", 1).unwrap();
            let during = async {
                world.store.held().await;
                session.destroy().unwrap();
                world.store.open();
            };
            let (saved, ()) = tokio::join!(session.save(), during);
            saved.unwrap();
            assert!(session.is_empty().unwrap());
            ok()
        })
        .await;
        assert_eq!((world.store.len(), jar.0.len()), (0, 0), "{step}");
    }
}

#[tokio::test]
async fn saves_take_turns() {
    let world = world();
    let mut jar = world.jar().await;
    world.store.hold_after("apply");
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("a", 1).unwrap();
        let (one, two) = (session.clone(), session.clone());
        let during = async {
            world.store.held().await;
            session.insert("b", 2).unwrap();
            world.store.open();
        };
        let (one, two, ()) = tokio::join!(one.save(), two.save(), during);
        one.and(two).unwrap();
        assert!(!session.is_modified());
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "apply", "apply"]);
    assert_eq!(texts(&world), [pair("a", "1"), pair("b", "2"), pair("n", "1")]);
}

#[tokio::test]
async fn what_a_failed_save_was_about_is_still_to_be_done() {
    let world = world_of(|layer| layer.max_age_limit(DAY * 90));
    let mut jar = world.jar().await;
    let before = world.store.record();
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.insert("m", 2).unwrap();
        session.authenticated().unwrap();
        session.set_max_age(DAY * 30).unwrap();
        session.set_owner("ada").unwrap();
        session.set_label("phone").unwrap();
        world.store.down(true);
        assert!(matches!(session.save().await, Err(Error::Store { .. })));
        assert!(session.is_modified());
        world.store.down(false);
        ok()
    })
    .await;
    let after = world.store.record();
    assert_ne!(after.secret.as_bytes(), before.secret.as_bytes());
    assert_eq!((after.owner.is_some(), after.label.as_deref()), (true, Some("phone")));
    assert_eq!(
        (after.max_age, after.authenticated),
        (Some(30 * 86_400), Some(millis(&world.clock)))
    );
    assert_eq!(texts(&world), [pair("m", "2"), pair("n", "1")]);
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(
            session.get::<u8>("m").unwrap(),
            Some(2),
            "the ticket that was sent is the good one"
        );
        session.destroy().unwrap();
        world.store.down(true);
        assert!(session.save().await.is_err());
        world.store.down(false);
        ok()
    })
    .await;
    assert_eq!((world.store.len(), jar.0.len()), (0, 0));
}

// --- After the response.

#[tokio::test]
async fn rule_23_a_held_session_may_still_be_saved_and_a_new_one_may_not() {
    let world = world();
    let mut jar = world.jar().await;
    let kept = Mutex::new(None);
    visit(&mut jar, &world.layer, async |session: Session| {
        *kept.lock().unwrap() = Some(loaded(session).await);
        ok()
    })
    .await;
    let session = kept.lock().unwrap().take().unwrap();
    session.insert("late", 1).unwrap();
    assert!(session.is_modified());
    assert!(matches!(session.renew(), Err(Error::HeadersSent)));
    assert!(matches!(session.set_max_age(DAY), Err(Error::HeadersSent)));
    world.store.asked();
    session.save().await.unwrap();
    assert_eq!(world.store.asked(), ["apply"]);
    assert_eq!(session.update("late", |n: Option<u8>| n.unwrap() + 1).await.unwrap(), 2);
    assert_eq!(texts(&world), [pair("late", "2"), pair("n", "1")]);
    session.destroy().unwrap();
    assert!(matches!(session.insert("n", 1), Err(Error::HeadersSent)));
    session.save().await.unwrap();
    assert_eq!(world.store.len(), 0);
    // Nobody has a ticket for this one.
    ask(&world.layer, "", async |session: Session| {
        loaded(session.clone()).await.len().unwrap();
        *kept.lock().unwrap() = Some(session);
        ok()
    })
    .await;
    let session = kept.lock().unwrap().take().unwrap();
    assert!(matches!(session.insert("n", 1), Err(Error::HeadersSent)));
    assert!(matches!(
        session.update("n", |_: Option<u8>| 1).await,
        Err(Error::HeadersSent)
    ));
}

// --- A client that hangs up.

#[tokio::test]
async fn rule_15_a_commit_goes_on_without_the_client() {
    for given in [false, true] {
        if !given && cfg!(not(feature = "tokio")) {
            continue;
        }
        let spawned = Arc::new(AtomicUsize::new(0));
        let count = spawned.clone();
        let world = world_of(|layer| {
            if given {
                layer.spawn_with(move |future| {
                    count.fetch_add(1, Ordering::SeqCst);
                    drop(tokio::spawn(future));
                })
            } else {
                layer
            }
        });
        world.store.hold_before("create");
        let asked = ask(&world.layer, "", async |session: Session| {
            session.insert("n", 1).unwrap();
            ok()
        });
        tokio::select! {
            biased;
            _ = asked => panic!("it waits"),
            () = world.store.held() => {}
        }
        assert_eq!(world.store.len(), 0);
        world.store.open();
        while world.store.len() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(spawned.load(Ordering::SeqCst), usize::from(given));
    }
}

#[tokio::test]
#[cfg(feature = "tokio")]
async fn row_35_a_renewal_that_nobody_waits_for_leaves_one_good_ticket() {
    // The handler gives up its own `save` in the middle, and answers all the same.
    let world = world();
    let mut jar = world.jar().await;
    let old = jar.clone();
    world.store.hold_after("apply");
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        tokio::select! {
            biased;
            _ = session.save() => panic!("it waits"),
            () = world.store.held() => {}
        }
        world.store.open();
        ok()
    })
    .await;
    assert_ne!(
        jar.0[0].value, old.0[0].value,
        "the ticket that is good is the one that was sent"
    );
    visit(&mut jar, &world.layer, async |session: Session| {
        assert_eq!(loaded(session).await.get::<u8>("n").unwrap(), Some(1));
        ok()
    })
    .await;
    row_37_old_ticket_is_dead(&world, &old).await;
    // The service fails after the renewal was asked for and before it was committed: the old ticket is good.
    let world = self::world();
    let mut jar = world.jar().await;
    let layer = world.layer.clone();
    visit(&mut jar, &layer, async |session: Session| {
        loaded(session).await.renew().unwrap();
        let mut response = ok();
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
    .await;
    visit(&mut jar, &layer, async |session: Session| {
        assert_eq!(loaded(session).await.get::<u8>("n").unwrap(), Some(1));
        ok()
    })
    .await;
}

#[tokio::test]
async fn a_store_that_panics_is_not_asked_again() {
    let world = world_of(|layer| layer.spawn_with(|_| panic!("nothing is to be spawned")));
    world.store.panic_at("create");
    let layer = world.layer.clone();
    let panicked = tokio::spawn(async move {
        ask(&layer, "", async |session: Session| {
            session.insert("n", 1).unwrap();
            ok()
        })
        .await
    })
    .await;
    assert!(panicked.unwrap_err().is_panic());
    assert_eq!(world.store.asked(), ["create"]);
}

// --- update.

#[tokio::test]
async fn update_is_committed_at_once_and_loses_nothing() {
    let world = world();
    let jar = world.jar().await;
    let cookie = jar.header("/");
    ask(&world.layer, &cookie, async |session: Session| {
        let n = session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.unwrap();
        assert_eq!(n, 2);
        assert_eq!(world.store.asked(), ["load", "apply"]);
        assert_eq!(texts(&world), [pair("n", "2")]);
        // What is pending stays so.
        session.insert("pending", 1).unwrap();
        session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.unwrap();
        assert_eq!(texts(&world), [pair("n", "3")]);
        assert!(session.is_modified());
        // Another request was first.
        ask(&world.layer, &cookie, async |session: Session| {
            session.insert("n", 10).unwrap();
            ok()
        })
        .await;
        world.store.asked();
        assert_eq!(
            session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.unwrap(),
            11
        );
        assert_eq!(world.store.asked(), ["apply", "load", "apply"]);
        ok()
    })
    .await;
    assert_eq!(texts(&world), [pair("n", "11"), pair("pending", "1")]);
}

// Nobody waits for its pauses.
#[tokio::test(start_paused = true)]
async fn update_gives_up_with_an_error_that_says_so() {
    let world = world();
    let jar = world.jar().await;
    world.store.conflict(u32::MAX);
    ask(&world.layer, &jar.header("/"), async |session: Session| {
        let error = session
            .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
            .await
            .unwrap_err();
        assert!(matches!(&error, Error::Contended { key, .. } if key == "n"), "{error}");
        assert!(!session.is_modified());
        ok()
    })
    .await;
    assert_eq!(texts(&world), [pair("n", "1")]);
}

#[tokio::test]
async fn update_makes_a_session_where_there_is_none() {
    let world = world();
    let mut jar = Jar::new();
    for expected in 1..=3 {
        visit(&mut jar, &world.layer, async |session: Session| {
            assert_eq!(
                session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.unwrap(),
                expected
            );
            ok()
        })
        .await;
    }
    assert_eq!(texts(&world), [pair("n", "3")]);
    // And leaves no trace of one that failed.
    world.store.down(true);
    ask(&world.layer, "", async |session: Session| {
        assert!(session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.is_err());
        assert!(session.is_empty().unwrap() && !session.is_modified());
        ok()
    })
    .await;
}

// --- Owners.

async fn login(world: &World, owner: &str, label: &str) -> Jar {
    let mut jar = Jar::new();
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        session.set_owner(owner).unwrap();
        session.set_label(label).unwrap();
        ok()
    })
    .await;
    world.clock.advance(MINUTE);
    jar
}

async fn is_in(world: &World, jar: &Jar) -> bool {
    let mut is_in = false;
    ask(&world.layer, &jar.header("/"), async |session: Session| {
        is_in = loaded(session).await.authenticated_at().unwrap().is_some();
        ok()
    })
    .await;
    is_in
}

#[tokio::test]
async fn asvs_7_5_2_owners_see_their_sessions_and_7_4_3_end_them() {
    let world = world();
    let (phone, laptop, other) = (
        login(&world, "ada", "phone").await,
        login(&world, "ada", "laptop").await,
        login(&world, "bob", "phone").await,
    );
    let sessions = world.layer.sessions_of("ada").await.unwrap();
    let labels: Vec<_> = sessions
        .iter()
        .map(|session| session.label.as_deref().unwrap())
        .collect();
    assert_eq!(labels, ["laptop", "phone"], "the last seen first");
    let mut own = None;
    ask(&world.layer, &phone.header("/"), async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.owner().unwrap().as_deref(), Some("ada"));
        own = session.id().unwrap();
        ok()
    })
    .await;
    assert_eq!(own, Some(sessions[1].id));
    // Somebody else's id ends nothing.
    let bobs = world.layer.sessions_of("bob").await.unwrap()[0].id;
    assert!(!world.layer.destroy_one("ada", bobs).await.unwrap());
    assert_eq!(world.layer.destroy_all("ada", own).await.unwrap(), 1);
    assert!(is_in(&world, &phone).await && !is_in(&world, &laptop).await && is_in(&world, &other).await);
    assert!(world.layer.destroy_one("ada", own.unwrap()).await.unwrap());
    assert!(!is_in(&world, &phone).await);
    assert_eq!(world.layer.sessions_of("ada").await.unwrap(), []);
}

#[tokio::test]
async fn row_25_a_changed_password_ends_all_sessions_and_an_epoch_everybodys() {
    let world = world();
    let before = [
        login(&world, "ada", "1").await,
        login(&world, "ada", "2").await,
        login(&world, "bob", "3").await,
    ];
    assert_eq!(world.layer.destroy_all("ada", None).await.unwrap(), 2);
    assert!(!is_in(&world, &before[0]).await && !is_in(&world, &before[1]).await && is_in(&world, &before[2]).await);
    let epoch = world.clock.now();
    let after = login(&world, "ada", "4").await;
    assert_eq!(world.layer.destroy_all_begun_before(epoch).await.unwrap(), 1);
    assert!(!is_in(&world, &before[2]).await && is_in(&world, &after).await);
}

#[tokio::test]
async fn asvs_7_1_2_of_too_many_sessions_the_oldest_go() {
    let world = world_of(|layer| layer.max_sessions_per_owner(2));
    let mut jars = Vec::new();
    for n in 0..4 {
        jars.push(login(&world, "ada", &n.to_string()).await);
        world.clock.advance(Duration::from_millis(1));
    }
    let mut who = Vec::new();
    for jar in &jars {
        who.push(is_in(&world, jar).await);
    }
    assert_eq!(who, [false, false, true, true]);
    // A failure to tidy up is no failed login.
    world.store.hold_before("none");
    assert_eq!(login(&world, "bob", "").await.0.len(), 1);
}

#[tokio::test]
async fn owners_are_for_stores_that_know_them() {
    let cookies = SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap();
    ask(&cookies, "", async |session: Session| {
        assert!(matches!(session.set_owner("ada"), Err(Error::Config { .. })));
        assert!(matches!(session.set_label("x"), Err(Error::Config { .. })));
        assert_eq!((session.owner().unwrap(), session.id().unwrap()), (None, None));
        ok()
    })
    .await;
    assert!(matches!(cookies.sessions_of("ada").await, Err(Error::Config { .. })));
    assert!(matches!(
        cookies.destroy_all_begun_before(std::time::SystemTime::now()).await,
        Err(Error::Config { .. })
    ));
    assert!(cookies.clone().max_sessions_per_owner(2).build().is_err());
    assert!(
        SessionLayer::with_store(MapStore::new())
            .max_sessions_per_owner(0)
            .build()
            .is_err()
    );
    assert!(SessionLayer::with_store(MapStore::new()).chunked(2).build().is_err());
    // A test of code that takes a session.
    Session::new().set_owner("ada").unwrap();
}

#[tokio::test]
async fn a_sessions_own_max_age_is_kept_by_a_request_that_knows_nothing_of_it() {
    let world = world_of(|layer| layer.max_age(DAY).max_age_limit(DAY * 30));
    let mut jar = world.jar().await;
    let slow = jar.clone();
    let before = millis(&world.clock);
    ask(&world.layer, &slow.header("/"), async |session: Session| {
        let session = loaded(session).await;
        let response = visit(&mut jar, &world.layer, async |session: Session| {
            session.set_max_age(DAY * 20).unwrap();
            ok()
        })
        .await;
        assert!(set_cookies(response.headers())[0].ends_with("Max-Age=1728000"));
        session.insert("n", 2).unwrap();
        ok()
    })
    .await;
    assert_eq!(world.store.record().expires, before + 20 * 86_400_000);
    visit(&mut jar, &world.layer, async |session: Session| {
        session.set_max_age(MINUTE).unwrap();
        ok()
    })
    .await;
    assert_eq!(
        world.store.record().expires,
        before + 60_000,
        "shorter, if that is asked for"
    );
}

// --- From cookies to a store.

#[tokio::test]
async fn a_cookie_session_moves_into_the_store_with_its_first_write() {
    let key = Key::generate().unwrap();
    let clock = Clock::new();
    let before = SessionLayer::encrypted(key.clone())
        .clock(clock.reader())
        .build()
        .unwrap();
    let mut jar = Jar::new();
    jar.visit(&before, |session| {
        session.insert("cart", ["tea"]).unwrap();
        ok()
    });
    let began = clock.now();
    clock.advance(MINUTE);
    let store = MapStore::new();
    let layer = SessionLayer::with_store(store.clone())
        .clock(clock.reader())
        .also_accept(Fallback::new(codec::Encrypted::new(key)), Until::forever())
        .build()
        .unwrap();
    let read = async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.get::<Vec<String>>("cart").unwrap().unwrap(), ["tea"]);
        assert_eq!(session.created_at().unwrap(), Some(began));
        ok()
    };
    visit(&mut jar, &layer, read).await;
    assert_eq!(store.asked(), [""; 0]);
    visit(&mut jar, &layer, async |session: Session| {
        loaded(session).await.insert("n", 1).unwrap();
        ok()
    })
    .await;
    assert_eq!(store.asked(), ["create"]);
    assert_eq!((jar.0.len(), jar.0[0].value.len()), (1, 64));
    visit(&mut jar, &layer, read).await;
    assert_eq!(store.asked(), ["load"]);
}

#[tokio::test]
async fn on_error_makes_the_response_and_is_not_called_for_what_is_gone() {
    let store = MapStore::new();
    let layer = SessionLayer::with_store(store.clone()).build().unwrap().on_error(
        |error: Error, mut response: Response<String>| {
            *response.body_mut() = error.to_string();
            response
        },
    );
    store.down(true);
    let response = ask(&layer, "", async |session: Session| {
        session.insert("n", 1).unwrap();
        ok()
    })
    .await;
    assert!(
        response.body().contains("the session store failed"),
        "{}",
        response.body()
    );
    let _ = DefaultErrorResponse::default();
}

// --- Against a model.

/// One step of a session's life, on the session and on what it should hold.
fn deed(random: &mut Random, session: &Session, model: &mut std::collections::BTreeMap<String, u64>) {
    let key = format!("k{}", random.below(4));
    match random.below(11) {
        10 => {
            session.destroy().unwrap();
            model.clear();
        }
        0..=5 => {
            let value = random.below(3);
            session.insert(&key, value).unwrap();
            model.insert(key, value);
        }
        6..=8 => {
            session.remove(&key).unwrap();
            model.remove(&key);
        }
        _ => {
            session.clear().unwrap();
            model.clear();
        }
    }
}

#[tokio::test]
async fn any_mix_of_changes_saves_and_updates_ends_as_in_a_dictionary() {
    let mut random = Random::new();
    let seed = random.0;
    for _ in 0..300 {
        let world = world();
        let mut jar = Jar::new();
        let mut model = std::collections::BTreeMap::new();
        for _ in 0..4 {
            visit(&mut jar, &world.layer, async |session: Session| {
                if random.below(2) == 0 {
                    session.load().await.unwrap();
                    let holds: std::collections::BTreeMap<String, u64> = session.to_map().unwrap();
                    assert_eq!(holds, model, "seed {seed}");
                }
                for _ in 0..random.below(12) {
                    match random.below(8) {
                        0 => session.save().await.unwrap(),
                        1 => {
                            // Changes come while the store is at work.
                            for step in ["apply", "create", "delete"] {
                                world.store.hold_after(step);
                                let save = session.save();
                                let during = async {
                                    tokio::select! {
                                        biased;
                                        () = world.store.held() => {}
                                        () = tokio::task::yield_now() => {}
                                    }
                                    for _ in 0..random.below(3) {
                                        deed(&mut random, &session, &mut model);
                                    }
                                    world.store.open();
                                };
                                let (saved, ()) = tokio::join!(save, during);
                                saved.unwrap();
                                world.store.settle();
                            }
                        }
                        2 => {
                            let key = format!("k{}", random.below(4));
                            let new = session.update(&key, |n: Option<u64>| n.unwrap_or(0) + 1).await.unwrap();
                            *model.entry(key.clone()).or_default() += 1;
                            assert_eq!(model[&key], new, "seed {seed}");
                        }
                        3 => {
                            session.destroy().unwrap();
                            model.clear();
                        }
                        4 => session.renew().unwrap(),
                        _ => deed(&mut random, &session, &mut model),
                    }
                }
                if session.load().await.is_ok() {
                    let holds: std::collections::BTreeMap<String, u64> = session.to_map().unwrap();
                    assert_eq!(holds, model, "seed {seed}");
                }
                ok()
            })
            .await;
            // One session, or none, and nothing left behind.
            let records = world.store.records();
            let kept: Vec<_> = records
                .iter()
                .flat_map(|(_, record)| record.values.iter())
                .map(|(key, json)| (key.to_owned(), json.parse().unwrap()))
                .collect();
            assert_eq!(kept, model.clone().into_iter().collect::<Vec<_>>(), "seed {seed}");
            assert!(records.len() <= 1, "seed {seed}");
            assert_eq!(records.len(), jar.0.len(), "seed {seed}");
        }
    }
}
