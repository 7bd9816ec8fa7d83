//! A layer on a store that can be told what to do, and its clients.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use http_session::{Session, SessionLayer};

use crate::{
    client::{ask, visit},
    map_store::MapStore,
    support::*,
};

pub const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(86_400);

pub struct World {
    pub layer: SessionLayer,
    pub store: MapStore,
    pub clock: Clock,
}

pub fn world() -> World {
    world_of(|layer| layer)
}

pub fn world_of(change: impl FnOnce(SessionLayer) -> SessionLayer) -> World {
    let (store, clock) = (MapStore::new(), Clock::new());
    let layer = SessionLayer::with_store(store.clone())
        .anonymous_max_age(None)
        .clock(clock.reader());
    World {
        layer: change(layer).build().unwrap(),
        store,
        clock,
    }
}

impl World {
    /// A browser that has a session with `n` = 1.
    pub async fn jar(&self) -> Jar {
        self.store.asked();
        let mut jar = Jar::new();
        visit(&mut jar, &self.layer, async |session: Session| {
            session.insert("n", 1).unwrap();
            ok()
        })
        .await;
        assert_eq!(self.store.asked(), ["create"]);
        jar
    }

    /// Whether the ticket opens anything.
    pub async fn opens(&self, jar: &Jar) -> bool {
        let mut opens = false;
        ask(&self.layer, &jar.header("/"), async |session: Session| {
            opens = !loaded(session).await.is_new().unwrap();
            ok()
        })
        .await;
        opens
    }
}

pub async fn loaded(session: Session) -> Session {
    session.load().await.unwrap();
    session
}

pub fn texts(world: &World) -> Vec<(String, String)> {
    let values = world.store.record().values;
    values.iter().map(|(key, json)| (key.into(), json.into())).collect()
}

pub fn pair(key: &str, json: &str) -> (String, String) {
    (key.to_owned(), json.to_owned())
}
