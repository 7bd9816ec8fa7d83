//! What can go wrong, as sentences.

use std::{error::Error as StdError, fmt, ops::Deref, sync::Arc};

/// Why an operation on a session, a key or a layer failed.
///
/// A cookie that is not accepted is *not* an error: the session is empty then, and
/// [`Session::rejected`](crate::Session::rejected) says why.
///
/// `Display` is one sentence: what happened, to which thing, and what to do. It never repeats its
/// cause, which is the [`source`](StdError::source), so a chain (`{:#}` of `anyhow`, say) prints
/// each sentence once. `Debug` and this crate's own events add what a store said, because a log
/// should tell why.
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
    /// A value of the session cannot be read as the type that was asked for. The value stays as it
    /// is.
    ///
    /// A struct that has got a new field since the value was written is the usual case: give the
    /// field `#[serde(default)]`, and older values can be read.
    #[non_exhaustive]
    Type {
        /// The session key that was asked for; empty if it was the whole session.
        key: String,
        /// The Rust type that was asked for, without the modules that it is in.
        expected: String,
        /// The misfit, its place, and what to do about it; names of fields and types, and nothing
        /// of the value.
        reason: String,
    },
    /// A value cannot be written as JSON. The session stays as it is.
    #[non_exhaustive]
    Serialize {
        /// The session key that the value was meant for; empty if it was the whole session.
        key: String,
        /// Why, and what to do about it; nothing of the value.
        reason: String,
    },
    /// The codec or the store works, and cannot keep what it was given: a value that is too large
    /// for it, a session key, an owner or a label that is too long, a character that the server has
    /// no place for. Nothing was written, and another try would end the same way.
    #[non_exhaustive]
    Value {
        /// The session key that it is about; empty if it is none, or not known.
        key: String,
        /// The reason, and what to do about it; nothing of the value.
        reason: String,
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
    /// The response head has been sent, or the request is over, so a change can no longer reach the
    /// client; nor can a session be read for the first time, since no cache was told that the
    /// response is one user's. After a switch of protocols (101), or where the request was a
    /// `CONNECT`, no cache keeps it, and reads go on.
    HeadersSent,
    /// The operating system's random source failed. Nothing was written.
    Random,
    /// A [`Codec`](crate::codec::Codec) could not write the session.
    #[non_exhaustive]
    Codec {
        /// The codec's own error.
        source: Cause,
    },
    /// The store did not answer, or failed. That is not an empty session: nothing is shown, and the client keeps the cookie it
    /// has. What was to be written may have been written.
    #[non_exhaustive]
    Store {
        /// The store's own error, or its driver's.
        source: Cause,
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
    ///
    /// If the session is at fault, and not the codec, it is [`value`](Self::value).
    pub fn codec(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Codec {
            source: Cause::new(source.into()),
        }
    }

    /// A failure of a custom [`Store`](crate::store::Store), with its cause as [`source`](StdError::source).
    ///
    /// It is for a store that cannot tell or cannot work. If the session is at fault, it is
    /// [`value`](Self::value).
    pub fn store(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Store {
            source: Cause::new(source.into()),
        }
    }

    /// Data that a custom [`Store`](crate::store::Store) or [`Codec`](crate::codec::Codec) that
    /// works cannot keep: too large, too long, or a character that it has no place for.
    ///
    /// `key` is the session key that it is about, or empty. `reason` says what cannot be kept and
    /// what to do about it, and quotes nothing of the value, because it is printed.
    ///
    /// ```
    /// let error = http_session::Error::value("cart", "it is larger than a megabyte: keep the cart in a table of its own");
    /// assert_eq!(
    ///     error.to_string(),
    ///     "the session value under \"cart\" cannot be kept: it is larger than a megabyte: keep the cart in a table of its own"
    /// );
    /// ```
    pub fn value(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value {
            key: key.into(),
            reason: reason.into(),
        }
    }

    /// Settings that cannot work; for a custom [`Codec`](crate::codec::Codec) that refuses to be bound.
    pub fn config(reason: impl Into<String>) -> Self {
        Self::Config { reason: reason.into() }
    }

    pub(crate) fn key(reason: impl Into<String>) -> Self {
        Self::Key { reason: reason.into() }
    }

    /// The error and, if it is a store's, its causes: what an event says. The other causes may hold
    /// data.
    pub(crate) fn logged(&self) -> Logged<'_> {
        Logged(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { reason } => write!(f, "the sessions are not set up for this: {reason}"),
            Self::Key { reason } => write!(f, "the session key cannot be used: {reason}"),
            Self::Type { key, expected, reason } => {
                write!(f, "{} cannot be read as `{expected}`: {reason}", Subject(key))
            }
            Self::Serialize { key, reason } => write!(f, "{} cannot be written as JSON: {reason}", Subject(key)),
            Self::Value { key, reason } => write!(f, "{} cannot be kept: {reason}", Subject(key)),
            Self::TooLarge { size, limit } => write!(
                f,
                "the session cookie would take {size} bytes and {limit} is the limit: keep less in the session, allow more \
                 cookies with `chunked`, or keep sessions in a store"
            ),
            Self::HeadersSent => f.write_str(
                "the response head has been sent, so the session can neither change nor be read for the first time: write to it, or \
                 read it once, before the handler returns",
            ),
            Self::Random => f.write_str(
                "the operating system's random source failed, so nothing was written: try again, and see to the system if it \
                 stays so",
            ),
            Self::Codec { .. } => f.write_str(
                "the codec could not write the session, so the client keeps the cookie it has: see the codec's own error, \
                 which is the source of this one",
            ),
            Self::Store { .. } => f.write_str(
                "the session store failed or gave no answer: see that it runs and lets this program do its work, then try again",
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
            Self::Value { .. } => "Value",
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
        write!(f, "{variant}({})", self.logged())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Codec { source } | Self::Store { source } => Some(source.as_source()),
            _ => None,
        }
    }
}

/// The thing that an error is about: a session key, or the whole session.
struct Subject<'a>(&'a str);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("the session"),
            key => write!(f, "the session value under {key:?}"),
        }
    }
}

/// See [`Error::logged`].
pub(crate) struct Logged<'a>(&'a Error);

impl fmt::Display for Logged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source().filter(|_| matches!(self.0, Error::Store { .. }));
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The error of a codec or of a store, which an [`Error`] has as its source.
///
/// It dereferences to that error, so `cause.downcast_ref::<sqlx::Error>()` finds a driver's own.
/// Many drivers print the cause of their error and give it as its source, too; [`Error`]'s
/// [`source`](StdError::source) then is a chain of the same sentences in which each one is said
/// once.
#[derive(Clone)]
pub struct Cause {
    error: Arc<dyn StdError + Send + Sync>,
    /// The error's chain, if it says something twice.
    told_once: Option<Arc<Sentence>>,
}

impl Cause {
    pub(crate) fn new(error: Box<dyn StdError + Send + Sync>) -> Self {
        let mut said: Vec<String> = Vec::new();
        let mut repeats = false;
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
        while let Some(error) = cause {
            let text = error.to_string();
            if said.last().is_some_and(|before| before.contains(&text)) {
                repeats = true;
            } else {
                said.push(text);
            }
            cause = error.source();
        }
        let told_once = said.into_iter().rev().fold(None, |next, text| {
            Some(Sentence {
                text,
                next: next.map(Box::new),
            })
        });
        Self {
            error: Arc::from(error),
            told_once: told_once.filter(|_| repeats).map(Arc::new),
        }
    }

    /// Returns the error that a chain goes on with.
    pub(crate) fn as_source(&self) -> &(dyn StdError + 'static) {
        match &self.told_once {
            Some(sentence) => &**sentence,
            None => &*self.error,
        }
    }
}

impl Deref for Cause {
    type Target = dyn StdError + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.error
    }
}

// By hand: the error's own `Debug` may print more than it says.
impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cause").finish_non_exhaustive()
    }
}

/// One sentence of a chain of errors.
struct Sentence {
    text: String,
    next: Option<Box<Sentence>>,
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Sentence {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.next.as_deref().map(|next| next as _)
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
    /// The ticket of a stored session was good for it until the session was renewed, within the last
    /// two minutes. Nothing that this request writes is kept, and no cookie is sent, since the client
    /// may have the new one already; but a login begins a session of its own. Afterwards it is
    /// [`UnknownTicket`](Self::UnknownTicket).
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
