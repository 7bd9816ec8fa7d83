use axum_session::{SessionConfig, SessionLayer, SessionNullPool, SessionNullSession, SessionStore};
use serde::{Serialize, de::DeserializeOwned};

use super::{Contender, NAME};
use crate::{
    handlers::{Dictionary, Task, runner},
    runner::{Runner, finish},
};

pub struct AxumSession(SessionStore<SessionNullPool>);

impl AxumSession {
    pub fn new() -> Self {
        let config = SessionConfig::default().with_secure(true).with_session_name(NAME);
        Self(finish(SessionStore::new(None, config)).expect("a store"))
    }
}

impl Contender for AxumSession {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        Some(runner!(SessionLayer::new(self.0.clone()), SessionNullSession, task))
    }
}

impl Dictionary for SessionNullSession {
    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        self.get(key)
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) {
        self.set(key, value);
    }
}
