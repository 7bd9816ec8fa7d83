//! Sessions on the server: the cookie holds a ticket, and a [`Store`] keeps the data.
//!
//! # Choosing one
//!
//! | store | feature | for |
//! |---|---|---|
//! | `MemoryStore` | `memory` | one process that may forget: bounded, fast, gone with the process |
//! | `SqlStore` | `sqlite` | one machine: durable, with nothing to run beside it |
//! | `SqlStore` | `postgres`, `mysql` | several machines that share a database already |
//! | `RedisStore` | `redis` | several machines and many requests: Redis, Valkey, single or cluster |
//!
//! # What a store never sees
//!
//! A ticket is 16 random bytes that stay for the session's life, and 32 random bytes that
//! [`Session::renew`](crate::Session::renew) replaces. A store is handed the SHA-256 of each ([`HashedTicket`]), bound to the
//! application and the cookie's name, so that a leaked table or backup opens no session.
//!
//! # What a store must do
//!
//! Each method is one atomic step. Requests hand over what they *changed*, never the whole session, so two requests that set
//! different keys both win, and a request that was slower than a logout or a renewal changes nothing: [`Applied::Gone`].
//! Time is an argument: a store compares with it, and has no clock of its own.
//!
//! A store that keeps each record as a whole has nearly everything done by [`Record::load`] and [`Record::apply`]:
//!
//! ```
//! use std::{collections::HashMap, sync::{Mutex, PoisonError}};
//! use http_session::{Error, SessionId, store::{Applied, Changes, Created, HashedTicket, Loaded, Login, Record, Store}};
//!
//! /// All sessions in one map, for a program that may forget them and has few.
//! #[derive(Default)]
//! struct MapStore(Mutex<HashMap<SessionId, Record>>);
//!
//! impl MapStore {
//!     fn with<T>(&self, step: impl FnOnce(&mut HashMap<SessionId, Record>) -> T) -> Result<T, Error> {
//!         Ok(step(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
//!     }
//! }
//!
//! impl Store for MapStore {
//!     async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
//!         self.with(|map| map.get(&ticket.id).map_or(Loaded::Missing, |record| record.load(ticket, now)))
//!     }
//!
//!     async fn create(&self, id: &SessionId, record: &Record, _: Option<&Login>, now: u64) -> Result<Created, Error> {
//!         self.with(|map| {
//!             if map.get(id).is_some_and(|other| other.is_live(now)) {
//!                 return Created::Collision;
//!             }
//!             map.insert(*id, record.clone());
//!             Created::Created
//!         })
//!     }
//!
//!     async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
//!         self.with(|map| map.get_mut(&ticket.id).map_or(Applied::Gone, |record| record.apply(ticket, changes, now)))
//!     }
//!
//!     async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
//!         self.with(|map| {
//!             let live = map.get(&ticket.id).is_some_and(|record| record.is_live(now) && record.secret == ticket.secret);
//!             if live {
//!                 map.remove(&ticket.id);
//!             }
//!             live
//!         })
//!     }
//!
//!     async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
//!         self.with(|map| {
//!             let before = map.len();
//!             map.retain(|_, record| record.is_live(now));
//!             (before - map.len()) as u64
//!         })
//!     }
//! }
//! # let layer = http_session::SessionLayer::with_store(MapStore::default()).build()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! With the feature `test-util`, `store::conformance::check` tries all of this on a store of yours.

mod answers;
#[cfg(feature = "test-util")]
pub mod conformance;
mod erased;
mod give_way;
#[cfg(feature = "memory")]
mod memory;
mod owner;
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod sql;
mod ticket;

use std::future::Future;

#[cfg(feature = "memory")]
pub use self::memory::MemoryStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use self::sql::{SqlStore, Sweeper};
pub use self::{
    answers::{Applied, Created, Loaded, StoredSession, Which},
    owner::{Epoch, Login, Mark, Owner, OwnerId},
    record::{Changes, Field, HashedTicket, RENEWED_FOR, Record, Renewed, SecretHash},
};
pub(crate) use self::{
    erased::ErasedStore,
    give_way::give_way,
    ticket::{Hasher, Ticket},
};
use crate::error::Error;
pub use crate::session::{SessionId, Values};

/// Keeps sessions on the server.
///
/// Every method is one atomic step, and compares times with its argument `now`, in milliseconds since the Unix epoch. A
/// record whose [`expires`](Record::expires) is before `now` is not there, cleaned up or not. Methods may be called at the same
/// time, and any of the futures may be dropped before it is done: the step was taken then, or it was not.
///
/// # Errors
///
/// A store that works and cannot keep what it is given (a value that is too large, a key that is
/// too long) answers [`Error::value`], which is a 422 and no outage.
///
/// A store that cannot tell answers [`Error::store`], never "missing": a store that is down is not an empty session. A failed
/// step may have been taken all the same (the answer was lost), but never half of it.
pub trait Store: Send + Sync + 'static {
    /// Fetches the live record of a ticket.
    fn load(&self, ticket: &HashedTicket, now: u64) -> impl Future<Output = Result<Loaded, Error>> + Send;

    /// Keeps a new record, unless there is a live one of this id, or the session began before an
    /// end of all sessions.
    ///
    /// A `login` is given if the record has an owner; see [`Login`] for what the same step does
    /// then. A record without an owner is refused with [`Created::Ended`] if it
    /// [began](Record::begun) before the [`Epoch`] that [`delete_begun`](Self::delete_begun) was
    /// last told, where a store can tell without another round trip.
    fn create(
        &self,
        id: &SessionId,
        record: &Record,
        login: Option<&Login>,
        now: u64,
    ) -> impl Future<Output = Result<Created, Error>> + Send;

    /// Carries out all changes on the newest state of a live record, or none of them; see [`Record::apply`], which does it
    /// and says what each field means. A record without values is a record. With a
    /// [`login`](Changes::login) the same step does what [`Login`] says; without one, an
    /// [`authenticated`](Changes::authenticated) before the [`Epoch`] that
    /// [`delete_begun`](Self::delete_begun) was last told is [`Applied::Gone`], as for
    /// [`create`](Self::create).
    fn apply(
        &self,
        ticket: &HashedTicket,
        changes: &Changes,
        now: u64,
    ) -> impl Future<Output = Result<Applied, Error>> + Send;

    /// Ends a session. Returns whether there was a live one for this ticket; nothing is deleted otherwise.
    fn delete(&self, ticket: &HashedTicket, now: u64) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Deletes what expired before `now`, and says how many sessions that were. A store whose engine does so by itself
    /// returns 0. The layer never calls it: somebody has to, now and then.
    fn delete_expired(&self, now: u64) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Whether the store can find the sessions of an owner. By default it cannot, and
    /// [`Session::set_owner`](crate::Session::set_owner) is an error.
    fn keeps_owners(&self) -> bool {
        false
    }

    /// Returns a mark that changes with every [`delete_of`](Self::delete_of) of this owner, but for
    /// [`Which::Only`], and with every [`delete_begun`](Self::delete_begun). A login asks for it
    /// before it asks for anything else.
    fn begin_login(&self, owner: &OwnerId, now: u64) -> impl Future<Output = Result<Mark, Error>> + Send {
        let _ = (owner, now);
        async { Err(no_owners()) }
    }

    /// Returns all live sessions of an owner, in any order. It may not miss one that was created,
    /// or got its owner, before the call.
    fn sessions_of(&self, owner: &OwnerId, now: u64) -> impl Future<Output = Result<Vec<StoredSession>, Error>> + Send {
        let _ = (owner, now);
        async { Err(no_owners()) }
    }

    /// Ends those sessions of an owner, and says how many that were; expired ones that were not cleaned up yet may count.
    ///
    /// With [`Which::All`] and [`Which::AllBut`] it ends the owner's logins that are on their way
    /// as well: those that asked for their [mark](Self::begin_login) before the call are refused
    /// after it.
    ///
    /// There may be very many sessions, so the layer sets no time for the whole. A store works in
    /// pages, each with a time limit of its own, goes on after one that failed, and answers the
    /// error at the end.
    fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> impl Future<Output = Result<u64, Error>> + Send {
        let _ = (owner, which, now);
        async { Err(no_owners()) }
    }

    /// Ends all sessions of everybody that the epoch ends, and all logins that are on their way,
    /// and says how many sessions that were. When it returns, they are gone. It works in pages, as
    /// [`delete_of`](Self::delete_of).
    fn delete_begun(&self, epoch: &Epoch) -> impl Future<Output = Result<u64, Error>> + Send {
        let _ = epoch;
        async {
            Err(Error::config(
                "this store cannot end all sessions at once: implement `Store::delete_begun`, or change the layer's `app`",
            ))
        }
    }
}

fn no_owners() -> Error {
    Error::config(
        "this store does not know whose a session is: implement `Store::keeps_owners`, `begin_login`, \
         `sessions_of` and `delete_of`",
    )
}
