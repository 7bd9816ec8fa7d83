//! Sessions in axum: extractors, what they say when there is nothing to extract, and applications over real sockets.
#![cfg(feature = "axum")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/events.rs"]
mod events;
mod support;
#[path = "support/tcp.rs"]
mod tcp;

use std::net::SocketAddr;

use axum::{
    Extension, Form, Json, Router,
    body::{Body, to_bytes},
    extract::{FromRef, FromRequestParts, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{
    Method, StatusCode, Uri,
    header::{CACHE_CONTROL, LOCATION, SET_COOKIE, VARY},
    request::Parts,
};
use http_session::{
    Error, Key, Session, SessionId, SessionLayer, Tagged,
    store::{Applied, Changes, Created, HashedTicket, Loaded, Login, Record, Store},
};
use serde::{Deserialize, Serialize};
use support::{Jar, set_cookies};
use tcp::Client;
use tower::ServiceExt as _;

struct Cart;

fn layer() -> SessionLayer {
    SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap()
}

async fn serve(router: Router) -> SocketAddr {
    let (listener, addr) = tcp::listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

/// One request without a socket.
async fn ask(router: Router, path: &str) -> (http::response::Parts, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    (parts, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn visits(session: Session) -> Result<String, Error> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(format!("visit {visits}"))
}

// --- Over sockets.

#[tokio::test]
async fn a_router_with_the_layer_counts_visits() {
    let router = Router::new().route("/", get(visits)).layer(layer());
    let addr = serve(router).await;
    let (mut ann, mut bob) = (Client::http1(addr), Client::http1(addr));
    for n in 1..4 {
        let answer = ann.get("/").await;
        assert_eq!(answer.text, format!("visit {n}"));
        assert_eq!(answer.headers[CACHE_CONTROL], "private, no-cache=\"Set-Cookie\"");
        assert_eq!(answer.headers[VARY], "Cookie");
    }
    assert_eq!(bob.get("/").await.text, "visit 1");
    // HEAD is answered by the GET handler.
    ann.send(Method::HEAD, "/").await;
    assert_eq!(ann.get("/").await.text, "visit 5");
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct User {
    name: String,
    roles: Vec<String>,
}

/// An extractor that stands on the session, as applications write them.
impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        let user = session.get("user").map_err(IntoResponse::into_response)?;
        user.ok_or_else(|| Redirect::to("/login").into_response())
    }
}

#[tokio::test]
async fn login_flash_and_logout() {
    async fn login(session: Session) -> Result<Redirect, Error> {
        session.authenticated()?;
        let user = User {
            name: "ann".into(),
            roles: vec!["editor".into()],
        };
        session.insert("user", user)?;
        session.insert("flash", "welcome")?;
        Ok(Redirect::to("/me"))
    }
    async fn me(user: User, session: Session) -> Result<Json<(User, Option<String>)>, Error> {
        Ok(Json((user, session.take("flash")?)))
    }
    async fn logout(session: Session) -> Result<Redirect, Error> {
        session.destroy()?;
        Ok(Redirect::to("/me"))
    }
    let router = Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/logout", post(logout))
        .layer(layer());
    let mut client = Client::http1(serve(router).await);

    let answer = client.get("/me").await;
    assert_eq!(
        (answer.status, &answer.headers[LOCATION]),
        (StatusCode::SEE_OTHER, &"/login".parse().unwrap())
    );
    assert!(
        !answer.headers.contains_key(SET_COOKIE),
        "a visitor who only looks gets no cookie"
    );
    // A redirect carries the cookie as any other response does.
    assert_eq!(client.send(Method::POST, "/login").await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        client.get("/me").await.text,
        r#"[{"name":"ann","roles":["editor"]},"welcome"]"#
    );
    assert_eq!(
        client.get("/me").await.text,
        r#"[{"name":"ann","roles":["editor"]},null]"#
    );
    client.send(Method::POST, "/logout").await;
    assert_eq!(client.jar.0, []);
    assert_eq!(client.get("/me").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn tagged_layers_over_a_socket() {
    async fn add(cart: Tagged<Cart>, session: Session) -> Result<String, Error> {
        cart.insert("tea", cart.get::<u64>("tea")?.unwrap_or(0) + 1)?;
        visits(session).await
    }
    async fn show(Extension(cart): Extension<Tagged<Cart>>, session: Session) -> Result<String, Error> {
        Ok(format!(
            "{} in {:?}, {} in {:?}",
            cart.get::<u64>("tea")?.unwrap_or(0),
            cart.keys()?,
            session.get::<u64>("visits")?.unwrap_or(0),
            session.keys()?
        ))
    }
    let carts = SessionLayer::signed(Key::generate().unwrap())
        .cookie_name("cart")
        .tagged::<Cart>();
    let router = Router::new()
        .route("/add", post(add))
        .route("/", get(show))
        .layer(carts)
        .layer(layer());
    let mut client = Client::http1(serve(router).await);
    client.send(Method::POST, "/add").await;
    client.send(Method::POST, "/add").await;
    assert_eq!(client.get("/").await.text, r#"2 in ["tea"], 2 in ["visits"]"#);
    let mut names: Vec<_> = client.jar.0.iter().map(|cookie| &*cookie.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["__Host-cart", "__Host-session"]);
    // Without one of the cookies the other session stands.
    client.jar.0.retain(|cookie| cookie.name == "__Host-cart");
    assert_eq!(client.get("/").await.text, r#"2 in ["tea"], 0 in []"#);
}

#[tokio::test]
async fn rule_08_a_session_that_is_too_large_is_a_500_over_the_socket() {
    events::listen();
    async fn fill(session: Session) -> Result<&'static str, Error> {
        session.insert("much", "x".repeat(5_000))?;
        Ok("all is well")
    }
    let router = Router::new()
        .route("/", get(visits))
        .route("/fill", get(fill))
        .layer(layer());
    let mut client = Client::http1(serve(router).await);
    client.get("/").await;
    let before = client.jar.0.clone();
    let answer = client.get("/fill").await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::INTERNAL_SERVER_ERROR, ""));
    assert_eq!(client.jar.0, before);
    assert_eq!(client.get("/").await.text, "visit 2");
    if cfg!(feature = "tracing") {
        assert_eq!(events::warnings().len(), 1);
    }
}

#[tokio::test]
async fn on_error_fits_axum() {
    async fn fill(session: Session) -> Result<&'static str, Error> {
        session.insert("much", "x".repeat(5_000))?;
        Ok("all is well")
    }
    let layer = layer().on_error(|error: Error, _: Response| {
        (StatusCode::INSUFFICIENT_STORAGE, format!("we are sorry: {error}")).into_response()
    });
    let router = Router::new().route("/", get(fill)).layer(layer);
    let (parts, text) = ask(router, "/").await;
    assert_eq!(parts.status, StatusCode::INSUFFICIENT_STORAGE);
    assert!(
        text.starts_with("we are sorry: the session cookie would take"),
        "{text}"
    );
}

// --- Where the layer stands.

#[tokio::test]
async fn the_layer_stands_wherever_axum_lets_it() {
    let whole = Router::new().route("/", get(visits)).layer(layer());
    let routes = Router::new().route("/", get(visits)).route_layer(layer());
    let method = Router::new().route("/", get(visits).layer(layer()));
    let nested = Router::new().nest("/inner", Router::new().route("/", get(visits)).layer(layer()));
    let fallback = Router::new().fallback(visits).layer(layer());
    for (router, path) in [
        (whole, "/"),
        (routes, "/"),
        (method, "/"),
        (nested, "/inner"),
        (fallback, "/nowhere"),
    ] {
        let mut client = Client::http1(serve(router).await);
        assert_eq!(client.get(path).await.text, "visit 1");
        assert_eq!(client.get(path).await.text, "visit 2");
    }
}

#[tokio::test]
async fn a_middleware_and_its_handler_see_one_session() {
    async fn greet(session: Session, request: Request, next: Next) -> Result<Response, Error> {
        session.insert("greeting", "hello")?;
        let response = next.run(request).await;
        // Still before the layer's commit.
        let said: Option<String> = session.get("said")?;
        session.insert("heard", said)?;
        Ok(response)
    }
    async fn say(session: Session) -> Result<String, Error> {
        session.insert("said", "thanks")?;
        Ok(session.get("greeting")?.unwrap_or_default())
    }
    let layer = layer();
    let router = Router::new()
        .route("/", get(say))
        .layer(middleware::from_fn(greet))
        .layer(layer.clone());
    let (parts, text) = ask(router, "/").await;
    assert_eq!(text, "hello");
    let mut jar = Jar::new();
    jar.receive(&parts.headers);
    jar.visit(&layer, |session| {
        assert_eq!(session.keys().unwrap(), ["greeting", "said", "heard"]);
        assert_eq!(session.get::<String>("heard").unwrap().as_deref(), Some("thanks"));
        support::ok()
    });
}

#[tokio::test]
async fn the_layer_is_part_of_the_application_s_state() {
    #[derive(Clone)]
    struct App {
        sessions: SessionLayer,
        greeting: &'static str,
    }
    #[derive(Clone)]
    struct Greeting(&'static str);
    impl FromRef<App> for Greeting {
        fn from_ref(app: &App) -> Self {
            Self(app.greeting)
        }
    }
    #[derive(Deserialize)]
    struct Who {
        name: String,
    }
    // The session is an extractor for every state, and stands before an extractor of the body.
    async fn hello(
        State(Greeting(greeting)): State<Greeting>,
        session: Session,
        Form(who): Form<Who>,
    ) -> Result<String, Error> {
        session.insert("name", &who.name)?;
        Ok(format!("{greeting} {}", who.name))
    }
    for sessions in [layer(), SessionLayer::signed(Key::generate().unwrap())] {
        let app = App {
            sessions,
            greeting: "hello",
        };
        let router = Router::new()
            .route("/", post(hello))
            .layer(app.sessions.clone())
            .with_state(app);
        let request = Request::post("/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from("name=ann"))
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(set_cookies(response.headers()).len(), 1);
        let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(text, "hello ann");
    }
}

// --- When there is nothing to extract.

#[tokio::test]
async fn without_a_layer_the_rejection_says_the_fix() {
    async fn add(cart: Tagged<Cart>) -> Result<(), Error> {
        cart.insert("tea", 1)
    }
    let bare = Router::new().route("/", get(visits)).route("/add", get(add));
    for path in ["/", "/add"] {
        let (parts, text) = ask(bare.clone(), path).await;
        assert_eq!(parts.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(text.contains(".layer(SessionLayer::encrypted(key))"), "{text}");
    }
    // A route that is added after the layer has none.
    let late = Router::new().layer(layer()).route("/", get(visits));
    let (parts, text) = ask(late, "/").await;
    assert_eq!(parts.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("after this route"), "{text}");
    // Nor is an untagged layer good for a tag, or the other way round.
    let untagged = Router::new().route("/add", get(add)).layer(layer());
    assert_eq!(ask(untagged, "/add").await.0.status, StatusCode::INTERNAL_SERVER_ERROR);
    let tagged = Router::new().route("/", get(visits)).layer(layer().tagged::<Cart>());
    assert_eq!(ask(tagged, "/").await.0.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn an_optional_session_is_none_without_the_layer_and_only_then() {
    async fn optional(session: Option<Session>, cart: Option<Tagged<Cart>>) -> String {
        format!("{} {}", session.is_some(), cart.is_some())
    }
    let bare = Router::new().route("/", get(optional));
    assert_eq!(ask(bare.clone(), "/").await.1, "false false");
    assert_eq!(ask(bare.clone().layer(layer()), "/").await.1, "true false");
    assert_eq!(
        ask(bare.clone().layer(layer().tagged::<Cart>()), "/").await.1,
        "false true"
    );
    // A layer that cannot be built is no missing layer.
    let broken = SessionLayer::encrypted(Key::generate().unwrap()).path("no slash");
    assert_eq!(ask(bare.layer(broken), "/").await.1, "true false");
}

// --- Errors of handlers.

#[tokio::test]
async fn an_error_leaves_a_handler_through_a_question_mark() {
    async fn wrong_type(session: Session) -> Result<String, Error> {
        session.insert("visits", "seven")?;
        visits(session).await
    }
    let layer = layer();
    let router = Router::new().route("/", get(wrong_type)).layer(layer.clone());
    let (parts, text) = ask(router, "/").await;
    assert_eq!(parts.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(text, "", "the client is told nothing");
    let error = parts.extensions.get::<Error>().expect("for other layers to see");
    assert!(matches!(error, Error::Type { key, .. } if key == "visits"), "{error}");
    // The status does not decide: what the handler wrote is kept.
    let mut jar = Jar::new();
    jar.receive(&parts.headers);
    jar.visit(&layer, |session| {
        assert_eq!(session.get::<String>("visits").unwrap().as_deref(), Some("seven"));
        support::ok()
    });
}

#[tokio::test]
async fn a_layer_that_cannot_be_built_is_the_handlers_error() {
    let broken = || SessionLayer::encrypted(Key::generate().unwrap()).path("no slash");
    let router = Router::new()
        .route("/", get(visits))
        .route("/plain", get(async |uri: Uri| uri.path().to_owned()))
        .layer(broken());
    let (parts, _) = ask(router.clone(), "/").await;
    assert_eq!(parts.status, StatusCode::INTERNAL_SERVER_ERROR);
    let error = parts.extensions.get::<Error>().unwrap();
    assert!(matches!(error, Error::Config { .. }), "{error}");
    let (parts, text) = ask(router, "/plain").await;
    assert_eq!((parts.status, &*text), (StatusCode::OK, "/plain"));

    let tagged = Router::new()
        .route("/", get(async |cart: Tagged<Cart>| cart.insert("tea", 1)))
        .layer(broken().tagged::<Cart>());
    let (parts, _) = ask(tagged, "/").await;
    assert!(
        matches!(parts.extensions.get(), Some(Error::Config { .. })),
        "the reason, not a missing layer"
    );
}

// --- Stores.

/// A store that is never there.
struct Away;

impl Store for Away {
    async fn load(&self, _: &HashedTicket, _: u64) -> Result<Loaded, Error> {
        Err(Error::store("the cable is out"))
    }

    async fn create(&self, _: &SessionId, _: &Record, _: Option<&Login>, _: u64) -> Result<Created, Error> {
        Err(Error::store("the cable is out"))
    }

    async fn apply(&self, _: &HashedTicket, _: &Changes, _: u64) -> Result<Applied, Error> {
        Err(Error::store("the cable is out"))
    }

    async fn delete(&self, _: &HashedTicket, _: u64) -> Result<bool, Error> {
        Err(Error::store("the cable is out"))
    }

    async fn delete_expired(&self, _: u64) -> Result<u64, Error> {
        Err(Error::store("the cable is out"))
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_a_503_and_its_reason_is_in_the_log_once() {
    let layer = SessionLayer::with_store(Away).build().unwrap();
    let router = Router::new()
        .route("/read", get(|_: Session| async { "never" }))
        .route("/option", get(|_: Option<Session>| async { "never" }))
        .route("/write", get(|session: Session| async move { session.insert("n", 1) }))
        .route(
            "/save",
            get(|session: Session| async move {
                session.insert("n", 1)?;
                session.save().await?;
                session.destroy()
            }),
        )
        .layer(layer);
    let ticket = format!("__Host-session={}", "A".repeat(64));
    for (path, cookie, says) in [
        ("/read", ticket.as_str(), "a session could not be fetched"),
        ("/option", &ticket, "a session could not be fetched"),
        ("/write", "", "the session could not be committed"),
    ] {
        events::listen();
        let request = Request::get(path)
            .header(http::header::COOKIE, cookie)
            .body(Body::empty())
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(
            matches!(response.extensions().get(), Some(Error::Store { .. })),
            "{path}"
        );
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        let heard = events::heard();
        assert_eq!(heard.len(), 1, "{path}: {heard:?}");
        assert!(heard[0].starts_with("ERROR") && heard[0].contains(says), "{heard:?}");
        assert!(heard[0].contains("the cable is out"), "{heard:?}");
    }
    // Told to the handler, which passes it on, and once more at the commit, which tries again.
    events::listen();
    let response = router
        .oneshot(Request::get("/save").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(events::heard()[0].contains("a request failed because of its session"));
}

#[test]
fn an_error_as_a_response_has_the_status_of_its_kind_and_is_in_the_log() {
    for (error, status, level) in [
        (Error::store("away"), StatusCode::SERVICE_UNAVAILABLE, "ERROR"),
        (Error::Gone, StatusCode::CONFLICT, "INFO"),
        (Error::NotLoaded, StatusCode::INTERNAL_SERVER_ERROR, "ERROR"),
        (Error::HeadersSent, StatusCode::INTERNAL_SERVER_ERROR, "ERROR"),
    ] {
        events::listen();
        let said = error.to_string();
        assert_eq!(error.into_response().status(), status);
        let heard = events::heard();
        assert_eq!(heard.len(), 1);
        assert!(heard[0].starts_with(level) && heard[0].contains(&said), "{heard:?}");
    }
}
