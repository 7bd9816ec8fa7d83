//! A store behind a pointer, so that layer and session are not generic over it.

use std::{future::Future, pin::Pin};

use super::{
    Applied, Changes, Created, Epoch, HashedTicket, Loaded, Login, Mark, OwnerId, Record, Store, StoredSession, Which,
};
use crate::{error::Error, session::SessionId};

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// [`Store`], with its futures in boxes.
pub(crate) trait ErasedStore: Send + Sync {
    fn load<'a>(&'a self, ticket: &'a HashedTicket, now: u64) -> Answer<'a, Loaded>;
    fn create<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        login: Option<&'a Login>,
        now: u64,
    ) -> Answer<'a, Created>;
    fn apply<'a>(&'a self, ticket: &'a HashedTicket, changes: &'a Changes, now: u64) -> Answer<'a, Applied>;
    fn delete<'a>(&'a self, ticket: &'a HashedTicket, now: u64) -> Answer<'a, bool>;
    fn keeps_owners(&self) -> bool;
    fn begin_login<'a>(&'a self, owner: &'a OwnerId, now: u64) -> Answer<'a, Mark>;
    fn sessions_of<'a>(&'a self, owner: &'a OwnerId, now: u64) -> Answer<'a, Vec<StoredSession>>;
    fn delete_of<'a>(&'a self, owner: &'a OwnerId, which: &'a Which, now: u64) -> Answer<'a, u64>;
    fn delete_begun<'a>(&'a self, epoch: &'a Epoch) -> Answer<'a, u64>;
}

impl<S: Store> ErasedStore for S {
    fn load<'a>(&'a self, ticket: &'a HashedTicket, now: u64) -> Answer<'a, Loaded> {
        Box::pin(Store::load(self, ticket, now))
    }

    fn create<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        login: Option<&'a Login>,
        now: u64,
    ) -> Answer<'a, Created> {
        Box::pin(Store::create(self, id, record, login, now))
    }

    fn apply<'a>(&'a self, ticket: &'a HashedTicket, changes: &'a Changes, now: u64) -> Answer<'a, Applied> {
        Box::pin(Store::apply(self, ticket, changes, now))
    }

    fn delete<'a>(&'a self, ticket: &'a HashedTicket, now: u64) -> Answer<'a, bool> {
        Box::pin(Store::delete(self, ticket, now))
    }

    fn keeps_owners(&self) -> bool {
        Store::keeps_owners(self)
    }

    fn begin_login<'a>(&'a self, owner: &'a OwnerId, now: u64) -> Answer<'a, Mark> {
        Box::pin(Store::begin_login(self, owner, now))
    }

    fn sessions_of<'a>(&'a self, owner: &'a OwnerId, now: u64) -> Answer<'a, Vec<StoredSession>> {
        Box::pin(Store::sessions_of(self, owner, now))
    }

    fn delete_of<'a>(&'a self, owner: &'a OwnerId, which: &'a Which, now: u64) -> Answer<'a, u64> {
        Box::pin(Store::delete_of(self, owner, which, now))
    }

    fn delete_begun<'a>(&'a self, epoch: &'a Epoch) -> Answer<'a, u64> {
        Box::pin(Store::delete_begun(self, epoch))
    }
}
