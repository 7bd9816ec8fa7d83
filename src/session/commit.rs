//! A stored session's way to and from its store. One load or commit at a time.

use std::sync::Arc;

use super::{
    job::Job,
    state::{Shared, Source},
    stored::{Behind, May, Order, Outcome},
    turn::Turn,
};
use crate::error::Error;

/// When a commit happens.
#[derive(Clone, Copy)]
pub(crate) enum When {
    /// A handler asked for it.
    Saved,
    /// The response is ready. With `discard`, changes that were not saved are dropped; a save that has begun is waited for.
    Answered { discard: bool, refresh: bool },
}

/// How one key is to be set.
enum Swap {
    /// Its value is another one by now.
    Late,
    /// With everything else that is pending.
    Alone,
    /// If the store still has the old value.
    Racing(Box<Order>),
}

type Sharing = Shared<dyn Source>;

impl Sharing {
    /// Fetches the session if that has not been done.
    pub(super) async fn load(self: Arc<Self>) -> Result<(), Error> {
        self.check()?;
        let Some(loads) = self.loads_so_far()? else {
            return Ok(());
        };
        let _turn = Turn::of(&self).await;
        match self.loaded_since(loads) {
            Some(answer) => answer,
            None => self.fetch().await,
        }
    }

    /// `None` if there is nothing to fetch.
    fn loads_so_far(&self) -> Result<Option<u32>, Error> {
        let opened = self.opened().map(drop);
        let state = self.lock();
        match opened {
            // The last load failed; this is the next one.
            _ if state.stored.failed.is_some() => Ok(Some(state.loads)),
            Ok(()) if state.stored.behind == Behind::Unloaded => Ok(Some(state.loads)),
            opened => opened.map(|()| None),
        }
    }

    /// The answer that somebody else got meanwhile, which is ours too.
    fn loaded_since(&self, loads: u32) -> Option<Result<(), Error>> {
        let state = self.lock();
        if state.loads != loads {
            return Some(state.stored.failed.clone().map_or(Ok(()), Err));
        }
        let unknown = state.stored.failed.is_some() || state.stored.behind == Behind::Unloaded;
        if unknown { None } else { Some(Ok(())) }
    }

    /// Commits now. The commit goes on if the future is dropped.
    pub(super) fn save(self: Arc<Self>) -> Job {
        Job::new(Arc::clone(&self), async move {
            self.check()?;
            let _turn = Turn::of(&self).await;
            self.commit(When::Saved).await?;
            Ok(Outcome::Done)
        })
    }

    /// What is left to do when the response is ready, if anything.
    pub(crate) fn answered(self: Arc<Self>, discard: bool, refresh: bool) -> Option<Job> {
        let in_turn = self.is_busy();
        let rolls = refresh && self.source.lifetime().is_some_and(|lifetime| lifetime.rolling);
        // The clock is the user's, so it is asked without the lock.
        let now = if rolls { Some(self.source.now()) } else { None };
        let state = self.lock();
        let is_due = |now| {
            let lifetime = self.source.lifetime();
            state.stored.behind == Behind::Live
                && lifetime.is_some_and(|lifetime| lifetime.refresh_is_due(&state.meta, now))
        };
        let wanted = !discard && (state.is_order_due() || now.is_some_and(is_due));
        drop(state);
        if !(in_turn || wanted) {
            return None;
        }
        Some(Job::new(Arc::clone(&self), async move {
            let _turn = Turn::of(&self).await;
            self.commit(When::Answered { discard, refresh }).await?;
            Ok(Outcome::Done)
        }))
    }

    /// Sets one key to what was made of `old`, its text, at once and if nobody else was first.
    pub(super) fn swap(self: Arc<Self>, key: String, old: Option<String>, new: String) -> Job {
        Job::new(Arc::clone(&self), async move {
            let _turn = Turn::of(&self).await;
            match self.begin_swap(&key, old.as_deref(), &new)? {
                Swap::Late => Ok(Outcome::Conflict),
                Swap::Alone => {
                    let committed = self.commit(When::Saved).await;
                    if committed.is_err() {
                        self.lock().take_back(&key, &new, old);
                    }
                    committed.map(|()| Outcome::Done)
                }
                Swap::Racing(order) => {
                    let outcome = self.carry_out(*order).await?;
                    if outcome == Outcome::Conflict {
                        self.fetch().await?;
                        let mut state = self.lock();
                        if state.stored.behind != Behind::Live {
                            state.lose();
                            return Err(Error::Gone);
                        }
                    }
                    Ok(outcome)
                }
            }
        })
    }

    fn begin_swap(&self, key: &str, old: Option<&str>, new: &str) -> Result<Swap, Error> {
        let now = self.source.now();
        let mut state = self.lock();
        if state.data.get(key) != old {
            return Ok(Swap::Late);
        }
        if state.sealed && !state.stored.is_held() {
            return Err(Error::HeadersSent);
        }
        state.revision += 1;
        if state.stored.behind == Behind::Live && !state.stored.is_pending() && !state.data.is_cleared() {
            let may = May {
                send: !state.sealed,
                refresh: false,
            };
            let order = state.order_one(&self.source, now, may, key, new);
            return Ok(Swap::Racing(Box::new(order)));
        }
        // There is nobody to race with: the session is new, or about to be another one.
        state.data.set(key, new.to_owned());
        Ok(Swap::Alone)
    }

    /// In our turn: asks the store.
    async fn fetch(&self) -> Result<(), Error> {
        let answer = self.source.load().await;
        let mut state = self.lock();
        state.loads = state.loads.wrapping_add(1);
        match answer {
            Ok(opened) => {
                state.loaded(opened);
                Ok(())
            }
            Err(error) => {
                state.stored.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// In our turn: does what the session asks for.
    async fn commit(&self, when: When) -> Result<(), Error> {
        let refresh = match when {
            When::Answered { discard: true, .. } => return Ok(()),
            When::Answered { refresh, .. } => refresh,
            When::Saved => false,
        };
        let may = May {
            send: matches!(when, When::Answered { .. }) || !self.lock().sealed,
            refresh,
        };
        if self.must_be_fetched() {
            self.fetch().await?;
        }
        match self.place_order(may)? {
            Some(order) => self.carry_out(order).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// What was written without looking is written onto what is there.
    fn must_be_fetched(&self) -> bool {
        let state = self.lock();
        state.stored.behind == Behind::Unloaded && state.is_order_due()
    }

    fn place_order(&self, may: May) -> Result<Option<Order>, Error> {
        let now = self.source.now();
        let mut state = self.lock();
        if state.stored.behind == Behind::Lost && state.is_order_due() {
            state.lose();
            return Err(Error::Gone);
        }
        let order = state.order(&self.source, now, may);
        if let Some(order) = &order
            && !may.send
            && order.needs_a_cookie()
        {
            state.not_carried_out(order);
            return Err(Error::HeadersSent);
        }
        Ok(order)
    }

    async fn carry_out(&self, order: Order) -> Result<Outcome, Error> {
        let outcome = self.source.commit(&order).await;
        let mut state = self.lock();
        match outcome {
            Ok(Outcome::Done) => {
                state.carried_out(order);
                Ok(Outcome::Done)
            }
            Ok(Outcome::Conflict) => Ok(Outcome::Conflict),
            Ok(Outcome::Gone) => {
                state.lose();
                Err(Error::Gone)
            }
            Err(error) => {
                state.not_carried_out(&order);
                Err(error)
            }
        }
    }
}
