//! A commit to a store once begun: it runs to its end even if nobody waits for it any more.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    thread,
};

use super::{order::Outcome, shared::Shared, source::Source};
use crate::error::Error;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs futures to their end: what [`SessionLayer::spawn_with`](crate::SessionLayer::spawn_with) was given, or the runtime
/// that was there when the commit began.
#[derive(Clone)]
pub(crate) enum Spawner {
    Given(Arc<dyn Fn(BoxFuture<()>) + Send + Sync>),
    #[cfg(feature = "tokio")]
    Tokio(tokio::runtime::Handle),
}

impl Spawner {
    pub(crate) fn spawn(&self, future: BoxFuture<()>) {
        match self {
            Self::Given(spawn) => spawn(future),
            #[cfg(feature = "tokio")]
            Self::Tokio(handle) => drop(handle.spawn(future)),
        }
    }
}

/// A commit that nobody waits for. Dropped before its end, as by a runtime that shuts down, it says
/// so.
struct Orphan {
    session: Arc<Shared<dyn Source>>,
    is_over: bool,
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if !self.is_over {
            self.session.source.cut_off();
        }
    }
}

/// Polled in place. Dropped before its end, what is left of it goes to the spawner, if there is one.
pub(crate) struct Job {
    /// Never locked: it lends the future the `Sync` that futures of responses have.
    future: Mutex<Option<BoxFuture<Result<Outcome, Error>>>>,
    session: Arc<Shared<dyn Source>>,
    spawner: Option<Spawner>,
}

impl Job {
    pub(super) fn new(
        session: Arc<Shared<dyn Source>>,
        future: impl Future<Output = Result<Outcome, Error>> + Send + 'static,
    ) -> Self {
        Self {
            future: Mutex::new(Some(Box::pin(future))),
            // The runtime of this very moment: there may be none around when the job is dropped.
            spawner: session.source.spawner(),
            session,
        }
    }
}

impl Job {
    fn future(&mut self) -> &mut Option<BoxFuture<Result<Outcome, Error>>> {
        self.future.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Job {
    type Output = Result<Outcome, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out meanwhile: what panics is not polled again, by nobody.
        let Some(mut future) = self.future().take() else {
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            *self.future() = Some(future);
        }
        polled
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let Some(future) = self.future().take() else {
            return;
        };
        let mut orphan = Orphan {
            session: Arc::clone(&self.session),
            is_over: false,
        };
        let Some(spawner) = &self.spawner else {
            return;
        };
        let left = Box::pin(async move {
            let result = future.await;
            orphan.is_over = true;
            if let Err(error) = result {
                orphan.session.source.report(&error);
            }
        });
        // The closure is the user's. A panic that leaves a destructor while another one unwinds
        // would end the process.
        let spawned = catch_unwind(AssertUnwindSafe(|| spawner.spawn(left)));
        if let Err(panic) = spawned
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
