//! What a stored session asks of its store in one commit, and what is left of that when it was carried out or was not.

use super::{
    data::Delta,
    lifetime::Lifetime,
    payload::{Meta, Millis},
    source::Source,
    state::State,
    stored::Behind,
};

/// What the store and the cookie are asked for in one commit.
pub(crate) struct Order {
    pub(crate) now: Millis,
    /// Nothing changed, but the session was used and its time is to be prolonged.
    pub(super) is_refresh: bool,
    /// The record that the client's ticket opens ends.
    pub(crate) delete: bool,
    doomed: bool,
    /// Nobody has asked for that record before.
    pub(crate) unseen: bool,
    pub(crate) write: Write,
    /// With the times as they are to be; `issued` is when the session was last seen.
    pub(crate) meta: Meta,
    pub(crate) delta: Delta,
    /// A value that must be in the store still.
    pub(crate) expected: Option<(String, Option<String>)>,
    /// What was under that key in this session, pending changes included.
    seen: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) sets: Sets,
    /// The part of that which was taken out of the state.
    taken: Sets,
    /// The cookie is sent with the response, or its removal if nothing is written.
    pub(crate) send: bool,
    revision: u64,
    life: u32,
    /// All data as it is to be; `None` if nobody will look at it.
    text: Option<String>,
    /// The same as pairs, where a login may have to begin a session of its own.
    pub(crate) whole: Option<Vec<(String, String)>>,
}

impl Order {
    /// The session was destroyed since.
    pub(super) fn is_of_another_life(&self, state: &State) -> bool {
        self.life != state.life
    }

    /// Tells whether somebody logs in: the session gets an owner, or its owner has proved who they
    /// are once more.
    pub(crate) fn logs_in_somebody(&self) -> bool {
        self.write != Write::Nothing && self.owner.is_some() && (self.sets.owner || self.sets.authenticated)
    }

    /// Without a cookie nobody would ever have the session.
    pub(super) fn needs_a_cookie(&self) -> bool {
        self.write == Write::Create || self.sets.secret
    }
}

/// What a commit may do now.
#[derive(Clone, Copy)]
pub(crate) struct May {
    /// The response has not left.
    pub(crate) send: bool,
    /// A mere use prolongs the session.
    pub(crate) refresh: bool,
    /// Nobody will look at the session any more.
    pub(crate) forget: bool,
}

/// Which of its fields an order sets.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sets {
    pub(crate) owner: bool,
    pub(crate) label: bool,
    pub(crate) authenticated: bool,
    pub(crate) max_age: bool,
    pub(crate) secret: bool,
}

impl Sets {
    /// Of a session that was cleared: nothing stays that said whose it was, and it goes on under
    /// another ticket.
    const ALL: Self = Self {
        owner: true,
        label: true,
        authenticated: true,
        max_age: true,
        secret: true,
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Nothing,
    Create,
    Apply,
}

/// What became of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// A value is not what was expected. Nothing was done.
    Conflict,
    /// The record is not there any more, or not for this ticket. Nothing was done.
    Gone,
}

impl State {
    /// What the present state asks for, if anything. The record was fetched, unless it is only to be ended. Either
    /// [`carried_out`](Self::carried_out) or [`not_carried_out`](Self::not_carried_out) must follow.
    pub(super) fn order<S: Source + ?Sized>(&mut self, source: &S, now: Millis, may: May) -> Option<Order> {
        let lifetime = source.lifetime();
        let due = self.is_order_due();
        let prolong = || {
            may.refresh
                && self.stored.behind == Behind::Live
                && lifetime.is_some_and(|lifetime| lifetime.refresh_is_due(&self.meta, now))
        };
        if !due && !prolong() {
            return None;
        }
        let cleared = self.data.is_cleared();
        // A record that does not count ends with what was cleared, whatever follows.
        let replaced = cleared && self.stored.refused && self.ended;
        let is_there = self.stored.behind == Behind::Live || replaced;
        let logout = is_there && cleared && self.data.is_empty() && !self.is_somebodys();
        let write = match self.stored.behind {
            _ if logout => Write::Nothing,
            Behind::Nothing if self.is_worth_a_record() => Write::Create,
            Behind::Nothing => Write::Nothing,
            Behind::Unloaded | Behind::Live | Behind::Lost => Write::Apply,
        };
        let mut taken = Sets::default();
        if write != Write::Nothing {
            // A session from a cookie of another format is at least as old as that cookie.
            self.meta.created.get_or_insert(self.meta.issued.unwrap_or(now));
            taken = self.stored.take();
        }
        let meta = self.meta_seen(now);
        let sets = if cleared && write == Write::Apply {
            Sets::ALL
        } else {
            taken
        };
        let send = may.send
            && (write != Write::Apply
                || sets.secret
                || sets.owner
                || sets.max_age
                || sets.authenticated
                || self.is_cookie_worn(source, now));
        let text = (!may.forget).then(|| self.data.to_json());
        let pairs = (write == Write::Create && !self.data.is_all_new()).then(|| self.data.pairs());
        let whole = (write == Write::Apply && sets.authenticated && send).then(|| self.data.pairs());
        let mut delta = if may.forget {
            self.data.take_delta()
        } else {
            self.data.delta()
        };
        if let Some(pairs) = pairs {
            delta.set = pairs;
        }
        delta.cleared &= write != Write::Create;
        let doomed = std::mem::take(&mut self.stored.doomed);
        Some(Order {
            now,
            is_refresh: !due,
            delete: doomed || logout || replaced,
            doomed,
            unseen: self.stored.unseen,
            write,
            meta,
            delta,
            expected: None,
            seen: None,
            owner: self.stored.owner.clone(),
            label: self.stored.label.clone(),
            sets,
            taken,
            send,
            revision: self.revision,
            life: self.life,
            text,
            whole,
        })
    }

    /// An order that sets one key if the store holds what is known to be there.
    pub(super) fn order_one<S: Source + ?Sized>(
        &self,
        source: &S,
        now: Millis,
        may: May,
        key: &str,
        json: &str,
    ) -> Order {
        Order {
            now,
            is_refresh: false,
            delete: false,
            doomed: false,
            unseen: false,
            write: Write::Apply,
            meta: self.meta_seen(now),
            delta: Delta::one(key, json),
            expected: Some((key.to_owned(), self.data.stored(key).map(str::to_owned))),
            seen: self.data.get(key).map(str::to_owned),
            owner: None,
            label: None,
            sets: Sets::default(),
            taken: Sets::default(),
            send: may.send && self.is_cookie_worn(source, now),
            revision: self.revision,
            life: self.life,
            text: None,
            whole: None,
        }
    }

    /// What is known of the session once it is seen at `now`; never backwards.
    fn meta_seen(&self, now: Millis) -> Meta {
        Meta {
            issued: Some(self.meta.issued.map_or(now, |last| now.max(last))),
            ..self.meta
        }
    }

    /// Whether the browser would drop its cookie much sooner than the record ends.
    fn is_cookie_worn<S: Source + ?Sized>(&self, source: &S, now: Millis) -> bool {
        let as_sent = Meta {
            issued: self.stored.sent,
            ..self.meta
        };
        let worn = |lifetime: &Lifetime| lifetime.is_worn(&as_sent, now);
        source.cookie_expires(&self.meta) && source.lifetime().is_some_and(worn)
    }

    /// The order was carried out.
    pub(super) fn carried_out(&mut self, order: &mut Order) {
        let unchanged = self.revision == order.revision;
        self.settled = order.life;
        if unchanged && order.expected.is_none() {
            self.rewrite = false;
            self.ended = false;
            self.stored.late = false;
        }
        if order.write == Write::Nothing {
            // The record is gone, whoever asks for it once more.
            self.stored.doomed = false;
            self.known = false;
            self.present = false;
            if self.life == order.life {
                self.begin_anew();
                self.data.settle("{}".to_owned(), &order.delta);
            }
            return;
        }
        if self.life != order.life {
            // Destroyed meanwhile: what was just written is what has to go.
            self.stored.doomed = true;
            return;
        }
        self.known = true;
        self.present = true;
        self.stored.behind = Behind::Live;
        if order.send {
            self.stored.sent = order.meta.issued;
        }
        self.meta.issued = order.meta.issued;
        match &order.expected {
            Some((key, _)) => {
                let json = order.delta.set.first().map_or("null", |(_, json)| json);
                self.data.settle_one(key, json, order.seen.as_deref());
            }
            None => {
                if let Some(text) = order.text.take() {
                    self.data.settle(text, &order.delta);
                }
            }
        }
    }

    /// The record is gone, and what was set since it went is about another one.
    fn begin_anew(&mut self) {
        let stored = &mut self.stored;
        stored.behind = Behind::Nothing;
        stored.sent = None;
        stored.owner = stored.owner.take().filter(|_| stored.owned);
        stored.label = stored.label.take().filter(|_| stored.labelled);
        self.leave_what_is_pending();
    }

    /// The order failed, or was given up, and is still to be carried out.
    pub(super) fn not_carried_out(&mut self, order: &Order) {
        self.stored.doomed |= order.doomed;
        if self.life == order.life {
            if order.write == Write::Apply && order.expected.is_none() {
                self.data.doubt(&order.delta);
            }
            self.stored.owned |= order.taken.owner;
            self.stored.labelled |= order.taken.label;
            self.stored.authenticated |= order.taken.authenticated;
            self.stored.max_age |= order.taken.max_age;
            self.stored.renewing |= order.taken.secret;
        }
    }
}
