//! A layer's settings as they were given, and which of them cannot work.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Extensions;

use super::{
    accept::{Duplicates, Fallback, MakeCodec, Until},
    stored::Backend,
};
use crate::{
    codec::{Binding, Format},
    cookie::{Attributes, Scope},
    error::Error,
    session::{BoxFuture, Lifetime, Session, duration_millis},
};

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) codec: MakeCodec,
    pub(super) store: Option<MakeBackend>,
    pub(super) store_timeout: Option<Duration>,
    pub(super) spawn: Option<Spawn>,
    pub(super) max_sessions: Option<usize>,
    pub(super) app: String,
    pub(super) attributes: Attributes,
    /// Whether the name is the user's choice.
    pub(super) is_named: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) anonymous_max_age: Option<Duration>,
    pub(super) max_age_limit: Option<Duration>,
    pub(super) absolute_lifetime: Option<Duration>,
    pub(super) rolling: bool,
    pub(super) refresh_interval: Option<Duration>,
    pub(super) browser_session: bool,
    pub(super) parts: usize,
    pub(super) retired: Vec<Scope>,
    pub(super) fallbacks: Vec<(Fallback, Until)>,
    pub(super) on_duplicates: Option<Duplicates>,
    pub(super) keeps_on_server_error: bool,
    pub(super) clock: Option<Clock>,
    pub(super) place: Place,
}

pub(super) type MakeBackend = Arc<dyn Fn(&Settings, &str) -> Result<Box<dyn Backend>, Error> + Send + Sync>;

pub(super) type Spawn = Arc<dyn Fn(BoxFuture<()>) + Send + Sync>;

pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Where the session stands in a request's extensions.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) find: fn(&Extensions) -> Option<&Session>,
    pub(super) insert: fn(&mut Extensions, Session),
    /// Other layers do not find it there.
    pub(super) is_tagged: bool,
}

impl Settings {
    pub(super) fn attributes(&self, format: &Format) -> Attributes {
        let mut attributes = self.attributes.clone();
        if let Some(name) = format.cookie_name {
            attributes.prefixed = false;
            if !self.is_named {
                attributes.name = name.to_owned();
            }
        }
        attributes
    }

    pub(super) fn binding<'a>(&self, attributes: &'a Attributes, app: &'a str, cookie_name: &'a str) -> Binding<'a> {
        Binding {
            app,
            cookie_name,
            path: &attributes.path,
            domain: attributes.domain.as_deref(),
            secure: attributes.secure,
            http_only: attributes.http_only,
            same_site: attributes.same_site,
            partitioned: attributes.partitioned,
            max_age: self.max_age.filter(|_| !self.browser_session),
        }
    }
}

pub(super) fn lifetime(settings: &Settings, format: &Format) -> Lifetime {
    let foreign = format
        .foreign_max_age
        .map(|seconds| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    Lifetime {
        max_age: foreign.or(settings.max_age.map(duration_millis)),
        anonymous_max_age: anonymous_max_age(settings, format).map(duration_millis),
        never: format.foreign_max_age.is_some_and(|seconds| seconds < 0),
        max_age_limit: settings.max_age_limit.map(duration_millis),
        absolute: settings.absolute_lifetime.map(duration_millis),
        rolling: settings.rolling,
        refresh_interval: settings.refresh_interval.map(duration_millis),
    }
}

/// Where a format cannot tell whether somebody has logged in, all sessions last as long.
fn anonymous_max_age(settings: &Settings, format: &Format) -> Option<Duration> {
    let can_tell = format.authenticated || settings.store.is_some();
    settings.anonymous_max_age.filter(|_| can_tell).map(|anonymous| {
        let max_age = settings.max_age.unwrap_or(anonymous);
        anonymous.min(max_age)
    })
}

/// The application's name stands in every derived key and hash after its length in two bytes.
pub(super) fn check_app(app: &str) -> Result<(), Error> {
    if u16::try_from(app.len()).is_ok() {
        return Ok(());
    }
    Err(Error::config(format!(
        "the application's name is longer than 65,535 bytes (it has {}): give `app` a shorter one",
        app.len()
    )))
}

pub(super) fn check_lifetime(settings: &Settings, format: &Format) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::config(reason));
    let is_zero = |duration: Option<Duration>| duration.is_some_and(|duration| duration < Duration::from_secs(1));
    if is_zero(settings.anonymous_max_age)
        || is_zero(settings.max_age)
        || is_zero(settings.max_age_limit)
        || is_zero(settings.absolute_lifetime)
    {
        return refuse("a lifetime of less than one second ends every session at once: give it a second or more");
    }
    if settings.max_age.is_some() && !format.issued {
        return refuse(
            "this codec does not carry when a cookie was written, so the server cannot enforce `max_age`: set \
             `max_age(None)` and know that its cookies never expire",
        );
    }
    if settings.absolute_lifetime.is_some() && !format.created {
        return refuse(
            "this codec does not carry when a session began, so `absolute_lifetime` cannot work: leave it out",
        );
    }
    if settings.max_age_limit.is_some() && !format.max_age {
        return refuse(
            "this codec has no place for a session's own lifetime, so `max_age_limit` cannot work: leave it out",
        );
    }
    if settings
        .max_age_limit
        .is_some_and(|limit| settings.max_age.is_none_or(|age| age > limit))
    {
        return refuse("`max_age_limit` is shorter than `max_age`: raise the limit or lower the age");
    }
    // Another framework's own age counts, or else the layer's.
    let max_age = lifetime(settings, format).max_age;
    if settings.rolling && max_age.is_none() {
        return refuse("`rolling` prolongs `max_age`, and there is none: set one, or leave `rolling` out");
    }
    if settings
        .refresh_interval
        .is_some_and(|interval| max_age.is_some_and(|age| duration_millis(interval) >= age))
    {
        return refuse(
            "`refresh_interval` is not shorter than `max_age`, so sessions in use would expire: make it shorter",
        );
    }
    Ok(())
}
