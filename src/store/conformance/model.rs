//! Many operations, one after the other, on a store and on a map that does what the records say.

use std::collections::HashMap;

use super::{
    failure::{Failure, difference},
    trial::{DAY, SECOND, Trial, renewed, text, ticket},
};
use crate::store::{Applied, Changes, Created, Field, HashedTicket, Loaded, Record, SessionId, Store};

const OPERATIONS: u32 = 400;

const KEYS: [&str; 7] = ["a", "A", "b", "", "é", "a ", "key"];

const TEXTS: [&str; 6] = ["1", "\"\"", "null", " [1 ,2]", "{\"a\":{}}", "1.0"];

/// The same numbers each time, so that a failure comes again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        // Knuth's constants; the high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn of<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[usize::try_from(self.below(some.len() as u64)).unwrap_or_default()]
    }

    fn time(&mut self, now: u64) -> u64 {
        now + self.below(40) * SECOND
    }

    fn field<T>(&mut self, value: T) -> Field<T> {
        match self.below(8) {
            0 => Field::Set(value),
            1 => Field::Unset,
            _ => Field::Keep,
        }
    }
}

pub(super) async fn many_operations<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let mut numbers = Numbers(36);
    let mut model: HashMap<SessionId, Record> = HashMap::new();
    // Old tickets come again.
    let mut tickets: Vec<HashedTicket> = (0..4).map(|_| ticket()).collect();
    let mut now = trial.now;
    for at in 0..OPERATIONS {
        now += numbers.below(3) * SECOND;
        let newest = tickets.len().saturating_sub(8);
        let ticket = *numbers.of(&tickets[newest..]);
        let what = |operation: &str| format!("{operation}, operation {at} of {OPERATIONS}");
        match numbers.below(10) {
            0 | 1 => {
                let what = what("create");
                let mut record = Record::new(ticket.secret, now, numbers.time(now + DAY));
                record.values.set(*numbers.of(&KEYS), *numbers.of(&TEXTS));
                let taken = model.get(&ticket.id).is_some_and(|other| other.is_live(now));
                let came = trial.answer(&what, trial.store.create(&ticket.id, &record, None, now).await)?;
                trial.same(
                    &what,
                    if taken { &Created::Collision } else { &Created::Created },
                    &came,
                )?;
                if !taken {
                    model.insert(ticket.id, record);
                }
            }
            2 if numbers.below(3) == 0 => {
                let what = what("delete");
                let live = matches!(loaded(&model, &ticket, now), Loaded::Live(_));
                let came = trial.answer(&what, trial.store.delete(&ticket, now).await)?;
                trial.same(&what, &live, &came)?;
                if live {
                    model.remove(&ticket.id);
                }
            }
            _ => {
                let what = what("apply");
                let changes = random(&mut numbers, now, &ticket, model.get(&ticket.id), &mut tickets);
                let expected = model
                    .get_mut(&ticket.id)
                    .map_or(Applied::Gone, |record| record.apply(&ticket, &changes, now));
                let came = trial.answer(&what, trial.store.apply(&ticket, &changes, now).await)?;
                trial.same(&what, &expected, &came)?;
            }
        }
        let what = what("load");
        let came = trial.answer(&what, trial.store.load(&ticket, now).await)?;
        if let Some((expected, came)) = difference(&loaded(&model, &ticket, now), &came) {
            return Err(Failure::new(trial.step, &what, expected, came));
        }
    }
    Ok(())
}

fn loaded(model: &HashMap<SessionId, Record>, ticket: &HashedTicket, now: u64) -> Loaded {
    model
        .get(&ticket.id)
        .map_or(Loaded::Missing, |record| record.load(ticket, now))
}

fn random(
    numbers: &mut Numbers,
    now: u64,
    ticket: &HashedTicket,
    record: Option<&Record>,
    tickets: &mut Vec<HashedTicket>,
) -> Changes {
    let mut changes = Changes::new(numbers.time(now), numbers.time(now + DAY));
    for key in KEYS {
        match numbers.below(6) {
            0 => changes.removed.push(key.into()),
            1 => changes.set.push((key.into(), (*numbers.of(&TEXTS)).into())),
            _ => {}
        }
    }
    changes.cleared = numbers.below(8) == 0;
    changes.may_shorten = numbers.below(4) == 0;
    if numbers.below(4) == 0 {
        let key = *numbers.of(&KEYS);
        let there = record.and_then(|record| record.values.get(key));
        let guess = there.filter(|_| numbers.below(3) > 0).map(str::to_owned);
        changes.expected.push((key.into(), guess));
    }
    if numbers.below(8) == 0 {
        let new = renewed(ticket);
        changes.secret = Some(new.secret);
        tickets.push(new);
    }
    changes.sent = (numbers.below(3) == 0).then(|| numbers.time(now));
    changes.authenticated = numbers.field(now);
    changes.max_age = numbers.field(60);
    changes.label = match numbers.below(6) {
        0 => text(Some("label")),
        1 => text(None),
        _ => Field::Keep,
    };
    changes
}
