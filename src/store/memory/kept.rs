//! Sessions in the order of their last use, spread over shards so that requests seldom wait for each other.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use hashlink::LinkedHashMap;

use crate::session::SessionId;

/// Enough that two threads rarely want the same one, few enough that a look at all of them costs little.
const SHARDS: usize = 16;

/// What weighs something.
pub(super) trait Weigh {
    fn weight(&self) -> u32;
}

/// A bounded map. Under a shard's lock no other shard's is taken.
pub(super) struct KeptSessions<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    /// Of all entries.
    weight: AtomicU64,
    capacity: u64,
    /// Taken before a shard's.
    making_room: Mutex<()>,
    /// Counts uses, so that those in different shards can be compared.
    uses: AtomicU64,
}

/// The one that was longest not used comes first. Its hashes need not withstand chosen keys: all ids are of random tickets.
type Shard<V> = LinkedHashMap<SessionId, Used<V>>;

struct Used<V> {
    last: u64,
    value: V,
}

impl<V: Weigh> KeptSessions<V> {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            weight: AtomicU64::new(0),
            capacity,
            making_room: Mutex::new(()),
            uses: AtomicU64::new(0),
        }
    }

    /// Looks at one without using it.
    pub(super) fn peek<T>(&self, id: &SessionId, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.lock(id).get(id).map(|used| look(&used.value))
    }

    /// Uses one, and perhaps changes it; what that takes is given back by [`make_room`](Self::make_room).
    pub(super) fn step<T>(&self, id: &SessionId, step: impl FnOnce(&mut V) -> T) -> Option<T> {
        let mut shard = self.lock(id);
        let used = shard.to_back(id)?;
        used.last = self.uses.fetch_add(1, Relaxed);
        let before = used.value.weight();
        let answer = step(&mut used.value);
        let after = used.value.weight();
        self.add(after.saturating_sub(before));
        self.subtract(before.saturating_sub(after));
        Some(answer)
    }

    /// Keeps a new one, unless there is one that may not be replaced; what that takes is given back by
    /// [`make_room`](Self::make_room).
    pub(super) fn insert(&self, id: SessionId, value: V, may_replace: impl FnOnce(&V) -> bool) -> bool {
        let mut shard = self.lock(&id);
        if shard.get(&id).is_some_and(|used| !may_replace(&used.value)) {
            return false;
        }
        self.add(value.weight());
        let last = self.uses.fetch_add(1, Relaxed);
        let replaced = shard.insert(id, Used { last, value });
        drop(shard);
        if let Some(Used { value, .. }) = replaced {
            self.subtract(value.weight());
        }
        true
    }

    /// Ends those that were longest not used until the others fit, and returns them.
    pub(super) fn make_room(&self) -> Vec<V> {
        let mut ended = Vec::new();
        if self.weight.load(Relaxed) <= self.capacity {
            return ended;
        }
        // One at a time, or several would make the same room.
        let _making_room = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        while self.weight.load(Relaxed) > self.capacity {
            let fronts = self.shards.iter().filter_map(|shard| {
                let last = lock(shard).front().map(|(_, used)| used.last)?;
                Some((last, shard))
            });
            let Some((last, shard)) = fronts.min_by_key(|(last, _)| *last) else {
                break;
            };
            let mut shard = lock(shard);
            // Used meanwhile, it is not the one any more.
            if shard.front().is_some_and(|(_, used)| used.last == last)
                && let Some((_, Used { value, .. })) = shard.pop_front()
            {
                self.subtract(value.weight());
                ended.push(value);
            }
        }
        ended
    }

    /// Removes one if this is so, and says whether it was.
    pub(super) fn remove_if(&self, id: &SessionId, condition: impl FnOnce(&V) -> bool) -> bool {
        let mut shard = self.lock(id);
        if !shard.get(id).is_some_and(|used| condition(&used.value)) {
            return false;
        }
        let removed = shard.remove(id);
        drop(shard);
        if let Some(Used { value, .. }) = removed {
            self.subtract(value.weight());
        }
        true
    }

    /// Removes all of which this is so, a shard at a time, and says how many there were.
    pub(super) fn remove_all(&self, mut condition: impl FnMut(&V) -> bool) -> u64 {
        let mut removed = 0;
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.len();
            shard.retain(|_, used| {
                let goes = condition(&used.value);
                if goes {
                    self.subtract(used.value.weight());
                }
                !goes
            });
            let gone = before - shard.len();
            if gone > shard.len() {
                // The room of what has gone would stay with the map.
                shard.shrink_to_fit();
            }
            removed += gone as u64;
        }
        removed
    }

    fn add(&self, weight: u32) {
        self.weight.fetch_add(weight.into(), Relaxed);
    }

    fn subtract(&self, weight: u32) {
        self.weight.fetch_sub(weight.into(), Relaxed);
    }

    fn lock(&self, id: &SessionId) -> MutexGuard<'_, Shard<V>> {
        // An id is a hash, so every byte of it is as good as another.
        lock(&self.shards[usize::from(id.as_bytes()[0]) % SHARDS])
    }
}

// Nothing under the lock can panic and leave half a change.
fn lock<V>(shard: &Mutex<Shard<V>>) -> MutexGuard<'_, Shard<V>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    struct Weighs(u32);

    impl Weigh for Weighs {
        fn weight(&self) -> u32 {
            self.0
        }
    }

    fn id(number: u64) -> SessionId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        SessionId::from_bytes(bytes)
    }

    fn there(kept: &KeptSessions<Weighs>, numbers: std::ops::Range<u64>) -> usize {
        numbers
            .filter(|&number| kept.peek(&id(number), |_| ()).is_some())
            .count()
    }

    #[test]
    fn threads_that_come_at_once_leave_as_many_as_fit() {
        const ROOM: u64 = 4;
        for _ in 0..500 {
            let kept = KeptSessions::new(ROOM);
            (0..ROOM).for_each(|number| assert!(kept.insert(id(number), Weighs(1), |_| false)));
            let (kept, barrier) = (&kept, &Barrier::new(3));
            thread::scope(|scope| {
                for number in ROOM..ROOM + 3 {
                    scope.spawn(move || {
                        barrier.wait();
                        assert!(kept.insert(id(number), Weighs(1), |_| false));
                        kept.make_room();
                    });
                }
            });
            assert_eq!(there(kept, 0..ROOM + 3), ROOM as usize);
        }
    }

    #[test]
    fn weights_are_those_of_what_is_there_whatever_was_done() {
        const CAPACITY: u64 = 1_000;
        let kept = &KeptSessions::new(CAPACITY);
        let work = move |thread: u64| {
            let mut state = thread * 77 + 1;
            for _ in 0..20_000 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let (id, weight) = (id(state >> 8 & 255), (state >> 20) as u32 % 50 + 1);
                match state % 6 {
                    0 => {
                        kept.insert(id, Weighs(weight), |_| state & 64 == 0);
                    }
                    1 | 2 => {
                        kept.step(&id, |kept| kept.0 = weight);
                    }
                    3 => {
                        kept.remove_if(&id, |kept| kept.0 % 2 == 0);
                    }
                    4 if state & 0xff_0000 == 0 => {
                        kept.remove_all(|kept| kept.0 % 3 == 0);
                    }
                    _ => {}
                }
                kept.make_room();
            }
        };
        thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || work(thread)))));
        let weights = (0..256).filter_map(|number| kept.peek(&id(number), |kept| u64::from(kept.0)));
        let weight = weights.sum::<u64>();
        assert_eq!(kept.weight.load(Relaxed), weight);
        assert!(weight <= CAPACITY, "{weight}");
        kept.remove_all(|_| true);
        assert_eq!(kept.weight.load(Relaxed), 0);
    }
}
