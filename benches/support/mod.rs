//! What the benches share: a handler, requests as a server hands them over, and what is done with a session.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_session::Session;
use tower::Service;

pub const SESSIONS: [(&str, &str); 2] = [
    ("small", include_str!("../small.json")),
    ("large", include_str!("../large.json")),
];

/// Answers at once, after doing this with the session.
#[derive(Clone)]
pub struct Handler(pub fn(&Session));

impl Service<Request<()>> for Handler {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        if let Some(session) = request.extensions().get::<Session>() {
            self.0(session);
        }
        black_box(request);
        ready(Ok(Response::new(())))
    }
}

pub fn drive<S: Service<Request<()>, Response = Response<()>, Error = Infallible>>(
    service: &mut S,
    request: Request<()>,
) -> Response<()> {
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    match pin!(service.call(request)).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        _ => panic!("the service waits"),
    }
}

/// Headers as a server hands them over: slices of one shared buffer.
pub fn headers(session: Option<&str>) -> HeaderMap {
    let mut lines: Vec<(&str, String)> = [
        ("host", "example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("connection", "keep-alive"),
        ("sec-fetch-mode", "navigate"),
        ("priority", "u=0, i"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec();
    if let Some(session) = session {
        let other = |name: &str| format!("{name}=4f1c2e9a7b3d8056af91c4e2d7b8a0");
        lines.push((
            "cookie",
            format!("{}; {}; {session}; {}", other("_ga"), other("_gid"), other("consent")),
        ));
    }
    let buffer = Bytes::from(lines.iter().map(|(_, value)| value.as_str()).collect::<String>());
    let mut headers = HeaderMap::new();
    let mut at = 0;
    for (name, value) in lines {
        let slice = buffer.slice(at..at + value.len());
        at += value.len();
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_maybe_shared(slice).unwrap(),
        );
    }
    headers
}

pub fn request(headers: &HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    *request.headers_mut() = headers.clone();
    request
}

/// The same cookie with one bit of its MAC changed.
pub fn forged(cookie: &str) -> String {
    let mut bytes = cookie.as_bytes().to_vec();
    let at = bytes.len() - 5;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

pub fn read(session: &Session) {
    assert!(black_box(session.get::<String>("user")).unwrap().is_some());
    assert!(black_box(session.get::<u64>("visits")).unwrap().is_some());
}

pub fn write(session: &Session) {
    let visits = session.get::<u64>("visits").unwrap().unwrap_or(0);
    session.insert("visits", visits + 1).unwrap();
}

pub fn reject(session: &Session) {
    assert!(black_box(session.get::<u64>("visits")).unwrap().is_none());
}
