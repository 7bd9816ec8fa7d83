//! A store behind a pointer, so that layer and session are not generic over it.

use std::{future::Future, pin::Pin, sync::Arc};

use super::{Applied, Changes, Created, HashedTicket, Loaded, Record, Store, StoredSession, Which};
use crate::{error::Error, session::SessionId};

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// [`Store`], with futures that own what they need: a commit may outlive its request.
pub(crate) trait ErasedStore: Send + Sync {
    fn load(self: Arc<Self>, ticket: HashedTicket, now: u64) -> Answer<Loaded>;
    fn create(self: Arc<Self>, id: SessionId, record: Record, now: u64) -> Answer<Created>;
    fn apply(self: Arc<Self>, ticket: HashedTicket, changes: Changes, now: u64) -> Answer<Applied>;
    fn delete(self: Arc<Self>, ticket: HashedTicket, now: u64) -> Answer<bool>;
    fn keeps_owners(&self) -> bool;
    fn sessions_of(self: Arc<Self>, owner: String, now: u64) -> Answer<Vec<StoredSession>>;
    fn delete_of(self: Arc<Self>, owner: String, which: Which) -> Answer<u64>;
    fn delete_begun_before(self: Arc<Self>, epoch: u64) -> Answer<u64>;
}

impl<S: Store> ErasedStore for S {
    fn load(self: Arc<Self>, ticket: HashedTicket, now: u64) -> Answer<Loaded> {
        Box::pin(async move { Store::load(&*self, &ticket, now).await })
    }

    fn create(self: Arc<Self>, id: SessionId, record: Record, now: u64) -> Answer<Created> {
        Box::pin(async move { Store::create(&*self, &id, &record, now).await })
    }

    fn apply(self: Arc<Self>, ticket: HashedTicket, changes: Changes, now: u64) -> Answer<Applied> {
        Box::pin(async move { Store::apply(&*self, &ticket, &changes, now).await })
    }

    fn delete(self: Arc<Self>, ticket: HashedTicket, now: u64) -> Answer<bool> {
        Box::pin(async move { Store::delete(&*self, &ticket, now).await })
    }

    fn keeps_owners(&self) -> bool {
        Store::keeps_owners(self)
    }

    fn sessions_of(self: Arc<Self>, owner: String, now: u64) -> Answer<Vec<StoredSession>> {
        Box::pin(async move { Store::sessions_of(&*self, &owner, now).await })
    }

    fn delete_of(self: Arc<Self>, owner: String, which: Which) -> Answer<u64> {
        Box::pin(async move { Store::delete_of(&*self, &owner, &which).await })
    }

    fn delete_begun_before(self: Arc<Self>, epoch: u64) -> Answer<u64> {
        Box::pin(async move { Store::delete_begun_before(&*self, epoch).await })
    }
}
