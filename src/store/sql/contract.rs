//! `SqlStore` as a [`Store`].

use super::{Engine, SqlStore, error, read, steps};
use crate::{
    error::Error,
    session::SessionId,
    store::{
        Applied, Changes, Created, Epoch, HashedTicket, Loaded, Login, Mark, OwnerId, Record, Store, StoredSession,
        Which,
    },
};

/// The longest session key and the longest owner, in bytes: both are in an index, whose entries PostgreSQL limits to 2,704
/// bytes and MySQL to 3,072. The same for all engines, so that one can be changed for another.
const LONGEST_NAME: usize = 2_048;

/// The least that `max_allowed_packet` can be.
#[cfg(feature = "mysql")]
const SMALLEST_PACKET: usize = 1_024;

/// What a statement with one value needs beside it, in bytes, at most.
#[cfg(feature = "mysql")]
const PACKET_FRAME: u64 = 256;

/// An index has no room for longer ones, and an engine must not cut them off.
fn check<'a>(names: impl IntoIterator<Item = &'a str>, owner: Option<&str>) -> Result<(), Error> {
    if names.into_iter().any(|name| name.len() > LONGEST_NAME) {
        return Err(Error::value(
            "",
            "a session key is longer than the 2,048 bytes that the tables have room for: use a shorter one",
        ));
    }
    if owner.is_some_and(|owner| owner.len() > LONGEST_NAME) {
        return Err(Error::value(
            "",
            "its owner is longer than the 2,048 bytes that the tables have room for: use a shorter one",
        ));
    }
    Ok(())
}

/// The value that takes most, in bytes with its key.
fn largest<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> usize {
    let sizes = values.into_iter().map(|(name, value)| name.len() + value.len());
    sizes.max().unwrap_or(0)
}

impl SqlStore {
    /// Says that a step failed because of a value that MySQL takes in no packet. The server then closes the connection, and
    /// its reason is often lost on the way, so the limit is asked for; a step that succeeds pays nothing for it.
    async fn too_large(&self, largest: usize) -> Option<Error> {
        #[cfg(feature = "mysql")]
        if let Engine::MySql(server) = &self.engine
            && largest >= SMALLEST_PACKET
        {
            use super::engine::{Cell, Engine as _, Kind, Query};

            let query = Query::once("SELECT CAST(@@max_allowed_packet AS SIGNED)");
            let rows = server.fetch(&query, &[Kind::Int]).await.ok()?;
            if let Some(Cell::Int(most)) = rows.first().and_then(|row| row.first())
                && u64::try_from(*most).is_ok_and(|most| largest as u64 + PACKET_FRAME > most)
            {
                return Some(error::bad_value());
            }
        }
        let _ = largest;
        None
    }
}

impl Store for SqlStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        on!(&self.engine, engine => read::load(engine, ticket, now).await).map_err(error::store)
    }

    async fn create(&self, id: &SessionId, record: &Record, _: Option<&Login>, now: u64) -> Result<Created, Error> {
        check(record.values.iter().map(|(name, _)| name), None)?;
        let done = match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(server) => server.create(id, record, now).await,
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(file) => steps::create(file, id, record, now).await,
            #[cfg(feature = "mysql")]
            Engine::MySql(server) => steps::create(server, id, record, now).await,
        };
        match done {
            Ok(done) => Ok(done),
            Err(error) => {
                let large = self.too_large(largest(record.values.iter())).await;
                Err(large.unwrap_or_else(|| error::store(error)))
            }
        }
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        check(changes.set.iter().map(|(name, _)| name.as_str()), None)?;
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
            Err(error) => {
                let large = self
                    .too_large(largest(
                        changes.set.iter().map(|(name, value)| (name.as_str(), value.as_str())),
                    ))
                    .await;
                Err(large.unwrap_or_else(|| error::store(error)))
            }
        }
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        on!(&self.engine, engine => steps::delete(engine, ticket, now).await).map_err(error::store)
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        on!(&self.engine, engine => steps::delete_expired(engine, now).await).map_err(error::store)
    }

    fn keeps_owners(&self) -> bool {
        true
    }

    async fn begin_login(&self, _: &OwnerId, _: u64) -> Result<Mark, Error> {
        Ok(Mark::default())
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        on!(&self.engine, engine => read::sessions_of(engine, owner, now).await).map_err(error::store)
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, _: u64) -> Result<u64, Error> {
        on!(&self.engine, engine => steps::delete_of(engine, owner, which).await).map_err(error::store)
    }

    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        on!(&self.engine, engine => steps::delete_begun_before(engine, epoch.before).await).map_err(error::store)
    }
}
