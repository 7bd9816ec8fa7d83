//! The service: puts a session into each request.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    built::Built,
    error_response::{DefaultErrorResponse, ErrorResponse},
    future::{ResponseFuture, Uncommitted},
    request::{Incoming, Refused},
    settings::Insert,
};
use crate::{
    error::Error,
    event::event,
    session::{Session, Shared},
};

/// A service with sessions, made by [`SessionLayer`](crate::SessionLayer).
#[derive(Clone)]
pub struct SessionService<S, R = DefaultErrorResponse> {
    inner: S,
    built: Result<Arc<Built>, Error>,
    insert: Insert,
    on_error: R,
}

impl<S, R> SessionService<S, R> {
    pub(super) fn new(inner: S, built: Result<Arc<Built>, Error>, insert: Insert, on_error: R) -> Self {
        Self {
            inner,
            built,
            insert,
            on_error,
        }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: ErrorResponse<ResBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let session = match &self.built {
            Ok(built) => {
                let found = built.names.find(request.headers());
                let shared = Arc::new(Shared::new(Incoming::new(Arc::clone(built), found)));
                let shadows = (self.insert)(request.extensions_mut(), Session::of(shared.clone()));
                if shadows && !built.warned_of_shadow.swap(true, Ordering::Relaxed) {
                    event!(
                        WARN,
                        "two session layers stand on one service, so handlers see the inner one's session only: mark one of \
                         them with `tagged`"
                    );
                }
                Some(shared)
            }
            // Handlers that do not need a session work; the others are told what is wrong with the layer.
            Err(error) => {
                let refused = Arc::new(Shared::new(Refused(error.clone())));
                (self.insert)(request.extensions_mut(), Session::of(refused));
                None
            }
        };
        // Made before the call, so that a service that panics leaves no session that can be written.
        let uncommitted = Uncommitted::new(session);
        ResponseFuture::new(self.inner.call(request), self.on_error.clone(), uncommitted)
    }
}

impl<S: fmt::Debug, R> fmt::Debug for SessionService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
