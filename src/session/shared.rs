//! What all handles of one session share.

use std::{
    cell::Cell,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    payload::{Meta, Millis},
    source::{Action, End, Sealed, Source},
    state::State,
    stored::Behind,
    turn::{HasTurns, Turns},
};
use crate::error::Error;

thread_local! {
    static WRITES: Cell<u64> = const { Cell::new(0) };
}

/// Counts the writes of this thread, so that a loop which calls the user's code knows those that
/// this code made itself: they come again each time, where other threads' end at some time.
pub(super) fn writes_so_far() -> u64 {
    WRITES.get()
}

/// The one allocation of a request's session: its state, and where it comes from.
pub(crate) struct Shared<S: Source + ?Sized> {
    state: Mutex<State>,
    /// Held through a whole commit into a cookie, so that commits do not overlap. Always taken before `state`.
    committing: Mutex<()>,
    /// The same for what a store is asked.
    turns: Turns,
    pub(crate) source: S,
}

impl<S: Source> Shared<S> {
    pub(crate) fn new(source: S) -> Self {
        Self {
            state: Mutex::default(),
            committing: Mutex::new(()),
            turns: Turns::default(),
            source,
        }
    }
}

impl<S: Source + ?Sized> Shared<S> {
    /// The way in for what every state can tell.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, Error> {
        Ok(read(&*self.opened()?))
    }

    /// The way in for what all data must be known for.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, Error> {
        let state = self.opened()?;
        if !state.data.knows_all() {
            return Err(Error::NotLoaded);
        }
        Ok(read(&state))
    }

    /// The way in for what is known about a session besides its data.
    pub(crate) fn read_meta<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, Error> {
        let state = self.opened()?;
        if state.stored.behind == Behind::Unloaded {
            return Err(Error::NotLoaded);
        }
        Ok(read(&state))
    }

    /// The way in for what one key must be known for.
    pub(crate) fn read_key<T>(&self, key: &str, read: impl FnOnce(&State) -> T) -> Result<T, Error> {
        let state = self.opened()?;
        if !state.data.knows(key) {
            return Err(Error::NotLoaded);
        }
        Ok(read(&state))
    }

    /// The one way in for changes that reach the client with the response.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = self.opened()?;
        if state.sealed {
            return Err(Error::HeadersSent);
        }
        state.check_readable()?;
        state.revision += 1;
        Ok(change(&mut state))
    }

    /// The one way in for changes that a store can keep even after the response has left.
    pub(crate) fn change_data<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let state = self.opened()?;
        state.check_readable()?;
        Self::change_opened(state, change)
    }

    /// The same for what may end a session that cannot be read.
    pub(crate) fn change_or_end<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        Self::change_opened(self.opened()?, change)
    }

    fn change_opened<T>(mut state: MutexGuard<'_, State>, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        if state.sealed {
            if !state.stored.is_held() {
                return Err(Error::HeadersSent);
            }
            state.stored.late = true;
        }
        state.revision += 1;
        WRITES.set(writes_so_far().wrapping_add(1));
        Ok(change(&mut state))
    }

    pub(crate) fn is_modified(&self) -> bool {
        self.lock().is_modified()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.source.check()
    }

    pub(crate) fn now(&self) -> Millis {
        self.source.now()
    }

    pub(crate) fn new_id(&self) -> Result<Option<[u8; 16]>, Error> {
        self.source.new_id()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.turns.is_taken()
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.source.is_stored()
    }

    pub(crate) fn check_owners(&self) -> Result<(), Error> {
        self.source.check_owners()
    }

    pub(crate) fn carries_max_age(&self) -> bool {
        self.source.carries_max_age()
    }

    /// The longest lifetime that a session may have of its own, if so many seconds are longer.
    pub(crate) fn limit(&self, seconds: u32) -> Option<Duration> {
        let wanted = Duration::from_secs(seconds.into());
        let limit = self.source.lifetime()?.clamp(wanted);
        (limit < wanted).then_some(limit)
    }

    pub(crate) fn expires(&self, meta: &Meta) -> Option<Millis> {
        self.source.lifetime()?.expires(meta)
    }

    /// Commits a session that travels in a cookie.
    pub(crate) fn save_cookie(&self) -> Result<(), Error> {
        self.source.check()?;
        let _committing = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.source.now();
        let mut state = self.lock();
        if state.sealed {
            return Err(Error::HeadersSent);
        }
        let action = state.decide(&self.source, now)?;
        let (revision, life) = (state.revision, state.life);
        let saved = match &action {
            Action::Keep => return Ok(()),
            Action::Remove => None,
            Action::Refresh(payload) | Action::Write(payload) => Some(payload.clone()),
        };
        state.saving = true;
        drop(state);
        let written = self.source.write(action);
        let mut state = self.lock();
        state.saving = false;
        written.map(|()| state.saved(saved, revision, life))
    }

    /// Ends all writing into the response, and says whether anybody looked at the session.
    pub(crate) fn close(&self, end: End) -> bool {
        let mut state = self.lock();
        state.sealed = true;
        state.uncached = end.uncached;
        state.opened
    }

    /// Tells whether a stored session has changes that a failed request drops.
    pub(crate) fn loses_changes(&self) -> bool {
        let state = self.lock();
        state.is_order_due() && !state.is_destroyed() && !state.is_cleared_out()
    }

    /// Tells whether the response has left, or the request is over.
    pub(crate) fn is_sealed(&self) -> bool {
        self.lock().sealed
    }

    /// The request ended without a response: all that was not saved is dropped, so that a handle
    /// that is left does not write half of what it was to be. A save that has begun goes on, with
    /// what it was asked for.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.sealed = true;
        if state.stored.is_one && !self.is_busy() {
            state.leave_the_end();
        }
    }

    /// Ends all writing and says what is to be done with a cookie session.
    pub(crate) fn seal(&self, end: End) -> Sealed {
        let mut state = self.lock();
        state.sealed = true;
        state.uncached = end.uncached;
        let accessed = state.opened;
        if state.saving {
            // A save that has begun is in the response, so it is waited for; those that stand behind it are refused.
            drop(state);
            drop(self.committing.lock());
            state = self.lock();
        }
        let rolls = || self.source.lifetime().is_some_and(|lifetime| lifetime.rolling);
        let mut dropped = false;
        let action = if !accessed || !state.is_touched(rolls()) {
            Ok(Action::Keep)
        } else if end.failed {
            let ends = state.is_end();
            dropped = !ends && (state.rewrite || state.data.is_changed());
            Ok(if ends { Action::Remove } else { Action::Keep })
        } else {
            // The clock is the user's, so it is asked without the lock; the seal holds meanwhile.
            drop(state);
            let now = self.source.now();
            self.lock().decide(&self.source, now)
        };
        Sealed {
            accessed,
            dropped,
            action,
        }
    }

    pub(super) fn opened(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.lock();
        if state.opened {
            if let Some(error) = &state.stored.failed {
                return Err(Error::clone(error));
            }
            return Ok(state);
        }
        if state.sealed && !state.uncached {
            return Err(Error::HeadersSent);
        }
        drop(state);
        let opened = self.source.open()?;
        let mut state = self.lock();
        if !state.opened {
            // The head left while the cookie was read: if a cache may keep it, none was told, so
            // nothing may be shown.
            if state.sealed && !state.uncached {
                return Err(Error::HeadersSent);
            }
            state.open(opened);
            if state.sealed {
                drop(state);
                self.source.let_go();
                state = self.lock();
            }
        }
        Ok(state)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No step under the lock leaves the state half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source + ?Sized> HasTurns for Shared<S> {
    fn turns(&self) -> &Turns {
        &self.turns
    }
}

impl<S: Source + ?Sized> Drop for Shared<S> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.stored.late && state.is_order_due() {
            self.source.forgotten();
        }
    }
}
