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
        Applied, Changes, Created, Epoch, Field, HashedTicket, Loaded, Login, Mark, OwnerId, Record, Store,
        StoredSession, Which,
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
    RenewedForEver,
    RenewedIsAnySecret,
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
    OwnersByHalf,
    CountsOwnersWrong,
    EpochOfCreation,
    EpochInclusive,
    EpochIgnoresAhead,
    EpochKeepsMarks,
    NoLimit,
    LimitByClock,
    LimitEndsItself,
    LimitCountsExpired,
    NoMarks,
    MarkOfAll,
    MarkLate,
    MarkWithoutTime,
    Fails,
}

use Flaw::*;

struct MapStore {
    map: Mutex<HashMap<SessionId, Record>>,
    /// Kept beside the records by flawed stores only.
    owners: Mutex<HashMap<SessionId, OwnerId>>,
    /// Sessions in the order of their logins.
    logins: Mutex<Vec<SessionId>>,
    /// How often an owner's sessions were ended, and under no owner everybody's.
    marks: Mutex<HashMap<Option<OwnerId>, u64>>,
    ended: Mutex<HashMap<OwnerId, u64>>,
    flaw: Flaw,
}

impl MapStore {
    fn new(flaw: Flaw) -> Self {
        Self {
            map: Mutex::default(),
            owners: Mutex::default(),
            logins: Mutex::default(),
            marks: Mutex::default(),
            ended: Mutex::default(),
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
        if matches!(
            self.flaw,
            Waits | NonAtomicApply | NonAtomicCreate | NonAtomicDelete | MarkLate
        ) {
            tokio::task::yield_now().await;
        }
    }

    /// What the store takes for the owner's id.
    fn name(&self, owner: &OwnerId) -> OwnerId {
        let mut bytes = *owner.as_bytes();
        if self.is(OwnersByHalf) {
            bytes[16..].fill(0);
        }
        OwnerId::from_bytes(bytes)
    }

    fn owner(&self, id: &SessionId, record: &Record) -> Option<OwnerId> {
        match self.flaw {
            OwnerOfCreateOnly | StaleOwners => self.owners.lock().unwrap().get(id).copied(),
            _ => record.owner.as_ref().map(|owner| self.name(&owner.id)),
        }
    }

    fn mark(&self, owner: &OwnerId) -> u64 {
        let marks = self.marks.lock().unwrap();
        let mark = |of: Option<OwnerId>| marks.get(&of).copied().unwrap_or(0);
        match self.flaw {
            NoMarks => 0,
            MarkOfAll => marks.values().sum(),
            EpochKeepsMarks => mark(Some(*owner)),
            _ => mark(None) + mark(Some(*owner)),
        }
    }

    fn end(&self, owner: Option<OwnerId>) {
        *self.marks.lock().unwrap().entry(owner).or_default() += 1;
    }

    fn is_late(&self, login: Option<(&Login, OwnerId)>) -> bool {
        login.is_some_and(|(login, owner)| login.mark != self.mark(&owner))
    }

    /// The owner's oldest sessions go if there are too many.
    fn logged_in(
        &self,
        map: &mut HashMap<SessionId, Record>,
        id: &SessionId,
        (login, owner): (&Login, OwnerId),
        now: u64,
    ) {
        let mut logins = self.logins.lock().unwrap();
        logins.retain(|other| other != id);
        logins.push(*id);
        let counts = |id: &SessionId| {
            let record = map
                .get(id)
                .filter(|record| record.is_live(now) || self.is(LimitCountsExpired));
            record.is_some_and(|record| self.owner(id, record) == Some(owner))
        };
        let mut theirs: Vec<SessionId> = logins.iter().copied().filter(counts).collect();
        match self.flaw {
            NoLimit => theirs.clear(),
            LimitByClock => theirs.sort_by_key(|id| map[id].seen),
            LimitEndsItself => theirs.reverse(),
            _ => {}
        }
        let most = login.most.map_or(usize::MAX, |most| most as usize);
        for id in &theirs[..theirs.len().saturating_sub(most)] {
            map.remove(id);
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
                Loaded::Missing if self.is(RenewedIsAnySecret) && record.is_live(now) => Loaded::Renewed,
                Loaded::Missing if self.is(RenewedForEver) && record.is_live(now) => {
                    record.load(ticket, record.renewed.map_or(now, |renewed| renewed.at))
                }
                loaded => loaded,
            },
        }))
    }

    async fn create(&self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Result<Created, Error> {
        let login = login.zip(record.owner.as_ref().map(|owner| owner.id));
        let was_late = self.is_late(login);
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
        if was_late || (!self.is(MarkLate) && self.is_late(login)) {
            return Ok(Created::Ended);
        }
        if let Some(owner) = &record.owner {
            self.owners.lock().unwrap().insert(*id, owner.id);
        }
        self.with(|map| {
            map.insert(*id, record.clone());
            if let Some(login) = login {
                self.logged_in(map, id, login, now);
            }
        });
        Ok(Created::Created)
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        let login = match (&changes.login, &changes.owner) {
            (Some(login), Field::Set(owner)) => Some((login, owner.id)),
            _ => None,
        };
        self.wait().await;
        if self.is_late(login) {
            return Ok(Applied::Gone);
        }
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
                        self.owners.lock().unwrap().insert(ticket.id, owner.id);
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
            if let (Some(login), Applied::Updated) = (login, applied) {
                self.logged_in(map, &ticket.id, login, now);
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

    async fn begin_login(&self, owner: &OwnerId, _: u64) -> Result<Mark, Error> {
        let ended = self.ended.lock().unwrap().get(owner).copied().unwrap_or(0);
        Ok(Mark::new(self.mark(owner), ended))
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        self.wait().await;
        let owner = self.name(owner);
        Ok(self.with(|map| {
            map.iter()
                .filter(|(_, record)| record.is_live(now) || self.is(ListsExpired))
                .filter(|(id, record)| self.owner(id, record) == Some(owner))
                .map(|(id, record)| record.summary(*id))
                .collect()
        }))
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        self.wait().await;
        if !matches!(which, Which::Only(_)) {
            self.end(Some(*owner));
            if !self.is(MarkWithoutTime) {
                self.ended.lock().unwrap().insert(*owner, now);
            }
        }
        let owner = self.name(owner);
        Ok(self.with(|map| {
            let before = map.len() as u64;
            map.retain(|id, record| {
                let theirs = self.owner(id, record) == Some(owner);
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

    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        self.wait().await;
        self.end(None);
        Ok(self.with(|map| {
            let before = map.len();
            map.retain(|_, record| match self.flaw {
                EpochOfCreation => record.created >= epoch.before && record.created <= epoch.after.unwrap_or(u64::MAX),
                EpochInclusive => record.begun() > epoch.before && record.begun() <= epoch.after.unwrap_or(u64::MAX),
                EpochIgnoresAhead if epoch.before > 0 => record.begun() >= epoch.before,
                _ => !epoch.ends(record.begun()),
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
        (RenewedIsMissing, "renew"),
        (RenewedForEver, "renew"),
        (RenewedIsAnySecret, "wrong secret"),
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
        (OwnersByHalf, "ids of owners"),
        (CountsOwnersWrong, "ended sessions of an owner"),
        (NoLimit, "limits of an owner"),
        (LimitByClock, "limits of an owner"),
        (LimitEndsItself, "limits of an owner"),
        (LimitCountsExpired, "limits and expiry"),
        (NoMarks, "logins that an end overtook"),
        (MarkOfAll, "logins that an end overtook"),
        (MarkLate, "logins during an end"),
        (MarkWithoutTime, "logins that an end overtook"),
        (Fails, "round trip of JSON"),
    ] {
        let store = MapStore::new(flaw);
        let failure = check(&store).await.expect_err(&format!("{flaw:?} passes"));
        println!("{flaw:?}: {failure}");
        assert_eq!(failure.step(), step, "{flaw:?}: {failure}");
    }
    for flaw in [EpochOfCreation, EpochInclusive, EpochIgnoresAhead, EpochKeepsMarks] {
        let failure = check_epoch(&MapStore::new(flaw)).await.expect_err("passes");
        println!("{flaw:?}: {failure}");
        assert_eq!(failure.step(), "delete_begun", "{flaw:?}: {failure}");
    }
}
