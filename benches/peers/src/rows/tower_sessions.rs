use serde::{Serialize, de::DeserializeOwned};
use tower_sessions::{
    Expiry, MemoryStore, Session, SessionManagerLayer,
    cookie::{SameSite, time},
};

use super::{Contender, NAME, TWO_WEEKS};
use crate::{
    handlers::{Dictionary, Task, runner},
    runner::Runner,
};

pub struct Sessions(MemoryStore);

impl Sessions {
    pub fn new() -> Self {
        Self(MemoryStore::default())
    }
}

impl Contender for Sessions {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        let expiry = Expiry::OnInactivity(time::Duration::try_from(TWO_WEEKS).expect("two weeks"));
        let layer = SessionManagerLayer::new(self.0.clone())
            .with_name(NAME)
            .with_same_site(SameSite::Lax)
            .with_expiry(expiry);
        Some(runner!(layer, Session, task))
    }
}

impl Dictionary for Session {
    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        self.get(key).await.expect("a value of this type")
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) {
        self.insert(key, value).await.expect("a store");
    }
}
