//! A store in a map that counts what it is asked, and fails, waits or collides when it is told to.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use http_session::{
    Error, SessionId,
    store::{
        Applied, Changes, Created, Epoch, Field, HashedTicket, Loaded, Login, Mark, OwnerId, Record, Store,
        StoredSession, Which,
    },
};
use tokio::sync::Semaphore;

use crate::support::Random;

#[derive(Clone)]
pub struct MapStore(Arc<Inner>);

struct Inner {
    records: Mutex<Records>,
    asked: Mutex<Vec<&'static str>>,
    script: Mutex<Script>,
    /// What a step waits for when it is told to wait.
    gate: Semaphore,
    /// Steps that wait.
    waiting: Semaphore,
}

#[derive(Default)]
struct Records {
    map: HashMap<SessionId, Record>,
    /// Sessions of owners, the last login last.
    logins: Vec<SessionId>,
    marks: HashMap<OwnerId, Mark>,
    /// Of everybody.
    mark: u64,
    epoch: u64,
}

impl Records {
    fn mark(&self, owner: &OwnerId) -> Mark {
        let mark = self.marks.get(owner).copied().unwrap_or_default();
        Mark::new(self.mark + mark.number, self.epoch.max(mark.ended))
    }

    fn create(&mut self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Created {
        if self.map.get(id).is_some_and(|other| other.is_live(now)) {
            return Created::Collision;
        }
        let login = login.zip(record.owner.as_ref());
        let late = match login {
            Some((login, owner)) => self.mark(&owner.id).number != login.mark,
            None => record.begun() < self.epoch,
        };
        if late {
            return Created::Ended;
        }
        self.map.insert(*id, record.clone());
        if let Some((login, owner)) = login {
            self.logged_in(id, &owner.id, login, now);
        }
        Created::Created
    }

    /// This session has logged in, and the oldest ones go if there are too many.
    fn logged_in(&mut self, id: &SessionId, owner: &OwnerId, login: &Login, now: u64) {
        self.logins.retain(|other| other != id && self.map.contains_key(other));
        self.logins.push(*id);
        let is_theirs = |id: &SessionId| {
            let record = self.map.get(id).filter(|record| record.is_live(now));
            record.is_some_and(|record| is_of(record, owner))
        };
        let theirs: Vec<SessionId> = self.logins.iter().copied().filter(is_theirs).collect();
        let most = login.most.map_or(usize::MAX, |most| most as usize);
        for id in &theirs[..theirs.len().saturating_sub(most)] {
            self.map.remove(id);
        }
    }
}

fn is_of(record: &Record, owner: &OwnerId) -> bool {
    record.owner.as_ref().is_some_and(|its| its.id == *owner)
}

#[derive(Default)]
struct Script {
    down: bool,
    /// Steps of this name wait before they begin, or after they are done.
    before: Option<&'static str>,
    after: Option<&'static str>,
    panics: Option<&'static str>,
    /// A step of this name is taken so much later, whether or not its answer is waited for.
    late: Option<(&'static str, std::time::Duration)>,
    collisions: u32,
    conflicts: u32,
    /// Others go first, before and after each step, up to so many times.
    dither: Option<Random>,
}

impl MapStore {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            records: Mutex::default(),
            asked: Mutex::default(),
            script: Mutex::default(),
            gate: Semaphore::new(0),
            waiting: Semaphore::new(0),
        }))
    }

    /// What it was asked since this was last called.
    pub fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.asked.lock().unwrap())
    }

    pub fn len(&self) -> usize {
        self.0.records.lock().unwrap().map.len()
    }

    pub fn records(&self) -> Vec<(SessionId, Record)> {
        let records = self.0.records.lock().unwrap();
        records.map.iter().map(|(id, record)| (*id, record.clone())).collect()
    }

    /// The only record there is.
    pub fn record(&self) -> Record {
        let mut records = self.records();
        assert_eq!(records.len(), 1);
        records.remove(0).1
    }

    pub fn down(&self, down: bool) {
        self.0.script.lock().unwrap().down = down;
    }

    /// Steps of this name wait for [`open`](Self::open) before they begin.
    pub fn hold_before(&self, step: &'static str) {
        self.0.script.lock().unwrap().before = Some(step);
    }

    /// Steps of this name are done, and their answer waits for [`open`](Self::open).
    pub fn hold_after(&self, step: &'static str) {
        self.0.script.lock().unwrap().after = Some(step);
    }

    pub fn panic_at(&self, step: &'static str) {
        self.0.script.lock().unwrap().panics = Some(step);
    }

    /// The next step of this name is taken so much later, whoever has given up waiting for it by then.
    pub fn delay(&self, step: &'static str, by: std::time::Duration) {
        self.0.script.lock().unwrap().late = Some((step, by));
    }

    /// Waits until a step waits.
    pub async fn held(&self) {
        self.0.waiting.acquire().await.unwrap().forget();
    }

    /// Lets one step go on, and no other wait.
    pub fn open(&self) {
        let mut script = self.0.script.lock().unwrap();
        script.before = None;
        script.after = None;
        self.0.gate.add_permits(1);
    }

    /// Lets one step go on, and the next ones wait as told.
    pub fn go(&self) {
        self.0.gate.add_permits(1);
    }

    /// Forgets leave that nobody took, and waits that nobody saw.
    pub fn settle(&self) {
        while self.0.gate.try_acquire().map(|permit| permit.forget()).is_ok() {}
        while self.0.waiting.try_acquire().map(|permit| permit.forget()).is_ok() {}
    }

    pub fn collide(&self, times: u32) {
        self.0.script.lock().unwrap().collisions = times;
    }

    pub fn conflict(&self, times: u32) {
        self.0.script.lock().unwrap().conflicts = times;
    }

    /// Lets others go first before and after each step, as often as chance has it.
    pub fn dither(&self, seed: u64) {
        self.0.script.lock().unwrap().dither = Some(Random(seed));
    }

    async fn give_way(&self) {
        let times = match &mut self.0.script.lock().unwrap().dither {
            Some(random) => random.below(4),
            None => 0,
        };
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }

    async fn step<T>(&self, name: &'static str, step: impl FnOnce(&mut Records) -> T + Send) -> Result<T, Error> {
        self.0.asked.lock().unwrap().push(name);
        let (down, before, after) = {
            let script = self.0.script.lock().unwrap();
            assert_ne!(script.panics, Some(name), "told to");
            (script.down, script.before == Some(name), script.after == Some(name))
        };
        self.give_way().await;
        if before {
            self.wait().await;
        }
        if down {
            return Err(Error::store("told to be down"));
        }
        let answer = step(&mut self.0.records.lock().unwrap());
        if after {
            self.wait().await;
        }
        self.give_way().await;
        Ok(answer)
    }

    async fn wait(&self) {
        self.0.waiting.add_permits(1);
        self.0.gate.acquire().await.unwrap().forget();
    }
}

impl Store for MapStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        self.step("load", |records| {
            let record = records.map.get(&ticket.id);
            record.map_or(Loaded::Missing, |record| record.load(ticket, now))
        })
        .await
    }

    async fn create(&self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Result<Created, Error> {
        let collides = {
            let mut script = self.0.script.lock().unwrap();
            let collides = script.collisions > 0;
            script.collisions = script.collisions.saturating_sub(1);
            collides
        };
        let late = self
            .0
            .script
            .lock()
            .unwrap()
            .late
            .take_if(|(step, _)| *step == "create");
        if let Some((_, by)) = late {
            let (store, id, record, login) = (self.clone(), *id, record.clone(), login.copied());
            let later = tokio::spawn(async move {
                tokio::time::sleep(by).await;
                let mut records = store.0.records.lock().unwrap();
                records.create(&id, &record, login.as_ref(), now)
            });
            return Ok(later.await.unwrap());
        }
        self.step("create", |records| {
            if collides {
                return Created::Collision;
            }
            records.create(id, record, login, now)
        })
        .await
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        let conflicts = {
            let mut script = self.0.script.lock().unwrap();
            let conflicts = script.conflicts > 0 && !changes.expected.is_empty();
            script.conflicts = script.conflicts.saturating_sub(u32::from(conflicts));
            conflicts
        };
        let login = match (&changes.login, &changes.owner) {
            (Some(login), Field::Set(owner)) => Some((login, owner.id)),
            _ => None,
        };
        self.step("apply", |records| {
            if conflicts {
                return Applied::Conflict;
            }
            let late = match login {
                Some((login, owner)) => records.mark(&owner).number != login.mark,
                None => changes.logs_in_before(records.epoch),
            };
            if late {
                return Applied::Gone;
            }
            let record = records.map.get_mut(&ticket.id);
            let applied = record.map_or(Applied::Gone, |record| record.apply(ticket, changes, now));
            if let (Some((login, owner)), Applied::Updated) = (login, applied) {
                records.logged_in(&ticket.id, &owner, login, now);
            }
            applied
        })
        .await
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        self.step("delete", |records| {
            let record = records.map.get(&ticket.id);
            let live = record.is_some_and(|record| record.is_live(now) && record.secret == ticket.secret);
            if live {
                records.map.remove(&ticket.id);
            }
            live
        })
        .await
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        self.step("delete_expired", |records| {
            let before = records.map.len();
            records.map.retain(|_, record| record.is_live(now));
            (before - records.map.len()) as u64
        })
        .await
    }

    fn keeps_owners(&self) -> bool {
        true
    }

    async fn begin_login(&self, owner: &OwnerId, _: u64) -> Result<Mark, Error> {
        self.step("begin_login", |records| records.mark(owner)).await
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        self.step("sessions_of", |records| {
            let all = records.map.iter();
            all.filter(|(_, record)| record.is_live(now) && is_of(record, owner))
                .map(|(id, record)| record.summary(*id))
                .collect()
        })
        .await
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        self.step("delete_of", |records| {
            if !matches!(which, Which::Only(_)) {
                let mark = records.marks.entry(*owner).or_default();
                *mark = Mark::new(mark.number + 1, mark.ended.max(now));
            }
            let before = records.map.len();
            records
                .map
                .retain(|id, record| !(is_of(record, owner) && which.includes(id)));
            (before - records.map.len()) as u64
        })
        .await
    }

    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        self.step("delete_begun", |records| {
            records.mark += 1;
            records.epoch = records.epoch.max(epoch.before);
            let before = records.map.len();
            records.map.retain(|_, record| !epoch.ends(record.begun()));
            (before - records.map.len()) as u64
        })
        .await
    }
}
