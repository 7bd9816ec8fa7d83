//! What the tests share: a clock that stands still, a service around a closure, and a browser's cookie jar.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use http_session::{ErrorResponse, Session, SessionLayer};
use tower::{Layer, ServiceExt, service_fn};

/// 2023-11-14T22:13:20Z, in milliseconds.
pub const START: u64 = 1_700_000_000_000;

/// A clock that moves when it is told to. Clones are the same clock.
#[derive(Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }

    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub fn set(&self, at: SystemTime) {
        let millis = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        self.0.store(millis, Ordering::SeqCst);
    }

    /// For `SessionLayer::clock`.
    pub fn reader(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }
}

/// Sends one request with this `Cookie` header (none if empty) through the layer to a handler.
pub fn send<R>(
    layer: &SessionLayer<R>,
    cookie: &str,
    handler: impl FnOnce(&Session) -> Response<String>,
) -> Response<String>
where
    R: ErrorResponse<String> + Clone,
{
    let mut request = Request::builder();
    if !cookie.is_empty() {
        request = request.header(COOKIE, cookie);
    }
    send_request(layer, request.body(()).unwrap(), handler)
}

/// Sends one request through the layer to a handler.
pub fn send_request<R>(
    layer: &SessionLayer<R>,
    request: Request<()>,
    handler: impl FnOnce(&Session) -> Response<String>,
) -> Response<String>
where
    R: ErrorResponse<String> + Clone,
{
    let mut handler = Some(handler);
    let service = layer.layer(service_fn(|request: Request<()>| {
        let session = request.extensions().get::<Session>().expect("a session").clone();
        let response = (handler.take().expect("one request"))(&session);
        async move { Ok::<_, Infallible>(response) }
    }));
    poll_now(service.oneshot(request)).unwrap()
}

/// Runs a future that never waits.
pub fn poll_now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::noop();
    match future.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the future waits"),
    }
}

/// A handler's plain answer.
pub fn ok() -> Response<String> {
    Response::new(String::new())
}

/// The `Set-Cookie` lines of a response.
pub fn set_cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(SET_COOKIE)
        .iter()
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

/// One cookie as a browser keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub name: String,
    pub value: String,
    pub domain: Option<String>,
    pub path: String,
    pub partitioned: bool,
}

/// A browser's cookies for one host over HTTPS: kept by name, domain, path and partition; sent with the longest path first,
/// then the oldest first; removed by a `Max-Age` of zero; prefixes enforced (RFC 6265bis).
#[derive(Clone, Debug, Default)]
pub struct Jar(pub Vec<Stored>);

impl Jar {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the `Set-Cookie` lines of a response to a request for `/`.
    pub fn receive(&mut self, headers: &HeaderMap) {
        for line in set_cookies(headers) {
            self.set(&line);
        }
    }

    /// Takes in one `Set-Cookie` line.
    pub fn set(&mut self, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let mut cookie = Stored {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: None,
            path: "/".to_owned(),
            partitioned: false,
        };
        let (mut secure, mut expired) = (false, false);
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match key.to_ascii_lowercase().as_str() {
                "domain" => cookie.domain = Some(value.trim_start_matches('.').to_owned()),
                "path" => cookie.path = value.to_owned(),
                "partitioned" => cookie.partitioned = true,
                "secure" => secure = true,
                "max-age" => expired = value.parse::<i64>().unwrap() <= 0,
                "expires" => expired |= value.contains("1970"),
                _ => {}
            }
        }
        let host_ok = secure && cookie.path == "/" && cookie.domain.is_none();
        if (name.starts_with("__Host-") && !host_ok)
            || (name.starts_with("__Secure-") && !secure)
            || (cookie.partitioned && !secure)
        {
            return;
        }
        let same = |other: &Stored| {
            other.name == cookie.name
                && other.domain == cookie.domain
                && other.path == cookie.path
                && other.partitioned == cookie.partitioned
        };
        match (self.0.iter().position(same), expired) {
            (Some(at), true) => drop(self.0.remove(at)),
            (None, true) => {}
            // An update keeps the place in the order.
            (Some(at), false) => self.0[at] = cookie,
            (None, false) => self.0.push(cookie),
        }
    }

    /// The `Cookie` header for a request to `path`, empty if there is none.
    pub fn header(&self, path: &str) -> String {
        let mut sent: Vec<&Stored> = self
            .0
            .iter()
            .filter(|cookie| {
                path == cookie.path
                    || path
                        .strip_prefix(&cookie.path)
                        .is_some_and(|rest| cookie.path.ends_with('/') || rest.starts_with('/'))
            })
            .collect();
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        sent.iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Sends a request for `/` with these cookies and takes in what comes back.
    pub fn visit<R>(
        &mut self,
        layer: &SessionLayer<R>,
        handler: impl FnOnce(&Session) -> Response<String>,
    ) -> Response<String>
    where
        R: ErrorResponse<String> + Clone,
    {
        self.visit_path(layer, "/", handler)
    }

    pub fn visit_path<R>(
        &mut self,
        layer: &SessionLayer<R>,
        path: &str,
        handler: impl FnOnce(&Session) -> Response<String>,
    ) -> Response<String>
    where
        R: ErrorResponse<String> + Clone,
    {
        let response = send(layer, &self.header(path), handler);
        self.receive(response.headers());
        response
    }
}

/// `SplitMix64`, whose seed is named when something fails.
pub struct Random(pub u64);

impl Random {
    pub fn new() -> Self {
        let seed: [u8; 8] = ring::rand::generate(&ring::rand::SystemRandom::new()).unwrap().expose();
        Self(u64::from_le_bytes(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
