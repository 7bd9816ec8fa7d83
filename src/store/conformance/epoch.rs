//! The end of all sessions that began before a time.

use super::{
    failure::Failure,
    trial::{DAY, SECOND, Trial, name, renewed},
};
use crate::store::{Applied, HashedTicket, Loaded, Record, Store};

pub(super) async fn begun_before<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let epoch = trial.now - 60 * SECOND;
    let what = "delete_begun_before, which empties the store";
    trial.answer(what, trial.store.delete_begun_before(trial.now + DAY).await)?;
    let owner = name();
    let mut sessions: Vec<(&str, HashedTicket, Record, bool)> = Vec::new();
    for (what, created, authenticated, ends) in [
        ("began long before", epoch - 30 * DAY, None, true),
        ("began a millisecond before", epoch - 1, None, true),
        ("began at the epoch", epoch, None, false),
        ("began after it", epoch + 1, None, false),
        ("was authenticated before", epoch - 10, Some(epoch - 1), true),
        ("was authenticated at the epoch", epoch - 10, Some(epoch), false),
        ("was authenticated before it began", epoch, Some(epoch - 1), false),
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

    let what = "delete_begun_before";
    let expected = sessions.iter().filter(|(.., ends)| *ends).count() as u64;
    let came = trial.answer(what, trial.store.delete_begun_before(epoch).await)?;
    trial.same(what, &expected, &came)?;
    for (session, ticket, record, ends) in &sessions {
        let what = format!("load, after delete_begun_before, of a session that {session}");
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
        let what = "sessions_of after delete_begun_before";
        let listed = trial.answer(what, trial.store.sessions_of(&owner, trial.now).await)?;
        trial.same(what, &4, &listed.len())?;
    }
    let came = trial.answer(what, trial.store.delete_begun_before(epoch).await)?;
    trial.same("delete_begun_before a second time", &0, &came)
}
