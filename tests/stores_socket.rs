//! Stored sessions over real sockets: clients that hang up, and axum's extractors.
#![cfg(feature = "tokio")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

#[path = "support/map_store.rs"]
mod map_store;
mod support;
#[path = "support/tcp.rs"]
mod tcp;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_session::{Reject, Session, SessionLayer};
use hyper::body::Incoming;
use map_store::MapStore;
use tcp::Client;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Semaphore};
use tower::{Layer as _, Service, service_fn};

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it took a minute")
}

/// Tells when the future of a response was dropped before it was ready.
#[derive(Clone)]
struct Told<S> {
    inner: S,
    dropped: Arc<Semaphore>,
}

struct TellsIfDropped(Option<Arc<Semaphore>>);

impl Drop for TellsIfDropped {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            dropped.add_permits(1);
        }
    }
}

impl<S, B> Service<Request<B>> for Told<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = self.inner.call(request);
        let dropped = self.dropped.clone();
        Box::pin(async move {
            let mut tells = TellsIfDropped(Some(dropped));
            let response = response.await;
            tells.0 = None;
            response
        })
    }
}

async fn served(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let session = request.extensions().get::<Session>().unwrap().clone();
    session.load().await.unwrap();
    match request.uri().path() {
        "/begin" => session.insert("n", 1).unwrap(),
        "/set" => session.insert("n", 2).unwrap(),
        "/renew" => session.renew().unwrap(),
        "/end" => session.destroy().unwrap(),
        "/wait" => {
            session.insert("n", 666).unwrap();
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    let n: Option<u64> = session.get("n").unwrap();
    Ok(Response::new(format!("{n:?} {:?}", session.rejected())))
}

struct World {
    store: MapStore,
    addr: SocketAddr,
    dropped: Arc<Semaphore>,
    /// HTTP/2 as well: there a client gives up one request, and the connection stays.
    http2: SocketAddr,
}

async fn world() -> World {
    let store = MapStore::new();
    let dropped = Arc::new(Semaphore::new(0));
    let layer = SessionLayer::with_store(store.clone()).build().unwrap();
    let service = Told {
        inner: layer.layer(service_fn(served)),
        dropped: dropped.clone(),
    };
    World {
        store,
        addr: tcp::http1(service.clone()).await,
        http2: tcp::http2(service).await,
        dropped,
    }
}

impl World {
    /// Sends a request, hangs up when the commit has begun (or where the handler waits), and lets the commit go on when the
    /// response's future is gone.
    async fn hang_up(&self, path: &str, cookie: &str, step: Option<&'static str>) {
        if let Some(step) = step {
            self.store.hold_before(step);
        }
        self.store.asked();
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        if step.is_some() {
            soon(self.store.held()).await;
        } else {
            // Until the handler is at work.
            soon(async {
                while self.store.asked().is_empty() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        drop(stream);
        soon(self.dropped.acquire()).await.unwrap().forget();
        self.store.open();
    }

    async fn until(&self, is_so: impl Fn(&MapStore) -> bool) {
        soon(async {
            while !is_so(&self.store) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn n(store: &MapStore) -> Option<String> {
    store.record().values.get("n").map(str::to_owned)
}

#[tokio::test]
async fn rule_15_a_client_that_hangs_up_loses_no_commit() {
    let world = world().await;
    world.hang_up("/begin", "", Some("create")).await;
    world.until(|store| store.len() == 1).await;
    assert_eq!(n(&world.store).as_deref(), Some("1"));

    let world = self::world().await;
    let mut client = Client::http1(world.addr);
    client.get("/begin").await;
    let cookie = client.jar.header("/");
    world.hang_up("/set", &cookie, Some("apply")).await;
    world.until(|store| n(store).as_deref() == Some("2")).await;
    assert_eq!(client.get("/").await.text, "Some(2) None");
    // A renewal too: the old ticket is dead, and nobody has the new one.
    let secret = world.store.record().secret;
    world.hang_up("/renew", &cookie, Some("apply")).await;
    world.until(|store| store.record().secret != secret).await;
    assert_eq!(client.get("/").await.text, format!("None {:?}", Some(Reject::Renewed)));

    let world = self::world().await;
    let mut client = Client::http1(world.addr);
    client.get("/begin").await;
    world.hang_up("/end", &client.jar.header("/"), Some("delete")).await;
    world.until(|store| store.len() == 0).await;
}

#[tokio::test]
async fn rule_15_a_client_that_resets_its_http2_stream_loses_no_commit() {
    let world = world().await;
    let mut client = Client::http2(world.http2);
    client.get("/begin").await;
    world.store.hold_before("apply");
    let mut other = Client::http2(world.http2);
    other.jar = client.jar.clone();
    let request = tokio::spawn(async move { other.get("/set").await });
    soon(world.store.held()).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    soon(world.dropped.acquire()).await.unwrap().forget();
    assert_eq!(n(&world.store).as_deref(), Some("1"));
    world.store.open();
    world.until(|store| n(store).as_deref() == Some("2")).await;
    assert_eq!(client.get("/").await.text, "Some(2) None");
}

#[tokio::test]
async fn rule_15_a_handler_that_has_not_answered_commits_nothing() {
    let world = world().await;
    let mut client = Client::http1(world.addr);
    client.get("/begin").await;
    world.hang_up("/wait", &client.jar.header("/"), None).await;
    assert_eq!(client.get("/").await.text, "Some(1) None");
    assert_eq!(world.store.asked(), ["load"]);
}

#[cfg(feature = "axum")]
mod axum_extractors {
    use axum::{Extension, Router, body::Body, routing::get};
    use http::StatusCode;
    use http_body_util::BodyExt as _;
    use http_session::{Error, Tagged};
    use tower::ServiceExt as _;

    use super::*;
    use crate::support::{Jar, set_cookies};

    fn router() -> Router {
        Router::new()
            .route("/untouched", get(async || "here"))
            .route(
                "/read",
                get(async |session: Session| format!("{:?}", session.get::<u64>("n").unwrap())),
            )
            .route(
                "/maybe",
                get(async |session: Option<Session>| match session {
                    Some(session) => format!("{:?}", session.get::<u64>("n").unwrap()),
                    None => "no layer".to_owned(),
                }),
            )
            .route(
                "/extension",
                get(async |Extension(session): Extension<Session>| {
                    assert!(matches!(session.get::<u64>("n"), Err(Error::NotLoaded)));
                    "not fetched"
                }),
            )
            .route(
                "/write",
                get(async |Extension(session): Extension<Session>| session.insert("n", 1)),
            )
            .route(
                "/question-mark",
                get(async |Extension(session): Extension<Session>| {
                    session.load().await?;
                    Ok::<_, Error>(format!("{:?}", session.get::<u64>("n")?))
                }),
            )
    }

    struct Served {
        status: StatusCode,
        text: String,
        error: Option<Error>,
        cookies: Vec<String>,
    }

    async fn served(router: &Router, path: &str, cookie: &str) -> Served {
        let request = Request::builder().uri(path).header("cookie", cookie);
        let response = router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        Served {
            status: parts.status,
            text: String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap(),
            error: parts.extensions.get().cloned(),
            cookies: set_cookies(&parts.headers),
        }
    }

    #[tokio::test]
    async fn they_fetch_the_session_and_an_extension_does_not() {
        let store = MapStore::new();
        let router = router().layer(SessionLayer::with_store(store.clone()).build().unwrap());
        let mut jar = Jar::new();
        jar.set(&served(&router, "/write", "").await.cookies[0]);
        assert_eq!(store.asked(), ["create"]);
        let cookie = jar.header("/");
        for (path, text, steps) in [
            ("/untouched", "here", vec![]),
            ("/read", "Some(1)", vec!["load"]),
            ("/maybe", "Some(1)", vec!["load"]),
            ("/question-mark", "Some(1)", vec!["load"]),
            ("/extension", "not fetched", vec![]),
        ] {
            let response = served(&router, path, &cookie).await;
            assert_eq!((response.status, &*response.text), (StatusCode::OK, text));
            assert_eq!(store.asked(), steps, "{path}");
        }
        assert_eq!(served(&router, "/read", "").await.text, "None");
        assert_eq!(store.asked(), [""; 0]);
    }

    #[tokio::test]
    async fn row_34_a_store_that_is_down_is_a_503_without_a_body_and_no_cookie() {
        let store = MapStore::new();
        let layer = SessionLayer::with_store(store.clone()).build().unwrap();
        let router = router().layer(layer.clone());
        let mut jar = Jar::new();
        jar.set(&served(&router, "/write", "").await.cookies[0]);
        let cookie = jar.header("/");
        store.asked();
        store.down(true);
        for path in ["/read", "/maybe", "/question-mark"] {
            let response = served(&router, path, &cookie).await;
            assert_eq!(
                (response.status, &*response.text),
                (StatusCode::SERVICE_UNAVAILABLE, ""),
                "{path}"
            );
            assert!(matches!(response.error, Some(Error::Store { .. })));
            assert_eq!(response.cookies, [""; 0]);
            assert_eq!(store.asked(), ["load"]);
        }
        let response = served(&router, "/write", &cookie).await;
        assert_eq!(
            (response.status, &*response.text),
            (StatusCode::SERVICE_UNAVAILABLE, "")
        );
        assert!(matches!(response.error, Some(Error::Store { .. })));
        assert_eq!(response.cookies, [""; 0]);
        // Whom it does not concern it does not concern.
        for (path, cookie) in [("/untouched", &*cookie), ("/extension", &cookie), ("/read", "")] {
            assert_eq!(served(&router, path, cookie).await.status, StatusCode::OK);
        }
        store.down(false);
        assert_eq!(served(&router, "/read", &cookie).await.text, "Some(1)");
    }

    #[tokio::test]
    async fn none_means_that_there_is_no_layer() {
        let response = served(&router(), "/maybe", "__Host-session=x").await;
        assert_eq!((response.status, &*response.text), (StatusCode::OK, "no layer"));
        assert_eq!(
            served(&router(), "/read", "").await.status,
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }

    #[tokio::test]
    async fn a_tagged_session_is_fetched_as_well() {
        enum Cart {}
        let store = MapStore::new();
        let layer = SessionLayer::with_store(store.clone())
            .tagged::<Cart>()
            .build()
            .unwrap();
        let router = Router::new()
            .route(
                "/read",
                get(async |cart: Tagged<Cart>| format!("{:?}", cart.get::<u64>("n").unwrap())),
            )
            .route(
                "/maybe",
                get(async |cart: Option<Tagged<Cart>>| format!("{:?}", cart.unwrap().get::<u64>("n").unwrap())),
            )
            .route(
                "/write",
                get(async |Extension(cart): Extension<Tagged<Cart>>| cart.insert("n", 1)),
            )
            .layer(layer);
        let mut jar = Jar::new();
        jar.set(&served(&router, "/write", "").await.cookies[0]);
        store.asked();
        for path in ["/read", "/maybe"] {
            assert_eq!(served(&router, path, &jar.header("/")).await.text, "Some(1)");
            assert_eq!(store.asked(), ["load"]);
        }
        store.down(true);
        for path in ["/read", "/maybe"] {
            let response = served(&router, path, &jar.header("/")).await;
            assert_eq!(
                (response.status, &*response.text),
                (StatusCode::SERVICE_UNAVAILABLE, "")
            );
        }
    }

    /// axum's own server drops the handler of a client that hung up, too.
    #[tokio::test]
    async fn rule_15_with_axums_own_server() {
        let store = MapStore::new();
        let dropped = Arc::new(Semaphore::new(0));
        let layer = SessionLayer::with_store(store.clone()).build().unwrap();
        let tells = dropped.clone();
        let router = router().layer(layer).layer(tower::layer::layer_fn(move |inner| Told {
            inner,
            dropped: tells.clone(),
        }));
        let (listener, addr) = tcp::listen().await;
        tokio::spawn(async move { axum::serve(listener, router).await });
        store.hold_before("create");
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream
            .write_all(b"GET /write HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        soon(store.held()).await;
        drop(stream);
        soon(dropped.acquire()).await.unwrap().forget();
        assert_eq!(store.len(), 0);
        store.open();
        soon(async {
            while store.len() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
