//! One session, one writer: a layer that stands twice on a request, and two that only look alike.

use axum::{Router, body::Body, extract::Request, middleware::Next, routing::get};
use http::{Method, Response, header::COOKIE};
use http_session::{Error, Key, Session, SessionLayer, Tagged};
use tower::ServiceExt;

use crate::{client::ask, events, map_store::MapStore, map_world::*, support::*};

struct Cart;
struct User;

async fn request(router: Router, jar: &mut Jar) -> Response<Body> {
    let mut request = Request::get("/");
    if !jar.0.is_empty() {
        request = request.header(COOKIE, jar.header("/"));
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    jar.receive(response.headers());
    response
}

fn kinds() -> Vec<(SessionLayer, Option<MapStore>)> {
    let store = MapStore::new();
    vec![
        (SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap(), None),
        (SessionLayer::with_store(store.clone()).build().unwrap(), Some(store)),
        // Not built before it is used.
        (SessionLayer::signed(Key::generate().unwrap()), None),
    ]
}

/// A middleware between the two, which uses the session too.
async fn between(session: Session, request: Request, next: Next) -> axum::response::Response {
    session.insert("before", 1).unwrap();
    let response = next.run(request).await;
    // What was written further in is not committed yet.
    session.insert("after", 1).unwrap();
    response
}

#[tokio::test]
async fn fault_f8_a_layer_on_an_inner_and_an_outer_router_is_one_session_that_is_written_once() {
    for (layer, store) in kinds() {
        events::listen();
        let handler = async |session: Session| session.insert("n", 1);
        let inner = Router::new().route("/", get(handler)).layer(layer.clone());
        let router = inner.layer(axum::middleware::from_fn(between)).layer(layer.clone());
        let mut jar = Jar::new();
        for _ in 0..2 {
            let response = request(router.clone(), &mut jar).await;
            assert!(set_cookies(response.headers()).len() <= 1, "{response:?}");
            assert!(response.status().is_success());
        }
        if let Some(store) = store {
            assert_eq!(store.len(), 1);
        }
        let mut keys = vec![];
        ask(&layer, &jar.header("/"), async |session: Session| {
            session.load().await.unwrap();
            keys = session.keys().unwrap();
            ok()
        })
        .await;
        keys.sort_unstable();
        assert_eq!(keys, ["after", "before", "n"]);
        assert_eq!(events::warnings(), [""; 0]);
    }
}

#[tokio::test]
async fn fault_f8_three_times_and_with_a_layer_of_another_name_in_between() {
    for (layer, store) in kinds() {
        events::listen();
        let other = SessionLayer::signed(Key::generate().unwrap())
            .cookie_name("other")
            .build()
            .unwrap();
        let handler = async |session: Session| session.insert("n", 1);
        let router = Router::new()
            .route("/", get(handler))
            .layer(layer.clone())
            .layer(layer.clone())
            .layer(other.clone())
            .layer(layer.clone());
        let mut jar = Jar::new();
        let response = request(router, &mut jar).await;
        // The other one's session was not touched: handlers see the innermost layer's.
        assert_eq!(set_cookies(response.headers()).len(), 1);
        assert_eq!(
            (jar.0[0].name.as_str(), store.is_none_or(|store| store.len() == 1)),
            ("__Host-session", true)
        );
        let heard = events::warnings();
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(
            heard[0].starts_with("WARN") && heard[0].contains("`tagged`"),
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn fault_f8_two_layers_in_any_order_and_number_write_once_each() {
    for (first, _) in kinds() {
        let second = SessionLayer::signed(Key::generate().unwrap())
            .cookie_name("second")
            .build()
            .unwrap();
        for order in ["ab", "aba", "abab", "abba", "baab", "ababab", "aabbaabb"] {
            let handler = async |session: Session| session.insert("handler", 1);
            let mut router = Router::new().route("/", get(handler));
            for layer in order.chars() {
                let layer = if layer == 'a' { &first } else { &second };
                router = router.layer(axum::middleware::from_fn(between)).layer(layer.clone());
            }
            let mut jar = Jar::new();
            let response = request(router, &mut jar).await;
            assert_eq!(set_cookies(response.headers()).len(), 2, "{order}");
            // The handler's own write is there.
            let innermost = if order.starts_with('a') { &first } else { &second };
            ask(innermost, &jar.header("/"), async |session: Session| {
                session.load().await.unwrap();
                assert!(session.contains_key("handler").unwrap(), "{order}");
                ok()
            })
            .await;
        }
    }
}

#[tokio::test]
async fn fault_f8_with_tags_too() {
    for (layer, store) in kinds() {
        events::listen();
        let layer = layer.tagged::<Cart>().build().unwrap();
        let user = SessionLayer::encrypted(Key::generate().unwrap())
            .cookie_name("user")
            .tagged::<User>()
            .build()
            .unwrap();
        let plain = SessionLayer::encrypted(Key::generate().unwrap())
            .cookie_name("plain")
            .build()
            .unwrap();
        let handler = async |cart: Tagged<Cart>, user: Tagged<User>, plain: Session| {
            cart.insert("tea", 1)?;
            user.insert("user", 1)?;
            plain.insert("n", 1)
        };
        let mut router = Router::new().route("/", get(handler));
        for _ in 0..2 {
            router = router.layer(layer.clone()).layer(user.clone()).layer(plain.clone());
        }
        let mut jar = Jar::new();
        let response = request(router, &mut jar).await;
        assert!(response.status().is_success());
        assert_eq!((set_cookies(response.headers()).len(), jar.0.len()), (3, 3));
        assert!(store.is_none_or(|store| store.len() == 1));
        assert_eq!(events::warnings(), [""; 0]);
    }
}

#[tokio::test]
async fn fault_f8_two_layers_of_one_name_are_an_error_once() {
    let a = || SessionLayer::encrypted(Key::generate().unwrap());
    let pairs: [(Router<()>, &str); 6] = [
        (plain(a()).layer(a()), "plain in plain"),
        (plain(a()).layer(a().tagged::<Cart>()), "plain in a tag"),
        (tagged(a().tagged::<Cart>()).layer(a()), "a tag in plain"),
        (
            tagged(a().tagged::<Cart>()).layer(a().tagged::<User>()),
            "a tag in a tag",
        ),
        (
            plain(a()).layer(SessionLayer::with_store(MapStore::new())),
            "a cookie in a store",
        ),
        // A copy that was changed is another layer.
        (
            {
                let layer = a();
                plain(layer.clone().rolling(true)).layer(layer)
            },
            "a changed copy",
        ),
    ];
    for (router, what) in pairs {
        events::listen();
        let mut jar = Jar::new();
        for _ in 0..3 {
            request(router.clone(), &mut jar).await;
        }
        let heard = events::warnings();
        assert_eq!(heard.len(), 1, "{what}: {heard:?}");
        assert!(
            heard[0].starts_with("ERROR") && heard[0].contains("__Host-session"),
            "{what}: {heard:?}"
        );
    }
}

fn plain(layer: SessionLayer) -> Router {
    let handler = async |session: Session| session.insert("n", 1);
    Router::new().route("/", get(handler)).layer(layer)
}

fn tagged(layer: SessionLayer) -> Router {
    let handler = async |cart: Tagged<Cart>| cart.insert("n", 1);
    Router::new().route("/", get(handler)).layer(layer)
}

#[tokio::test]
async fn fault_f8_the_outer_layer_sees_what_becomes_of_the_response() {
    let world = world();
    let mut jar = world.jar().await;
    let before = world.store.record();
    let handler = async |session: Session| session.insert("n", 2);
    let fails = async |request: Request, next: Next| {
        let mut response = next.run(request).await;
        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        response
    };
    let router = Router::new()
        .route("/", get(handler))
        .layer(world.layer.clone())
        .layer(axum::middleware::from_fn(fails))
        .layer(world.layer.clone());
    request(router, &mut jar).await;
    assert_eq!(world.store.record(), before);
}

#[tokio::test]
async fn fault_f8_a_session_whose_response_has_left_is_not_gone_on_with() {
    // The extensions of a request that is over, in another one.
    let layer = SessionLayer::signed(Key::generate().unwrap()).build().unwrap();
    let mut kept = None;
    ask(&layer, "", async |session: Session| {
        kept = Some(session);
        ok()
    })
    .await;
    let handler = async |session: Session| -> Result<(), Error> { session.insert("n", 1) };
    let router = Router::new().route("/", get(handler)).layer(layer);
    let mut request = Request::builder()
        .method(Method::GET)
        .uri("/")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(kept.unwrap());
    let response = router.oneshot(request).await.unwrap();
    assert!(response.status().is_success());
    assert_eq!(set_cookies(response.headers()).len(), 1);
}
