//! A request that failed keeps nothing but ends, and what was saved.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use axum::{Extension, Router, body::Body, response::IntoResponse, routing::get};
use http::{Request, Response, StatusCode, header::COOKIE};
use http_session::{Error, Key, Session, SessionLayer};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

use crate::{client::ask, events, map_store::MapStore, map_world::*, support::*};

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The handler returns `Ok`, with this status.
    Status(u16),
    /// The handler returns `Err`, of which axum makes a response.
    Err,
    /// A layer further in catches the panic.
    Panic,
    /// A layer further in answers in the handler's place.
    Timeout,
}

const FAILURES: [Way; 5] = [Way::Status(500), Way::Status(599), Way::Err, Way::Panic, Way::Timeout];
const SUCCESSES: [Way; 3] = [Way::Status(200), Way::Status(404), Way::Status(499)];

/// What a handler does to a session that holds `a` = 1.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Insert,
    /// A half login.
    Login,
    SaveInsert,
    InsertSaveInsert,
    Update,
    RemoveAll,
    Destroy,
    DestroyInsert,
    DestroySaveInsert,
    InsertSaveDestroy,
    Clear,
    ClearUnset,
    ClearInsert,
    ClearSaveInsert,
    Renew,
}

type Data = BTreeMap<String, u64>;

fn data(pairs: &[(&str, u64)]) -> Data {
    pairs.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect()
}

async fn act(session: &Session, deed: Deed) {
    let insert = |key, n: u64| session.insert(key, n).unwrap();
    match deed {
        Deed::Insert => insert("user", 42),
        Deed::Login => {
            session.authenticated().unwrap();
            let _ = session.set_owner("ada");
            insert("user", 42);
        }
        Deed::SaveInsert => {
            session.save().await.unwrap();
            insert("user", 42);
        }
        Deed::InsertSaveInsert => {
            insert("user", 42);
            session.save().await.unwrap();
            insert("user", 43);
            insert("late", 1);
        }
        Deed::Update => {
            session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).await.unwrap();
            session.save().await.unwrap();
            insert("user", 42);
        }
        Deed::RemoveAll => session.remove("a").unwrap(),
        Deed::Destroy => session.destroy().unwrap(),
        Deed::DestroyInsert => {
            session.destroy().unwrap();
            insert("user", 42);
        }
        Deed::DestroySaveInsert => {
            session.destroy().unwrap();
            session.save().await.unwrap();
            insert("user", 42);
        }
        Deed::InsertSaveDestroy => {
            insert("user", 42);
            session.save().await.unwrap();
            session.destroy().unwrap();
        }
        Deed::Clear => session.clear().unwrap(),
        Deed::ClearUnset => {
            session.clear().unwrap();
            insert("user", 42);
            session.remove("user").unwrap();
        }
        Deed::ClearInsert => {
            session.clear().unwrap();
            insert("flash", 1);
        }
        Deed::ClearSaveInsert => {
            session.clear().unwrap();
            session.save().await.unwrap();
            insert("flash", 1);
        }
        Deed::Renew => session.renew().unwrap(),
    }
}

/// The deed, and what the next request finds if this one fails and if it does not; `None` for no
/// session.
fn table() -> Vec<(Deed, Option<Data>, Option<Data>)> {
    let before = || Some(data(&[("a", 1)]));
    let user = || Some(data(&[("a", 1), ("user", 42)]));
    let only = |key, n| Some(data(&[(key, n)]));
    vec![
        (Deed::Insert, before(), user()),
        (Deed::Login, before(), user()),
        (Deed::SaveInsert, before(), user()),
        (
            Deed::InsertSaveInsert,
            user(),
            Some(data(&[("a", 1), ("user", 43), ("late", 1)])),
        ),
        (
            Deed::Update,
            Some(data(&[("a", 1), ("n", 1)])),
            Some(data(&[("a", 1), ("n", 1), ("user", 42)])),
        ),
        // Not an end: the last key may be anything.
        (Deed::RemoveAll, before(), None),
        (Deed::Destroy, None, None),
        (Deed::DestroyInsert, None, only("user", 42)),
        (Deed::DestroySaveInsert, None, only("user", 42)),
        (Deed::InsertSaveDestroy, None, None),
        (Deed::Clear, None, None),
        (Deed::ClearUnset, None, None),
        (Deed::ClearInsert, before(), only("flash", 1)),
        (Deed::ClearSaveInsert, None, only("flash", 1)),
        (Deed::Renew, before(), before()),
    ]
}

struct Failure(StatusCode);

impl IntoResponse for Failure {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}

/// One request through axum, with layers that make responses of panics and time-outs inside of the
/// session's.
async fn visit(jar: &mut Jar, layer: &SessionLayer, way: Way, load: bool, deed: Deed) -> Response<Body> {
    let handler = move |Extension(session): Extension<Session>| async move {
        if load {
            session.load().await.unwrap();
        }
        act(&session, deed).await;
        match way {
            Way::Status(status) => Ok(StatusCode::from_u16(status).unwrap()),
            Way::Err => Err(Failure(StatusCode::INTERNAL_SERVER_ERROR)),
            Way::Panic => panic!("told to"),
            Way::Timeout => std::future::pending().await,
        }
    };
    let router = Router::new()
        .route("/", get(handler))
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            Duration::from_secs(9),
        ))
        .layer(layer.clone());
    let mut request = Request::get("/");
    if !jar.0.is_empty() {
        request = request.header(COOKIE, jar.header("/"));
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    jar.receive(response.headers());
    response
}

/// What the next request finds: `None` if there is no session at all.
async fn found(jar: &Jar, layer: &SessionLayer) -> Option<Data> {
    let mut found = None;
    ask(layer, &jar.header("/"), async |session: Session| {
        session.load().await.unwrap();
        let data: Data = session.to_map().unwrap();
        found = (!session.is_new().unwrap()).then_some(data);
        ok()
    })
    .await;
    found
}

struct Kind {
    name: &'static str,
    layer: SessionLayer,
    store: Option<MapStore>,
}

fn kinds(keep: bool) -> Vec<Kind> {
    let set = |layer: SessionLayer| {
        let layer = if keep { layer.keep_on_server_error() } else { layer };
        layer.build().unwrap()
    };
    let store = MapStore::new();
    vec![
        Kind {
            name: "encrypted",
            layer: set(SessionLayer::encrypted(Key::generate().unwrap())),
            store: None,
        },
        Kind {
            name: "signed",
            layer: set(SessionLayer::signed(Key::generate().unwrap())),
            store: None,
        },
        #[cfg(feature = "starlette")]
        Kind {
            name: "Starlette",
            layer: set(SessionLayer::starlette("secret")),
            store: None,
        },
        Kind {
            name: "stored",
            layer: set(SessionLayer::with_store(store.clone())),
            store: Some(store),
        },
    ]
}

async fn check(kind: &Kind, way: Way, load: bool, deed: Deed, wanted: &Option<Data>) {
    let case = format!("{} {way:?} load {load} {deed:?}", kind.name);
    let mut jar = Jar::new();
    visit(&mut jar, &kind.layer, Way::Status(200), true, Deed::Insert).await;
    let make = async |session: Session| {
        session.load().await.unwrap();
        session.remove("user").unwrap();
        session.insert("a", 1).unwrap();
        ok()
    };
    let response = ask(&kind.layer, &jar.header("/"), make).await;
    jar.receive(response.headers());
    let (before, records) = (jar.clone(), kind.store.as_ref().map(MapStore::len));
    let response = visit(&mut jar, &kind.layer, way, load, deed).await;
    let status = match way {
        Way::Status(status) => status,
        Way::Timeout => 504,
        Way::Err | Way::Panic => 500,
    };
    assert_eq!(response.status(), status, "{case}");
    let mut wanted = wanted.clone();
    if kind.store.is_some() && matches!(deed, Deed::RemoveAll) && wanted.is_none() {
        // The empty record stays.
        wanted = Some(Data::new());
    }
    assert_eq!(found(&jar, &kind.layer).await, wanted, "{case}");
    if wanted.is_none() {
        assert_eq!(jar.0, [], "{case}");
        assert_eq!(set_cookies(response.headers()).len(), 1, "{case}");
        if let (Some(store), Some(records)) = (&kind.store, records) {
            assert_eq!(store.len(), records - 1, "{case}");
            assert_eq!(found(&before, &kind.layer).await, None, "{case}: a copy of the ticket");
        }
    }
    if status >= 500 && wanted == Some(data(&[("a", 1)])) {
        assert_eq!(jar.0, before.0, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_f15_a_failed_request_keeps_only_ends_and_what_was_saved() {
    silence();
    for kind in kinds(false) {
        for (deed, failed, succeeded) in table() {
            for load in [true, false] {
                for way in FAILURES {
                    check(&kind, way, load, deed, &failed).await;
                }
                for way in SUCCESSES {
                    check(&kind, way, load, deed, &succeeded).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fault_f15_the_old_way_can_be_asked_for() {
    silence();
    for kind in kinds(true) {
        for (deed, _, succeeded) in table() {
            for way in FAILURES.into_iter().chain(SUCCESSES) {
                let renewed = matches!(deed, Deed::Renew) && !matches!(way, Way::Status(..499));
                if !renewed {
                    check(&kind, way, true, deed, &succeeded).await;
                }
            }
        }
    }
}

/// Panics that are wanted need not be read.
fn silence() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"told to") {
            before(info);
        }
    }));
}

#[tokio::test]
async fn fault_f15_a_half_login_leaves_neither_owner_nor_a_new_ticket_nor_the_time_of_the_login() {
    let world = world();
    let mut jar = world.jar().await;
    let before = world.store.record();
    let response = visit(&mut jar, &world.layer, Way::Err, true, Deed::Login).await;
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    assert_eq!(world.store.record(), before);
    // A visitor without a session gets none.
    let mut nobody = Jar::new();
    visit(&mut nobody, &world.layer, Way::Err, true, Deed::Login).await;
    assert_eq!((world.store.len(), nobody.0.len()), (1, 0));
}

#[tokio::test]
async fn fault_f15_a_handle_that_outlives_the_failed_request_does_not_write_it_later() {
    let world = world();
    let jar = world.jar().await;
    for fails in [true, false] {
        let mut kept = None;
        let mut service = world.layer.layer(service_fn(|request: Request<()>| {
            let session = request.extensions().get::<Session>().unwrap().clone();
            kept = Some(session.clone());
            async move {
                session.load().await.unwrap();
                session.authenticated().unwrap();
                session.set_owner("ada").unwrap();
                session.insert("user", 42).unwrap();
                let answer = Response::builder().status(500).body(()).unwrap();
                if fails { Err("no response at all") } else { Ok(answer) }
            }
        }));
        let request = Request::get("/").header(COOKIE, jar.header("/")).body(()).unwrap();
        let result = service.ready().await.unwrap();
        let result = tower::Service::call(result, request).await;
        assert_eq!(result.is_err(), fails);
        let session = kept.unwrap();
        session.insert("later", 1).unwrap();
        session.save().await.unwrap();
        assert_eq!(texts(&world), [pair("later", "1"), pair("n", "1")]);
        let record = world.store.record();
        assert_eq!((record.owner, record.authenticated), (None, None));
        session.load().await.unwrap();
        assert_eq!(session.get::<u64>("user").unwrap(), None);
    }
}

#[tokio::test]
async fn fault_f15_an_end_that_cannot_be_carried_out_is_told() {
    let world = world();
    let jar = world.jar().await;
    for end in [|s: &Session| s.destroy(), |s: &Session| s.clear()] {
        let mut kept = None;
        let response = ask(&world.layer, &jar.header("/"), async |session: Session| {
            end(&session).unwrap();
            kept = Some(session);
            world.store.down(true);
            Response::builder().status(502).body(String::new()).unwrap()
        })
        .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(matches!(response.extensions().get(), Some(Error::Store { .. })));
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        world.store.down(false);
        assert!(world.opens(&jar).await);
    }
}

#[tokio::test]
async fn fault_f15_what_is_dropped_is_an_event_for_those_who_look_for_it_and_an_end_is_none() {
    for kind in kinds(false) {
        let mut jar = Jar::new();
        visit(&mut jar, &kind.layer, Way::Status(200), true, Deed::Insert).await;
        events::listen();
        visit(&mut jar, &kind.layer, Way::Err, true, Deed::Insert).await;
        assert_eq!(events::heard(), [""; 0], "nothing was changed");
        visit(&mut jar, &kind.layer, Way::Err, true, Deed::Login).await;
        visit(&mut jar, &kind.layer, Way::Err, true, Deed::InsertSaveInsert).await;
        let heard = events::heard();
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard[0].contains("changes of a session were dropped"), "{heard:?}");
        visit(&mut jar, &kind.layer, Way::Err, true, Deed::Destroy).await;
        assert_eq!(events::heard(), [""; 0]);
    }
}

#[tokio::test]
async fn fault_f15_a_failed_request_does_not_prolong_a_rolling_session() {
    let clock = Clock::new();
    let store = MapStore::new();
    for layer in [
        SessionLayer::encrypted(Key::generate().unwrap()),
        SessionLayer::with_store(store.clone()),
    ] {
        let layer = layer.rolling(true).anonymous_max_age(None);
        let layer = layer.clock(clock.reader()).build().unwrap();
        let mut jar = Jar::new();
        visit(&mut jar, &layer, Way::Status(200), true, Deed::Insert).await;
        clock.advance(DAY * 7);
        let response = ask(&layer, &jar.header("/"), async |session: Session| {
            session.load().await.unwrap();
            assert!(!session.is_new().unwrap());
            Response::builder().status(500).body(String::new()).unwrap()
        })
        .await;
        assert_eq!(set_cookies(response.headers()), [""; 0]);
    }
}

#[test]
fn fault_f15_a_service_that_fails_without_a_response_sends_nothing() {
    let layer = SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap();
    let service = layer.layer(service_fn(|request: Request<()>| {
        request
            .extensions()
            .get::<Session>()
            .unwrap()
            .insert("user", 1)
            .unwrap();
        async { Err::<Response<()>, _>("failed") }
    }));
    assert_eq!(poll_now(service.oneshot(Request::new(()))).unwrap_err(), "failed");
    let service = layer.layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(()))
    }));
    let response = poll_now(service.oneshot(Request::new(()))).unwrap();
    assert!(response.headers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn fault_f15_a_save_that_a_time_out_interrupts_is_in_the_failed_response() {
    let world = world();
    world.store.hold_before("create");
    let handler = async |session: Session| {
        session.insert("user", 42).unwrap();
        session.save().await.unwrap();
    };
    let limit = Duration::from_secs(2);
    let router = Router::new()
        .route("/", get(handler))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, limit))
        .layer(world.layer.clone());
    let request = Request::get("/").body(Body::empty()).unwrap();
    let opens = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.store.open();
    };
    let (response, ()) = tokio::join!(router.oneshot(request), opens);
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let mut jar = Jar::new();
    jar.receive(response.headers());
    assert_eq!(texts(&world), [pair("user", "42")]);
    assert!(world.opens(&jar).await, "what was saved, the client has");
}
