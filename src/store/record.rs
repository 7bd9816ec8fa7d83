//! A stored session, and what a request changes about it.

use std::fmt;

use super::{
    answers::{Applied, Loaded, StoredSession},
    owner::{Login, Owner},
};
use crate::session::{SessionId, Values, system_time};

/// For so long after a renewal, in milliseconds, the ticket that it replaced is known as
/// [`Loaded::Renewed`]: longer than a request takes that was sent before the browser had the new
/// one.
pub const RENEWED_FOR: u64 = 120_000;

/// The SHA-256 of the secret part of a ticket. A session's id stays; this one is replaced by
/// [`Session::renew`](crate::Session::renew), and then the old ticket is dead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of these bytes; for a store that reads back what it has kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretHash").finish_non_exhaustive()
    }
}

/// All that a store ever sees of a client's ticket: two hashes. The first finds the record, the second must be the one in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashedTicket {
    /// Finds the record.
    pub id: SessionId,
    /// Must be what the record holds as [`Record::secret`].
    pub secret: SecretHash,
}

impl fmt::Debug for HashedTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashedTicket").finish_non_exhaustive()
    }
}

/// A session as a store keeps it. All times are milliseconds since the Unix epoch, below 2^48.
///
/// `Debug` shows neither data nor owner.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// What a ticket must hash to.
    pub secret: SecretHash,
    /// The session's data.
    pub values: Values,
    /// When the session began.
    pub created: u64,
    /// When the ticket was last sent to the client.
    pub sent: u64,
    /// When the session was last written, or with `rolling` last used.
    pub seen: u64,
    /// When the user last proved who they are.
    pub authenticated: Option<u64>,
    /// The session's own lifetime, in seconds.
    pub max_age: Option<u32>,
    /// The last millisecond of its life. Never above 2^48 - 1, which stands for a session without an end.
    pub expires: u64,
    /// Whose session it is, if the application said so.
    pub owner: Option<Owner>,
    /// The owner's own word for it, such as a device: at most 1,024 bytes.
    pub label: Option<String>,
    /// The last renewal of the ticket, if there was one. A store need not fetch it with a live
    /// record.
    pub renewed: Option<Renewed>,
}

/// The last renewal of a session's ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewed {
    /// The secret that was replaced.
    pub secret: SecretHash,
    /// When that was.
    pub at: u64,
}

impl Renewed {
    /// Makes a renewal of both parts; for a store that reads back what it has kept.
    #[must_use]
    pub fn new(secret: SecretHash, at: u64) -> Self {
        Self { secret, at }
    }
}

impl Record {
    /// A record without values that was created, sent and seen at one time.
    #[must_use]
    pub fn new(secret: SecretHash, now: u64, expires: u64) -> Self {
        Self {
            secret,
            values: Values::new(),
            created: now,
            sent: now,
            seen: now,
            authenticated: None,
            max_age: None,
            expires,
            owner: None,
            label: None,
            renewed: None,
        }
    }

    /// Whether the session has not expired.
    #[must_use]
    pub fn is_live(&self, now: u64) -> bool {
        now <= self.expires
    }

    /// What [`Store::load`](super::Store::load) answers if this is the record under the ticket's id.
    #[must_use]
    pub fn load(&self, ticket: &HashedTicket, now: u64) -> Loaded {
        if !self.is_live(now) {
            Loaded::Missing
        } else if self.secret == ticket.secret {
            Loaded::Live(Box::new(self.clone()))
        } else if self.was_renewed_from(&ticket.secret, now) {
            Loaded::Renewed
        } else {
            Loaded::Missing
        }
    }

    /// Tells whether this secret was replaced so short a time ago that the client may have the new
    /// ticket already, or will have it in a moment.
    #[must_use]
    pub fn was_renewed_from(&self, secret: &SecretHash, now: u64) -> bool {
        self.renewed
            .is_some_and(|renewed| renewed.secret == *secret && now <= renewed.at.saturating_add(RENEWED_FOR))
    }

    /// What [`Store::apply`](super::Store::apply) does and answers if this is the record under the ticket's id: all of the
    /// changes or none. A store that keeps a record as a whole needs no more than to call this in one atomic step.
    #[must_use]
    pub fn apply(&mut self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Applied {
        if !self.is_live(now) || self.secret != ticket.secret {
            return Applied::Gone;
        }
        let as_expected = |(key, json): &(String, Option<String>)| self.values.get(key) == json.as_deref();
        if !changes.expected.iter().all(as_expected) {
            return Applied::Conflict;
        }
        if changes.cleared {
            self.values = Values::new();
        }
        let removed = changes.removed.iter().map(|key| (key.as_str(), None));
        let set = changes
            .set
            .iter()
            .map(|(key, json)| (key.as_str(), Some(json.as_str())));
        let values: Vec<_> = removed.chain(set).collect();
        if !values.is_empty() {
            self.values.change(values);
        }
        if let Some(secret) = changes.secret {
            self.renewed = Some(Renewed::new(self.secret, now));
            self.secret = secret;
        }
        self.seen = self.seen.max(changes.seen);
        self.sent = self.sent.max(changes.sent.unwrap_or(0));
        self.expires = if changes.may_shorten {
            changes.expires
        } else {
            self.expires.max(changes.expires)
        };
        changes.authenticated.apply(&mut self.authenticated);
        changes.max_age.apply(&mut self.max_age);
        changes.owner.apply(&mut self.owner);
        changes.label.apply(&mut self.label);
        Applied::Updated
    }

    /// What an owner is shown of this session.
    #[must_use]
    pub fn summary(&self, id: SessionId) -> StoredSession {
        StoredSession {
            id,
            created: system_time(self.created),
            seen: system_time(self.seen),
            expires: system_time(self.expires),
            authenticated: self.authenticated.map(system_time),
            label: self.label.clone(),
        }
    }

    /// Returns when the session began to have the privileges it has: at its login, or if there was
    /// none, when it was created. An [`Epoch`](super::Epoch) looks at it.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.authenticated.unwrap_or(self.created)
    }

    /// Tells whether nobody ever logged in to the session: such sessions are the first to go where
    /// there is no room.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.authenticated.is_none() && self.owner.is_none()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("values", &self.values)
            .field("created", &self.created)
            .field("seen", &self.seen)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// What one request changes about a stored session; what is not in it stays as another request may have left it.
///
/// `Debug` shows neither data nor owner.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Changes {
    /// The values that these keys must have, or that they must not be there: if one differs, nothing is changed and the
    /// answer is [`Applied::Conflict`]. Compared byte for byte.
    pub expected: Vec<(String, Option<String>)>,
    /// All values go first.
    pub cleared: bool,
    /// These keys go. None of them is in `set`.
    pub removed: Vec<String>,
    /// These keys are set to these JSON texts.
    pub set: Vec<(String, String)>,
    /// The ticket's new secret; the old one is dead from then on.
    pub secret: Option<SecretHash>,
    /// The later of this and the record's own time stays.
    pub seen: u64,
    /// The ticket is sent again: the later of this and the record's own time stays.
    pub sent: Option<u64>,
    /// The later of this and the record's own end stays, unless `may_shorten` says otherwise.
    pub expires: u64,
    /// `expires` counts even if it is earlier than the record's own end.
    pub may_shorten: bool,
    /// When the user proved who they are.
    pub authenticated: Field<u64>,
    /// The session's own lifetime, in seconds.
    pub max_age: Field<u32>,
    /// Whose session it is.
    pub owner: Field<Owner>,
    /// What the owner knows it by.
    pub label: Field<String>,
    /// Given with every owner that is set.
    pub login: Option<Login>,
}

impl Changes {
    /// No changes of the data: the session was used at `seen` and lives at least until `expires`.
    #[must_use]
    pub fn new(seen: u64, expires: u64) -> Self {
        Self {
            seen,
            expires,
            ..Self::default()
        }
    }

    /// Tells whether the changes are part of a login before this time.
    #[must_use]
    pub fn logs_in_before(&self, time: u64) -> bool {
        matches!(self.authenticated, Field::Set(at) if at < time)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("expected", &self.expected.len())
            .field("cleared", &self.cleared)
            .field("removed", &self.removed.len())
            .field("set", &self.set.len())
            .field("renewed", &self.secret.is_some())
            .finish_non_exhaustive()
    }
}

/// What becomes of one field of a record.
///
/// `Debug` does not show the value.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It gets this value.
    Set(T),
    /// It is emptied.
    Unset,
}

impl<T: Clone> Field<T> {
    /// Carries it out on a field.
    pub fn apply(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Set(value) => *field = Some(value.clone()),
            Self::Unset => *field = None,
        }
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Set(_) => "Set(..)",
            Self::Unset => "Unset",
        })
    }
}
