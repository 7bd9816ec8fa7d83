//! Sessions in Redis or Valkey, on one server or a cluster.

mod connection;
mod fields;
mod owners;
mod script;
mod sweep;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use ::redis::Value;

use self::{
    connection::{Link, Wait},
    script::{APPLY, CREATE, DELETE, Lua, Step, number},
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
/// A session is one hash, and each step is one round trip: a read, or a script that does all of a change or nothing. The server
/// deletes what has expired, by its own clock, which therefore has to be right;
/// [`delete_expired`](Store::delete_expired) has nothing to do and returns 0. A session with an [owner](crate::Session::set_owner)
/// needs a second round trip when it begins and when it ends, for the owner's index, which lies elsewhere. Reads go to
/// primaries only, since a replica may not know yet of a logout.
///
/// All requests share one connection (in a cluster one to each server). It is made anew when it was lost. A request that was on
/// its way then is sent once more, and a step that arrives twice is taken once. While the server is away each request is an
/// error; the first one after its return is answered.
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
/// Redis holds all in memory: 0.5 to 1 KB for a small session and about twice its JSON for a large one; for one with an owner
/// 200 to 300 bytes more. A server with a limit must not evict: `maxmemory-policy noeviction` is asked for when the store
/// connects, because all other policies log users out when the memory is full. A full server with it refuses new sessions and
/// changes with an error ([`Error::Store`]), and logouts go on.
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
}

impl RedisStore {
    /// Connects to one server: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, or `unix:///path`.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the server cannot be reached, and [`Error::Config`] if the URL is none, or if the server has a memory
    /// limit and may evict sessions.
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
    /// [`Error::Store`] if the server cannot be reached, and [`Error::Config`] if the URL is none.
    pub async fn connect_evicting(url: &str) -> Result<Self, Error> {
        Ok(Self::new(Link::connect(url).await?))
    }

    /// [`cluster`](Self::cluster) of servers that may log users out when their memory is full, or whose settings cannot be read.
    ///
    /// # Errors
    ///
    /// As [`connect_evicting`](Self::connect_evicting).
    pub async fn cluster_evicting<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        let urls = urls.into_iter().map(Into::into).collect();
        Ok(Self::new(Link::cluster(urls).await?))
    }

    fn new(link: Link) -> Self {
        Self {
            writes: link.clone(),
            link,
            wait: None,
            prefix: "session:".into(),
        }
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
    /// If they are too few in time, the change is an [`Error::Store`], **and may have been made all the same**. Redis acknowledges
    /// what a replica has in memory: this makes a loss rare, not impossible. Changes wait for each other's replicas then.
    #[must_use]
    pub fn wait_replicas(mut self, replicas: u32, timeout: Duration) -> Self {
        self.writes = self.link.another().unwrap_or_else(|_| self.link.clone());
        self.wait = Some(Wait { replicas, timeout });
        self
    }

    fn key(&self, id: &SessionId) -> Vec<u8> {
        format!("{}{id}", self.prefix).into_bytes()
    }

    fn index_key(&self, owner: &str) -> Vec<u8> {
        self.index_key_of(owner.as_bytes())
    }

    /// Not the name of a session, which is 64 hex digits.
    fn index_key_of(&self, owner: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"owner:", owner].concat()
    }

    /// Whether it is the name of a session.
    fn is_record(&self, key: &[u8]) -> bool {
        key.strip_prefix(self.prefix.as_bytes())
            .and_then(|id| std::str::from_utf8(id).ok())
            .is_some_and(|id| id.parse::<SessionId>().is_ok())
    }

    async fn step(&self, lua: &Lua, key: &[u8], args: &[Cow<'_, [u8]>]) -> Result<Value, Error> {
        self.writes.step(lua, key, args, self.wait).await
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
    Error::store("Redis gave an answer that the script does not give")
}

impl Store for RedisStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        let mut cmd = ::redis::cmd("HGETALL");
        cmd.arg(self.key(&ticket.id));
        let answer = self.link.command(cmd).await.map_err(Error::store)?;
        Ok(match fields::record(answer)? {
            Some(record) if !record.is_live(now) => Loaded::Missing,
            Some(record) if record.secret == ticket.secret => Loaded::Live(Box::new(record)),
            Some(_) => Loaded::Renewed,
            None => Loaded::Missing,
        })
    }

    async fn create(&self, id: &SessionId, record: &Record, _: Option<&Login>, now: u64) -> Result<Created, Error> {
        let until = owners::index_until(record.expires, now);
        if let Some(owner) = &record.owner {
            self.index(&owner.id.to_string(), id, until, now).await?;
        }
        let args = fields::create(record, until, Step::new(), now);
        match self.step(&CREATE, &self.key(id), &args).await? {
            Value::Int(1) => Ok(Created::Created),
            Value::Int(0) => Ok(Created::Collision),
            _ => Err(strange()),
        }
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        let key = self.key(&ticket.id);
        let step = Step::new();
        let mut indexed = None;
        if let Field::Set(owner) = &changes.owner {
            indexed = Some((owner.id.to_string(), owners::index_until(changes.expires, now)));
        }
        for _ in 0..TRIES {
            if let Some((owner, until)) = &indexed {
                self.index(owner, &ticket.id, *until, now).await?;
            }
            let whose = indexed.as_ref().map(|(owner, until)| (owner.as_str(), *until));
            let args = fields::apply(ticket, changes, whose, step, now);
            indexed = match self.step(&APPLY, &key, &args).await? {
                Value::Int(0) => return Ok(Applied::Gone),
                Value::Int(1) => return Ok(Applied::Updated),
                Value::Int(2) => return Ok(Applied::Conflict),
                answer => {
                    let (owner, ends): (String, u64) = ::redis::from_redis_value(answer).map_err(Error::store)?;
                    Some((owner, owners::index_until(ends, now)))
                }
            };
        }
        Err(Error::store(
            "the session's owner changed each time it was to be changed",
        ))
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        let secret = ticket.secret.as_bytes().as_slice();
        let args = [
            number(now),
            Step::new().as_arg(),
            b"secret".as_slice().into(),
            secret.into(),
        ];
        match self.step(&DELETE, &self.key(&ticket.id), &args).await? {
            Value::Int(0) => Ok(false),
            Value::BulkString(owner) => {
                self.unindex(&owner, &[ticket.id]).await;
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

    async fn begin_login(&self, _: &OwnerId, _: u64) -> Result<Mark, Error> {
        Ok(Mark::default())
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        self.list(&owner.to_string(), now).await
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, _: u64) -> Result<u64, Error> {
        self.end_of(&owner.to_string(), which).await
    }

    /// Looks at every key of every primary, at least twice (a million keys take some seconds each time), and in between
    /// lets other requests be answered.
    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        self.end_begun_before(epoch.before).await
    }
}
