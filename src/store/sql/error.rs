//! Errors of the driver as errors of the store, and what is tried again.

use std::{fmt, future::Future, time::Duration};

use super::engine::{Engine, Result};
use crate::error::{Cause, Error};

/// A transaction that the engine gave up for another one is begun so many times in all.
const TRIES: u32 = 10;

/// Runs a step until the engine lets it through. Every one of these steps is a transaction that leaves nothing behind when
/// it fails so.
pub(super) async fn retried<E: Engine, T, F>(mut step: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for tried in 1..TRIES {
        match step().await {
            Err(error) if E::is_passing(&error) => {
                // 1, 2, 4 ... 64 ms: whoever was first is done by then.
                tokio::time::sleep(Duration::from_millis(1 << tried.min(7) >> 1)).await;
            }
            done => return done,
        }
    }
    step().await
}

/// The error that a user of the store sees.
pub(super) fn store(error: sqlx::Error) -> Error {
    if is_missing_table(&error) {
        Error::store(MissingTables(Cause::new(error.into())))
    } else if is_bad_value(&error) {
        bad_value()
    } else {
        Error::store(error)
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        // PostgreSQL and MySQL by their SQLSTATE; SQLite has no code of its own for it.
        matches!(error.code().as_deref(), Some("42P01" | "42S02")) || error.message().starts_with("no such table")
    })
}

/// The server's own words may quote the value, so they are left out.
pub(super) fn bad_value() -> Error {
    Error::value(
        "",
        "the database refused a value or a label as too large, or for a character that it cannot keep: keep less in one \
         value, raise its limit (`max_allowed_packet` in MySQL), or use a database in UTF-8",
    )
}

/// Whether the database works and only what it was given does not fit: a character (22021, 22P05), a length (22001), a size.
fn is_bad_value(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        matches!(error.code().as_deref(), Some("22021" | "22P05" | "22001" | "54000"))
            || ["max_allowed_packet", "string or blob too big"]
                .iter()
                .any(|text| error.message().contains(text))
    })
}

/// A row that this store has not written.
pub(super) fn malformed() -> sqlx::Error {
    sqlx::Error::Decode("a row of the session tables is not what this store writes".into())
}

/// Nobody has called `migrate`.
#[derive(Debug)]
struct MissingTables(Cause);

impl fmt::Display for MissingTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the tables of the sessions are not there: call `SqlStore::migrate` when the program starts, or run the SQL that \
             `SqlStore::schema` returns",
        )
    }
}

impl std::error::Error for MissingTables {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_source())
    }
}
