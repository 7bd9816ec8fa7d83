//! Cookie formats: how a session becomes the text of a cookie, and back.
//!
//! [`Encrypted`] and [`Signed`] are this crate's own format, specified byte by byte in `docs/format.md`. A format of another
//! framework, or of your own, is an implementation of [`Codec`].
//!
//! # A codec of your own
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use http_session::{Error, Reject, SessionLayer, codec::{Codec, Format, Incoming, Outgoing, Payload}};
//! use ring::hmac;
//!
//! /// `seconds.hex(JSON).hex(HMAC-SHA256)`
//! #[derive(Clone)]
//! struct Dotted(hmac::Key);
//!
//! impl Codec for Dotted {
//!     fn format(&self) -> Format {
//!         Format::new().carries_issued()
//!     }
//!
//!     fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
//!         let issued = payload.issued().unwrap_or(SystemTime::UNIX_EPOCH);
//!         let issued = issued.duration_since(SystemTime::UNIX_EPOCH).map_err(Error::codec)?.as_secs();
//!         let text = format!("{issued}.{}", hex::encode(payload.json()));
//!         let tag = hmac::sign(&self.0, text.as_bytes());
//!         cookie.push_str(&format!("{text}.{}", hex::encode(tag)));
//!         Ok(())
//!     }
//!
//!     fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
//!         let text = std::str::from_utf8(cookie.value()).map_err(|_| Reject::Malformed)?;
//!         let (text, tag) = text.rsplit_once('.').ok_or(Reject::Malformed)?;
//!         let tag = hex::decode(tag).ok_or(Reject::Malformed)?;
//!         cookie.attempt()?; // at most 16 MACs a request, whatever the client sends
//!         hmac::verify(&self.0, text.as_bytes(), &tag).map_err(|_| Reject::BadSignature)?;
//!         let (issued, json) = text.split_once('.').ok_or(Reject::Malformed)?;
//!         let issued = Duration::from_secs(issued.parse().map_err(|_| Reject::Malformed)?);
//!         let issued = SystemTime::UNIX_EPOCH.checked_add(issued).ok_or(Reject::Malformed)?;
//!         let json = hex::decode(json).and_then(|json| String::from_utf8(json).ok());
//!         Ok(Payload::new(json.ok_or(Reject::Malformed)?).with_issued(issued))
//!     }
//! }
//!
//! let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new()).unwrap();
//! let layer = SessionLayer::with_codec(Dotted(key)).build()?;
//! # let header = layer.cookie_header(&std::collections::BTreeMap::from([("user", 42)]))?;
//! # assert!(header.to_str().unwrap().starts_with("__Host-session=1"));
//! # mod hex {
//! #     pub fn encode(bytes: impl AsRef<[u8]>) -> String {
//! #         bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
//! #     }
//! #     pub fn decode(text: &str) -> Option<Vec<u8>> {
//! #         let pairs = text.as_bytes().chunks(2);
//! #         let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
//! #         // One text for the same bytes, so that no changed cookie is a good one.
//! #         bytes.collect::<Option<Vec<u8>>>().filter(|bytes| encode(bytes) == text)
//! #     }
//! # }
//! # Ok::<(), Error>(())
//! ```

mod bound;
mod encrypted;
mod frame;
mod incoming;
#[cfg(feature = "starlette")]
mod itsdangerous;
#[cfg(feature = "starlette")]
mod python_json;
mod signed;
#[cfg(feature = "starlette")]
mod starlette;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

pub use self::{
    encrypted::Encrypted,
    incoming::{Incoming, Outgoing},
    signed::Signed,
};
#[cfg(feature = "starlette")]
pub use self::starlette::Starlette;
pub use crate::session::Payload;
use crate::{
    SameSite,
    error::{Error, Reject},
};

/// A cookie format.
///
/// # Contract
///
/// - [`decode`](Self::decode) returns what [`encode`](Self::encode) was given, as far as [`format`](Self::format) says that
///   the format can carry it.
/// - `decode` checks the signature before it looks at anything else, calls [`Incoming::attempt`] before each MAC, compares
///   MACs in constant time, and neither panics nor allocates more than a few times the cookie's size, whatever it is given.
/// - `encode` writes only characters that may stand in a cookie's value (RFC 6265, section 4.1.1).
/// - Times are checked by the layer, not by the codec.
///
/// See the [module's documentation](self) for an example.
pub trait Codec: Send + Sync + 'static {
    /// Reads the session out of a cookie.
    ///
    /// # Errors
    ///
    /// Why the cookie is not accepted; the session is empty then.
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject>;

    /// Writes the session into a cookie.
    ///
    /// # Errors
    ///
    /// [`Error::codec`] or [`Error::Random`]. The response becomes an error and the client keeps the cookie it has.
    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error>;

    /// What the format can carry. By default, nothing but the data.
    fn format(&self) -> Format {
        Format::new()
    }

    /// Called once, when the layer is built, with the names and settings that the codec is to work under: the place to derive
    /// keys from the application's and the cookie's name. By default, nothing is bound.
    ///
    /// # Errors
    ///
    /// [`Error::config`] if the codec cannot work so.
    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        let _ = binding;
        Ok(())
    }

    /// For [`chunked`](crate::SessionLayer::chunked): how long the whole text is in bytes, told from its beginning. By default
    /// `None`: the format cannot be split over several cookies.
    fn text_len(&self, start: &[u8]) -> Option<usize> {
        let _ = start;
        None
    }

    /// How another framework spells its `Set-Cookie` lines, if that is to be imitated. By default `None`: as RFC 6265bis does.
    fn spelling(&self, binding: &Binding<'_>) -> Option<Spelling> {
        let _ = binding;
        None
    }
}

/// What a [`Codec`]'s format can carry besides the data, and which cookies it needs.
///
/// A layer whose settings need more than the format carries is refused when it is built.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Format {
    pub(crate) cookie_name: Option<&'static str>,
    pub(crate) companions: &'static [&'static str],
    pub(crate) id: bool,
    pub(crate) created: bool,
    pub(crate) issued: bool,
    pub(crate) authenticated: bool,
    pub(crate) max_age: bool,
    pub(crate) chunks: bool,
    pub(crate) whole_seconds: bool,
    /// Another framework's `max_age` in seconds, which may be negative, in place of the layer's.
    pub(crate) foreign_max_age: Option<i64>,
}

impl Format {
    /// A format that carries the data and nothing else.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cookie's name is another framework's: it is the layer's default, and no prefix is put before it.
    pub fn cookie_name(mut self, name: &'static str) -> Self {
        self.cookie_name = Some(name);
        self
    }

    /// The format uses further cookies, whose names are the cookie's name and these suffixes.
    pub fn companions(mut self, suffixes: &'static [&'static str]) -> Self {
        self.companions = suffixes;
        self
    }

    /// It carries the session's random id.
    pub fn carries_id(mut self) -> Self {
        self.id = true;
        self
    }

    /// It carries when the session began, so that [`absolute_lifetime`](crate::SessionLayer::absolute_lifetime) can work.
    pub fn carries_created(mut self) -> Self {
        self.created = true;
        self
    }

    /// It carries when the cookie was written, so that [`max_age`](crate::SessionLayer::max_age) can work.
    pub fn carries_issued(mut self) -> Self {
        self.issued = true;
        self
    }

    /// It carries when the user was last authenticated.
    pub fn carries_authenticated(mut self) -> Self {
        self.authenticated = true;
        self
    }

    /// It carries a session's own lifetime, so that [`set_max_age`](crate::Session::set_max_age) can work.
    pub fn carries_max_age(mut self) -> Self {
        self.max_age = true;
        self
    }

    /// Times are whole seconds, ages are counted in whole seconds, and a cookie that was written in the future, be it by one
    /// second, is refused unless there is no `max_age`, as itsdangerous does it. By default times are compared to the
    /// millisecond, and 60 s in the future are forgiven.
    pub fn whole_seconds(mut self) -> Self {
        self.whole_seconds = true;
        self
    }

    /// It implements [`Codec::text_len`], so that [`chunked`](crate::SessionLayer::chunked) can work.
    pub fn carries_text_len(mut self) -> Self {
        self.chunks = true;
        self
    }
}

/// The names and settings that a [`Codec`] is bound to when the layer is built.
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    pub(crate) app: &'a str,
    pub(crate) cookie_name: &'a str,
    pub(crate) path: &'a str,
    pub(crate) domain: Option<&'a str>,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: SameSite,
    pub(crate) partitioned: bool,
    pub(crate) max_age: Option<Duration>,
}

impl<'a> Binding<'a> {
    /// The [application's name](crate::SessionLayer::app); empty if it was not set.
    #[must_use]
    pub fn app(&self) -> &'a str {
        self.app
    }

    /// The cookie's name on the wire, prefix included.
    #[must_use]
    pub fn cookie_name(&self) -> &'a str {
        self.cookie_name
    }

    /// The cookie's `Path`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The cookie's `Domain`, if one is set.
    #[must_use]
    pub fn domain(&self) -> Option<&'a str> {
        self.domain
    }

    /// Whether the cookie is `Secure`.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.secure
    }

    /// Whether the cookie is `HttpOnly`.
    #[must_use]
    pub fn http_only(&self) -> bool {
        self.http_only
    }

    /// The cookie's `SameSite`.
    #[must_use]
    pub fn same_site(&self) -> SameSite {
        self.same_site
    }

    /// Whether the cookie is `Partitioned`.
    #[must_use]
    pub fn partitioned(&self) -> bool {
        self.partitioned
    }

    /// The cookie's `Max-Age`; `None` if it is to be written without.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }
}

impl fmt::Debug for Binding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("app", &self.app)
            .field("cookie_name", &self.cookie_name)
            .finish_non_exhaustive()
    }
}

/// The fixed parts of another framework's `Set-Cookie` lines; see [`Codec::spelling`].
#[derive(Clone, Debug)]
pub struct Spelling {
    pub(crate) live: String,
    pub(crate) removal: String,
}

impl Spelling {
    /// `live` is what follows `name=value` in the line of a live cookie, for example `; path=/; httponly`; `removal` is what
    /// follows `name=` in the line that removes it.
    pub fn new(live: impl Into<String>, removal: impl Into<String>) -> Self {
        Self {
            live: live.into(),
            removal: removal.into(),
        }
    }
}
