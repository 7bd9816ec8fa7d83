//! What a runtime is needed for: a store's timeout, a commit without a client, and a pause. Without one, a store has all the
//! time it wants, a dropped commit is dropped, and a pause is one turn of whatever executor there is.

use std::{
    collections::hash_map::RandomState,
    future::{Future, pending, poll_fn},
    hash::BuildHasher as _,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use crate::{
    error::Error,
    session::{BoxFuture, Spawner},
    store::give_way,
};

/// The runtime that is there now.
pub(super) fn spawner() -> Option<Spawner> {
    #[cfg(feature = "tokio")]
    {
        tokio::runtime::Handle::try_current().ok().map(Spawner::Tokio)
    }
    #[cfg(not(feature = "tokio"))]
    {
        None
    }
}

/// A store's answer, or the error that it did not come in time. An answer that is there at once costs no timer.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    mut answer: Pin<Box<dyn Future<Output = Result<T, Error>> + Send + '_>>,
) -> Result<T, Error> {
    let mut timer: Option<BoxFuture<()>> = None;
    poll_fn(move |cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(answer);
        }
        let Some(limit) = limit else {
            return Poll::Pending;
        };
        if timer.is_none() {
            timer = sleep(limit);
        }
        match timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(Error::store(format!("no answer within {limit:?}")))),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Over after this time, or never.
pub(super) async fn patience(limit: Option<Duration>) {
    match limit.and_then(sleep) {
        Some(timer) => timer.await,
        None => pending().await,
    }
}

/// Waits so long, and says whether it could: not where there is no timer.
pub(super) async fn rest(time: Duration) -> bool {
    match sleep(time) {
        Some(timer) => {
            timer.await;
            true
        }
        None => false,
    }
}

/// Longer the more often it was tried, and never the same as anybody else's.
pub(super) async fn pause(attempt: u32) {
    let most = 1_u64 << attempt.min(6);
    let some = RandomState::new().hash_one(attempt) % (most * 1000);
    match sleep(Duration::from_micros(some)) {
        Some(timer) => timer.await,
        None => give_way().await,
    }
}

#[cfg(feature = "tokio")]
fn sleep(time: Duration) -> Option<BoxFuture<()>> {
    tokio::runtime::Handle::try_current().ok()?;
    Some(Box::pin(tokio::time::sleep(time)))
}

#[cfg(not(feature = "tokio"))]
fn sleep(_: Duration) -> Option<BoxFuture<()>> {
    None
}
