//! What a layer's user can do with the sessions of others: list them and end them.

use std::time::SystemTime;

use super::{built::Built, layer::SessionLayer, runtime::within, stored::Backend};
use crate::{
    error::Error,
    session::{SessionId, millis},
    store::{Epoch, StoredSession, Which},
};

/// In milliseconds: an epoch that is not longer ago is meant to be now.
const A_MOMENT: u64 = 1_000;

impl<R> SessionLayer<R> {
    /// The live sessions of an owner, the last seen first: "your devices" (OWASP ASVS 7.5.2). Owners are what
    /// [`Session::set_owner`](crate::Session::set_owner) was told.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], or [`Error::Config`] if the layer has no store that knows owners.
    pub async fn sessions_of(&self, owner: &str) -> Result<Vec<StoredSession>, Error> {
        let built = self.built()?;
        let store = owners(&built)?;
        let owner = store.owner_id(owner);
        let answer = store.store().sessions_of(&owner, built.now());
        let mut sessions = within(store.timeout(), answer).await?;
        sessions.sort_unstable_by_key(|session| (std::cmp::Reverse(session.seen), session.id));
        Ok(sessions)
    }

    /// Ends all sessions of an owner, but for one: "log out everywhere else", and what a changed password asks for (OWASP
    /// ASVS 7.4.3). Returns how many ended. The one to keep is [`Session::id`](crate::Session::id).
    /// When it returns, no other session of the owner is left, and no login that had begun before
    /// the call leaves one. That holds for a login of the same request as well: call
    /// [`save`](crate::Session::save) between the two, and it is the session to keep.
    ///
    /// # Errors
    ///
    /// As [`sessions_of`](Self::sessions_of). Some may have ended already.
    pub async fn destroy_all(&self, owner: &str, except: Option<SessionId>) -> Result<u64, Error> {
        self.destroy(owner, except.map_or(Which::All, Which::AllBut)).await
    }

    /// Ends one session of an owner, found in the list of [`sessions_of`](Self::sessions_of). Returns whether there was one:
    /// the id of somebody else's session ends nothing.
    ///
    /// # Errors
    ///
    /// As [`sessions_of`](Self::sessions_of).
    pub async fn destroy_one(&self, owner: &str, id: SessionId) -> Result<bool, Error> {
        Ok(self.destroy(owner, Which::Only(id)).await? > 0)
    }

    /// Ends the sessions of everybody whose login, or if there was none, whose beginning was before
    /// this time: an epoch (OWASP ASVS 7.4.5). Returns how many ended. It looks at the whole store,
    /// other layers' and applications' sessions included, and takes as long as it takes.
    ///
    /// When it returns, none of them is left, and none that was on its way comes. If the time is
    /// not more than a second ago, *now* is meant: sessions of servers whose clock is ahead, which
    /// seem to begin in the future, end as well. For a time that is longer ago, add as much as the
    /// clocks of your servers may differ.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], or [`Error::Config`] if the layer has no store that can do it. Some may have ended already.
    pub async fn destroy_all_begun_before(&self, epoch: SystemTime) -> Result<u64, Error> {
        let built = self.built()?;
        let store = store(&built)?;
        let (time, now) = (millis(epoch), built.now());
        // Never in the future: until then no session could begin.
        let mut epoch = Epoch::before(time.min(now));
        if time > now {
            epoch = epoch.or_after(now.saturating_sub(1));
        } else if time.saturating_add(A_MOMENT) >= now {
            epoch = epoch.or_after(now);
        }
        // There may be many: the store sees to it that each part of the work has an end.
        store.store().delete_begun(&epoch).await
    }

    async fn destroy(&self, owner: &str, which: Which) -> Result<u64, Error> {
        let built = self.built()?;
        let store = owners(&built)?;
        let owner = store.owner_id(owner);
        let answer = store.store().delete_of(&owner, &which, built.now());
        match which {
            Which::Only(_) => within(store.timeout(), answer).await,
            // As above.
            Which::All | Which::AllBut(_) => answer.await,
        }
    }
}

fn store(built: &Built) -> Result<&dyn Backend, Error> {
    built.store.as_deref().ok_or_else(|| {
        Error::config("sessions in cookies cannot be listed or ended by the server: use `SessionLayer::with_store`")
    })
}

fn owners(built: &Built) -> Result<&dyn Backend, Error> {
    let store = store(built)?;
    store.check_owners()?;
    Ok(store)
}
