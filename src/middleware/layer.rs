//! The layer: settings that read like sentences.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Response};
use serde_core::Serialize;
use tower_layer::Layer;

use super::{
    accept::{Duplicates, Fallback, Until, make},
    built::Built,
    error_response::DefaultErrorResponse,
    service::SessionService,
    settings::{Place, Settings},
    stored::{TicketText, backend},
    tagged::Tagged,
};
use crate::{
    SameSite,
    codec::{Codec, Encrypted, Signed},
    cookie::{Attributes, Scope},
    error::Error,
    event::event,
    key::{KeyRing, random},
    session::{Payload, json_of, not_written, system_time},
    store::Store,
};

const TWO_WEEKS: Duration = Duration::from_secs(14 * 86_400);

const A_DAY: Duration = Duration::from_secs(86_400);

const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Gives every request of a service a [`Session`](crate::Session).
///
/// A layer is a cheap clone and is not generic over what it stores, so it fits into a struct and can be chosen at run time.
///
/// # Defaults
///
/// | setting | default | |
/// |---|---|---|
/// | [`cookie_name`](Self::cookie_name) | `session`, so `__Host-session` on the wire | the strongest prefix that the attributes allow |
/// | [`secure`](Self::secure), [`http_only`](Self::http_only) | on | |
/// | [`same_site`](Self::same_site) | `Lax` | |
/// | [`path`](Self::path) | `/` | |
/// | [`domain`](Self::domain) | none | only the host that set the cookie gets it |
/// | [`max_age`](Self::max_age) | 14 days | from the last write; the server enforces it |
/// | [`anonymous_max_age`](Self::anonymous_max_age) | 1 day | the same for sessions that nobody has logged in to |
/// | [`rolling`](Self::rolling) | off | |
/// | [`absolute_lifetime`](Self::absolute_lifetime) | none | |
/// | [`chunked`](Self::chunked) | 1 cookie | at most 4,096 bytes of name and value |
/// | [`partitioned`](Self::partitioned), [`browser_session`](Self::browser_session) | off | |
///
/// # Which layer goes where
///
/// The layer gives a session to all that stands **inside** of it: handlers, extractors, and
/// middleware that reads the session, such as a `from_fn` that asks for a login. A `Router` runs
/// the layer that is added last first, so the session layer is added *after* them; in a
/// `ServiceBuilder`, where the first one runs first, before them.
///
/// | outside of it | inside of it |
/// |---|---|
/// | compression, tracing, request ids, limits of rate and size: nothing that needs the session | whatever reads or writes the session |
/// | layers that change the response's body, unless [`on_error`](Self::on_error) is given | time-outs and `CatchPanicLayer`, so that their 5xx drops what a handler left half done |
///
/// On a `Router`, [`layer`](https://docs.rs/axum/0.8/axum/struct.Router.html#method.layer) is for
/// all routes that were added before and for the fallback; `route_layer` leaves out the fallback,
/// which has no session then, and neither has a route that is added later.
///
/// # Mistakes
///
/// Settings that contradict each other or a standard are refused by [`build`](Self::build), which says why: call it last. A
/// layer that was not built builds itself when it is first used. If that fails, each service that
/// it is put around is an event (on a `Router` that is each route), every method of every session
/// returns the reason as an error, and no cookie is ever read or written.
///
/// A layer may stand on a router and on one within it: the inner clone goes on with the session of
/// the outer one, which writes it. Two different layers need two cookie names, and all but one of
/// them a [tag](Self::tagged).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use http_session::{Key, SessionLayer};
///
/// let layer = SessionLayer::encrypted(Key::generate()?)
///     .cookie_name("id")
///     .max_age(Duration::from_secs(30 * 60))
///     .rolling(true)
///     .absolute_lifetime(Duration::from_secs(12 * 3600))
///     .build()?;
/// # Ok::<(), http_session::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct SessionLayer<R = DefaultErrorResponse> {
    settings: Arc<Settings>,
    built: Arc<OnceLock<Result<Arc<Built>, Error>>>,
    on_error: R,
}

impl SessionLayer {
    /// Sessions in the cookie, encrypted: the client can neither read nor change them.
    pub fn encrypted(keys: impl Into<KeyRing>) -> Self {
        Self::with_codec(Encrypted::new(keys))
    }

    /// Sessions in the cookie, signed: the client can read them and cannot change them.
    pub fn signed(keys: impl Into<KeyRing>) -> Self {
        Self::with_codec(Signed::new(keys))
    }

    /// Sessions on the server: the cookie holds a ticket of 64 characters, and the store keeps the data. They can be large, are
    /// shared by all who share the store, and can be ended by the server.
    ///
    /// A stored session is fetched by [`Session::load`](crate::Session::load); the axum extractor calls it. No cookie, no
    /// question: the store is never asked without a well-formed ticket in the request.
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use http_session::{SessionLayer, store::MemoryStore};
    ///
    /// let layer = SessionLayer::with_store(MemoryStore::new()).build()?;
    /// # }
    /// # Ok::<(), http_session::Error>(())
    /// ```
    pub fn with_store<S: Store>(store: S) -> Self {
        Self::with_codec(TicketText).set(|settings| settings.store = Some(backend(store)))
    }

    /// Sessions in the cookie, in a format of your own or of another framework.
    pub fn with_codec<C: Codec + Clone>(codec: C) -> Self {
        Self {
            settings: Arc::new(Settings {
                codec: make(codec),
                store: None,
                store_timeout: Some(STORE_TIMEOUT),
                spawn: None,
                max_sessions: None,
                app: String::new(),
                attributes: Attributes {
                    name: "session".into(),
                    prefixed: true,
                    path: "/".into(),
                    domain: None,
                    secure: true,
                    http_only: true,
                    same_site: SameSite::Lax,
                    partitioned: false,
                },
                is_named: false,
                max_age: Some(TWO_WEEKS),
                anonymous_max_age: Some(A_DAY),
                max_age_limit: None,
                absolute_lifetime: None,
                rolling: false,
                refresh_interval: None,
                browser_session: false,
                parts: 1,
                retired: Vec::new(),
                fallbacks: Vec::new(),
                on_duplicates: None,
                keeps_on_server_error: false,
                clock: None,
                place: Place {
                    find: |extensions| extensions.get(),
                    insert: |extensions, session| drop(extensions.insert(session)),
                    is_tagged: false,
                },
            }),
            built: Arc::default(),
            on_error: DefaultErrorResponse,
        }
    }
}

#[cfg(feature = "starlette")]
impl SessionLayer {
    /// Sessions in Starlette's and FastAPI's own cookie, with `SessionMiddleware`'s defaults: the name `session`, 14 days,
    /// `path=/`, `samesite=lax`, `httponly`, **not** `secure`. See [`codec::Starlette`](crate::codec::Starlette).
    pub fn starlette(secret: impl Into<String>) -> Self {
        Self::with_codec(crate::codec::Starlette::new(secret)).secure(false)
    }
}

impl<R> SessionLayer<R> {
    // --- The cookie.

    /// Names the application, so that cookies of two applications with the same key are not good for each other. By default
    /// the name is empty. Changing it ends all sessions.
    pub fn app(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(|settings| settings.app = name)
    }

    /// Names the cookie. By default `session`. The strongest prefix that the other attributes allow is put before it:
    /// `__Host-` with `Secure`, `Path=/` and no `Domain`, otherwise `__Secure-` with `Secure` (RFC 6265bis, section 4.1.3),
    /// and none for another framework's codec. Changing it ends all sessions.
    ///
    /// Browsers keep cookies by host name and not by port. Two programs on one host name, such as
    /// on two ports of `localhost`, need two names: under one they overwrite each other's cookie,
    /// and each login ends the other's.
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(|settings| {
            settings.attributes.name = name;
            settings.is_named = true;
        })
    }

    /// Sets the `Path` to which the browser sends the cookie. By default `/`. It is no protection from other paths of the
    /// host, and with another path than `/` the cookie's prefix is `__Secure-`.
    pub fn path(self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.set(|settings| settings.attributes.path = path)
    }

    /// Sets the `Domain`, so that all its subdomains get the cookie and can overwrite it. By default there is none and only
    /// the host that set the cookie gets it; with one, the cookie's prefix is `__Secure-`.
    pub fn domain(self, domain: impl Into<String>) -> Self {
        let domain = domain.into();
        self.set(|settings| settings.attributes.domain = Some(domain))
    }

    /// Whether the cookie is sent over HTTPS only. On by default.
    ///
    /// Off is for development over plain HTTP, and takes the prefix from the cookie's name. On `http://localhost` it is
    /// needed for Safari only: Chromium and Firefox keep and send `Secure` cookies there.
    pub fn secure(self, secure: bool) -> Self {
        self.set(|settings| settings.attributes.secure = secure)
    }

    /// Whether the cookie is hidden from the page's scripts. On by default.
    ///
    /// # Cross-site scripting
    ///
    /// Without it, any script that gets into a page can take the session away. No script needs it.
    pub fn http_only(self, http_only: bool) -> Self {
        self.set(|settings| settings.attributes.http_only = http_only)
    }

    /// With which requests from other sites the cookie is sent. By default `Lax`: only when the user follows a link.
    /// `None` needs `Secure`, and then requests that other sites forge bring the cookie: check
    /// `Origin`, or use CSRF tokens.
    pub fn same_site(self, same_site: SameSite) -> Self {
        self.set(|settings| settings.attributes.same_site = same_site)
    }

    /// Whether a browser keeps a cookie of its own for each site that embeds this one (`Partitioned`). Off by default. It
    /// needs `Secure`. When switching, name the old scope with [`retired`](Self::retired).
    pub fn partitioned(self, partitioned: bool) -> Self {
        self.set(|settings| settings.attributes.partitioned = partitioned)
    }

    /// Names a scope in which a cookie of this name was set before: another `Domain`, another `Path`, with or without
    /// `Partitioned`. When a request brings a cookie of that name and the session is written or removed, the cookie in the old
    /// scope is removed too; otherwise the browser would keep sending both. A path hides a cookie from some requests, so
    /// one with another path than `/` is removed every time. Call it once for each scope.
    ///
    /// ```
    /// # use http_session::{Key, Scope, SessionLayer};
    /// let layer = SessionLayer::encrypted(Key::generate()?)
    ///     .partitioned(true)
    ///     .retired(Scope::new().partitioned(false))
    ///     .build()?;
    /// # Ok::<(), http_session::Error>(())
    /// ```
    pub fn retired(self, scope: Scope) -> Self {
        self.set(|settings| settings.retired.push(scope))
    }

    /// Splits a session that is too long for one cookie over up to this many, 1 to 4. By default 1: a longer session is
    /// [`Error::TooLarge`].
    ///
    /// With 2 or more, a session that a higher setting wrote is still read, and tidied up when it
    /// is written again. Before you go back to 1, run with 2 for one `max_age`: with 1, the further
    /// cookies are neither read nor removed.
    ///
    /// Browsers keep 4,096 bytes of name and value per cookie and send all of it with each request, and what is between
    /// browser and server limits the whole request head: nginx 8 KB per line (`large_client_header_buffers`), Apache 8,190 bytes
    /// per line (`LimitRequestFieldSize`), Node 16 KB, AWS load balancers 16 KB per line, `HAProxy` 16 KB (`tune.bufsize`), hyper
    /// about 400 KB over HTTP/1 and 16 KB over HTTP/2 (`max_header_list_size`). HTTP/2 browsers may send each cookie as a
    /// line of its own, but proxies join them.
    pub fn chunked(self, cookies: usize) -> Self {
        self.set(|settings| settings.parts = cookies)
    }

    /// What to make of several valid cookies of this layer that hold different sessions. By default the one that was
    /// written last counts if the name has the prefix `__Host-`, which nobody else can set, and the session is empty otherwise.
    pub fn on_duplicates(self, duplicates: Duplicates) -> Self {
        self.set(|settings| settings.on_duplicates = Some(duplicates))
    }

    // --- Time.

    /// How long a session is good after it was last written, or with [`rolling`](Self::rolling) last used. By default 14
    /// days. `None` means for ever, or until the [`absolute_lifetime`](Self::absolute_lifetime) ends.
    ///
    /// The server enforces it by the time inside the cookie; `Max-Age`, in seconds, only tells the browser. A lower age
    /// applies to cookies that are out already.
    pub fn max_age(self, max_age: impl Into<Option<Duration>>) -> Self {
        let max_age = max_age.into();
        self.set(|settings| settings.max_age = max_age)
    }

    /// Sets how long a session is good that nobody has logged in to: in which neither
    /// [`authenticated`](crate::Session::authenticated) nor
    /// [`set_owner`](crate::Session::set_owner) was ever called. By default a day, or the
    /// [`max_age`](Self::max_age) if that is shorter. `None` means as long as all others.
    ///
    /// Strangers can begin as many such sessions as they like wherever a visitor gets one, such as
    /// at a login form that keeps a CSRF token. This is how long they take room in a store. A
    /// session whose handler called [`set_max_age`](crate::Session::set_max_age) has a lifetime of
    /// its own, and one from a cookie of an [accepted](Self::also_accept) format that does not tell
    /// of logins lasts as long as a user's. A codec that cannot carry the time of a login
    /// ([`Format::carries_authenticated`](crate::codec::Format::carries_authenticated)) knows no
    /// difference.
    pub fn anonymous_max_age(self, max_age: impl Into<Option<Duration>>) -> Self {
        let max_age = max_age.into();
        self.set(|settings| settings.anonymous_max_age = max_age)
    }

    /// The most that [`Session::set_max_age`](crate::Session::set_max_age) may ask for; more is an
    /// error. By default the [`max_age`](Self::max_age).
    pub fn max_age_limit(self, limit: Duration) -> Self {
        self.set(|settings| settings.max_age_limit = Some(limit))
    }

    /// Whether use prolongs a session: an idle timeout (OWASP ASVS 7.3.1). Off by default. A session is used when a handler
    /// reads or writes it.
    pub fn rolling(self, rolling: bool) -> Self {
        self.set(|settings| settings.rolling = rolling)
    }

    /// With [`rolling`](Self::rolling), how much of its lifetime a session must have used up before a mere use writes it
    /// again. By default a tenth of its `max_age`, so that not every response carries a cookie. A session may expire by this
    /// much sooner after its last use than `max_age` says.
    pub fn refresh_interval(self, interval: Duration) -> Self {
        self.set(|settings| settings.refresh_interval = Some(interval))
    }

    /// How long a session may last altogether (OWASP ASVS 7.3.2), from when it began or from the last
    /// [`Session::authenticated`](crate::Session::authenticated), whichever is later. Nothing else prolongs it. By default there is no such limit.
    pub fn absolute_lifetime(self, lifetime: Duration) -> Self {
        self.set(|settings| settings.absolute_lifetime = Some(lifetime))
    }

    /// Whether the cookie is written without `Max-Age`, so that the browser drops it when it is closed (many restore it all
    /// the same). Off by default. The server's limits hold as ever.
    ///
    /// A session that was given a lifetime of its own with
    /// [`Session::set_max_age`](crate::Session::set_max_age) has a `Max-Age` all the same:
    /// "remember me", ticked. Set [`max_age_limit`](Self::max_age_limit) to the longest that it may
    /// be.
    pub fn browser_session(self, browser_session: bool) -> Self {
        self.set(|settings| settings.browser_session = browser_session)
    }

    /// Takes the time from here instead of from [`SystemTime::now`], for tests.
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.clock = Some(Arc::new(clock)))
    }

    // --- The store.

    /// How long a store may take for one step before it counts as failed. By default 5 seconds; `None` means as long as it
    /// wants. It needs the feature `tokio` and a Tokio runtime (with its timer on, as with `enable_all`: without, Tokio panics when
    /// a store is slow); elsewhere the store must see to it.
    pub fn store_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        let timeout = timeout.into();
        self.set(|settings| settings.store_timeout = timeout)
    }

    /// Where a commit to the store goes on when the client has hung up before its end. By default, with the feature `tokio`,
    /// in the runtime in which it began; without a runtime it is dropped, and what it was about may or may not be kept.
    pub fn spawn_with(self, spawn: impl Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.spawn = Some(Arc::new(spawn)))
    }

    /// How many sessions an owner may have at a time (OWASP ASVS 7.1.2). By default there is no limit. When
    /// [`Session::set_owner`](crate::Session::set_owner) has brought one more, those end whose login is longest ago.
    pub fn max_sessions_per_owner(self, sessions: usize) -> Self {
        self.set(|settings| settings.max_sessions = Some(sessions))
    }

    // --- The rest.

    /// Also reads what another codec wrote, and never writes it: for a change of format, name or key. Call it once for each.
    ///
    /// Best is to hand over the layer of before, with all of its settings: a codec alone does not
    /// know where its cookie was set, nor under which name. See [`Fallback`].
    ///
    /// A fallback under this layer's own name is tried on cookies that are not the layer's; one under another name is looked
    /// at only if there is no cookie under the layer's own. When the session is written or removed, the cookies of all accepted
    /// names that came with the request are removed.
    ///
    /// # Security
    ///
    /// The layer is then as strong as its weakest codec and key, which is why the end is an argument. A key that has
    /// **leaked** must not be accepted.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use http_session::{Key, SessionLayer, Until};
    ///
    /// let (old, new) = (Key::generate()?, Key::generate()?);
    /// let deployed = SystemTime::now() + Duration::from_secs(3600);
    /// let before = SessionLayer::signed(old).cookie_name("sid");
    /// let layer = SessionLayer::encrypted(new)
    ///     .also_accept(before, Until::date(deployed))
    ///     .build()?;
    /// # Ok::<(), http_session::Error>(())
    /// ```
    pub fn also_accept(self, fallback: impl Into<Fallback>, until: Until) -> Self {
        let fallback = fallback.into();
        self.set(|settings| settings.fallbacks.push((fallback, until)))
    }

    /// Writes changes even if the response has a status of 500 or above. By default a request that
    /// failed keeps nothing, as its other transactions do: a handler that returned `Err`, a panic
    /// or a time-out that a layer further in made a response of.
    ///
    /// | | below 500 | 500 and above | no response (`Err`, hung up) |
    /// |---|---|---|---|
    /// | what was changed | written | dropped | dropped |
    /// | what [`save`](crate::Session::save) has committed | stays | stays | stays in a store |
    /// | in a store, what [`update`](crate::Session::update) has committed | stays | stays | stays |
    /// | [`destroy`](crate::Session::destroy) | ended | ended; what was set since is dropped | dropped |
    /// | [`clear`](crate::Session::clear), nothing set since | ended | ended | dropped |
    /// | `clear`, something set since | written | dropped | dropped |
    ///
    /// An end is carried out, since a logout that failed half-way must not leave anybody logged in.
    /// A service that wants to keep something although it fails, such as the number of failed
    /// attempts, calls `save`. The status is what this layer sees: gRPC's errors are 200.
    pub fn keep_on_server_error(self) -> Self {
        self.set(|settings| settings.keeps_on_server_error = true)
    }

    /// Marks the layer, so that its session is a [`Tagged<M>`] in the request's extensions and several layers can stand on
    /// one service.
    pub fn tagged<M: 'static>(self) -> Self {
        self.set(|settings| {
            settings.place = Place {
                find: |extensions| extensions.get::<Tagged<M>>().map(|tagged| &**tagged),
                insert: |extensions, session| drop(extensions.insert(Tagged::<M>::new(session))),
                is_tagged: true,
            };
        })
    }

    /// Makes the response when a session cannot be committed, of the error and of what the handler answered. By default
    /// it is [`Error::status`] with an empty body, for which the body must be `Default`.
    ///
    /// The client keeps the session it has. A closure is cloned for each request; a type of your
    /// own that implements [`ErrorResponse`](crate::ErrorResponse) goes to
    /// [`error_response`](Self::error_response).
    ///
    /// The layer has another type after this call, which a struct cannot name. Its sessions do not
    /// depend on that: where [`sessions_of`](Self::sessions_of) and its sisters are to be called,
    /// keep a clone of the layer from before.
    ///
    /// ```
    /// use http::Response;
    /// use http_session::{Error, Key, SessionLayer};
    ///
    /// struct App {
    ///     sessions: SessionLayer,
    /// }
    ///
    /// let sessions = SessionLayer::encrypted(Key::generate()?).build()?;
    /// let app = App { sessions: sessions.clone() };
    /// let layer = sessions.on_error(|error, mut response: Response<String>| {
    ///     *response.status_mut() = error.status();
    ///     *response.body_mut() = "We could not keep your session.".to_owned();
    ///     response
    /// });
    /// # Ok::<(), Error>(())
    /// ```
    pub fn on_error<F, B>(self, on_error: F) -> SessionLayer<F>
    where
        F: FnMut(Error, Response<B>) -> Response<B> + Clone,
    {
        self.error_response(on_error)
    }

    /// Makes the response when a session cannot be committed by a type of your own, as
    /// [`on_error`](Self::on_error) does by a closure. The layer then has a type that can be named.
    ///
    /// ```
    /// use http::Response;
    /// use http_session::{Error, ErrorResponse, Key, SessionLayer};
    ///
    /// /// Keeps the handler's body, whatever its type is.
    /// #[derive(Clone)]
    /// struct KeepsBody;
    ///
    /// impl<B> ErrorResponse<B> for KeepsBody {
    ///     fn error_response(&mut self, error: Error, mut response: Response<B>) -> Response<B> {
    ///         *response.status_mut() = error.status();
    ///         response
    ///     }
    /// }
    ///
    /// let layer: SessionLayer<KeepsBody> = SessionLayer::encrypted(Key::generate()?).error_response(KeepsBody);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn error_response<T: Clone>(self, maker: T) -> SessionLayer<T> {
        SessionLayer {
            settings: self.settings,
            built: self.built,
            on_error: maker,
        }
    }

    /// Checks the settings and derives the keys. Call it last.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] or [`Error::Key`], with what is wrong and what to do about it.
    pub fn build(self) -> Result<Self, Error> {
        self.built()?;
        Ok(self)
    }

    /// Makes the `Cookie` header of a client that has a session with this data, as if it had just been written: for tests
    /// through the whole service. `data` must serialise to a JSON object, as a map or a struct does.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] or [`Error::Key`] as [`build`](Self::build), [`Error::Serialize`] if the data is not a JSON object,
    /// and whatever a commit may fail with.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use http_session::{Key, SessionLayer};
    ///
    /// let layer = SessionLayer::encrypted(Key::generate()?);
    /// let cookie = layer.cookie_header(&BTreeMap::from([("user", 42)]))?;
    /// let request = http::Request::get("/").header(http::header::COOKIE, cookie);
    /// # Ok::<(), http_session::Error>(())
    /// ```
    pub fn cookie_header<T: Serialize + ?Sized>(&self, data: &T) -> Result<HeaderValue, Error> {
        let refuse = |reason: String| Error::Serialize {
            key: String::new(),
            reason,
        };
        let built = self.built()?;
        if built.store.is_some() {
            return Err(Error::config(
                "the cookie of a stored session is good for nothing without its record: log in with a request, and send back \
                 the cookie of the response",
            ));
        }
        let json = json_of(data).map_err(|error| refuse(not_written(&error)))?;
        if !json.starts_with('{') {
            return Err(refuse(
                "it is a JSON object, so its data must be a map or a struct".to_owned(),
            ));
        }
        let now = system_time(built.now());
        let mut payload = Payload::new(json).with_created(now).with_issued(now);
        if built.carries_id() {
            payload = payload.with_id(random()?);
        }
        built.cookie_header(&payload)
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        // Clones of before keep what they had built.
        self.built = Arc::default();
        self
    }

    pub(super) fn built(&self) -> Result<Arc<Built>, Error> {
        self.built
            .get_or_init(|| Built::new(&self.settings).map(Arc::new))
            .clone()
    }
}

/// Makes a fallback of this layer, for the one that takes its place: with the same settings, and so
/// the same name, scope and lifetime.
impl<R> From<SessionLayer<R>> for Fallback {
    fn from(before: SessionLayer<R>) -> Self {
        Self::of(before.settings)
    }
}

impl<S, R: Clone> Layer<S> for SessionLayer<R> {
    type Service = SessionService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let built = self.built();
        if let Err(error) = &built {
            event!(ERROR, error = %error, "no request will have a session");
        }
        SessionService::new(inner, built, self.settings.place, self.on_error.clone())
    }
}

impl<R> fmt::Debug for SessionLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer")
            .field("attributes", &self.settings.attributes)
            .field("max_age", &self.settings.max_age)
            .finish_non_exhaustive()
    }
}
