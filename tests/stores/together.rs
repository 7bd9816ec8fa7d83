//! Requests at the same time, in one process and in two.

use std::{
    collections::BTreeSet,
    env,
    process::{Command, Stdio},
    sync::Arc,
};

use http_session::{Session, SessionLayer};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{client::ask, places, support::*, world::*};

pub async fn rule_9_of_200_requests_at_the_same_time_each_keeps_its_change(world: &World) {
    let cookie = world.jar().await.header("/");
    let barrier = Arc::new(Barrier::new(200));
    let mut requests = JoinSet::new();
    for at in 0..200 {
        let (layer, cookie, barrier) = (world.layer.clone(), cookie.clone(), barrier.clone());
        requests.spawn(async move {
            let response = ask(&layer, &cookie, |session: Session| async move {
                session.load().await.unwrap();
                // All have read what there was before anybody writes.
                barrier.wait().await;
                session.insert(&format!("key-{at}"), at).unwrap();
                done()
            })
            .await;
            unchanged(&response);
        });
    }
    soon(requests.join_all()).await;
    ask(&world.layer, &cookie, async |session: Session| {
        let session = loaded(session).await;
        for at in 0..200 {
            assert_eq!(session.get(&format!("key-{at}")).unwrap(), Some(at));
        }
        assert_eq!(session.len().unwrap(), 201);
        ok()
    })
    .await;
    let steps = world.store.asked();
    let count = |name| steps.iter().filter(|&&step| step == name).count();
    assert_eq!((count("create"), count("load"), count("apply")), (1, 201, 200));
}

pub async fn rule_19_of_logins_at_the_same_time_each_has_a_session_of_its_own(world: &World) {
    let old = world.jar().await.header("/");
    let barrier = Arc::new(Barrier::new(20));
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let (layer, cookie, barrier) = (world.layer.clone(), old.clone(), barrier.clone());
        requests.spawn(async move {
            let response = ask(&layer, &cookie, |session: Session| async move {
                session.load().await.unwrap();
                barrier.wait().await;
                session.authenticated().unwrap();
                done()
            })
            .await;
            assert_eq!(response.status(), 200);
            set_cookies(response.headers())
        });
    }
    let sent: Vec<String> = soon(requests.join_all()).await.concat();
    // One of them has renewed the session, and the others were overtaken. The browser may have thrown
    // away any of the answers.
    assert_eq!(sent.len(), 20);
    let ids: BTreeSet<&str> = sent.iter().map(|line| &line[..36]).collect();
    assert_eq!(ids.len(), 20);
    for line in &sent {
        world.expect(line.split(';').next().unwrap(), 1).await;
    }
    world.expect_none(&old, http_session::Reject::Renewed).await;
}

const STORE: &str = "HTTP_SESSION_TEST_STORE";
const TICKET: &str = "HTTP_SESSION_TEST_TICKET";
const EACH: u64 = 500;

pub async fn update_of_1000_increments_by_two_loses_none(world: &World) {
    let cookie = world.jar().await.header("/");
    let url = &world.place.url;
    if url.is_empty() {
        let (one, two) = (world.layer.clone(), world.layer.clone());
        let (its, theirs) = (cookie.clone(), cookie.clone());
        let one = tokio::spawn(async move { increment(&one, &its).await });
        let two = tokio::spawn(async move { increment(&two, &theirs).await });
        one.await.unwrap();
        two.await.unwrap();
    } else {
        let start = || {
            Command::new(env::current_exe().unwrap())
                .args(["the_other_process", "--exact", "--nocapture", "--test-threads=1"])
                .env(STORE, format!("{url} {}", world.place.prefix))
                .env(TICKET, &cookie)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let processes = [start(), start()];
        for process in processes {
            let done = tokio::task::spawn_blocking(|| process.wait_with_output().unwrap());
            let done = done.await.unwrap();
            let said = String::from_utf8_lossy(&done.stdout);
            let ended_well = done.status.success() && said.contains("500 increments");
            assert!(ended_well, "{said}{}", String::from_utf8_lossy(&done.stderr));
        }
    }
    world.expect(&cookie, 1 + 2 * EACH).await;
}

async fn increment(layer: &SessionLayer, cookie: &str) {
    let mut last = 0;
    for _ in 0..EACH {
        let response = ask(layer, cookie, async |session: Session| {
            let n = session.update("n", |n: Option<u64>| n.unwrap() + 1).await.unwrap();
            assert!(n > last);
            last = n;
            done()
        })
        .await;
        unchanged(&response);
    }
}

/// In the other process.
pub async fn other_process() {
    let (Ok(store), Ok(cookie)) = (env::var(STORE), env::var(TICKET)) else {
        return;
    };
    let (url, prefix) = store.split_once(' ').unwrap();
    let store = places::connect(url, prefix).await;
    let layer = SessionLayer::with_store(store).store_timeout(MINUTE).build().unwrap();
    increment(&layer, &cookie).await;
    println!("{EACH} increments");
}
