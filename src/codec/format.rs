//! What a codec says about itself, and what it is told.

use std::{fmt, time::Duration};

#[cfg(doc)]
use super::Codec;
use crate::SameSite;

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
    /// No key may stand in its text twice.
    pub(crate) no_repeats: bool,
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
