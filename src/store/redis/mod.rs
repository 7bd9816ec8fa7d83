//! Sessions in Redis or Valkey, on one server or a cluster.

mod connection;
mod fields;
mod flight;
mod known;
mod login;
mod owners;
mod refusal;
mod rights;
mod script;
mod servers;
mod sweep;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use ::redis::{Value, from_redis_value};

use self::{
    connection::{Link, Wait, first},
    fields::AppliedTo,
    flight::Steps,
    known::KnownOwners,
    login::{Intent, Settled, Unanswered},
    owners::index_until,
    refusal::{Task, failed},
    script::{APPLY, CREATE, Keys, Lua},
};
use super::{
    Applied, Changes, Created, Epoch, Field, HashedTicket, Loaded, Login, Mark, OwnerId, Record, Store, StoredSession,
    Which,
};
use crate::{error::Error, session::SessionId};

/// How often a change of a session with an owner may find that another one prolonged it meanwhile.
const TRIES: u32 = 8;

/// Sessions in Redis (6.2 or later) or Valkey: for several machines and many requests. A clone is cheap and is the same store.
///
/// ```no_run
/// use http_session::{SessionLayer, store::RedisStore};
///
/// # async fn start() -> Result<(), http_session::Error> {
/// let store = RedisStore::connect("redis://127.0.0.1:6379").await?.key_prefix("shop:session:");
/// let layer = SessionLayer::with_store(store).build()?;
/// # Ok(())
/// # }
/// ```
///
/// # What it does
///
/// A session is one hash, and each step is one round trip: a read, or a script that does all of a
/// change or nothing. The server deletes what has expired, by its own clock, which therefore has to
/// be right; [`delete_expired`](Store::delete_expired) has nothing to do and returns 0. Reads go to
/// primaries only, since a replica may not know yet of a logout; a server that was one is noticed
/// by the next write, or by a read within a second.
///
/// All requests share one connection (in a cluster one to each server). It is made anew when it was
/// lost, and when it leads to a server that cannot do its work any more, as after a failover behind
/// one address. A request that was on its way then is sent once more, and a step that arrives twice
/// is taken once, however late it comes within a minute: a record keeps the numbers of the steps
/// that may still come again. While the server is away each request is an error; the first one
/// after its return is answered.
///
/// # Sessions with an owner
///
/// The list of an [owner](crate::Session::set_owner)'s sessions is a hash of its own, which in
/// a cluster may lie on another server than they do. A login takes five round trips, or six for a
/// session that was there before, and with `max_sessions_per_owner` one more, or three if sessions
/// must go; a logout takes two. Reads and writes take one, or two when this process has not seen
/// the session lately, and in a cluster two for each write.
///
/// - The order of logins is the server's. Whatever the clocks of clients say, an owner has at most
///   as many sessions as allowed once all logins are answered, and the last login stays.
/// - "Log out everywhere" ends what began before it, logins that are on their way included. It
///   works in pages of 500, the last login first, goes past what fails, and reports that at the
///   end. What it has done stays done.
/// - A login whose server died half-way is no line of "your devices" and takes nobody's place for
///   longer than a minute. The first request with the session's ticket brings it to its end, if it
///   is still in time.
/// - If the hash is lost, each session is found again when it is next read or written. It comes
///   before all others in the order then: the first to go.
///
/// The end of all sessions of everybody looks at every key. On one server what began before it and
/// comes later is refused; in a cluster only a login with an owner is. Keys that are named like a
/// session and hold something else are passed over, with an event.
///
/// # Rights
///
/// The user needs these rights to all keys with the [prefix](Self::key_prefix); which one is
/// missing is told when the store connects:
///
/// ```text
/// ACL SETUSER app on >password ~session:* +del +eval +evalsha +exists +hdel +hexists +hget +hgetall +hkeys +hlen
///     +hmget +hset +info +pexpire +pexpireat +ping +scan +time
/// ```
///
/// `+info` only for [`connect`](Self::connect), `+wait` for [`wait_replicas`](Self::wait_replicas),
/// and in a cluster also `+cluster|slots`.
///
/// # What a user can lose
///
/// An acknowledged change is as safe as the server makes it:
///
/// | server | when it fails |
/// |---|---|
/// | `appendonly yes`, `appendfsync always` | a crash or `kill -9` loses nothing |
/// | `appendonly yes`, `appendfsync everysec` | the last second may be lost |
/// | neither, or snapshots only | all since the last snapshot is lost |
/// | failover to a replica, in a cluster or not | the last changes may be lost, whatever is set above |
///
/// *Changes* are logins and logouts, too: a session that was ended or renewed in the last moment before a failover may be back
/// after it. [`wait_replicas`](Self::wait_replicas) narrows that.
///
/// # Memory
///
/// Redis holds all in memory: 0.5 to 1 KB for a small session and about twice its JSON for a large
/// one; for one with an owner 400 to 600 bytes more. A server with a limit must not evict:
/// `maxmemory-policy noeviction` is asked for when the store connects, because all other policies
/// log users out when the memory is full. A full server with it refuses new sessions and changes
/// with an error ([`Error::Store`]), and logouts go on.
///
/// # TLS
///
/// This crate turns on no TLS. Add `redis = { version = "1", features = ["tokio-rustls-comp"] }` to your own dependencies
/// (or `tokio-native-tls-comp`), and connect to `rediss://...`; with rustls, the program has to install one of its cryptography
/// providers before.
#[derive(Clone)]
pub struct RedisStore {
    link: Link,
    /// Waiting for replicas holds up a connection, so changes have one of their own then.
    writes: Link,
    wait: Option<Wait>,
    prefix: Arc<str>,
    steps: Arc<Steps>,
    known: Arc<KnownOwners>,
}

impl RedisStore {
    /// Connects to one server: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, or `unix:///path`.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the server cannot be reached, and [`Error::Config`] if the URL is none,
    /// if the user lacks a right, or if the server has a memory limit and may evict sessions.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let store = Self::connect_evicting(url).await?;
        store.link.refuse_eviction().await?;
        Ok(store)
    }

    /// Connects to a cluster. Of its servers these are asked for the others; they have one user and password.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), for every primary.
    pub async fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        let store = Self::cluster_evicting(urls).await?;
        store.link.refuse_eviction().await?;
        Ok(store)
    }

    /// [`connect`](Self::connect) to a server that may log users out when its memory is full, or whose settings cannot be read.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the server cannot be reached, and [`Error::Config`] if the URL is none
    /// or the user lacks a right other than `INFO`.
    pub async fn connect_evicting(url: &str) -> Result<Self, Error> {
        Self::new(Link::connect(url).await?).await
    }

    /// [`cluster`](Self::cluster) of servers that may log users out when their memory is full, or whose settings cannot be read.
    ///
    /// # Errors
    ///
    /// As [`connect_evicting`](Self::connect_evicting).
    pub async fn cluster_evicting<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        let urls = urls.into_iter().map(Into::into).collect();
        Self::new(Link::cluster(urls).await?).await
    }

    async fn new(link: Link) -> Result<Self, Error> {
        link.refuse_missing_rights().await?;
        Ok(Self {
            writes: link.clone(),
            link,
            wait: None,
            prefix: "session:".into(),
            steps: Arc::new(Steps::new()),
            known: Arc::default(),
        })
    }

    /// What the names of all keys begin with; `session:` unless it is set. Applications that share a server need one each.
    #[must_use]
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// After each change, waits until this many replicas have it, so that a failover to one of these does not lose it. The
    /// timeout is rounded down to milliseconds, and is 1 ms at least; make it shorter than the layer's.
    ///
    /// If they are too few in time, the change is an [`Error::Store`], **and may have been made all
    /// the same**. Redis acknowledges what a replica has in memory: this makes a loss rare, not
    /// impossible. Changes wait for each other's replicas then. Calls that end many sessions end
    /// all of them first and then wait once.
    #[must_use]
    pub fn wait_replicas(mut self, replicas: u32, timeout: Duration) -> Self {
        self.writes = self.link.another().unwrap_or_else(|_| self.link.clone());
        self.wait = Some(Wait { replicas, timeout });
        self
    }

    fn key(&self, id: &SessionId) -> Vec<u8> {
        format!("{}{id}", self.prefix).into_bytes()
    }

    /// The key of the end of all sessions. Not the name of a session, which is 64 hex digits.
    fn ends_key(&self) -> Vec<u8> {
        format!("{}ends", self.prefix).into_bytes()
    }

    /// The keys of a step on a record. On one server it looks elsewhere, too.
    fn keys_of(&self, id: &SessionId, owner: Option<&OwnerId>) -> Vec<Vec<u8>> {
        let mut keys = vec![self.key(id)];
        if self.is_single() {
            keys.push(self.ends_key());
            keys.extend(owner.map(|owner| self.owner_key(owner)));
        }
        keys
    }

    fn is_single(&self) -> bool {
        matches!(self.link, Link::Single(_))
    }

    /// Whether it is the name of a session.
    fn is_record(&self, key: &[u8]) -> bool {
        key.strip_prefix(self.prefix.as_bytes())
            .and_then(|id| std::str::from_utf8(id).ok())
            .is_some_and(|id| id.parse::<SessionId>().is_ok())
    }

    async fn step(&self, lua: &Lua, keys: Keys<'_>, args: &[Cow<'_, [u8]>], task: Task) -> Result<Value, Error> {
        self.writes.step(lua, keys, args, self.wait, task).await
    }

    /// Settles the last login of a session that the ticket opens. Returns whether the session is
    /// still there.
    async fn settle_last(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        let answers = self
            .of_records(&[ticket.id], &fields::PENDING, "read a session")
            .await?;
        match answers.into_iter().next().map_or(Ok(None), fields::pending)? {
            Some((owner, login, until)) => {
                let settled = self.settle(&owner, &ticket.id, &login, until, now).await?;
                Ok(settled == Settled::Stands)
            }
            // Another request has done it.
            None => Ok(true),
        }
    }
}

/// Shows neither address nor password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("key_prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

fn strange() -> Error {
    Error::store(
        "Redis gave an answer that the store's scripts and commands do not have: see that nothing between them changes answers",
    )
}

impl Store for RedisStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        let task = failed("read a session");
        let mut both = vec![::redis::cmd("HGETALL")];
        both[0].arg(self.key(&ticket.id));
        let known = self.known.get(&ticket.id);
        both.extend(known.as_ref().map(|owner| self.is_held(owner, &ticket.id)));
        both.extend(
            self.link
                .ask_for_primary(|| format!("{}none", self.prefix).into_bytes()),
        );
        let mut answers = self.link.send_each(both).await.map_err(&task)?.into_iter();
        let Some(found) = fields::record(first(&mut answers).map_err(&task)?)? else {
            return Ok(Loaded::Missing);
        };
        let record = found.record;
        if !record.is_live(now) {
            return Ok(Loaded::Missing);
        }
        if record.secret != ticket.secret {
            let was_it = record.was_renewed_from(&ticket.secret, now);
            return Ok(if was_it { Loaded::Renewed } else { Loaded::Missing });
        }
        if let Some(owner) = &record.owner {
            let is_held = known == Some(owner.id) && answers.next() == Some(Value::Int(1));
            let until = index_until(record.expires, now).max(found.indexed);
            if let Some(login) = &found.login {
                if self.settle(&owner.id, &ticket.id, login, until, now).await? != Settled::Stands {
                    return Ok(Loaded::Missing);
                }
            } else if !is_held {
                self.look_after(&owner.id, &ticket.id, until).await;
            }
        }
        Ok(Loaded::Live(Box::new(record)))
    }

    async fn create(&self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Result<Created, Error> {
        let step = self.steps.begin(id);
        let keys = self.keys_of(id, None);
        let task = "begin a session";
        let created = |answer| match answer {
            Value::Int(1) => Ok(Created::Created),
            Value::Int(0) => Ok(Created::Collision),
            Value::Int(2) => Ok(Created::Ended),
            _ => Err(strange()),
        };
        let Some(owner) = &record.owner else {
            let args = fields::create(record, None, &step, now);
            return created(self.step(&CREATE, &keys, &args, task).await?);
        };
        let (intent, until) = (Intent::new(login), index_until(record.expires, now));
        let unanswered = Unanswered {
            store: self,
            ticket: HashedTicket {
                id: *id,
                secret: record.secret,
            },
            owner: owner.id,
        };
        let args = fields::create(record, Some((&intent, until)), &step, now);
        let mut answer = created(self.step(&CREATE, &keys, &args, task).await?)?;
        if answer == Created::Created && self.settle(&owner.id, id, &intent, until, now).await? == Settled::TooLate {
            answer = Created::Ended;
        }
        unanswered.answered();
        Ok(answer)
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        let login = match &changes.owner {
            Field::Set(owner) => Some((owner.id, Intent::new(changes.login.as_ref()))),
            _ => None,
        };
        // Too late is told before anything is changed. If it becomes so later, the session has
        // logged in and ended.
        if let (Some((owner, _)), Some(given)) = (&login, &changes.login)
            && self.marks(owner).await?.0.number() != given.mark
        {
            return Ok(Applied::Gone);
        }
        let known = self
            .known
            .get(&ticket.id)
            .filter(|_| self.is_single() && login.is_none());
        let keys = self.keys_of(&ticket.id, known.as_ref());
        let step = self.steps.begin(&ticket.id);
        // A login will see to it that its owner's keys hold the session.
        let mut held = login
            .as_ref()
            .map(|(owner, _)| (*owner, index_until(changes.expires, now)));
        for _ in 0..TRIES {
            let with = fields::Apply {
                step: &step,
                login: login.as_ref().map(|(_, intent)| intent),
                held,
                known,
                now,
            };
            let args = fields::apply(ticket, changes, &with);
            match fields::applied(self.step(&APPLY, &keys, &args, "change a session").await?)? {
                AppliedTo::Gone => return Ok(Applied::Gone),
                AppliedTo::Conflict => return Ok(Applied::Conflict),
                AppliedTo::NotSettled => {
                    if !self.settle_last(ticket, now).await? {
                        return Ok(Applied::Gone);
                    }
                }
                AppliedTo::Hold(owner, ends) => {
                    let until = index_until(ends, now);
                    if login.is_none() {
                        self.hold(&owner, &ticket.id, until).await?;
                    }
                    held = Some((owner, until));
                }
                AppliedTo::Updated => return Ok(Applied::Updated),
                AppliedTo::UpdatedOf(owner, ends) => {
                    let Some((_, intent)) = &login else {
                        self.look_after(&owner, &ticket.id, index_until(ends, now)).await;
                        return Ok(Applied::Updated);
                    };
                    let until = held.map_or_else(|| index_until(ends, now), |(_, until)| until);
                    let settled = self.settle(&owner, &ticket.id, intent, until, now).await?;
                    return Ok(match settled {
                        Settled::Stands | Settled::Over => Applied::Updated,
                        Settled::TooLate => Applied::Gone,
                    });
                }
            }
        }
        Err(Error::store(
            "the session's end or its owner changed each time it was to be changed: nothing was changed, so try it again",
        ))
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        match self.end_by_ticket(ticket, Some(now)).await? {
            Value::Int(0) => Ok(false),
            Value::BulkString(owner) => {
                let owner: Option<SessionId> = from_redis_value::<String>(Value::BulkString(owner))
                    .ok()
                    .and_then(|hex| hex.parse().ok());
                if let Some(owner) = owner {
                    let owner = OwnerId::from_bytes(*owner.as_bytes());
                    self.forget(&owner, &[(ticket.id, None)]).await;
                }
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    /// Always 0: the server does it.
    async fn delete_expired(&self, _now: u64) -> Result<u64, Error> {
        Ok(0)
    }

    fn keeps_owners(&self) -> bool {
        true
    }

    async fn begin_login(&self, owner: &OwnerId, _now: u64) -> Result<Mark, Error> {
        let (marks, ended) = self.marks(owner).await?;
        Ok(Mark::new(marks.number(), ended))
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        self.list(owner, now).await
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        self.end_of(owner, which, now).await
    }

    /// Looks at every key of every primary, at least twice (a million keys take some seconds each time), and in between
    /// lets other requests be answered.
    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        self.end_begun(epoch).await
    }
}
