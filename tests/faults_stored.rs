//! Steps of a store whose outcome nobody knows, and who sees to them.
#![cfg(feature = "tokio")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/client.rs"]
mod client;
#[path = "support/map_store.rs"]
mod map_store;
#[path = "support/map_world.rs"]
mod map_world;
mod support;

use std::time::Duration;

use client::{ask, visit};
use http::StatusCode;
use http_session::{Error, Session};
use map_world::*;
use support::*;

/// Everything that the session's clockwork has left to do in this time.
async fn pass(seconds: u64) {
    for _ in 0..seconds {
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

async fn log_in(world: &World) -> StatusCode {
    let response = ask(&world.layer, "", async |session: Session| {
        session.authenticated().unwrap();
        session.set_owner("ada").unwrap();
        session.insert("n", 1).unwrap();
        ok()
    })
    .await;
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    response.status()
}

#[tokio::test(start_paused = true)]
async fn fault_b5_a_session_that_was_begun_without_an_answer_is_no_device() {
    // The step is taken, and its answer does not come in time.
    let world = world_of(|layer| layer.max_sessions_per_owner(1));
    world.store.hold_after("create");
    assert_eq!(log_in(&world).await, StatusCode::SERVICE_UNAVAILABLE);
    world.store.open();
    assert_eq!(world.layer.sessions_of("ada").await.unwrap().len(), 1, "a phantom");
    pass(2).await;
    assert_eq!(world.layer.sessions_of("ada").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn fault_b5_a_step_that_a_store_takes_much_later_is_undone_as_well() {
    let world = world();
    world.store.delay("create", Duration::from_secs(50));
    assert_eq!(log_in(&world).await, StatusCode::SERVICE_UNAVAILABLE);
    pass(40).await;
    assert_eq!(world.store.len(), 0);
    pass(12).await;
    assert_eq!(world.store.len(), 1, "it came late");
    pass(60).await;
    assert_eq!(world.store.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn fault_b5_a_session_whose_login_is_tried_again_is_one_session() {
    let world = world();
    let mut jar = Jar::new();
    visit(&mut jar, &world.layer, async |session: Session| {
        session.insert("n", 1).unwrap();
        session.set_owner("ada").unwrap();
        world.store.hold_after("create");
        assert!(matches!(session.save().await, Err(Error::Store { .. })));
        world.store.open();
        ok()
    })
    .await;
    assert!(world.opens(&jar).await);
    assert_eq!(world.layer.sessions_of("ada").await.unwrap().len(), 2);
    pass(2).await;
    assert_eq!(world.layer.sessions_of("ada").await.unwrap().len(), 1);
    assert!(world.opens(&jar).await);
}
