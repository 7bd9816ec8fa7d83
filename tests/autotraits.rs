//! What the compiler holds: which types cross threads, and which bounds the service has and has not.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    convert::Infallible,
    error::Error as StdError,
    fmt,
    future::{Ready, ready},
    marker::PhantomData,
    rc::Rc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_session::{
    DefaultErrorResponse, Duplicates, Error, ErrorResponse, Fallback, Key, KeyRing, Reject, ResponseFuture, Scope,
    Session, SessionLayer, SessionService, Tagged, Until,
    codec::{Codec, Encrypted, Format, Payload, Signed},
};
use hyper::body::Incoming;
use static_assertions::{assert_impl_all, assert_not_impl_any, assert_obj_safe, assert_type_eq_all};
use tower::{Layer, Service};

/// Neither sent to nor shared with another thread.
type Local = Rc<()>;

// The handle crosses threads, tagged by whatever type.
assert_impl_all!(Session: Send, Sync, Unpin, Clone, Default, fmt::Debug);
assert_impl_all!(Tagged<Local>: Send, Sync, Unpin, Clone, fmt::Debug);
assert_impl_all!(Tagged<*const ()>: Send, Sync, Clone);

// Configuration fits into statics and shared state.
assert_impl_all!(SessionLayer: Send, Sync, Unpin, Clone, fmt::Debug);
assert_impl_all!(SessionLayer<fn(Error, Response<()>) -> Response<()>>: Send, Sync, Clone);
assert_impl_all!(Key: Send, Sync, Clone, fmt::Debug);
assert_impl_all!(KeyRing: Send, Sync, Clone, From<Key>, fmt::Debug);
assert_impl_all!(Encrypted: Codec, Clone, fmt::Debug);
assert_impl_all!(Signed: Codec, Clone, fmt::Debug);
assert_impl_all!(Fallback: Send, Sync, Clone, From<Signed>, fmt::Debug);
assert_impl_all!(Scope: Send, Sync, Clone, fmt::Debug);
assert_impl_all!(Until: Send, Sync, Copy, fmt::Debug);
assert_impl_all!(Duplicates: Send, Sync, Copy, fmt::Debug);
assert_impl_all!(Format: Send, Sync, Copy, fmt::Debug);
assert_impl_all!(Payload: Send, Sync, Clone, fmt::Debug);
assert_not_impl_any!(Key: Default, fmt::Display, PartialEq);
assert_obj_safe!(Codec);

// Errors go wherever errors go.
assert_impl_all!(Error: Send, Sync, Clone, StdError);
assert_impl_all!(Reject: Send, Sync, Copy, Eq, std::hash::Hash, fmt::Display);

// The response future is `Send` when the inner future, the body and the maker of error responses are: one each that is not.
type Answer<B> = Ready<Result<Response<B>, Infallible>>;
assert_impl_all!(ResponseFuture<Answer<String>, String, DefaultErrorResponse>: Send, Sync, Unpin, fmt::Debug);
assert_impl_all!(ResponseFuture<Answer<Incoming>, Incoming, fn(Error, Response<Incoming>) -> Response<Incoming>>: Send);
assert_not_impl_any!(ResponseFuture<LocalFuture<String>, String, DefaultErrorResponse>: Send);
assert_not_impl_any!(ResponseFuture<SendFuture<Local>, Local, DefaultErrorResponse>: Send);
assert_not_impl_any!(ResponseFuture<Answer<String>, String, LocalMaker>: Send);
// As they are without the one part: it is that part which the three above fail for.
assert_impl_all!(ResponseFuture<SendFuture<String>, String, DefaultErrorResponse>: Send);
assert_impl_all!(ResponseFuture<SendFuture<String>, String, SendMaker>: Send);
assert_impl_all!(SendFuture<Local>: Send);
// It is `Unpin` when the inner future is.
assert_not_impl_any!(ResponseFuture<std::marker::PhantomPinned, String, DefaultErrorResponse>: Unpin);

// The service is `Send`, `Sync` and `Clone` exactly when what it is made of is.
assert_impl_all!(SessionService<()>: Send, Sync, Clone, Unpin, fmt::Debug);
assert_not_impl_any!(SessionService<Local>: Send, Sync);
assert_impl_all!(SessionService<Local>: Clone);
assert_not_impl_any!(SessionService<(), LocalMaker>: Send);
assert_impl_all!(SessionService<(), SendMaker>: Send);
assert_not_impl_any!(SessionService<Bare<'static, String>>: Clone);

// A service that is neither `Clone` nor `Send`, nor (below) `'static`, is a service with sessions all the same.
assert_not_impl_any!(Bare<'static, String>: Clone, Send, Sync);
assert_impl_all!(SessionService<Bare<'static, String>>: Service<Request<Local>>);
// What is no service can be wrapped: the bounds are on `Service` alone.
assert_impl_all!(SessionLayer: Layer<()>, Layer<str_like::NotAService>);
assert_not_impl_any!(SessionService<()>: Service<Request<()>>);

// A body without `Default` needs a closure, and with one nothing else.
assert_not_impl_any!(Incoming: Default);
assert_not_impl_any!(SessionService<Bare<'static, Incoming>>: Service<Request<()>>);
assert_impl_all!(
    SessionService<Bare<'static, Incoming>, fn(Error, Response<Incoming>) -> Response<Incoming>>: Service<Request<()>>
);
assert_impl_all!(DefaultErrorResponse: ErrorResponse<String>, Copy, Default);
assert_not_impl_any!(DefaultErrorResponse: ErrorResponse<Incoming>);

// No error type is added, and the response stays what it is.
type Wrapped = SessionService<Bare<'static, String>>;
assert_type_eq_all!(<Wrapped as Service<Request<()>>>::Error, NotOurs);
assert_type_eq_all!(<Wrapped as Service<Request<()>>>::Response, Response<String>);
assert_type_eq_all!(
    <Wrapped as Service<Request<()>>>::Future,
    ResponseFuture<Ready<Result<Response<String>, NotOurs>>, String, DefaultErrorResponse>
);

mod str_like {
    pub(crate) struct NotAService(#[expect(dead_code)] *const ());
}

struct NotOurs;

/// No `Clone`, no `Send`, and as short a life as it is given.
struct Bare<'a, B>(PhantomData<(&'a Local, B)>);

impl<A, B> Service<Request<A>> for Bare<'_, B> {
    type Response = Response<B>;
    type Error = NotOurs;
    type Future = Ready<Result<Response<B>, NotOurs>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotOurs>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<A>) -> Self::Future {
        ready(Err(NotOurs))
    }
}

struct LocalFuture<B>(PhantomData<(Local, B)>);
/// `Send`, even if its output is not.
struct SendFuture<B>(PhantomData<fn() -> B>);

#[derive(Clone)]
struct LocalMaker(#[expect(dead_code)] Local);
#[derive(Clone)]
struct SendMaker;

#[test]
fn a_service_may_live_shorter_than_static() {
    fn wrap<'a>(layer: &SessionLayer, service: Bare<'a, String>) -> SessionService<Bare<'a, String>> {
        layer.layer(service)
    }
    fn is_service<S: Service<Request<()>>>(_: &S) {}
    let local: Local = Rc::new(());
    fn borrow<'a>(_: &'a Local) -> Bare<'a, String> {
        Bare(PhantomData)
    }
    let layer = SessionLayer::encrypted(Key::generate().unwrap());
    is_service(&wrap(&layer, borrow(&local)));
}

#[test]
fn a_handler_that_holds_the_session_over_an_await_is_send() {
    fn is_send<T: Send>(_: T) {}
    is_send(async {
        let session = Session::new();
        session.insert("key", 1)?;
        session.load().await?;
        session.save().await?;
        session
            .update("key", |value: Option<u64>| value.unwrap_or(0) + 1)
            .await?;
        session.get::<u64>("key")
    });
}
