//! How many sessions an owner may have, and which logins come too late. The order is the store's:
//! no clock has a say.

use super::{
    failure::Failure,
    trial::{DAY, Racer, Trial, owner, race},
};
use crate::{
    error::Error,
    store::{Applied, Created, HashedTicket, Login, Owner, Record, Store, Which},
};

/// How many logins come at once.
const LOGINS: usize = 20;

impl<S: Store> Trial<'_, S> {
    /// A session whose login allows so many in all.
    async fn logged_in(&self, owner: &Owner, most: u32, ahead: i64) -> Result<(HashedTicket, Record), Failure> {
        let (ticket, mut record) = self.record();
        let now = self.now.saturating_add_signed(ahead);
        (record.created, record.sent, record.seen) = (now, now, now);
        (record.owner, record.authenticated) = (Some(owner.clone()), Some(now));
        let login = self.login(&owner.id).await?.most(most);
        let what = format!("create with a limit of {most}");
        let came = self.answer(&what, self.store.create(&ticket.id, &record, Some(&login), now).await)?;
        self.same(&what, &Created::Created, &came)?;
        Ok((ticket, record))
    }
}

pub(super) async fn limited<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (owner, other) = (owner(), owner());
    let (foreign, foreign_record) = trial.owned(&other).await?;
    // The first one seems to be the last one, by its clock.
    let (one, _) = trial.logged_in(&owner, 2, 5_000).await?;
    let (two, second) = trial.logged_in(&owner, 2, 0).await?;
    let (three, third) = trial.logged_in(&owner, 2, -5_000).await?;
    trial.missing("a third login with a limit of 2", &one).await?;
    trial
        .lists(
            "a third login with a limit of 2",
            &owner,
            &[(two, &second), (three, &third)],
        )
        .await?;
    // A session that logs in once more is the last one.
    let mut changes = trial.owning(&owner).await?;
    changes.login = changes.login.map(|login| login.most(2));
    let (mut second, third) = (second, third);
    trial
        .change("a second login of a session", &two, &mut second, &changes)
        .await?;
    let (four, fourth) = trial.logged_in(&owner, 2, 0).await?;
    trial.missing("a login after that", &three).await?;
    drop(third);
    trial
        .lists("a login after that", &owner, &[(two, &second), (four, &fourth)])
        .await?;
    // So is one that was nobody's before.
    let (five, mut fifth) = trial.stored(&[("a", "1")]).await?;
    let mut changes = trial.owning(&owner).await?;
    changes.login = changes.login.map(|login| login.most(1));
    trial
        .change("a login of an anonymous session", &five, &mut fifth, &changes)
        .await?;
    trial
        .lists("a login with a limit of 1", &owner, &[(five, &fifth)])
        .await?;
    trial.holds("logins of another owner", &foreign, &foreign_record).await
}

/// A session that has expired does not count, although its login came later.
pub(super) async fn expired<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let owner = owner();
    let (longer, mut long) = trial.record();
    (long.owner, long.expires) = (Some(owner.clone()), trial.now + 3 * DAY);
    trial.create("a session of three days", &longer, &long).await?;
    trial.owned(&owner).await?;
    let late = Trial {
        now: trial.now + DAY + 1,
        ..*trial
    };
    let (newest, new) = late.logged_in(&owner, 2, 0).await?;
    late.lists(
        "a login after another one has expired",
        &owner,
        &[(longer, &long), (newest, &new)],
    )
    .await
}

pub(super) async fn at_once<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    for most in 1..=3 {
        let owner = owner();
        let what = format!("{LOGINS} logins at once with a limit of {most}");
        let mut sessions = Vec::new();
        for at in 0..LOGINS {
            let (ticket, mut record) = trial.record();
            if at % 2 == 0 {
                trial.create("an anonymous session", &ticket, &record).await?;
            }
            record.owner = Some(owner.clone());
            sessions.push((ticket, record));
        }
        let changes = trial.owning(&owner).await?;
        let (store, now) = (trial.store, trial.now);
        let racers = sessions.iter().enumerate().map(|(at, (ticket, record))| {
            let mut changes = changes.clone();
            // Clocks differ.
            let now = now.saturating_add_signed(if at % 3 == 0 { 5_000 } else { -5_000 });
            let racer: Racer<'_, Result<bool, Error>> = Box::pin(async move {
                let login = Login::new(store.begin_login(&changes_owner(record), now).await?.number).most(most);
                changes.login = Some(login);
                Ok(if at % 2 == 0 {
                    store.apply(ticket, &changes, now).await? == Applied::Updated
                } else {
                    store.create(&ticket.id, record, Some(&login), now).await? == Created::Created
                })
            });
            racer
        });
        for answer in race(racers.collect()).await {
            let came = trial.answer(&what, answer)?;
            trial.same(&what, &true, &came)?;
        }
        let listed = trial.answer(&what, store.sessions_of(&owner.id, now).await)?;
        trial.same(&what, &(most as usize), &listed.len())?;
        // The next one alone is the last one.
        let (last, record) = trial.logged_in(&owner, most, 0).await?;
        trial.holds(&what, &last, &record).await?;
        let listed = trial.answer(&what, store.sessions_of(&owner.id, now).await)?;
        trial.same(&what, &(most as usize), &listed.len())?;
    }
    Ok(())
}

fn changes_owner(record: &Record) -> crate::store::OwnerId {
    record
        .owner
        .as_ref()
        .map_or_else(|| crate::store::OwnerId::from_bytes([0; 32]), |owner| owner.id)
}

pub(super) async fn too_late<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (owner, other) = (owner(), owner());
    for (which, ends) in [
        (None, false),
        (Some(Which::Only(super::trial::ticket().id)), false),
        (Some(Which::AllBut(super::trial::ticket().id)), true),
        (Some(Which::All), true),
    ] {
        let what = format!("delete_of {which:?} while a login is on its way");
        let before = trial.answer(&what, trial.store.begin_login(&owner.id, trial.now).await)?;
        let login = Login::new(before.number);
        let others = trial.login(&other.id).await?;
        let (known, mut known_record) = trial.stored(&[]).await?;
        if let Some(which) = &which {
            trial.answer(&what, trial.store.delete_of(&owner.id, which, trial.now).await)?;
        }
        let after = trial.answer(&what, trial.store.begin_login(&owner.id, trial.now).await)?;
        trial.same(&what, &ends, &(after.number != before.number))?;
        if ends {
            let what = format!("Mark::ended after {what}");
            trial.same(&what, &trial.now, &after.ended)?;
        } else {
            trial.same(&what, &before, &after)?;
        }
        let (created, expected) = if ends {
            (Created::Ended, Applied::Gone)
        } else {
            (Created::Created, Applied::Updated)
        };
        let (ticket, mut record) = trial.record();
        record.owner = Some(owner.clone());
        let came = trial.store.create(&ticket.id, &record, Some(&login), trial.now).await;
        trial.same(&what, &created, &trial.answer(&what, came)?)?;
        let mut changes = trial.changes(&[("a", "1")], &[]);
        (changes.owner, changes.login) = (crate::store::Field::Set(owner.clone()), Some(login));
        trial.apply(&what, &known, &changes, expected).await?;
        if ends {
            trial.missing(&what, &ticket).await?;
            trial.holds(&what, &known, &known_record).await?;
        } else {
            known_record.values.set("a", "1");
            known_record.owner = Some(owner.clone());
            trial.holds(&what, &known, &known_record).await?;
        }
        // Another owner's logins go on, and so do the next ones.
        let (theirs, mut record) = trial.record();
        record.owner = Some(other.clone());
        let came = trial.store.create(&theirs.id, &record, Some(&others), trial.now).await;
        trial.same(&what, &Created::Created, &trial.answer(&what, came)?)?;
        trial.owned(&owner).await?;
    }
    Ok(())
}

/// While logins come without pause, an end of all leaves none that had begun before it.
pub(super) async fn ended_at_once<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let owner = owner();
    let what = "delete_of All among 30 logins";
    let sessions: Vec<(HashedTicket, Record)> = (0..30)
        .map(|_| {
            let (ticket, mut record) = trial.record();
            record.owner = Some(owner.clone());
            (ticket, record)
        })
        .collect();
    let login = trial.login(&owner.id).await?;
    let (store, now, login, owner) = (trial.store, trial.now, &login, &owner);
    let mut racers: Vec<Racer<'_, Result<(), Error>>> = Vec::new();
    for (at, (ticket, record)) in sessions.iter().enumerate() {
        if at == 15 {
            racers.push(Box::pin(async move {
                store.delete_of(&owner.id, &Which::All, now).await.map(drop)
            }));
        }
        racers.push(Box::pin(async move {
            store.create(&ticket.id, record, Some(login), now).await.map(drop)
        }));
    }
    for answer in race(racers).await {
        trial.answer(what, answer)?;
    }
    trial.lists(what, owner, &[]).await?;
    for (ticket, _) in &sessions {
        trial.missing(what, ticket).await?;
    }
    Ok(())
}
