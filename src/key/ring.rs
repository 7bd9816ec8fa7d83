//! Several keys at once, so that one can follow another without anybody being logged out.

use std::{env, fmt, time::SystemTime};

use super::{Key, env_text, in_variable};
use crate::error::Error;

/// One key that signs, and others that are accepted too.
///
/// # Rotation
///
/// A new key comes in two steps, so that no server meets a cookie whose key it does not know yet:
///
/// 1. Everywhere: `KeyRing::new(old).accept(new)`. Deploy, wait until every server has it.
/// 2. Everywhere: `KeyRing::new(new).accept(old)`. After the layer's `max_age`, drop `old`.
///
/// [`sign_from`](Self::sign_from) does both in one deploy: the new key is accepted at once and signs from a time on by which
/// the deploy has reached every server.
///
/// A key that has **leaked** must not stay in the ring: whoever has it can make any session. Drop it at once; its users log in
/// again.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use http_session::{Key, KeyRing};
///
/// let (old, new) = (Key::generate()?, Key::generate()?);
/// let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
/// let ring = KeyRing::new(old).sign_from(new, in_an_hour);
/// # Ok::<(), http_session::Error>(())
/// ```
///
/// The same key twice is refused when the layer is built. `Debug` shows how many keys there are, and none of them.
#[derive(Clone)]
#[must_use]
pub struct KeyRing {
    signing: Key,
    accepted: Vec<Key>,
    /// Each signs from its time on.
    scheduled: Vec<(Key, SystemTime)>,
}

impl KeyRing {
    /// A ring of the one key that signs.
    pub fn new(signing: Key) -> Self {
        Self {
            signing,
            accepted: Vec::new(),
            scheduled: Vec::new(),
        }
    }

    /// Reads a ring from an environment variable: keys as text with commas between them. The first signs, all are accepted.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the variable is not set or one of the keys is not good.
    pub fn from_env(variable: &str) -> Result<Self, Error> {
        let text = env_text(variable)?;
        let count = text.split(',').count();
        let mut keys = text.split(',').enumerate().map(|(index, text)| {
            text.parse().map_err(|error| {
                let which = (count > 1).then_some((index + 1, count));
                in_variable(error, variable, which)
            })
        });
        // A split has at least one part.
        let first = keys
            .next()
            .unwrap_or_else(|| Err(Error::key(env::VarError::NotPresent.to_string())))?;
        keys.try_fold(Self::new(first), |ring, key| Ok(ring.accept(key?)))
    }

    /// Accepts what this key signed, too. It does not sign.
    pub fn accept(mut self, key: Key) -> Self {
        self.accepted.push(key);
        self
    }

    /// Accepts what this key signed from now on, and signs with it from `at` on.
    pub fn sign_from(mut self, key: Key, at: SystemTime) -> Self {
        self.scheduled.push((key, at));
        self
    }

    /// All keys: the one that signs now, or signed last, comes first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        [&self.signing]
            .into_iter()
            .chain(self.scheduled.iter().map(|(key, _)| key))
            .chain(&self.accepted)
    }

    /// Which of [`keys`](Self::keys) signs from when on, the first from the beginning of time.
    pub(crate) fn schedule(&self) -> impl Iterator<Item = SystemTime> {
        [SystemTime::UNIX_EPOCH]
            .into_iter()
            .chain(self.scheduled.iter().map(|&(_, at)| at))
    }

    /// Refuses a key that is there twice: a slip of the hand that would end a rotation early.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut seen = Vec::new();
        for key in self.keys() {
            if seen.contains(&key.secret()) {
                return Err(Error::key("it is in the key ring twice: name each key once"));
            }
            seen.push(key.secret());
        }
        Ok(())
    }
}

impl From<Key> for KeyRing {
    fn from(key: Key) -> Self {
        Self::new(key)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("keys", &self.keys().count())
            .finish_non_exhaustive()
    }
}
