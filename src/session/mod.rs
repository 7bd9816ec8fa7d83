//! What a session is: the handle that handlers hold, its data, and how long it lasts.

mod changes;
mod commit;
mod data;
mod id;
mod index;
mod job;
mod lifetime;
mod order;
mod payload;
mod reason;
mod scan;
mod shared;
mod small_text;
mod source;
mod state;
mod stored;
mod table;
mod text;
mod turn;
mod values;
mod write;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_core::{Serialize, de::DeserializeOwned};

use self::small_text::SmallText;
pub(crate) use self::{
    data::{Base, Delta},
    job::{BoxFuture, Job, Spawner},
    lifetime::Lifetime,
    order::{Order, Outcome, Write},
    payload::{LAST_MILLIS, Meta, Millis, duration_millis, millis, system_time},
    reason::not_written,
    shared::Shared,
    source::{Action, End, LayerId, Opened, Sealed, Source},
    stored::{Behind, Stored},
    write::to_json as json_of,
};
pub use self::{
    id::{ParseSessionIdError, SessionId},
    payload::Payload,
    values::Values,
};
use crate::error::{Error, Reject};

/// So often an update is tried against others who change the same value in a store, or if its own
/// closure changes it.
const UPDATES: u32 = 100;

/// The longest owner and the longest label, in bytes.
const LONGEST_NAME: usize = 1_024;

/// So often it is tried against other threads of one request, each of which comes to an end of its
/// own.
const RACES: u32 = 10_000;

/// How often something may be tried again when another handle was first.
#[derive(Default)]
struct Attempts {
    own: u32,
    others: u32,
}

impl Attempts {
    /// Counts one that failed because another thread wrote, or because the user's own code did.
    fn count(&mut self, by_others: bool, key: &str) -> Result<(), Error> {
        if by_others {
            self.others += 1;
            std::thread::yield_now();
        } else {
            self.own += 1;
        }
        if self.own < UPDATES && self.others < RACES {
            return Ok(());
        }
        Err(Error::Contended { key: key.to_owned() })
    }
}

/// The session of one request: a dictionary that lives on from request to request.
///
/// It is a handle. Clones are the same session, and what one writes every other sees, on every thread. The layer puts it
/// into the request's extensions, so any framework finds it with `request.extensions().get::<Session>()`; with the feature
/// `axum` it is an extractor.
///
/// Values are whatever serde can turn into JSON. A value is parsed when it is asked for, and nothing else is; a member that
/// nobody touches goes back to the client byte for byte as it came.
///
/// # What is written, and when
///
/// When the response head leaves, the layer writes the session back **if it changed**: a value set
/// to what it already was, or set and removed again, is no change. A session that has become empty
/// is removed. After that moment every write is [`Error::HeadersSent`]; reads go on if the session
/// was read before, or if no cache keeps the response (101, and whatever answers a `CONNECT`).
///
/// A request that failed keeps nothing: if the response is a 5xx, changes are dropped, and only
/// what was saved and the end of a session stay. See
/// [`keep_on_server_error`](crate::SessionLayer::keep_on_server_error).
///
/// A captured cookie of a cookie session stays valid until it expires: the server keeps nothing that could be revoked, and
/// [`destroy`](Self::destroy) removes the cookie from the client that asked. Keep [`max_age`](crate::SessionLayer::max_age)
/// as short as the application bears, or keep sessions in a [store](crate::store).
///
/// # Sessions in a store
///
/// A session of [`SessionLayer::with_store`](crate::SessionLayer::with_store) is fetched by [`load`](Self::load), which the axum
/// extractor calls. Before that, `insert`, `remove` and `clear` work, and a read is [`Error::NotLoaded`] unless this request has
/// written what it asks for. If the fetch fails, everything is [`Error::Store`] until one succeeds: nothing is written, and the
/// client keeps its cookie.
///
/// What was changed, key by key, goes onto the newest state in the store, so requests at the same time do not undo each other. If
/// another one ended or renewed the session meanwhile, nothing is written and no cookie is sent ([`Error::Gone`] for whoever
/// asks). Keys come in alphabetical order, those that were just set last.
///
/// When the response has left, a stored session that the client already has can still be changed and
/// [saved](Self::save): for work that goes on behind a stream.
///
/// # Testing your handlers
///
/// A session needs no layer. Make one, hand it to the code under test, look at it afterwards:
///
/// ```
/// use http_session::Session;
///
/// fn add_to_cart(session: &Session, item: &str) -> Result<(), http_session::Error> {
///     let mut cart: Vec<String> = session.get("cart")?.unwrap_or_default();
///     cart.push(item.to_owned());
///     session.insert("cart", cart)
/// }
///
/// let session = Session::new();
/// add_to_cart(&session, "tea")?;
/// assert_eq!(session.get::<Vec<String>>("cart")?, Some(vec!["tea".to_owned()]));
/// # Ok::<(), http_session::Error>(())
/// ```
///
/// For a test through the whole service, [`SessionLayer::cookie_header`](crate::SessionLayer::cookie_header) makes the
/// `Cookie` header of a client that has a session already. `Debug` of a `Set-Cookie` header prints
/// `Sensitive` instead of the value, in a failed `assert_eq!` as well as in a log: compare
/// `to_str()`.
///
/// Over real HTTP, the cookie is `Secure`: curl and reqwest send such cookies to `localhost` and
/// `127.0.0.1`, Python's `httpx` does not and says nothing, so a test client looks logged out. Give
/// the layer under test [`secure(false)`](crate::SessionLayer::secure), or send the header by hand.
#[derive(Clone)]
#[must_use]
pub struct Session {
    shared: Arc<Shared<dyn Source>>,
}

impl Session {
    /// An empty session that belongs to no request, for tests of code that takes a session. It is never written anywhere.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared::new(source::Detached)),
        }
    }

    pub(crate) fn of(shared: Arc<Shared<dyn Source>>) -> Self {
        Self { shared }
    }

    /// This session and those that it hides, the inner ones first; not those whose response has
    /// left.
    pub(crate) fn and_outer(&self) -> impl Iterator<Item = &Self> {
        let outwards = std::iter::successors(Some(self), |session| session.shared.source.outer());
        outwards.filter(|session| !session.shared.is_sealed())
    }

    /// Tells whether both are handles of one session.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(crate) fn layer(&self) -> Option<LayerId<'_>> {
        self.shared.source.layer()
    }

    // --- The dictionary.

    /// Reads the value under `key`, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Type`] if the value is not a `T`; it stays as it is. Otherwise as [`len`](Self::len).
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let mut raw = SmallText::default();
        // Written in its place: moving it about would cost more than parsing it.
        let is_there = self
            .shared
            .read_key(key, |state| state.data.get(key).map(|text| raw.set(text)).is_some())?;
        is_there.then(|| parse(key, raw.as_str())).transpose()
    }

    /// Sets the value under `key`. A new key comes after all others; a known one keeps its place.
    ///
    /// `None` is a value, too: it is kept as `null`, so [`contains_key`](Self::contains_key) is
    /// true, and it reads as `get::<Option<T>>`, while `get::<T>` is [`Error::Type`]. `()` and
    /// `Some(None)` are the same `null`. To have nothing there, call [`remove`](Self::remove).
    ///
    /// A struct that gets a new field needs `#[serde(default)]` on it, or what was written before
    /// cannot be read any more.
    ///
    /// # Errors
    ///
    /// [`Error::Serialize`] if the value cannot be written as JSON so that it can be read again:
    /// `NaN`, the infinities, map keys that are neither text nor numbers, and what nests deeper
    /// than 127 levels. [`Error::Unreadable`] if it would take the place of a session that only
    /// other software can read, [`Error::HeadersSent`] if it is too late. The session stays as it
    /// is.
    pub fn insert<T: Serialize>(&self, key: &str, value: T) -> Result<(), Error> {
        let value = to_json(key, &value)?;
        self.shared.change_data(|state| state.data.set(key, value))
    }

    /// Removes the value under `key`, if there is one, and returns nothing: [`take`](Self::take)
    /// returns the value, and needs a stored session to be [loaded](Self::load) for it.
    ///
    /// # Errors
    ///
    /// [`Error::HeadersSent`] if it is too late.
    pub fn remove(&self, key: &str) -> Result<(), Error> {
        self.shared.change_data(|state| state.data.remove(key))
    }

    /// Removes the value under `key` and returns it: what a flash message needs.
    /// ([`remove`](Self::remove) is for those who do not need it.)
    ///
    /// # Errors
    ///
    /// [`Error::Type`] if the value is not a `T`, and then it stays; [`Error::HeadersSent`] if it
    /// is too late; [`Error::Contended`] if the value changed again and again while it was parsed.
    pub fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let mut attempts = Attempts::default();
        loop {
            let Some(raw) = self.raw(key)? else {
                return Ok(None);
            };
            let before = shared::writes_so_far();
            let value = parse(key, raw.as_str())?;
            let after = shared::writes_so_far();
            // Parsed outside of the lock: only what was parsed may be removed.
            let removed = self.shared.change_data(|state| {
                let same = state.data.get(key) == Some(raw.as_str());
                if same {
                    state.data.remove(key);
                }
                same
            })?;
            if removed {
                return Ok(Some(value));
            }
            attempts.count(after == before, key)?;
        }
    }

    /// Whether there is a value under `key`.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn contains_key(&self, key: &str) -> Result<bool, Error> {
        self.shared.read_key(key, |state| state.data.get(key).is_some())
    }

    /// The number of keys.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the layer was never built and cannot be; [`Error::HeadersSent`] if the session is read for the
    /// first time after the response head was sent; [`Error::NotLoaded`] or [`Error::Store`] for a stored session that was not,
    /// or could not be, fetched.
    pub fn len(&self) -> Result<usize, Error> {
        self.shared.read(|state| state.data.len())
    }

    /// Whether there are no keys.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.shared.read(|state| state.data.is_empty())
    }

    /// The keys, in the order in which they were first set; those that came from a store, in alphabetical order.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.shared.read(|state| state.data.keys().map(str::to_owned).collect())
    }

    /// Removes all keys, and all that says whose session it was: owner, label, the time of the
    /// login, and a lifetime of its own. If nothing is set afterwards, the cookie is removed, and a
    /// record in a store is deleted: a logout, as in Starlette. Otherwise the session goes on with
    /// what was set, and without those: under a new ticket, or, where cookies have an id, under a
    /// new one.
    ///
    /// # Errors
    ///
    /// [`Error::HeadersSent`] if it is too late.
    pub fn clear(&self) -> Result<(), Error> {
        self.shared.change_or_end(state::State::clear)
    }

    /// Reads the whole session as one map or struct: `to_map::<BTreeMap<String, serde_json::Value>>()`.
    ///
    /// # Errors
    ///
    /// [`Error::Type`], with an empty key, if the session is not a `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use http_session::Session;
    /// use std::collections::BTreeMap;
    ///
    /// let session = Session::new();
    /// session.insert("user", 42)?;
    /// session.insert("visits", 7)?;
    /// let all: BTreeMap<String, u64> = session.to_map()?;
    /// assert_eq!(all["visits"], 7);
    /// # Ok::<(), http_session::Error>(())
    /// ```
    pub fn to_map<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json = self.shared.read(|state| state.data.to_json())?;
        parse("", &json)
    }

    /// Reads the value under `key`; if there is none, sets it to what `make` returns.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`insert`](Self::insert).
    pub fn get_or_insert_with<T, F>(&self, key: &str, make: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> T,
    {
        if let Some(value) = self.get(key)? {
            return Ok(value);
        }
        let value = make();
        let json = to_json(key, &value)?;
        let other = self.shared.change_data(|state| match state.data.get(key) {
            // Another clone was first.
            Some(other) => Some(SmallText::from(other)),
            None => {
                state.data.set(key, json);
                None
            }
        })?;
        match other {
            Some(other) => parse(key, other.as_str()),
            None => Ok(value),
        }
    }

    /// Reads the value under `key`, sets it to what `change` makes of it, and returns that. No other handle's write is lost
    /// in between: if one came first, `change` is called again with the newer value.
    ///
    /// A session in a cookie knows of the handles of this request only. In a store, the value is
    /// committed at once and compared with what is there, so that nothing is lost between requests
    /// and machines either; `change` is called up to 100 times. So it is where `change` itself
    /// writes to `key`, which it should not.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`insert`](Self::insert); for a stored session also as [`load`](Self::load) and
    /// [`save`](Self::save), and [`Error::Contended`] if others were always first. The value is as it was then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use http_session::Session;
    /// # async fn handler(session: Session) -> Result<(), http_session::Error> {
    /// let visits = session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update<T, F>(&self, key: &str, mut change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> T,
    {
        if self.shared.is_stored() {
            return self.update_stored(key, change).await;
        }
        let mut attempts = Attempts::default();
        loop {
            let raw = self.raw(key)?;
            let before = shared::writes_so_far();
            let old = raw.as_ref().map(|raw| parse(key, raw.as_str())).transpose()?;
            let new = change(old);
            let json = to_json(key, &new)?;
            let after = shared::writes_so_far();
            let set = self.shared.change_data(|state| {
                let same = state.data.get(key) == raw.as_ref().map(SmallText::as_str);
                if same {
                    state.data.set(key, json);
                }
                same
            })?;
            if set {
                return Ok(new);
            }
            attempts.count(after == before, key)?;
        }
    }

    async fn update_stored<T, F>(&self, key: &str, mut change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> T,
    {
        self.load().await?;
        for attempt in 0..UPDATES {
            let raw = self.raw(key)?;
            let old = raw.as_ref().map(|raw| parse(key, raw.as_str())).transpose()?;
            let new = change(old);
            let json = to_json(key, &new)?;
            let old = raw.map(|raw| raw.as_str().to_owned());
            match Arc::clone(&self.shared).swap(key.to_owned(), old, json).await? {
                Outcome::Conflict => self.shared.source.pause(attempt).await,
                _ => return Ok(new),
            }
        }
        Err(Error::Contended { key: key.to_owned() })
    }

    // --- Its life.

    /// Fetches the session from its store, once; the axum extractor has done so already. A session
    /// in a cookie is there, so this does nothing; call it in code that should work with every kind
    /// of session. Several calls at the same time ask the store once, and without a ticket in the
    /// request it is not asked at all.
    ///
    /// A second call does not ask again. A handle that is held for long, in a `WebSocket` say, goes
    /// on reading what was fetched, and does not notice a logout elsewhere;
    /// [`update`](Self::update) does, with [`Error::Gone`].
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store failed or did not answer in time, which is worth another try;
    /// [`Error::Config`] if the layer was never built and cannot be; [`Error::HeadersSent`] if it is the first access after the
    /// response head was sent.
    pub async fn load(&self) -> Result<(), Error> {
        if self.shared.is_stored() {
            Arc::clone(&self.shared).load().await
        } else {
            self.shared.check()
        }
    }

    /// Commits the session now instead of when the response head leaves, for handlers that want to see the error. The
    /// cookie still travels with the response. A later change is committed again.
    ///
    /// Saved changes are sent even if the handler's response is an error, when all other changes
    /// are dropped, or if a later change cannot be committed. A commit to a store that has begun
    /// goes on when this future is dropped, if there is a runtime for it
    /// ([`spawn_with`](crate::SessionLayer::spawn_with)).
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Value`], [`Error::Random`], [`Error::Codec`],
    /// [`Error::Store`]: the changes are still to be committed, and the client keeps the session it
    /// has. [`Error::Gone`] if another request ended or renewed the stored session meanwhile: it is
    /// empty now. [`Error::HeadersSent`] if it is too late.
    pub async fn save(&self) -> Result<(), Error> {
        if self.shared.is_stored() {
            Arc::clone(&self.shared).save().await.map(|_| ())
        } else {
            self.shared.save_cookie()
        }
    }

    /// Gives the session a new identity and keeps its data and [`created_at`](Self::created_at). Call it whenever
    /// privileges change, so that a cookie that somebody planted or saw before is not the one that gains them (session
    /// fixation; OWASP ASVS 7.2.4). For a login, [`authenticated`](Self::authenticated) does it too.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] or [`Error::HeadersSent`]; the session keeps its identity.
    pub fn renew(&self) -> Result<(), Error> {
        let id = self.shared.new_id()?;
        self.shared.change(|state| state.renew(id))
    }

    /// Call it when the user has proved who they are: [`renew`](Self::renew), and the time of it is kept for
    /// [`authenticated_at`](Self::authenticated_at). The [`absolute_lifetime`](crate::SessionLayer::absolute_lifetime)
    /// begins anew, and the session lives for [`max_age`](crate::SessionLayer::max_age) instead of
    /// [`anonymous_max_age`](crate::SessionLayer::anonymous_max_age).
    ///
    /// If another login has renewed the stored session since this request fetched it, as when a form was
    /// sent twice, this one begins a session of its own.
    ///
    /// # Errors
    ///
    /// As [`renew`](Self::renew).
    pub fn authenticated(&self) -> Result<(), Error> {
        let id = self.shared.new_id()?;
        let now = self.shared.now();
        self.shared.change(|state| state.authenticated(id, now))
    }

    /// Ends the session: the cookie is removed, a record in a store is deleted, all reads are empty
    /// from here on, and an insert begins a new session. This is what a logout calls. It is carried
    /// out even if the response is a 5xx; what was set after it is dropped then.
    ///
    /// # Errors
    ///
    /// [`Error::HeadersSent`] if it is too late.
    pub fn destroy(&self) -> Result<(), Error> {
        self.shared.change_or_end(state::State::destroy)
    }

    /// Gives this session a lifetime of its own, in whole seconds, at least one: "remember me". Its
    /// cookie says so with a `Max-Age`, even if the layer's sessions otherwise end [with the
    /// browser](crate::SessionLayer::browser_session).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it is longer than the layer's
    /// [`max_age_limit`](crate::SessionLayer::max_age_limit), which is its `max_age` unless it was
    /// set, or if the codec cannot carry it; [`Error::HeadersSent`] if it is too late. The lifetime
    /// is as it was then.
    pub fn set_max_age(&self, max_age: Duration) -> Result<(), Error> {
        if !self.shared.carries_max_age() {
            return Err(Error::config(
                "this codec has no place for a session's own lifetime: set `max_age` on the layer instead",
            ));
        }
        let seconds = payload::seconds(max_age).min(payload::AS_THE_LAYERS - 1);
        if let Some(limit) = self.shared.limit(seconds) {
            return Err(Error::config(format!(
                "a lifetime of {max_age:?} is longer than the {limit:?} that a session of this layer may have: raise \
                 `max_age_limit` on the layer, or ask for less"
            )));
        }
        self.shared.change(|state| state.set_max_age(seconds))
    }

    /// Says whose session this is, so that [`SessionLayer::sessions_of`](crate::SessionLayer::sessions_of) and
    /// [`SessionLayer::destroy_all`](crate::SessionLayer::destroy_all) find it: a name that stays the user's own, such as
    /// `"user-42"`, of at most 1,024 bytes. Call it at login. It ends with the session.
    ///
    /// Owners are those of one [application](crate::SessionLayer::app): another one on the same
    /// store has others of the same name, while [tagged](crate::SessionLayer::tagged) layers of one
    /// application share them. A store keeps a hash of the name, and the name itself encrypted
    /// under the ticket, so that who reads the store can try guesses and no more.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the session is not in a store that knows owners, [`Error::Value`] if
    /// the name has more than 1,024 bytes, [`Error::HeadersSent`] if it is too late.
    pub fn set_owner(&self, owner: impl Into<String>) -> Result<(), Error> {
        let owner = owner.into();
        self.shared.check_owners()?;
        check_name("owner", &owner)?;
        self.shared.change_data(|state| {
            state.stored.owned |= state.stored.owner.as_ref() != Some(&owner);
            state.stored.owner = Some(owner);
            state.meta.is_owned = true;
        })
    }

    /// Whose session this is; `None` if [`set_owner`](Self::set_owner) was never called.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn owner(&self) -> Result<Option<String>, Error> {
        self.shared.read_meta(|state| state.stored.owner.clone())
    }

    /// Says what the owner knows this session by in a list of their sessions, such as `"Firefox on Linux"`. It is shown to
    /// the owner, so it must not be more than that: the layer never takes it from the request by
    /// itself. It has at most 1,024 bytes.
    ///
    /// # Errors
    ///
    /// As [`set_owner`](Self::set_owner).
    pub fn set_label(&self, label: impl Into<String>) -> Result<(), Error> {
        let label = label.into();
        self.shared.check_owners()?;
        check_name("label", &label)?;
        self.shared.change_data(|state| {
            state.stored.labelled |= state.stored.label.as_ref() != Some(&label);
            state.stored.label = Some(label);
        })
    }

    /// What the session is called in the store, and so in a list of its owner's sessions; `None` before its first commit, or
    /// if it is not in a store.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn id(&self) -> Result<Option<SessionId>, Error> {
        let is_live = self.shared.read_meta(|state| state.stored.behind == Behind::Live)?;
        Ok(if is_live { self.shared.source.session_id() } else { None })
    }

    /// Whether no valid session came with the request.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn is_new(&self) -> Result<bool, Error> {
        self.shared.read_meta(|state| !state.known)
    }

    /// Whether there is something to commit: the session differs from what came with the request or was last saved, and the
    /// response has not left.
    #[must_use]
    pub fn is_modified(&self) -> bool {
        self.shared.is_modified()
    }

    /// When the session began; `None` before its first commit, or if the codec cannot tell.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn created_at(&self) -> Result<Option<SystemTime>, Error> {
        self.shared.read_meta(|state| state.meta.created.map(system_time))
    }

    /// When [`authenticated`](Self::authenticated) was last called: before something dangerous, ask for the password again
    /// if that is long ago (OWASP ASVS 7.5.1 and 7.5.3).
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    ///
    /// # Examples
    ///
    /// ```
    /// # use http_session::{Error, Session};
    /// use std::time::Duration;
    ///
    /// fn must_log_in_again(session: &Session) -> Result<bool, Error> {
    ///     let recent = Duration::from_secs(15 * 60);
    ///     let last = session.authenticated_at()?;
    ///     Ok(!last.is_some_and(|at| at.elapsed().is_ok_and(|ago| ago < recent)))
    /// }
    /// # let session = Session::new();
    /// # assert!(must_log_in_again(&session)?);
    /// # session.authenticated()?;
    /// # assert!(!must_log_in_again(&session)?);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn authenticated_at(&self) -> Result<Option<SystemTime>, Error> {
        self.shared.read_meta(|state| state.meta.authenticated.map(system_time))
    }

    /// The last moment at which the session, as it was last written, is accepted; `None` before its first commit, or if it
    /// never expires.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn expires_at(&self) -> Result<Option<SystemTime>, Error> {
        let meta = self.shared.read_meta(|state| state.meta)?;
        Ok(self.shared.expires(&meta).map(system_time))
    }

    /// Why the request's cookie was not accepted; `None` if it was, or if there was none.
    #[must_use]
    pub fn rejected(&self) -> Option<Reject> {
        self.shared.look(|state| state.rejected).ok().flatten()
    }

    /// The JSON text under `key`, out of the lock: what deserialises it is the caller's code.
    fn raw(&self, key: &str) -> Result<Option<SmallText>, Error> {
        self.shared
            .read_key(key, |state| state.data.get(key).map(SmallText::from))
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("modified", &self.is_modified())
            .finish_non_exhaustive()
    }
}

/// A name comes with each list of an owner's sessions, so it is short.
fn check_name(which: &str, name: &str) -> Result<(), Error> {
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    let reason = format!(
        "its {which} has {} bytes and {LONGEST_NAME} are the most: shorten it, or keep the rest in the session",
        name.len()
    );
    Err(Error::value("", reason))
}

fn parse<T: DeserializeOwned>(key: &str, json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| Error::Type {
        key: key.to_owned(),
        expected: reason::short_name(std::any::type_name::<T>()),
        reason: reason::not_read(&error, json),
    })
}

fn to_json<T: Serialize>(key: &str, value: &T) -> Result<String, Error> {
    write::to_json(value).map_err(|error| Error::Serialize {
        key: key.to_owned(),
        reason: not_written(&error),
    })
}
