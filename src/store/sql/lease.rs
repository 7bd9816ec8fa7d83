//! A connection of a pool to a server, for one step.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{Connection as _, Database, Pool, pool::PoolConnection};

use super::engine::Result;

/// A connection that goes back to its pool only after a step that came to its end. If the step fails half-way, or its future
/// is dropped, the connection is closed, and with it goes whatever was begun on it: nobody can inherit an open transaction
/// or an answer that is still to come, and a server that is silent keeps no place in the pool.
pub(super) struct Lease<DB: Database> {
    connection: PoolConnection<DB>,
    sound: bool,
}

impl<DB: Database> Lease<DB> {
    pub(super) async fn new(pool: &Pool<DB>) -> Result<Self> {
        Ok(Self {
            connection: pool.acquire().await?,
            sound: false,
        })
    }

    /// The step is over.
    pub(super) fn end(mut self) {
        self.sound = true;
    }

    /// The step was this one statement. What the server refused is over as well.
    pub(super) fn end_with<T>(self, done: Result<T>) -> Result<T> {
        if matches!(&done, Ok(_) | Err(sqlx::Error::Database(_))) {
            self.end();
        }
        done
    }
}

impl<DB: Database> Deref for Lease<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Lease<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        if !self.sound {
            self.connection.close_on_drop();
        }
    }
}

/// How long a step waits for a connection, one that is to be made included.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that was in use a moment ago is taken to be there still; asking it each time would double the round trips.
const MOMENT: Duration = Duration::from_secs(1);

/// The settings of a pool that the store makes itself.
pub(super) fn options<DB: Database>() -> sqlx::pool::PoolOptions<DB> {
    sqlx::pool::PoolOptions::new()
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .before_acquire(|connection: &mut DB::Connection, about| {
            Box::pin(async move {
                if about.idle_for > MOMENT {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Whether the server had closed the connection before it heard of the statement, or may have. A step that has changed nothing
/// so far goes on with another connection then; a pool may be full of old ones after the server's restart, so as often as
/// it has connections.
pub(super) fn was_closed(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // PostgreSQL and MySQL say good-bye: they are shutting down.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P0") || code == "08S01"),
        _ => false,
    }
}
