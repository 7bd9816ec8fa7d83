//! Whose the sessions are that this process saw last, so that their owners' index can be looked at
//! in the same round trip.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{session::SessionId, store::OwnerId};

/// So many in each half: a few megabytes in all.
const HALF: usize = 16_384;

/// A hint: one that is wrong or missing costs a round trip.
#[derive(Default)]
pub(super) struct KnownOwners(Mutex<Halves>);

/// When the first half is full it takes the place of the second.
#[derive(Default)]
struct Halves([HashMap<SessionId, OwnerId>; 2]);

impl KnownOwners {
    pub(super) fn get(&self, id: &SessionId) -> Option<OwnerId> {
        let halves = self.halves();
        halves.0.iter().find_map(|half| half.get(id)).copied()
    }

    pub(super) fn set(&self, id: &SessionId, owner: Option<OwnerId>) {
        let mut halves = self.halves();
        let [first, second] = &mut halves.0;
        second.remove(id);
        match owner {
            None => drop(first.remove(id)),
            Some(owner) => {
                first.insert(*id, owner);
                if first.len() >= HALF {
                    *second = std::mem::take(first);
                }
            }
        }
    }

    // A panic cannot leave half a change in it.
    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
