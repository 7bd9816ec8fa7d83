//! Which of a request's cookies is the session.

use std::{cell::Cell, fmt};

use super::{
    alarms::Cause,
    built::{Built, BuiltFallback, Reader},
};
use crate::{
    codec::{self, Format},
    cookie::Found,
    error::Reject,
    event::event,
    session::{Base, Meta, Millis, Opened, Payload, SessionId, Stored},
    store::Record,
};

/// MACs for one request.
const ATTEMPTS: u8 = 16;

/// Different cookies of one name that are verified.
const VERIFIED: usize = 4;

pub(super) fn open(built: &Built, found: &Found, now: Millis) -> Opened {
    if found.is_empty() {
        return Opened::default();
    }
    let leave = Leave {
        attempts: Cell::new(ATTEMPTS),
        unknown_key: Cell::new(None),
    };
    let mut chosen = Chosen::new(built.newest_wins);
    let mut foreign = false;
    let left_out = built.own.read(found, &leave, |result| {
        foreign |= matches!(
            &result,
            Err(Reject::Malformed | Reject::UnknownKey | Reject::BadSignature | Reject::TooLarge)
        );
        chosen.consider(result.and_then(|payload| admit(built, &built.own.format, payload, now)));
    });
    let mut cut_short = left_out && !chosen.newest_wins;
    let own_present = found.has(built.own.name);
    for fallback in &built.fallbacks {
        // Under another name only without a cookie of ours; under ours only if it is not in our format.
        let wanted = if fallback.reader.name == built.own.name {
            foreign
        } else {
            !own_present && chosen.session.is_none()
        };
        if wanted {
            chosen.newest_wins = fallback.newest_wins;
            let left_out = fallback.reader.read(found, &leave, |result| {
                let admitted = result.and_then(|payload| fallback.admit(built, payload, now));
                chosen.consider(admitted);
            });
            cut_short |= left_out && !chosen.newest_wins;
        }
    }
    chosen.unknown_key = leave.unknown_key.get();
    chosen.opened(built, cut_short)
}

/// What a store has under a ticket.
pub(super) fn admit_record(built: &Built, id: SessionId, record: &Record, now: Millis) -> Result<Meta, Reject> {
    let mut same = [0; 16];
    same.copy_from_slice(&id.as_bytes()[..16]);
    let meta = Meta {
        id: Some(same),
        created: Some(record.created),
        issued: Some(record.seen),
        authenticated: record.authenticated,
        max_age: record.max_age,
        is_owned: record.owner.is_some(),
    };
    built.lifetime.check(&meta, now)?;
    Ok(meta)
}

fn admit(built: &Built, format: &Format, payload: Payload, now: Millis) -> Result<(Base, Meta), Reject> {
    let base = Base::parse(payload.json).map_err(|error| match error.is_lax {
        true => Reject::Unreadable,
        false => Reject::Malformed,
    });
    if matches!(base, Err(Reject::Malformed)) {
        return Err(Reject::Malformed);
    }
    // A session that has expired is nothing to be careful with.
    built.lifetime.check_as(format.whole_seconds, &payload.meta, now)?;
    let base = base?;
    // Other formats, and other writers of ours, may say a key twice.
    let base = if built.own.format.no_repeats {
        base.written_once()
    } else {
        base
    };
    Ok((base, payload.meta))
}

impl BuiltFallback {
    fn admit(&self, built: &Built, payload: Payload, now: Millis) -> Result<(Base, Meta), Reject> {
        if let Some(end) = self.until {
            let written_later = payload.meta.issued.is_some_and(|issued| issued > end);
            let all_expired = now > end.saturating_add(built.lifetime.max_age.unwrap_or(0));
            if written_later || all_expired {
                return Err(Reject::Expired);
            }
        }
        if let Some(lifetime) = &self.lifetime {
            lifetime.check_as(self.reader.format.whole_seconds, &payload.meta, now)?;
        }
        // A format that cannot tell whether somebody has logged in must not make all sessions
        // short-lived anonymous ones.
        let mut payload = payload;
        if !self.reader.format.authenticated && payload.meta.max_age.is_none() {
            payload.meta.max_age = built.lifetime.of_the_layer();
        }
        let (base, mut meta) = admit(built, &self.reader.format, payload, now)?;
        // Its own format may accept a time in the future; in the layer's it would have to come
        // first.
        for time in [&mut meta.issued, &mut meta.created, &mut meta.authenticated] {
            *time = time.map(|at| at.min(now));
        }
        Ok((base, meta))
    }
}

/// The deed of one request, and its outcome.
struct Leave {
    /// MACs that may still be computed.
    attempts: Cell<u8>,
    /// The last key id that is not in a ring.
    unknown_key: Cell<Option<[u8; 4]>>,
}

/// The best of the cookies seen so far.
pub(super) struct Chosen {
    newest_wins: bool,
    session: Option<(Base, Meta)>,
    ambiguous: bool,
    rejected: Option<Reject>,
    unknown_key: Option<[u8; 4]>,
}

impl Chosen {
    pub(super) fn new(newest_wins: bool) -> Self {
        Self {
            newest_wins,
            session: None,
            ambiguous: false,
            rejected: None,
            unknown_key: None,
        }
    }

    pub(super) fn consider(&mut self, candidate: Result<(Base, Meta), Reject>) {
        let candidate = match candidate {
            Ok(candidate) => candidate,
            Err(reason) => {
                // Why something that looked like a session failed says more than that something else was none, and that
                // its time is wrong says most: it is authentic.
                let weight = |reason| match reason {
                    Reject::Malformed => 0,
                    Reject::Expired | Reject::NotYetValid => 2,
                    // Then nothing may be written by the way.
                    Reject::Unreadable => 3,
                    // Then nothing may be sent.
                    Reject::Renewed => 4,
                    _ => 1,
                };
                if self.rejected.is_none_or(|known| weight(known) < weight(reason)) {
                    self.rejected = Some(reason);
                }
                return;
            }
        };
        let Some((_, known)) = &self.session else {
            self.session = Some(candidate);
            return;
        };
        let same = known.id.is_some() && known.id == candidate.1.id;
        self.ambiguous |= !same && !self.newest_wins;
        // Of equally old ones the browser names the newer cookie last.
        if candidate.1.issued >= known.issued {
            self.session = Some(candidate);
        }
    }
}

impl Chosen {
    /// The result, and its event.
    pub(super) fn opened(mut self, built: &Built, cut_short: bool) -> Opened {
        // Else somebody who can plant cookies would only have to plant enough of them.
        self.ambiguous |= cut_short && self.session.is_some();
        let rejected = if self.ambiguous {
            Some(Reject::Ambiguous)
        } else if self.session.is_some() {
            None
        } else {
            self.rejected
        };
        match rejected {
            Some(reason @ Reject::UnknownKey) => {
                match built.alarms.raise(Cause::UnknownKey(self.unknown_key), built.now()) {
                    Some(since) => {
                        let reason = Again { reason, since };
                        event!(WARN, reason = %reason, "a session cookie was rejected: a key was retired too early or signs too early");
                    }
                    None => event!(DEBUG, reason = %reason, "a session cookie was rejected"),
                }
            }
            Some(reason @ Reject::Ambiguous) => match built.alarms.raise(Cause::Ambiguous, built.now()) {
                Some(since) => {
                    let reason = Again { reason, since };
                    event!(WARN, reason = %reason, "a session cookie was rejected: another site may have planted it");
                }
                None => event!(DEBUG, reason = %reason, "a session cookie was rejected"),
            },
            Some(reason) => event!(DEBUG, reason = %reason, "a session cookie was rejected"),
            None => {}
        }
        Opened {
            session: self.session.filter(|_| !self.ambiguous),
            rejected,
            present: true,
            stored: Stored::default(),
        }
    }
}

/// A reason, and how often it came without a word since the last one.
struct Again {
    reason: Reject,
    since: u64,
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.since {
            0 => self.reason.fmt(f),
            since => write!(f, "{} (and {since} more since this was last said)", self.reason),
        }
    }
}

impl Reader {
    /// Decodes each different cookie of this reader's name, up to a few; returns whether some were left out.
    fn read(&self, found: &Found, leave: &Leave, mut each: impl FnMut(Result<Payload, Reject>)) -> bool {
        let mut verified = 0;
        for (at, value) in found.values(self.name).enumerate() {
            // The same cookie twice says nothing new.
            if at > 0 && found.values(self.name).take(at).any(|earlier| earlier == value) {
                continue;
            }
            if verified == VERIFIED || leave.attempts.get() == 0 {
                return true;
            }
            let before = leave.attempts.get();
            each(self.decode(found, value, leave));
            verified += usize::from(leave.attempts.get() < before);
        }
        found.is_full(self.name)
    }

    fn decode(&self, found: &Found, value: &[u8], leave: &Leave) -> Result<Payload, Reject> {
        if !self.parts.is_empty()
            && let Some(len) = self.codec.text_len(value)
            && len > value.len()
        {
            let mut lengths = self.read.lengths(len).ok_or(Reject::TooLarge)?;
            if lengths.next() != Some(value.len()) {
                return Err(Reject::Malformed);
            }
            let parts: Vec<_> = lengths.zip(&self.parts).map(|(len, &name)| (name, Some(len))).collect();
            return combine(found, &parts, |pieces| {
                let text = [&[value], pieces].concat().concat();
                self.codec_decode(&text, &[], leave)
            });
        }
        if self.companions.is_empty() {
            return self.codec_decode(value, &[], leave);
        }
        let companions: Vec<_> = self.companions.iter().map(|&name| (name, None)).collect();
        combine(found, &companions, |values| self.codec_decode(value, values, leave))
    }

    fn codec_decode(&self, value: &[u8], companions: &[&[u8]], leave: &Leave) -> Result<Payload, Reject> {
        self.codec.decode(&codec::Incoming {
            value,
            companions,
            attempts: &leave.attempts,
            unknown_key: &leave.unknown_key,
        })
    }
}

/// Tries the cookies of the wanted names (and lengths) with each other until some are accepted. There is one way to do so
/// unless a browser sends duplicates.
fn combine(
    found: &Found,
    wanted: &[(usize, Option<usize>)],
    mut decode: impl FnMut(&[&[u8]]) -> Result<Payload, Reject>,
) -> Result<Payload, Reject> {
    let choices: Vec<Vec<&[u8]>> = wanted
        .iter()
        .map(|&(name, len)| {
            found
                .values(name)
                .filter(|value| len.is_none_or(|len| value.len() == len))
                .collect()
        })
        .collect();
    if choices.iter().any(Vec::is_empty) {
        return Err(Reject::Malformed);
    }
    // Browsers keep the cookies of one scope in one order, so the parts that stand at the same place come first.
    let longest = choices.iter().map(Vec::len).max().unwrap_or(0);
    let aligned = (0..longest).map(|at| {
        choices
            .iter()
            .map(|values| values.get(at).copied())
            .collect::<Option<Vec<_>>>()
    });
    let ways = choices.iter().map(Vec::len).fold(1, usize::saturating_mul);
    let mixed = (0..if ways > 1 { ways } else { 0 }).map(|way| {
        // The digits of `way`, each in the base of its choices.
        let mut rest = way;
        let digits = choices.iter().map(|values| {
            let pick = values[rest % values.len()];
            rest /= values.len();
            pick
        });
        Some(digits.collect::<Vec<_>>())
    });
    let mut result = Err(Reject::Malformed);
    for picked in aligned.chain(mixed).flatten().take(ATTEMPTS.into()) {
        result = decode(&picked);
        // Or there is no leave for another MAC.
        if matches!(result, Ok(_) | Err(Reject::Ambiguous)) {
            break;
        }
    }
    result
}
