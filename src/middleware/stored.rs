//! A session's way from its ticket to the store, and back into a cookie.

use std::{future::Future, mem, pin::Pin, sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    built::Built,
    open::{Chosen, admit_record},
    request::Incoming,
    runtime::{rest, within},
    settings::{MakeBackend, Spawn},
    tickets::{Hashed, Tickets},
};
use crate::{
    codec::{self, Codec, Format, Outgoing, Payload},
    cookie::Found,
    error::{Error, Reject},
    key::random,
    session::{Base, Delta, Job, LAST_MILLIS, Meta, Opened, Order, Outcome, Shared, Source, Spawner, Stored, Write},
    store::{
        Applied, Changes, Created, ErasedStore, Field, HashedTicket, Hasher, Loaded, Login, OwnerId, Record, Store,
        Ticket,
    },
};

/// New tickets that are tried before the random source is blamed.
const CREATIONS: usize = 4;

/// When a session that may have been begun without an answer is looked for, in order to end it. A
/// server that was too busy for the answer may take a while for the step itself.
const UNDO_PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(240),
];

/// What a layer with a store has besides the others. Behind a pointer, so that a program without a store contains none of it.
pub(super) trait Backend: Send + Sync {
    /// Takes the tickets of the layer's own cookies, and says whether there are any.
    fn find(&self, request: &Incoming, found: &Found) -> bool;
    /// Asks for the records of all tickets that came, and keeps the good one's.
    fn load<'a>(&'a self, request: &'a Incoming) -> Answer<'a, Opened>;
    /// Carries out an order, and keeps the lines of the cookie if it is to be sent.
    fn commit<'a>(&'a self, request: &'a Incoming, order: &'a mut Order) -> Answer<'a, Outcome>;
    /// What is left to do when the response is ready, if anything.
    fn answered(&self, session: Arc<Shared<dyn Source>>, discard: bool, refresh: bool) -> Option<Job>;
    fn check_owners(&self) -> Result<(), Error>;
    fn spawner(&self) -> Option<Spawner>;
    fn store(&self) -> &dyn ErasedStore;
    /// An owner as the store knows them.
    fn owner_id(&self, owner: &str) -> OwnerId;
    fn timeout(&self) -> Option<Duration>;
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

struct BuiltStore {
    store: Arc<dyn ErasedStore>,
    hasher: Hasher,
    timeout: Option<Duration>,
    spawn: Option<Spawn>,
    max_sessions: Option<usize>,
}

/// What `with_store` was given, for whatever settings it will meet.
pub(super) fn backend(store: impl Store) -> MakeBackend {
    let store: Arc<dyn ErasedStore> = Arc::new(store);
    Arc::new(move |settings, name| {
        let built = BuiltStore {
            store: store.clone(),
            hasher: Hasher::new(&settings.app, name),
            timeout: settings.store_timeout,
            spawn: settings.spawn.clone(),
            max_sessions: settings.max_sessions,
        };
        if built.max_sessions.is_some() {
            built.check_owners()?;
        }
        Ok(Box::new(built))
    })
}

impl Backend for BuiltStore {
    fn find(&self, request: &Incoming, found: &Found) -> bool {
        request.tickets.find(&self.hasher, request.built.own.name, found)
    }

    fn load<'a>(&'a self, request: &'a Incoming) -> Answer<'a, Opened> {
        Box::pin(self.load(&request.built, &request.tickets))
    }

    fn commit<'a>(&'a self, request: &'a Incoming, order: &'a mut Order) -> Answer<'a, Outcome> {
        Box::pin(self.commit(request, order))
    }

    fn answered(&self, session: Arc<Shared<dyn Source>>, discard: bool, refresh: bool) -> Option<Job> {
        session.answered(discard, refresh)
    }

    fn check_owners(&self) -> Result<(), Error> {
        if self.store.keeps_owners() {
            return Ok(());
        }
        Err(Error::config(
            "this store does not know whose a session is: implement `Store::keeps_owners` and what belongs to it, or take \
             another store",
        ))
    }

    fn spawner(&self) -> Option<Spawner> {
        self.spawn.clone().map(Spawner::Given).or_else(super::runtime::spawner)
    }

    fn store(&self) -> &dyn ErasedStore {
        &*self.store
    }

    fn owner_id(&self, owner: &str) -> OwnerId {
        self.hasher.owner_id(owner)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// What was changed, handed to a store. However that ends, the order has it back.
struct Lent<'o> {
    delta: &'o mut Delta,
    changes: Changes,
}

impl<'o> Lent<'o> {
    fn new(delta: &'o mut Delta, mut changes: Changes) -> Self {
        changes.cleared = delta.cleared;
        changes.removed = mem::take(&mut delta.removed);
        changes.set = mem::take(&mut delta.set);
        Self { delta, changes }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.delta.removed = mem::take(&mut self.changes.removed);
        self.delta.set = mem::take(&mut self.changes.set);
    }
}

/// What a store says of a login.
enum Begun {
    Login(Login),
    /// It began before an end of the owner's sessions.
    TooEarly,
    /// So it did, in a session that is in the store as the owner's: that has its place among their
    /// logins, and gets no later one. If the end is one for this session, too, it is gone or will
    /// be.
    Counted,
}

impl BuiltStore {
    async fn load(&self, built: &Built, tickets: &Tickets) -> Result<Opened, Error> {
        let came = tickets.all();
        let mut is_there = false;
        let mut chosen = Chosen::new(built.newest_wins);
        let mut best: Option<(&Hashed, Box<Record>)> = None;
        for ticket in came.all() {
            let now = built.now();
            let answer = self.store.load(&ticket.hashes, now);
            let admitted = match within(self.timeout, answer).await? {
                Loaded::Live(record) => {
                    is_there = true;
                    admit_record(built, ticket.hashes.id, &record, now).map(|meta| {
                        let base = Base::Shared(record.values.clone());
                        if best.as_ref().is_none_or(|(_, other)| record.seen >= other.seen) {
                            best = Some((ticket, record));
                        }
                        (base, meta)
                    })
                }
                Loaded::Renewed => Err(Reject::Renewed),
                Loaded::Missing => Err(Reject::UnknownTicket),
            };
            chosen.consider(admitted);
        }
        let mut opened = chosen.opened(built, came.more && !built.newest_wins);
        opened.stored.is_one = true;
        match (opened.session.is_some(), best) {
            (true, Some((ticket, record))) => {
                let owner = self.owner_of(ticket, &record)?;
                tickets.set(Some(ticket.clone()));
                opened.stored = Stored::live(record.sent, owner, record.label);
            }
            _ if opened.rejected == Some(Reject::Renewed) => opened.stored = Stored::lost(),
            _ => opened.stored.refused = is_there,
        }
        Ok(opened)
    }

    async fn commit(&self, request: &Incoming, order: &mut Order) -> Result<Outcome, Error> {
        let (built, tickets) = (&*request.built, &request.tickets);
        // In a box of its own: few commits are logins.
        let login = match (&order.owner, order.logs_in_somebody()) {
            (Some(owner), true) => match Box::pin(self.begin_login(owner, order)).await? {
                Begun::TooEarly => return Ok(Outcome::Gone),
                Begun::Counted => None,
                Begun::Login(login) => Some(login),
            },
            _ => None,
        };
        if order.delete && !self.delete(tickets, order.now).await? && !self.may_begin(tickets, order).await? {
            return Ok(Outcome::Gone);
        }
        let mut lines = None;
        match order.write {
            Write::Nothing => {
                if order.send {
                    let removals = lines.insert(Vec::new());
                    built.remove(&request.found(), &mut |line| removals.push(line));
                }
            }
            Write::Create => {
                let Some(ticket) = self.create(order, &order.delta.set, login, built).await? else {
                    return Ok(Outcome::Gone);
                };
                lines = self.lines(request, order, &ticket)?;
                tickets.set(Some(ticket));
            }
            Write::Apply => {
                let Some(ticket) = tickets.current() else {
                    return Ok(Outcome::Gone);
                };
                let renewed = if order.sets.secret {
                    tickets.renewed(&self.hasher)?
                } else {
                    None
                };
                let again = renewed.as_ref().is_some_and(|renewed| renewed.again);
                let next = renewed.map_or_else(|| ticket.clone(), |renewed| renewed.ticket);
                lines = self.lines(request, order, &next)?;
                let mut applied = self.apply(built, order, login, &ticket, &next).await?;
                if applied == Applied::Gone && again {
                    // Carried out the first time, when the answer was lost.
                    applied = self.apply(built, order, login, &next, &next).await?;
                }
                match applied {
                    Applied::Updated => tickets.set(Some(next)),
                    Applied::Conflict => return Ok(Outcome::Conflict),
                    Applied::Gone => {
                        // In a box of its own: few commits are logins, and few of these were
                        // overtaken.
                        let Some(own) = Box::pin(self.begin_own(order, login, &ticket, built)).await? else {
                            return Ok(Outcome::Gone);
                        };
                        lines = self.lines(request, order, &own)?;
                        tickets.set(Some(own));
                    }
                }
            }
        }
        if let Some(lines) = lines {
            request.save(lines);
        }
        Ok(Outcome::Done)
    }

    /// Begins a session of its own for a login whose session another request has renewed since it
    /// was fetched: a form that was sent twice, and whose first answer the browser has thrown away.
    /// `None` if it is no login, or if the session has ended.
    async fn begin_own(
        &self,
        order: &mut Order,
        login: Option<Login>,
        ticket: &Hashed,
        built: &Built,
    ) -> Result<Option<Hashed>, Error> {
        let Some(values) = order.whole.take() else {
            return Ok(None);
        };
        // An owner's session begins with a login that no end has overtaken.
        if order.owner.is_some() && login.is_none() {
            return Ok(None);
        }
        let answer = self.store.load(&ticket.hashes, order.now);
        if within(self.timeout, answer).await? != Loaded::Renewed {
            return Ok(None);
        }
        self.create(order, &values, login, built).await
    }

    async fn begin_login(&self, owner: &str, order: &Order) -> Result<Begun, Error> {
        let owner = self.hasher.owner_id(owner);
        let answer = self.store.begin_login(&owner, order.now);
        let mark = within(self.timeout, answer).await?;
        // The user proved who they are before all sessions were ended, and the handler took its
        // time. If the end seems to be still to come, clocks differ, and only the mark tells.
        if (mark.ended..).contains(&order.now) && order.meta.authenticated.is_some_and(|at| at < mark.ended) {
            let is_theirs = order.write == Write::Apply && !order.sets.owner;
            return Ok(if is_theirs { Begun::Counted } else { Begun::TooEarly });
        }
        let mut login = Login::new(mark.number);
        login.most = self.max_sessions.map(|most| u32::try_from(most).unwrap_or(u32::MAX));
        Ok(Begun::Login(login))
    }

    async fn apply(
        &self,
        built: &Built,
        order: &mut Order,
        login: Option<Login>,
        ticket: &Hashed,
        next: &Hashed,
    ) -> Result<Applied, Error> {
        let (changes, now) = (self.changes(built, order, login, next)?, order.now);
        let lent = Lent::new(&mut order.delta, changes);
        let answer = self.store.apply(&ticket.hashes, &lent.changes, now);
        within(self.timeout, answer).await
    }

    /// Ends the session of every ticket that came; nearly always there is one.
    async fn delete(&self, tickets: &Tickets, now: u64) -> Result<bool, Error> {
        let came = tickets.all();
        // Deleted before, when what was to follow failed.
        let mut any = came.all().next().is_none();
        for ticket in came.all() {
            any |= within(self.timeout, self.store.delete(&ticket.hashes, now)).await?;
        }
        if any {
            tickets.set(None);
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
        for ticket in tickets.all().all() {
            let answer = self.store.load(&ticket.hashes, order.now);
            if within(self.timeout, answer).await? != Loaded::Missing {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Begins a session under a new ticket. `None` if it began before an end of all sessions.
    async fn create(
        &self,
        order: &Order,
        values: &[(String, String)],
        login: Option<Login>,
        built: &Built,
    ) -> Result<Option<Hashed>, Error> {
        for _ in 0..CREATIONS {
            let ticket = Hashed::new(&self.hasher, Ticket::new(random()?, random()?));
            let HashedTicket { id, secret } = ticket.hashes;
            let mut record = Record::new(secret, order.now, expires(built, &order.meta));
            record.values = values.iter().map(|(key, json)| (key, json)).collect();
            record.created = order.meta.created.unwrap_or(order.now);
            record.authenticated = order.meta.authenticated;
            record.max_age = order.meta.max_age;
            record.owner = match &order.owner {
                Some(owner) => Some(self.hasher.seal(&ticket.ticket, owner, random()?)?),
                None => None,
            };
            record.label.clone_from(&order.label);
            let answer = self.store.create(&id, &record, login.as_ref(), order.now);
            match within(self.timeout, answer).await {
                Ok(Created::Created) => return Ok(Some(ticket)),
                Ok(Created::Ended) => return Ok(None),
                Ok(Created::Collision) => {}
                Err(error) => {
                    self.undo(ticket.hashes, order.now);
                    return Err(error);
                }
            }
        }
        // 128 random bits do not meet by chance.
        Err(Error::Random)
    }

    /// Ends a session that nobody will ever have the ticket of, if a store has begun it, or will
    /// have in a while, although it did not say so in time. Nobody waits for that.
    fn undo(&self, ticket: HashedTicket, now: u64) {
        let Some(spawner) = self.spawner() else {
            return;
        };
        let (store, timeout) = (Arc::clone(&self.store), self.timeout);
        spawner.spawn(Box::pin(async move {
            for pause in UNDO_PAUSES {
                if !rest(pause).await {
                    return;
                }
                if let Ok(true) = within(timeout, store.delete(&ticket, now)).await {
                    return;
                }
            }
        }));
    }

    fn owner_of(&self, ticket: &Hashed, record: &Record) -> Result<Option<String>, Error> {
        let Some(owner) = &record.owner else {
            return Ok(None);
        };
        let name = self.hasher.open(&ticket.ticket, owner);
        name.map(Some).ok_or_else(|| {
            Error::store("a session's owner is not as this layer has written it: something else writes to the store")
        })
    }

    /// All but the data.
    fn changes(&self, built: &Built, order: &Order, login: Option<Login>, next: &Hashed) -> Result<Changes, Error> {
        let mut changes = Changes::new(order.meta.issued.unwrap_or(order.now), expires(built, &order.meta));
        changes.expected.extend(order.expected.clone());
        changes.secret = order.sets.secret.then_some(next.hashes.secret);
        changes.sent = if order.send { order.meta.issued } else { None };
        changes.may_shorten = order.sets.max_age;
        changes.authenticated = field(order.sets.authenticated, order.meta.authenticated.as_ref());
        changes.max_age = field(order.sets.max_age, order.meta.max_age.as_ref());
        changes.label = field(order.sets.label, order.label.as_ref());
        changes.owner = match &order.owner {
            Some(owner) if login.is_some() => Field::Set(self.hasher.seal(&next.ticket, owner, random()?)?),
            None if order.sets.owner => Field::Unset,
            _ => Field::Keep,
        };
        changes.login = login;
        Ok(changes)
    }

    fn lines(&self, request: &Incoming, order: &Order, ticket: &Hashed) -> Result<Option<Vec<HeaderValue>>, Error> {
        if !order.send {
            return Ok(None);
        }
        let payload = Payload {
            json: ticket.ticket.text(),
            meta: order.meta,
        };
        let mut lines = Vec::with_capacity(1);
        request
            .built
            .write(&payload, &request.found(), &mut |line| lines.push(line))?;
        Ok(Some(lines))
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

    fn decode(&self, _: &codec::Incoming<'_>) -> Result<Payload, Reject> {
        Err(Reject::Malformed)
    }
}
