//! The conformance suite: a right store passes it, and each broken one is told what is wrong.
#![cfg(feature = "test-util")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use http_session::{
    Error, SessionId,
    store::{
        Applied, Changes, Created, Field, HashedTicket, Loaded, Record, Store, StoredSession, Which,
        conformance::{check, check_epoch},
    },
};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    Right,
    /// No flaw: it has no owners.
    NoOwners,
    /// No flaw: every step waits once before it is taken.
    Waits,
    /// No flaw: its engine deletes what expired.
    DeletesByItself,
    Upsert,
    AnySecret,
    AnySecretDeletes,
    RenewedIsMissing,
    WholeRecord,
    ServesExpired,
    ExpiresTooEarly,
    BlockedByExpired,
    AppliesToExpired,
    ApplyInserts,
    ConflictIgnored,
    ConflictAfterTimes,
    AbsentNotExpected,
    OldSecretGood,
    RenewResetsCreated,
    CaseInsensitiveKeys,
    TrimmedKeys,
    Reformatted,
    LosesLabel,
    LastKeyRemoves,
    ClearedDeletes,
    ClearedAfterSet,
    ExpiresNotMaxed,
    MayShortenIgnored,
    SeenNotMaxed,
    UnsetIsKeep,
    DeletesAllAsExpired,
    CountsButKeeps,
    NonAtomicApply,
    NonAtomicCreate,
    NonAtomicDelete,
    OwnerOfCreateOnly,
    StaleOwners,
    ListsExpired,
    OnlyIgnoresOwner,
    AllButDeletesAll,
    OwnersWithoutCase,
    CountsOwnersWrong,
    EpochOfCreation,
    EpochInclusive,
    Fails,
}

use Flaw::*;

struct MapStore {
    map: Mutex<HashMap<SessionId, Record>>,
    /// Kept beside the records by flawed stores only.
    owners: Mutex<HashMap<SessionId, String>>,
    flaw: Flaw,
}

impl MapStore {
    fn new(flaw: Flaw) -> Self {
        Self {
            map: Mutex::default(),
            owners: Mutex::default(),
            flaw,
        }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn with<T>(&self, step: impl FnOnce(&mut HashMap<SessionId, Record>) -> T) -> T {
        step(&mut self.map.lock().unwrap())
    }

    async fn wait(&self) {
        if matches!(self.flaw, Waits | NonAtomicApply | NonAtomicCreate | NonAtomicDelete) {
            tokio::task::yield_now().await;
        }
    }

    fn name(&self, owner: &str) -> String {
        if self.is(OwnersWithoutCase) {
            owner.to_lowercase()
        } else {
            owner.into()
        }
    }

    fn owner(&self, id: &SessionId, record: &Record) -> Option<String> {
        match self.flaw {
            OwnerOfCreateOnly | StaleOwners => self.owners.lock().unwrap().get(id).cloned(),
            _ => record.owner.as_deref().map(|owner| self.name(owner)),
        }
    }

    /// What the flawed stores make of right changes.
    fn spoil(&self, changes: &Changes, record: &Record) -> Changes {
        let mut changes = changes.clone();
        match self.flaw {
            ConflictIgnored => changes.expected.clear(),
            AbsentNotExpected => changes.expected.retain(|(_, json)| json.is_some()),
            WholeRecord => changes.cleared = true,
            CaseInsensitiveKeys => changes.set.iter_mut().for_each(|(key, _)| *key = key.to_lowercase()),
            TrimmedKeys => changes.set.iter_mut().for_each(|(key, _)| *key = key.trim_end().into()),
            Reformatted => changes.set.iter_mut().for_each(|(_, json)| {
                if let Ok(value) = serde_json::from_str::<serde_json::Value>(json) {
                    *json = value.to_string();
                }
            }),
            ClearedAfterSet if changes.cleared => changes.set.clear(),
            ExpiresNotMaxed => changes.may_shorten = true,
            MayShortenIgnored => changes.may_shorten = false,
            UnsetIsKeep if changes.label == Field::Unset => changes.label = Field::Keep,
            OldSecretGood => changes.secret = None,
            LosesLabel if record.label.is_some() => changes.label = Field::Unset,
            _ => {}
        }
        changes
    }
}

impl Store for MapStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        self.wait().await;
        if self.is(Fails) {
            return Err(Error::store("the disk is full"));
        }
        Ok(self.with(|map| match map.get(&ticket.id) {
            None => Loaded::Missing,
            Some(record) if self.is(ServesExpired) => record.load(ticket, record.expires),
            Some(record) if self.is(ExpiresTooEarly) => record.load(ticket, now + 1),
            Some(record) if self.is(AnySecret) && record.is_live(now) => Loaded::Live(Box::new(record.clone())),
            Some(record) => match record.load(ticket, now) {
                Loaded::Renewed if self.is(RenewedIsMissing) => Loaded::Missing,
                loaded => loaded,
            },
        }))
    }

    async fn create(&self, id: &SessionId, record: &Record, now: u64) -> Result<Created, Error> {
        self.wait().await;
        let taken = self.with(|map| {
            map.get(id)
                .is_some_and(|other| other.is_live(now) || self.is(BlockedByExpired))
        });
        if self.is(NonAtomicCreate) {
            self.wait().await;
        }
        if taken && !self.is(Upsert) {
            return Ok(Created::Collision);
        }
        if let Some(owner) = &record.owner {
            self.owners.lock().unwrap().insert(*id, owner.clone());
        }
        self.with(|map| map.insert(*id, record.clone()));
        Ok(Created::Created)
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        self.wait().await;
        let before = self.with(|map| map.get(&ticket.id).cloned());
        if self.is(NonAtomicApply) {
            self.wait().await;
            let Some(mut record) = before else {
                return Ok(Applied::Gone);
            };
            let applied = record.apply(ticket, changes, now);
            if applied == Applied::Updated {
                self.with(|map| map.insert(ticket.id, record));
            }
            return Ok(applied);
        }
        Ok(self.with(|map| {
            if self.is(ApplyInserts) {
                map.entry(ticket.id)
                    .or_insert_with(|| Record::new(ticket.secret, now, changes.expires));
            }
            let Some(record) = map.get_mut(&ticket.id) else {
                return Applied::Gone;
            };
            let spoilt = self.spoil(changes, record);
            let secret = if self.is(AnySecret) {
                record.secret
            } else {
                ticket.secret
            };
            let time = if self.is(AppliesToExpired) { record.expires } else { now };
            let created = record.created;
            let seen = record.seen;
            let applied = record.apply(&HashedTicket { secret, ..*ticket }, &spoilt, time);
            match (self.flaw, applied) {
                (ConflictAfterTimes, Applied::Conflict) => record.seen = seen.max(changes.seen),
                (RenewResetsCreated, Applied::Updated) if changes.secret.is_some() => record.created = now,
                (SeenNotMaxed, Applied::Updated) => record.seen = changes.seen,
                (StaleOwners, Applied::Updated) => {
                    if let Field::Set(owner) = &changes.owner {
                        self.owners.lock().unwrap().insert(ticket.id, owner.clone());
                    }
                }
                _ => {}
            }
            assert!(record.created == created || self.is(RenewResetsCreated));
            let empty = record.values.is_empty() && applied == Applied::Updated;
            if self.is(LastKeyRemoves) && empty && !changes.removed.is_empty()
                || self.is(ClearedDeletes) && empty && changes.cleared
            {
                map.remove(&ticket.id);
            }
            applied
        }))
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        self.wait().await;
        let live = self.with(|map| {
            map.get(&ticket.id).is_some_and(|record| {
                record.is_live(now) && (record.secret == ticket.secret || self.is(AnySecretDeletes))
            })
        });
        if self.is(NonAtomicDelete) {
            self.wait().await;
        }
        if live {
            self.with(|map| map.remove(&ticket.id));
        }
        Ok(live)
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        self.wait().await;
        if self.is(DeletesByItself) {
            return Ok(0);
        }
        Ok(self.with(|map| {
            let before = map.len();
            match self.flaw {
                DeletesAllAsExpired => map.clear(),
                CountsButKeeps => return 1,
                _ => map.retain(|_, record| record.is_live(now)),
            }
            (before - map.len()) as u64
        }))
    }

    fn keeps_owners(&self) -> bool {
        !self.is(NoOwners)
    }

    async fn sessions_of(&self, owner: &str, now: u64) -> Result<Vec<StoredSession>, Error> {
        self.wait().await;
        let owner = self.name(owner);
        Ok(self.with(|map| {
            map.iter()
                .filter(|(_, record)| record.is_live(now) || self.is(ListsExpired))
                .filter(|(id, record)| self.owner(id, record).as_deref() == Some(owner.as_str()))
                .map(|(id, record)| record.summary(*id))
                .collect()
        }))
    }

    async fn delete_of(&self, owner: &str, which: &Which) -> Result<u64, Error> {
        self.wait().await;
        let owner = self.name(owner);
        Ok(self.with(|map| {
            let before = map.len() as u64;
            map.retain(|id, record| {
                let theirs = self.owner(id, record).as_deref() == Some(owner.as_str());
                let included = match which {
                    Which::Only(_) if self.is(OnlyIgnoresOwner) => return !which.includes(id),
                    Which::AllBut(_) if self.is(AllButDeletesAll) => true,
                    which => which.includes(id),
                };
                !(theirs && included)
            });
            before - map.len() as u64 + u64::from(self.is(CountsOwnersWrong))
        }))
    }

    async fn delete_begun_before(&self, epoch: u64) -> Result<u64, Error> {
        self.wait().await;
        Ok(self.with(|map| {
            let before = map.len();
            map.retain(|_, record| match self.flaw {
                EpochOfCreation => record.created >= epoch,
                EpochInclusive => record.begun() > epoch,
                _ => record.begun() >= epoch,
            });
            (before - map.len()) as u64
        }))
    }
}

#[tokio::test]
async fn a_right_store_passes_again_and_again_and_with_others_at_the_same_time() {
    for flaw in [Right, NoOwners, Waits, DeletesByItself] {
        let store = Arc::new(MapStore::new(flaw));
        for _ in 0..2 {
            let runs: Vec<_> = (0..3)
                .map(|_| {
                    let store = store.clone();
                    tokio::spawn(async move { check(&*store).await })
                })
                .collect();
            for run in runs {
                run.await.unwrap().unwrap();
            }
        }
        check_epoch(&*store).await.unwrap();
        assert!(store.with(|map| !map.is_empty()));
    }
}

#[tokio::test]
async fn a_broken_store_is_told_what_is_wrong() {
    for (flaw, step) in [
        (Upsert, "collision"),
        (AnySecret, "wrong secret"),
        (AnySecretDeletes, "wrong secret"),
        (RenewedIsMissing, "wrong secret"),
        (WholeRecord, "changes of values"),
        (ServesExpired, "expiry"),
        (ExpiresTooEarly, "expiry"),
        (BlockedByExpired, "create over an expired session"),
        (AppliesToExpired, "expiry"),
        (ApplyInserts, "unknown id"),
        (ConflictIgnored, "expected values"),
        (ConflictAfterTimes, "expected values"),
        (AbsentNotExpected, "expected values"),
        (OldSecretGood, "renew"),
        (RenewResetsCreated, "renew"),
        (CaseInsensitiveKeys, "keys"),
        (TrimmedKeys, "keys"),
        (Reformatted, "round trip of JSON"),
        (LosesLabel, "fields"),
        (LastKeyRemoves, "last key removed"),
        (ClearedDeletes, "changes of values"),
        (ClearedAfterSet, "changes of values"),
        (ExpiresNotMaxed, "times"),
        (MayShortenIgnored, "times"),
        (SeenNotMaxed, "times"),
        (UnsetIsKeep, "fields"),
        (DeletesAllAsExpired, "delete_expired"),
        (CountsButKeeps, "delete_expired"),
        (NonAtomicApply, "concurrent changes"),
        (NonAtomicCreate, "concurrent creates"),
        (NonAtomicDelete, "concurrent deletes"),
        (OwnerOfCreateOnly, "sessions of an owner"),
        (StaleOwners, "sessions of an owner"),
        (ListsExpired, "ended sessions of an owner"),
        (OnlyIgnoresOwner, "delete_of"),
        (AllButDeletesAll, "delete_of"),
        (OwnersWithoutCase, "names of owners"),
        (CountsOwnersWrong, "ended sessions of an owner"),
        (Fails, "round trip of JSON"),
    ] {
        let store = MapStore::new(flaw);
        let failure = check(&store).await.expect_err(&format!("{flaw:?} passes"));
        println!("{flaw:?}: {failure}");
        assert_eq!(failure.step(), step, "{flaw:?}: {failure}");
    }
    for flaw in [EpochOfCreation, EpochInclusive] {
        let failure = check_epoch(&MapStore::new(flaw)).await.expect_err("passes");
        println!("{flaw:?}: {failure}");
        assert_eq!(failure.step(), "delete_begun_before", "{flaw:?}: {failure}");
    }
}
