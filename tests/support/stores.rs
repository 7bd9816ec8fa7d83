//! Every store behind one type, and a store that counts what another is asked, and fails, waits or collides when it is told to.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use http_session::{
    Error, SessionId,
    store::{
        Applied, Changes, Created, Epoch, HashedTicket, Loaded, Login, Mark, OwnerId, Record, SecretHash, Store,
        StoredSession, Which,
    },
};
use tokio::sync::Semaphore;

use crate::map_store::MapStore;

/// One of the stores.
#[derive(Clone)]
pub enum Any {
    Map(MapStore),
    #[cfg(feature = "memory")]
    Memory(http_session::store::MemoryStore),
    #[cfg(feature = "redis")]
    Redis(http_session::store::RedisStore),
    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
    Sql(http_session::store::SqlStore),
}

macro_rules! any {
    ($any:expr, $store:ident => $step:expr) => {
        match $any {
            Any::Map($store) => $step,
            #[cfg(feature = "memory")]
            Any::Memory($store) => $step,
            #[cfg(feature = "redis")]
            Any::Redis($store) => $step,
            #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
            Any::Sql($store) => $step,
        }
    };
}

impl Store for Any {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        any!(self, store => store.load(ticket, now).await)
    }

    async fn create(&self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Result<Created, Error> {
        any!(self, store => store.create(id, record, login, now).await)
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        any!(self, store => store.apply(ticket, changes, now).await)
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        any!(self, store => store.delete(ticket, now).await)
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        any!(self, store => store.delete_expired(now).await)
    }

    fn keeps_owners(&self) -> bool {
        any!(self, store => store.keeps_owners())
    }

    async fn begin_login(&self, owner: &OwnerId, now: u64) -> Result<Mark, Error> {
        any!(self, store => store.begin_login(owner, now).await)
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        any!(self, store => store.sessions_of(owner, now).await)
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        any!(self, store => store.delete_of(owner, which, now).await)
    }

    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        any!(self, store => store.delete_begun(epoch).await)
    }
}

/// A store that is watched. Clones are the same.
#[derive(Clone)]
pub struct Watched<S> {
    pub store: S,
    shared: Arc<Shared>,
}

struct Shared {
    asked: Mutex<Vec<&'static str>>,
    script: Mutex<Script>,
    waiting: Semaphore,
    gate: Semaphore,
}

#[derive(Clone, Copy, Default)]
struct Script {
    fails: Option<Fails>,
    hold: Option<(&'static str, When)>,
    collisions: u32,
    /// What the last collision was made with.
    planted: Option<HashedTicket>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum When {
    Before,
    After,
}

/// How steps fail.
#[derive(Clone, Copy, PartialEq)]
pub enum Fails {
    /// The store was not reached.
    Unreached,
    /// The step was taken, and the answer was lost.
    Unheard,
}

impl<S: Store> Watched<S> {
    pub fn new(store: S) -> Self {
        let shared = Shared {
            asked: Mutex::default(),
            script: Mutex::default(),
            waiting: Semaphore::new(0),
            gate: Semaphore::new(0),
        };
        Self {
            store,
            shared: Arc::new(shared),
        }
    }

    /// What it was asked since this was last called.
    pub fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap())
    }

    /// Each step fails from here on, or none does.
    pub fn fails(&self, fails: Option<Fails>) {
        self.shared.script.lock().unwrap().fails = fails;
    }

    /// The next step of this name waits for [`open`](Self::open).
    pub fn hold(&self, step: &'static str, when: When) {
        self.shared.script.lock().unwrap().hold = Some((step, when));
    }

    /// Waits until a step waits.
    pub async fn held(&self) {
        self.shared.waiting.acquire().await.unwrap().forget();
    }

    pub fn open(&self) {
        self.shared.gate.add_permits(1);
    }

    /// The next sessions are begun under an id that another session has.
    pub fn collide(&self, times: u32) {
        self.shared.script.lock().unwrap().collisions = times;
    }

    /// The ticket of the other session.
    pub fn planted(&self) -> HashedTicket {
        self.shared.script.lock().unwrap().planted.unwrap()
    }

    async fn step<T>(
        &self,
        name: &'static str,
        step: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        self.shared.asked.lock().unwrap().push(name);
        let (fails, hold) = {
            let mut script = self.shared.script.lock().unwrap();
            let hold = script.hold.take_if(|(step, _)| *step == name).map(|(_, when)| when);
            (script.fails, hold)
        };
        if hold == Some(When::Before) {
            self.wait().await;
        }
        if fails == Some(Fails::Unreached) {
            return Err(Error::store("told not to be reached"));
        }
        let answer = step.await;
        if hold == Some(When::After) {
            self.wait().await;
        }
        if fails == Some(Fails::Unheard) {
            return Err(Error::store("told not to be heard"));
        }
        answer
    }

    async fn wait(&self) {
        self.shared.waiting.add_permits(1);
        self.shared.gate.acquire().await.unwrap().forget();
    }

    /// Puts another session where one is about to begin.
    async fn plant(&self, id: &SessionId, now: u64, expires: u64) {
        let ticket = HashedTicket {
            id: *id,
            secret: SecretHash::from_bytes([7; 32]),
        };
        let mut record = Record::new(ticket.secret, now, expires);
        record.values.set("whose", "\"another's\"");
        let created = self.store.create(id, &record, None, now).await.unwrap();
        assert_eq!(created, Created::Created);
        self.shared.script.lock().unwrap().planted = Some(ticket);
    }
}

impl<S: Store> Store for Watched<S> {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        self.step("load", self.store.load(ticket, now)).await
    }

    async fn create(&self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Result<Created, Error> {
        let collides = {
            let mut script = self.shared.script.lock().unwrap();
            let collides = script.collisions > 0;
            script.collisions = script.collisions.saturating_sub(1);
            collides
        };
        if collides {
            self.plant(id, now, record.expires).await;
        }
        self.step("create", self.store.create(id, record, login, now)).await
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        self.step("apply", self.store.apply(ticket, changes, now)).await
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        self.step("delete", self.store.delete(ticket, now)).await
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        self.step("delete_expired", self.store.delete_expired(now)).await
    }

    fn keeps_owners(&self) -> bool {
        self.store.keeps_owners()
    }

    async fn begin_login(&self, owner: &OwnerId, now: u64) -> Result<Mark, Error> {
        self.step("begin_login", self.store.begin_login(owner, now)).await
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        self.step("sessions_of", self.store.sessions_of(owner, now)).await
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        self.step("delete_of", self.store.delete_of(owner, which, now)).await
    }

    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        self.step("delete_begun", self.store.delete_begun(epoch)).await
    }
}
