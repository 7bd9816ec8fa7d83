//! What every step needs: tickets that nobody else has, and questions whose answer is compared.

use std::{
    fmt::Debug,
    future::Future,
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    task::Poll,
    time::SystemTime,
};

use super::failure::{Failure, difference};
use crate::{
    error::Error,
    session::{SessionId, millis},
    store::{Applied, Changes, Created, Field, HashedTicket, Loaded, Login, Owner, OwnerId, Record, SecretHash, Store},
};

pub(super) const SECOND: u64 = 1_000;
pub(super) const DAY: u64 = 86_400 * SECOND;

/// The latest time there is, which stands for "never".
pub(super) const NEVER: u64 = (1 << 48) - 1;

/// One step on one store.
pub(super) struct Trial<'a, S> {
    pub(super) store: &'a S,
    pub(super) step: &'static str,
    /// The real time when the step began: an engine may expire by a clock of its own.
    pub(super) now: u64,
}

impl<'a, S: Store> Trial<'a, S> {
    pub(super) fn new(store: &'a S, step: &'static str) -> Self {
        Self {
            store,
            step,
            now: millis(SystemTime::now()),
        }
    }

    /// A record that lives for a day, under a ticket of its own.
    pub(super) fn record(&self) -> (HashedTicket, Record) {
        let ticket = ticket();
        (ticket, Record::new(ticket.secret, self.now, self.now + DAY))
    }

    /// [`record`](Self::record) with these values, which is in the store.
    pub(super) async fn stored(&self, values: &[(&str, &str)]) -> Result<(HashedTicket, Record), Failure> {
        let (ticket, mut record) = self.record();
        record.values = values.iter().copied().collect();
        self.create("a new session", &ticket, &record).await?;
        Ok((ticket, record))
    }

    /// Changes that set and remove these keys, and nothing else.
    pub(super) fn changes(&self, set: &[(&str, &str)], removed: &[&str]) -> Changes {
        Changes {
            set: set.iter().map(|&(key, json)| (key.into(), json.into())).collect(),
            removed: removed.iter().map(|&key| key.into()).collect(),
            ..Changes::new(self.now, self.now + DAY)
        }
    }

    /// Fails with what was expected and what came.
    pub(super) fn failure<T>(&self, what: &str, expected: impl Debug, came: impl Debug) -> Result<T, Failure> {
        Err(Failure::new(
            self.step,
            what,
            format_args!("{expected:?}"),
            format_args!("{came:?}"),
        ))
    }

    /// Two answers must be the same.
    pub(super) fn same<T: PartialEq + Debug>(&self, what: &str, expected: &T, came: &T) -> Result<(), Failure> {
        if expected == came {
            Ok(())
        } else {
            self.failure(what, expected, came)
        }
    }

    /// The answer, or that the store failed.
    pub(super) fn answer<T>(&self, what: &str, answer: Result<T, Error>) -> Result<T, Failure> {
        answer.map_err(|error| Failure::error(self.step, what, error))
    }

    /// Begins a login of this owner.
    pub(super) async fn login(&self, owner: &OwnerId) -> Result<Login, Failure> {
        let mark = self.answer("begin_login", self.store.begin_login(owner, self.now).await)?;
        Ok(Login::new(mark.number))
    }

    pub(super) async fn load(
        &self,
        what: &str,
        ticket: &HashedTicket,
        now: u64,
        expected: &Loaded,
    ) -> Result<(), Failure> {
        let came = self.answer(what, self.store.load(ticket, now).await)?;
        match difference(expected, &came) {
            None => Ok(()),
            Some((expected, came)) => Err(Failure::new(self.step, what, expected, came)),
        }
    }

    /// `load` must find this.
    pub(super) async fn holds(&self, what: &str, ticket: &HashedTicket, record: &Record) -> Result<(), Failure> {
        let what = format!("load after {what}");
        self.load(&what, ticket, self.now, &Loaded::Live(Box::new(record.clone())))
            .await
    }

    /// What is stored, which must be live.
    pub(super) async fn fetch(&self, what: &str, ticket: &HashedTicket) -> Result<Record, Failure> {
        match self.answer(what, self.store.load(ticket, self.now).await)? {
            Loaded::Live(record) => Ok(*record),
            other => self.failure(what, "Live", other),
        }
    }

    pub(super) async fn create(&self, what: &str, ticket: &HashedTicket, record: &Record) -> Result<(), Failure> {
        let what = format!("create of {what}");
        let came = self.answer(&what, create(self.store, ticket, record, self.now).await)?;
        self.same(&what, &Created::Created, &came)
    }

    pub(super) async fn apply(
        &self,
        what: &str,
        ticket: &HashedTicket,
        changes: &Changes,
        expected: Applied,
    ) -> Result<(), Failure> {
        let what = format!("apply of {what}");
        let came = self.answer(&what, self.store.apply(ticket, changes, self.now).await)?;
        self.same(&what, &expected, &came)
    }

    /// Applies changes to a live record and to the model of it, which must then be the same.
    pub(super) async fn change(
        &self,
        what: &str,
        ticket: &HashedTicket,
        model: &mut Record,
        changes: &Changes,
    ) -> Result<(), Failure> {
        let expected = model.apply(ticket, changes, self.now);
        self.apply(what, ticket, changes, expected).await?;
        let ticket = HashedTicket {
            secret: model.secret,
            ..*ticket
        };
        self.holds(what, &ticket, model).await
    }

    pub(super) async fn delete(&self, what: &str, ticket: &HashedTicket, expected: bool) -> Result<(), Failure> {
        let what = format!("delete of {what}");
        let came = self.answer(&what, self.store.delete(ticket, self.now).await)?;
        self.same(&what, &expected, &came)
    }
}

/// Creates a record as the layer does, which asks for the mark of an owner first.
pub(super) async fn create<S: Store>(
    store: &S,
    ticket: &HashedTicket,
    record: &Record,
    now: u64,
) -> Result<Created, Error> {
    let login = match &record.owner {
        Some(owner) => Some(Login::new(store.begin_login(&owner.id, now).await?.number)),
        None => None,
    };
    store.create(&ticket.id, record, login.as_ref(), now).await
}

/// An owner that no other run has.
pub(super) fn owner() -> Owner {
    Owner::new(OwnerId::from_bytes(distinct()), "sealed-Name_0")
}

/// A ticket that nobody else has. It need not be secret.
pub(super) fn ticket() -> HashedTicket {
    HashedTicket {
        id: SessionId::from_bytes(distinct()),
        secret: SecretHash::from_bytes(distinct()),
    }
}

/// Another ticket for the same session.
pub(super) fn renewed(ticket: &HashedTicket) -> HashedTicket {
    HashedTicket {
        secret: SecretHash::from_bytes(distinct()),
        ..*ticket
    }
}

/// Changes that replace the secret by this ticket's.
pub(super) fn renewal(changes: Changes, new: &HashedTicket) -> Changes {
    Changes {
        secret: Some(new.secret),
        ..changes
    }
}

/// 32 bytes that come once.
fn distinct() -> [u8; 32] {
    let mut bytes = [0; 32];
    for (at, chunk) in bytes.chunks_mut(8).enumerate() {
        // Each state has keys of its own, which come from the system's random source.
        chunk.copy_from_slice(&RandomState::new().hash_one(at).to_be_bytes());
    }
    bytes
}

/// A text field that is set, or emptied.
pub(super) fn text(value: Option<&str>) -> Field<String> {
    value.map_or(Field::Unset, |value| Field::Set(value.to_owned()))
}

/// Some of the futures of a race.
pub(super) type Racer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs all at the same time, in one task, and returns the answers in their order. There is no runtime to spawn on.
pub(super) async fn race<T>(racers: Vec<Racer<'_, T>>) -> Vec<T> {
    let mut racers: Vec<(Option<Racer<'_, T>>, Option<T>)> = racers.into_iter().map(|one| (Some(one), None)).collect();
    std::future::poll_fn(|context| {
        let mut left = false;
        for (racer, answer) in &mut racers {
            if let Some(running) = racer {
                match running.as_mut().poll(context) {
                    Poll::Ready(done) => (*racer, *answer) = (None, Some(done)),
                    Poll::Pending => left = true,
                }
            }
        }
        if left { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    racers.into_iter().filter_map(|(_, answer)| answer).collect()
}
