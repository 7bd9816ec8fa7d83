//! Starlette's and FastAPI's session cookie.

use std::{borrow::Cow, fmt};

use base64_simd::STANDARD;

use super::{Binding, Codec, Format, Incoming, Outgoing, Payload, Spelling, itsdangerous::Signer, python_json};
use crate::{
    SameSite,
    error::{Error, Reject},
    session::Meta,
};

const SALT: &str = "itsdangerous.Signer";

/// In milliseconds: what 48 bits hold is the last moment that other formats and stores can tell.
const LAST_STAMP: u64 = (1 << 48) - 1;

/// In seconds: how far another server's clock may be behind ours.
const BACKDATE: u32 = 2;

/// The cookie of Starlette's and FastAPI's `SessionMiddleware`, read and written as it is (checked against Starlette 1.3 and
/// 1.10 with itsdangerous 2.2).
///
/// [`SessionLayer::starlette`](crate::SessionLayer::starlette) is a layer with all of Starlette's defaults. What is set there
/// is set here so:
///
/// | `SessionMiddleware(...)` | `SessionLayer::starlette("...")` |
/// |---|---|
/// | `secret_key="..."` | `SessionLayer::starlette("...")` |
/// | `session_cookie="sid"` | [`.cookie_name("sid")`](crate::SessionLayer::cookie_name) |
/// | `max_age=3600` | [`.max_age(Duration::from_secs(3600))`](crate::SessionLayer::max_age) |
/// | `max_age=None` | `.max_age(None)` |
/// | `max_age=-1` | `SessionLayer::with_codec(codec::Starlette::new("...").max_age(-1)).secure(false)`, see [`max_age`](Self::max_age) |
/// | `path="/app"` | [`.path("/app")`](crate::SessionLayer::path) |
/// | `same_site="strict"` | [`.same_site(SameSite::Strict)`](crate::SessionLayer::same_site) |
/// | `https_only=True` | [`.secure(true)`](crate::SessionLayer::secure) |
/// | `same_site="none", https_only=True` | `.same_site(SameSite::None).secure(true)` |
/// | `domain="example.com"` | [`.domain("example.com")`](crate::SessionLayer::domain) |
/// | `domain=".example.com"` | `.domain(".example.com")` |
/// | `https_only=True, partitioned=True` | [`.secure(true).partitioned(true)`](crate::SessionLayer::partitioned) |
/// | nothing: it knows one secret | `SessionLayer::with_codec(codec::Starlette::new("...").accept("old")).secure(false)`, see [`accept`](Self::accept) |
///
/// A cookie is written when the session changed, and `Vary: Cookie` when it was looked at, as Starlette does it since 1.0.
/// Before, it wrote every session that was not empty with every response, so that users who kept coming stayed logged in.
/// [`rolling(true)`](crate::SessionLayer::rolling) keeps them logged in, too: a session that is used is written again when a
/// tenth of its `max_age` has passed, or with a [`refresh_interval`](crate::SessionLayer::refresh_interval) of zero each time.
///
/// # The dictionary
///
/// | `request.session` | [`Session`](crate::Session) |
/// |---|---|
/// | `session["k"] = v` | `session.insert("k", v)?` |
/// | `session["k"]` | `session.get::<T>("k")?`, `None` instead of a `KeyError` |
/// | `session.get("k", d)` | `session.get("k")?.unwrap_or(d)` |
/// | `session.pop("k", None)` | `session.take::<T>("k")?` |
/// | `del session["k"]` | `session.remove("k")?`, nothing instead of a `KeyError` |
/// | `session.setdefault("k", v)` | `session.get_or_insert_with("k", \|\| v)?` |
/// | `session.update(a=1, b=2)` | `session.insert("a", 1)?; session.insert("b", 2)?;` |
/// | `session["n"] = session.get("n", 0) + 1` | `session.update("n", \|n\| n.unwrap_or(0) + 1).await?` |
/// | `"k" in session` | `session.contains_key("k")?` |
/// | `for k in session` | `for k in session.keys()? { drop(k) }` |
/// | `len(session)` | `session.len()?` |
/// | `not session` | `session.is_empty()?` |
/// | `dict(session)` | `session.to_map::<T>()?` |
/// | `session.clear()` | `session.clear()?` |
///
/// Keys keep their order. What the Rust side does not touch goes back as it came, byte for byte: long integers, the spelling of
/// floats, half a surrogate pair.
///
/// # What it means to stay, and how to leave
///
/// The format has no id and no time of creation, so
/// [`absolute_lifetime`](crate::SessionLayer::absolute_lifetime), [`set_max_age`](crate::Session::set_max_age),
/// [`chunked`](crate::SessionLayer::chunked) and [`authenticated_at`](crate::Session::authenticated_at) do not work with it,
/// and [`renew`](crate::Session::renew) changes nothing but the stamp.
///
/// The client can read the session. It is signed with HMAC-SHA1, under a key that is a plain hash of the secret: nobody is
/// known to be able to forge it (the attacks on SHA-1 find collisions, and these are of no use against HMAC), but a short
/// secret can be found by trial from a single cookie, so let it be 32 random bytes. Neither the cookie's name nor its purpose is signed:
/// whatever else is signed by itsdangerous with the same secret and the same default salt is good as a session.
///
/// While any Python route is left, all write this format. When the last one is gone, the Rust side reads it and writes its
/// own, and nobody is logged out:
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use http_session::{Key, SessionLayer, Until, codec};
///
/// # let key = Key::generate()?;
/// # let last_python_route_gone = SystemTime::now();
/// let layer = SessionLayer::encrypted(key)
///     .also_accept(codec::Starlette::new("..."), Until::date(last_python_route_gone))
///     .build()?;
/// # Ok::<(), http_session::Error>(())
/// ```
///
/// # Where it differs from Starlette on purpose
///
/// In what it accepts:
///
/// - Base64 that no framework writes (other alphabet, missing padding, unused bits, stray characters) is rejected.
/// - `NaN` and `Infinity` are not JSON: a session that holds one is rejected as [unreadable](crate::Reject::Unreadable). It reads
///   as empty, and is not overwritten by the way: a write is an error until `clear` or `destroy` gives it up.
/// - So is text in UTF-16 or UTF-32, with a byte order mark, or with a surrogate in UTF-8.
/// - A payload that is not a JSON object is an empty session; Starlette answers 500, or makes a dictionary of a list of pairs.
/// - There is no limit to nesting and to the digits of an integer. Starlette answers 500 from about 1,000 levels (before
///   Python 3.12) and from 4,301 digits on.
/// - Of several cookies of the name Starlette takes the last. Here those that are not valid do not count, and if different ones
///   are valid, the session is [ambiguous](crate::Reject::Ambiguous); see
///   [`on_duplicates`](crate::SessionLayer::on_duplicates).
/// - Around a cookie's name and value, spaces and tabs are no part of them; Python takes other bytes for white space, too.
///
/// In what it writes:
///
/// - Setting a value to what it already was is no change, and no cookie is sent. Nor are setting and removing a key again, and
///   `update` with nothing.
/// - A change inside a nested list or dictionary is written, since the whole value is inserted; Starlette does not notice it.
/// - Clearing a session removes the cookie even if it was not valid.
/// - A cookie of more than 4,096 bytes is an error; Starlette writes it, and the browser drops it.
/// - The stamp is two seconds in the past, see [`backdate`](Self::backdate).
/// - `Cache-Control: private` is added, so that no shared cache keeps a user's page or cookie.
/// - `same_site="none"` or `partitioned` without `https_only`, a name, path or domain that no browser takes: refused when the
///   layer is built.
#[derive(Clone)]
#[must_use]
pub struct Starlette {
    secrets: Vec<Box<str>>,
    backdate: u32,
    max_age: Option<i64>,
    signer: Option<Signer>,
}

impl Starlette {
    /// Signs with this `secret_key`.
    ///
    /// Any text is accepted, as there, the empty one too: read it so that a variable that is not set is an error, since whoever
    /// can guess the secret can make sessions.
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            secrets: vec![secret.into().into_boxed_str()],
            backdate: BACKDATE,
            max_age: None,
            signer: None,
        }
    }

    /// Also accepts what was signed with this secret: for key rotation, which Starlette has not. At most 15 of them; each may
    /// cost one more MAC per request.
    pub fn accept(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into().into_boxed_str());
        self
    }

    /// Writes the stamp this many seconds in the past. By default 2, and at most a tenth of the `max_age`.
    ///
    /// Starlette refuses a stamp that is one second in the future, so a Rust server whose clock is ahead of a Python server's
    /// would log its users out there. The other way round it is the same, and nothing can be done about it here but to keep
    /// clocks in step: what a Python server whose clock is ahead has written is refused until that second has come.
    pub fn backdate(mut self, seconds: u32) -> Self {
        self.backdate = seconds;
        self
    }

    /// Starlette's `max_age` to the letter, in seconds, in place of the layer's: with 0 a cookie is good within the second it
    /// was written in, and with a negative one never. In [`also_accept`](crate::SessionLayer::also_accept) the layer's counts.
    pub fn max_age(mut self, seconds: i64) -> Self {
        self.max_age = Some(seconds);
        self
    }
}

impl Codec for Starlette {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        let signer = self.signer.as_ref().ok_or(Reject::UnknownKey)?;
        let unquoted = unquote(cookie.value());
        let (text, stamp) = signer.verify(cookie, &unquoted)?;
        let json = STANDARD.decode_to_vec(text).map_err(|_| Reject::Malformed)?;
        // Python reads UTF-16, UTF-32, a byte order mark, and a surrogate in UTF-8.
        let is_foreign = |json: &str| json.starts_with('\u{feff}') || json.contains('\0');
        let payload = match String::from_utf8(json) {
            Ok(json) if !is_foreign(&json) => Payload::new(json),
            _ => Payload::unreadable(),
        };
        Ok(Payload {
            meta: Meta {
                issued: Some(stamp.saturating_mul(1000).min(LAST_STAMP)),
                ..Meta::default()
            },
            ..payload
        })
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        let signer = self
            .signer
            .as_ref()
            .ok_or_else(|| Error::config("the codec was not bound to a layer"))?;
        let start = cookie.line.len();
        STANDARD.encode_append(python_json::respell(payload.json()).as_bytes(), cookie.line);
        let stamp = (payload.meta.issued.unwrap_or(0) / 1000).saturating_sub(self.backdate.into());
        signer.sign(cookie.line, start, stamp)
    }

    fn format(&self) -> Format {
        let format = Format::new().cookie_name("session").carries_issued().whole_seconds();
        Format {
            foreign_max_age: self.max_age,
            ..format
        }
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        let max_age = match self.max_age {
            Some(seconds) => Some(u64::try_from(seconds).unwrap_or(0)),
            None => binding.max_age().map(|age| age.as_secs()),
        };
        if let Some(seconds) = max_age {
            self.backdate = self.backdate.min(u32::try_from(seconds / 10).unwrap_or(u32::MAX));
        }
        self.signer = Some(Signer::new(self.secrets.iter().map(|secret| &**secret), SALT)?);
        Ok(())
    }

    fn spelling(&self, binding: &Binding<'_>) -> Option<Spelling> {
        let same_site = match binding.same_site() {
            SameSite::Strict => "strict",
            SameSite::Lax => "lax",
            SameSite::None => "none",
        };
        let path = binding.path();
        let mut flags = String::new();
        if binding.http_only() {
            flags.push_str("; httponly");
        }
        flags.push_str("; samesite=");
        flags.push_str(same_site);
        if binding.secure() {
            flags.push_str("; secure");
        }
        if let Some(domain) = binding.domain() {
            flags.push_str("; domain=");
            flags.push_str(domain);
        }
        if binding.partitioned() {
            flags.push_str("; partitioned");
        }
        let max_age = self
            .max_age
            .or_else(|| i64::try_from(binding.max_age()?.as_secs()).ok());
        let max_age = max_age
            .map(|seconds| format!("; Max-Age={seconds}"))
            .unwrap_or_default();
        Some(Spelling::new(
            format!("; path={path}{max_age}{flags}"),
            format!("null; path={path}; expires=Thu, 01 Jan 1970 00:00:00 GMT{flags}"),
        ))
    }
}

/// Takes off the quotes that some clients put around a value, and the escapes in them, as Python's `http.cookies` does.
fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = value else {
        return value.into();
    };
    if !inner.contains(&b'\\') {
        return inner.into();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                after
            }
            (b'\\', [char, after @ ..]) => {
                out.push(*char);
                after
            }
            _ => {
                out.push(*first);
                after
            }
        };
    }
    out.into()
}

impl fmt::Debug for Starlette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starlette")
            .field("secrets", &self.secrets.len())
            .field("backdate", &self.backdate)
            .finish_non_exhaustive()
    }
}
