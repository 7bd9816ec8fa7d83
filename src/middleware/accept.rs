//! What a layer accepts besides its own cookies.

use std::{fmt, sync::Arc, time::SystemTime};

use super::settings::Settings;
use crate::{codec::Codec, cookie::Scope};

/// Makes the codec anew for each layer that is built with it, since a codec is bound to the layer's names.
pub(super) type MakeCodec = Arc<dyn Fn() -> Box<dyn Codec> + Send + Sync>;

pub(super) fn make<C: Codec + Clone>(codec: C) -> MakeCodec {
    Arc::new(move || Box::new(codec.clone()))
}

/// A further format that a layer reads and never writes; see [`SessionLayer::also_accept`](crate::SessionLayer::also_accept).
///
/// A whole [`SessionLayer`](crate::SessionLayer) of before is one: its codec, application, cookie name, scope and lifetime are
/// taken from it, so that its cookies are found, and removed where they were set. For a session of Starlette, say what the
/// middleware's arguments were, as the [table](crate::codec::Starlette) has them:
///
/// ```
/// # #[cfg(feature = "starlette")] {
/// use std::time::SystemTime;
/// use http_session::{Key, SessionLayer, Until};
///
/// # let last_python_route_gone = SystemTime::now();
/// // SessionMiddleware(secret_key="...", session_cookie="sid", domain="example.com", https_only=True)
/// let before = SessionLayer::starlette("...").cookie_name("sid").domain("example.com").secure(true);
/// let layer = SessionLayer::encrypted(Key::generate()?)
///     .also_accept(before, Until::date(last_python_route_gone))
///     .build()?;
/// # }
/// # Ok::<(), http_session::Error>(())
/// ```
///
/// Every [`Codec`] is one, too, under the name that is its framework's, or else under the layer's own. Where its cookie was set,
/// it cannot tell: by default that is where the layer sets its own. A cookie of another name is removed as well from the host
/// alone and from `/`, if the layer's own `Domain` or `Path` is another; if it was set anywhere else, say so with
/// [`scope`](Self::scope), or it comes back after a logout.
#[derive(Clone)]
#[must_use]
pub struct Fallback {
    pub(super) codec: MakeCodec,
    pub(super) cookie_name: Option<String>,
    pub(super) app: Option<String>,
    pub(super) scope: Scope,
    /// The layer that wrote it.
    pub(super) before: Option<Arc<Settings>>,
}

impl Fallback {
    /// Reads what this codec wrote.
    pub fn new<C: Codec + Clone>(codec: C) -> Self {
        Self {
            codec: make(codec),
            cookie_name: None,
            app: None,
            scope: Scope::new(),
            before: None,
        }
    }

    /// Reads what a layer of these settings wrote.
    pub(super) fn of(before: Arc<Settings>) -> Self {
        Self {
            codec: before.codec.clone(),
            cookie_name: None,
            app: Some(before.app.clone()),
            scope: Scope::new(),
            before: Some(before),
        }
    }

    /// The cookie has this name on the wire; no prefix is put before it.
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = Some(name.into());
        self
    }

    /// It was written under this [application's name](crate::SessionLayer::app).
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = Some(app.into());
        self
    }

    /// It has another path or domain than the layer's cookie, which must be known to remove it.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }
}

impl<C: Codec + Clone> From<C> for Fallback {
    fn from(codec: C) -> Self {
        Self::new(codec)
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("cookie_name", &self.cookie_name)
            .field("app", &self.app)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Until when a [`Fallback`] is written somewhere, and so how long it must be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until(Option<SystemTime>);

impl Until {
    /// The last server that writes the format is gone by this time. What says that it was written later is refused, and at
    /// this time plus the layer's `max_age` nothing is accepted any more; without a `max_age`, at this time.
    #[must_use]
    pub fn date(at: SystemTime) -> Self {
        Self(Some(at))
    }

    /// The format is written for as long as can be foreseen. Whoever has its key can make sessions all that time.
    #[must_use]
    pub fn forever() -> Self {
        Self(None)
    }

    pub(super) fn end(self) -> Option<SystemTime> {
        self.0
    }
}

/// What to make of several valid cookies of one name that hold different sessions; see
/// [`SessionLayer::on_duplicates`](crate::SessionLayer::on_duplicates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Duplicates {
    /// The session is empty, and [`Reject::Ambiguous`](crate::Reject::Ambiguous) says why: one of them may have been planted
    /// by another site under the same domain.
    Reject,
    /// The one that was written last counts.
    Newest,
}
