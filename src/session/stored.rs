//! What is known of the record behind a stored session.

use super::{
    data::{Base, Data},
    order::Sets,
    payload::{Meta, Millis},
    source::Opened,
    state::State,
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
    pub(super) unseen: bool,
    /// There is a record behind the ticket, but it does not count: its time is wrong, or it is one of several.
    pub(crate) refused: bool,
    /// The last load failed, and until one succeeds this is the answer.
    pub(super) failed: Option<Box<Error>>,
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

    /// Whose session it is, and how long it lasts, is forgotten, be it from the record or set in
    /// this request.
    pub(super) fn clear(&mut self) {
        self.owner = None;
        self.label = None;
        self.owned = false;
        self.labelled = false;
        self.authenticated = false;
        self.max_age = false;
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
    pub(super) fn take(&mut self) -> Sets {
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
    pub(super) fn is_worth_a_record(&self) -> bool {
        let from_elsewhere = self.known && !(self.rewrite || self.stored.owned || self.data.is_changed());
        let anything = !self.data.is_empty() || self.is_somebodys();
        anything && !from_elsewhere
    }

    /// Tells whether it is known whose session it is, so that it is one even without data.
    pub(super) fn is_somebodys(&self) -> bool {
        self.stored.owner.is_some() || self.meta.authenticated.is_some()
    }

    /// The request failed: of all that is pending only the end of the session is left. Returns
    /// whether there is one.
    pub(super) fn leave_the_end(&mut self) -> bool {
        if !self.is_order_due() {
            return false;
        }
        self.revision += 1;
        if self.is_destroyed() {
            self.stored.destroy();
            self.data = Data::default();
            self.meta = Meta::default();
            self.known = false;
            self.rewrite = false;
            self.ended = true;
            return self.is_order_due();
        }
        if self.is_cleared_out() && !self.is_somebodys() {
            self.clear();
            return true;
        }
        self.rewrite = false;
        self.ended = false;
        if self.stored.is_held() {
            // A handle that is still there must not write it later. What it lay on may be known no
            // more, so it is asked for again.
            self.data = Data::unloaded();
            self.meta = Meta::default();
            self.stored = Stored {
                failed: self.stored.failed.take(),
                ..Stored::unloaded()
            };
        }
        false
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
        self.settled = self.life;
        self.stored = Stored {
            is_one: self.stored.is_one,
            behind: Behind::Lost,
            ..Stored::default()
        };
    }

    /// What a load has found, under whatever was changed before it.
    pub(super) fn loaded(&mut self, opened: Opened) {
        let cleared = self.data.is_cleared();
        let pending = std::mem::replace(&mut self.stored, opened.stored);
        // Fields that were set before the first load were compared with nothing.
        let compare = pending.behind == Behind::Unloaded && !cleared;
        let stored = &mut self.stored;
        stored.is_one = true;
        stored.renewing = pending.renewing;
        stored.late = pending.late;
        if pending.owned || cleared {
            stored.owned = pending.owned && !(compare && stored.owner == pending.owner);
            stored.owner = pending.owner;
        }
        if pending.labelled || cleared {
            stored.labelled = pending.labelled && !(compare && stored.label == pending.label);
            stored.label = pending.label;
        }
        stored.authenticated = pending.authenticated;
        let (authenticated, max_age) = (self.meta.authenticated, self.meta.max_age);
        self.present = opened.present;
        self.rejected = opened.rejected;
        self.known = opened.session.is_some();
        if let Some((base, meta)) = opened.session {
            self.data.ground_on(base);
            self.meta = meta;
        } else {
            self.data.ground_on(Base::default());
            self.meta = Meta::default();
        }
        if pending.authenticated || cleared {
            self.meta.authenticated = authenticated;
        }
        if pending.max_age || cleared {
            self.stored.max_age = pending.max_age && !(compare && self.meta.max_age == max_age);
            self.meta.max_age = max_age;
        }
        self.meta.is_owned = self.stored.owner.is_some();
        if self.rejected == Some(Reject::NotYetValid) {
            self.ended = false;
        }
        if self.stored.renewing {
            self.leave_what_was_lost();
        }
    }
}
