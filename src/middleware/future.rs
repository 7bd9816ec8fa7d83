//! The future of a response, with the commit at its end.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{
    commit::{Answer, Failed, answer, finish, heard},
    error_response::ErrorResponse,
    request::Incoming,
};
use crate::session::{End, Job, Shared};

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
        waiting: Option<Waiting<B>>,
    }
}

/// A response that is held back while a store commits. Dropped, the commit goes on without it.
struct Waiting<B> {
    response: Response<B>,
    session: Arc<Shared<Incoming>>,
    job: Job,
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
            session.forget();
            session.seal(End {
                failed: true,
                uncached: false,
            });
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
            waiting: None,
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
        if this.waiting.is_none() {
            let result = ready!(this.future.poll(cx));
            // Taken either way: after an error of the service nothing may be written any more.
            let Some(session) = this.session.0.take() else {
                return Poll::Ready(result);
            };
            let mut response = match result {
                Ok(response) => response,
                Err(error) => {
                    drop(Uncommitted(Some(session)));
                    return Poll::Ready(Err(error));
                }
            };
            match answer(&session, response.status(), response.headers_mut()) {
                Answer::Ready => return Poll::Ready(Ok(response)),
                Answer::Failed(failed) => return Poll::Ready(Ok(replace(&session, response, *failed, this.on_error))),
                Answer::Waiting(job) => *this.waiting = Some(Waiting { response, session, job }),
            }
        }
        let Some(waiting) = this.waiting else {
            return Poll::Pending;
        };
        let committed = ready!(Pin::new(&mut waiting.job).poll(cx));
        let Some(Waiting {
            mut response, session, ..
        }) = this.waiting.take()
        else {
            return Poll::Pending;
        };
        if let Some(failed) = heard(&session, committed.map(|_| ()), response.headers_mut()) {
            response = replace(&session, response, *failed, this.on_error);
        }
        Poll::Ready(Ok(response))
    }
}

/// The session could not be committed.
#[cold]
fn replace<B, R: ErrorResponse<B>>(
    session: &Shared<Incoming>,
    response: Response<B>,
    failed: Failed,
    on_error: &mut R,
) -> Response<B> {
    let mut response = on_error.error_response(failed.error, response);
    finish(session, failed.saved, false, response.headers_mut());
    response
}

impl<F, B, R> std::fmt::Debug for ResponseFuture<F, B, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
