//! Tries whether a store does what [`Store`] asks for.
//!
//! [`check`] is for every store, and [`check_epoch`] for those that can end all sessions at once. Both begin at the real time,
//! since an engine may expire records by its own clock, and need no particular runtime. Call them from a test, for a store with
//! a network from several tests at once:
//!
//! ```
//! # use std::{collections::HashMap, sync::{Mutex, PoisonError}};
//! # use http_session::{Error, SessionId, store::{Applied, Changes, Created, HashedTicket, Loaded, Login, Record, Store}};
//! # #[derive(Default)]
//! # struct MapStore(Mutex<HashMap<SessionId, Record>>);
//! # impl MapStore {
//! #     fn with<T>(&self, step: impl FnOnce(&mut HashMap<SessionId, Record>) -> T) -> Result<T, Error> {
//! #         Ok(step(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
//! #     }
//! # }
//! # impl Store for MapStore {
//! #     async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
//! #         self.with(|map| map.get(&ticket.id).map_or(Loaded::Missing, |record| record.load(ticket, now)))
//! #     }
//! #     async fn create(&self, id: &SessionId, record: &Record, _: Option<&Login>, now: u64) -> Result<Created, Error> {
//! #         self.with(|map| {
//! #             if map.get(id).is_some_and(|other| other.is_live(now)) {
//! #                 return Created::Collision;
//! #             }
//! #             map.insert(*id, record.clone());
//! #             Created::Created
//! #         })
//! #     }
//! #     async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
//! #         self.with(|map| map.get_mut(&ticket.id).map_or(Applied::Gone, |record| record.apply(ticket, changes, now)))
//! #     }
//! #     async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
//! #         self.with(|map| {
//! #             let live = map.get(&ticket.id).is_some_and(|record| record.is_live(now) && record.secret == ticket.secret);
//! #             if live {
//! #                 map.remove(&ticket.id);
//! #             }
//! #             live
//! #         })
//! #     }
//! #     async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
//! #         self.with(|map| {
//! #             let before = map.len();
//! #             map.retain(|_, record| record.is_live(now));
//! #             (before - map.len()) as u64
//! #         })
//! #     }
//! # }
//! use http_session::store::conformance;
//!
//! # /*
//! #[tokio::test]
//! # */
//! async fn my_store_keeps_its_promises() {
//!     let store = MapStore::default();
//!     conformance::check(&store).await.unwrap();
//! }
//! # use std::{pin::pin, task::{Context, Poll, Waker}};
//! # let done = pin!(my_store_keeps_its_promises()).poll(&mut Context::from_waker(Waker::noop()));
//! # assert_eq!(done, Poll::Ready(()));
//! ```
//!
//! A store that breaks a promise is told which:
//!
//! ```text
//! wrong secret: apply of changes with another secret: expected Gone, came Updated
//! ```

mod changes;
mod epoch;
mod expiry;
mod failure;
mod logins;
mod model;
mod owners;
mod owners_ended;
mod races;
mod round_trip;
mod samples;
mod tickets;
mod trial;

pub use self::failure::Failure;
use self::trial::Trial;
use super::Store;

/// Tries everything that a store must do, and if it [keeps owners](Store::keeps_owners) what it must do for them.
///
/// The store may hold other sessions, and several checks may run on it at the same time. All ids and nearly all owners are
/// made up anew each time. Other sessions are left alone, but for [`Store::delete_expired`], which is told that it is a
/// minute later. Some sessions of the check stay, and expire after a day or never.
///
/// # Errors
///
/// The first thing that was not as it must be.
pub async fn check<S: Store>(store: &S) -> Result<(), Failure> {
    let step = |name| Trial::new(store, name);

    round_trip::json_texts(&step("round trip of JSON")).await?;
    round_trip::record_fields(&step("round trip of records")).await?;
    changes::values(&step("changes of values")).await?;
    changes::emptied(&step("last key removed")).await?;
    changes::merge(&step("merge")).await?;
    round_trip::keys(&step("keys")).await?;
    round_trip::sizes(&step("sizes")).await?;

    tickets::collision(&step("collision")).await?;
    tickets::wrong_secret(&step("wrong secret")).await?;
    tickets::unknown(&step("unknown id")).await?;

    expiry::by_now(&step("expiry")).await?;
    expiry::create_over(&step("create over an expired session")).await?;
    expiry::cleaning(&step("delete_expired")).await?;

    changes::times(&step("times")).await?;
    expiry::never(&step("no end")).await?;
    changes::fields(&step("fields")).await?;
    changes::expected(&step("expected values")).await?;
    changes::expected_texts(&step("expected JSON")).await?;
    tickets::renew(&step("renew")).await?;
    model::many_operations(&step("many operations")).await?;

    races::different_keys(&step("concurrent changes")).await?;
    races::cleared_while_set(&step("cleared while set")).await?;
    races::counting(&step("concurrent compare-and-set")).await?;
    races::creating(&step("concurrent creates")).await?;
    races::renewing(&step("concurrent renewals")).await?;
    races::renewed_while_set(&step("renewed while set")).await?;
    races::deleting(&step("concurrent deletes")).await?;
    races::deleted_while_set(&step("deleted while set")).await?;

    if store.keeps_owners() {
        owners::listed(&step("sessions of an owner")).await?;
        owners_ended::one_by_one(&step("ended sessions of an owner")).await?;
        owners_ended::together(&step("delete_of")).await?;
        owners::odd_ids(&step("ids of owners")).await?;
        owners::at_once(&step("concurrent owners")).await?;
        logins::limited(&step("limits of an owner")).await?;
        logins::expired(&step("limits and expiry")).await?;
        logins::at_once(&step("concurrent logins")).await?;
        logins::too_late(&step("logins that an end overtook")).await?;
        logins::ended_at_once(&step("logins during an end")).await?;
    }
    Ok(())
}

/// Tries [`Store::delete_begun`].
///
/// **It ends all sessions that are in the store**, so nothing else may use the store meanwhile, [`check`] included.
///
/// # Errors
///
/// The first thing that was not as it must be.
pub async fn check_epoch<S: Store>(store: &S) -> Result<(), Failure> {
    epoch::begun_before(&Trial::new(store, "delete_begun")).await
}
