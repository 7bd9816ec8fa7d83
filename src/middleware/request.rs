//! A session's way to the cookies of its request and response.

use std::{
    future::{Future, ready},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderValue;

use super::{built::Built, open::open, runtime, tickets::Tickets};
use crate::{
    cookie::Found,
    error::Error,
    event::event,
    key::random,
    session::{
        Action, LayerId, Lifetime, Meta, Millis, Opened, Order, Outcome, Session, SessionId, Source, Spawner, Stored,
    },
};

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The cookies of one request, and what was saved for its response.
pub(crate) struct Incoming {
    pub(super) built: Arc<Built>,
    cookies: Mutex<Cookies>,
    pub(super) tickets: Tickets,
    /// The session of the layer around this one that it takes the place of.
    outer: Option<Session>,
    /// No cache keeps what answers a `CONNECT`.
    pub(super) is_connect: bool,
}

#[derive(Default)]
pub(super) struct Cookies {
    pub(super) found: Found,
    /// The lines of the last `save`.
    pub(super) saved: Vec<HeaderValue>,
}

impl Incoming {
    pub(super) fn new(built: Arc<Built>, found: Found, is_connect: bool, outer: Option<Session>) -> Self {
        let cookies = Cookies {
            found,
            saved: Vec::new(),
        };
        Self {
            built,
            cookies: Mutex::new(cookies),
            tickets: Tickets::default(),
            outer,
            is_connect,
        }
    }

    /// Lets go of the request's headers, which may be long and outlive the request in a handle that was kept.
    pub(super) fn release(&self) -> Cookies {
        mem::take(&mut *self.lock())
    }

    /// The cookies that came: a copy, which shares the headers' bytes.
    pub(super) fn found(&self) -> Found {
        self.lock().found.clone()
    }

    /// These lines go with the response, unless something newer takes their place.
    pub(super) fn save(&self, lines: Vec<HeaderValue>) {
        self.lock().saved = lines;
    }

    fn lock(&self) -> MutexGuard<'_, Cookies> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Incoming {
    fn open(&self) -> Result<Opened, Error> {
        let now = self.now();
        // The codec may be the user's, so it runs without the lock.
        let found = self.found();
        let Some(store) = &self.built.store else {
            return Ok(open(&self.built, &found, now));
        };
        if store.find(self, &found) {
            return Ok(Opened {
                present: true,
                stored: Stored::unloaded(),
                ..Opened::default()
            });
        }
        let mut opened = open(&self.built, &found, now);
        opened.stored.is_one = true;
        Ok(opened)
    }

    fn write(&self, action: Action) -> Result<(), Error> {
        let (found, mut lines) = (self.found(), Vec::new());
        let send = &mut |line| lines.push(line);
        match action {
            Action::Keep => return Ok(()),
            Action::Write(payload) | Action::Refresh(payload) => self.built.write(&payload, &found, send)?,
            Action::Remove => self.built.remove(&found, send),
        }
        self.save(lines);
        Ok(())
    }

    fn now(&self) -> Millis {
        self.built.now()
    }

    fn lifetime(&self) -> Option<&Lifetime> {
        Some(&self.built.lifetime)
    }

    fn carries_max_age(&self) -> bool {
        self.built.own.format.max_age
    }

    fn is_stored(&self) -> bool {
        self.built.store.is_some()
    }

    fn check_owners(&self) -> Result<(), Error> {
        match &self.built.store {
            Some(store) => store.check_owners(),
            None => Err(Error::config(
                "only a stored session has an owner or a label: use `SessionLayer::with_store`",
            )),
        }
    }

    fn load(&self) -> Answer<'_, Result<Opened, Error>> {
        match &self.built.store {
            Some(store) => store.load(self),
            None => Box::pin(ready(Ok(Opened::default()))),
        }
    }

    fn commit<'a>(&'a self, order: &'a mut Order) -> Answer<'a, Result<Outcome, Error>> {
        match &self.built.store {
            Some(store) => store.commit(self, order),
            None => Box::pin(ready(Ok(Outcome::Gone))),
        }
    }

    fn withdraw(&self) {
        self.lock().saved.clear();
    }

    fn cookie_expires(&self, meta: &Meta) -> bool {
        self.built.sends_max_age(meta)
    }

    fn let_go(&self) {
        drop(self.release());
    }

    fn layer(&self) -> Option<LayerId<'_>> {
        Some(LayerId {
            at: Arc::as_ptr(&self.built).cast(),
            cookie_name: &self.built.name,
        })
    }

    fn outer(&self) -> Option<&Session> {
        self.outer.as_ref()
    }

    fn session_id(&self) -> Option<SessionId> {
        self.tickets.id()
    }

    fn spawner(&self) -> Option<Spawner> {
        self.built.store.as_ref()?.spawner()
    }

    fn patience(&self) -> Answer<'_, ()> {
        let limit = self.built.store.as_ref().and_then(|store| store.timeout());
        Box::pin(runtime::patience(limit))
    }

    fn pause(&self, attempt: u32) -> Answer<'_, ()> {
        Box::pin(runtime::pause(attempt))
    }

    fn report(&self, error: &Error) {
        if matches!(error, Error::Gone) {
            event!(INFO, error = %error, "changes of a session were dropped");
        } else {
            event!(ERROR, error = %error, "a session could not be committed after the client had left");
        }
    }

    fn cut_off(&self) {
        event!(
            ERROR,
            "a commit of a session was cut off after the client had left, so it may or may not have been carried out: let the \
             runtime live until commits have ended, or give `spawn_with` one that does"
        );
    }

    fn not_prolonged(&self, error: &Error) {
        event!(WARN, error = %error, "a session could not be prolonged");
    }

    fn forgotten(&self) {
        event!(
            WARN,
            "changes of a session that came after the response were never saved: call `save` after the last of them"
        );
    }

    fn new_id(&self) -> Result<Option<[u8; 16]>, Error> {
        if self.built.own.format.id && self.built.store.is_none() {
            random().map(Some)
        } else {
            Ok(None)
        }
    }
}

/// Stands where a layer could not be built: everything answers with the reason.
pub(super) struct Refused(pub(super) Error);

impl Source for Refused {
    fn check(&self) -> Result<(), Error> {
        Err(self.0.clone())
    }

    fn open(&self) -> Result<Opened, Error> {
        Err(self.0.clone())
    }

    fn write(&self, _: Action) -> Result<(), Error> {
        Err(self.0.clone())
    }

    fn now(&self) -> Millis {
        0
    }

    fn lifetime(&self) -> Option<&Lifetime> {
        None
    }

    fn carries_max_age(&self) -> bool {
        true
    }

    fn new_id(&self) -> Result<Option<[u8; 16]>, Error> {
        Err(self.0.clone())
    }
}
