//! Requests at the same time do not undo each other.

use super::{
    failure::Failure,
    trial::{DAY, Racer, Trial, race, renewal, renewed, ticket},
};
use crate::{
    error::Error,
    store::{Applied, Changes, Created, HashedTicket, Loaded, Record, Store},
};

/// How often two requests meet: what goes wrong only sometimes shall go wrong here.
const ROUNDS: usize = 12;

/// How many requests write at once.
const WRITERS: usize = 50;

/// How often one of them tries before nobody seems to get anywhere.
const TRIES: usize = 2_000;

impl<S: Store> Trial<'_, S> {
    fn applying<'b>(&'b self, ticket: &'b HashedTicket, changes: &'b Changes) -> Racer<'b, Result<Applied, Error>> {
        Box::pin(self.store.apply(ticket, changes, self.now))
    }

    /// All of these changes at the same time.
    async fn apply_all(&self, what: &str, all: &[(HashedTicket, Changes)]) -> Result<Vec<Applied>, Failure> {
        let racers = all
            .iter()
            .map(|(ticket, changes)| self.applying(ticket, changes))
            .collect();
        let answers = race(racers).await.into_iter();
        answers.map(|answer| self.answer(what, answer)).collect()
    }

    /// Exactly one of these may be so.
    fn one<T: PartialEq>(&self, what: &str, wanted: &T, answers: &[T]) -> Result<(), Failure> {
        let count = answers.iter().filter(|answer| *answer == wanted).count();
        if count == 1 {
            return Ok(());
        }
        let came = format!("{count} of {}", answers.len());
        Err(Failure::new(self.step, what, "exactly one that succeeds", came))
    }
}

pub(super) async fn different_keys<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, mut record) = trial.stored(&[("a", "1")]).await?;
    let all: Vec<(HashedTicket, Changes)> = (0..WRITERS)
        .map(|at| (ticket, trial.changes(&[(&format!("key {at}"), "[1]")], &[])))
        .collect();
    let what = "50 changes of different keys at the same time";
    for (answer, (_, changes)) in trial.apply_all(what, &all).await?.iter().zip(&all) {
        trial.same(what, &record.apply(&ticket, changes, trial.now), answer)?;
    }
    trial.holds(what, &ticket, &record).await
}

pub(super) async fn cleared_while_set<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let (ticket, mut record) = trial.stored(&[("a", "1"), ("b", "1")]).await?;
        let cleared = Changes {
            cleared: true,
            ..trial.changes(&[], &[])
        };
        let set = trial.changes(&[("c", "2")], &[]);
        let what = "a session that is emptied while a key is set";
        let answers = trial
            .apply_all(what, &[(ticket, cleared.clone()), (ticket, set)])
            .await?;
        trial.same(what, &vec![Applied::Updated; 2], &answers)?;
        let came = trial.fetch(what, &ticket).await?;
        let _ = record.apply(&ticket, &cleared, trial.now);
        // The key is there if it was set last.
        if !came.values.is_empty() {
            record.values.set("c", "2");
        }
        trial.holds(what, &ticket, &record).await?;
        trial.delete(what, &ticket, true).await?;
    }
    Ok(())
}

pub(super) async fn counting<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let (ticket, _) = trial.stored(&[("n", "0")]).await?;
    let what = "compare-and-set by 50 requests at the same time";
    let racers: Vec<Racer<'_, Result<(), Failure>>> = (0..WRITERS)
        .map(|_| -> Racer<'_, _> { Box::pin(count(trial, what, &ticket)) })
        .collect();
    for answer in race(racers).await {
        answer?;
    }
    let came = trial.fetch(what, &ticket).await?;
    trial.same(what, &Some(WRITERS.to_string().as_str()), &came.values.get("n"))
}

/// One more, however often others are first.
async fn count<S: Store>(trial: &Trial<'_, S>, what: &str, ticket: &HashedTicket) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let text = trial
            .fetch(what, ticket)
            .await?
            .values
            .get("n")
            .unwrap_or_default()
            .to_owned();
        let Ok(number) = text.parse::<u64>() else {
            return trial.failure(what, "a number", text);
        };
        let mut changes = trial.changes(&[("n", &(number + 1).to_string())], &[]);
        changes.expected = vec![("n".into(), Some(text))];
        match trial.answer(what, trial.store.apply(ticket, &changes, trial.now).await)? {
            Applied::Updated => return Ok(()),
            Applied::Conflict => {}
            Applied::Gone => return trial.failure(what, Applied::Conflict, Applied::Gone),
        }
    }
    trial.failure(what, "one that succeeds", "nothing but conflicts")
}

pub(super) async fn creating<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let first = ticket();
        let all: Vec<(HashedTicket, Record)> = (0..6)
            .map(|at: u64| {
                let ticket = renewed(&first);
                let mut record = Record::new(ticket.secret, trial.now + at, trial.now + DAY + at);
                record.values.set(format!("key {at}"), "1");
                (ticket, record)
            })
            .collect();
        let racers = all
            .iter()
            .map(|(ticket, record)| -> Racer<'_, _> {
                Box::pin(trial.store.create(&ticket.id, record, None, trial.now))
            })
            .collect();
        let what = "six creates of one id at the same time";
        let mut answers = Vec::new();
        for answer in race(racers).await {
            answers.push(trial.answer(what, answer)?);
        }
        trial.one(what, &Created::Created, &answers)?;
        for ((ticket, record), answer) in all.iter().zip(answers) {
            match answer {
                Created::Created => trial.holds(what, ticket, record).await?,
                Created::Collision => trial.load(what, ticket, trial.now, &Loaded::Missing).await?,
                Created::Ended => return trial.failure(what, Created::Collision, answer),
            }
        }
    }
    Ok(())
}

pub(super) async fn renewing<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let (old, record) = trial.stored(&[("a", "1")]).await?;
        let new = [renewed(&old), renewed(&old), renewed(&old)];
        let all = new.map(|new| (old, renewal(trial.changes(&[], &[]), &new)));
        let what = "three renewals of one session at the same time";
        let answers = trial.apply_all(what, &all).await?;
        trial.one(what, &Applied::Updated, &answers)?;
        for (new, answer) in new.iter().zip(answers) {
            let mut record = record.clone();
            record.secret = new.secret;
            match answer {
                Applied::Updated => trial.holds(what, new, &record).await?,
                Applied::Gone => trial.load(what, new, trial.now, &Loaded::Missing).await?,
                Applied::Conflict => return trial.failure(what, Applied::Gone, answer),
            }
        }
        trial.load(what, &old, trial.now, &Loaded::Renewed).await?;
    }
    Ok(())
}

pub(super) async fn renewed_while_set<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        let (old, mut record) = trial.stored(&[("a", "1")]).await?;
        let new = renewed(&old);
        let mut all = [
            (old, renewal(trial.changes(&[("r", "2")], &[]), &new)),
            (old, trial.changes(&[("s", "3")], &[])),
        ];
        let renewal_at = round % 2;
        all.rotate_right(renewal_at);
        let what = "a session that is renewed while a key is set";
        let answers = trial.apply_all(what, &all).await?;
        trial.same(what, &Applied::Updated, &answers[renewal_at])?;
        record.secret = new.secret;
        record.values.set("r", "2");
        match answers[1 - renewal_at] {
            Applied::Updated => record.values.set("s", "3"),
            Applied::Gone => {}
            Applied::Conflict => return trial.failure(what, Applied::Gone, Applied::Conflict),
        }
        trial.holds(what, &new, &record).await?;
    }
    Ok(())
}

pub(super) async fn deleting<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let (ticket, _) = trial.stored(&[("a", "1")]).await?;
        let racers = (0..5)
            .map(|_| -> Racer<'_, _> { Box::pin(trial.store.delete(&ticket, trial.now)) })
            .collect();
        let what = "five deletes of one session at the same time";
        let mut answers = Vec::new();
        for answer in race(racers).await {
            answers.push(trial.answer(what, answer)?);
        }
        trial.one(what, &true, &answers)?;
        trial.load(what, &ticket, trial.now, &Loaded::Missing).await?;
    }
    Ok(())
}

pub(super) async fn deleted_while_set<S: Store>(trial: &Trial<'_, S>) -> Result<(), Failure> {
    let what = "a session that is deleted while a key is set";
    for round in 0..ROUNDS {
        let (ticket, _) = trial.stored(&[("a", "1")]).await?;
        let changes = trial.changes(&[("b", "2")], &[]);
        // Both answers as whether the session was there.
        let mut racers: Vec<Racer<'_, Result<bool, Error>>> = vec![
            Box::pin(trial.store.delete(&ticket, trial.now)),
            Box::pin(async { Ok(trial.store.apply(&ticket, &changes, trial.now).await? == Applied::Updated) }),
        ];
        if round % 2 == 1 {
            racers.reverse();
        }
        let answers = race(racers).await;
        for (at, answer) in answers.into_iter().enumerate() {
            let there = trial.answer(what, answer)?;
            if at == round % 2 {
                trial.same(what, &true, &there)?;
            }
        }
        trial.load(what, &ticket, trial.now, &Loaded::Missing).await?;
    }
    Ok(())
}
