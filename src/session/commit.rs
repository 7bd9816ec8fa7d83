//! A stored session's way to and from its store. One load or commit at a time.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::{Arc, MutexGuard},
    task::Poll,
};

use super::{
    job::Job,
    order::{May, Order, Outcome},
    shared::Shared,
    source::Source,
    state::State,
    stored::Behind,
    turn::Turn,
};
use crate::error::Error;

/// When a commit happens.
#[derive(Clone, Copy)]
pub(crate) enum When {
    /// A handler asked for it.
    Saved,
    /// The response is ready. If the request `failed`, changes that were not saved are dropped and
    /// only an end is carried out; a save that has begun is waited for. With `alone`, nobody has a
    /// handle any more.
    Answered { failed: bool, refresh: bool, alone: bool },
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
        let _turn = self.turn_in_time().await?;
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
            return Some(state.stored.failed.as_deref().cloned().map_or(Ok(()), Err));
        }
        let unknown = state.stored.failed.is_some() || state.stored.behind == Behind::Unloaded;
        if unknown { None } else { Some(Ok(())) }
    }

    /// Commits now. The commit goes on if the future is dropped.
    pub(super) fn save(self: Arc<Self>) -> Job {
        Job::new(Arc::clone(&self), async move {
            self.check()?;
            let losses = self.losses_if_due();
            let _turn = self.turn_in_time().await?;
            if losses.is_some_and(|losses| self.lock().losses != losses) {
                // What this was about went with what another save was about.
                return Err(Error::Gone);
            }
            self.commit(When::Saved).await?;
            Ok(Outcome::Done)
        })
    }

    /// `None` if there is nothing that could be lost.
    fn losses_if_due(&self) -> Option<u32> {
        let state = self.lock();
        state.is_order_due().then_some(state.losses)
    }

    /// What is left to do when the response is ready, if anything. The caller keeps one handle of its own.
    pub(crate) fn answered(self: Arc<Self>, failed: bool, refresh: bool) -> Option<Job> {
        // With no other handle there is none to make another one of.
        let alone = Arc::strong_count(&self) == 2;
        let in_turn = self.is_busy();
        let rolls = refresh && self.source.lifetime().is_some_and(|lifetime| lifetime.rolling);
        // The clock is the user's, so it is asked without the lock.
        let now = if rolls { Some(self.source.now()) } else { None };
        let mut state = self.lock();
        let is_due = |now| {
            let lifetime = self.source.lifetime();
            state.stored.behind == Behind::Live
                && state.stored.failed.is_none()
                && lifetime.is_some_and(|lifetime| lifetime.refresh_is_due(&state.meta, now))
        };
        let wanted = if failed && !in_turn {
            state.leave_the_end()
        } else {
            state.is_order_due() || now.is_some_and(is_due)
        };
        if !(in_turn || wanted) {
            return None;
        }
        state.held_back = true;
        drop(state);
        let held_back = HeldBack(Arc::clone(&self));
        Some(Job::new(Arc::clone(&self), async move {
            let _turn = self.turn_in_time().await?;
            // Let go before the turn is: whoever has the next one is late.
            let _held_back = held_back;
            self.commit(When::Answered { failed, refresh, alone }).await?;
            Ok(Outcome::Done)
        }))
    }

    /// Our turn, unless somebody keeps it who does not go on: a future that was polled once and then put aside, or into the
    /// very body that waits.
    async fn turn_in_time(self: &Arc<Self>) -> Result<Turn<Self>, Error> {
        let mut turn = pin!(Turn::of(self));
        let mut patience = None;
        poll_fn(|cx| {
            if let Poll::Ready(turn) = turn.as_mut().poll(cx) {
                return Poll::Ready(Ok(turn));
            }
            let patience = patience.get_or_insert_with(|| self.source.patience());
            patience.as_mut().poll(cx).map(|()| {
                Err(Error::store(
                    "another load or save of this session was begun and does not go on: await it, or drop it",
                ))
            })
        })
        .await
    }

    /// Sets one key to what was made of `old`, its text, at once and if nobody else was first.
    pub(super) fn swap(self: Arc<Self>, key: String, old: Option<String>, new: String) -> Job {
        Job::new(Arc::clone(&self), async move {
            let _turn = self.turn_in_time().await?;
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
                        if self.is_live() {
                            self.fetch().await?;
                        }
                        if !self.is_live() {
                            // Destroyed meanwhile.
                            return Err(Error::Gone);
                        }
                    }
                    Ok(outcome)
                }
            }
        })
    }

    fn is_live(&self) -> bool {
        self.lock().stored.behind == Behind::Live
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
        state.check_readable()?;
        state.revision += 1;
        if state.stored.behind == Behind::Live && !state.stored.is_pending() && !state.data.is_cleared() {
            let may = May {
                send: state.may_send(),
                refresh: false,
                forget: false,
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
        let (life, was_live) = {
            let state = self.lock();
            (state.life, state.stored.behind == Behind::Live)
        };
        let answer = self.source.load().await;
        let mut state = self.lock();
        state.loads = state.loads.wrapping_add(1);
        if state.life != life {
            // Destroyed meanwhile: what was found is not this session.
            return Ok(());
        }
        match answer {
            Ok(opened) => {
                state.loaded(opened);
                if was_live && state.stored.behind != Behind::Live && !state.stored.renewing {
                    return Err(self.lose(state));
                }
                Ok(())
            }
            Err(error) => {
                state.stored.failed = Some(Box::new(error.clone()));
                Err(error)
            }
        }
    }

    /// In our turn: does what the session asks for.
    async fn commit(&self, when: When) -> Result<(), Error> {
        let (refresh, alone) = match when {
            When::Answered { failed: true, .. } if !self.lock().leave_the_end() => return Ok(()),
            When::Answered { refresh, alone, .. } => (refresh, alone),
            When::Saved => (false, false),
        };
        let may = May {
            send: self.lock().may_send(),
            refresh,
            forget: alone,
        };
        if self.must_be_fetched() {
            self.fetch().await?;
        }
        self.check_loaded()?;
        let Some(order) = self.place_order(may)? else {
            return Ok(());
        };
        let is_refresh = order.is_refresh;
        match self.carry_out(order).await {
            // The answer is good all the same, and the next one will do.
            Err(error) if is_refresh && !matches!(error, Error::Gone) => {
                self.source.not_prolonged(&error);
                Ok(())
            }
            carried_out => carried_out.map(|_| ()),
        }
    }

    /// What was written without looking is written onto what is there.
    fn must_be_fetched(&self) -> bool {
        let state = self.lock();
        state.stored.behind == Behind::Unloaded && state.is_order_due()
    }

    /// After a load that failed nothing is written until one succeeds, not even what was changed
    /// before it.
    fn check_loaded(&self) -> Result<(), Error> {
        let state = self.lock();
        match &state.stored.failed {
            Some(error) if state.is_order_due() => Err(Error::clone(error)),
            _ => Ok(()),
        }
    }

    fn place_order(&self, may: May) -> Result<Option<Order>, Error> {
        let now = self.source.now();
        let mut state = self.lock();
        if state.stored.behind == Behind::Lost && state.is_order_due() {
            return Err(self.lose(state));
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
        let mut underway = Underway {
            session: self,
            order,
            is_over: false,
        };
        let outcome = self.source.commit(&mut underway.order).await?;
        let mut state = self.lock();
        match outcome {
            Outcome::Done => {
                underway.is_over = true;
                state.carried_out(&mut underway.order);
            }
            Outcome::Conflict => {}
            // Destroyed meanwhile: what was begun since is another one.
            Outcome::Gone if underway.order.is_of_another_life(&state) => return Err(Error::Gone),
            Outcome::Gone => {
                underway.is_over = true;
                return Err(self.lose(state));
            }
        }
        Ok(outcome)
    }

    /// Another request ended the session: neither it nor a cookie that was saved may come back.
    fn lose(&self, mut state: MutexGuard<'_, State>) -> Error {
        state.lose();
        drop(state);
        self.source.withdraw();
        Error::Gone
    }
}

/// The response waits until this is dropped.
struct HeldBack(Arc<Sharing>);

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.0.lock().held_back = false;
    }
}

/// An order that was neither carried out nor refused is still to be carried out, even if nobody waited for its end.
struct Underway<'s> {
    session: &'s Sharing,
    order: Order,
    is_over: bool,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.session.lock().not_carried_out(&self.order);
        }
    }
}
