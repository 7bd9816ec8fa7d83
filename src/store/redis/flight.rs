//! The names of steps, so that one that arrives twice is taken once: a step without an answer is
//! sent again, and a network may deliver the first one late.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::script::{number, text};
use crate::session::SessionId;

/// The steps of one store in one process.
pub(super) struct Steps {
    /// The name of this process, which no other one has. Nobody gains anything by guessing it.
    process: String,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    last: u64,
    /// The numbers of the steps on each record that have no answer yet.
    records: HashMap<SessionId, BTreeSet<u64>>,
}

impl Steps {
    pub(super) fn new() -> Self {
        // With keys from the system's random source.
        let process = RandomState::new().hash_one(0);
        Self {
            process: format!("{process:016x}"),
            under_way: Mutex::default(),
        }
    }

    /// Begins a step, which is under way until it is dropped. As long as that it may be sent again.
    pub(super) fn begin(&self, id: &SessionId) -> Step<'_> {
        let mut under_way = self.under_way();
        under_way.last += 1;
        let number = under_way.last;
        let numbers = under_way.records.entry(*id).or_default();
        numbers.insert(number);
        let floor = numbers.first().copied().unwrap_or(number);
        drop(under_way);
        Step {
            steps: self,
            id: *id,
            number,
            floor,
        }
    }

    // A panic cannot leave half a change in it.
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step on a record.
pub(super) struct Step<'a> {
    steps: &'a Steps,
    id: SessionId,
    number: u64,
    /// Below it the process will send nothing about this record any more.
    floor: u64,
}

impl Step<'_> {
    pub(super) fn args<'a>(&self) -> [Cow<'a, [u8]>; 3] {
        [text(&*self.steps.process), number(self.number), number(self.floor)]
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let mut under_way = self.steps.under_way();
        if let Some(numbers) = under_way.records.get_mut(&self.id) {
            numbers.remove(&self.number);
            if numbers.is_empty() {
                under_way.records.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_lowest_number_without_an_answer_and_nothing_stays() {
        let steps = Steps::new();
        let (one, other) = (SessionId::from_bytes([1; 32]), SessionId::from_bytes([2; 32]));
        let first = steps.begin(&one);
        let second = steps.begin(&one);
        assert_eq!((first.floor, second.floor), (1, 1));
        assert_eq!(steps.begin(&other).floor, 3);
        drop(first);
        let third = steps.begin(&one);
        assert_eq!((third.number, third.floor), (4, 2));
        drop((second, third));
        assert!(steps.under_way().records.is_empty());
        assert_ne!(steps.process, Steps::new().process);
    }
}
