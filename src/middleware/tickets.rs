//! The tickets of one request.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    cookie::Found,
    error::Error,
    key::random,
    session::SessionId,
    store::{HashedTicket, Hasher, Ticket},
};

/// Different tickets in one request that the store is asked about.
const TICKETS: usize = 4;

/// The tickets of one request: those that came, or the one that is good.
#[derive(Default)]
pub(super) struct Tickets(Mutex<Option<Box<Came>>>);

/// What a search of the request's cookies has found.
#[derive(Clone, Default)]
pub(super) struct Came {
    first: Option<Hashed>,
    others: Vec<Hashed>,
    /// There were more than are looked at.
    pub(super) more: bool,
    /// A renewal to this one was begun, and its answer never came: it may be the good one.
    begun: Option<Box<Hashed>>,
}

/// A ticket, and what the store sees of it. Hashed once for a request.
#[derive(Clone)]
pub(super) struct Hashed {
    pub(super) ticket: Ticket,
    pub(super) hashes: HashedTicket,
}

impl Hashed {
    pub(super) fn new(hasher: &Hasher, ticket: Ticket) -> Self {
        Self {
            hashes: hasher.hash(&ticket),
            ticket,
        }
    }
}

impl Came {
    pub(super) fn all(&self) -> impl Iterator<Item = &Hashed> {
        self.first.iter().chain(&self.others)
    }
}

impl Tickets {
    /// Takes the well-formed tickets among the layer's own cookies, and says whether there are any.
    pub(super) fn find(&self, hasher: &Hasher, name: usize, found: &Found) -> bool {
        let mut came = Came {
            more: found.is_full(name),
            ..Came::default()
        };
        for ticket in found.values(name).filter_map(Ticket::parse) {
            if came.all().any(|other| other.ticket == ticket) {
                continue;
            }
            if came.all().count() == TICKETS {
                came.more = true;
                break;
            }
            let hashed = Hashed::new(hasher, ticket);
            match &came.first {
                None => came.first = Some(hashed),
                Some(_) => came.others.push(hashed),
            }
        }
        let any = came.first.is_some();
        let mut known = self.lock();
        match &*known {
            // Another thread has searched, and its session may have a newer ticket by now.
            Some(known) => known.first.is_some(),
            None if any => {
                *known = Some(Box::new(came));
                true
            }
            None => false,
        }
    }

    pub(super) fn id(&self) -> Option<SessionId> {
        Some(self.current()?.hashes.id)
    }

    pub(super) fn current(&self) -> Option<Hashed> {
        self.lock().as_ref()?.first.clone()
    }

    /// Those that came, and the one that may be the good one.
    pub(super) fn all(&self) -> Came {
        let mut all = self.lock().as_deref().cloned().unwrap_or_default();
        all.others.extend(all.begun.take().map(|begun| *begun));
        all
    }

    /// The ticket under its next secret: the same one for as long as it is not known whether the store has it.
    pub(super) fn renewed(&self, hasher: &Hasher) -> Result<Option<Renewed>, Error> {
        let mut known = self.lock();
        let Some(came) = known.as_mut() else {
            return Ok(None);
        };
        let Some(Hashed { ticket, .. }) = &came.first else {
            return Ok(None);
        };
        if let Some(begun) = &came.begun {
            return Ok(Some(Renewed {
                ticket: (**begun).clone(),
                again: true,
            }));
        }
        let ticket = Hashed::new(hasher, ticket.renewed(random()?));
        came.begun = Some(Box::new(ticket.clone()));
        Ok(Some(Renewed { ticket, again: false }))
    }

    /// From here on there is this one, or none.
    pub(super) fn set(&self, ticket: Option<Hashed>) {
        let mut known = self.lock();
        let came = known.get_or_insert_default();
        came.first = ticket;
        came.others.clear();
        came.more = false;
        came.begun = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Came>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ticket under its next secret.
pub(super) struct Renewed {
    pub(super) ticket: Hashed,
    /// The store was told before.
    pub(super) again: bool,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}
