//! The arithmetic of a store in this process: a `HashMap` behind a lock, of `serde_json` maps in `Arc`s.
//!
//! It looks the session up when it is asked for, copies the map when a key is written, puts the copy in its place, and sends a
//! cookie when the session is new: no expiry, no bound, no secret beside the id, and of two requests at the same time the last
//! one wins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use base64_simd::{Out, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use rand::RngExt as _;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    Contender,
    floor::{ATTRIBUTES, Floor, FloorLayer, Found, Handle, START, scan},
};
use crate::{
    handlers::{Dictionary, Task, runner},
    runner::Runner,
};

type Id = [u8; 16];
type Sessions = HashMap<Id, Arc<Map<String, Value>>>;

pub fn new() -> impl Contender {
    InProcess::default()
}

#[derive(Clone, Default)]
struct InProcess(Arc<Mutex<Sessions>>);

/// A session that is looked up when it is asked for.
struct Lazy {
    found: Option<Found>,
    id: Option<Id>,
    opened: Option<Arc<Map<String, Value>>>,
    changed: bool,
}

impl Contender for InProcess {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        Some(runner!(FloorLayer(self.clone()), Handle<InProcess>, task))
    }
}

impl Floor for InProcess {
    type State = Lazy;

    fn begin(&self, headers: &HeaderMap) -> Lazy {
        Lazy {
            found: scan(headers),
            id: None,
            opened: None,
            changed: false,
        }
    }

    fn end(&self, state: &mut Lazy) -> Option<HeaderValue> {
        let session = state.opened.take().filter(|_| state.changed)?;
        let known = state.id.is_some();
        let id = state.id.unwrap_or_else(|| rand::rng().random());
        self.0.lock().expect("a store").insert(id, session);
        if known {
            return None;
        }
        let mut line = String::with_capacity(START.len() + 22 + ATTRIBUTES.len());
        line.push_str(START);
        URL_SAFE_NO_PAD.encode_append(id, &mut line);
        line.push_str(ATTRIBUTES);
        HeaderValue::try_from(line).ok()
    }
}

impl InProcess {
    fn open(&self, found: &Found) -> Option<(Id, Arc<Map<String, Value>>)> {
        let value = &found.line.as_bytes()[found.value.clone()];
        let mut id = Id::default();
        if value.len() != 22 || URL_SAFE_NO_PAD.decode(value, Out::from_slice(&mut id)).is_err() {
            return None;
        }
        let session = self.0.lock().expect("a store").get(&id)?.clone();
        Some((id, session))
    }
}

impl Handle<InProcess> {
    fn with<T>(&self, work: impl FnOnce(&mut Arc<Map<String, Value>>, &mut bool) -> T) -> T {
        let state = &mut *self.0.state.lock().expect("a state");
        if state.opened.is_none()
            && let Some((id, session)) = state.found.as_ref().and_then(|found| self.0.floor.open(found))
        {
            state.id = Some(id);
            state.opened = Some(session);
        }
        work(state.opened.get_or_insert_default(), &mut state.changed)
    }
}

impl Dictionary for Handle<InProcess> {
    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        self.with(|session, _| T::deserialize(session.get(key)?).ok())
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) {
        let value = serde_json::to_value(value).expect("JSON");
        self.with(|session, changed| {
            *changed = true;
            Arc::make_mut(session).insert(key.to_owned(), value);
        });
    }
}
