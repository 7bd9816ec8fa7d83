//! The end of all sessions that began before a time.

use super::{
    failure::Failure,
    trial::{DAY, SECOND, Trial, owner, renewed},
};
use crate::store::{Applied, Created, Epoch, HashedTicket, Loaded, Record, Store};

pub(super) async fn begun_before<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let epoch = trial.now - 60 * SECOND;
    let what = "delete_begun, which empties the store";
    let all = Epoch::before(0).or_after(0);
    trial.answer(what, trial.store.delete_begun(&all).await)?;
    let owner = owner();
    let mut sessions: Vec<(&str, HashedTicket, Record, bool)> = Vec::new();
    for (what, created, authenticated, ends) in [
        ("began long before", epoch - 30 * DAY, None, true),
        ("began a millisecond before", epoch - 1, None, true),
        ("began at the epoch", epoch, None, false),
        ("began after it", epoch + 1, None, false),
        ("was authenticated before", epoch - 10, Some(epoch - 1), true),
        ("was authenticated at the epoch", epoch - 10, Some(epoch), false),
        ("was authenticated before it was kept", epoch, Some(epoch - 1), true),
    ] {
        let (ticket, mut record) = trial.record();
        (record.created, record.authenticated) = (created, authenticated);
        if trial.store.keeps_owners() {
            record.owner = Some(owner.clone());
        }
        trial
            .create(&format!("a session that {what}"), &ticket, &record)
            .await?;
        sessions.push((what, ticket, record, ends));
    }
    // A change after it was created counts, too.
    let (ticket, mut record) = trial.record();
    record.created = epoch - DAY;
    trial.create("an old session", &ticket, &record).await?;
    let mut changes = trial.changes(&[], &[]);
    changes.authenticated = crate::store::Field::Set(trial.now);
    let new = renewed(&ticket);
    changes.secret = Some(new.secret);
    trial.change("a login", &ticket, &mut record, &changes).await?;
    sessions.push(("has logged in since", new, record, false));

    let what = "delete_begun";
    let before = Epoch::before(epoch);
    let expected = sessions.iter().filter(|(.., ends)| *ends).count() as u64;
    let came = trial.answer(what, trial.store.delete_begun(&before).await)?;
    trial.same(what, &expected, &came)?;
    for (session, ticket, record, ends) in &sessions {
        let what = format!("load, after delete_begun, of a session that {session}");
        let expected = if *ends {
            Loaded::Missing
        } else {
            Loaded::Live(Box::new(record.clone()))
        };
        trial.load(&what, ticket, trial.now, &expected).await?;
        if *ends {
            let changes = trial.changes(&[("a", "1")], &[]);
            trial
                .apply("changes to a session that was ended", ticket, &changes, Applied::Gone)
                .await?;
        }
    }
    if trial.store.keeps_owners() {
        let what = "sessions_of after delete_begun";
        let listed = trial.answer(what, trial.store.sessions_of(&owner.id, trial.now).await)?;
        trial.same(what, &3, &listed.len())?;
    }
    let came = trial.answer(what, trial.store.delete_begun(&before).await)?;
    trial.same("delete_begun a second time", &0, &came)?;
    after(trial, epoch).await
}

/// Sessions that come once the epoch is over, or seem to come later than now.
async fn after<S: Store>(trial: &Trial<'_, S>, epoch: u64) -> Result<(), Failure> {
    let (ticket, mut record) = trial.record();
    record.created = epoch;
    trial
        .create("a session that begins at the epoch", &ticket, &record)
        .await?;
    let (ahead, mut record) = trial.record();
    (record.created, record.expires) = (trial.now + 5 * SECOND, trial.now + DAY);
    trial
        .create("a session of a server whose clock is ahead", &ahead, &record)
        .await?;

    let what = "delete_begun of what seems to begin later than now";
    let epoch = Epoch::before(epoch).or_after(trial.now);
    let came = trial.answer(what, trial.store.delete_begun(&epoch).await)?;
    trial.same(what, &1, &came)?;
    trial.load(what, &ahead, trial.now, &Loaded::Missing).await?;
    if !trial.store.keeps_owners() {
        return Ok(());
    }

    let owner = owner();
    let login = trial.login(&owner.id).await?;
    trial.answer(what, trial.store.delete_begun(&epoch).await)?;
    let (ticket, mut record) = trial.record();
    record.owner = Some(owner.clone());
    let what = "create for a login that began before delete_begun";
    let answer = trial.store.create(&ticket.id, &record, Some(&login), trial.now).await;
    trial.same(what, &Created::Ended, &trial.answer(what, answer)?)?;
    trial.load(what, &ticket, trial.now, &Loaded::Missing).await?;
    let what = "a login that begins after delete_begun";
    trial.create(what, &ticket, &record).await?;
    trial.holds(what, &ticket, &record).await
}
