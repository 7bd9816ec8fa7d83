//! Errors of the driver: which of them are tried again, and what a user of the store sees.

#[cfg(feature = "sqlite")]
use std::path::{Path, PathBuf};
use std::{fmt, future::Future, time::Duration};

use super::engine::{Engine, Result};
use crate::error::{Cause, Error};

/// Whether a step that failed was carried out, and whether another try may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing was changed: the engine gave the step up for another one. The same will do when it
    /// is tried again.
    GivenUp,
    /// Nothing was changed, and this connection is of no more use: the server had closed it, is
    /// about to, or refuses to write through it. Another connection may do.
    Elsewhere,
    /// The connection broke before there was an answer. The step may have been carried out, or may
    /// be yet.
    Unknown,
    /// Nothing was changed, and another try would change nothing about it.
    Final,
}

/// Why a step failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: sqlx::Error,
    pub(super) outcome: Outcome,
}

impl Failure {
    pub(super) fn new(cause: sqlx::Error, outcome: Outcome) -> Self {
        Self { cause, outcome }
    }

    /// The same failure of a statement within a transaction: as it was not committed, nothing was
    /// changed.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(super) fn uncommitted(mut self) -> Self {
        if self.outcome == Outcome::Unknown {
            self.outcome = Outcome::Elsewhere;
        }
        self
    }

    /// The same failure of a `COMMIT`: a server that says good-bye then has perhaps carried it out.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(super) fn of_commit(mut self) -> Self {
        if self.outcome == Outcome::Elsewhere {
            self.outcome = Outcome::Unknown;
        }
        self
    }
}

/// An error before anything was sent, or in an answer that came.
impl From<sqlx::Error> for Failure {
    fn from(cause: sqlx::Error) -> Self {
        Self::new(cause, Outcome::Final)
    }
}

/// Whether a step may be carried out twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Twice {
    /// It comes to the same, or the step finds out that it was carried out before.
    Same,
    /// It would undo what was done between the two.
    No,
}

/// A step that the engine gave up for another one is begun so many times in all.
const TRIES: u32 = 10;

/// So many connections that seem to be new may fail: the server itself is to blame then.
const NEW_ONES: u32 = 2;

/// Runs a step until the engine lets it through, on other connections if those of the pool turn out
/// to be dead or read-only. The step is told whether an earlier try may have been carried out.
///
/// A pool may be full of connections from before a restart or a failover, so connections are tried
/// for as long as the pool has had an idle one. Each of them is closed, so that the next step does
/// not meet it again.
pub(super) async fn carried_out<E: Engine, T, F>(engine: &E, twice: Twice, mut step: impl FnMut(bool) -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let (mut given_up, mut new_ones, mut unknown) = (0, 0, false);
    let mut connections = engine.connections();
    loop {
        let was_new = engine.idle() == 0;
        let failure = match step(unknown).await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        match failure.outcome {
            Outcome::GivenUp if given_up + 1 < TRIES => {
                // 1, 2, 4 ... 64 ms: the other one is done by then.
                tokio::time::sleep(Duration::from_millis(1 << given_up.min(6))).await;
                given_up += 1;
            }
            Outcome::Elsewhere | Outcome::Unknown if failure.outcome == Outcome::Elsewhere || twice == Twice::Same => {
                unknown |= failure.outcome == Outcome::Unknown;
                new_ones += u32::from(was_new);
                if new_ones >= NEW_ONES || connections == 0 {
                    return Err(failure);
                }
                connections -= 1;
            }
            _ => return Err(failure),
        }
    }
}

/// The error that a user of the store sees.
pub(super) fn store(failure: Failure) -> Error {
    let error = failure.cause;
    if is_missing_table(&error) {
        Error::store(MissingTables(Cause::new(error.into())))
    } else if is_pooled(&error) {
        Error::store(Pooled(Cause::new(error.into())))
    } else if is_bad_value(&error) {
        bad_value()
    } else {
        Error::store(error)
    }
}

/// The same of a file of SQLite that was to be opened, which has a name.
#[cfg(feature = "sqlite")]
pub(super) fn of_file(failure: Failure, path: &Path) -> Error {
    // SQLITE_CANTOPEN, whose more exact forms have it in their last byte.
    let code = failure.cause.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    if code.is_none_or(|code| code & 0xff != 14) {
        return store(failure);
    }
    Error::store(NotOpened {
        path: path.to_owned(),
        cause: Cause::new(failure.cause.into()),
    })
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

/// Tells whether the database works and only what it was given does not fit: a character (22021,
/// 22P05), a length (22001), a size.
fn is_bad_value(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        matches!(error.code().as_deref(), Some("22021" | "22P05" | "22001" | "54000"))
            || ["max_allowed_packet", "string or blob too big"]
                .iter()
                .any(|text| error.message().contains(text))
    })
}

/// Tells whether a prepared statement was not where it had been prepared.
fn is_pooled(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("26000" | "42P05"))
}

/// A row that this store has not written.
pub(super) fn malformed() -> Failure {
    sqlx::Error::Decode("a row of the session tables is not what this store writes".into()).into()
}

/// SQLite says no more than that it could not.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
struct NotOpened {
    path: PathBuf,
    cause: Cause,
}

#[cfg(feature = "sqlite")]
impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the SQLite file {:?} cannot be opened: see that its folder is there, and that the program may write to both",
            self.path
        )
    }
}

#[cfg(feature = "sqlite")]
impl std::error::Error for NotOpened {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.cause.as_source())
    }
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

/// Statements do not meet the connection on which they were prepared.
#[derive(Debug)]
struct Pooled(Cause);

impl fmt::Display for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the connections go through a pooler that lends each transaction another one, where prepared statements are not \
             known: let the store be made by `SqlStore::connect`, which notices that, or call `SqlStore::unprepared`",
        )
    }
}

impl std::error::Error for Pooled {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_source())
    }
}
