//! What requests at the same time do to each other: this crate and tower-sessions, both with their store in memory.

use std::{
    convert::Infallible,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Response};
use tokio::{runtime::Builder, sync::Barrier, task::JoinSet};
use tower::{Layer, Service, ServiceExt as _};

use crate::{
    request::{Cookies, Request, headers, request},
    rows::NAME,
};

/// Requests to one session at the same time.
const REQUESTS: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Of the keys that as many requests set, one each, when all had read the session before the first one wrote.
    pub kept: usize,
    /// The same when each only gave way to others once, between reading and writing.
    pub kept_by_chance: usize,
    /// Whether a request that was slower than the logout brought the session back.
    pub back_after_logout: bool,
}

pub fn ours() -> Outcome {
    let store = http_session::store::MemoryStore::new();
    let layer = http_session::SessionLayer::with_store(store).build();
    outcome::<http_session::Session, _>(layer.expect("a layer"))
}

pub fn theirs() -> Outcome {
    let layer = tower_sessions::SessionManagerLayer::new(tower_sessions::MemoryStore::default()).with_name(NAME);
    outcome::<tower_sessions::Session, _>(layer)
}

pub fn print() {
    println!(
        "| {REQUESTS} requests set a key each | kept, if all read before one wrote | kept, as it came | a request slower than the logout |"
    );
    println!("|---|--:|--:|---|");
    for (name, outcome) in [
        ("http-session, memory", ours()),
        ("tower-sessions 0.15, memory", theirs()),
    ] {
        let back = match outcome.back_after_logout {
            true => "brings the session back",
            false => "changes nothing",
        };
        println!("| {name} | {} | {} | {back} |", outcome.kept, outcome.kept_by_chance);
    }
}

/// A session as both have it.
trait Session: Clone + Send + Sync + 'static {
    fn set(&self, key: &str) -> impl Future<Output = ()> + Send;
    /// The number of keys that requests have set.
    fn count(&self) -> impl Future<Output = usize> + Send;
    fn log_out(&self) -> impl Future<Output = ()> + Send;
}

impl Session for http_session::Session {
    async fn set(&self, key: &str) {
        self.insert(key, 1).expect("in time");
    }

    async fn count(&self) -> usize {
        self.load().await.expect("a store");
        let keys = self.keys().expect("a loaded session");
        keys.iter().filter(|key| *key != LOGIN).count()
    }

    async fn log_out(&self) {
        self.destroy().expect("in time");
    }
}

impl Session for tower_sessions::Session {
    async fn set(&self, key: &str) {
        self.insert(key, 1).await.expect("a store");
    }

    async fn count(&self) -> usize {
        let mut count = 0;
        for number in 0..REQUESTS {
            let value: Option<u64> = self.get(&number.to_string()).await.expect("a store");
            count += usize::from(value.is_some());
        }
        count
    }

    async fn log_out(&self) {
        self.flush().await.expect("a store");
    }
}

const LOGIN: &str = "login";

/// What a request does.
#[derive(Clone)]
enum Deed {
    LogIn,
    LogOut,
    Set(SetKey),
    Count,
}

/// Reads the session, waits until others have read it, too, waits for leave, and sets a key.
#[derive(Clone)]
struct SetKey {
    key: String,
    read: Arc<Barrier>,
    leave: Arc<Barrier>,
}

struct Handler<S>(PhantomData<fn() -> S>);

impl<S: Session> Service<Request> for Handler<S> {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let deed: Deed = request.extensions().get().cloned().expect("a deed");
        let session: S = request.extensions().get().cloned().expect("a session");
        Box::pin(async move {
            let mut count = 0;
            match deed {
                Deed::LogIn => session.set(LOGIN).await,
                Deed::LogOut => session.log_out().await,
                Deed::Count => count = session.count().await,
                Deed::Set(SetKey { key, read, leave }) => {
                    session.count().await;
                    read.wait().await;
                    tokio::task::yield_now().await;
                    leave.wait().await;
                    session.set(&key).await;
                }
            }
            Ok(Response::new(count.to_string()))
        })
    }
}

impl<S> Clone for Handler<S> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

fn outcome<S, L>(layer: L) -> Outcome
where
    S: Session,
    L: Layer<Handler<S>>,
    L::Service:
        Service<Request, Response = Response<String>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let service = layer.layer(Handler(PhantomData));
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let kept = together(&service, REQUESTS).await;
        let kept_by_chance = together(&service, 1).await;
        let back_after_logout = slower_than_logout(&service).await;
        Outcome {
            kept,
            kept_by_chance,
            back_after_logout,
        }
    })
}

/// How many keys are kept if so many requests wait for each other.
async fn together<C: Client>(client: &C, wait: usize) -> usize {
    let cookie = log_in(client).await;
    let (read, leave) = (Arc::new(Barrier::new(wait)), Arc::new(Barrier::new(1)));
    let mut requests = JoinSet::new();
    for number in 0..REQUESTS {
        let (key, read, leave) = (number.to_string(), read.clone(), leave.clone());
        requests.spawn(
            client
                .clone()
                .ask(cookie.clone(), Deed::Set(SetKey { key, read, leave })),
        );
    }
    for response in requests.join_all().await {
        assert!(response.status().is_success());
    }
    count(client, &cookie).await
}

async fn slower_than_logout<C: Client>(client: &C) -> bool {
    let cookie = log_in(client).await;
    let (key, read, leave) = ("0".to_owned(), Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let set = Deed::Set(SetKey {
        key,
        read: read.clone(),
        leave: leave.clone(),
    });
    let slow = tokio::spawn(client.clone().ask(cookie.clone(), set));
    read.wait().await;
    client.clone().ask(cookie.clone(), Deed::LogOut).await;
    leave.wait().await;
    slow.await.expect("a response");
    count(client, &cookie).await > 0
}

async fn log_in<C: Client>(client: &C) -> HeaderMap {
    let response = client.clone().ask(headers(Cookies::Nothing), Deed::LogIn).await;
    let line = response.headers().get(http::header::SET_COOKIE).expect("a cookie");
    headers(Cookies::Session(&crate::request::pair(line)))
}

async fn count<C: Client>(client: &C, cookie: &HeaderMap) -> usize {
    let response = client.clone().ask(cookie.clone(), Deed::Count).await;
    response.into_body().parse().expect("a number")
}

/// A service that requests are sent to.
trait Client: Clone + Send + 'static {
    fn ask(self, headers: HeaderMap, deed: Deed) -> impl Future<Output = Response<String>> + Send + 'static;
}

impl<C> Client for C
where
    C: Service<Request, Response = Response<String>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    async fn ask(self, headers: HeaderMap, deed: Deed) -> Response<String> {
        let mut request = request(&headers);
        request.extensions_mut().insert(deed);
        self.oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_loses_nothing() {
        assert_eq!(
            ours(),
            Outcome {
                kept: REQUESTS,
                kept_by_chance: REQUESTS,
                back_after_logout: false,
            }
        );
        println!("tower-sessions: {:?}", theirs());
    }
}
