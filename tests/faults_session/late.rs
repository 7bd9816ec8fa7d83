//! After the head: first reads where no cache listens, and commits that nobody waits for.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Method, Request, Response, header::COOKIE};
use http_session::{Error, Key, Session, SessionLayer};
use tower::{Layer, ServiceExt, service_fn};

use crate::{client::ask, events, map_store::MapStore, map_world::*, support::*};

/// A request whose session the handler keeps without looking at it.
async fn keep(layer: &SessionLayer, cookie: &str, method: Method, status: u16) -> Session {
    let mut kept = None;
    let service = layer.layer(service_fn(|request: Request<()>| {
        kept = request.extensions().get::<Session>().cloned();
        async move { Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap()) }
    }));
    let request = Request::builder()
        .method(method)
        .header(COOKIE, cookie)
        .body(())
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert!(response.headers().is_empty());
    kept.unwrap()
}

#[tokio::test]
async fn fault_f12_a_session_may_be_read_first_after_a_switch_of_protocols() {
    let store = MapStore::new();
    let world = world();
    let cookie_layer = SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap();
    for layer in [&cookie_layer, &world.layer] {
        let mut jar = Jar::new();
        let response = ask(layer, "", async |session: Session| {
            session.insert("n", 1).unwrap();
            ok()
        })
        .await;
        jar.receive(response.headers());
        // No cache keeps an answer to a `CONNECT` either: WebSockets over HTTP/2.
        for (method, status) in [(Method::GET, 101), (Method::CONNECT, 200)] {
            let session = keep(layer, &jar.header("/"), method, status).await;
            session.load().await.unwrap();
            assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
            assert_eq!((session.is_new().unwrap(), session.rejected()), (false, None));
            assert!(matches!(session.renew(), Err(Error::HeadersSent)));
            let late = session.insert("late", status);
            if session.id().unwrap().is_some() {
                // The client has the ticket.
                late.unwrap();
                session.save().await.unwrap();
            } else {
                assert!(matches!(late, Err(Error::HeadersSent)));
                assert!(matches!(session.save().await, Err(Error::HeadersSent)));
            }
        }
        // Others may be kept by a cache.
        for (method, status) in [
            (Method::GET, 200),
            (Method::POST, 200),
            (Method::GET, 304),
            (Method::GET, 500),
        ] {
            let session = keep(layer, &jar.header("/"), method, status).await;
            let error = session.load().await.and_then(|()| session.len().map(drop)).unwrap_err();
            assert!(matches!(error, Error::HeadersSent), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains("read") && text.contains("before the handler returns"),
                "{text}"
            );
        }
    }
    assert_eq!(texts(&world), [pair("late", "200"), pair("n", "1")]);
    drop(store);
}

#[tokio::test]
async fn fault_f12_a_bad_cookie_is_an_empty_session_then_too() {
    let layer = SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap();
    let session = keep(&layer, "__Host-session=made-up", Method::GET, 101).await;
    assert!(session.is_empty().unwrap() && session.rejected().is_some());
    let session = keep(&layer, "a=b", Method::GET, 101).await;
    assert!(session.is_empty().unwrap() && session.rejected().is_none());
}

/// A request that is dropped while the store is at work.
async fn hang_up(world: &World, jar: &Jar, change: fn(&Session)) {
    world.store.hold_before("apply");
    let (layer, cookie) = (world.layer.clone(), jar.header("/"));
    let mut request = Box::pin(async move {
        ask(&layer, &cookie, async move |session: Session| {
            session.load().await.unwrap();
            change(&session);
            ok()
        })
        .await
    });
    tokio::select! {
        biased;
        _ = &mut request => panic!("it waits"),
        () = world.store.held() => {}
    }
    drop(request);
}

#[test]
fn fault_b6_a_commit_that_the_end_of_the_runtime_cuts_off_is_an_event() {
    events::listen();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = world();
        let jar = world.jar().await;
        hang_up(&world, &jar, |session| session.insert("n", 2).unwrap()).await;
        tokio::task::yield_now().await;
    });
    assert_eq!(events::warnings(), [""; 0]);
    drop(runtime);
    let heard = events::warnings();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(
        heard[0].starts_with("ERROR") && heard[0].contains("cut off"),
        "{heard:?}"
    );
}

#[tokio::test]
async fn fault_b6_so_is_one_that_no_spawner_takes_and_one_that_comes_to_its_end_is_none() {
    // Dropped by what it was given to.
    let world = world_of(|layer| layer.spawn_with(drop));
    let jar = world.jar().await;
    events::listen();
    hang_up(&world, &jar, |session| session.insert("n", 2).unwrap()).await;
    let heard = events::warnings();
    assert!(heard.len() == 1 && heard[0].contains("cut off"), "{heard:?}");
    // Kept, and run later.
    let queue = Arc::new(Mutex::new(Vec::new()));
    let kept = queue.clone();
    let world = world_of(|layer| layer.spawn_with(move |future| kept.lock().unwrap().push(future)));
    let jar = world.jar().await;
    hang_up(&world, &jar, |session| session.insert("n", 2).unwrap()).await;
    world.store.open();
    let future = queue.lock().unwrap().pop().unwrap();
    future.await;
    assert_eq!(texts(&world), [pair("n", "2")]);
    assert_eq!(events::warnings(), [""; 0]);
}

#[test]
fn fault_b6_without_a_runtime_there_is_nobody_to_go_on_and_that_is_an_event_too() {
    events::listen();
    let world = world();
    let mut future = Box::pin(async {
        let jar = world.jar().await;
        world.store.hold_before("apply");
        ask(&world.layer, &jar.header("/"), async |session: Session| {
            session.load().await.unwrap();
            session.insert("n", 2).unwrap();
            ok()
        })
        .await
    });
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
    drop(future);
    let heard = events::warnings();
    assert!(heard.len() == 1 && heard[0].contains("cut off"), "{heard:?}");
}

#[tokio::test]
async fn a_spawner_that_panics_while_a_handler_unwinds_does_not_end_the_process() {
    let spawns = Arc::new(AtomicUsize::new(0));
    let count = spawns.clone();
    let world = world_of(|layer| {
        layer.spawn_with(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            panic!("the spawner, told to");
        })
    });
    let jar = world.jar().await;
    events::listen();
    world.store.hold_before("apply");
    let (layer, cookie) = (world.layer.clone(), jar.header("/"));
    let panics = tokio::spawn(async move {
        ask(&layer, &cookie, async |session: Session| {
            session.load().await.unwrap();
            session.insert("n", 2).unwrap();
            let mut save = Box::pin(session.save());
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(save.as_mut().poll(&mut cx).is_pending());
            // The save is dropped while this unwinds, and what is left of it goes to the spawner.
            panic!("the handler, told to");
        })
        .await
    });
    let error = panics.await.unwrap_err();
    let text = error.into_panic().downcast::<&str>().unwrap();
    assert_eq!((*text, spawns.load(Ordering::SeqCst)), ("the handler, told to", 1));
    // Without a handler that unwinds, the panic goes to the one who dropped the commit.
    let (layer, cookie) = (world.layer.clone(), jar.header("/"));
    let hangs = tokio::spawn(async move {
        ask(&layer, &cookie, async |session: Session| {
            session.load().await.unwrap();
            session.insert("n", 2).unwrap();
            let save = Box::pin(session.save());
            tokio::select! {
                biased;
                _ = save => {}
                () = std::future::ready(()) => {}
            }
            pending().await
        })
        .await
    });
    let text = hangs.await.unwrap_err().into_panic().downcast::<&str>().unwrap();
    assert_eq!((*text, spawns.load(Ordering::SeqCst)), ("the spawner, told to", 2));
}
