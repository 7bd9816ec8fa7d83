//! Sessions in a gRPC service: tonic over HTTP/2 on a real socket, the cookie in the metadata. The service is written by
//! hand with a codec for text, so that no protobuf compiler is needed.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value)]

#[path = "support/events.rs"]
mod events;
mod support;
#[path = "support/tcp.rs"]
mod tcp;

use std::{convert::Infallible, net::SocketAddr};

use bytes::{Buf as _, BufMut as _};
use http::uri::PathAndQuery;
use http_session::{Error, Key, Session, SessionLayer};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use support::Jar;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};
use tower::{Layer as _, service_fn};

/// A message is its UTF-8.
#[derive(Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        String::from_utf8(bytes.to_vec())
            .map(Some)
            .map_err(|_| Status::invalid_argument("not UTF-8"))
    }
}

fn internal(error: Error) -> Status {
    Status::internal(error.to_string())
}

/// One method for each thing to be shown; a method is named by what is asked for.
async fn method(request: Request<String>) -> Result<Response<String>, Status> {
    let session = request
        .extensions()
        .get::<Session>()
        .ok_or_else(|| Status::internal("no session"))?
        .clone();
    match request.into_inner().as_str() {
        "visit" => {
            let visits = session
                .update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)
                .await
                .map_err(internal)?;
            Ok(Response::new(format!("visit {visits}")))
        }
        "deny" => {
            session.insert("denied", true).map_err(internal)?;
            Err(Status::permission_denied("not you"))
        }
        "keys" => Ok(Response::new(session.keys().map_err(internal)?.join(" "))),
        "fill" => {
            session.insert("much", "x".repeat(5_000)).map_err(internal)?;
            Ok(Response::new("filled".into()))
        }
        "logout" => {
            session.destroy().map_err(internal)?;
            Ok(Response::new("bye".into()))
        }
        other => Err(Status::unimplemented(other)),
    }
}

type Messages = Box<dyn Iterator<Item = Result<String, Status>> + Send>;

/// Messages that are made while the stream is read: each tries to write to the session.
async fn streaming(request: Request<String>) -> Result<Response<tokio_stream::Iter<Messages>>, Status> {
    let session = request.extensions().get::<Session>().unwrap().clone();
    session.insert("before", "head").map_err(internal)?;
    let messages = (1..=2).map(move |number| {
        let before: Option<String> = session.get("before").unwrap();
        Ok(match session.insert("late", number) {
            Err(Error::HeadersSent) => format!("{number} too late, {}", before.unwrap()),
            other => format!("{number} {other:?}"),
        })
    });
    Ok(Response::new(tokio_stream::iter(Box::new(messages) as Messages)))
}

type HttpRequest = http::Request<Incoming>;
type HttpResponse = http::Response<Body>;

async fn grpc(request: HttpRequest) -> Result<HttpResponse, Infallible> {
    let mut grpc = tonic::server::Grpc::new(Text);
    Ok(match request.uri().path() {
        "/test.Sessions/Ask" => grpc.unary(service_fn(method), request).await,
        "/test.Sessions/Stream" => grpc.server_streaming(service_fn(streaming), request).await,
        _ => Status::unimplemented("no such method").into_http(),
    })
}

fn layer() -> SessionLayer {
    SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap()
}

/// A client that keeps cookies, which gRPC clients do not do by themselves.
struct Client {
    grpc: tonic::client::Grpc<legacy::Client<HttpConnector, Body>>,
    jar: Jar,
}

impl Client {
    fn new(addr: SocketAddr) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        Self {
            grpc: tonic::client::Grpc::with_origin(http, format!("http://{addr}").parse().unwrap()),
            jar: Jar::new(),
        }
    }

    fn request(&self, text: &str) -> Request<String> {
        let mut request = Request::new(text.to_owned());
        for cookie in &self.jar.0 {
            let pair = format!("{}={}", cookie.name, cookie.value);
            request.metadata_mut().append("cookie", pair.parse().unwrap());
        }
        request
    }

    fn receive(&mut self, metadata: &MetadataMap) {
        self.jar.receive(&metadata.clone().into_headers());
    }

    async fn ask(&mut self, text: &str) -> Result<String, Status> {
        let path = PathAndQuery::from_static("/test.Sessions/Ask");
        self.grpc.ready().await.unwrap();
        let result = self.grpc.unary(self.request(text), path, Text).await;
        match result {
            Ok(response) => {
                self.receive(response.metadata());
                Ok(response.into_inner())
            }
            Err(status) => {
                self.receive(status.metadata());
                Err(status)
            }
        }
    }
}

#[tokio::test]
async fn a_grpc_client_that_returns_its_cookie_has_a_session() {
    let addr = tcp::http2(layer().layer(service_fn(grpc))).await;
    let mut client = Client::new(addr);
    assert_eq!(client.ask("visit").await.unwrap(), "visit 1");
    assert_eq!(client.ask("visit").await.unwrap(), "visit 2");
    assert_eq!(Client::new(addr).ask("visit").await.unwrap(), "visit 1");
    client.ask("logout").await.unwrap();
    assert_eq!(client.jar.0, []);
    assert_eq!(client.ask("visit").await.unwrap(), "visit 1");
}

#[tokio::test]
async fn rule_21_a_status_that_is_an_error_keeps_the_session() {
    let addr = tcp::http2(layer().layer(service_fn(grpc))).await;
    let mut client = Client::new(addr);
    let status = client.ask("deny").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not you"));
    assert_eq!(client.ask("keys").await.unwrap(), "denied");
}

#[tokio::test]
async fn rule_08_a_failed_commit_can_be_a_grpc_status() {
    events::listen();
    let layer =
        layer().on_error(|error: Error, _: HttpResponse| Status::resource_exhausted(error.to_string()).into_http());
    let addr = tcp::http2(layer.layer(service_fn(grpc))).await;
    let mut client = Client::new(addr);
    client.ask("visit").await.unwrap();
    let status = client.ask("fill").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().starts_with("the session cookie would take"),
        "{status}"
    );
    assert_eq!(client.ask("visit").await.unwrap(), "visit 2");
    if cfg!(feature = "tracing") {
        assert_eq!(events::warnings().len(), 1);
    }
}

#[tokio::test]
async fn rule_08_by_default_a_failed_commit_is_an_error_of_the_call_too() {
    let addr = tcp::http2(layer().layer(service_fn(grpc))).await;
    let mut client = Client::new(addr);
    let status = client.ask("fill").await.unwrap_err();
    // What gRPC makes of a 500 without a status of its own.
    assert_ne!(status.code(), Code::Ok, "{status}");
    assert_eq!(client.jar.0, []);
}

#[tokio::test]
async fn rule_23_a_stream_of_messages_reads_the_session_and_cannot_write_it() {
    let addr = tcp::http2(layer().layer(service_fn(grpc))).await;
    let mut client = Client::new(addr);
    let path = PathAndQuery::from_static("/test.Sessions/Stream");
    client.grpc.ready().await.unwrap();
    let response = client
        .grpc
        .server_streaming(client.request(""), path, Text)
        .await
        .unwrap();
    client.receive(response.metadata());
    let mut messages = response.into_inner();
    for expected in ["1 too late, head", "2 too late, head"] {
        assert_eq!(messages.message().await.unwrap().as_deref(), Some(expected));
    }
    assert_eq!(messages.message().await.unwrap(), None);
    assert_eq!(client.ask("keys").await.unwrap(), "before");
}
