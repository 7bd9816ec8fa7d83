//! Where many keys stand, found by their hashes.

use std::hash::{BuildHasher as _, RandomState};

/// Up to this many keys, comparing each is quicker than a hash and takes no memory.
pub(super) const FEW: usize = 64;

const NOBODY: u32 = u32::MAX;

/// Numbers by key. The keys stand elsewhere, and the hashes are this table's own, so that nobody can choose keys that meet.
#[derive(Clone)]
pub(super) struct Table {
    /// Twice as many as there are numbers, or more.
    slots: Vec<u32>,
    taken: usize,
    hasher: RandomState,
}

impl Table {
    /// A table with room for so many numbers.
    pub(super) fn with_room(numbers: usize) -> Self {
        Self {
            slots: vec![NOBODY; (2 * numbers).next_power_of_two().max(2)],
            taken: 0,
            hasher: RandomState::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        2 * self.taken >= self.slots.len()
    }

    /// The number of `key`, if there is one; `is_it` says whether the key stands under a number.
    pub(super) fn find(&self, key: &str, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.walk(key)
            .map(|slot| self.slots[slot])
            .take_while(|&number| number != NOBODY)
            .map(|number| number as usize)
            .find(|&number| is_it(number))
    }

    /// Adds a number under `key`. There must be room for it.
    pub(super) fn add(&mut self, key: &str, number: usize) {
        let free = self.walk(key).find(|&slot| self.slots[slot] == NOBODY);
        // Spans are of 4 bytes, so there are never as many members.
        if let (Some(slot), Ok(number)) = (free, u32::try_from(number)) {
            self.slots[slot] = number;
            self.taken += 1;
        }
    }

    /// The slots in which `key` may be, in their order.
    fn walk(&self, key: &str) -> impl Iterator<Item = usize> + use<> {
        let count = self.slots.len();
        let first = self.hasher.hash_one(key) as usize;
        (0..count).map(move |step| first.wrapping_add(step) & (count - 1))
    }
}
