//! What travels in a cookie: the session's JSON and what is known about it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// Milliseconds since the Unix epoch.
pub(crate) type Millis = u64;

/// The last moment that the native frame's 6 bytes can tell, in the year 10889.
pub(crate) const LAST_MILLIS: Millis = (1 << 48) - 1;

/// A session's own lifetime, in seconds, that is the layer's `max_age` whatever that is: of one of
/// which nobody can tell whether it is anonymous. No session can ask for it.
pub(super) const AS_THE_LAYERS: u32 = u32::MAX;

/// What is known about a session besides its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: Option<[u8; 16]>,
    pub(crate) created: Option<Millis>,
    pub(crate) issued: Option<Millis>,
    pub(crate) authenticated: Option<Millis>,
    /// In seconds.
    pub(crate) max_age: Option<u32>,
    /// Whether it has an owner.
    pub(crate) is_owned: bool,
}

impl Meta {
    /// Tells whether the session asked for a lifetime: it is to be remembered.
    pub(crate) fn has_own_max_age(&self) -> bool {
        self.max_age.is_some_and(|own| own != AS_THE_LAYERS)
    }

    /// Tells whether nobody ever logged in to the session.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.authenticated.is_none() && !self.is_owned
    }
}

/// A session as a [`Codec`](crate::codec::Codec) sees it: the text of one JSON object and, as far as the format can carry them,
/// the session's id and times.
///
/// Times have a resolution of one millisecond. `Debug` shows neither the data nor the id.
#[derive(Clone)]
pub struct Payload {
    pub(crate) json: String,
    pub(crate) meta: Meta,
}

impl Payload {
    /// A payload of this JSON text, about which nothing else is known.
    ///
    /// Whether the text is one JSON object is checked by the layer: if not, the cookie is
    /// [`Malformed`](crate::Reject::Malformed), or [`Unreadable`](crate::Reject::Unreadable) if it
    /// is JSON but for `NaN` and the infinities.
    pub fn new(json: impl Into<String>) -> Self {
        Self {
            json: json.into(),
            meta: Meta::default(),
        }
    }

    /// A payload that is authentic and that no text of JSON can represent:
    /// [`Reject::Unreadable`](crate::Reject::Unreadable), unless its time is over. Set its times as
    /// those of any other.
    pub fn unreadable() -> Self {
        // Which is no JSON, and no mistake of its writer.
        Self::new("NaN")
    }

    /// Sets the random id of the session (16 bytes).
    #[must_use]
    pub fn with_id(mut self, id: [u8; 16]) -> Self {
        self.meta.id = Some(id);
        self
    }

    /// Sets the time at which the session began.
    #[must_use]
    pub fn with_created(mut self, at: SystemTime) -> Self {
        self.meta.created = Some(millis(at));
        self
    }

    /// Sets the time at which the cookie was written.
    #[must_use]
    pub fn with_issued(mut self, at: SystemTime) -> Self {
        self.meta.issued = Some(millis(at));
        self
    }

    /// Sets the time of the last [`authenticated`](crate::Session::authenticated).
    #[must_use]
    pub fn with_authenticated(mut self, at: SystemTime) -> Self {
        self.meta.authenticated = Some(millis(at));
        self
    }

    /// Sets the session's own lifetime, in whole seconds.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.meta.max_age = Some(seconds(max_age));
        self
    }

    /// The text of one JSON object.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The random id of the session; another one after [`renew`](crate::Session::renew).
    #[must_use]
    pub fn id(&self) -> Option<[u8; 16]> {
        self.meta.id
    }

    /// When the session began.
    #[must_use]
    pub fn created(&self) -> Option<SystemTime> {
        self.meta.created.map(system_time)
    }

    /// When the cookie was written.
    #[must_use]
    pub fn issued(&self) -> Option<SystemTime> {
        self.meta.issued.map(system_time)
    }

    /// When [`authenticated`](crate::Session::authenticated) was last called.
    #[must_use]
    pub fn authenticated(&self) -> Option<SystemTime> {
        self.meta.authenticated.map(system_time)
    }

    /// The session's own lifetime, if [`set_max_age`](crate::Session::set_max_age) gave it one.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.meta.max_age.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("created", &self.meta.created)
            .field("issued", &self.meta.issued)
            .field("authenticated", &self.meta.authenticated)
            .field("max_age", &self.meta.max_age)
            .finish_non_exhaustive()
    }
}

/// Saturates: before the epoch is the epoch.
pub(crate) fn millis(at: SystemTime) -> Millis {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, duration_millis)
        .min(LAST_MILLIS)
}

pub(crate) fn system_time(at: Millis) -> SystemTime {
    // Cannot overflow where 48 bits of milliseconds come in; the epoch is an answer all the same.
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(at.min(LAST_MILLIS)))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

pub(crate) fn duration_millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds, at least one: the frame's zero means "the layer's".
pub(crate) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1)
}
