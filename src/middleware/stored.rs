//! A session's way from its ticket to the store, and back into a cookie.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;

use super::{
    built::Built,
    open::{Chosen, admit_record},
    runtime::within,
};
use crate::{
    codec::{Codec, Format, Incoming, Outgoing, Payload},
    cookie::Found,
    error::{Error, Reject},
    event::event,
    key::random,
    session::{BoxFuture, Data, LAST_MILLIS, Meta, Opened, Order, Outcome, SessionId, Spawner, Stored, Write},
    store::{
        Applied, Changes, Created, ErasedStore, Field, HashedTicket, Hasher, Loaded, Record, StoredSession, Ticket,
        Which,
    },
};

/// Different tickets in one request that the store is asked about.
const TICKETS: usize = 4;

/// New tickets that are tried before the random source is blamed.
const CREATIONS: usize = 4;

/// What a layer with a store has besides the others.
pub(super) struct BuiltStore {
    pub(super) store: Arc<dyn ErasedStore>,
    pub(super) hasher: Hasher,
    pub(super) timeout: Option<Duration>,
    pub(super) spawn: Option<Arc<dyn Fn(BoxFuture<()>) + Send + Sync>>,
    pub(super) max_sessions: Option<usize>,
}

/// The tickets of one request: those that came, or the one that is good.
#[derive(Default)]
pub(super) struct Tickets(Mutex<Came>);

#[derive(Clone, Default)]
struct Came {
    tickets: Vec<Ticket>,
    /// There were more than are looked at.
    more: bool,
    /// The request was searched, and had some.
    any: Option<bool>,
    /// A renewal to this one was begun, and its answer never came: it may be the good one.
    begun: Option<Ticket>,
}

impl Tickets {
    /// Takes the well-formed tickets among the layer's own cookies, and says whether there are any.
    pub(super) fn find(&self, built: &Built, found: &Found) -> bool {
        let mut came = Came {
            more: found.is_full(),
            ..Came::default()
        };
        for ticket in found.values(built.own.name).filter_map(Ticket::parse) {
            if came.tickets.contains(&ticket) {
                continue;
            }
            if came.tickets.len() == TICKETS {
                came.more = true;
                break;
            }
            came.tickets.push(ticket);
        }
        let any = !came.tickets.is_empty();
        came.any = Some(any);
        let mut known = self.lock();
        // Another thread may have searched, and its session may have a newer ticket by now.
        match known.any {
            Some(any) => any,
            None => {
                *known = came;
                any
            }
        }
    }

    pub(super) fn current(&self) -> Option<Ticket> {
        self.lock().tickets.first().cloned()
    }

    fn all(&self) -> Came {
        let mut all = self.lock().clone();
        all.tickets.extend(all.begun.take());
        all
    }

    /// The ticket under its next secret: the same one for as long as it is not known whether the store has it.
    fn renewed(&self) -> Result<Option<Renewed>, Error> {
        let mut came = self.lock();
        let Some(ticket) = came.tickets.first() else {
            return Ok(None);
        };
        if let Some(begun) = &came.begun {
            return Ok(Some(Renewed {
                ticket: begun.clone(),
                again: true,
            }));
        }
        let ticket = ticket.renewed(random()?);
        came.begun = Some(ticket.clone());
        Ok(Some(Renewed { ticket, again: false }))
    }

    fn set(&self, ticket: Ticket) {
        self.replace(vec![ticket]);
    }

    fn replace(&self, tickets: Vec<Ticket>) {
        let mut known = self.lock();
        known.tickets = tickets;
        known.more = false;
        known.begun = None;
    }

    fn lock(&self) -> MutexGuard<'_, Came> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ticket under its next secret.
struct Renewed {
    ticket: Ticket,
    /// The store was told before.
    again: bool,
}

impl BuiltStore {
    fn hash(&self, ticket: &Ticket) -> HashedTicket {
        self.hasher.hash(ticket)
    }

    pub(super) fn check_owners(&self) -> Result<(), Error> {
        if self.store.keeps_owners() {
            return Ok(());
        }
        Err(Error::config(
            "this store does not know whose a session is: implement `Store::keeps_owners` and what belongs to it, or take \
             another store",
        ))
    }

    pub(super) fn id(&self, ticket: &Ticket) -> SessionId {
        self.hash(ticket).id
    }

    pub(super) fn spawner(&self) -> Option<Spawner> {
        self.spawn.clone().map(Spawner::Given).or_else(super::runtime::spawner)
    }

    /// Asks for the records of all tickets that came, and keeps the good one's.
    pub(super) async fn load(&self, built: &Built, tickets: &Tickets) -> Result<Opened, Error> {
        let Came { tickets: all, more, .. } = tickets.all();
        let mut is_there = false;
        let mut chosen = Chosen::new(built.newest_wins);
        let mut best: Option<(Ticket, Box<Record>)> = None;
        for ticket in all {
            let now = built.now();
            let hashed = self.hash(&ticket);
            let answer = Arc::clone(&self.store).load(hashed, now);
            let admitted = match within(self.timeout, answer).await? {
                Loaded::Live(record) => {
                    is_there = true;
                    admit_record(built, hashed.id, &record, now).map(|meta| {
                        let data = Data::of_values(record.values.clone());
                        if best.as_ref().is_none_or(|(_, other)| record.seen >= other.seen) {
                            best = Some((ticket, record));
                        }
                        (data, meta)
                    })
                }
                Loaded::Renewed => Err(Reject::Renewed),
                Loaded::Missing => Err(Reject::UnknownTicket),
            };
            chosen.consider(admitted);
        }
        let mut opened = chosen.opened(more && !built.newest_wins);
        opened.stored.is_one = true;
        match (opened.session.is_some(), best) {
            (true, Some((ticket, record))) => {
                tickets.set(ticket);
                opened.stored = Stored::live(record.sent, record.owner, record.label);
            }
            _ if opened.rejected == Some(Reject::Renewed) => opened.stored = Stored::lost(),
            _ => opened.stored.refused = is_there,
        }
        Ok(opened)
    }

    /// Carries out an order. The lines are those of the cookie, if it is to be sent.
    pub(super) async fn commit(
        &self,
        built: &Built,
        tickets: &Tickets,
        found: &Found,
        order: &Order,
    ) -> Result<(Outcome, Option<Vec<HeaderValue>>), Error> {
        if order.delete && !self.delete(tickets, order.now).await? && !self.may_begin(tickets, order).await? {
            return Ok((Outcome::Gone, None));
        }
        let mut lines = None;
        match order.write {
            Write::Nothing => {
                if order.send {
                    let removals = lines.insert(Vec::new());
                    built.remove(found, |line| removals.push(line));
                }
            }
            Write::Create => {
                let ticket = self.create(order, built).await?;
                lines = self.lines(built, found, order, &ticket)?;
                tickets.set(ticket);
            }
            Write::Apply => {
                let Some(ticket) = tickets.current() else {
                    return Ok((Outcome::Gone, None));
                };
                let renewed = if order.sets.secret { tickets.renewed()? } else { None };
                let (next, again) = match renewed {
                    Some(Renewed { ticket, again }) => (ticket, again),
                    None => (ticket.clone(), false),
                };
                lines = self.lines(built, found, order, &next)?;
                let mut applied = self.apply(built, order, &ticket, &next).await?;
                if applied == Applied::Gone && again {
                    // Carried out the first time, when the answer was lost.
                    applied = self.apply(built, order, &next, &next).await?;
                }
                match applied {
                    Applied::Updated => tickets.set(next),
                    Applied::Conflict => return Ok((Outcome::Conflict, None)),
                    Applied::Gone => return Ok((Outcome::Gone, None)),
                }
            }
        }
        if order.sets.owner {
            self.limit(order, tickets).await;
        }
        Ok((Outcome::Done, lines))
    }

    async fn apply(&self, built: &Built, order: &Order, ticket: &Ticket, next: &Ticket) -> Result<Applied, Error> {
        let changes = self.changes(built, order, next);
        let answer = Arc::clone(&self.store).apply(self.hash(ticket), changes, order.now);
        within(self.timeout, answer).await
    }

    /// Ends the session of every ticket that came; nearly always there is one.
    async fn delete(&self, tickets: &Tickets, now: u64) -> Result<bool, Error> {
        let all = tickets.all().tickets;
        // Deleted before, when what was to follow failed.
        let mut any = all.is_empty();
        for ticket in all {
            any |= within(self.timeout, Arc::clone(&self.store).delete(self.hash(&ticket), now)).await?;
        }
        if any {
            tickets.replace(Vec::new());
        }
        Ok(any)
    }

    /// Whether a new session may begin although the one that was to end first was not there: at a login, or if nobody has seen
    /// it in this request, so that its ticket may have opened nothing for long.
    async fn may_begin(&self, tickets: &Tickets, order: &Order) -> Result<bool, Error> {
        if order.write != Write::Create {
            return Ok(false);
        }
        if order.sets.secret || !order.unseen {
            return Ok(order.sets.secret);
        }
        for ticket in tickets.all().tickets {
            let answer = Arc::clone(&self.store).load(self.hash(&ticket), order.now);
            if within(self.timeout, answer).await? != Loaded::Missing {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn create(&self, order: &Order, built: &Built) -> Result<Ticket, Error> {
        for _ in 0..CREATIONS {
            let ticket = Ticket::new(random()?, random()?);
            let HashedTicket { id, secret } = self.hash(&ticket);
            let mut record = Record::new(secret, order.now, expires(built, &order.meta));
            record.values = order.delta.set.iter().map(|(key, json)| (key, json)).collect();
            record.created = order.meta.created.unwrap_or(order.now);
            record.authenticated = order.meta.authenticated;
            record.max_age = order.meta.max_age;
            record.owner.clone_from(&order.owner);
            record.label.clone_from(&order.label);
            let created = within(self.timeout, Arc::clone(&self.store).create(id, record, order.now)).await?;
            if created == Created::Created {
                return Ok(ticket);
            }
        }
        // 128 random bits do not meet by chance.
        Err(Error::Random)
    }

    fn changes(&self, built: &Built, order: &Order, ticket: &Ticket) -> Changes {
        let mut changes = Changes::new(order.meta.issued.unwrap_or(order.now), expires(built, &order.meta));
        changes.expected.extend(order.expected.clone());
        changes.cleared = order.delta.cleared;
        changes.removed.clone_from(&order.delta.removed);
        changes.set.clone_from(&order.delta.set);
        changes.secret = order.sets.secret.then(|| self.hash(ticket).secret);
        changes.sent = if order.send { order.meta.issued } else { None };
        changes.may_shorten = order.sets.max_age;
        changes.authenticated = field(order.sets.authenticated, order.meta.authenticated.as_ref());
        changes.max_age = field(order.sets.max_age, order.meta.max_age.as_ref());
        changes.owner = field(order.sets.owner, order.owner.as_ref());
        changes.label = field(order.sets.label, order.label.as_ref());
        changes
    }

    fn lines(
        &self,
        built: &Built,
        found: &Found,
        order: &Order,
        ticket: &Ticket,
    ) -> Result<Option<Vec<HeaderValue>>, Error> {
        if !order.send {
            return Ok(None);
        }
        let mut lines = Vec::new();
        let payload = Payload {
            json: ticket.text(),
            meta: order.meta,
        };
        built.write(&payload, found, |line| lines.push(line))?;
        Ok(Some(lines))
    }

    /// Ends an owner's oldest sessions if there are too many now. That it fails is no reason to fail a login.
    async fn limit(&self, order: &Order, tickets: &Tickets) {
        let (Some(limit), Some(owner), Some(own)) = (self.max_sessions, &order.owner, tickets.current()) else {
            return;
        };
        if let Err(error) = self.end_oldest(owner, self.id(&own), limit, order.now).await {
            event!(WARN, error = %error, "an owner may have more sessions than the layer allows");
        }
    }

    async fn end_oldest(&self, owner: &str, own: SessionId, limit: usize, now: u64) -> Result<(), Error> {
        let answer = Arc::clone(&self.store).sessions_of(owner.to_owned(), now);
        let mut sessions: Vec<StoredSession> = within(self.timeout, answer).await?;
        let surplus = sessions.len().saturating_sub(limit);
        let age = |session: &StoredSession| (session.seen, session.id);
        let Some(own) = sessions.iter().find(|session| session.id == own).map(age) else {
            return Ok(());
        };
        // Of two logins at once only the later one ends the other.
        sessions.retain(|session| age(session) < own);
        sessions.sort_by_key(|session| session.authenticated.max(Some(session.created)));
        for session in sessions.into_iter().take(surplus) {
            let answer = Arc::clone(&self.store).delete_of(owner.to_owned(), Which::Only(session.id));
            within(self.timeout, answer).await?;
        }
        Ok(())
    }
}

fn field<T: Clone>(is_set: bool, value: Option<&T>) -> Field<T> {
    match (is_set, value) {
        (false, _) => Field::Keep,
        (true, Some(value)) => Field::Set(value.clone()),
        (true, None) => Field::Unset,
    }
}

fn expires(built: &Built, meta: &Meta) -> u64 {
    built.lifetime.expires(meta).unwrap_or(LAST_MILLIS).min(LAST_MILLIS)
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// Writes the cookie of a ticket. What it means only the store can tell, so nothing is ever read through this.
#[derive(Clone)]
pub(super) struct TicketText;

impl Codec for TicketText {
    fn format(&self) -> Format {
        // In the record.
        Format::new()
            .carries_id()
            .carries_created()
            .carries_issued()
            .carries_max_age()
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        cookie.push_str(payload.json());
        Ok(())
    }

    fn decode(&self, _: &Incoming<'_>) -> Result<Payload, Reject> {
        Err(Reject::Malformed)
    }
}
