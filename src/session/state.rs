//! What is known of a session, and what is to be done with it when the response leaves.

use std::fmt;

use super::{
    data::Data,
    lifetime::LEEWAY,
    payload::{LAST_MILLIS, Meta, Millis, Payload},
    source::{Action, Opened, Source},
    stored::{Behind, Stored},
};
use crate::error::{Error, Reject};

#[derive(Default)]
pub(crate) struct State {
    pub(super) opened: bool,
    pub(super) sealed: bool,
    /// A save into a cookie is at work.
    pub(super) saving: bool,
    /// Sealed, but the response waits for a commit: what is saved before that still goes with it.
    pub(super) held_back: bool,
    /// The response is one that no cache keeps, so the session may be read for the first time after
    /// it has left.
    pub(super) uncached: bool,
    /// A valid session came with the request, or was saved since.
    pub(crate) known: bool,
    pub(super) present: bool,
    pub(crate) rejected: Option<Reject>,
    /// A session came that only others can read, and it was not given up.
    unreadable: bool,
    pub(crate) data: Data,
    pub(crate) meta: Meta,
    /// To be written even if the data is what it was.
    pub(super) rewrite: bool,
    /// Cleared or destroyed: if it stays empty, the cookie goes.
    pub(super) ended: bool,
    /// Counts changes, so that a save knows whether there were any while it was at work.
    pub(super) revision: u64,
    /// Counts what a store was asked for, so that those who waited meanwhile know that it was for them too.
    pub(super) loads: u32,
    /// Counts the sessions that this one handle has been: one more with each `destroy`.
    pub(super) life: u32,
    /// The one of them that was last committed: if it is another one, a `destroy` is still to be
    /// carried out.
    pub(super) settled: u32,
    /// Counts how often another request has ended it.
    pub(super) losses: u32,
    pub(super) stored: Stored,
}

impl State {
    pub(super) fn open(&mut self, opened: Opened) {
        self.opened = true;
        self.present = opened.present;
        self.rejected = opened.rejected;
        self.unreadable = opened.rejected == Some(Reject::Unreadable);
        self.stored = opened.stored;
        if let Some((base, meta)) = opened.session {
            self.known = true;
            self.data = Data::on(base);
            self.meta = meta;
        } else if self.stored.behind == Behind::Unloaded {
            self.data = Data::unloaded();
        }
    }

    /// Tells whether a write would destroy nothing but what can be read.
    pub(super) fn check_readable(&self) -> Result<(), Error> {
        if self.unreadable {
            Err(Error::Unreadable)
        } else {
            Ok(())
        }
    }

    pub(crate) fn clear(&mut self) {
        self.unreadable = false;
        self.data.clear();
        // Whose session it was goes with the data, and what is set from here on goes under another
        // identity. Only when it began stays, or else clearing would prolong the session.
        self.stored.clear();
        self.rewrite |= self.meta.authenticated.is_some() || self.meta.max_age.is_some();
        self.meta = Meta {
            created: self.meta.created,
            issued: self.meta.issued,
            ..Meta::default()
        };
        // A clock that is wrong must not cost anybody their session by the way.
        self.ended |= self.rejected != Some(Reject::NotYetValid);
    }

    pub(crate) fn destroy(&mut self) {
        self.unreadable = false;
        self.stored.destroy();
        self.life = self.life.wrapping_add(1);
        self.data = Data::default();
        self.meta = Meta::default();
        self.known = false;
        self.rewrite = false;
        self.ended = true;
    }

    pub(crate) fn renew(&mut self, id: Option<[u8; 16]>) {
        self.stored.renewing = true;
        self.leave_what_was_lost();
        self.meta.id = id;
        self.rewrite = true;
    }

    /// The user has proved who they are.
    pub(crate) fn authenticated(&mut self, id: Option<[u8; 16]>, now: Millis) {
        self.renew(id);
        self.meta.authenticated = Some(now);
        self.stored.authenticated = true;
    }

    pub(crate) fn set_max_age(&mut self, seconds: u32) {
        self.stored.max_age |= self.meta.max_age != Some(seconds);
        self.rewrite |= self.meta.max_age != Some(seconds);
        self.meta.max_age = Some(seconds);
    }

    /// Whether a cookie can still be sent.
    pub(super) fn may_send(&self) -> bool {
        !self.sealed || self.held_back
    }

    pub(super) fn is_modified(&self) -> bool {
        if self.stored.is_one {
            self.is_order_due()
        } else if self.sealed {
            // Nothing more will be committed.
            false
        } else if self.data.is_empty() {
            self.is_removal()
        } else {
            self.rewrite || self.data.is_changed()
        }
    }

    /// Whether there may be something to do; quick, and surely no only if there is nothing.
    pub(super) fn is_touched(&self, rolls: bool) -> bool {
        self.rewrite || self.ended || self.data.is_touched() || (rolls && self.known)
    }

    pub(super) fn is_removal(&self) -> bool {
        self.present && (self.ended || self.data.is_changed())
    }

    /// A `destroy` is still to be carried out.
    pub(super) fn is_destroyed(&self) -> bool {
        self.stored.doomed || self.life != self.settled
    }

    /// A `clear` is still to be carried out, and no data was set since.
    pub(super) fn is_cleared_out(&self) -> bool {
        self.ended && self.data.is_cleared() && self.data.is_empty()
    }

    /// Tells whether a session in a cookie is to end whatever becomes of the request.
    pub(super) fn is_end(&self) -> bool {
        self.present && (self.is_destroyed() || self.is_cleared_out())
    }

    /// What the present state asks for. It may settle the session's id and birth, so that a second commit has the same.
    pub(super) fn decide<S: Source + ?Sized>(&mut self, source: &S, now: Millis) -> Result<Action, Error> {
        if self.data.is_empty() {
            return Ok(if self.is_removal() {
                Action::Remove
            } else {
                Action::Keep
            });
        }
        let changed = self.rewrite || self.data.is_changed();
        let due = || {
            source
                .lifetime()
                .is_some_and(|lifetime| lifetime.refresh_is_due(&self.meta, now))
        };
        let prolong = self.known && due();
        if !(changed || prolong) {
            return Ok(Action::Keep);
        }
        if self.meta.id.is_none() {
            self.meta.id = source.new_id()?;
        }
        // A session from a format that does not say when it began is at least as old as its last cookie.
        self.meta.created.get_or_insert(self.meta.issued.unwrap_or(now));
        // Never backwards: of two cookies of one session, the later written is the newer. Nor so far ahead that it would not
        // be accepted.
        let latest = now.saturating_add(LEEWAY).min(LAST_MILLIS);
        let after = |last: Millis| last.saturating_add(1).min(latest);
        let issued = self.meta.issued.map_or(now, |last| now.max(after(last)));
        let payload = Payload {
            json: self.data.to_cookie(),
            meta: Meta {
                issued: Some(issued),
                ..self.meta
            },
        };
        Ok(if changed {
            Action::Write(payload)
        } else {
            Action::Refresh(payload)
        })
    }

    /// Notes that the decision at `revision`, in this life, is committed.
    pub(super) fn saved(&mut self, payload: Option<Payload>, revision: u64, life: u32) {
        self.settled = life;
        if self.revision != revision {
            // What came in between is committed in full, even if it only undid what was saved.
            self.present = true;
            self.rewrite = true;
            self.ended = true;
            return;
        }
        self.rewrite = false;
        self.ended = false;
        self.known = payload.is_some();
        self.present = payload.is_some();
        match payload {
            Some(payload) => {
                self.stored.take();
                self.meta = payload.meta;
                // Our own text is always an object.
                let _ = self.data.rebase(payload.json);
            }
            None => {
                self.leave_what_is_pending();
                self.data = Data::default();
            }
        }
    }
}

impl State {
    /// The session is gone. What this request has set and was not written is about the next one.
    pub(super) fn leave_what_is_pending(&mut self) {
        self.meta = Meta {
            created: self.meta.created,
            authenticated: self.meta.authenticated.filter(|_| self.stored.authenticated),
            max_age: self.meta.max_age.filter(|_| self.stored.max_age),
            is_owned: self.stored.owner.is_some(),
            ..Meta::default()
        };
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}
