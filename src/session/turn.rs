//! Turns: one load or commit of a session at a time, without a runtime and without blocking a thread.

use std::{
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// Whose turn it is. One at a time, in no particular order.
#[derive(Default)]
pub(super) struct Turns(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    taken: bool,
    wakers: Vec<Waker>,
}

/// What has turns.
pub(super) trait HasTurns {
    fn turns(&self) -> &Turns;
}

/// It is ours until this is dropped.
pub(super) struct Turn<T: HasTurns + ?Sized>(Arc<T>);

impl Turns {
    pub(super) fn is_taken(&self) -> bool {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: HasTurns + ?Sized> Turn<T> {
    pub(super) async fn of(owner: &Arc<T>) -> Self {
        poll_fn(|cx| {
            let mut waiting = owner.turns().lock();
            if waiting.taken {
                if !waiting.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.wakers.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            waiting.taken = true;
            Poll::Ready(())
        })
        .await;
        Self(Arc::clone(owner))
    }
}

impl<T: HasTurns + ?Sized> Drop for Turn<T> {
    fn drop(&mut self) {
        let mut waiting = self.0.turns().lock();
        waiting.taken = false;
        // All of them: one that has lost interest must not take the wake-up with it.
        let wakers = mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Wake},
    };

    use super::*;

    #[derive(Default)]
    struct Owner(Turns);

    impl HasTurns for Owner {
        fn turns(&self) -> &Turns {
            &self.0
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_has_the_turn_and_all_who_wait_are_woken_when_it_ends() {
        let owner = Arc::new(Owner::default());
        let (count, other) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (waker, other_waker) = (Waker::from(count.clone()), Waker::from(other.clone()));
        let mut cx = Context::from_waker(&waker);
        let Poll::Ready(first) = pin!(Turn::of(&owner)).poll(&mut cx) else {
            panic!("nobody has it");
        };
        let mut second = Box::pin(Turn::of(&owner));
        let mut third = Box::pin(Turn::of(&owner));
        for _ in 0..3 {
            assert!(second.as_mut().poll(&mut cx).is_pending());
        }
        assert!(third.as_mut().poll(&mut Context::from_waker(&other_waker)).is_pending());
        assert!(owner.0.is_taken());
        drop(first);
        assert_eq!(
            (count.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed)),
            (1, 1)
        );
        // Whoever is dropped takes nothing with it.
        drop(second);
        let third = third.as_mut().poll(&mut cx);
        assert!(third.is_ready() && owner.0.is_taken());
        drop(third);
        assert!(!owner.0.is_taken());
    }
}
