//! What a layer's user can do with the sessions of others: list them and end them.

use std::time::SystemTime;

use super::{built::Built, layer::SessionLayer, runtime::within, stored::Backend};
use crate::{
    error::Error,
    session::{SessionId, millis},
    store::{StoredSession, Which},
};

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
        let answer = store.store().sessions_of(owner, built.now());
        let mut sessions = within(store.timeout(), answer).await?;
        sessions.sort_unstable_by_key(|session| (std::cmp::Reverse(session.seen), session.id));
        Ok(sessions)
    }

    /// Ends all sessions of an owner, but for one: "log out everywhere else", and what a changed password asks for (OWASP
    /// ASVS 7.4.3). Returns how many ended. The one to keep is [`Session::id`](crate::Session::id).
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

    /// Ends the sessions of everybody that began, or in which somebody last proved who they are, before this time: an epoch
    /// (OWASP ASVS 7.4.5). Returns how many ended. It looks at the whole store, other layers' sessions included.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], or [`Error::Config`] if the layer has no store that can do it. Some may have ended already.
    pub async fn destroy_all_begun_before(&self, epoch: SystemTime) -> Result<u64, Error> {
        let built = self.built()?;
        let store = store(&built)?;
        let answer = store.store().delete_begun_before(millis(epoch));
        // As long as it takes: there may be many.
        within(None, answer).await
    }

    async fn destroy(&self, owner: &str, which: Which) -> Result<u64, Error> {
        let built = self.built()?;
        let store = owners(&built)?;
        let answer = store.store().delete_of(owner, &which);
        within(store.timeout(), answer).await
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
