//! Sessions over real sockets, without a framework: hyper over HTTP/1 and HTTP/2, a reverse proxy, bodies that stream,
//! upgrades, clients that hang up, other layers around.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/events.rs"]
mod events;
mod support;
#[path = "support/tcp.rs"]
mod tcp;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, COOKIE, ETAG, SET_COOKIE, UPGRADE, VARY},
};
use http_body_util::{BodyExt as _, Full};
use http_session::{Error, Key, Session, SessionLayer};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;
use support::set_cookies;
use tcp::{Answer, Client, connector};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};
use tower::{Layer as _, ServiceBuilder, service_fn};
use tower_http::{
    map_response_body::MapResponseBodyLayer, set_header::SetResponseHeaderLayer, timeout::TimeoutLayer,
    trace::TraceLayer,
};

fn layer() -> SessionLayer {
    SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap()
}

fn session_of<B>(request: &Request<B>) -> Session {
    request.extensions().get::<Session>().unwrap().clone()
}

fn text(text: impl Into<String>) -> Response<Full<Bytes>> {
    Response::new(Full::from(text.into()))
}

/// A small application: it counts visits, and logs in and out.
async fn app(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let session = session_of(&request);
    let answer = match request.uri().path() {
        "/" => session
            .update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)
            .await
            .map(|visits| text(format!("visit {visits}"))),
        "/login" => session
            .authenticated()
            .and_then(|()| session.insert("user", "ann"))
            .map(|()| text("welcome")),
        "/me" => session
            .get::<String>("user")
            .map(|user| text(user.unwrap_or_else(|| "nobody".to_owned()))),
        "/logout" => session.destroy().map(|()| text("bye")),
        "/fill" => session.insert("much", "x".repeat(11_000)).map(|()| text("filled")),
        "/much" => session
            .get::<String>("much")
            .map(|much| text(much.map_or(0, |much| much.len()).to_string())),
        "/cookie-lines" => Ok(text(request.headers().get_all(COOKIE).iter().count().to_string())),
        "/cached" => session.insert("seen", true).map(|()| {
            let mut response = text("");
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().insert(ETAG, HeaderValue::from_static("\"1\""));
            response
        }),
        "/untouched" => Ok(text("plain")),
        other => panic!("no page {other}"),
    };
    Ok(answer.unwrap())
}

/// What every server must do, whatever it is made of.
async fn visit_log_in_and_out(client: &mut Client) {
    assert_eq!(client.get("/").await.text, "visit 1");
    assert_eq!(client.get("/").await.text, "visit 2");
    assert_eq!(client.get("/me").await.text, "nobody");
    client.get("/login").await;
    assert_eq!(client.get("/me").await.text, "ann");
    assert_eq!(client.get("/").await.text, "visit 3");

    let answer = client.get("/me").await;
    assert!(
        !answer.headers.contains_key(SET_COOKIE),
        "nothing changed, nothing is sent"
    );
    assert_eq!(answer.headers[VARY], "Cookie");
    assert_eq!(answer.headers[CACHE_CONTROL], "private");
    let answer = client.get("/untouched").await;
    assert!(!answer.headers.contains_key(VARY) && !answer.headers.contains_key(CACHE_CONTROL));

    client.get("/logout").await;
    assert_eq!(client.jar.0, [], "the browser has no cookie left");
    assert_eq!(client.get("/").await.text, "visit 1");
}

#[tokio::test]
async fn hyper_alone_over_http1() {
    let addr = tcp::http1(layer().layer(service_fn(app))).await;
    visit_log_in_and_out(&mut Client::http1(addr)).await;
}

#[tokio::test]
async fn hyper_alone_over_http2() {
    let addr = tcp::http2(layer().layer(service_fn(app))).await;
    visit_log_in_and_out(&mut Client::http2(addr)).await;
}

#[tokio::test]
async fn clients_do_not_share_sessions() {
    let addr = tcp::http1(layer().layer(service_fn(app))).await;
    let (mut ann, mut bob) = (Client::http1(addr), Client::http1(addr));
    ann.get("/login").await;
    assert_eq!(bob.get("/me").await.text, "nobody");
    assert_eq!(ann.get("/me").await.text, "ann");
}

#[tokio::test]
async fn rule_18_cookies_in_header_lines_of_their_own_over_http2() {
    let layer = SessionLayer::encrypted(Key::generate().unwrap())
        .chunked(4)
        .build()
        .unwrap();
    let addr = tcp::http2(layer.layer(service_fn(app))).await;
    let mut client = Client::http2(addr);
    client.jar.set("first=1; Secure");
    assert_eq!(client.get("/fill").await.text, "filled");
    client.jar.set("last=1; Secure");
    assert_eq!(client.jar.0.len(), 6, "four parts and two of others");
    assert_eq!(client.get("/cookie-lines").await.text, "6");
    assert_eq!(client.get("/much").await.text, "11000");
    client.get("/logout").await;
    let names: Vec<_> = client.jar.0.iter().map(|cookie| &*cookie.name).collect();
    assert_eq!(names, ["first", "last"]);
}

#[tokio::test]
async fn rule_23_head_commits_as_get_does() {
    let addr = tcp::http1(layer().layer(service_fn(app))).await;
    let mut client = Client::http1(addr);
    let answer = client.send(Method::HEAD, "/").await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::OK, ""));
    assert_eq!(answer.headers[CONTENT_LENGTH], "7");
    assert_eq!(set_cookies(&answer.headers).len(), 1);
    assert_eq!(client.get("/").await.text, "visit 2");
}

#[tokio::test]
async fn rule_23_a_304_commits_and_tells_caches() {
    let addr = tcp::http1(layer().layer(service_fn(app))).await;
    let mut client = Client::http1(addr);
    let answer = client.get("/cached").await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(answer.headers[ETAG], "\"1\"");
    // A cache updates what it keeps from these (RFC 9111, section 4.3.4).
    assert_eq!(answer.headers[CACHE_CONTROL], "private, no-cache=\"Set-Cookie\"");
    assert_eq!(answer.headers[VARY], "Cookie");
    assert_eq!(set_cookies(&answer.headers).len(), 1);
    let answer = client.get("/cached").await;
    assert_eq!(set_cookies(&answer.headers), [""; 0], "the value was there already");
}

// --- A reverse proxy: its responses have a body that nobody can make.

#[tokio::test]
async fn rule_08_a_proxied_response_is_kept_when_its_session_cannot_be_committed() {
    events::listen();
    // The upstream answers with a body in pieces, and with a cookie of its own.
    let upstream = tcp::http1(service_fn(|request: Request<Incoming>| async move {
        let seen = request.headers().get_all("x-user").iter().count();
        let mut response = text(format!("upstream {} {seen}", request.uri().path()));
        response
            .headers_mut()
            .insert(SET_COOKIE, HeaderValue::from_static("upstream=1; Path=/; Secure"));
        Ok::<_, Infallible>(response)
    }))
    .await;

    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let layer = layer().on_error(move |error: Error, mut response: Response<Incoming>| {
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        counted.fetch_add(1, Ordering::SeqCst);
        *response.status_mut() = StatusCode::INSUFFICIENT_STORAGE;
        response
    });
    let connector = connector();
    let proxy = service_fn(move |request: Request<Incoming>| {
        let connector = connector.clone();
        async move {
            let session = session_of(&request);
            let path = request.uri().path();
            let visits = session.get::<u64>("visits").unwrap().unwrap_or(0) + 1;
            session.insert("visits", visits).unwrap();
            if path == "/much" {
                session.insert("much", "x".repeat(5_000)).unwrap();
            }
            let forwarded = Request::builder()
                .uri(format!("http://{upstream}{path}"))
                .header("x-user", visits)
                .body(Full::default())
                .unwrap();
            connector.request(forwarded).await
        }
    });
    let addr = tcp::http1(layer.layer(proxy)).await;
    let mut client = Client::http1(addr);

    let answer = client.get("/one").await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "upstream /one 1"));
    let lines = set_cookies(&answer.headers);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "upstream=1; Path=/; Secure");
    assert_eq!(calls.load(Ordering::SeqCst), 0);

    let before = client.jar.0.clone();
    let answer = client.get("/much").await;
    assert_eq!(answer.status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(answer.text, "upstream /much 1", "the upstream's body is passed on");
    assert_eq!(set_cookies(&answer.headers), ["upstream=1; Path=/; Secure"]);
    assert_eq!(client.jar.0, before, "the old session stays");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    if cfg!(feature = "tracing") {
        assert_eq!(events::warnings().len(), 1);
    }
}

// --- After the head.

/// Sends a line for each step, each made when the body is polled for it.
struct Steps<F> {
    step: F,
    number: u32,
    /// A line is sent when something arrives here, so that the test knows what came before it.
    go: mpsc::UnboundedReceiver<()>,
}

impl<F: FnMut(u32) -> String + Unpin> Body for Steps<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Poll::Ready(go) = self.go.poll_recv(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(go.map(|()| {
            self.number += 1;
            let number = self.number;
            let line = (self.step)(number);
            Ok(Frame::data(Bytes::from(line)))
        }))
    }
}

#[tokio::test]
async fn rule_23_a_streaming_body_reads_the_session_and_cannot_write_it() {
    events::listen();
    let (go, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let layer = layer();
    let service = service_fn(move |request: Request<Incoming>| {
        let session = session_of(&request);
        let body = match request.uri().path() {
            "/stream" => {
                session.insert("before", "head").unwrap();
                let step = move |number| {
                    let before: Option<String> = session.get("before").unwrap();
                    match session.insert("late", number) {
                        Err(Error::HeadersSent) => format!("{number} too late, {}\n", before.unwrap()),
                        other => format!("{number} {other:?}\n"),
                    }
                };
                let go = receiver.lock().unwrap().take().unwrap();
                Steps { step, number: 0, go }.boxed()
            }
            _ => Full::from(session.keys().unwrap().join(" ")).boxed(),
        };
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let addr = tcp::http1(layer.layer(service)).await;
    let mut client = Client::http1(addr);

    let mut response = client.request(Method::GET, "/stream").await;
    assert_eq!(set_cookies(response.headers()).len(), 1);
    for expected in ["1 too late, head\n", "2 too late, head\n"] {
        go.send(()).unwrap();
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), expected);
    }
    drop(go);
    assert!(response.body_mut().frame().await.is_none());
    assert_eq!(client.get("/keys").await.text, "before");
    assert_eq!(events::warnings(), [""; 0], "the handler was told");
}

#[tokio::test]
async fn rule_23_an_upgrade_commits_with_its_101() {
    let layer = layer();
    let (sender, mut leaked) = mpsc::unbounded_channel();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let session = session_of(&request);
        let sender = sender.clone();
        async move {
            if request.uri().path() != "/upgrade" {
                return app(request).await;
            }
            session.insert("user", "ann").unwrap();
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgraded.await.unwrap());
                let mut line = [0; 5];
                io.read_exact(&mut line).await.unwrap();
                assert_eq!(&line, b"hello");
                // The 101 has left long ago.
                let write = session.insert("user", "eve");
                let user: Option<String> = session.get("user").unwrap();
                io.write_all(user.unwrap().as_bytes()).await.unwrap();
                sender.send((write, session.save().await)).unwrap();
            });
            let response = Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(CONNECTION, "upgrade")
                .header(UPGRADE, "echo")
                .body(Full::default());
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let addr = tcp::http1(layer.layer(service)).await;

    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sending, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::get("/upgrade")
        .header("host", addr.to_string())
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "echo")
        .body(Full::<Bytes>::default());
    let response = sending.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[UPGRADE], "echo");
    let mut client = Client::http1(addr);
    client.jar.receive(response.headers());
    assert_eq!(client.jar.0.len(), 1, "the cookie came with the 101");

    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"hello").await.unwrap();
    let mut line = String::new();
    io.read_to_string(&mut line).await.unwrap();
    assert_eq!(line, "ann");
    let late = leaked.recv().await.unwrap();
    assert!(
        matches!(late, (Err(Error::HeadersSent), Err(Error::HeadersSent))),
        "{late:?}"
    );
    assert_eq!(client.get("/me").await.text, "ann");
}

/// Tells when the handler is dropped.
struct Dropped(mpsc::UnboundedSender<Session>, Session);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(self.1.clone()).unwrap();
    }
}

/// Writes to the session, tells so, and never answers.
fn hanging(
    started: mpsc::UnboundedSender<()>,
    dropped: mpsc::UnboundedSender<Session>,
) -> impl tower::Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone + Send
{
    service_fn(move |request: Request<Incoming>| {
        let session = session_of(&request);
        session.insert("key", 1).unwrap();
        let guard = Dropped(dropped.clone(), session);
        started.send(()).unwrap();
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
}

async fn assert_abandoned(mut dropped: mpsc::UnboundedReceiver<Session>) {
    let session = dropped.recv().await.unwrap();
    assert!(matches!(session.insert("key", 2), Err(Error::HeadersSent)));
    assert!(matches!(session.save().await, Err(Error::HeadersSent)));
    assert_eq!(session.get::<u64>("key").unwrap(), Some(1));
    assert_eq!(events::warnings(), [""; 0]);
}

#[tokio::test]
async fn rule_23_a_client_that_hangs_up_ends_the_session() {
    events::listen();
    let (started, mut has_started) = mpsc::unbounded_channel();
    let (dropped, was_dropped) = mpsc::unbounded_channel();
    let addr = tcp::http1(layer().layer(hanging(started, dropped))).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    has_started.recv().await.unwrap();
    drop(stream);
    assert_abandoned(was_dropped).await;
}

#[tokio::test]
async fn rule_23_a_stream_that_is_reset_ends_the_session() {
    events::listen();
    let (started, mut has_started) = mpsc::unbounded_channel();
    let (dropped, was_dropped) = mpsc::unbounded_channel();
    let addr = tcp::http2(layer().layer(hanging(started, dropped))).await;
    let connector = tcp::connector_http2();
    let request = Request::get(format!("http://{addr}/")).body(Full::default()).unwrap();
    tokio::select! {
        response = connector.request(request) => panic!("{response:?}"),
        started = has_started.recv() => started.unwrap(),
    }
    // The request was dropped, and the connection lives on.
    assert_abandoned(was_dropped).await;
    drop(connector);
}

// --- Among other layers.

/// A body that is not `Default`, as other layers make them.
struct Wrapped<B>(B);

impl<B: Body + Unpin> Body for Wrapped<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[tokio::test]
async fn other_layers_around_and_within() {
    events::listen();
    let sessions = layer().on_error(|_, response: Response<Wrapped<Full<Bytes>>>| response);
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            Duration::from_secs(3_600),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=60"),
        ))
        .layer(MapResponseBodyLayer::new(|body: Wrapped<_>| body.boxed()))
        .layer(sessions)
        .layer(MapResponseBodyLayer::new(Wrapped))
        .layer(SetResponseHeaderLayer::appending(
            VARY,
            HeaderValue::from_static("Accept"),
        ))
        .service(service_fn(app));
    let addr = tcp::http1(service).await;
    let mut client = Client::http1(addr);
    let Answer { headers, text, .. } = client.get("/").await;
    assert_eq!(text, "visit 1");
    assert_eq!(headers[CACHE_CONTROL], "private, no-cache=\"Set-Cookie\"");
    assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "Cookie"]);
    assert_eq!(client.get("/").await.text, "visit 2");
    // The outer layers' say only counts where no session was used.
    assert_eq!(client.get("/me").await.headers[CACHE_CONTROL], "private");
    assert_eq!(
        client.get("/untouched").await.headers[CACHE_CONTROL],
        "public, max-age=60"
    );
    assert_eq!(events::warnings(), [""; 0]);
}

#[tokio::test]
async fn a_timeout_around_the_layer_drops_the_session_with_the_handler() {
    events::listen();
    let (started, mut has_started) = mpsc::unbounded_channel();
    let (dropped, was_dropped) = mpsc::unbounded_channel();
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            Duration::from_millis(1),
        ))
        .layer(layer())
        .service(hanging(started, dropped));
    let mut client = Client::http1(tcp::http1(service).await);
    let answer = client.get("/").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(!answer.headers.contains_key(SET_COOKIE));
    has_started.recv().await.unwrap();
    assert_abandoned(was_dropped).await;
}

#[tokio::test]
async fn rule_21_a_timeout_within_the_layer_drops_what_the_handler_wrote_unless_it_is_told_to_keep_it() {
    for (layer, kept) in [(layer(), 0), (layer().keep_on_server_error(), 1)] {
        let (started, _started) = mpsc::unbounded_channel();
        let (dropped, _dropped) = mpsc::unbounded_channel();
        let service = ServiceBuilder::new()
            .layer(layer)
            .layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                Duration::from_millis(1),
            ))
            .service(hanging(started, dropped));
        let mut client = Client::http1(tcp::http1(service).await);
        let answer = client.get("/").await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(client.jar.0.len(), kept);
    }
}

#[tokio::test]
async fn fault_f12_a_session_is_read_for_the_first_time_after_the_upgrade() {
    let layer = layer();
    let service = service_fn(move |mut request: Request<Incoming>| async move {
        if request.uri().path() != "/upgrade" {
            return app(request).await;
        }
        let session = session_of(&request);
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgraded.await.unwrap());
            let mut line = [0; 5];
            io.read_exact(&mut line).await.unwrap();
            // The 101 has left long ago, and nobody has looked at the session.
            let keys = session.keys().unwrap().join(" ");
            io.write_all(keys.as_bytes()).await.unwrap();
        });
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "echo")
            .body(Full::default());
        Ok::<_, Infallible>(response.unwrap())
    });
    let addr = tcp::http1(layer.layer(service)).await;
    let mut client = Client::http1(addr);
    client.get("/").await;
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sending, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::get("/upgrade")
        .header("host", addr.to_string())
        .header(COOKIE, client.jar.header("/"))
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "echo")
        .body(Full::<Bytes>::default());
    let response = sending.send_request(request.unwrap()).await.unwrap();
    assert!(!response.headers().contains_key(SET_COOKIE));
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"hello").await.unwrap();
    let mut keys = String::new();
    io.read_to_string(&mut keys).await.unwrap();
    assert_eq!(keys, "visits");
}
