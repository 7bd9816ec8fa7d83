//! Two bounds, sessions and bytes, as one: what keeps the sessions knows only weights.

use crate::store::Record;

/// What a session takes beside its texts, in bytes: record, id, its place in the map and in the order of use. Measured, as are
/// the others (`cargo bench --features memory --bench memory`).
const SESSION: usize = 360;

/// What a key takes beside its texts: where it stands in the session's text.
const KEY: usize = 48;

/// The bytes that an owner takes beside the name: a line in the index.
const OWNER: usize = 260;

#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) max_sessions: u64,
    pub(super) max_bytes: u64,
}

impl Bounds {
    /// What a small session counts as: its share of the bytes if there were as many sessions as may be, and a byte at least.
    pub(super) fn share(self) -> u32 {
        let share = self.max_bytes / self.max_sessions.max(1);
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    }

    /// All sessions together. As many as may be of a share each fit exactly.
    pub(super) fn capacity(self) -> u64 {
        self.max_sessions
            .saturating_mul(self.share().into())
            .min(self.max_bytes)
    }

    /// What a session counts as; nothing if it can never fit.
    pub(super) fn weight(self, record: &Record) -> Option<u32> {
        let weight = u32::try_from(bytes(record)).ok()?.max(self.share());
        (u64::from(weight) <= self.capacity()).then_some(weight)
    }
}

/// What a session takes in memory, about.
fn bytes(record: &Record) -> usize {
    let texts = record.values.iter().map(|(key, json)| KEY + key.len() + json.len());
    let owner = record.owner.as_ref().map_or(0, |owner| OWNER + owner.name.len());
    SESSION + texts.sum::<usize>() + owner + record.label.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SecretHash;

    fn weight(max_sessions: u64, max_bytes: u64, bytes: usize) -> Option<u32> {
        let mut record = Record::new(SecretHash::from_bytes([0; 32]), 0, 0);
        record.label = Some("x".repeat(bytes - SESSION));
        let bounds = Bounds {
            max_sessions,
            max_bytes,
        };
        let fit = bounds.weight(&record);
        if let Some(weight) = fit {
            let most = bounds.capacity() / u64::from(weight);
            assert!(most >= 1 && most <= max_sessions && most * bytes as u64 <= max_bytes);
        }
        fit
    }

    #[test]
    fn neither_bound_is_ever_exceeded_and_as_many_as_may_be_fit() {
        assert_eq!(weight(100, 1_000_000, 5_000), Some(10_000));
        assert_eq!(weight(100, 1_000_000, 20_000), Some(20_000));
        assert_eq!(weight(3, 100_000, 1_000), Some(33_333));
        assert_eq!(weight(1, 1_000_000, 1_000_000), Some(1_000_000));
        assert_eq!(weight(1, 1_000_000, 1_000_001), None);
        assert_eq!(weight(u64::MAX, 10_000, 10_000), Some(10_000));
        assert_eq!(weight(u64::MAX, u64::MAX, 1_000), Some(1_000));
        assert_eq!(weight(1, u64::MAX, 1_000), Some(u32::MAX));
        assert_eq!((weight(0, 10_000, 1_000), weight(10, 0, 1_000)), (None, None));
        let full = Bounds {
            max_sessions: 3,
            max_bytes: 100_000,
        };
        assert_eq!(full.capacity() / u64::from(full.share()), 3);
    }
}
