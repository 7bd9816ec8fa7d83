//! Whose sessions there are: an index that never misses one that is kept.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{session::SessionId, store::OwnerId};

/// Owner, session, and the number of the login, since a session may be there twice for a moment.
type Line = (OwnerId, SessionId, u64);

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
    pub(super) fn enter(self: &Arc<Self>, owner: OwnerId, id: SessionId) -> Arc<Entered> {
        let mut lines = self.lock();
        let number = lines.next;
        lines.next += 1;
        let line = (owner, id, number);
        lines.set.insert(line);
        Arc::new(Entered {
            index: self.clone(),
            line,
        })
    }

    /// Returns the sessions of an owner in the order of their last logins, none missing; some may
    /// be gone.
    pub(super) fn of(&self, owner: &OwnerId) -> Vec<SessionId> {
        let first = (*owner, SessionId::from_bytes([0; 32]), 0);
        let last = (*owner, SessionId::from_bytes([u8::MAX; 32]), u64::MAX);
        let lines = self.lock();
        let mut logins: Vec<(u64, SessionId)> = lines
            .set
            .range(first..=last)
            .map(|&(_, id, number)| (number, id))
            .collect();
        drop(lines);
        logins.sort_unstable_by_key(|&(number, id)| (id, std::cmp::Reverse(number)));
        logins.dedup_by_key(|(_, id)| *id);
        logins.sort_unstable();
        logins.into_iter().map(|(_, id)| id).collect()
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
    pub(super) fn owner(&self) -> OwnerId {
        self.line.0
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
    fn a_session_is_listed_until_its_last_state_is_gone_and_in_the_order_of_the_last_logins() {
        let owners = Arc::new(Owners::default());
        let id = |byte| SessionId::from_bytes([byte; 32]);
        let owner = |byte| OwnerId::from_bytes([byte; 32]);
        let first = owners.enter(owner(7), id(9));
        let other = owners.enter(owner(7), id(u8::MAX));
        let third = owners.enter(owner(7), id(0));
        let _foreign = [owners.enter(owner(0), id(1)), owners.enter(owner(8), id(1))];
        assert_eq!(owners.of(&owner(7)), [id(9), id(u8::MAX), id(0)]);
        let again = owners.enter(owner(7), id(9));
        assert_eq!(owners.of(&owner(7)), [id(u8::MAX), id(0), id(9)]);
        let clone = again.clone();
        drop(first);
        drop(again);
        assert_eq!(owners.of(&owner(7)), [id(u8::MAX), id(0), id(9)]);
        drop(clone);
        assert_eq!(owners.of(&owner(7)), [id(u8::MAX), id(0)]);
        drop((other, third));
        assert_eq!((owners.of(&owner(7)), owners.len()), (vec![], 2));
    }
}
