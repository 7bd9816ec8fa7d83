//! The future of a response, with the commit at its end.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{commit::commit, error_response::ErrorResponse, request::Incoming};
use crate::session::Shared;

pin_project! {
    /// The response future of [`SessionService`](crate::SessionService).
    ///
    /// It is `Send` when the inner future, its body and the maker of error responses are.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B, R> {
        #[pin]
        future: F,
        on_error: R,
        session: Uncommitted,
        // Claimed from the start, so that holding a response while a store commits will not take `Send` from anybody.
        body: PhantomData<B>,
    }
}

/// Ends all writing when it is dropped, be it that the response is done, the service failed or the client hung up.
pub(super) struct Uncommitted(Option<Arc<Shared<Incoming>>>);

impl Uncommitted {
    pub(super) fn new(session: Option<Arc<Shared<Incoming>>>) -> Self {
        Self(session)
    }
}

impl Drop for Uncommitted {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.seal(true);
            session.source.release();
        }
    }
}

impl<F, B, R> ResponseFuture<F, B, R> {
    pub(super) fn new(future: F, on_error: R, session: Uncommitted) -> Self {
        Self {
            future,
            on_error,
            session,
            body: PhantomData,
        }
    }
}

impl<F, B, R, E> Future for ResponseFuture<F, B, R>
where
    F: Future<Output = Result<Response<B>, E>>,
    R: ErrorResponse<B>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.future.poll(cx));
        // Taken either way: after an error of the service nothing may be written any more.
        let Some(session) = this.session.0.take() else {
            return Poll::Ready(result);
        };
        Poll::Ready(match result {
            Ok(response) => Ok(commit(&session, response, this.on_error)),
            Err(error) => {
                drop(Uncommitted(Some(session)));
                Err(error)
            }
        })
    }
}

impl<F, B, R> std::fmt::Debug for ResponseFuture<F, B, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
