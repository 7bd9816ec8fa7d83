//! What an id that is taken, a wrong secret, an unknown id and a renewal do.

use super::{
    failure::Failure,
    trial::{DAY, SECOND, Trial, renewal, renewed, ticket},
};
use crate::store::{Applied, Changes, Created, HashedTicket, Loaded, RENEWED_FOR, Record, Store};

/// Changes of everything there is to change.
fn everything<S: Store>(trial: &Trial<'_, S>) -> Changes {
    let mut changes = trial.changes(&[("a", "2"), ("b", "2")], &["c"]);
    (changes.seen, changes.sent, changes.expires) = (trial.now + 9, Some(trial.now + 9), trial.now + 9 * DAY);
    changes.authenticated = crate::store::Field::Set(trial.now + 9);
    changes.max_age = crate::store::Field::Set(9);
    changes.label = super::trial::text(Some("other"));
    changes
}

pub(super) async fn collision<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (first, record) = trial.stored(&[("a", "1"), ("c", "1")]).await?;
    for (what, secret) in [
        ("create on a live id with another secret", ticket().secret),
        ("create on a live id with the same secret", first.secret),
    ] {
        let mut other = Record::new(secret, trial.now + 1, trial.now + 2 * DAY);
        other.values = [("a", "2"), ("b", "2")].into_iter().collect();
        other.label = Some("other".into());
        let came = trial.answer(what, trial.store.create(&first.id, &other, None, trial.now).await)?;
        trial.same(what, &Created::Collision, &came)?;
        trial.holds(what, &first, &record).await?;
    }
    Ok(())
}

pub(super) async fn wrong_secret<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (good, record) = trial.stored(&[("a", "1"), ("c", "1")]).await?;
    let mut almost = *good.secret.as_bytes();
    almost[31] ^= 1;
    let almost = HashedTicket {
        secret: crate::store::SecretHash::from_bytes(almost),
        ..good
    };
    for bad in [renewed(&good), almost] {
        dead(trial, "another secret", &bad, &Loaded::Missing).await?;
        trial.holds("what a wrong secret tried", &good, &record).await?;
    }
    Ok(())
}

/// A ticket for a live session that is not, or no longer, good for it.
async fn dead<S: Store>(trial: &Trial<'_, S>, what: &str, bad: &HashedTicket, loaded: &Loaded) -> Result<(), Failure> {
    let load = format!("load with {what}");
    trial.load(&load, bad, trial.now, loaded).await?;
    let mut changes = everything(trial);
    let with = format!("changes with {what}");
    trial.apply(&with, bad, &changes, Applied::Gone).await?;
    changes.secret = Some(bad.secret);
    trial.apply(&with, bad, &changes, Applied::Gone).await?;
    // That it is not the session's is more than that a value differs.
    changes.expected = vec![("a".into(), Some("9".into()))];
    trial.apply(&with, bad, &changes, Applied::Gone).await?;
    changes.cleared = true;
    trial.apply(&with, bad, &changes, Applied::Gone).await?;
    trial.delete(&format!("a session with {what}"), bad, false).await
}

pub(super) async fn unknown<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let nobody = ticket();
    gone(trial, "an unknown id", &nobody).await?;
    let (was, _) = trial.stored(&[("a", "1")]).await?;
    trial.delete("a session", &was, true).await?;
    gone(trial, "the ticket of a deleted session", &was).await?;
    // What is gone leaves nothing behind.
    let mut again = Record::new(was.secret, trial.now, trial.now + DAY);
    again.values = [("b", "2")].into_iter().collect();
    trial
        .create("a session of an id that was deleted", &was, &again)
        .await?;
    trial.holds("create of an id that was deleted", &was, &again).await
}

async fn gone<S: Store>(trial: &Trial<'_, S>, what: &str, ticket: &HashedTicket) -> Result<(), Failure> {
    let load = format!("load with {what}");
    let with = format!("changes with {what}");
    trial.load(&load, ticket, trial.now, &Loaded::Missing).await?;
    let mut changes = everything(trial);
    for secret in [None, Some(ticket.secret)] {
        changes.secret = secret;
        trial.apply(&with, ticket, &changes, Applied::Gone).await?;
        let load = format!("load after {with}");
        trial.load(&load, ticket, trial.now, &Loaded::Missing).await?;
    }
    changes.expected = vec![("none".into(), Some("1".into()))];
    trial.apply(&with, ticket, &changes, Applied::Gone).await?;
    trial.delete(&format!("a session with {what}"), ticket, false).await?;
    trial.load(&load, ticket, trial.now, &Loaded::Missing).await
}

pub(super) async fn renew<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (old, mut record) = trial.stored(&[("a", "1"), ("c", "1")]).await?;
    (record.created, record.seen) = (trial.now - 5 * SECOND, trial.now - SECOND);
    let (old, mut record) = {
        trial.delete("a session", &old, true).await?;
        trial
            .create("a session that began five seconds ago", &old, &record)
            .await?;
        (old, record)
    };
    let new = renewed(&old);
    let changes = renewal(everything(trial), &new);
    trial
        .change("a renewal with changes", &old, &mut record, &changes)
        .await?;
    trial.same(
        "when the renewed session began",
        &(trial.now - 5 * SECOND),
        &record.created,
    )?;
    dead(trial, "the old secret after a renewal", &old, &Loaded::Renewed).await?;
    let made_up = renewed(&old);
    dead(trial, "a made-up secret after a renewal", &made_up, &Loaded::Missing).await?;
    for (what, after, expected) in [
        ("two minutes after it", RENEWED_FOR, Loaded::Renewed),
        ("later than that", RENEWED_FOR + 1, Loaded::Missing),
    ] {
        let what = format!("load with the old secret after a renewal, {what}");
        trial.load(&what, &old, trial.now + after, &expected).await?;
    }
    trial
        .holds("what the old secret tried after a renewal", &new, &record)
        .await?;

    let newest = renewed(&old);
    trial
        .change(
            "a second renewal",
            &new,
            &mut record,
            &renewal(trial.changes(&[], &[]), &newest),
        )
        .await?;
    dead(trial, "the oldest secret after two renewals", &old, &Loaded::Missing).await?;
    dead(trial, "the old secret after two renewals", &new, &Loaded::Renewed).await?;
    trial
        .change(
            "the newest secret",
            &newest,
            &mut record,
            &trial.changes(&[("d", "4")], &[]),
        )
        .await?;

    // A renewal that met another value is none.
    let mut refused = renewal(trial.changes(&[], &[]), &new);
    refused.expected = vec![("a".into(), None)];
    trial
        .apply(
            "a renewal that meets another value",
            &newest,
            &refused,
            Applied::Conflict,
        )
        .await?;
    trial
        .holds("a renewal that met another value", &newest, &record)
        .await?;
    trial.delete("a renewed session", &newest, true).await?;
    trial
        .load(
            "load of a renewed session that ended",
            &newest,
            trial.now,
            &Loaded::Missing,
        )
        .await
}
