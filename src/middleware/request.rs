//! A session's way to the cookies of its request and response.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderValue;

use super::{built::Built, open::open};
use crate::{
    cookie::Found,
    error::Error,
    key::random,
    session::{Action, Lifetime, Millis, Opened, Source},
};

/// The cookies of one request, and what was saved for its response.
pub(crate) struct Incoming {
    pub(super) built: Arc<Built>,
    cookies: Mutex<Cookies>,
}

#[derive(Default)]
pub(super) struct Cookies {
    pub(super) found: Found,
    /// The lines of the last `save`.
    pub(super) saved: Vec<HeaderValue>,
}

impl Incoming {
    pub(super) fn new(built: Arc<Built>, found: Found) -> Self {
        let cookies = Cookies {
            found,
            saved: Vec::new(),
        };
        Self {
            built,
            cookies: Mutex::new(cookies),
        }
    }

    /// Lets go of the request's headers, which may be long and outlive the request in a handle that was kept.
    pub(super) fn release(&self) -> Cookies {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Cookies> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Incoming {
    fn open(&self) -> Result<Opened, Error> {
        let now = self.now();
        // A copy, which shares the header's bytes: the codec may be the user's, so it runs without the lock.
        let found = self.lock().found.clone();
        Ok(open(&self.built, &found, now))
    }

    fn write(&self, action: Action) -> Result<(), Error> {
        let mut lines = Vec::new();
        let mut cookies = self.lock();
        match action {
            Action::Keep => return Ok(()),
            Action::Write(payload) | Action::Refresh(payload) => {
                self.built.write(&payload, &cookies.found, |line| lines.push(line))?;
            }
            Action::Remove => self.built.remove(&cookies.found, |line| lines.push(line)),
        }
        cookies.saved = lines;
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

    fn new_id(&self) -> Result<Option<[u8; 16]>, Error> {
        if self.built.own.format.id {
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
