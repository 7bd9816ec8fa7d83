//! Whose sessions there are, and how they end.

use super::{
    failure::Failure,
    trial::{DAY, Racer, SECOND, Trial, owner, race, renewal, renewed, text},
};
use crate::{
    error::Error,
    store::{Applied, Changes, Field, HashedTicket, Owner, OwnerId, Record, Store, StoredSession, Which},
};

impl<S: Store> Trial<'_, S> {
    /// A stored session of an owner.
    pub(super) async fn owned(&self, owner: &Owner) -> Result<(HashedTicket, Record), Failure> {
        let (ticket, mut record) = self.record();
        record.owner = Some(owner.clone());
        self.create("a session with an owner", &ticket, &record).await?;
        Ok((ticket, record))
    }

    /// The list of an owner's sessions must be this, in any order.
    pub(super) async fn lists(
        &self,
        what: &str,
        owner: &Owner,
        expected: &[(HashedTicket, &Record)],
    ) -> Result<(), Failure> {
        let what = format!("sessions_of after {what}");
        let mut came = self.answer(&what, self.store.sessions_of(&owner.id, self.now).await)?;
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

    pub(super) async fn delete_of(
        &self,
        what: &str,
        owner: &Owner,
        which: Which,
        expected: u64,
    ) -> Result<(), Failure> {
        let what = format!("delete_of {what}");
        let came = self.answer(&what, self.store.delete_of(&owner.id, &which, self.now).await)?;
        self.same(&what, &expected, &came)
    }

    /// Changes that give a session an owner, as a login does.
    pub(super) async fn owning(&self, owner: &Owner) -> Result<Changes, Failure> {
        let mut changes = self.changes(&[], &[]);
        changes.owner = Field::Set(owner.clone());
        changes.login = Some(self.login(&owner.id).await?);
        Ok(changes)
    }

    pub(super) async fn missing(&self, what: &str, ticket: &HashedTicket) -> Result<(), Failure> {
        let what = format!("load after {what}");
        self.load(&what, ticket, self.now, &crate::store::Loaded::Missing).await
    }
}

pub(super) async fn listed<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (owner, other) = (owner(), owner());
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

    let mut changes = trial.owning(&owner).await?;
    changes.set = vec![("a".into(), "2".into())];
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

    let mut changes = trial.owning(&other).await?;
    trial.change("another owner", &newest, &mut third, &changes).await?;
    trial
        .lists("a change of the owner", &owner, &[(one, &first), (two, &second)])
        .await?;
    trial
        .lists("a change of the owner", &other, &[(newest, &third)])
        .await?;
    (changes.owner, changes.login) = (Field::Unset, None);
    trial.change("no owner", &newest, &mut third, &changes).await?;
    trial.lists("a change that unset the owner", &other, &[]).await?;

    // What was refused changes no owner.
    let mut changes = trial.owning(&other).await?;
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

/// Owners whose ids are nearly alike, or hold bytes that a protocol could take for something else.
pub(super) async fn odd_ids<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let base = *owner().id.as_bytes();
    let with = |at: usize, bytes: &[u8]| {
        let mut id = base;
        id[at..at + bytes.len()].copy_from_slice(bytes);
        Owner::new(OwnerId::from_bytes(id), "name")
    };
    let owners = [
        with(0, b""),
        with(31, &[base[31] ^ 1]),
        with(0, &[base[0] ^ 128]),
        with(16, b"\0\0"),
        with(16, b"  "),
        with(30, b"  "),
        with(8, b"{a}'\"\\%*?\r\n"),
        with(8, b"AAAA"),
        with(8, b"aaaa"),
        with(8, &[0xff, 0xfe, 0xc3, 0x28]),
    ];
    let mut sessions = Vec::new();
    for owner in &owners {
        sessions.push(trial.owned(owner).await?);
    }
    for (owner, (ticket, record)) in owners.iter().zip(&sessions) {
        let what = format!("create with the owner {}", owner.id);
        trial.lists(&what, owner, &[(*ticket, record)]).await?;
    }
    for (at, (owner, (ticket, _))) in owners.iter().zip(&sessions).enumerate() {
        let what = format!("the owner {}", owner.id);
        trial.delete_of(&what, owner, Which::All, 1).await?;
        trial.missing(&format!("delete_of {what}"), ticket).await?;
        if let Some((next, record)) = sessions.get(at + 1) {
            trial
                .holds(&format!("delete_of another than {what}"), next, record)
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn at_once<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let owner = owner();
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
    let changes = trial.owning(&owner).await?;
    let (store, now, changes) = (trial.store, trial.now, &changes);
    let racers = sessions
        .iter()
        .enumerate()
        .map(|(at, (ticket, record))| -> Racer<'_, Result<(), Error>> {
            Box::pin(async move {
                if at % 2 == 0 {
                    store.apply(ticket, changes, now).await?;
                } else {
                    store.create(&ticket.id, record, changes.login.as_ref(), now).await?;
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
