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
    /// Of all entries, and of those that are about to come.
    weight: AtomicU64,
    capacity: u64,
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

    /// Keeps a new one, unless there is one that may not be replaced. `ended` hears of those that have to go for it.
    pub(super) fn insert(
        &self,
        id: SessionId,
        value: V,
        may_replace: impl FnOnce(&V) -> bool,
        ended: impl FnMut(&V),
    ) -> bool {
        let weight = value.weight();
        self.add(weight);
        self.make_room(ended);
        let mut shard = self.lock(&id);
        if shard.get(&id).is_some_and(|used| !may_replace(&used.value)) {
            self.subtract(weight);
            return false;
        }
        let last = self.uses.fetch_add(1, Relaxed);
        let replaced = shard.insert(id, Used { last, value });
        drop(shard);
        if let Some(Used { value, .. }) = replaced {
            self.subtract(value.weight());
        }
        true
    }

    /// Ends those that were longest not used until the others fit.
    pub(super) fn make_room(&self, mut ended: impl FnMut(&V)) {
        while self.weight.load(Relaxed) > self.capacity {
            let fronts = self.shards.iter().filter_map(|shard| {
                let last = lock(shard).front().map(|(_, used)| used.last)?;
                Some((last, shard))
            });
            let Some((_, shard)) = fronts.min_by_key(|(last, _)| *last) else {
                return;
            };
            let front = lock(shard).pop_front();
            if let Some((_, Used { value, .. })) = front {
                self.subtract(value.weight());
                ended(&value);
            }
        }
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
