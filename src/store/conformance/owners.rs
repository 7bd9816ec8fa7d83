//! Whose sessions there are, and how they end.

use super::{
    failure::Failure,
    trial::{DAY, Racer, SECOND, Trial, name, race, renewal, renewed, text},
};
use crate::{
    error::Error,
    store::{Applied, Changes, Field, HashedTicket, Record, SessionId, Store, StoredSession, Which},
};

impl<S: Store> Trial<'_, S> {
    /// A stored session of an owner.
    pub(super) async fn owned(&self, owner: &str) -> Result<(HashedTicket, Record), Failure> {
        let (ticket, mut record) = self.record();
        record.owner = Some(owner.to_owned());
        self.create("a session with an owner", &ticket, &record).await?;
        Ok((ticket, record))
    }

    /// The list of an owner's sessions must be this, in any order.
    pub(super) async fn lists(
        &self,
        what: &str,
        owner: &str,
        expected: &[(HashedTicket, &Record)],
    ) -> Result<(), Failure> {
        let what = format!("sessions_of after {what}");
        let mut came = self.answer(&what, self.store.sessions_of(owner, self.now).await)?;
        let mut expected: Vec<StoredSession> = expected
            .iter()
            .map(|(ticket, record)| record.summary(ticket.id))
            .collect();
        came.sort_by_key(|session| session.id);
        expected.sort_by_key(|session| session.id);
        if expected.len() != came.len() {
            return Err(Failure::new(
                self.step,
                &what,
                format!("{} sessions", expected.len()),
                format!("{}", came.len()),
            ));
        }
        for (expected, came) in expected.iter().zip(&came) {
            // All but the label is in `Debug`, or shall not be.
            self.same(
                &what,
                &format!("{:?}", expected.id.to_string()),
                &format!("{:?}", came.id.to_string()),
            )?;
            self.same(&what, &expected.label, &came.label)?;
            self.same(&what, &expected.authenticated, &came.authenticated)?;
            self.same(&what, expected, came)?;
        }
        Ok(())
    }

    pub(super) async fn delete_of(&self, what: &str, owner: &str, which: Which, expected: u64) -> Result<(), Failure> {
        let what = format!("delete_of {what}");
        let came = self.answer(&what, self.store.delete_of(owner, &which).await)?;
        self.same(&what, &expected, &came)
    }

    /// Whether one of this owner's sessions has this id; for names that others may use.
    async fn is_listed(&self, what: &str, owner: &str, id: SessionId, expected: bool) -> Result<(), Failure> {
        let came = self.answer(what, self.store.sessions_of(owner, self.now).await)?;
        self.same(what, &expected, &came.iter().any(|session| session.id == id))
    }

    pub(super) async fn missing(&self, what: &str, ticket: &HashedTicket) -> Result<(), Failure> {
        let what = format!("load after {what}");
        self.load(&what, ticket, self.now, &crate::store::Loaded::Missing).await
    }
}

pub(super) async fn listed<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (owner, other) = (name(), name());
    trial.lists("nothing", &owner, &[]).await?;
    let (one, mut first) = trial.record();
    (first.created, first.sent, first.seen) = (trial.now - 9 * SECOND, trial.now - 8 * SECOND, trial.now - 7 * SECOND);
    (first.authenticated, first.label) = (Some(trial.now - 6 * SECOND), Some("ph'one é".into()));
    first.owner = Some(owner.clone());
    trial.create("a session with an owner", &one, &first).await?;
    trial.lists("create", &owner, &[(one, &first)]).await?;
    let (two, second) = trial.owned(&owner).await?;
    let (three, mut third) = trial.stored(&[("a", "1")]).await?;
    trial
        .lists("create of a second one", &owner, &[(one, &first), (two, &second)])
        .await?;

    let mut changes = trial.changes(&[("a", "2")], &[]);
    changes.owner = text(Some(&owner));
    trial.change("an owner", &three, &mut third, &changes).await?;
    let all = [(one, &first), (two, &second), (three, &third)];
    trial.lists("a change that set the owner", &owner, &all).await?;

    let mut changes = Changes::new(trial.now + 5, trial.now + 2 * DAY);
    changes.label = text(Some("tablet"));
    changes.authenticated = Field::Set(trial.now + 4);
    trial.change("a label", &three, &mut third, &changes).await?;
    let newest = renewed(&three);
    let changes = renewal(trial.changes(&[], &["a"]), &newest);
    trial.change("a renewal", &three, &mut third, &changes).await?;
    let all = [(one, &first), (two, &second), (newest, &third)];
    trial.lists("changes and a renewal", &owner, &all).await?;

    let mut changes = trial.changes(&[], &[]);
    changes.owner = text(Some(&other));
    trial.change("another owner", &newest, &mut third, &changes).await?;
    trial
        .lists("a change of the owner", &owner, &[(one, &first), (two, &second)])
        .await?;
    trial
        .lists("a change of the owner", &other, &[(newest, &third)])
        .await?;
    changes.owner = Field::Unset;
    trial.change("no owner", &newest, &mut third, &changes).await?;
    trial.lists("a change that unset the owner", &other, &[]).await?;

    // What was refused changes no owner.
    let mut changes = trial.changes(&[], &[]);
    changes.owner = text(Some(&other));
    trial
        .apply("an owner with another secret", &renewed(&one), &changes, Applied::Gone)
        .await?;
    changes.expected = vec![("none".into(), Some("1".into()))];
    trial
        .apply("an owner with another value", &one, &changes, Applied::Conflict)
        .await?;
    trial.lists("changes that were refused", &other, &[]).await?;
    trial
        .lists("changes that were refused", &owner, &[(one, &first), (two, &second)])
        .await
}

pub(super) async fn odd_names<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let base = name();
    let mut names: Vec<String> = [
        "a",
        "A",
        "a ",
        " a",
        "é",
        "e\u{301}",
        "\u{1F600}",
        "'",
        "\"",
        "\\",
        "%",
        "_",
        "*",
        "?",
        "[a]",
        ":",
        "{a}",
        "\n",
        "",
    ]
    .map(|odd| format!("{base}{odd}"))
    .into();
    names.push(format!("{base}{}", "x".repeat(300 - base.len())));
    names.push(format!("{base}{}y", "x".repeat(299 - base.len())));
    let mut sessions = Vec::new();
    for name in &names {
        sessions.push(trial.owned(name).await?);
    }
    for (name, (ticket, record)) in names.iter().zip(&sessions) {
        trial
            .lists(&format!("create with the owner {name:?}"), name, &[(*ticket, record)])
            .await?;
    }
    for (at, (name, (ticket, _))) in names.iter().zip(&sessions).enumerate() {
        trial
            .delete_of(&format!("the owner {name:?}"), name, Which::All, 1)
            .await?;
        trial.missing(&format!("delete_of the owner {name:?}"), ticket).await?;
        if let Some((next, record)) = sessions.get(at + 1) {
            trial
                .holds(&format!("delete_of the other owner {name:?}"), next, record)
                .await?;
        }
    }
    // Others may have sessions of these owners, so they are not ended all.
    for owner in ["", "a", "A", "%", "'", "*"] {
        let (ticket, _) = trial.owned(owner).await?;
        let what = format!("sessions_of the owner {owner:?}");
        trial.is_listed(&what, owner, ticket.id, true).await?;
        trial
            .is_listed("sessions_of another owner", &base, ticket.id, false)
            .await?;
        trial
            .delete_of(
                &format!("the owner {owner:?}, Only one"),
                owner,
                Which::Only(ticket.id),
                1,
            )
            .await?;
        trial.is_listed(&what, owner, ticket.id, false).await?;
    }
    Ok(())
}

pub(super) async fn at_once<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let owner = name();
    let what = "30 creates and changes with one owner at the same time";
    let mut sessions = Vec::new();
    for at in 0..30 {
        let (ticket, mut record) = trial.record();
        if at % 2 == 0 {
            trial.create("a session without an owner", &ticket, &record).await?;
        }
        record.owner = Some(owner.clone());
        sessions.push((ticket, record));
    }
    let mut changes = trial.changes(&[], &[]);
    changes.owner = text(Some(&owner));
    let (store, now, changes) = (trial.store, trial.now, &changes);
    let racers = sessions
        .iter()
        .enumerate()
        .map(|(at, (ticket, record))| -> Racer<'_, Result<(), Error>> {
            Box::pin(async move {
                if at % 2 == 0 {
                    store.apply(ticket, changes, now).await?;
                } else {
                    store.create(&ticket.id, record, now).await?;
                }
                Ok(())
            })
        });
    for answer in race(racers.collect()).await {
        trial.answer(what, answer)?;
    }
    let all: Vec<(HashedTicket, &Record)> = sessions.iter().map(|(ticket, record)| (*ticket, record)).collect();
    trial.lists(what, &owner, &all).await?;
    trial.delete_of("All of 30 sessions", &owner, Which::All, 30).await
}
