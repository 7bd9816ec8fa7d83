//! Whose sessions are which. An owner's key lie elsewhere than their sessions, in a cluster on
//! another server, so they are a hint: what they lead to is looked at, and a session that they have
//! lost is brought back when it is next used.

use std::{borrow::Cow, error::Error as StdError, fmt};

use ::redis::{Cmd, Pipeline, Value, from_redis_value};

use super::{
    RedisStore,
    connection::{Link, TOGETHER, first, together},
    fields::{self, Line},
    login::Intent,
    refusal::{self, Refusal, Task, failed},
    script::{DELETE, END, FORGET, HOLD, Lua, number, text},
    strange,
};
use crate::{
    error::Error,
    session::SessionId,
    store::{HashedTicket, OwnerId, StoredSession, Which},
};

/// The end of a session without an end.
const LAST: u64 = (1 << 48) - 1;

/// In milliseconds: the least that an index holds a session longer than it lives.
const MARGIN: u64 = 24 * 60 * 60 * 1000;

/// So many sessions are looked at, or ended, at once; each page has the driver's whole time for an
/// answer.
pub(super) const PAGE: usize = 500;

/// After so many pages in a row of which nothing was done, nobody seems to be there.
const HOPELESS: u32 = 3;

const LIST: Task = "find an owner's sessions";
const KEEP: Task = "keep whose a session is";
const END_THEM: Task = "end an owner's sessions";

/// A session of an owner, as the owner's key has it.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: SessionId,
    /// Of its last login: the order.
    pub(super) number: u64,
    /// The second when that was, by the server's clock.
    pub(super) at: u64,
}

/// Until when the index holds a session that ends at `expires`: so long that one which is prolonged again and again writes it
/// once in its lifetime, not each time.
pub(super) fn index_until(expires: u64, now: u64) -> u64 {
    let longer = expires.saturating_sub(now).max(MARGIN);
    expires.saturating_add(longer).min(LAST)
}

/// The outcome for many sessions that were to end.
#[derive(Default)]
pub(super) struct Ended {
    ended: u64,
    failed: u64,
    /// The first error.
    source: Option<Error>,
}

impl Ended {
    fn count(&mut self, answer: Result<bool, Error>) {
        match answer {
            Ok(ended) => self.ended += u64::from(ended),
            Err(error) => {
                self.failed += 1;
                self.source.get_or_insert(error);
            }
        }
    }

    /// How many there were, or that it is not known of some.
    pub(super) fn done(self) -> Result<u64, Error> {
        match self.source {
            None => Ok(self.ended),
            Some(source) => Err(Error::store(NotAll {
                ended: self.ended,
                failed: self.failed,
                source,
            })),
        }
    }
}

impl RedisStore {
    /// The key of the list of an owner's sessions.
    pub(super) fn owner_key(&self, owner: &OwnerId) -> Vec<u8> {
        format!("{}owner:{owner}", self.prefix).into_bytes()
    }

    pub(super) async fn owner_step(
        &self,
        lua: &Lua,
        owner: &OwnerId,
        args: &[Cow<'_, [u8]>],
        task: Task,
    ) -> Result<Value, Error> {
        self.step(lua, &[self.owner_key(owner)], args, task).await
    }

    /// Has an owner's key lead to a session.
    pub(super) async fn hold(&self, owner: &OwnerId, id: &SessionId, until: u64) -> Result<(), Error> {
        let args = [text(id.to_string()), number(until)];
        self.owner_step(&HOLD, owner, &args, KEEP).await?;
        Ok(())
    }

    /// Asks whether an owner's key leads to a session.
    pub(super) fn is_held(&self, owner: &OwnerId, id: &SessionId) -> Cmd {
        let mut cmd = ::redis::cmd("HEXISTS");
        cmd.arg(self.owner_key(owner)).arg(id.to_string());
        cmd
    }

    /// Sees to it that the owner's key lead to a session that is there. If that fails, the next use
    /// of the session does it.
    pub(super) async fn look_after(&self, owner: &OwnerId, id: &SessionId, until: u64) {
        match self.link.command(self.is_held(owner, id)).await {
            Ok(Value::Int(0)) => drop(self.hold(owner, id, until).await),
            Ok(_) => self.known.set(id, Some(*owner)),
            Err(_) => {}
        }
    }

    /// Takes sessions that have ended out of an owner's key, if they have not logged in since. If
    /// that fails they are looked at once more, and that is all.
    pub(super) async fn forget(&self, owner: &OwnerId, ended: &[(SessionId, Option<u64>)]) {
        if ended.is_empty() {
            return;
        }
        let mut args = Vec::with_capacity(2 * ended.len());
        for (id, login) in ended {
            args.push(text(id.to_string()));
            args.push(login.map_or_else(Default::default, number));
        }
        let key = [self.owner_key(owner)];
        let _ = self.writes.step(&FORGET, &key, &args, None, KEEP).await;
    }

    /// Asks for all that an owner's key leads to; see [`entries`].
    pub(super) fn ask_entries(&self, owner: &OwnerId) -> Cmd {
        let mut cmd = ::redis::cmd("HGETALL");
        cmd.arg(self.owner_key(owner));
        cmd
    }

    async fn entries(&self, owner: &OwnerId, task: Task) -> Result<Vec<Entry>, Error> {
        let answer = self.link.command(self.ask_entries(owner)).await;
        entries(answer.map_err(failed(task))?)
    }

    /// Asks for some fields of a record.
    pub(super) fn ask(&self, id: &SessionId, fields: &[&str]) -> Cmd {
        let mut cmd = ::redis::cmd("HMGET");
        cmd.arg(self.key(id)).arg(fields);
        cmd
    }

    /// Some fields of some records.
    pub(super) async fn of_records(&self, ids: &[SessionId], fields: &[&str], task: Task) -> Result<Vec<Value>, Error> {
        let answers = self
            .link
            .send_each(ids.iter().map(|id| self.ask(id, fields)).collect())
            .await;
        let mut answers = answers.map_err(failed(task))?.into_iter();
        ids.iter().map(|_| first(&mut answers).map_err(failed(task))).collect()
    }

    pub(super) async fn list(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        let entries = self.entries(owner, LIST).await?;
        let mut sessions = Vec::with_capacity(entries.len());
        let mut gone = Vec::new();
        for page in entries.chunks(PAGE) {
            let ids: Vec<SessionId> = page.iter().map(|entry| entry.id).collect();
            let answers = self.of_records(&ids, &fields::SUMMARY, LIST).await?;
            for (entry, answer) in page.iter().zip(answers) {
                match fields::line(answer, entry.id, owner, now)? {
                    Line::Listed(session) => sessions.push(*session),
                    Line::Hidden => {}
                    Line::Gone => gone.push((entry.id, Some(entry.number))),
                }
            }
        }
        for page in gone.chunks(PAGE) {
            self.forget(owner, page).await;
        }
        Ok(sessions)
    }

    /// The last login comes first. What fails is left for the end, so that nothing is in the way of
    /// the others.
    pub(super) async fn end_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        if let Which::Only(id) = which {
            // The owner's key are not needed to find it, and the script looks whose it is.
            let ended = self.end_one(owner, id).await?;
            if ended {
                self.forget(owner, &[(*id, None)]).await;
            }
            return Ok(u64::from(ended));
        }
        let key = [self.owner_key(owner)];
        let top = self.writes.step(&END, &key, &[number(now)], None, END_THEM).await?;
        let top: u64 = from_redis_value(top).map_err(|_| strange())?;
        let mut entries = self.entries(owner, END_THEM).await?;
        // Logins that began later have higher numbers.
        entries.retain(|entry| entry.number <= top && which.includes(&entry.id));
        let (mut all, mut in_vain) = (Ended::default(), 0);
        for page in entries.chunks(PAGE) {
            if in_vain == HOPELESS {
                all.failed += page.len() as u64;
                continue;
            }
            let one = self.end_page(owner, page).await;
            in_vain = if one.failed == page.len() as u64 {
                in_vain + 1
            } else {
                0
            };
            all.ended += one.ended;
            all.failed += one.failed;
            all.source = all.source.or(one.source);
        }
        let replicated = self.writes.replicated(self.wait, END_THEM).await;
        all.source = all.source.or(replicated.err());
        all.done()
    }

    /// Ends some of an owner's sessions, without waiting for replicas, and takes them out of the
    /// owner's key.
    pub(super) async fn end_page(&self, owner: &OwnerId, page: &[Entry]) -> Ended {
        let ids: Vec<SessionId> = page.iter().map(|entry| entry.id).collect();
        let mut all = Ended::default();
        let mut gone = Vec::with_capacity(page.len());
        for (entry, answer) in page.iter().zip(self.end_each(owner, &ids).await) {
            if answer.is_ok() {
                gone.push((entry.id, Some(entry.number)));
            }
            all.count(answer);
        }
        self.forget(owner, &gone).await;
        all
    }

    async fn end_each(&self, owner: &OwnerId, ids: &[SessionId]) -> Vec<Result<bool, Error>> {
        let Link::Single(_) = self.link else {
            let mut all = Vec::with_capacity(ids.len());
            for ids in ids.chunks(TOGETHER) {
                all.extend(together(ids.iter().map(|id| self.end_without_wait(owner, id))).await);
            }
            return all;
        };
        let steps: Vec<_> = ids.iter().map(|id| self.steps.begin(id)).collect();
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for (id, step) in ids.iter().zip(&steps) {
            let args = delete_args(None, step.args(), Of::Owner(owner));
            pipeline.add_command(DELETE.by_hash(&[self.key(id)], &args));
        }
        let answers = match self.writes.send(&pipeline).await {
            Ok(answers) => answers,
            Err(error) => {
                let error = failed(END_THEM)(error);
                return ids.iter().map(|_| Err(error.clone())).collect();
            }
        };
        drop(steps);
        let mut all = Vec::with_capacity(ids.len());
        for (id, answer) in ids.iter().zip(answers) {
            all.push(match answer {
                answer if refusal::of_answer(&answer) == Some(Refusal::NoScript) => {
                    self.end_without_wait(owner, id).await
                }
                Value::ServerError(error) => Err(failed(END_THEM)(error.into())),
                answer => Ok(answer != Value::Int(0)),
            });
        }
        all
    }

    async fn end_without_wait(&self, owner: &OwnerId, id: &SessionId) -> Result<bool, Error> {
        let step = self.steps.begin(id);
        let args = delete_args(None, step.args(), Of::Owner(owner));
        let key = [self.key(id)];
        let answer = self.writes.step(&DELETE, &key, &args, None, END_THEM).await?;
        Ok(answer != Value::Int(0))
    }

    /// Ends a session if it is this owner's.
    pub(super) async fn end_one(&self, owner: &OwnerId, id: &SessionId) -> Result<bool, Error> {
        let step = self.steps.begin(id);
        let args = delete_args(None, step.args(), Of::Owner(owner));
        let key = [self.key(id)];
        Ok(self.step(&DELETE, &key, &args, END_THEM).await? != Value::Int(0))
    }

    /// Ends a session if this login of it is not settled.
    pub(super) async fn end_not_settled(&self, id: &SessionId, login: &Intent, task: Task) -> Result<bool, Error> {
        let step = self.steps.begin(id);
        let args = delete_args(None, step.args(), Of::Login(login));
        let key = [self.key(id)];
        Ok(self.step(&DELETE, &key, &args, task).await? != Value::Int(0))
    }

    /// Ends the session of a ticket if it is live; the answer is the script's.
    pub(super) async fn end_by_ticket(&self, ticket: &HashedTicket, now: Option<u64>) -> Result<Value, Error> {
        let step = self.steps.begin(&ticket.id);
        let args = delete_args(now, step.args(), Of::Ticket(ticket));
        let key = [self.key(&ticket.id)];
        self.step(&DELETE, &key, &args, "end a session").await
    }
}

/// The sessions that an owner's key leads to; the last login comes first.
pub(super) fn entries(answer: Value) -> Result<Vec<Entry>, Error> {
    let fields: Vec<(String, String)> = from_redis_value(answer).map_err(|_| strange())?;
    let entry = |(id, value): &(String, String)| {
        let mut parts = value.split(' ');
        Some(Entry {
            id: id.parse().ok()?,
            number: parts.next()?.parse().ok()?,
            at: parts.nth(2)?.parse().ok()?,
        })
    };
    let mut entries: Vec<Entry> = fields.iter().filter_map(entry).collect();
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.number));
    Ok(entries)
}

/// The field that the script `delete` looks at.
#[derive(Clone, Copy)]
enum Of<'a> {
    Owner(&'a OwnerId),
    Ticket(&'a HashedTicket),
    Login(&'a Intent),
}

fn delete_args<'a>(now: Option<u64>, step: [Cow<'a, [u8]>; 3], of: Of<'a>) -> Vec<Cow<'a, [u8]>> {
    let mut args = vec![now.map_or_else(Default::default, number)];
    args.extend(step);
    args.extend(match of {
        Of::Owner(owner) => [text("owner"), text(owner.to_string())],
        Of::Login(login) => [text("login"), text(login.to_string())],
        Of::Ticket(ticket) => [text("secret"), ticket.secret.as_bytes().as_slice().into()],
    });
    args
}

/// Of some sessions it is not known whether they have ended.
struct NotAll {
    ended: u64,
    failed: u64,
    source: Error,
}

impl fmt::Display for NotAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, failed, .. } = self;
        if *failed == 0 {
            return write!(
                f,
                "Redis ended {ended} sessions, and not all replicas know it: see to them, and end them once more"
            );
        }
        write!(
            f,
            "Redis ended {ended} sessions and failed at {failed}: end them once more when the cause of this error is gone"
        )
    }
}

/// As `Display`: a derived one would repeat the cause.
impl fmt::Debug for NotAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for NotAll {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // Not the error itself: its sentence stands before this one.
        self.source.source()
    }
}
