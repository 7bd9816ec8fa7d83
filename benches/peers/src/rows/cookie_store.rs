use serde::{Serialize, de::DeserializeOwned};
use tower_cookies::cookie::time;
use tower_sessions_cookie_store::{CookieSessionConfig, CookieSessionManagerLayer, Expiry, Key, SameSite, Session};

use super::{Contender, NAME, TWO_WEEKS};
use crate::{
    handlers::{Dictionary, Task, runner},
    runner::Runner,
};

pub struct CookieStore {
    key: Key,
    private: bool,
}

impl CookieStore {
    pub fn signed() -> Self {
        Self {
            key: Key::generate(),
            private: false,
        }
    }

    pub fn private() -> Self {
        Self {
            key: Key::generate(),
            private: true,
        }
    }
}

impl Contender for CookieStore {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        let expiry = Expiry::OnInactivity(time::Duration::try_from(TWO_WEEKS).expect("two weeks"));
        let config = CookieSessionConfig::default()
            .with_name(NAME)
            .with_same_site(SameSite::Lax)
            .with_expiry(expiry);
        let key = self.key.clone();
        Some(if self.private {
            runner!(
                CookieSessionManagerLayer::private(key).with_config(config),
                Session,
                task
            )
        } else {
            runner!(
                CookieSessionManagerLayer::signed(key).with_config(config),
                Session,
                task
            )
        })
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
