//! Sessions end at a millisecond, cleaned up or not.

use std::time::SystemTime;

use super::{
    failure::Failure,
    trial::{DAY, NEVER, SECOND, Trial},
};
use crate::{
    session::millis,
    store::{Applied, Changes, Created, Loaded, Record, Store},
};

/// How often a step is tried again that a run at the same time may have disturbed.
const TRIES: u32 = 20;

pub(super) async fn by_now<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    // A store may drop a session as soon as it was asked about a later time, so each question has a session of its own.
    let (ticket, record) = trial.stored(&[("a", "1")]).await?;
    let live = Loaded::Live(Box::new(record.clone()));
    trial
        .load("load at the last millisecond", &ticket, record.expires, &live)
        .await?;
    let what = "load a millisecond after the end";
    trial.load(what, &ticket, record.expires + 1, &Loaded::Missing).await?;
    let stale = super::trial::renewed(&ticket);
    let what = "load with another secret after the end";
    trial.load(what, &stale, record.expires + 1, &Loaded::Missing).await?;

    let longer = Changes::new(trial.now, trial.now + 3 * DAY);
    let (ticket, mut record) = trial.stored(&[("a", "1")]).await?;
    let late = Trial {
        now: record.expires + 1,
        ..*trial
    };
    late.apply("changes a millisecond after the end", &ticket, &longer, Applied::Gone)
        .await?;
    let what = "load of what a change came too late for";
    late.load(what, &ticket, late.now, &Loaded::Missing).await?;
    let (ticket, _) = trial.stored(&[("a", "1")]).await?;
    let last = Trial {
        now: record.expires,
        ..*trial
    };
    last.apply("changes at the last millisecond", &ticket, &longer, Applied::Updated)
        .await?;
    record.expires = longer.expires;
    record.secret = ticket.secret;
    late.holds(
        "changes at the last millisecond that made the session longer",
        &ticket,
        &record,
    )
    .await?;

    let (ticket, _) = trial.stored(&[]).await?;
    late.delete("a session a millisecond after its end", &ticket, false)
        .await?;
    let (ticket, _) = trial.stored(&[]).await?;
    last.delete("a session at its last millisecond", &ticket, true).await
}

pub(super) async fn create_over<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut old) = trial.record();
    old.values = [("old", "1"), ("both", "1")].into_iter().collect();
    (old.authenticated, old.max_age, old.label) = (Some(trial.now), Some(60), Some("old".into()));
    trial.create("a new session", &ticket, &old).await?;
    let last = Trial {
        now: old.expires,
        ..*trial
    };
    let late = Trial {
        now: old.expires + 1,
        ..*trial
    };
    let new_ticket = super::trial::renewed(&ticket);
    let mut new = Record::new(new_ticket.secret, late.now, late.now + DAY);
    new.values = [("both", "2"), ("new", "2")].into_iter().collect();
    let what = "create over a session at its last millisecond";
    let came = trial.answer(what, trial.store.create(&ticket.id, &new, None, last.now).await)?;
    trial.same(what, &Created::Collision, &came)?;
    late.create("a session over one of the same id that has expired", &new_ticket, &new)
        .await?;
    late.holds("create over a session that has expired", &new_ticket, &new)
        .await?;
    let what = "load with the expired session's ticket";
    late.load(what, &ticket, late.now, &Loaded::Missing).await
}

pub(super) async fn never<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.record();
    record.expires = NEVER;
    trial.create("a session without an end", &ticket, &record).await?;
    let live = Loaded::Live(Box::new(record.clone()));
    for now in [trial.now, trial.now + 100_000 * DAY, NEVER] {
        trial
            .load("load of a session without an end", &ticket, now, &live)
            .await?;
    }
    let changes = trial.changes(&[("a", "1")], &[]);
    trial
        .change("a session without an end", &ticket, &mut record, &changes)
        .await?;
    let (ticket, mut record) = trial.stored(&[]).await?;
    let changes = Changes::new(trial.now, NEVER);
    trial
        .change(
            "the end of a session that shall have none",
            &ticket,
            &mut record,
            &changes,
        )
        .await?;
    let what = "load of a session that lost its end";
    trial.load(what, &ticket, NEVER, &Loaded::Live(Box::new(record))).await
}

/// A run at the same time may delete what ends before its own time, so what fails is tried again.
pub(super) async fn cleaning<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        match clean(trial, 60 * SECOND).await {
            Err(_) if tries < TRIES => {}
            result => return result,
        }
    }
}

async fn clean<S: Store>(trial: &Trial<'_, S>, ahead: u64) -> Result<(), Failure> {
    let started = millis(SystemTime::now());
    let end = started + ahead;
    let (dead, mut record) = trial.record();
    record.expires = end;
    trial.create("a session that is to expire", &dead, &record).await?;
    let (live, mut record) = trial.record();
    record.expires = end + 1;
    trial
        .create("a session that expires a millisecond later", &live, &record)
        .await?;
    let what = "delete_expired";
    let deleted = trial.answer(what, trial.store.delete_expired(end + 1).await)?;
    let what = "load, at its last millisecond, after delete_expired";
    let live_still = trial.load(what, &live, end + 1, &Loaded::Live(Box::new(record))).await;
    // An engine that expires by its own clock may be there first if this took a minute.
    if millis(SystemTime::now()) < end {
        live_still?;
    }
    // A store whose engine expires by itself deletes nothing, and says so.
    if deleted > 0 {
        let what = "load, at an earlier time, of what delete_expired has deleted";
        trial.load(what, &dead, started, &Loaded::Missing).await?;
    }
    trial
        .load("load of what has expired", &dead, end + 1, &Loaded::Missing)
        .await?;
    trial.answer("delete of a session", trial.store.delete(&live, started).await)?;
    Ok(())
}
