//! Servers that die, refuse and fall silent under a layer that is at work: every request has its session or an honest error, what
//! was acknowledged is there afterwards, and the layer finds its way back by itself.
#![cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

#[path = "support/client.rs"]
mod client;
#[path = "support/daemon.rs"]
mod daemon;
#[cfg(feature = "redis")]
#[path = "support/redis_server.rs"]
mod redis_server;
#[cfg(any(feature = "postgres", feature = "mysql"))]
#[path = "support/sql_servers.rs"]
mod sql_servers;
mod support;

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use client::{ask, visit};
use http::{Response, StatusCode};
use http_session::{Error, Session, SessionLayer};
use support::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

const CLIENTS: u64 = 8;
const REQUESTS: u64 = 1_000;

/// A server that is killed and comes back at the same port with the same data.
trait Server: Send + 'static {
    fn port(&self) -> u16;
    fn kill(&mut self);
    fn start(&mut self);
    /// A layer on it, through this port.
    async fn layer(&self, port: u16) -> SessionLayer;
}

#[cfg(feature = "redis")]
impl Server for redis_server::Server {
    fn port(&self) -> u16 {
        self.port
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn start(&mut self) {
        self.again();
    }

    async fn layer(&self, port: u16) -> SessionLayer {
        let store = http_session::store::RedisStore::connect(&format!("redis://127.0.0.1:{port}")).await;
        SessionLayer::with_store(store.unwrap())
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
impl Server for (sql_servers::Server, String) {
    fn port(&self) -> u16 {
        self.0.port
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn start(&mut self) {
        self.0.start();
    }

    async fn layer(&self, port: u16) -> SessionLayer {
        let url = self.0.url_at(port, &self.1);
        let store = http_session::store::SqlStore::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        SessionLayer::with_store(store)
    }
}

#[cfg(feature = "redis")]
fn redis() -> Option<redis_server::Server> {
    redis_server::Server::on_port(daemon::free_port(), &["--appendonly", "yes", "--appendfsync", "always"])
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn sql(kind: sql_servers::Kind) -> Option<(sql_servers::Server, String)> {
    let server = sql_servers::Server::new(kind)?;
    let database = server.database().await;
    Some((server, database))
}

macro_rules! on_each_server {
    ($($scenario:ident)*) => { $(
        mod $scenario {
            use super::$scenario as scenario;

            #[cfg(feature = "redis")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_redis() {
                if let Some(server) = super::redis() {
                    scenario(server).await;
                }
            }

            #[cfg(feature = "postgres")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                if let Some(server) = super::sql(super::sql_servers::Kind::Postgres).await {
                    scenario(server).await;
                }
            }

            #[cfg(feature = "mysql")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb() {
                if let Some(server) = super::sql(super::sql_servers::Kind::MariaDb).await {
                    scenario(server).await;
                }
            }
        }
    )* };
}

on_each_server! {
    row_34_kill_9_in_the_middle_of_1000_requests_loses_nothing_acknowledged
    row_34_a_server_that_refuses_is_an_error_until_it_is_back
    row_34_a_server_that_falls_silent_is_an_error_in_the_time_that_was_set
}

/// Counts, and answers with what it saw; with 503 if the session cannot be told.
async fn count(session: Session) -> Response<String> {
    if let Err(error) = session.load().await {
        assert!(matches!(error, Error::Store { .. }), "{error}");
        let mut response = ok();
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    let n: Option<u64> = session.get("n").unwrap();
    session.insert("n", n.unwrap_or(0) + 1).unwrap();
    Response::new(n.map(|n| n.to_string()).unwrap_or_default())
}

async fn begin(layer: &SessionLayer) -> Jar {
    let mut jar = Jar::new();
    visit(&mut jar, layer, async |session: Session| {
        session.insert("n", 1).unwrap();
        ok()
    })
    .await;
    assert_eq!(jar.0.len(), 1);
    jar
}

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Counted {
    /// It saw this, and one more is acknowledged.
    Saw(u64),
    Failed,
}

async fn counted(layer: &SessionLayer, cookie: &str) -> Counted {
    let response = ask(layer, cookie, count).await;
    // Neither a new session nor a removal: the browser's own ticket is good.
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    if response.status() == StatusCode::OK {
        let saw = response.body().parse();
        return Counted::Saw(saw.expect("an empty session with status 200"));
    }
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    Counted::Failed
}

async fn row_34_kill_9_in_the_middle_of_1000_requests_loses_nothing_acknowledged(mut server: impl Server) {
    let layer = server.layer(server.port()).await.build().unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let (killed, back) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (layer, done, killed, back) = (layer.clone(), done.clone(), killed.clone(), back.clone());
        let cookie = begin(&layer).await.header("/");
        clients.spawn(async move {
            let (mut acknowledged, mut sent, mut failed, mut after) = (1, 1, 0, 0);
            while done.load(Ordering::SeqCst) < REQUESTS || after < 20 {
                let is_back = back.load(Ordering::SeqCst);
                sent = sent.max(acknowledged) + 1;
                match counted(&layer, &cookie).await {
                    Counted::Saw(n) => {
                        assert!(n >= acknowledged, "{acknowledged} was acknowledged, and {n} is there");
                        assert!(n < sent, "nobody has written {n}");
                        acknowledged = n + 1;
                        done.fetch_add(1, Ordering::SeqCst);
                        after += u64::from(is_back);
                    }
                    Counted::Failed => {
                        assert!(killed.load(Ordering::SeqCst), "an error of a server that is well");
                        failed += 1;
                        // As a client would.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            (cookie, acknowledged, failed)
        });
    }
    let middle = done.clone();
    let (mut server, killed_at) = tokio::task::spawn_blocking(move || {
        daemon::until("half of the requests", || middle.load(Ordering::SeqCst) >= REQUESTS / 2);
        killed.store(true, Ordering::SeqCst);
        server.kill();
        let killed_at = middle.load(Ordering::SeqCst);
        server.start();
        (server, killed_at)
    })
    .await
    .unwrap();
    back.store(true, Ordering::SeqCst);
    let clients = tokio::time::timeout(Duration::from_secs(120), clients.join_all());
    let clients = clients.await.expect("the layer did not recover");
    let failed: u64 = clients.iter().map(|(_, _, failed)| failed).sum();
    println!(
        "killed after {killed_at} requests; {failed} failed, {} were answered",
        done.load(Ordering::SeqCst)
    );
    assert!((REQUESTS / 2..REQUESTS).contains(&killed_at), "{killed_at}");
    // Once more, when nobody is at work: what was acknowledged last is there.
    server.kill();
    server.start();
    for (cookie, acknowledged, _) in clients {
        let n = until_counted(&layer, &cookie).await;
        assert_eq!(n, acknowledged);
    }
}

/// Asks until the layer has found its server.
async fn until_counted(layer: &SessionLayer, cookie: &str) -> u64 {
    for _ in 0..200 {
        if let Counted::Saw(n) = counted(layer, cookie).await {
            return n;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the layer did not recover");
}

async fn row_34_a_server_that_refuses_is_an_error_until_it_is_back(mut server: impl Server) {
    // A pool tries to connect for as long as it may.
    let layer = server
        .layer(server.port())
        .await
        .store_timeout(Duration::from_millis(500));
    let layer = layer.build().unwrap();
    let cookie = begin(&layer).await.header("/");
    for round in 1..=2 {
        server.kill();
        for _ in 0..3 {
            assert_eq!(counted(&layer, &cookie).await, Counted::Failed);
        }
        // A visitor without a ticket is no concern of the server's; one who writes is.
        let response = ask(&layer, "", async |session: Session| {
            session.load().await.unwrap();
            ok()
        })
        .await;
        assert_eq!(response.status(), StatusCode::OK);
        let response = ask(&layer, "", count).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        assert!(matches!(
            response.extensions().get::<Error>(),
            Some(Error::Store { .. })
        ));
        // Nor is a logout done that was not.
        let response = ask(&layer, &cookie, async |session: Session| {
            session.destroy().unwrap();
            ok()
        })
        .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        assert!(matches!(layer.sessions_of("ada").await, Err(Error::Store { .. })));
        server.start();
        assert_eq!(until_counted(&layer, &cookie).await, round);
    }
}

async fn row_34_a_server_that_falls_silent_is_an_error_in_the_time_that_was_set(server: impl Server) {
    let proxy = Proxy::start(server.port()).await;
    let layer = server.layer(proxy.port).await;
    let patient = layer.clone().build().unwrap();
    let layer = layer.store_timeout(Duration::from_millis(300)).build().unwrap();
    let cookie = begin(&patient).await.header("/");
    let mut n = until_counted(&layer, &cookie).await;
    for _ in 0..2 {
        // In the middle of a request, and from its beginning.
        let response = ask(&layer, &cookie, async |session: Session| {
            session.load().await.unwrap();
            session.insert("late", n).unwrap();
            proxy.silent(true);
            let error = session.save().await.unwrap_err();
            silent(&error);
            ok()
        })
        .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        silent(response.extensions().get().unwrap());
        for _ in 0..2 {
            assert_eq!(counted(&layer, &cookie).await, Counted::Failed);
            ask(&layer, &cookie, async |session: Session| {
                silent(&session.load().await.unwrap_err());
                ok()
            })
            .await;
        }
        let response = ask(&layer, "", count).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        proxy.silent(false);
        let next = until_counted(&layer, &cookie).await;
        assert_eq!(next, n + 1);
        n = next;
    }
}

/// That it is the layer that gave up, in its own time.
#[track_caller]
fn silent(error: &Error) {
    assert!(matches!(error, Error::Store { .. }), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "no answer within 300ms");
}

/// Passes on what it hears, but for when it is silent: then it takes everything in and answers nothing.
struct Proxy {
    port: u16,
    silent: watch::Sender<bool>,
}

impl Proxy {
    async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (silent, listens) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, listens.clone()));
                tokio::spawn(pass(from_server, to_client, listens.clone()));
            }
        });
        Self { port: own, silent }
    }

    fn silent(&self, silent: bool) {
        self.silent.send(silent).unwrap();
    }
}

async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut silent: watch::Receiver<bool>) {
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if silent.wait_for(|silent| !silent).await.is_err() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
