//! A store, a layer on it, and what the scenarios do with them.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Response;
use http_session::{Reject, Session, SessionLayer};

use crate::{
    client::{ask, visit},
    places::{Kind, Place},
    stores::{Any, Watched},
    support::*,
};

pub const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(86_400);

/// What may not get into a store.
pub const EVIL: &str = "qZ7-evil-Wx4";

pub struct World {
    pub layer: SessionLayer,
    pub store: Watched<Any>,
    pub clock: Clock,
    pub place: Arc<Place>,
}

impl World {
    pub async fn new(kind: Kind) -> Option<Self> {
        let place = Place::new(kind).await?;
        let store = Watched::new(place.store().await);
        // Redis ends sessions by its own clock: this one begins at the same time, and goes only ahead.
        let clock = Clock::new();
        clock.set(SystemTime::now());
        let layer = SessionLayer::with_store(store.clone())
            .anonymous_max_age(None)
            .clock(clock.reader());
        // Many tests at a time on a small machine.
        let layer = layer.store_timeout(MINUTE).build().unwrap();
        Some(Self {
            layer,
            store,
            clock,
            place: Arc::new(place),
        })
    }

    /// The same world with another setting.
    pub fn with(&self, change: impl FnOnce(SessionLayer) -> SessionLayer) -> SessionLayer {
        change(self.layer.clone()).build().unwrap()
    }

    /// A browser that has a session with `n` = 1.
    pub async fn jar(&self) -> Jar {
        jar_of(&self.layer).await
    }

    /// All that the store keeps.
    pub async fn dump(&self) -> Vec<u8> {
        crate::dump::dump(&self.place, &self.store.store).await
    }

    /// What the session of this `Cookie` header looks like from within.
    pub async fn look(&self, cookie: &str) -> Look {
        look(&self.layer, cookie).await
    }

    /// That the session is there and as `n` says.
    pub async fn expect(&self, cookie: &str, n: u64) {
        let look = self.look(cookie).await;
        assert_eq!((look.n, look.rejected), (Some(n), None));
    }

    /// That there is no session, for this reason.
    pub async fn expect_none(&self, cookie: &str, reject: Reject) {
        let look = self.look(cookie).await;
        assert_eq!((look.n, look.keys, look.rejected), (None, 0, Some(reject)));
    }
}

pub struct Look {
    pub n: Option<u64>,
    pub keys: usize,
    pub rejected: Option<Reject>,
}

/// Reads a session. Nothing is sent back for it.
pub async fn look(layer: &SessionLayer, cookie: &str) -> Look {
    let mut seen = None;
    let response = ask(layer, cookie, async |session: Session| {
        session.load().await.unwrap();
        seen = Some(Look {
            n: session.get("n").unwrap(),
            keys: session.len().unwrap(),
            rejected: session.rejected(),
        });
        ok()
    })
    .await;
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    seen.unwrap()
}

pub async fn jar_of(layer: &SessionLayer) -> Jar {
    let mut jar = Jar::new();
    visit(&mut jar, layer, async |session: Session| {
        session.insert("n", 1).unwrap();
        ok()
    })
    .await;
    assert_eq!(jar.0.len(), 1);
    jar
}

pub async fn loaded(session: Session) -> Session {
    session.load().await.unwrap();
    session
}

/// The ticket in a jar.
pub fn ticket(jar: &Jar) -> &str {
    &jar.0[0].value
}

/// A handler that answers with a text, so that a response made by the layer is told from it.
pub fn done() -> Response<String> {
    Response::new("done".to_owned())
}

/// That the layer let the handler's own response through, and sent no cookie.
#[track_caller]
pub fn unchanged(response: &Response<String>) {
    assert_eq!((response.status().as_u16(), &**response.body()), (200, "done"));
    assert_eq!(set_cookies(response.headers()), [""; 0]);
}

/// Within a minute, or the test fails.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(MINUTE, future).await.expect("it took a minute")
}
