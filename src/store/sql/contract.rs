//! `SqlStore` as a [`Store`].

use super::{Engine, SqlStore, ends, error, read, steps};
use crate::{
    error::Error,
    session::SessionId,
    store::{
        Applied, Changes, Created, Epoch, HashedTicket, Loaded, Login, Mark, OwnerId, Record, Store, StoredSession,
        Which,
    },
};

/// The longest session key, in bytes: it is in an index, whose entries PostgreSQL limits to 2,704
/// bytes and MySQL to 3,072. The same for all engines, so that one can be changed for another.
const LONGEST_NAME: usize = 2_048;

/// An index has no room for longer ones, and an engine must not cut them off.
fn check<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    if names.into_iter().any(|name| name.len() > LONGEST_NAME) {
        return Err(Error::value(
            "",
            "a session key is longer than the 2,048 bytes that the tables have room for: use a shorter one",
        ));
    }
    Ok(())
}

impl SqlStore {
    /// The error that a step with values failed with. A value that MySQL takes in no packet has it
    /// hang up, and its reason is often lost on the way, so the limit is asked for; a step that
    /// succeeds pays nothing for it.
    async fn failed<'a>(&self, failure: error::Failure, values: impl Iterator<Item = (&'a str, &'a str)>) -> Error {
        #[cfg(feature = "mysql")]
        if let Engine::MySql(server) = &self.engine
            && let Ok(Some((key, most))) = server.too_large(values).await
        {
            return Error::value(
                key,
                format!(
                    "it is larger than the {most} bytes that the server takes at once: keep less in one value, or raise its \
                     `max_allowed_packet`"
                ),
            );
        }
        #[cfg(not(feature = "mysql"))]
        drop(values);
        error::store(failure)
    }
}

impl Store for SqlStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        on!(&self.engine, engine => read::load(engine, ticket, now).await).map_err(error::store)
    }

    async fn create(&self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Result<Created, Error> {
        check(record.values.iter().map(|(name, _)| name))?;
        let done = match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(server) => server.create(id, record, login, now).await,
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(file) => steps::create(file, id, record, login, now).await,
            #[cfg(feature = "mysql")]
            Engine::MySql(server) => steps::create(server, id, record, login, now).await,
        };
        match done {
            Ok(done) => Ok(done),
            Err(failure) => Err(self.failed(failure, record.values.iter()).await),
        }
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        check(changes.set.iter().map(|(name, _)| name.as_str()))?;
        let done = match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(server) => server.apply(ticket, changes, now).await,
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(file) => steps::apply(file, ticket, changes, now).await,
            #[cfg(feature = "mysql")]
            Engine::MySql(server) => steps::apply(server, ticket, changes, now).await,
        };
        match done {
            Ok(done) => Ok(done),
            Err(failure) => {
                let set = changes.set.iter();
                let set = set.map(|(key, json)| (key.as_str(), json.as_str()));
                Err(self.failed(failure, set).await)
            }
        }
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        on!(&self.engine, engine => steps::delete(engine, ticket, now).await).map_err(error::store)
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        on!(&self.engine, engine => ends::delete_expired(engine, now).await).map_err(error::store)
    }

    fn keeps_owners(&self) -> bool {
        true
    }

    async fn begin_login(&self, owner: &OwnerId, _: u64) -> Result<Mark, Error> {
        on!(&self.engine, engine => read::mark(engine, owner).await).map_err(error::store)
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        on!(&self.engine, engine => read::sessions_of(engine, owner, now).await).map_err(error::store)
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        on!(&self.engine, engine => ends::delete_of(engine, owner, which, now).await).map_err(error::store)
    }

    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        on!(&self.engine, engine => ends::delete_begun(engine, epoch).await).map_err(error::store)
    }
}
