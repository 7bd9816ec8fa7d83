//! Drives services: directly, on one thread, without a socket.

use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, header::SET_COOKIE};
use tower::{Layer, Service, service_fn, util::ServiceFn};

use crate::{
    allocations::{self, Allocations},
    request::{Request, request},
};

/// Requests that are made before the clock runs.
pub const BATCH: usize = 32;

/// A service that is ready to be measured.
pub trait Runner {
    /// Sends one batch of requests with these headers.
    fn batch(&mut self, headers: &HeaderMap) -> Duration;
    /// Sends one request, and returns its `Set-Cookie` lines and what it allocated.
    fn once(&mut self, headers: &HeaderMap) -> (Vec<HeaderValue>, Allocations);
}

/// The layer's service around a handler.
pub fn tower<L, H, F, B, T>(layer: &L, handler: H) -> Box<dyn Runner>
where
    H: Fn(Request) -> F + 'static,
    F: Future<Output = Result<T, Infallible>>,
    L: Layer<ServiceFn<H>>,
    L::Service: Service<Request, Response = http::Response<B>, Error = Infallible> + 'static,
    B: 'static,
{
    Box::new(Tower {
        service: layer.layer(service_fn(handler)),
        requests: Vec::with_capacity(BATCH),
    })
}

struct Tower<S> {
    service: S,
    requests: Vec<Request>,
}

impl<S, B> Runner for Tower<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible>,
{
    fn batch(&mut self, headers: &HeaderMap) -> Duration {
        self.requests.extend((0..BATCH).map(|_| request(headers)));
        let start = Instant::now();
        for request in self.requests.drain(..) {
            black_box(drive(&mut self.service, request));
        }
        start.elapsed()
    }

    fn once(&mut self, headers: &HeaderMap) -> (Vec<HeaderValue>, Allocations) {
        let request = request(headers);
        let (response, allocations) = allocations::count(|| drive(&mut self.service, request));
        let lines = response.headers().get_all(SET_COOKIE).iter().cloned().collect();
        (lines, allocations)
    }
}

fn drive<S, B>(service: &mut S, request: Request) -> http::Response<B>
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    finish(service.call(request)).unwrap_or_else(|error| match error {})
}

/// Polls once: nothing here has anything to wait for.
pub fn finish<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the service waits"),
    }
}
