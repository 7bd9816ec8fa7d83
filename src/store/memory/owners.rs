//! Whose sessions there are: an index that never misses one that is kept.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::session::SessionId;

/// Owner, session, and a number, since a session may for a moment be there twice.
type Line = (Arc<str>, SessionId, u64);

#[derive(Default)]
pub(super) struct Owners {
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    set: BTreeSet<Line>,
    next: u64,
}

impl Owners {
    /// Enters a session. It stays in the index until the last clone of what is returned is gone, so every state of the session
    /// that is kept holds one: however a state comes to its end, the index forgets what nobody can find any more, and nothing
    /// else.
    pub(super) fn enter(self: &Arc<Self>, owner: &str, id: SessionId) -> Arc<Entered> {
        let mut lines = self.lock();
        let number = lines.next;
        lines.next += 1;
        let line = (Arc::from(owner), id, number);
        lines.set.insert(line.clone());
        Arc::new(Entered {
            index: self.clone(),
            line,
        })
    }

    /// The sessions of an owner, none missing; some may be gone.
    pub(super) fn of(&self, owner: &str) -> Vec<SessionId> {
        let owner: Arc<str> = Arc::from(owner);
        let first = (owner.clone(), SessionId::from_bytes([0; 32]), 0);
        let last = (owner, SessionId::from_bytes([u8::MAX; 32]), u64::MAX);
        let mut ids: Vec<SessionId> = self.lock().set.range(first..=last).map(|(_, id, _)| *id).collect();
        ids.dedup();
        ids
    }

    // A panic cannot leave half a change in the set.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().set.len()
    }
}

/// A line of the index.
pub(super) struct Entered {
    index: Arc<Owners>,
    line: Line,
}

impl Entered {
    pub(super) fn owner(&self) -> &str {
        &self.line.0
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.index.lock().set.remove(&self.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_listed_until_its_last_state_is_gone() {
        let owners = Arc::new(Owners::default());
        let id = |byte| SessionId::from_bytes([byte; 32]);
        let first = owners.enter("a", id(0));
        let again = owners.enter("a", id(0));
        let other = owners.enter("a", id(u8::MAX));
        let _foreign = [
            owners.enter("", id(1)),
            owners.enter("a\0", id(1)),
            owners.enter("A", id(1)),
        ];
        assert_eq!(owners.of("a"), [id(0), id(u8::MAX)]);
        let clone = first.clone();
        drop(first);
        drop(again);
        assert_eq!(owners.of("a"), [id(0), id(u8::MAX)]);
        drop(clone);
        assert_eq!(owners.of("a"), [id(u8::MAX)]);
        drop(other);
        assert_eq!((owners.of("a"), owners.len()), (vec![], 3));
    }
}
