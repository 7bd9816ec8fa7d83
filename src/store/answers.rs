//! What a store answers, and what it tells an owner.

use std::{fmt, time::SystemTime};

use super::record::Record;
use crate::session::{Millis, SessionId, system_time};

/// What [`Store::load`](super::Store::load) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The session.
    Live(Box<Record>),
    /// The ticket was good for a live session of this id until a renewal a short time ago
    /// ([`RENEWED_FOR`](super::RENEWED_FOR)).
    Renewed,
    /// There is no live session for this ticket.
    Missing,
}

/// What became of [`Store::create`](super::Store::create).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The record is there.
    Created,
    /// There is a live record of this id already. Nothing was changed.
    Collision,
    /// The session began before an end of all sessions, its owner's or everybody's. Nothing was
    /// changed.
    Ended,
}

/// What became of [`Store::apply`](super::Store::apply).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All changes are in the record.
    Updated,
    /// A value is not what was expected. Nothing was changed.
    Conflict,
    /// There is no live session for this ticket any more: it has ended, or its ticket was renewed;
    /// or the login that the changes are part of began before an end of all sessions. Nothing was
    /// changed.
    Gone,
}

/// Which sessions of an owner [`Store::delete_of`](super::Store::delete_of) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// All but this one: "log out everywhere else".
    AllBut(SessionId),
    /// This one, if it is the owner's.
    Only(SessionId),
}

impl Which {
    /// Whether the session of this id is one of them.
    #[must_use]
    pub fn includes(&self, id: &SessionId) -> bool {
        match self {
            Self::All => true,
            Self::AllBut(kept) => kept != id,
            Self::Only(one) => one == id,
        }
    }
}

/// What an owner is shown of one of their sessions: a line of "your devices".
///
/// `Debug` does not show the label.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredSession {
    /// What the session is called in a form that ends it.
    pub id: SessionId,
    /// When it began.
    pub created: SystemTime,
    /// When it was last written, or with `rolling` last used.
    pub seen: SystemTime,
    /// When it ends if it is not used again.
    pub expires: SystemTime,
    /// When the user last proved who they are in it.
    pub authenticated: Option<SystemTime>,
    /// What [`Session::set_label`](crate::Session::set_label) called it.
    pub label: Option<String>,
}

impl StoredSession {
    /// A session of which nothing else is known; times in milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(id: SessionId, created: Millis, seen: Millis, expires: Millis) -> Self {
        Self {
            id,
            created: system_time(created),
            seen: system_time(seen),
            expires: system_time(expires),
            authenticated: None,
            label: None,
        }
    }
}

impl fmt::Debug for StoredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSession")
            .field("created", &self.created)
            .field("seen", &self.seen)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
