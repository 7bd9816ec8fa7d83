//! This crate, with its defaults.

use http_session::{Key, Session, SessionLayer, store::MemoryStore};
use serde::{Serialize, de::DeserializeOwned};

use super::Contender;
use crate::{
    handlers::{Dictionary, Task, runner},
    runner::Runner,
};

pub struct Ours(SessionLayer);

impl Ours {
    pub fn signed() -> Self {
        Self::new(SessionLayer::signed(Key::generate().expect("a key")))
    }

    pub fn encrypted() -> Self {
        Self::new(SessionLayer::encrypted(Key::generate().expect("a key")))
    }

    pub fn starlette() -> Self {
        Self::new(SessionLayer::starlette("2f0f3a5d0f4f0e8f5ae5a0a4b4c1e3d2").secure(true))
    }

    fn new(layer: SessionLayer) -> Self {
        Self(layer.build().expect("a layer"))
    }
}

/// With sessions in this process.
pub struct OursInStore(SessionLayer);

impl OursInStore {
    pub fn new() -> Self {
        let layer = SessionLayer::with_store(MemoryStore::new()).build();
        Self(layer.expect("a layer"))
    }
}

impl Contender for OursInStore {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        Some(runner!(self.0.clone(), Session, task, load))
    }
}

/// As the extractor does before a handler sees the session.
async fn load(session: &Session) {
    session.load().await.expect("a store");
}

impl Contender for Ours {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        Some(runner!(self.0.clone(), Session, task))
    }
}

impl Dictionary for Session {
    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        self.get(key).expect("a value of this type")
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) {
        self.insert(key, value).expect("in time");
    }
}
