//! What all handles of one session share, and what is to be done with it when the response leaves.

use std::{
    fmt,
    future::{Future, pending, ready},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    data::Data,
    id::SessionId,
    job::Spawner,
    lifetime::{LEEWAY, Lifetime},
    payload::{LAST_MILLIS, Meta, Millis, Payload},
    stored::{Behind, Order, Outcome, Stored},
    turn::{HasTurns, Turns},
};
use crate::error::{Error, Reject};

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a session comes from and goes to. The middleware implements it; nothing here knows what a cookie is.
pub(crate) trait Source: Send + Sync {
    /// Whether there is anything behind this source at all.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
    /// Reads what came with the request. Never called under the session's lock, and perhaps by two threads at once.
    fn open(&self) -> Result<Opened, Error>;
    /// Makes this what the response will carry. Calls do not overlap.
    fn write(&self, action: Action) -> Result<(), Error>;
    fn now(&self) -> Millis;
    fn lifetime(&self) -> Option<&Lifetime>;
    fn carries_max_age(&self) -> bool;
    /// A fresh id, or `None` where the format has no place for one.
    fn new_id(&self) -> Result<Option<[u8; 16]>, Error>;

    // What follows is for sources that have a store; the others are never asked.

    fn is_stored(&self) -> bool {
        false
    }
    /// Why a session of this source cannot have an owner.
    fn check_owners(&self) -> Result<(), Error> {
        Err(Error::config(
            "only a stored session has an owner or a label: use `SessionLayer::with_store`",
        ))
    }
    /// Fetches the session whose ticket came with the request. Calls do not overlap.
    fn load(&self) -> Answer<'_, Result<Opened, Error>> {
        Box::pin(ready(Ok(Opened::default())))
    }
    /// Carries out an order, and makes its cookie what the response will carry. Calls do not overlap.
    fn commit<'a>(&'a self, order: &'a Order) -> Answer<'a, Result<Outcome, Error>> {
        let _ = order;
        Box::pin(ready(Ok(Outcome::Gone)))
    }
    /// What was to go into the response is worth nothing any more.
    fn withdraw(&self) {}
    /// Whether browsers are told when the cookie expires.
    fn cookie_expires(&self) -> bool {
        true
    }
    /// A commit failed after everybody had left who could have been told.
    fn report(&self, error: &Error) {
        let _ = error;
    }
    /// What the session is called in the store.
    fn session_id(&self) -> Option<SessionId> {
        None
    }
    /// Runs what is left of a commit when nobody waits for it any more.
    fn spawner(&self) -> Option<Spawner> {
        None
    }
    /// As long as a response waits for somebody else's load or save.
    fn patience(&self) -> Answer<'_, ()> {
        Box::pin(pending())
    }
    /// Lets others go first.
    fn pause(&self, attempt: u32) -> Answer<'_, ()> {
        let _ = attempt;
        Box::pin(ready(()))
    }
    /// A session that was only used could not be prolonged.
    fn not_prolonged(&self, error: &Error) {
        let _ = error;
    }
    /// Changes that came after the response were never saved.
    fn forgotten(&self) {}
}

/// What came with a request.
#[derive(Default)]
pub(crate) struct Opened {
    /// The valid session, if one came.
    pub(crate) session: Option<(Data, Meta)>,
    /// Why there is none although a cookie came.
    pub(crate) rejected: Option<Reject>,
    /// Whether there is any cookie of ours that could be removed.
    pub(crate) present: bool,
    /// What a store has to do with it.
    pub(crate) stored: Stored,
}

/// What is to be done with the client's cookie.
pub(crate) enum Action {
    Keep,
    /// Nothing changed, but the session was used and its time is to be prolonged.
    Refresh(Payload),
    Write(Payload),
    Remove,
}

/// A session that can change no more.
pub(crate) struct Sealed {
    /// Whether anybody looked at the session.
    pub(crate) accessed: bool,
    pub(crate) action: Result<Action, Error>,
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

#[derive(Default)]
pub(crate) struct State {
    pub(super) opened: bool,
    pub(super) sealed: bool,
    /// Sealed, but the response waits for a commit: what is saved before that still goes with it.
    pub(super) held_back: bool,
    /// A valid session came with the request, or was saved since.
    pub(crate) known: bool,
    pub(super) present: bool,
    pub(crate) rejected: Option<Reject>,
    pub(crate) data: Data,
    pub(crate) meta: Meta,
    /// To be written even if the data is what it was.
    pub(super) rewrite: bool,
    /// Cleared or destroyed: if it stays empty, the cookie goes.
    pub(super) ended: bool,
    /// Counts changes, so that a save knows whether there were any while it was at work.
    pub(super) revision: u64,
    /// Counts what a store was asked for, so that those who waited meanwhile know that it was for them too.
    pub(super) loads: u32,
    /// Counts the sessions that this one handle has been: one more with each `destroy`.
    pub(super) life: u32,
    /// Counts how often another request has ended it.
    pub(super) losses: u32,
    pub(super) stored: Stored,
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
        state.revision += 1;
        Ok(change(&mut state))
    }

    /// The one way in for changes that a store can keep even after the response has left.
    pub(crate) fn change_data<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = self.opened()?;
        if state.sealed {
            if !state.stored.is_held() {
                return Err(Error::HeadersSent);
            }
            state.stored.late = true;
        }
        state.revision += 1;
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

    pub(crate) fn clamp(&self, wanted: Duration) -> Duration {
        self.source.lifetime().map_or(wanted, |lifetime| lifetime.clamp(wanted))
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
        let revision = state.revision;
        drop(state);
        let saved = match &action {
            Action::Keep => return Ok(()),
            Action::Remove => None,
            Action::Refresh(payload) | Action::Write(payload) => Some(payload.clone()),
        };
        self.source.write(action)?;
        self.lock().saved(saved, revision);
        Ok(())
    }

    /// Ends all writing into the response, and says whether anybody looked at the session.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        state.sealed = true;
        state.opened
    }

    /// Ends all writing and says what is to be done with a cookie session. With `discard`, changes that were not saved are
    /// dropped.
    pub(crate) fn seal(&self, discard: bool) -> Sealed {
        let accessed = self.close();
        if !accessed {
            return Sealed {
                accessed,
                action: Ok(Action::Keep),
            };
        }
        // A save that has begun is in the response, so it is waited for; those that stand behind it are refused.
        drop(self.committing.lock());
        let rolls = self.source.lifetime().is_some_and(|lifetime| lifetime.rolling);
        let action = if discard || !self.lock().is_touched(rolls) {
            Ok(Action::Keep)
        } else {
            // The clock is the user's, so it is asked without the lock; the seal holds meanwhile.
            let now = self.source.now();
            self.lock().decide(&self.source, now)
        };
        Sealed { accessed, action }
    }

    pub(super) fn opened(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.lock();
        if state.opened {
            if let Some(error) = &state.stored.failed {
                return Err(error.clone());
            }
            return Ok(state);
        }
        if state.sealed {
            return Err(Error::HeadersSent);
        }
        drop(state);
        let opened = self.source.open()?;
        let mut state = self.lock();
        if !state.opened {
            // The head left while the cookie was read: no cache was told, so nothing may be shown.
            if state.sealed {
                return Err(Error::HeadersSent);
            }
            state.open(opened);
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
        let state = self.lock();
        let forgotten = state.stored.late && state.is_order_due();
        drop(state);
        if forgotten {
            self.source.forgotten();
        }
    }
}

impl State {
    fn open(&mut self, opened: Opened) {
        self.opened = true;
        self.present = opened.present;
        self.rejected = opened.rejected;
        self.stored = opened.stored;
        if let Some((data, meta)) = opened.session {
            self.known = true;
            self.data = data;
            self.meta = meta;
        } else if self.stored.behind == Behind::Unloaded {
            self.data = Data::unloaded();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.data.clear();
        // What is set from here on says nothing about who was authenticated before.
        let was_authenticated = self.meta.authenticated.take().is_some();
        self.rewrite |= was_authenticated;
        self.stored.authenticated |= was_authenticated;
        // A clock that is wrong must not cost anybody their session by the way.
        self.ended |= self.rejected != Some(Reject::NotYetValid);
    }

    pub(crate) fn destroy(&mut self) {
        self.stored.destroy();
        self.life = self.life.wrapping_add(1);
        self.data = Data::default();
        self.meta = Meta::default();
        self.known = false;
        self.rewrite = false;
        self.ended = true;
    }

    pub(crate) fn renew(&mut self, id: Option<[u8; 16]>) {
        self.stored.renewing = true;
        self.leave_what_was_lost();
        self.meta.id = id;
        self.rewrite = true;
    }

    /// The user has proved who they are.
    pub(crate) fn authenticated(&mut self, id: Option<[u8; 16]>, now: Millis) {
        self.renew(id);
        self.meta.authenticated = Some(now);
        self.stored.authenticated = true;
    }

    pub(crate) fn set_max_age(&mut self, seconds: u32) {
        self.stored.max_age |= self.meta.max_age != Some(seconds);
        self.rewrite |= self.meta.max_age != Some(seconds);
        self.meta.max_age = Some(seconds);
    }

    /// Whether a cookie can still be sent.
    pub(super) fn may_send(&self) -> bool {
        !self.sealed || self.held_back
    }

    fn is_modified(&self) -> bool {
        if self.stored.is_one {
            self.is_order_due()
        } else if self.sealed {
            // Nothing more will be committed.
            false
        } else if self.data.is_empty() {
            self.is_removal()
        } else {
            self.rewrite || self.data.is_changed()
        }
    }

    /// Whether there may be something to do; quick, and surely no only if there is nothing.
    fn is_touched(&self, rolls: bool) -> bool {
        self.rewrite || self.ended || self.data.is_touched() || (rolls && self.known)
    }

    pub(super) fn is_removal(&self) -> bool {
        self.present && (self.ended || self.data.is_changed())
    }

    /// What the present state asks for. It may settle the session's id and birth, so that a second commit has the same.
    fn decide<S: Source + ?Sized>(&mut self, source: &S, now: Millis) -> Result<Action, Error> {
        if self.data.is_empty() {
            return Ok(if self.is_removal() {
                Action::Remove
            } else {
                Action::Keep
            });
        }
        let changed = self.rewrite || self.data.is_changed();
        let due = || {
            source
                .lifetime()
                .is_some_and(|lifetime| lifetime.refresh_is_due(&self.meta, now))
        };
        let prolong = self.known && due();
        if !(changed || prolong) {
            return Ok(Action::Keep);
        }
        if self.meta.id.is_none() {
            self.meta.id = source.new_id()?;
        }
        // A session from a format that does not say when it began is at least as old as its last cookie.
        self.meta.created.get_or_insert(self.meta.issued.unwrap_or(now));
        // Never backwards: of two cookies of one session, the later written is the newer. Nor so far ahead that it would not
        // be accepted.
        let latest = now.saturating_add(LEEWAY).min(LAST_MILLIS);
        let after = |last: Millis| last.saturating_add(1).min(latest);
        let issued = self.meta.issued.map_or(now, |last| now.max(after(last)));
        let payload = Payload {
            json: self.data.to_json(),
            meta: Meta {
                issued: Some(issued),
                ..self.meta
            },
        };
        Ok(if changed {
            Action::Write(payload)
        } else {
            Action::Refresh(payload)
        })
    }

    /// What was decided at `revision` is committed.
    fn saved(&mut self, payload: Option<Payload>, revision: u64) {
        if self.revision != revision {
            // What came in between is committed in full, even if it only undid what was saved.
            self.present = true;
            self.rewrite = true;
            self.ended = true;
            return;
        }
        self.rewrite = false;
        self.ended = false;
        self.known = payload.is_some();
        self.present = payload.is_some();
        match payload {
            Some(payload) => {
                self.meta = payload.meta;
                // Our own text is always an object.
                let _ = self.data.rebase(payload.json);
            }
            None => {
                self.meta = Meta::default();
                self.data = Data::default();
            }
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// The source of a session without a request.
pub(crate) struct Detached;

impl Source for Detached {
    fn open(&self) -> Result<Opened, Error> {
        Ok(Opened::default())
    }

    fn write(&self, _: Action) -> Result<(), Error> {
        Ok(())
    }

    fn now(&self) -> Millis {
        super::payload::millis(std::time::SystemTime::now())
    }

    fn lifetime(&self) -> Option<&Lifetime> {
        None
    }

    fn carries_max_age(&self) -> bool {
        true
    }

    fn check_owners(&self) -> Result<(), Error> {
        Ok(())
    }

    fn new_id(&self) -> Result<Option<[u8; 16]>, Error> {
        // It never leaves the process, so it identifies nobody.
        Ok(None)
    }
}
