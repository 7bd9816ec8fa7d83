//! Which logins are still good: those that no end of the owner's sessions came before.

use std::collections::HashMap;

use crate::store::OwnerId;

/// So many owners' ends are told apart. When there are more, every login that is on its way just then has to begin anew.
const MOST: usize = 10_000;

#[derive(Default)]
pub(super) struct Marks {
    /// The number of the last end of anything.
    last: u64,
    /// The number of the last end that everybody's logins must come after.
    all: u64,
    owners: HashMap<OwnerId, u64>,
}

impl Marks {
    pub(super) fn of(&self, owner: &OwnerId) -> u64 {
        self.owners.get(owner).map_or(self.all, |&mark| mark.max(self.all))
    }

    /// Ends the logins of an owner that are on their way.
    pub(super) fn end_of(&mut self, owner: &OwnerId) {
        self.last += 1;
        if self.owners.len() >= MOST {
            self.owners.clear();
            self.all = self.last;
        }
        self.owners.insert(*owner, self.last);
    }

    /// Ends the logins of everybody that are on their way.
    pub(super) fn end_all(&mut self) {
        self.last += 1;
        self.owners.clear();
        self.all = self.last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_changes_with_each_end_that_concerns_the_owner() {
        let mut marks = Marks::default();
        let (one, other) = (OwnerId::from_bytes([1; 32]), OwnerId::from_bytes([2; 32]));
        let mut before = (marks.of(&one), marks.of(&other));
        marks.end_of(&one);
        assert!(marks.of(&one) != before.0 && marks.of(&other) == before.1);
        for at in 0..3 * MOST as u64 {
            before = (marks.of(&one), marks.of(&other));
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(at + 9).to_be_bytes());
            marks.end_of(&OwnerId::from_bytes(id));
            assert!(marks.of(&one) >= before.0 && marks.of(&other) >= before.1 && marks.owners.len() <= MOST);
        }
        before = (marks.of(&one), marks.of(&other));
        marks.end_all();
        assert!(marks.of(&one) > before.0 && marks.of(&other) > before.1);
    }
}
