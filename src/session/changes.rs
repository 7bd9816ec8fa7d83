//! The changes of a session's keys, in the order in which they were made.

use super::table::{FEW, Table};

/// One entry per changed key. Each step takes the same time however many there are.
#[derive(Clone, Default)]
pub(super) struct Changes {
    /// `None`: removed since.
    entries: Vec<Option<Change>>,
    len: usize,
    /// Where there are more than a few.
    table: Option<Box<Table>>,
}

#[derive(Clone)]
pub(super) struct Change {
    pub(super) key: String,
    /// `None`: removed.
    pub(super) value: Option<String>,
    /// It takes the place of the member it replaces. Otherwise it comes after all others, as in a
    /// dictionary from which a key was removed and set again.
    pub(super) in_place: bool,
}

impl Changes {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, key: &str) -> Option<&Change> {
        self.entries[self.position(key)?].as_ref()
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Change> {
        let at = self.position(key)?;
        self.entries[at].as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.entries.iter().flatten()
    }

    /// Adds a change of a key that has none, after all others.
    pub(super) fn push(&mut self, change: Change) {
        let at = self.entries.len();
        let is_full = match &mut self.table {
            None => at >= FEW,
            Some(table) if table.is_full() => true,
            Some(table) => {
                table.add(&change.key, at);
                false
            }
        };
        self.entries.push(Some(change));
        self.len += 1;
        if is_full {
            self.tidy();
        }
    }

    /// Takes the change of a key out.
    pub(super) fn remove(&mut self, key: &str) -> Option<Change> {
        let at = self.position(key)?;
        self.len -= 1;
        if self.table.is_none() {
            return self.entries.remove(at);
        }
        self.entries[at].take()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Closes the gaps, and makes a table with room for as many again if there are still many.
    fn tidy(&mut self) {
        self.entries.retain(Option::is_some);
        self.table = None;
        if self.entries.len() <= FEW {
            return;
        }
        let mut table = Table::with_room(2 * self.entries.len());
        for (at, change) in self.entries.iter().flatten().enumerate() {
            table.add(&change.key, at);
        }
        self.table = Some(Box::new(table));
    }

    fn position(&self, key: &str) -> Option<usize> {
        let is_it = |at: usize| {
            let change = self.entries.get(at).and_then(Option::as_ref);
            change.is_some_and(|change| change.key == key)
        };
        match &self.table {
            Some(table) => table.find(key, is_it),
            None => (0..self.entries.len()).find(|&at| is_it(at)),
        }
    }
}

impl IntoIterator for Changes {
    type Item = Change;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Option<Change>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: usize) -> Change {
        Change {
            key: key.to_string(),
            value: None,
            in_place: false,
        }
    }

    /// Does the same to the changes and to a plain list of keys.
    struct Twins {
        changes: Changes,
        plain: Vec<usize>,
    }

    impl Twins {
        fn remove(&mut self, key: usize) {
            let was_there = self.plain.iter().position(|&other| other == key);
            assert_eq!(self.changes.get(&key.to_string()).is_some(), was_there.is_some());
            let removed = self.changes.remove(&key.to_string()).map(|change| change.key);
            assert_eq!(removed, was_there.map(|at| self.plain.remove(at).to_string()));
            assert_eq!(self.changes.len(), self.plain.len());
        }

        fn push(&mut self, key: usize) {
            self.remove(key);
            self.plain.push(key);
            self.changes.push(change(key));
            assert!(self.changes.get(&key.to_string()).is_some());
        }

        fn compare(self) {
            let keys: Vec<_> = self.changes.into_iter().map(|change| change.key).collect();
            assert_eq!(keys, self.plain.iter().map(usize::to_string).collect::<Vec<_>>());
        }
    }

    fn twins() -> Twins {
        Twins {
            changes: Changes::default(),
            plain: Vec::new(),
        }
    }

    #[test]
    fn many_changes_are_what_few_are() {
        let mut twins = twins();
        for round in 0..2000 {
            let key = round * 7919 % 311;
            if round % 3 > 0 || !twins.plain.contains(&key) {
                twins.push(key);
            } else {
                twins.remove(key);
            }
        }
        twins.compare();
    }

    #[test]
    fn and_so_are_few_that_were_many() {
        for left in [0, 1, 2, FEW - 1, FEW, FEW + 1] {
            let mut twins = twins();
            (0..FEW + 5).for_each(|key| twins.push(key));
            (left..FEW + 5).for_each(|key| twins.remove(key));
            for round in 0..2000 {
                twins.push(1000 + round % 3);
                twins.remove(1000 + round % 3);
            }
            (2000..2003 + FEW).for_each(|key| twins.push(key));
            twins.compare();
        }
    }
}
