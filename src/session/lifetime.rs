//! How long a session lasts. Times come in as arguments; nothing here reads a clock.

use std::time::Duration;

use super::payload::{AS_THE_LAYERS, Meta, Millis, duration_millis};
use crate::error::Reject;

/// How far another server's clock may run ahead of ours.
pub(super) const LEEWAY: Millis = 60_000;

/// Without a setting, a rolling session is refreshed when this part of its lifetime has passed.
const REFRESH_PARTS: Millis = 10;

/// What the layer allows. Everything in milliseconds; additions saturate.
#[derive(Clone, Debug)]
pub(crate) struct Lifetime {
    /// From the last write, or with `rolling` from the last use. `None`: for ever.
    pub(crate) max_age: Option<Millis>,
    /// The same for sessions that nobody has logged in to. `None`: as the others.
    pub(crate) anonymous_max_age: Option<Millis>,
    /// The most that a session may ask for itself.
    pub(crate) max_age_limit: Option<Millis>,
    /// From the later of creation and authentication.
    pub(crate) absolute: Option<Millis>,
    /// No cookie is ever good: another framework's negative `max_age`.
    pub(crate) never: bool,
    pub(crate) rolling: bool,
    pub(crate) refresh_interval: Option<Millis>,
}

impl Lifetime {
    /// Whether a session that was written so is still good at `now`. A session is good for exactly its `max_age`, and
    /// not for a millisecond more.
    pub(crate) fn check(&self, meta: &Meta, now: Millis) -> Result<(), Reject> {
        if self.never {
            return Err(Reject::Expired);
        }
        let latest = meta.issued.max(meta.created).max(meta.authenticated);
        if latest.is_some_and(|at| at > now.saturating_add(LEEWAY)) {
            return Err(Reject::NotYetValid);
        }
        match self.expires(meta) {
            Some(end) if now > end => Err(Reject::Expired),
            _ => Ok(()),
        }
    }

    /// One or the other, as a format has it.
    pub(crate) fn check_as(&self, whole_seconds: bool, meta: &Meta, now: Millis) -> Result<(), Reject> {
        if whole_seconds {
            self.check_whole_seconds(meta, now)
        } else {
            self.check(meta, now)
        }
    }

    /// The same where times are whole seconds and the future is not forgiven, as in itsdangerous.
    fn check_whole_seconds(&self, meta: &Meta, now: Millis) -> Result<(), Reject> {
        if self.never {
            return Err(Reject::Expired);
        }
        if self.deadline(meta).is_some_and(|end| now > end) {
            return Err(Reject::Expired);
        }
        let (Some(max_age), Some(issued)) = (self.max_age, meta.issued) else {
            return Ok(());
        };
        match (now / 1000).checked_sub(issued / 1000) {
            None => Err(Reject::NotYetValid),
            Some(age) if age > max_age / 1000 => Err(Reject::Expired),
            Some(_) => Ok(()),
        }
    }

    /// The last moment at which the session is good, by the times it was written with.
    pub(crate) fn expires(&self, meta: &Meta) -> Option<Millis> {
        let idle = meta
            .issued
            .zip(self.effective_max_age(meta))
            .map(|(at, age)| at.saturating_add(age));
        earlier(idle, self.deadline(meta))
    }

    /// For `Max-Age`: whole seconds that a cookie written at `meta.issued` is good for.
    pub(crate) fn seconds_left(&self, meta: &Meta) -> Option<u64> {
        let left = self
            .deadline(meta)
            .map(|end| end.saturating_sub(meta.issued.unwrap_or(0)));
        earlier(self.effective_max_age(meta), left).map(|left| left / 1000)
    }

    /// Whether a use at `now` should write the cookie again so that it lives on.
    pub(crate) fn refresh_is_due(&self, meta: &Meta, now: Millis) -> bool {
        self.rolling && self.is_worn(meta, now)
    }

    /// Whether a cookie that was sent at `meta.issued` has used up so much of its time that it should be sent again.
    pub(crate) fn is_worn(&self, meta: &Meta, now: Millis) -> bool {
        let (Some(issued), Some(age)) = (meta.issued, self.effective_max_age(meta)) else {
            return false;
        };
        // A session may have asked for less time than the interval is long, and must not end while
        // it is used.
        let interval = self.refresh_interval.filter(|&interval| interval < age);
        let interval = interval.unwrap_or(age / REFRESH_PARTS);
        // Where the absolute lifetime ends sooner, a refresh gains nothing.
        let gains = self.deadline(meta).is_none_or(|end| end > issued.saturating_add(age));
        now.saturating_sub(issued) >= interval && now > issued && gains
    }

    /// What a session may ask for itself, at most `max_age_limit`.
    pub(crate) fn clamp(&self, wanted: Duration) -> Duration {
        match self.limit() {
            Some(limit) if duration_millis(wanted) > limit => Duration::from_millis(limit),
            _ => wanted,
        }
    }

    fn effective_max_age(&self, meta: &Meta) -> Option<Millis> {
        match meta.max_age {
            Some(AS_THE_LAYERS) => self.max_age,
            Some(own) => earlier(Some(Millis::from(own) * 1000), self.limit()),
            None if meta.is_anonymous() => earlier(self.max_age, self.anonymous_max_age),
            None => self.max_age,
        }
    }

    /// The lifetime of its own that keeps a session from being taken for an anonymous one, if it
    /// needs one.
    pub(crate) fn of_the_layer(&self) -> Option<u32> {
        self.anonymous_max_age.map(|_| AS_THE_LAYERS)
    }

    fn limit(&self) -> Option<Millis> {
        self.max_age_limit.or(self.max_age)
    }

    fn deadline(&self, meta: &Meta) -> Option<Millis> {
        // Without a time of creation, the last write is the earliest time that is known.
        let start = meta.created.or(meta.issued).max(meta.authenticated)?;
        self.absolute.map(|lifetime| start.saturating_add(lifetime))
    }
}

fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_700_000_000_000;

    fn lifetime() -> Lifetime {
        Lifetime {
            max_age: Some(100_000),
            anonymous_max_age: None,
            max_age_limit: None,
            absolute: None,
            never: false,
            rolling: false,
            refresh_interval: None,
        }
    }

    fn written(at: Millis) -> Meta {
        Meta {
            created: Some(at),
            issued: Some(at),
            ..Meta::default()
        }
    }

    #[test]
    fn max_age_ends_after_its_last_millisecond() {
        let meta = written(NOW);
        assert_eq!(lifetime().check(&meta, NOW + 100_000), Ok(()));
        assert_eq!(lifetime().check(&meta, NOW + 100_001), Err(Reject::Expired));
        assert_eq!(lifetime().expires(&meta), Some(NOW + 100_000));
        assert_eq!(lifetime().seconds_left(&meta), Some(100));
    }

    #[test]
    fn sixty_seconds_of_skew_are_forgiven() {
        assert_eq!(lifetime().check(&written(NOW + 60_000), NOW), Ok(()));
        assert_eq!(lifetime().check(&written(NOW + 60_001), NOW), Err(Reject::NotYetValid));
    }

    #[test]
    fn absolute_counts_from_the_later_of_creation_and_authentication() {
        let limits = Lifetime {
            absolute: Some(150_000),
            ..lifetime()
        };
        let mut meta = Meta {
            issued: Some(NOW + 100_000),
            ..written(NOW)
        };
        assert_eq!(limits.expires(&meta), Some(NOW + 150_000));
        assert_eq!(limits.seconds_left(&meta), Some(50));
        meta.authenticated = Some(NOW + 90_000);
        assert_eq!(limits.expires(&meta), Some(NOW + 200_000));
        assert_eq!(limits.seconds_left(&meta), Some(100));
    }

    #[test]
    fn a_sessions_own_max_age_is_clamped_when_written_and_when_read() {
        let longer = Lifetime {
            max_age_limit: Some(300_000),
            ..lifetime()
        };
        assert_eq!(lifetime().clamp(Duration::from_secs(300)), Duration::from_secs(100));
        assert_eq!(longer.clamp(Duration::from_secs(400)), Duration::from_secs(300));
        let mut meta = written(NOW);
        meta.max_age = Some(400);
        assert_eq!(longer.expires(&meta), Some(NOW + 300_000));
        assert_eq!(lifetime().expires(&meta), Some(NOW + 100_000));
    }

    #[test]
    fn refresh_is_throttled() {
        let rolling = Lifetime {
            rolling: true,
            ..lifetime()
        };
        let meta = written(NOW);
        assert!(!lifetime().refresh_is_due(&meta, NOW + 50_000));
        assert!(!rolling.refresh_is_due(&meta, NOW + 9_999));
        assert!(rolling.refresh_is_due(&meta, NOW + 10_000));
        let capped = Lifetime {
            absolute: Some(100_000),
            ..rolling
        };
        assert!(
            !capped.refresh_is_due(&meta, NOW + 50_000),
            "the absolute end is near already"
        );
    }

    #[test]
    fn extreme_numbers_saturate() {
        let forever = Lifetime {
            max_age: Some(Millis::MAX),
            absolute: Some(Millis::MAX),
            rolling: true,
            ..lifetime()
        };
        let meta = Meta {
            max_age: Some(u32::MAX),
            ..written(Millis::MAX - 1)
        };
        assert_eq!(forever.check(&meta, Millis::MAX), Ok(()));
        assert_eq!(forever.expires(&written(NOW)), Some(Millis::MAX));
        assert!(!forever.refresh_is_due(&meta, 0));
        assert_eq!(forever.clamp(Duration::MAX), Duration::MAX);
    }
}
