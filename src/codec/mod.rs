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
mod format;
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

#[cfg(feature = "starlette")]
pub use self::starlette::Starlette;
pub use self::{
    encrypted::Encrypted,
    format::{Binding, Format, Spelling},
    incoming::{Incoming, Outgoing},
    signed::Signed,
};
use crate::error::{Error, Reject};
pub use crate::session::Payload;

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
    /// [`Error::codec`], [`Error::Random`], or [`Error::value`] if the codec works and has no place
    /// for what the session holds. The response becomes an error and the client keeps the cookie it
    /// has.
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
