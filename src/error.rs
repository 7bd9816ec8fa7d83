//! What can go wrong, as sentences.

use std::{error::Error as StdError, fmt, sync::Arc};

/// Why an operation on a session, a key or a layer failed.
///
/// A cookie that is not accepted is *not* an error: the session is empty then, and
/// [`Session::rejected`](crate::Session::rejected) says why.
///
/// Neither `Display` nor `Debug` ever shows a key, a cookie value or a value of the session. The name of a
/// session key (`"cart"`) may be shown.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// The layer's settings contradict each other or a standard; the reason says what to change.
    #[non_exhaustive]
    Config {
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// A secret key cannot be used; the reason says how to make one.
    #[non_exhaustive]
    Key {
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// A value of the session is not of the type it was asked for as. The value stays as it is.
    #[non_exhaustive]
    Type {
        /// The session key that was asked for; empty if it was the whole session.
        key: String,
        /// The Rust type that was asked for.
        expected: &'static str,
    },
    /// A value cannot be written as JSON. The session stays as it is.
    #[non_exhaustive]
    Serialize {
        /// The session key that the value was meant for.
        key: String,
        /// What the serialiser said.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The cookie would be larger than browsers keep (RFC 6265bis, section 5.6: name and value together 4,096 bytes). The
    /// client keeps the cookie it has.
    #[non_exhaustive]
    TooLarge {
        /// Bytes of all cookie names and values together.
        size: usize,
        /// The most that the layer's settings allow, in bytes.
        limit: usize,
    },
    /// The response head has been sent, or the request is over, so a change can no longer reach the client.
    HeadersSent,
    /// The operating system's random source failed. Nothing was written.
    Random,
    /// A [`Codec`](crate::codec::Codec) could not write the session.
    #[non_exhaustive]
    Codec {
        /// What the codec said.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The store did not answer, or failed. That is not an empty session: nothing is shown, and the client keeps the cookie it
    /// has. What was to be written may have been written.
    ///
    /// `Display` and `Debug` say what the store said, so that a log tells why.
    #[non_exhaustive]
    Store {
        /// What the store said.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// A stored session was read before it was fetched. The axum extractor fetches it; elsewhere call
    /// [`Session::load`](crate::Session::load) first.
    NotLoaded,
    /// The stored session ended while this request was at work, or the ticket that came with it had been renewed. Nothing was
    /// written; a new login makes a new session.
    Gone,
    /// The request's cookie is authentic, and its session cannot be read on this side
    /// ([`Reject::Unreadable`]), so a write would take the place of data that nobody has looked at.
    /// Call [`Session::clear`](crate::Session::clear) or
    /// [`Session::destroy`](crate::Session::destroy) first if that is meant.
    Unreadable,
    /// [`Session::update`](crate::Session::update) tried again and again, and others were always first. Nothing was written.
    #[non_exhaustive]
    Contended {
        /// The session key that was to be updated.
        key: String,
    },
}

impl Error {
    /// A failure of a custom [`Codec`](crate::codec::Codec), with its cause as [`source`](StdError::source).
    pub fn codec(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Codec {
            source: Arc::from(source.into()),
        }
    }

    /// A failure of a custom [`Store`](crate::store::Store), with its cause as [`source`](StdError::source).
    pub fn store(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Store {
            source: Arc::from(source.into()),
        }
    }

    /// Settings that cannot work; for a custom [`Codec`](crate::codec::Codec) that refuses to be bound.
    pub fn config(reason: impl Into<String>) -> Self {
        Self::Config { reason: reason.into() }
    }

    pub(crate) fn key(reason: impl Into<String>) -> Self {
        Self::Key { reason: reason.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { reason } => write!(f, "the sessions are not set up for this: {reason}"),
            Self::Key { reason } => write!(f, "the session key cannot be used: {reason}"),
            Self::Type { key, expected } if key.is_empty() => {
                write!(f, "the session as a whole is not a {expected}: read it as a map, or key by key")
            }
            Self::Type { key, expected } => write!(
                f,
                "the session value under {key:?} is not a {expected}: read it as the type it was written with"
            ),
            Self::Serialize { key, .. } => {
                write!(f, "the value for the session key {key:?} cannot be written as JSON")
            }
            Self::TooLarge { size, limit } => write!(
                f,
                "the session cookie would take {size} bytes and {limit} is the limit: keep less in the session, or allow \
                 more cookies with `chunked`"
            ),
            Self::HeadersSent => f.write_str(
                "the response head has been sent, so the session can no longer change: write to it before the handler returns",
            ),
            Self::Random => f.write_str("the operating system's random source failed: nothing was written"),
            Self::Codec { .. } => f.write_str("the codec could not write the session"),
            Self::Store { source } => write!(
                f,
                "the session store failed, so the session is unknown, not empty: {source}"
            ),
            Self::NotLoaded => f.write_str(
                "the stored session was not fetched yet: call `session.load().await` before it is read (the axum extractor \
                 `Session` does)",
            ),
            Self::Gone => f.write_str(
                "the session has ended, or its ticket was renewed, so nothing was written: a new login makes a new session",
            ),
            Self::Unreadable => f.write_str(
                "the session was written by other software and cannot be read here, so nothing was written in its place: call \
                 `clear` or `destroy` first to give it up",
            ),
            Self::Contended { key } => write!(
                f,
                "the session value under {key:?} changed every time it was to be updated: nothing was written; try again, or \
                 keep what many requests count outside of the session"
            ),
        }
    }
}

// By hand: a derived one would print whatever a source's `Debug` holds.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Config { .. } => "Config",
            Self::Key { .. } => "Key",
            Self::Type { .. } => "Type",
            Self::Serialize { .. } => "Serialize",
            Self::TooLarge { .. } => "TooLarge",
            Self::HeadersSent => "HeadersSent",
            Self::Random => "Random",
            Self::Codec { .. } => "Codec",
            Self::Store { .. } => "Store",
            Self::NotLoaded => "NotLoaded",
            Self::Gone => "Gone",
            Self::Unreadable => "Unreadable",
            Self::Contended { .. } => "Contended",
        };
        write!(f, "{variant}({self})")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Serialize { source, .. } | Self::Codec { source } | Self::Store { source } => Some(&**source),
            _ => None,
        }
    }
}

/// Why a cookie was not accepted.
///
/// It is for the server's own eyes: the client sees an empty session and no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reject {
    /// Several different sessions came under one name, so somebody else may have planted one of them; see
    /// [`on_duplicates`](crate::SessionLayer::on_duplicates).
    Ambiguous,
    /// The signature or the encryption does not fit: it was changed, or made for another cookie name, application or
    /// codec.
    BadSignature,
    /// It is older than the layer allows, or the time of a format that is no longer accepted is over.
    Expired,
    /// It is not in the codec's format, or a part of it is missing.
    Malformed,
    /// It was issued more than 60 s in the future, so a clock is wrong. Never answered with a removal.
    NotYetValid,
    /// The ticket of a stored session is not, or no longer, good for it: the session was renewed. Nothing that this request
    /// writes is kept, and no cookie is sent, since the client may have the new one already.
    Renewed,
    /// It is larger than the layer could have written.
    TooLarge,
    /// It is authentic and in time, and its session is nothing that this side can represent:
    /// Starlette's `NaN`, for example. Reads are empty, and so that the session is not destroyed by
    /// the way, a write is [`Error::Unreadable`] until [`clear`](crate::Session::clear) or
    /// [`destroy`](crate::Session::destroy) was called.
    Unreadable,
    /// It names a key that is not in the ring: an old key was taken away too early, or a new one signs before every server
    /// accepts it.
    UnknownKey,
    /// It is a well-formed ticket, and the store knows no session for it: it expired, was ended, or never was.
    UnknownTicket,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ambiguous => "several different sessions under one cookie name",
            Self::BadSignature => "bad signature",
            Self::Expired => "expired",
            Self::Malformed => "malformed",
            Self::NotYetValid => "issued in the future",
            Self::Renewed => "the ticket was renewed",
            Self::TooLarge => "too large",
            Self::Unreadable => "authentic, and not readable here",
            Self::UnknownKey => "signed with an unknown key",
            Self::UnknownTicket => "no session for this ticket",
        })
    }
}
