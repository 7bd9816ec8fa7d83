//! What a session that a store keeps asks of it.

use super::{
    data::{Data, Delta},
    lifetime::Lifetime,
    payload::{Meta, Millis},
    state::{Source, State},
};
use crate::error::{Error, Reject};

/// What is known of the record behind the client's ticket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behind {
    /// There is none, so a write makes one.
    #[default]
    Nothing,
    /// A plausible ticket came, and nobody has asked the store.
    Unloaded,
    /// It is there, or was when it was last asked for.
    Live,
    /// It ended, or was renewed, by another request. The client may have a newer ticket, so nothing may be sent.
    Lost,
}

/// The part of a session's state that only stores have to do with.
#[derive(Clone, Default)]
pub(crate) struct Stored {
    /// Whether a store is behind this session at all.
    pub(crate) is_one: bool,
    pub(crate) behind: Behind,
    /// When the ticket was last sent.
    pub(crate) sent: Option<Millis>,
    /// `None`: not known, since owners are not fetched unless a record is.
    pub(crate) owner: Option<String>,
    pub(crate) label: Option<String>,
    /// Which of these, and of the times, this request has set.
    pub(super) owned: bool,
    pub(super) labelled: bool,
    pub(super) authenticated: bool,
    pub(super) max_age: bool,
    /// The ticket gets a new secret.
    pub(super) renewing: bool,
    /// The record that the client's ticket opens is to be ended.
    pub(super) doomed: bool,
    /// And nobody had asked the store for it before.
    unseen: bool,
    /// There is a record behind the ticket, but it does not count: its time is wrong, or it is one of several.
    pub(crate) refused: bool,
    /// The last load failed, and until one succeeds this is the answer.
    pub(super) failed: Option<Error>,
    /// Changed after the response has left, and not saved.
    pub(super) late: bool,
}

impl Stored {
    /// Of a record that was just fetched.
    pub(crate) fn live(sent: Millis, owner: Option<String>, label: Option<String>) -> Self {
        Self {
            sent: Some(sent),
            owner,
            label,
            ..Self::of(Behind::Live)
        }
    }

    /// Of a ticket that came and nothing else is known of.
    pub(crate) fn unloaded() -> Self {
        Self::of(Behind::Unloaded)
    }

    /// Of a ticket that was good once.
    pub(crate) fn lost() -> Self {
        Self::of(Behind::Lost)
    }

    fn of(behind: Behind) -> Self {
        Self {
            is_one: true,
            behind,
            ..Self::default()
        }
    }

    /// Whether the client has the ticket, so that a change needs no cookie.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.behind, Behind::Live | Behind::Unloaded)
    }

    /// Whether anything but data is to be written.
    pub(super) fn is_pending(&self) -> bool {
        self.owned || self.labelled || self.authenticated || self.max_age || self.renewing || self.doomed
    }

    pub(super) fn destroy(&mut self) {
        *self = Self {
            is_one: self.is_one,
            doomed: self.doomed || self.is_held() || self.refused,
            unseen: self.unseen || self.behind == Behind::Unloaded,
            // What was lost stays lost: not even a removal may be sent.
            behind: if self.behind == Behind::Lost {
                Behind::Lost
            } else {
                Behind::Nothing
            },
            late: self.late,
            ..Self::default()
        };
    }

    /// Takes what is pending besides the data: whatever is set while it is carried out is for the next time.
    fn take(&mut self) -> Sets {
        use std::mem::take;
        Sets {
            owner: take(&mut self.owned),
            label: take(&mut self.labelled),
            authenticated: take(&mut self.authenticated),
            max_age: take(&mut self.max_age),
            secret: take(&mut self.renewing),
        }
    }
}

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
    /// The cookie is sent with the response, or its removal if nothing is written.
    pub(crate) send: bool,
    revision: u64,
    life: u32,
    /// All data as it is to be.
    text: String,
}

impl Order {
    /// The session was destroyed since.
    pub(super) fn is_of_another_life(&self, state: &State) -> bool {
        self.life != state.life
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
    /// Whether anything was changed that a store should know.
    pub(super) fn is_order_due(&self) -> bool {
        let stored = &self.stored;
        match stored.behind {
            Behind::Nothing => stored.doomed || self.is_worth_a_record() || self.is_removal(),
            Behind::Unloaded | Behind::Live | Behind::Lost => {
                stored.is_pending() || self.data.is_changed() || self.data.is_cleared()
            }
        }
    }

    /// An anonymous visitor whose session was merely looked at, or renewed, gets no record.
    fn is_worth_a_record(&self) -> bool {
        let from_elsewhere = self.known && !(self.rewrite || self.stored.owned || self.data.is_changed());
        let anything = !self.data.is_empty() || self.stored.owned || self.meta.authenticated.is_some();
        anything && !from_elsewhere
    }

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
        let emptied = self.data.is_cleared() && self.data.is_empty();
        let is_somebodys = self.stored.owned || self.meta.authenticated.is_some();
        let is_there = self.stored.behind == Behind::Live || (self.stored.refused && self.ended);
        let logout = is_there && emptied && !is_somebodys;
        let write = match self.stored.behind {
            _ if logout => Write::Nothing,
            Behind::Nothing if self.is_worth_a_record() => Write::Create,
            Behind::Nothing => Write::Nothing,
            Behind::Unloaded | Behind::Live | Behind::Lost => Write::Apply,
        };
        // A session from a cookie of another format is at least as old as that cookie.
        self.meta.created.get_or_insert(self.meta.issued.unwrap_or(now));
        let meta = Meta {
            // Never backwards.
            issued: Some(self.meta.issued.map_or(now, |last| now.max(last))),
            ..self.meta
        };
        let sets = self.stored.take();
        let worn = |lifetime: &Lifetime| {
            let as_sent = Meta {
                issued: self.stored.sent,
                ..meta
            };
            source.cookie_expires() && lifetime.is_worn(&as_sent, now)
        };
        let send = may.send
            && (write != Write::Apply
                || sets.secret
                || sets.max_age
                || sets.authenticated
                || lifetime.is_some_and(worn));
        let mut delta = self.data.delta();
        if write == Write::Create {
            delta.cleared = false;
            delta.set = self.data.pairs();
        }
        let doomed = std::mem::take(&mut self.stored.doomed);
        Some(Order {
            now,
            is_refresh: !due,
            delete: doomed || logout,
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
            send,
            revision: self.revision,
            life: self.life,
            text: self.data.to_json(),
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
        let meta = Meta {
            issued: Some(self.meta.issued.map_or(now, |last| now.max(last))),
            ..self.meta
        };
        let as_sent = Meta {
            issued: self.stored.sent,
            ..meta
        };
        let worn = |lifetime: &Lifetime| source.cookie_expires() && lifetime.is_worn(&as_sent, now);
        Order {
            now,
            is_refresh: false,
            delete: false,
            doomed: false,
            unseen: false,
            write: Write::Apply,
            meta,
            delta: Delta::one(key, json),
            expected: Some((key.to_owned(), self.data.stored(key).map(str::to_owned))),
            seen: self.data.get(key).map(str::to_owned),
            owner: None,
            label: None,
            sets: Sets::default(),
            send: may.send && source.lifetime().is_some_and(worn),
            revision: self.revision,
            life: self.life,
            text: String::new(),
        }
    }

    /// The order was carried out.
    pub(super) fn carried_out(&mut self, order: &mut Order) {
        let unchanged = self.revision == order.revision;
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
            None => self.data.settle(std::mem::take(&mut order.text), &order.delta),
        }
    }

    /// The record is gone, and what was set since it went is about another one.
    fn begin_anew(&mut self) {
        let stored = &mut self.stored;
        stored.behind = Behind::Nothing;
        stored.sent = None;
        stored.owner = stored.owner.take().filter(|_| stored.owned);
        stored.label = stored.label.take().filter(|_| stored.labelled);
        self.meta = Meta {
            authenticated: self.meta.authenticated.filter(|_| stored.authenticated),
            max_age: self.meta.max_age.filter(|_| stored.max_age),
            ..Meta::default()
        };
    }

    /// The order failed, or was given up, and is still to be carried out.
    pub(super) fn not_carried_out(&mut self, order: &Order) {
        self.stored.doomed |= order.doomed;
        if self.life == order.life {
            self.stored.owned |= order.sets.owner;
            self.stored.labelled |= order.sets.label;
            self.stored.authenticated |= order.sets.authenticated;
            self.stored.max_age |= order.sets.max_age;
            self.stored.renewing |= order.sets.secret;
        }
    }

    /// An update failed, so it leaves no trace, unless somebody has written there since.
    pub(super) fn take_back(&mut self, key: &str, new: &str, old: Option<String>) {
        if self.data.get(key) == Some(new) {
            self.revision += 1;
            match old {
                Some(old) => self.data.set(key, old),
                None => self.data.remove(key),
            }
        }
    }

    /// A login is a session of its own, even where another request's logout came first or the answer to an earlier login was
    /// lost. What the client holds by now is not ours to remove.
    pub(super) fn leave_what_was_lost(&mut self) {
        if self.stored.behind == Behind::Lost {
            self.stored.behind = Behind::Nothing;
            self.present = false;
        }
    }

    /// Another request ended the session or renewed it: nothing of it may come back.
    pub(super) fn lose(&mut self) {
        self.data = Data::default();
        self.meta = Meta::default();
        self.known = false;
        self.present = false;
        self.ended = false;
        self.rewrite = false;
        self.losses = self.losses.wrapping_add(1);
        self.stored = Stored {
            is_one: self.stored.is_one,
            behind: Behind::Lost,
            ..Stored::default()
        };
    }

    /// What a load has found, under whatever was changed before it.
    pub(super) fn loaded(&mut self, opened: super::state::Opened) {
        let pending = std::mem::replace(&mut self.stored, opened.stored);
        self.stored.is_one = true;
        self.stored.owned = pending.owned;
        self.stored.labelled = pending.labelled;
        self.stored.renewing = pending.renewing;
        self.stored.late = pending.late;
        if pending.owned {
            self.stored.owner = pending.owner;
        }
        if pending.labelled {
            self.stored.label = pending.label;
        }
        let (authenticated, max_age) = (self.meta.authenticated, self.meta.max_age);
        self.stored.authenticated = pending.authenticated;
        self.stored.max_age = pending.max_age;
        self.present = opened.present;
        self.rejected = opened.rejected;
        self.known = opened.session.is_some();
        if let Some((data, meta)) = opened.session {
            self.data.ground_on(data);
            self.meta = meta;
        } else {
            self.data.ground_on(Data::default());
            self.meta = Meta::default();
        }
        if pending.authenticated {
            self.meta.authenticated = authenticated;
        }
        if pending.max_age {
            self.meta.max_age = max_age;
        }
        if self.rejected == Some(Reject::NotYetValid) {
            self.ended = false;
        }
        if self.stored.renewing {
            self.leave_what_was_lost();
        }
    }
}
