//! A store in a map that counts what it is asked, and fails, waits or collides when it is told to.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use http_session::{
    Error, SessionId,
    store::{Applied, Changes, Created, HashedTicket, Loaded, Record, Store, StoredSession, Which},
};
use tokio::sync::Semaphore;

use crate::support::Random;

#[derive(Clone)]
pub struct MapStore(Arc<Inner>);

struct Inner {
    records: Mutex<HashMap<SessionId, Record>>,
    asked: Mutex<Vec<&'static str>>,
    script: Mutex<Script>,
    /// What a step waits for when it is told to wait.
    gate: Semaphore,
    /// Steps that wait.
    waiting: Semaphore,
}

#[derive(Default)]
struct Script {
    down: bool,
    /// Steps of this name wait before they begin, or after they are done.
    before: Option<&'static str>,
    after: Option<&'static str>,
    panics: Option<&'static str>,
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
        self.0.records.lock().unwrap().len()
    }

    pub fn records(&self) -> Vec<(SessionId, Record)> {
        let records = self.0.records.lock().unwrap();
        records.iter().map(|(id, record)| (*id, record.clone())).collect()
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

    async fn step<T>(
        &self,
        name: &'static str,
        step: impl FnOnce(&mut HashMap<SessionId, Record>) -> T + Send,
    ) -> Result<T, Error> {
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
        self.step("load", |map| {
            map.get(&ticket.id)
                .map_or(Loaded::Missing, |record| record.load(ticket, now))
        })
        .await
    }

    async fn create(&self, id: &SessionId, record: &Record, now: u64) -> Result<Created, Error> {
        let collides = {
            let mut script = self.0.script.lock().unwrap();
            let collides = script.collisions > 0;
            script.collisions = script.collisions.saturating_sub(1);
            collides
        };
        self.step("create", |map| {
            if collides || map.get(id).is_some_and(|other| other.is_live(now)) {
                return Created::Collision;
            }
            map.insert(*id, record.clone());
            Created::Created
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
        self.step("apply", |map| {
            if conflicts {
                return Applied::Conflict;
            }
            map.get_mut(&ticket.id)
                .map_or(Applied::Gone, |record| record.apply(ticket, changes, now))
        })
        .await
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        self.step("delete", |map| {
            let live = map
                .get(&ticket.id)
                .is_some_and(|record| record.is_live(now) && record.secret == ticket.secret);
            if live {
                map.remove(&ticket.id);
            }
            live
        })
        .await
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        self.step("delete_expired", |map| {
            let before = map.len();
            map.retain(|_, record| record.is_live(now));
            (before - map.len()) as u64
        })
        .await
    }

    fn keeps_owners(&self) -> bool {
        true
    }

    async fn sessions_of(&self, owner: &str, now: u64) -> Result<Vec<StoredSession>, Error> {
        self.step("sessions_of", |map| {
            map.iter()
                .filter(|(_, record)| record.is_live(now) && record.owner.as_deref() == Some(owner))
                .map(|(id, record)| record.summary(*id))
                .collect()
        })
        .await
    }

    async fn delete_of(&self, owner: &str, which: &Which) -> Result<u64, Error> {
        self.step("delete_of", |map| {
            let before = map.len();
            map.retain(|id, record| !(record.owner.as_deref() == Some(owner) && which.includes(id)));
            (before - map.len()) as u64
        })
        .await
    }

    async fn delete_begun_before(&self, epoch: u64) -> Result<u64, Error> {
        self.step("delete_begun_before", |map| {
            let before = map.len();
            map.retain(|_, record| record.begun() >= epoch);
            (before - map.len()) as u64
        })
        .await
    }
}
