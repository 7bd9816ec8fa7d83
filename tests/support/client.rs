//! A client of a service whose handlers wait: requests with the cookies of one browser.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{convert::Infallible, future::Future};

use http::{Request, Response, header::COOKIE};
use http_session::{ErrorResponse, Session, SessionLayer};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::Jar;

/// Sends one request with this `Cookie` header (none if empty) through the layer to a handler that may wait.
pub async fn ask<R, F>(layer: &SessionLayer<R>, cookie: &str, handler: impl FnOnce(Session) -> F) -> Response<String>
where
    R: ErrorResponse<String> + Clone,
    F: Future<Output = Response<String>>,
{
    let mut request = Request::builder();
    if !cookie.is_empty() {
        request = request.header(COOKIE, cookie);
    }
    let mut handler = Some(handler);
    let service = layer.layer(service_fn(|request: Request<()>| {
        let session = request.extensions().get::<Session>().expect("a session").clone();
        let answer = (handler.take().expect("one request"))(session);
        async move { Ok::<_, Infallible>(answer.await) }
    }));
    service.oneshot(request.body(()).unwrap()).await.unwrap()
}

/// The same with the cookies of a browser, which takes in what comes back.
pub async fn visit<R, F>(jar: &mut Jar, layer: &SessionLayer<R>, handler: impl FnOnce(Session) -> F) -> Response<String>
where
    R: ErrorResponse<String> + Clone,
    F: Future<Output = Response<String>>,
{
    let response = ask(layer, &jar.header("/"), handler).await;
    jar.receive(response.headers());
    response
}
