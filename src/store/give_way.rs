//! A pause for others, without a runtime: for work over many sessions, and between two tries.

use std::{future::poll_fn, task::Poll};

/// Lets the executor do something else.
pub(crate) async fn give_way() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
