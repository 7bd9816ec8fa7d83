//! How a session gets its owner, in the order that the owner's key keeps.
//!
//! The owner's key and the record lie elsewhere, in a cluster on different servers, so a login is
//! more than one step. The record is written first, together with the login that it is part of. The
//! login then claims its place in the owner's order, unless the owner's sessions were ended since
//! it began; it ends the sessions that are too many, and then it is taken out of the record. If
//! nobody comes so far, the first request with the session's ticket does the rest, and before that
//! the session is nobody's.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    str::FromStr,
};

use ::redis::{Cmd, Value, from_redis_value};
use tokio::runtime::Handle;

use super::{
    RedisStore,
    connection::first,
    fields::{self, Standing},
    owners::{self, Entry, PAGE},
    refusal::failed,
    script::{CLAIM, SETTLE, number, text},
    strange,
};
use crate::{
    error::Error,
    session::SessionId,
    store::{HashedTicket, Login, OwnerId},
};

const TASK: &str = "log a session in";

/// In seconds: a login that has not come to its end for so long will not do so.
const LOST: u64 = 60;

/// A login that is not settled, as its record keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    /// The answer of [`RedisStore::marks`] when it began.
    marks: Option<Marks>,
    most: Option<u32>,
    /// Tells it from the session's other logins.
    number: u64,
}

/// The marks of an owner and of everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    owner: u32,
    all: u32,
}

impl Marks {
    pub(super) fn number(self) -> u64 {
        u64::from(self.owner) << 32 | u64::from(self.all)
    }

    fn of(number: u64) -> Self {
        let [owner, all] = [number >> 32, number & u64::from(u32::MAX)].map(|half| half as u32);
        Self { owner, all }
    }
}

impl Intent {
    /// A login without marks comes never too late.
    pub(super) fn new(login: Option<&Login>) -> Self {
        Self {
            marks: login.map(|login| Marks::of(login.mark)),
            most: login.and_then(|login| login.most),
            // With keys from the system's random source.
            number: RandomState::new().hash_one(0),
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { marks, most, number } = self;
        let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let (marks, most) = (or_dash(marks.map(Marks::number)), or_dash(most.map(u64::from)));
        write!(f, "{marks} {most} {number}")
    }
}

impl FromStr for Intent {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(' ');
        let mut part = || match parts.next() {
            Some("-") => Ok(None),
            Some(number) => number.parse::<u64>().map(Some).map_err(drop),
            None => Err(()),
        };
        Ok(Self {
            marks: part()?.map(Marks::of),
            most: part()?.map(u32::try_from).transpose().map_err(drop)?,
            number: part()?.ok_or(())?,
        })
    }
}

/// The outcome of a login whose record is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// The session is its owner's.
    Stands,
    /// It was its owner's, and another request has ended it.
    Over,
    /// All of the owner's or everybody's sessions were ended since the login began, and this one
    /// with them.
    TooLate,
}

impl RedisStore {
    /// Returns the marks that change with each end of all of an owner's or everybody's sessions,
    /// and when the last one was.
    pub(super) async fn marks(&self, owner: &OwnerId) -> Result<(Marks, u64), Error> {
        let mut both = [::redis::cmd("HMGET"), ::redis::cmd("HMGET")];
        both[0].arg(self.owner_key(owner)).arg(&["mark", "ended"]);
        both[1].arg(self.ends_key()).arg(&["mark", "before"]);
        let answers = self.link.send_each(both.into()).await;
        let mut answers = answers.map_err(failed(TASK))?.into_iter();
        let mut next = || -> Result<(u32, u64), Error> {
            let answer = first(&mut answers).map_err(failed(TASK))?;
            let both: (Option<u32>, Option<u64>) = from_redis_value(answer).map_err(|_| strange())?;
            Ok((both.0.unwrap_or(0), both.1.unwrap_or(0)))
        };
        let ((owner, ended), (all, before)) = (next()?, next()?);
        Ok((Marks { owner, all }, ended.max(before)))
    }

    fn ask_mark_of_all(&self) -> Cmd {
        let mut cmd = ::redis::cmd("HGET");
        cmd.arg(self.ends_key()).arg("mark");
        cmd
    }

    /// Does what is left of a login once its record is written.
    pub(super) async fn settle(
        &self,
        owner: &OwnerId,
        id: &SessionId,
        intent: &Intent,
        until: u64,
        now: u64,
    ) -> Result<Settled, Error> {
        let args = [
            intent
                .marks
                .map_or_else(Default::default, |marks| number(marks.owner.into())),
            text(id.to_string()),
            number(intent.number),
            number(until),
        ];
        let (place, seconds): (u64, u64) = match self.owner_step(&CLAIM, owner, &args, TASK).await? {
            Value::Int(0) => return self.withdraw(owner, id, intent).await,
            answer => from_redis_value(answer).map_err(|_| strange())?,
        };
        let mut asked = vec![self.ask_mark_of_all()];
        if intent.most.is_some() {
            asked.push(self.ask(id, &fields::STANDING));
            asked.push(self.ask_entries(owner));
        }
        let answers = self.link.send_each(asked).await.map_err(failed(TASK))?;
        let mut answers = answers.into_iter();
        let mut next = || first(&mut answers).map_err(failed(TASK));
        let mark: Option<u32> = from_redis_value(next()?).map_err(|_| strange())?;
        // An end of everybody's sessions that comes later finds the record.
        if intent.marks.is_some_and(|marks| marks.all != mark.unwrap_or(0)) {
            return self.withdraw(owner, id, intent).await;
        }
        if let Some(most) = intent.most {
            if fields::standing(next()?, owner)?.is_none() {
                // It ended meanwhile, and whoever ended it counted without it.
                self.forget(owner, &[(*id, Some(place))]).await;
                return Ok(Settled::Over);
            }
            let mut before = owners::entries(next()?)?;
            before.retain(|other| other.number < place && other.id != *id);
            self.end_surplus(owner, &before, most, seconds, now).await?;
        }
        if !self.finish(id, intent).await? {
            self.forget(owner, &[(*id, Some(place))]).await;
            return Ok(Settled::Over);
        }
        self.known.set(id, Some(*owner));
        Ok(Settled::Stands)
    }

    /// Takes a login out of its record. Returns whether the session is still there.
    async fn finish(&self, id: &SessionId, intent: &Intent) -> Result<bool, Error> {
        let key = [self.key(id)];
        let answer = self.step(&SETTLE, &key, &[text(intent.to_string())], TASK).await?;
        Ok(answer != Value::Int(0))
    }

    /// Ends the session of a login that comes too late, unless another request was in time and
    /// settled it.
    async fn withdraw(&self, owner: &OwnerId, id: &SessionId, intent: &Intent) -> Result<Settled, Error> {
        if !self.end_not_settled(id, intent, TASK).await? && self.finish(id, intent).await? {
            return Ok(Settled::Stands);
        }
        self.forget(owner, &[(*id, None)]).await;
        Ok(Settled::TooLate)
    }

    /// Ends those of the owner's sessions that logged in before this one and are too many with it.
    /// Of two logins at once the later one sees the earlier one, and nobody ends a later one: so
    /// the last one stays.
    async fn end_surplus(
        &self,
        owner: &OwnerId,
        before: &[Entry],
        most: u32,
        seconds: u64,
        now: u64,
    ) -> Result<(), Error> {
        let (mut live, mut expired, mut surplus) = (Vec::new(), Vec::new(), Vec::new());
        for page in before.chunks(PAGE) {
            let ids: Vec<SessionId> = page.iter().map(|entry| entry.id).collect();
            for (entry, standing) in page.iter().zip(self.standings(owner, &ids).await?) {
                match standing {
                    Some(standing) if !standing.settled && entry.at + LOST < seconds => surplus.push(*entry),
                    Some(standing) if now <= standing.expires => live.push(*entry),
                    // By our clock, which may be wrong. It comes after those that are live, but
                    // counts.
                    Some(_) => expired.push(*entry),
                    None => surplus.push(*entry),
                }
            }
        }
        live.extend(expired);
        surplus.extend(live.into_iter().skip(most.saturating_sub(1) as usize));
        for page in surplus.chunks(PAGE) {
            self.end_page(owner, page).await.done()?;
        }
        Ok(())
    }

    /// How sessions stand that may be this owner's.
    async fn standings(&self, owner: &OwnerId, ids: &[SessionId]) -> Result<Vec<Option<Standing>>, Error> {
        let answers = self.of_records(ids, &fields::STANDING, TASK).await?;
        answers
            .into_iter()
            .map(|answer| fields::standing(answer, owner))
            .collect()
    }
}

/// A session that begins with a login whose end nobody has seen yet. If nobody ever will, because
/// it failed or was given up, it must not stay: nobody has its ticket.
pub(super) struct Unanswered<'a> {
    pub(super) store: &'a RedisStore,
    pub(super) ticket: HashedTicket,
    pub(super) owner: OwnerId,
}

impl Unanswered<'_> {
    pub(super) fn answered(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (store, ticket, owner) = (self.store.clone(), self.ticket, self.owner);
        // If that fails as well the session is never listed, and the owner's next login ends it if
        // there is a limit.
        drop(runtime.spawn(async move {
            if store.end_by_ticket(&ticket, None).await.is_ok() {
                store.forget(&owner, &[(ticket.id, None)]).await;
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_back_as_it_was_written() {
        let mark = Marks {
            owner: u32::MAX,
            all: 7,
        };
        let most = Login::new(mark.number()).most(3);
        for login in [None, Some(Login::new(0)), Some(most)] {
            let intent = Intent::new(login.as_ref());
            assert_eq!(intent.to_string().parse(), Ok(intent.clone()));
            assert_eq!(intent.marks.map(Marks::number), login.map(|login| login.mark));
        }
        for text in ["", "1", "- -", "- - -", "1 2 x"] {
            assert_eq!(text.parse::<Intent>(), Err(()), "{text}");
        }
    }
}
