//! Real sockets: hyper servers, and a client that keeps cookies.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::{error::Error, net::SocketAddr};

use http::{HeaderMap, Method, Request, Response, StatusCode, header::COOKIE};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::Service;

use crate::support::Jar;

type BoxError = Box<dyn Error + Send + Sync>;

/// Serves HTTP/1 on a port of its own, for as long as the test's runtime lives.
pub async fn http1<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // A client that hangs up is an error here, and often what is tested.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    addr
}

/// Serves HTTP/2 without TLS.
pub async fn http2<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    addr
}

pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// What a plain client sends with.
pub type Connector = legacy::Client<HttpConnector, Full<Bytes>>;

pub fn connector() -> Connector {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

pub fn connector_http2() -> Connector {
    legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

/// A browser, as far as cookies go.
pub struct Client {
    connector: Connector,
    addr: SocketAddr,
    /// Whether each cookie is a header line of its own, as HTTP/2 allows (RFC 9113, section 8.2.3).
    split: bool,
    pub jar: Jar,
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    pub fn http1(addr: SocketAddr) -> Self {
        Self {
            connector: connector(),
            addr,
            split: false,
            jar: Jar::new(),
        }
    }

    pub fn http2(addr: SocketAddr) -> Self {
        Self {
            connector: connector_http2(),
            addr,
            split: true,
            jar: Jar::new(),
        }
    }

    /// Sends a request and takes in the cookies of the response's head.
    pub async fn request(&mut self, method: Method, path: &str) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr));
        let cookies = self.jar.header(path);
        if self.split {
            for cookie in cookies.split("; ").filter(|cookie| !cookie.is_empty()) {
                request = request.header(COOKIE, cookie);
            }
        } else if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        let request = request.body(Full::default()).unwrap();
        let response = self.connector.request(request).await.unwrap();
        self.jar.receive(response.headers());
        response
    }

    pub async fn send(&mut self, method: Method, path: &str) -> Answer {
        let (parts, body) = self.request(method, path).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path).await
    }
}
