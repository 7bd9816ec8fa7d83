//! Events that anybody can bring about with a request of their own: seldom enough that they stay
//! worth reading.

use std::sync::{Mutex, PoisonError};

use crate::session::Millis;

/// How long one and the same cause is not told again.
const QUIET: Millis = 3_600_000;

/// How many causes are told apart. What is beyond them counts as one.
const CAUSES: usize = 16;

/// The subject of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The key id in a native frame; `None` if another format does not say which key it was.
    UnknownKey(Option<[u8; 4]>),
    Ambiguous,
    /// One of those that there is no more room for.
    Others,
}

#[derive(Default)]
pub(super) struct Alarms(Mutex<Vec<Told>>);

struct Told {
    cause: Cause,
    at: Millis,
    /// How often it has come since.
    since: u64,
}

impl Alarms {
    /// `None` if the cause was told not long ago, or how often it came since it was last told.
    pub(super) fn raise(&self, cause: Cause, now: Millis) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back starts anew.
        let is_old = |told: &Told| now.abs_diff(told.at) >= QUIET;
        let at = told.iter().position(|told| told.cause == cause);
        let at = at.or_else(|| {
            if told.len() < CAUSES {
                return None;
            }
            // Another one's place, if that is quiet by now.
            let quiet = told.iter().position(|told| told.cause != Cause::Others && is_old(told));
            quiet.inspect(|&at| told[at] = Told { cause, at: 0, since: 0 })
        });
        let at = match at {
            Some(at) => at,
            None => {
                let cause = if told.len() < CAUSES { cause } else { Cause::Others };
                told.iter().position(|told| told.cause == cause).unwrap_or_else(|| {
                    told.push(Told { cause, at: 0, since: 0 });
                    told.len() - 1
                })
            }
        };
        let entry = &mut told[at];
        if entry.at != 0 && !is_old(entry) {
            entry.since = entry.since.saturating_add(1);
            return None;
        }
        // Zero means never.
        entry.at = now.max(1);
        Some(std::mem::take(&mut entry.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_700_000_000_000;

    #[test]
    fn each_cause_is_told_once_an_hour() {
        let alarms = Alarms::default();
        let key = |id| Cause::UnknownKey(Some([id; 4]));
        assert_eq!(alarms.raise(key(1), NOW), Some(0));
        assert_eq!(alarms.raise(key(1), NOW + 1), None);
        assert_eq!(alarms.raise(key(2), NOW + 1), Some(0));
        assert_eq!(alarms.raise(key(1), NOW + QUIET - 1), None);
        assert_eq!(alarms.raise(key(1), NOW + QUIET), Some(2));
        assert_eq!(alarms.raise(Cause::Ambiguous, NOW), Some(0));
    }

    #[test]
    fn a_flood_of_causes_is_told_a_few_times_and_takes_no_room() {
        let alarms = Alarms::default();
        let told = |from: u32, now| {
            let ids = (from..from + 10_000).map(u32::to_be_bytes);
            ids.filter(|&id| alarms.raise(Cause::UnknownKey(Some(id)), now).is_some())
                .count()
        };
        assert_eq!(told(0, NOW), CAUSES + 1);
        assert_eq!(told(10_000, NOW + 1), 0);
        assert!(alarms.0.lock().unwrap().len() <= CAUSES + 1);
        assert_eq!(told(20_000, NOW + QUIET + 1), CAUSES + 1);
    }
}
