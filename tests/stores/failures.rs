//! Stores that fail, and requests that end in the middle.

use std::sync::Arc;

use http::{Response, StatusCode};
use http_session::{Error, Reject, Session};
use tokio::sync::Notify;

use crate::{
    client::{ask, visit},
    stores::{Fails, When},
    support::*,
    world::*,
};

pub async fn row_34_a_store_that_fails_is_not_an_empty_session(world: &World) {
    let cookie = world.jar().await.header("/");
    let before = world.dump().await;
    for fails in [Fails::Unreached, Fails::Unheard] {
        world.store.fails(Some(fails));
        world.store.asked();
        let response = ask(&world.layer, &cookie, async |session: Session| {
            macro_rules! failed {
                ($($answer:expr,)*) => { $(assert!(matches!($answer, Err(Error::Store { .. })), stringify!($answer));)* };
            }
            failed!(
                session.load().await,
                session.get::<u64>("n"),
                session.len(),
                session.insert("n", 2),
                session.remove("n"),
                session.clear(),
                session.destroy(),
                session.authenticated(),
                session.update("n", |n: Option<u64>| n.unwrap_or(0)).await,
            );
            done()
        })
        .await;
        // The handler has seen the errors; what it makes of them is its own business.
        unchanged(&response);
        assert!(world.store.asked().iter().all(|&step| step == "load"));
        world.store.fails(None);
        world.expect(&cookie, 1).await;
    }
    world.store.fails(Some(Fails::Unreached));
    // It fails at the commit: of a change, of a logout, of a new session.
    for cookie in [&*cookie, ""] {
        for deed in [
            (|session: &Session| session.insert("n", 666).unwrap()) as fn(&Session),
            |session| session.destroy().unwrap(),
        ] {
            let response = ask(&world.layer, cookie, async |session: Session| {
                deed(&session);
                done()
            })
            .await;
            if set_cookies(response.headers()).is_empty() && response.status() == StatusCode::OK {
                assert_eq!(cookie, "", "there was nothing to do");
                continue;
            }
            failed(&response);
        }
    }
    world.store.fails(None);
    assert_eq!(world.dump().await, before);
    world.expect(&cookie, 1).await;
}

fn failed(response: &Response<String>) {
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.body(), "");
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    assert!(matches!(
        response.extensions().get::<Error>(),
        Some(Error::Store { .. })
    ));
}

pub async fn row_34_a_step_whose_answer_was_lost_sends_no_cookie(world: &World) {
    let mut jar = world.jar().await;
    let old = jar.header("/");
    macro_rules! unheard {
        ($cookie:expr, $deed:expr) => {
            let deed: fn(&Session) = $deed;
            let response = ask(&world.layer, $cookie, async |session: Session| {
                let session = loaded(session).await;
                deed(&session);
                world.store.fails(Some(Fails::Unheard));
                done()
            })
            .await;
            world.store.fails(None);
            failed(&response);
        };
    }
    unheard!(&old, |session| session.insert("n", 2).unwrap());
    // It was done, and the same once more does no harm.
    world.expect(&old, 2).await;
    unheard!(&old, |session| session.renew().unwrap());
    // Whoever saw the ticket before cannot use it, which is what a renewal is for; nobody has the new one.
    world.expect_none(&old, Reject::Renewed).await;
    // A login is possible all the same, and is another session.
    visit(&mut jar, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        session.insert("n", 3).unwrap();
        ok()
    })
    .await;
    let old = jar.header("/");
    world.expect(&old, 3).await;
    unheard!(&old, |session| session.destroy().unwrap());
    world.expect_none(&old, Reject::UnknownTicket).await;
}

/// Renews, and is dropped or fails at some point.
pub async fn row_35_a_renewal_that_breaks_off_leaves_one_good_ticket(world: &World) {
    // Before the commit: the old ticket is good.
    let layer = world.layer.clone();
    let mut jar = jar_of(&layer).await;
    let old = jar.header("/");
    let response = visit(&mut jar, &layer, async |session: Session| {
        loaded(session).await.renew().unwrap();
        let mut response = ok();
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
    .await;
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    world.expect(&old, 1).await;
    // The handler panics.
    let (panicking, cookie) = (world.layer.clone(), old.clone());
    let panicked = tokio::spawn(async move {
        ask(&panicking, &cookie, |session: Session| async move {
            loaded(session).await.renew().unwrap();
            panic!("told to");
        })
        .await
    });
    assert!(panicked.await.unwrap_err().is_panic());
    world.expect(&old, 1).await;
    // The client hangs up while the handler is at work.
    let renewed = Arc::new(Notify::new());
    let (hanging, cookie, notify) = (world.layer.clone(), old.clone(), renewed.clone());
    let request = tokio::spawn(async move {
        ask(&hanging, &cookie, |session: Session| async move {
            loaded(session).await.renew().unwrap();
            notify.notify_one();
            std::future::pending().await
        })
        .await
    });
    soon(renewed.notified()).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    world.expect(&old, 1).await;
    // Unless the status is not to decide: then one of 500 brings the new ticket.
    let keeping = world.with(|layer| layer.keep_on_server_error());
    visit(&mut jar, &keeping, async |session: Session| {
        loaded(session).await.renew().unwrap();
        let mut response = ok();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
    .await;
    world.expect_none(&old, Reject::Renewed).await;
    world.expect(&jar.header("/"), 1).await;
    // The store is not reached: the old ticket is good.
    let old = jar.header("/");
    let response = visit(&mut jar, &world.layer, async |session: Session| {
        loaded(session).await.renew().unwrap();
        world.store.fails(Some(Fails::Unreached));
        ok()
    })
    .await;
    world.store.fails(None);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    world.expect(&old, 1).await;
    // The client hangs up during the commit: the commit runs to its end.
    for when in [When::Before, When::After] {
        let old = world.jar().await.header("/");
        world.store.hold("apply", when);
        let (layer, cookie) = (world.layer.clone(), old.clone());
        let request = tokio::spawn(async move {
            ask(&layer, &cookie, |session: Session| async move {
                let session = loaded(session).await;
                session.authenticated().unwrap();
                session
                    .set_owner(if when == When::Before { "before" } else { "after" })
                    .unwrap();
                ok()
            })
            .await
        });
        soon(world.store.held()).await;
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        world.store.open();
        let owner = if when == When::Before { "before" } else { "after" };
        soon(async {
            while world.layer.sessions_of(owner).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // The record is there, and it is not the old ticket's: exactly one is good, and nobody has it.
        world.expect_none(&old, Reject::Renewed).await;
    }
}
