//! Which logins are still good: those that no end of the owner's sessions came before.

use std::collections::HashMap;

use crate::store::{Mark, OwnerId};

/// So many owners' ends are told apart. When there are more, every login that is on its way just
/// then has to begin anew.
const MOST: usize = 10_000;

#[derive(Default)]
pub(super) struct Marks {
    /// The number of the last end of anything.
    last: u64,
    /// The last end that everybody's logins must come after.
    all: Mark,
    owners: HashMap<OwnerId, Mark>,
}

impl Marks {
    pub(super) fn of(&self, owner: &OwnerId) -> Mark {
        let Some(mark) = self.owners.get(owner) else {
            return self.all;
        };
        Mark::new(mark.number.max(self.all.number), mark.ended.max(self.all.ended))
    }

    /// Ends the logins of an owner that are on their way.
    pub(super) fn end_of(&mut self, owner: &OwnerId, now: u64) {
        if self.owners.len() >= MOST {
            self.end_all(0);
        }
        self.last += 1;
        self.owners.insert(*owner, Mark::new(self.last, now));
    }

    /// Ends the logins of everybody that are on their way.
    pub(super) fn end_all(&mut self, at: u64) {
        self.last += 1;
        self.owners.clear();
        self.all = Mark::new(self.last, self.all.ended.max(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_changes_with_each_end_that_concerns_the_owner() {
        let mut marks = Marks::default();
        let (one, other) = (OwnerId::from_bytes([1; 32]), OwnerId::from_bytes([2; 32]));
        let both = |marks: &Marks| (marks.of(&one), marks.of(&other));
        let before = both(&marks);
        marks.end_of(&one, 7);
        assert_eq!((marks.of(&one).ended, marks.of(&other)), (7, before.1));
        assert_ne!(marks.of(&one).number, before.0.number);
        for at in 0..3 * MOST as u64 {
            let before = both(&marks);
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(at + 9).to_be_bytes());
            marks.end_of(&OwnerId::from_bytes(id), 8);
            let after = both(&marks);
            assert!(after.0.number >= before.0.number && after.1.number >= before.1.number);
            assert!(marks.owners.len() <= MOST);
        }
        let before = both(&marks);
        marks.end_all(9);
        marks.end_all(5);
        let after = both(&marks);
        assert!(after.0.number > before.0.number && after.1.number > before.1.number);
        assert_eq!((after.0.ended, after.1.ended), (9, 9));
    }
}
