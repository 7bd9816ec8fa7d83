//! Sessions in a database that the application may have already.

/// The same for whichever engine it is.
macro_rules! on {
    ($store:expr, $engine:ident => $step:expr) => {
        match $store {
            #[cfg(feature = "sqlite")]
            $crate::store::sql::Engine::Sqlite($engine) => $step,
            #[cfg(feature = "postgres")]
            $crate::store::sql::Engine::Postgres($engine) => $step,
            #[cfg(feature = "mysql")]
            $crate::store::sql::Engine::MySql($engine) => $step,
        }
    };
}

mod contract;
mod dialect;
mod ends;
mod engine;
mod error;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod lease;
mod login;
mod read;
mod schema;
mod statements;
mod steps;
mod sweeper;

use std::{fmt, time::Duration};

#[cfg(feature = "mysql")]
use self::dialect::mysql;
#[cfg(feature = "postgres")]
use self::dialect::postgres;
#[cfg(feature = "sqlite")]
use self::dialect::sqlite;
use self::schema::Tables;
pub use self::sweeper::Sweeper;
use crate::error::Error;

/// Sessions in SQLite, PostgreSQL, MySQL or MariaDB: durable, and they can be found by owner. A clone is cheap and the same
/// store.
///
/// ```
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// # #[cfg(feature = "sqlite")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use std::time::Duration;
/// use http_session::{SessionLayer, store::SqlStore};
///
/// let store = SqlStore::connect("sqlite::memory:").await?; // or postgres://..., mysql://..., mariadb://...
/// store.migrate().await?; // makes the tables, if they are not there
/// let sweeper = store.sweep_every(Duration::from_secs(600))?; // until it is dropped
/// let layer = SessionLayer::with_store(store).build()?;
/// # drop((sweeper, layer));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
///
/// # Which engine
///
/// | engine | for | an acknowledged change survives |
/// |---|---|---|
/// | SQLite, a file | one machine, with nothing to run beside it; several processes may share the file | a crash of the process, and of the machine: each commit waits for the disk (`synchronous = FULL`, in WAL mode) |
/// | SQLite, memory | tests | nothing: it ends with the process |
/// | PostgreSQL 9.5 and later | several machines | what its `synchronous_commit` promises: by default a crash of the server's machine |
/// | MySQL 5.7, MariaDB 10.3 and later (`InnoDB`) | several machines | what `innodb_flush_log_at_trx_commit` promises: by default a crash of the server's machine |
///
/// A change is one transaction, which first locks the session's row: two requests of one session are one after the other, and
/// sessions do not wait for each other (but in SQLite, which has one writer at a time). What the engine gives up in favour of
/// another transaction (a deadlock) is tried again, up to ten times.
///
/// Nobody notices that a SQLite file was removed or replaced while the program runs: the program
/// goes on with the file that it has opened, and what it writes is gone with the process. So stop
/// the program before a file is restored.
///
/// | round trips | PostgreSQL | MySQL, MariaDB |
/// |---|---|---|
/// | read a session | 1 | 1 |
/// | keep a new session | 1 | 4 |
/// | set values | 1 | 4 |
/// | `renew`, a refresh, a logout, `clear` with nothing after it | 1 | 1 |
/// | remove values, `update` | 4 to 6 | 4 to 6 |
/// | log in an owner | 7 to 10 | 7 to 10 |
///
/// A login of an owner locks the owner's row and shares the lock of a row that stands for all, so
/// that the logins of one owner are one after the other, and an end of all sessions waits for
/// those that are on their way and refuses the others. An end works through pages of 500
/// sessions, each a transaction of its own with 10 s; what another transaction holds is left to
/// the last, and is an error only if it is held still. A session of nobody that begins in the very
/// moment of an end may come through.
///
/// # Connections
///
/// A connection that turns out dead, or on a server that does not write any more, is closed and
/// the step goes on with another one, where the server has said that nothing was changed: after a
/// restart or a failover the next request works. If a connection breaks and nobody knows whether
/// the step was carried out, it is done again where that comes to the same (reads, refreshes,
/// logouts, sweeps) or can be told (new sessions and renewals, by their secret), and is an error
/// else. For 5 s after that each connection is asked whether it lives, which is one more round
/// trip, so that one step at most meets a dead one.
///
/// A caller who loses interest, as one whose client hangs up, costs the pool no connection: the
/// statement under way comes to its end in the background, a transaction is rolled back, and the
/// connection goes back. After a second without an answer it is closed.
///
/// # An existing pool
///
/// `SqlStore::from(pool)` takes a `SqlitePool`, a `PgPool` or a `MySqlPool` of sqlx 0.9 as it is. Turning off
/// `test_before_acquire` saves a round trip for each step, as [`connect`](Self::connect) does. A SQLite pool must
/// have `foreign_keys` on, as is sqlx's default, and should have `journal_mode` WAL and few connections: all of them write.
/// A MySQL pool must have `autocommit` on, which is asked of the first connection; `connect` sets
/// it.
///
/// # Poolers
///
/// `PgBouncer` in session or transaction mode may stand before PostgreSQL: `connect` notices it and
/// prepares nothing then; for an existing pool say [`unprepared`](Self::unprepared). Statement mode
/// has no transactions, so it does not work.
///
/// # TLS
///
/// This crate turns on no TLS in sqlx. Name sqlx in your own manifest and choose one of its features, which then hold for
/// this crate as well: `sqlx = { version = "0.9", default-features = false, features = ["tls-rustls-ring-webpki"] }` or
/// `tls-rustls-ring-native-roots`, `tls-rustls-aws-lc-rs`, `tls-native-tls`. Then ask for it in the URL: `?sslmode=verify-full`
/// (PostgreSQL), `?ssl-mode=VERIFY_IDENTITY` (MySQL); the default of both is "if the server has it". Over a plain connection
/// MySQL 8 asks for sqlx's feature `mysql-rsa` as well.
///
/// # Limits
///
/// A session key may have 2,048 bytes; beyond that `apply` and `create` of the
/// [store](super::Store) answer [`Error::Value`]. So they do for a value above MySQL's
/// `max_allowed_packet` (16 MB by default). Keys, values, owners and labels are bytes to each
/// engine: they come back as they were, and are told apart as in Rust, whatever the database's
/// encoding and collation.
///
/// # Errors
///
/// Every method answers [`Error::Store`] with sqlx's error as its source; when the tables are missing, the source says that
/// [`migrate`](Self::migrate) is to be called. A step waits 5 s for a connection (SQLite: 10 s for its turn); how long a
/// silent server is waited for after that is the layer's setting.
#[derive(Clone)]
pub struct SqlStore {
    engine: Engine,
}

/// SQLite would make a database for each connection, and remove it with it.
#[cfg(feature = "sqlite")]
const NO_FILE: &str = "no SQLite file is named: give the path of a file, or `sqlite::memory:` in tests";

#[derive(Clone)]
enum Engine {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::File),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Server),
    #[cfg(feature = "mysql")]
    MySql(mysql::Server),
}

impl SqlStore {
    /// Connects to a database; what the URL begins with says which: `sqlite:`, `postgres:`, `postgresql:`, `mysql:` or
    /// `mariadb:`. What else it may say is sqlx's: user, password, host, database and options such as `sslmode`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a URL of another kind, or of an engine whose feature is off, or of a
    /// SQLite database without a name or for reading only; [`Error::Store`] if the database cannot
    /// be reached, or its file not be written to.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let tables = Tables::default();
        let engine = match url.split(':').next() {
            #[cfg(feature = "sqlite")]
            Some("sqlite") => {
                let asked = sqlite::Asked::of(url);
                if asked.nothing {
                    return Err(Error::config(NO_FILE));
                }
                if asked.read_only {
                    return Err(Error::config(
                        "the URL opens the SQLite database for reading only, and each login is written: leave out `mode=ro` \
                         and `immutable`",
                    ));
                }
                let file = sqlite::File::url(url, tables).await;
                let file = file.map_err(|failure| error::of_file(failure, &sqlite::File::name(url)))?;
                Ok(Engine::Sqlite(file))
            }
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => postgres::Server::url(url, tables).await.map(Engine::Postgres),
            #[cfg(feature = "mysql")]
            Some("mysql" | "mariadb") => mysql::Server::url(url, tables).await.map(Engine::MySql),
            _ => {
                return Err(Error::config(
                    "the URL of a session database begins with sqlite:, postgres:, mysql: or mariadb:, and the feature of that \
                     name (`sqlite`, `postgres`, `mysql`) must be turned on in Cargo.toml",
                ));
            }
        };
        let engine = engine.map_err(error::store)?;
        Ok(Self { engine })
    }

    /// Opens a SQLite file, and makes it if there is none. Its folder must be there. No name has a
    /// meaning of its own: `:memory:` is a file of this name.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an empty path; [`Error::Store`] if the file cannot be opened or not be
    /// written to.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        if path.as_ref().as_os_str().is_empty() {
            return Err(Error::config(NO_FILE));
        }
        let file = sqlite::File::file(path.as_ref(), Tables::default()).await;
        Ok(Self {
            engine: Engine::Sqlite(file.map_err(|failure| error::of_file(failure, path.as_ref()))?),
        })
    }

    /// Lets the names of the tables begin with this instead of `http_`, as `myapp_` or `other_schema_`: for two applications
    /// in one database.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it is more than 32 of a-z, 0-9 and _, or begins with a digit.
    pub fn table_prefix(mut self, prefix: &str) -> Result<Self, Error> {
        let tables = Tables::new(prefix)?;
        on!(&mut self.engine, engine => engine.named(tables));
        Ok(self)
    }

    /// Sends PostgreSQL each statement as one text, with nothing prepared: for a pool whose
    /// connections go through a pooler such as `PgBouncer` in transaction mode, which lends each
    /// transaction another connection of the server. Values go as hexadecimal digits then, twice as
    /// long, and the server plans each statement anew; round trips are the same.
    ///
    /// [`connect`](Self::connect) notices such a pooler and does this by itself, unless the pooler
    /// passes on `extra_float_digits`. Other engines know no difference.
    #[must_use]
    pub fn unprepared(mut self) -> Self {
        match &mut self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(server) => server.as_text(),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(_) => {}
            #[cfg(feature = "mysql")]
            Engine::MySql(_) => {}
        }
        self
    }

    /// Makes the tables, or brings those of an older version of this crate to the newest one. Nothing happens if they are at
    /// it, and several processes may call it at once, so it can simply stand where the program starts.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the database cannot be reached, or does not allow it.
    pub async fn migrate(&self) -> Result<(), Error> {
        on!(&self.engine, engine => schema::migrate(engine).await).map_err(error::store)
    }

    /// The SQL that [`migrate`](Self::migrate) runs on an empty database, for those who run their migrations themselves. It may
    /// be run twice.
    #[must_use]
    pub fn schema(&self) -> String {
        on!(&self.engine, engine => schema::text(engine::Engine::statements(engine)))
    }

    /// Which version of the schema the database has; 0 for none. This version of the crate needs 1.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the database cannot be reached, or there are no tables.
    pub async fn schema_version(&self) -> Result<u32, Error> {
        on!(&self.engine, engine => schema::version_of(engine).await).map_err(error::store)
    }

    /// Deletes expired sessions now and then every `period`, in the background, until the
    /// [`Sweeper`] is dropped: keep it in a variable for as long as the program runs (`let _ = ..`
    /// drops it at once, which is an event). Several processes may do so at once. An expired
    /// session is not there for anybody, swept or not; this only makes room. A sweep that fails is
    /// an event (feature `tracing`), and the next one tries again.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if `period` is zero, or there is no Tokio runtime.
    pub fn sweep_every(&self, period: Duration) -> Result<Sweeper, Error> {
        Sweeper::start(self.clone(), period)
    }
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = match self.engine {
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(_) => "SQLite",
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => "PostgreSQL",
            #[cfg(feature = "mysql")]
            Engine::MySql(_) => "MySQL",
        };
        f.debug_struct("SqlStore")
            .field("engine", &engine)
            .finish_non_exhaustive()
    }
}

macro_rules! from_pool {
    ($feature:literal, $pool:ident, $engine:ident, $made:path) => {
        #[cfg(feature = $feature)]
        impl From<sqlx::$pool> for SqlStore {
            fn from(pool: sqlx::$pool) -> Self {
                Self {
                    engine: Engine::$engine($made(pool, Tables::default())),
                }
            }
        }
    };
}

from_pool!("sqlite", SqlitePool, Sqlite, sqlite::File::pool);
from_pool!("postgres", PgPool, Postgres, postgres::Server::pool);
from_pool!("mysql", MySqlPool, MySql, mysql::Server::pool);
