//! Sessions in this process.

mod bounds;
mod kept;
mod marks;
mod owners;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use self::{
    bounds::Bounds,
    kept::{KeptSessions, Weigh},
    marks::Marks,
    owners::{Entered, Owners},
};
use super::{
    Applied, Changes, Created, Epoch, Field, HashedTicket, Loaded, Login, Mark, OwnerId, Record, Store, StoredSession,
    Which,
};
use crate::{error::Error, event::event, session::SessionId};

/// Keeps sessions in this process: fast, bounded, and gone with the process. Clones share the sessions.
///
/// For one process that may log its users out when it is restarted, for development and for tests. A second process knows
/// nothing of these sessions.
///
/// ```
/// use http_session::{SessionLayer, store::MemoryStore};
///
/// let store = MemoryStore::new().max_sessions(20_000).max_bytes(64 << 20);
/// let layer = SessionLayer::with_store(store).build()?;
/// # Ok::<(), http_session::Error>(())
/// ```
///
/// # Bounds
///
/// There are never more than [`max_sessions`](Self::max_sessions), and all of them never take more than about
/// [`max_bytes`](Self::max_bytes). What goes beyond that ends the session that was longest not used, whoever is logged in with
/// it: the first time with a warning (feature `tracing`), later with an event for debugging each. Anybody can begin sessions
/// where a visitor without a cookie gets one, so let the bounds be well above what users need.
///
/// Both bounds are kept by one count of bytes, in which a session counts as what it takes, but at least as its share of
/// `max_bytes` when there are `max_sessions`. So `max_sessions` of at most that size fit, and where some are larger it is
/// fewer: sessions are first ended when at least one of the two bounds is half used, and before either is exceeded.
///
/// What a session takes is reckoned: its texts, and an allowance for each key and each session that is about what the
/// allocator was seen to take. A session that alone is above `max_bytes` (or 4 GiB) is not kept:
/// that is an [`Error::Value`], and it stays as it was.
///
/// # Expired sessions
///
/// They are never shown. They are removed when their ticket comes again, by [`Store::delete_expired`] if something calls it (it
/// looks at every session, and one request in sixteen waits meanwhile), and at the latest as the ones that were longest not used when there is no more room, which is no event then.
#[derive(Clone)]
pub struct MemoryStore {
    sessions: Arc<KeptSessions<Kept>>,
    owners: Arc<Owners>,
    /// Held through a whole login, so that logins are one after the other. Taken before all other
    /// locks.
    marks: Arc<Mutex<Marks>>,
    /// A session that began before it, without an owner, is not kept. Looked at under a shard's
    /// lock, and set before the first shard is swept.
    epoch: Arc<AtomicU64>,
    bounds: Bounds,
    /// The first live session that had to go for others was a warning.
    warned: Arc<AtomicBool>,
}

/// A state of a session. It never changes: another one takes its place.
struct Kept {
    record: Record,
    weight: u32,
    /// Keeps the session in the index of its owner.
    entered: Option<Arc<Entered>>,
}

impl Kept {
    fn is_of(&self, owner: &OwnerId) -> bool {
        self.record.owner.as_ref().is_some_and(|its| its.id == *owner)
    }
}

impl Weigh for Kept {
    fn weight(&self) -> u32 {
        self.weight
    }

    fn is_anonymous(&self) -> bool {
        self.record.is_anonymous()
    }
}

impl MemoryStore {
    /// An empty store for at most 100,000 sessions that together take at most 100 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(Bounds {
            max_sessions: 100_000,
            max_bytes: 100 << 20,
        })
    }

    /// An empty store for at most this number of sessions. What was in the store before stays with its clones.
    #[must_use]
    pub fn max_sessions(self, max_sessions: u64) -> Self {
        Self::bounded(Bounds {
            max_sessions,
            ..self.bounds
        })
    }

    /// An empty store whose sessions together take at most this number of bytes, about. What was in the store before stays with
    /// its clones.
    #[must_use]
    pub fn max_bytes(self, max_bytes: u64) -> Self {
        Self::bounded(Bounds {
            max_bytes,
            ..self.bounds
        })
    }

    fn bounded(bounds: Bounds) -> Self {
        Self {
            sessions: Arc::new(KeptSessions::new(bounds.capacity())),
            owners: Arc::default(),
            marks: Arc::default(),
            epoch: Arc::default(),
            bounds,
            warned: Arc::default(),
        }
    }

    /// Makes the new state of a session that was in this state before, if it can be kept.
    fn kept(&self, id: SessionId, record: Record, before: Option<&Kept>, logs_in: bool) -> Result<Kept, Error> {
        let weight = self.bounds.weight(&record).ok_or_else(|| {
            Error::value(
                "",
                "this session alone is more than `MemoryStore::max_bytes` (or 4 GiB) allows for all of them together: keep less \
                 in it, or allow more",
            )
        })?;
        // It is in the index before it can be found, and a state of the same login stays under the
        // same line.
        let entered = record.owner.as_ref().map(|owner| {
            let same = before.filter(|_| !logs_in).and_then(|before| before.entered.as_ref());
            let same = same.filter(|entered| entered.owner() == owner.id);
            same.map_or_else(|| self.owners.enter(owner.id, id), Arc::clone)
        });
        Ok(Kept {
            record,
            weight,
            entered,
        })
    }

    /// The one way to a login: while the answer is held, no other login is at work, and no end of
    /// this one's owner. `None` if such an end came since the login began.
    fn begin(&self, owner: &OwnerId, login: &Login) -> Option<MutexGuard<'_, Marks>> {
        let marks = self.marks();
        (marks.of(owner).number == login.mark).then_some(marks)
    }

    /// Ends the owner's sessions whose login is longest ago, if there are too many.
    fn end_surplus(&self, owner: &OwnerId, login: &Login, now: u64) {
        let Some(most) = login.most else {
            return;
        };
        let is_theirs = |kept: &Kept| kept.is_of(owner) && kept.record.is_live(now);
        let mut sessions = self.owners.of(owner);
        sessions.retain(|id| self.sessions.peek(id, is_theirs) == Some(true));
        let surplus = sessions.len().saturating_sub(most as usize);
        for id in &sessions[..surplus] {
            self.sessions.remove_if(id, is_theirs);
        }
    }

    // A panic cannot leave half a change in it.
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self, now: u64) {
        let ended = self.sessions.make_room();
        let live = ended.iter().filter(|kept| kept.record.is_live(now));
        live.for_each(|_| self.one_had_to_go());
    }

    /// A live session ended for others.
    fn one_had_to_go(&self) {
        if self.warned.swap(true, Ordering::Relaxed) {
            event!(
                DEBUG,
                "the memory store is full: the session that was longest not used has ended"
            );
        } else {
            event!(
                WARN,
                "the memory store is full: sessions that were longest not used end early from now on; let `max_sessions` and \
                 `max_bytes` of `MemoryStore` be larger"
            );
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("max_sessions", &self.bounds.max_sessions)
            .field("max_bytes", &self.bounds.max_bytes)
            .finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        let loaded = self.sessions.step(&ticket.id, |kept| kept.record.load(ticket, now));
        if loaded == Some(Loaded::Missing) {
            self.sessions.remove_if(&ticket.id, |kept| !kept.record.is_live(now));
        }
        Ok(loaded.unwrap_or(Loaded::Missing))
    }

    async fn create(&self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Result<Created, Error> {
        let login = login.zip(record.owner.as_ref());
        let begun = match login {
            Some((login, owner)) => match self.begin(&owner.id, login) {
                None => return Ok(Created::Ended),
                begun => begun,
            },
            None => None,
        };
        // It enters the owner's index in its turn: that is the order of logins.
        let kept = self.kept(*id, record.clone(), None, true)?;
        let may_not = |other: Option<&Kept>| {
            if begun.is_none() && record.begun() < self.epoch.load(Ordering::Relaxed) {
                Some(Created::Ended)
            } else {
                other
                    .filter(|other| other.record.is_live(now))
                    .map(|_| Created::Collision)
            }
        };
        if let Err(refused) = self.sessions.insert(*id, kept, may_not) {
            return Ok(refused);
        }
        if let Some((login, owner)) = login {
            self.end_surplus(&owner.id, login, now);
        }
        drop(begun);
        self.make_room(now);
        Ok(Created::Created)
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        let login = match (&changes.login, &changes.owner) {
            (Some(login), Field::Set(owner)) => Some((login, owner)),
            _ => None,
        };
        let begun = match login {
            Some((login, owner)) => match self.begin(&owner.id, login) {
                None => return Ok(Applied::Gone),
                begun => begun,
            },
            None => None,
        };
        let applied = self.sessions.step(&ticket.id, |kept| {
            if begun.is_none() && changes.logs_in_before(self.epoch.load(Ordering::Relaxed)) {
                return Ok(Applied::Gone);
            }
            let mut record = kept.record.clone();
            let applied = record.apply(ticket, changes, now);
            if applied == Applied::Updated {
                *kept = self.kept(ticket.id, record, Some(kept), login.is_some())?;
            }
            Ok(applied)
        });
        let applied = applied.unwrap_or(Ok(Applied::Gone));
        if let (Some((login, owner)), Ok(Applied::Updated)) = (login, &applied) {
            self.end_surplus(&owner.id, login, now);
        }
        drop(begun);
        self.make_room(now);
        applied
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        let opens = |kept: &Kept| kept.record.is_live(now) && kept.record.secret == ticket.secret;
        Ok(self.sessions.remove_if(&ticket.id, opens))
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        Ok(self.sessions.remove_all(|kept| !kept.record.is_live(now)).await)
    }

    fn keeps_owners(&self) -> bool {
        true
    }

    async fn begin_login(&self, owner: &OwnerId, _: u64) -> Result<Mark, Error> {
        Ok(self.marks().of(owner))
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        let ids = self.owners.of(owner).into_iter();
        let found = ids.filter_map(|id| {
            let summary =
                |kept: &Kept| (kept.is_of(owner) && kept.record.is_live(now)).then(|| kept.record.summary(id));
            self.sessions.peek(&id, summary)?
        });
        Ok(found.collect())
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        if !matches!(which, Which::Only(_)) {
            self.marks().end_of(owner, now);
        }
        let ids = self.owners.of(owner).into_iter().filter(|id| which.includes(id));
        Ok(ids
            .filter(|id| self.sessions.remove_if(id, |kept| kept.is_of(owner)))
            .count() as u64)
    }

    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        self.marks().end_all(epoch.before);
        self.epoch.fetch_max(epoch.before, Ordering::Relaxed);
        Ok(self.sessions.remove_all(|kept| epoch.ends(kept.record.begun())).await)
    }
}
