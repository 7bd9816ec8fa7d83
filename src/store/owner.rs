//! Whose a session is, and what a login asks of the store besides keeping it.

use std::fmt;

/// Finds the sessions of an owner: the SHA-256 of what
/// [`Session::set_owner`](crate::Session::set_owner) was told, bound to the application, so that
/// two applications on one store do not meet in an owner's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId([u8; 32]);

impl OwnerId {
    /// Makes an id of the 32 bytes of the hash; for a store that reads back what it has kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerId").finish_non_exhaustive()
    }
}

/// Whose session it is, as a store keeps it.
///
/// `Debug` shows neither part.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// Finds the owner's sessions.
    pub id: OwnerId,
    /// The owner's name, encrypted under the session's ticket: text of at most 1,404 bytes that
    /// only the layer can read.
    pub name: String,
}

impl Owner {
    /// Makes an owner of both parts; for a store that reads back what it has kept.
    pub fn new(id: OwnerId, name: impl Into<String>) -> Self {
        Self { id, name: name.into() }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").finish_non_exhaustive()
    }
}

/// The mark of an owner, which a store gives when a login begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// Another number after each end of the owner's or everybody's sessions. It need not be larger.
    pub number: u64,
    /// When the last of these ends was, in milliseconds since the Unix epoch; 0 if there was none.
    /// For [`Store::delete_of`](super::Store::delete_of) it is `now`, for
    /// [`Store::delete_begun`](super::Store::delete_begun) [`Epoch::before`].
    pub ended: u64,
}

impl Mark {
    /// Makes a mark of both parts.
    #[must_use]
    pub fn new(number: u64, ended: u64) -> Self {
        Self { number, ended }
    }
}

/// A login, as it asks a store for admission in the same atomic step that gives the session its
/// owner.
///
/// The order of an owner's logins is the order in which a store carries out these steps. It never
/// depends on a clock, so that the last login lives, and whichever servers they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// The [number](Mark::number) that [`Store::begin_login`](super::Store::begin_login) answered
    /// before this step. If it would answer another one by now, the owner's sessions were ended
    /// since this login began: the step is refused.
    pub mark: u64,
    /// The owner has at most so many live sessions after the step, this one included. Those end
    /// whose login is longest ago. `None`: any number.
    pub most: Option<u32>,
}

impl Login {
    /// Makes a login that any number of sessions may precede.
    #[must_use]
    pub fn new(mark: u64) -> Self {
        Self { mark, most: None }
    }

    /// Sets how many live sessions the owner has at most, this one included.
    #[must_use]
    pub fn most(mut self, sessions: u32) -> Self {
        self.most = Some(sessions);
        self
    }
}

/// Which sessions of everybody end; see [`Store::delete_begun`](super::Store::delete_begun). Times
/// are milliseconds since the Unix epoch, and are compared with
/// [`Record::begun`](super::Record::begun).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Epoch {
    /// Those that began before this time.
    pub before: u64,
    /// And those that began after this time. A session that begins later than now is one of a
    /// server whose clock is ahead: it is there already, so it began before now.
    pub after: Option<u64>,
}

impl Epoch {
    /// Ends what began before a time.
    #[must_use]
    pub const fn before(time: u64) -> Self {
        Self {
            before: time,
            after: None,
        }
    }

    /// Ends what seems to begin after a time, too.
    #[must_use]
    pub const fn or_after(mut self, time: u64) -> Self {
        self.after = Some(time);
        self
    }

    /// Tells whether a session that [began](super::Record::begun) at this time ends.
    #[must_use]
    pub fn ends(&self, begun: u64) -> bool {
        begun < self.before || self.after.is_some_and(|after| begun > after)
    }
}
