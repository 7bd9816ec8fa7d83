//! Sessions in the order of their last use, spread over shards so that requests seldom wait for each other.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use hashlink::LinkedHashMap;

use crate::{session::SessionId, store::give_way};

/// Enough that two threads rarely want the same one, few enough that a look at all of them costs little.
const SHARDS: usize = 16;

/// So many are removed under a shard's lock at a time, and about so many before others get their
/// turn.
const BATCH: usize = 256;

/// The properties of a value that the map has to know.
pub(super) trait Weigh {
    fn weight(&self) -> u32;
    /// Nobody will miss it: it goes before all others.
    fn is_anonymous(&self) -> bool;
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

/// An entry is in one of two maps. In each of them the one that was longest not used comes first.
/// Their hashes need not withstand chosen keys: all ids are of random tickets.
struct Shard<V> {
    anonymous: LinkedHashMap<SessionId, Used<V>>,
    others: LinkedHashMap<SessionId, Used<V>>,
}

struct Used<V> {
    last: u64,
    value: V,
}

impl<V: Weigh> Shard<V> {
    fn map(&mut self, anonymous: bool) -> &mut LinkedHashMap<SessionId, Used<V>> {
        if anonymous {
            &mut self.anonymous
        } else {
            &mut self.others
        }
    }

    fn get(&self, id: &SessionId) -> Option<&Used<V>> {
        self.others.get(id).or_else(|| self.anonymous.get(id))
    }

    fn remove(&mut self, id: &SessionId) -> Option<V> {
        let removed = self.others.remove(id).or_else(|| self.anonymous.remove(id))?;
        // The room of those that have gone would stay with the map.
        for map in [&mut self.others, &mut self.anonymous] {
            if map.capacity() > 1_024 && map.len() < map.capacity() / 4 {
                map.shrink_to_fit();
            }
        }
        Some(removed.value)
    }
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self {
            anonymous: LinkedHashMap::new(),
            others: LinkedHashMap::new(),
        }
    }
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
        let was_anonymous = !shard.others.contains_key(id);
        let used = shard.map(was_anonymous).to_back(id)?;
        used.last = self.uses.fetch_add(1, Relaxed);
        let before = used.value.weight();
        let answer = step(&mut used.value);
        let after = used.value.weight();
        let is_anonymous = used.value.is_anonymous();
        if was_anonymous != is_anonymous
            && let Some((id, used)) = shard.map(was_anonymous).remove_entry(id)
        {
            shard.map(is_anonymous).insert(id, used);
        }
        self.add(after.saturating_sub(before));
        self.subtract(before.saturating_sub(after));
        Some(answer)
    }

    /// Keeps a new one, unless it `may_not` be kept beside the one that is there, if any; what that
    /// takes is given back by [`make_room`](Self::make_room).
    pub(super) fn insert<E>(
        &self,
        id: SessionId,
        value: V,
        may_not: impl FnOnce(Option<&V>) -> Option<E>,
    ) -> Result<(), E> {
        let mut shard = self.lock(&id);
        if let Some(reason) = may_not(shard.get(&id).map(|used| &used.value)) {
            return Err(reason);
        }
        let replaced = shard.remove(&id);
        self.add(value.weight());
        let last = self.uses.fetch_add(1, Relaxed);
        shard.map(value.is_anonymous()).insert(id, Used { last, value });
        drop(shard);
        if let Some(value) = replaced {
            self.subtract(value.weight());
        }
        Ok(())
    }

    /// Ends anonymous ones, then others, those that were longest not used first, until the rest
    /// fits; returns them.
    pub(super) fn make_room(&self) -> Vec<V> {
        let mut ended = Vec::new();
        if self.weight.load(Relaxed) <= self.capacity {
            return ended;
        }
        // One at a time, or several would make the same room.
        let _making_room = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        while self.weight.load(Relaxed) > self.capacity {
            let fronts = self.shards.iter().filter_map(|shard| {
                let front = |map: &LinkedHashMap<_, Used<V>>| map.front().map(|(_, used)| used.last);
                let locked = lock(shard);
                let anonymous = front(&locked.anonymous).map(|last| (false, last));
                let (is_known, last) = anonymous.or_else(|| front(&locked.others).map(|last| (true, last)))?;
                Some((is_known, last, shard))
            });
            let first = fronts.min_by_key(|&(is_known, last, _)| (is_known, last));
            let Some((is_known, last, shard)) = first else {
                break;
            };
            let mut shard = lock(shard);
            let map = shard.map(!is_known);
            // Used meanwhile, it is not the one any more.
            if map.front().is_some_and(|(_, used)| used.last == last)
                && let Some((_, Used { value, .. })) = map.pop_front()
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
        if let Some(value) = removed {
            self.subtract(value.weight());
        }
        true
    }

    /// Removes all of which this is so, and says how many there were. Other tasks and other threads
    /// get their turns in between.
    pub(super) async fn remove_all(&self, condition: impl Fn(&V) -> bool) -> u64 {
        let mut removed = 0;
        let mut pause_at = BATCH as u64;
        for shard in &self.shards {
            let found: Vec<SessionId> = {
                let shard = lock(shard);
                let all = shard.anonymous.iter().chain(&shard.others);
                all.filter(|(_, used)| condition(&used.value))
                    .map(|(id, _)| *id)
                    .collect()
            };
            for ids in found.chunks(BATCH) {
                let gone: Vec<V> = {
                    let mut shard = lock(shard);
                    let still = |shard: &mut Shard<V>, id| {
                        let is_so = shard.get(id).is_some_and(|used| condition(&used.value));
                        if is_so { shard.remove(id) } else { None }
                    };
                    ids.iter().filter_map(|id| still(&mut shard, id)).collect()
                };
                gone.iter().for_each(|value| self.subtract(value.weight()));
                removed += gone.len() as u64;
                if removed >= pause_at {
                    pause_at = removed + BATCH as u64;
                    give_way().await;
                }
            }
        }
        removed
    }

    // Adding nothing would make threads wait for each other all the same.
    fn add(&self, weight: u32) {
        if weight > 0 {
            self.weight.fetch_add(weight.into(), Relaxed);
        }
    }

    fn subtract(&self, weight: u32) {
        if weight > 0 {
            self.weight.fetch_sub(weight.into(), Relaxed);
        }
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

    use super::{super::tests::now, *};

    struct Weighs(u32);

    impl Weigh for Weighs {
        fn weight(&self) -> u32 {
            self.0
        }

        fn is_anonymous(&self) -> bool {
            self.0.is_multiple_of(7)
        }
    }

    const FREE: fn(Option<&Weighs>) -> Option<()> = |_| None;

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
            (0..ROOM).for_each(|number| kept.insert(id(number), Weighs(1), FREE).unwrap());
            let (kept, barrier) = (&kept, &Barrier::new(3));
            thread::scope(|scope| {
                for number in ROOM..ROOM + 3 {
                    scope.spawn(move || {
                        barrier.wait();
                        kept.insert(id(number), Weighs(1), FREE).unwrap();
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
                        let _ = kept.insert(id, Weighs(weight), |_| (state & 64 == 0).then_some(()));
                    }
                    1 | 2 => {
                        kept.step(&id, |kept| kept.0 = weight);
                    }
                    3 => {
                        kept.remove_if(&id, |kept| kept.0 % 2 == 0);
                    }
                    4 if state & 0xff_0000 == 0 => {
                        now(kept.remove_all(|kept| kept.0 % 3 == 0));
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
        now(kept.remove_all(|_| true));
        assert_eq!(kept.weight.load(Relaxed), 0);
    }
}
