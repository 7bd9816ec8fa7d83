//! Tickets of stored sessions: lines of any bytes between and around genuine tickets, and a store that must neither be asked
//! nor changed for anything else.
#![no_main]

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll, Waker},
};

use http::header::SET_COOKIE;
use http_session::{
    Error, Session, SessionId, SessionLayer,
    store::{Applied, Changes, Created, HashedTicket, Loaded, Login, Record, Store},
};
use http_session_fuzz::{Genuine, now, send};
use libfuzzer_sys::fuzz_target;

type Records = HashMap<SessionId, Record>;

#[derive(Clone, Default)]
struct MapStore {
    records: Arc<Mutex<Records>>,
    loads: Arc<Mutex<usize>>,
}

impl Store for MapStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        *self.loads.lock().unwrap() += 1;
        let records = self.records.lock().unwrap();
        let record = records.get(&ticket.id);
        Ok(record.map_or(Loaded::Missing, |record| record.load(ticket, now)))
    }

    async fn create(&self, id: &SessionId, record: &Record, _: Option<&Login>, _: u64) -> Result<Created, Error> {
        assert!(self.records.lock().unwrap().insert(*id, record.clone()).is_none());
        Ok(Created::Created)
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        let mut records = self.records.lock().unwrap();
        let record = records.get_mut(&ticket.id);
        Ok(record.map_or(Applied::Gone, |record| record.apply(ticket, changes, now)))
    }

    async fn delete(&self, ticket: &HashedTicket, _: u64) -> Result<bool, Error> {
        let mut records = self.records.lock().unwrap();
        let live = records
            .get(&ticket.id)
            .is_some_and(|record| record.secret == ticket.secret);
        if live {
            records.remove(&ticket.id);
        }
        Ok(live)
    }

    async fn delete_expired(&self, _: u64) -> Result<u64, Error> {
        Ok(0)
    }
}

struct World {
    layer: SessionLayer,
    store: MapStore,
    records: Records,
    genuine: Genuine,
    tickets: Vec<String>,
}

static WORLDS: LazyLock<Vec<World>> = LazyLock::new(|| {
    [false, true]
        .map(|shared| {
            let store = MapStore::default();
            let mut layer = SessionLayer::with_store(store.clone()).clock(now);
            if shared {
                layer = layer.domain("example.com");
            }
            let layer = layer.build().expect("it is good");
            let pairs: Vec<String> = (0..3)
                .map(|user| {
                    let response = send(&layer, &[], |session| session.insert("user", user).unwrap());
                    let line = response.headers()[SET_COOKIE].to_str().expect("text").to_owned();
                    line.split(';').next().unwrap_or_default().to_owned()
                })
                .collect();
            let records = store.records.lock().unwrap().clone();
            World {
                genuine: Genuine::of(&pairs),
                tickets: pairs
                    .iter()
                    .map(|pair| pair.split_once('=').unwrap().1.to_owned())
                    .collect(),
                layer,
                store,
                records,
            }
        })
        .into()
});

fn now_or_never<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a map does not wait"),
    }
}

fuzz_target!(|input: &[u8]| {
    let [which, deed, recipe @ ..] = input else {
        return;
    };
    let world = &WORLDS[usize::from(*which) % WORLDS.len()];
    *world.store.records.lock().unwrap() = world.records.clone();
    *world.store.loads.lock().unwrap() = 0;
    let lines = world.genuine.cook(recipe);
    let mut user = None;
    let response = send(&world.layer, &lines, |session: &Session| {
        now_or_never(session.load()).unwrap();
        user = session.get::<usize>("user").unwrap();
        assert_eq!(session.is_new().unwrap(), user.is_none());
        assert!(user.is_none() || session.rejected().is_none());
        match deed % 4 {
            0 => {}
            1 => session.insert("new", 1).unwrap(),
            2 => session.destroy().unwrap(),
            _ => session.authenticated().unwrap(),
        }
    });
    assert_eq!(response.status(), 200);
    let came = |ticket: &String| {
        let ticket = ticket.as_bytes();
        lines
            .iter()
            .any(|line| line.windows(ticket.len()).any(|part| part == ticket))
    };
    if let Some(user) = user {
        assert!(came(&world.tickets[user]), "a session without its ticket");
    }
    assert!(*world.store.loads.lock().unwrap() <= 4);
    // Nobody else's session has changed. A logout ends all sessions whose tickets came, those that rival each other too.
    let after = world.store.records.lock().unwrap();
    for (id, before) in &world.records {
        let whose: usize = before.values.get("user").and_then(|json| json.parse().ok()).unwrap();
        let ended = deed % 4 == 2 && !after.contains_key(id) && came(&world.tickets[whose]);
        if Some(whose) != user && !ended {
            assert!(after.get(id) == Some(before), "another session was changed");
        }
    }
    let created = after.keys().filter(|id| !world.records.contains_key(id)).count();
    assert!(created <= usize::from(user.is_none() && deed % 4 != 0 && deed % 4 != 2));
    if deed % 4 == 0 {
        assert!(*after == world.records && !response.headers().contains_key(SET_COOKIE));
    }
});
