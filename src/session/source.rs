//! Where a session comes from and goes to.

use std::{
    future::{Future, pending, ready},
    pin::Pin,
};

use super::{
    Session,
    data::Base,
    id::SessionId,
    job::Spawner,
    lifetime::Lifetime,
    order::{Order, Outcome},
    payload::{Meta, Millis, Payload},
    stored::Stored,
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
    fn commit<'a>(&'a self, order: &'a mut Order) -> Answer<'a, Result<Outcome, Error>> {
        let _ = order;
        Box::pin(ready(Ok(Outcome::Gone)))
    }
    /// What was to go into the response is worth nothing any more.
    fn withdraw(&self) {}
    /// Tells whether browsers are told when the cookie of such a session expires.
    fn cookie_expires(&self, meta: &Meta) -> bool {
        let _ = meta;
        true
    }
    /// A commit failed after everybody had left who could have been told.
    fn report(&self, error: &Error) {
        let _ = error;
    }
    /// A commit was dropped before its end, so that nobody knows whether it was carried out.
    fn cut_off(&self) {}
    /// Lets go of the request, after the session was read for the first time when the response had
    /// left.
    fn let_go(&self) {}
    /// Which layer the session is of, and how its cookie is called.
    fn layer(&self) -> Option<LayerId<'_>> {
        None
    }
    /// The session that this one hides from handlers, of a layer further out.
    fn outer(&self) -> Option<&Session> {
        None
    }
    /// What the session is called in the store.
    fn session_id(&self) -> Option<SessionId> {
        None
    }
    /// Runs what is left of a commit when nobody waits for it any more.
    fn spawner(&self) -> Option<Spawner> {
        None
    }
    /// As long as a caller waits for another one's load or save.
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

/// Tells a layer from others.
#[derive(Clone, Copy)]
pub(crate) struct LayerId<'a> {
    /// Where it keeps what it has built: the same for all its clones, and never the same as another
    /// living layer's.
    pub(crate) at: *const (),
    pub(crate) cookie_name: &'a str,
}

/// What came with a request.
#[derive(Default)]
pub(crate) struct Opened {
    /// The valid session, if one came.
    pub(crate) session: Option<(Base, Meta)>,
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
    /// Whether there were changes that the request's failure has dropped.
    pub(crate) dropped: bool,
    pub(crate) action: Result<Action, Error>,
}

/// How a request ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct End {
    /// It failed: changes that were not saved are dropped, and only the end of a session is carried
    /// out.
    pub(crate) failed: bool,
    /// No cache keeps the response, so the session may still be read for the first time.
    pub(crate) uncached: bool,
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
