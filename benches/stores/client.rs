//! Requests through the layer, and what their handlers do.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, header::SET_COOKIE};
use http_session::{Session, SessionLayer, SessionService};
use tower::{Layer, Service};

use crate::support::{headers, read, request, write};

/// What a handler does.
#[derive(Clone, Copy)]
pub enum Deed {
    Nothing,
    /// Gets a text and a number.
    Read,
    /// Gets a number and sets the next one.
    Write,
    /// Sets all keys of this JSON, for the owner of this number.
    Begin {
        json: &'static str,
        owner: Option<u64>,
    },
}

/// Answers after it has done so.
#[derive(Clone)]
struct Handler;

impl Service<Request<()>> for Handler {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<()>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        Box::pin(async move {
            let session: &Session = request.extensions().get().unwrap();
            let deed: &Deed = request.extensions().get().unwrap();
            if !matches!(deed, Deed::Nothing) {
                session.load().await.unwrap();
            }
            match *deed {
                Deed::Nothing => {}
                Deed::Read => read(session),
                Deed::Write => write(session),
                Deed::Begin { json, owner } => {
                    let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
                    for (key, value) in data {
                        session.insert(&key, value).unwrap();
                    }
                    if let Some(owner) = owner {
                        session.set_owner(format!("user-{owner:08}")).unwrap();
                    }
                }
            }
            Ok(Response::new(()))
        })
    }
}

/// The headers of a browser that has a session.
pub type Cookie = HeaderMap;

/// Sends one request after the other.
#[derive(Clone)]
pub struct Client {
    service: SessionService<Handler>,
    without: HeaderMap,
}

impl Client {
    pub fn new(layer: &SessionLayer) -> Self {
        Self {
            service: layer.layer(Handler),
            without: headers(None),
        }
    }

    pub async fn ask(&mut self, cookie: Option<&Cookie>, deed: Deed) -> Response<()> {
        let mut request = request(cookie.unwrap_or(&self.without));
        request.extensions_mut().insert(deed);
        let _ = poll_fn(|context| self.service.poll_ready(context)).await;
        let Ok(response) = self.service.call(request).await;
        assert!(response.status().is_success(), "the store failed");
        response
    }

    /// A new session, for the owner of this number.
    pub async fn begin(&mut self, json: &'static str, owner: Option<u64>) -> Cookie {
        let response = self.ask(None, Deed::Begin { json, owner }).await;
        let line = response.headers()[SET_COOKIE].to_str().unwrap();
        headers(line.split(';').next())
    }
}

/// So many new sessions, begun by 64 clients at the same time.
pub async fn sessions(layer: &SessionLayer, count: usize, json: &'static str, owners: bool) -> Vec<Cookie> {
    const CLIENTS: usize = 64;
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let layer = layer.clone();
        tasks.spawn(async move {
            let mut cookies = Vec::with_capacity(count / CLIENTS + 1);
            let mut requests = Client::new(&layer);
            for number in (client..count).step_by(CLIENTS) {
                cookies.push(requests.begin(json, owners.then_some(number as u64)).await);
            }
            cookies
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}
