//! The secrets: keys, and the ring that rotates them.

mod ring;
#[cfg(test)]
mod tests;
mod text;

use std::{env, fmt, str::FromStr, sync::Arc};

use ::ring::rand::{SecureRandom as _, SystemRandom};

pub use self::ring::KeyRing;
#[cfg(test)]
pub(crate) use self::text::bytes as bytes_of_text;
use crate::error::Error;

/// Fewer bytes than this are refused: what is derived from a key cannot be harder to guess than the key.
pub(crate) const MIN_BYTES: usize = 32;

/// A secret from which everything is derived that signs and encrypts sessions: at least 32 random bytes.
///
/// Make one with `openssl rand -hex 32` and keep it where the application's other secrets are. Everybody who has it can make
/// sessions; a server that loses it forgets its users.
///
/// As text it is hex or base64 (either alphabet, with or without padding). The prefixes `hex:` and `base64:` say which; without
/// one, exactly 64 hex digits are hex, text of hex digits only that is shorter or longer is
/// refused, and everything else is base64.
///
/// `Debug` does not show it. There is no `Default`, and short, constant and documented sample keys are refused.
///
/// # Examples
///
/// ```
/// use http_session::Key;
///
/// let key = Key::generate()?;                       // for a test, or a server that may forget its sessions
/// let error = "hex:00".parse::<Key>().unwrap_err(); // from text; `Key::from_env` reads an environment variable
/// assert_eq!(
///     error.to_string(),
///     "the session key cannot be used: it has 1 byte and at least 32 are needed; make one with `openssl rand -hex 32`"
/// );
/// # Ok::<(), http_session::Error>(())
/// ```
#[derive(Clone)]
pub struct Key {
    secret: Arc<[u8]>,
}

impl Key {
    /// Makes a key of 32 random bytes. It is gone when the process ends, and with it all sessions: for production, keep a
    /// key as text.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] if the operating system's random source fails.
    pub fn generate() -> Result<Self, Error> {
        let secret: [u8; MIN_BYTES] = random()?;
        Ok(Self {
            secret: Arc::from(secret),
        })
    }

    /// Reads a key from the text in an environment variable.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the variable is not set or its text is not a good key.
    pub fn from_env(variable: &str) -> Result<Self, Error> {
        env_text(variable)?
            .parse()
            .map_err(|error| in_variable(error, variable, None))
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// A key that nobody else may make: it may be weak.
    #[cfg(test)]
    pub(crate) fn unchecked(secret: &[u8]) -> Self {
        Self {
            secret: Arc::from(secret),
        }
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text::parse(text).map(|secret| Self {
            secret: Arc::from(secret),
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(REDACTED)")
    }
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

fn env_text(variable: &str) -> Result<String, Error> {
    match env::var(variable) {
        Ok(text) if text.trim().is_empty() => Err(Error::key(format!(
            "the environment variable {variable} is empty; {HOW_TO}"
        ))),
        Ok(text) => Ok(text),
        Err(env::VarError::NotPresent) => Err(Error::key(format!(
            "the environment variable {variable} is not set; {HOW_TO}"
        ))),
        // The error would show the text.
        Err(env::VarError::NotUnicode(_)) => Err(Error::key(format!(
            "the environment variable {variable} is not UTF-8; {HOW_TO}"
        ))),
    }
}

const HOW_TO: &str = "make one with `openssl rand -hex 32`";

/// `which` is the key's place in a list and how many are there, if there are several.
fn in_variable(error: Error, variable: &str, which: Option<(usize, usize)>) -> Error {
    match (error, which) {
        (Error::Key { reason }, None) => Error::key(format!("in the environment variable {variable}, {reason}")),
        (Error::Key { reason }, Some((place, count))) => Error::key(format!(
            "in the environment variable {variable}, key {place} of {count}: {reason}"
        )),
        (other, _) => other,
    }
}
