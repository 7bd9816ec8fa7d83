//! SQLite: one file, or memory.

use std::{
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::Arc,
    time::Duration,
};

use sqlx::{
    Sqlite, SqlitePool, Transaction as SqliteTransaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::sql::{
    engine::{Cell, Engine, Kind, Query, Result, Row, Transaction, driver_query, rows},
    error::{Failure, Outcome},
    schema::{Tables, first_end},
    statements::{Dialect, Statements},
};

const DIALECT: Dialect = Dialect {
    numbered: false,
    greatest: "MAX",
    overwrite: " ON CONFLICT (session, name) DO UPDATE SET value = excluded.value",
    add: " ON CONFLICT (owner) DO UPDATE SET logins = {}.logins + excluded.logins, mark = {}.mark + excluded.mark, \
          ended = MAX({}.ended, excluded.ended), kept_until = MAX({}.kept_until, excluded.kept_until)",
    share: "",
    sweep: "DELETE FROM {} WHERE id IN (SELECT id FROM {} WHERE expires < ? ORDER BY expires LIMIT ?)",
    schema,
};

/// How long a writer waits for its turn, and for a writer of another process.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(in crate::store::sql) struct File {
    /// SQLite has one writer at a time, so writers of this process queue here, in order, and not at the file's lock, where
    /// they would poll and be overtaken.
    writer: SqlitePool,
    reader: SqlitePool,
    statements: Arc<Statements>,
}

impl File {
    pub(in crate::store::sql) async fn file(path: &Path, tables: Tables) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(plain(path))
            .create_if_missing(true);
        Self::open(writing(options), false, tables).await
    }

    pub(in crate::store::sql) async fn url(url: &str, tables: Tables) -> Result<Self> {
        // The options do not tell what they were made of.
        let Asked { in_memory, mode, .. } = Asked::of(url);
        let options = SqliteConnectOptions::from_str(url)?;
        let options = if in_memory {
            options
        } else {
            let path = plain(options.get_filename());
            writing(options.filename(path)).create_if_missing(!mode)
        };
        Self::open(options, in_memory, tables).await
    }

    /// The path in a URL; empty if it is none.
    pub(in crate::store::sql) fn name(url: &str) -> PathBuf {
        SqliteConnectOptions::from_str(url).map_or_else(|_| PathBuf::new(), |options| options.get_filename().to_owned())
    }

    async fn open(options: SqliteConnectOptions, in_memory: bool, tables: Tables) -> Result<Self> {
        let options = options.foreign_keys(true).busy_timeout(PATIENCE);
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(PATIENCE)
                .test_before_acquire(false)
        };
        // A file that cannot be opened is an error here and not in the first request. And the first connection changes the
        // journal's mode alone.
        let writer = pool()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        let file = Self::pool(writer.clone(), tables);
        file.writes().await?;
        let reader = if in_memory {
            // Another connection would be another database, or wait for locks that nobody waits for patiently.
            writer.clone()
        } else {
            let threads = std::thread::available_parallelism().map_or(4, |count| count.get() as u32);
            pool().max_connections(threads.clamp(2, 8)).connect_lazy_with(options)
        };
        Ok(Self { reader, ..file })
    }

    /// Tells whether anything can be written. SQLite opens a file for reading only if it may not be
    /// written to, and says nothing.
    async fn writes(&self) -> Result<()> {
        let read_only = match self.begin().await {
            Ok(mut begun) => {
                // A transaction may begin all the same; so something is written that is there
                // already.
                let asked = begun.fetch(&Query::once("PRAGMA user_version"), &[Kind::Int]).await?;
                let version = match asked.first().and_then(|row| row.first()) {
                    Some(&Cell::Int(version)) => version,
                    _ => 0,
                };
                let same = Query::once(&format!("PRAGMA user_version = {version}"));
                let written = begun.execute(&same).await;
                Transaction::rollback(begun).await?;
                written.is_err_and(|failure| is_read_only(&failure.cause))
            }
            // A file that another process holds now can be written to later.
            Err(failure) => is_read_only(&failure.cause),
        };
        if read_only {
            return Err(sqlx::Error::Configuration(READ_ONLY.into()).into());
        }
        Ok(())
    }

    pub(in crate::store::sql) fn pool(pool: SqlitePool, tables: Tables) -> Self {
        Self {
            writer: pool.clone(),
            reader: pool,
            statements: Arc::new(Statements::new(&DIALECT, tables)),
        }
    }

    pub(in crate::store::sql) fn named(&mut self, tables: Tables) {
        self.statements = Arc::new(Statements::new(&DIALECT, tables));
    }
}

/// Readers and the writer do not wait for each other, and a commit is on the disk before it is one.
fn writing(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
}

/// The wishes of a URL besides the file.
#[derive(Debug, PartialEq)]
pub(in crate::store::sql) struct Asked {
    /// No file is named.
    pub(in crate::store::sql) nothing: bool,
    /// It is a database of this process, which ends with it.
    in_memory: bool,
    /// Nobody may write to it.
    pub(in crate::store::sql) read_only: bool,
    /// It says itself whether the file is made.
    mode: bool,
}

impl Asked {
    /// Reads a URL as the driver does: the file's name ends at the first `?`, and what follows are
    /// pairs.
    pub(in crate::store::sql) fn of(url: &str) -> Self {
        let rest = url.trim_start_matches("sqlite://").trim_start_matches("sqlite:");
        let (file, query) = rest.split_once('?').unwrap_or((rest, ""));
        let pairs: Vec<(String, String)> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decoded(key), decoded(value)))
            .collect();
        let says = |key: &str, values: &[&str]| {
            let mut pairs = pairs.iter().filter(|(name, _)| name == key);
            pairs.any(|(_, value)| values.is_empty() || values.contains(&value.as_str()))
        };
        let in_memory = file == ":memory:" || says("mode", &["memory"]);
        Self {
            nothing: file.is_empty() && !in_memory,
            in_memory,
            read_only: !in_memory && (says("mode", &["ro"]) || says("immutable", &["1", "true"])),
            mode: says("mode", &[]),
        }
    }
}

/// The text of a part of a query, in which bytes may be spelled `%41` and a space `+`.
fn decoded(text: &str) -> String {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        rest = after;
        decoded.push(match (first, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => *first,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The file of this name, even if SQLite has a meaning of its own for it.
fn plain(path: &Path) -> PathBuf {
    let name = path.as_os_str().as_encoded_bytes();
    if name.starts_with(b":") || name.starts_with(b"file:") {
        return Path::new(".").join(path);
    }
    path.to_owned()
}

fn schema(tables: &Tables) -> Vec<Vec<String>> {
    let Tables {
        sessions,
        values,
        owners,
        ends,
        ..
    } = tables;
    vec![vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {sessions} (\
             id BLOB NOT NULL PRIMARY KEY, secret BLOB NOT NULL, created INTEGER NOT NULL, sent INTEGER NOT NULL, \
             seen INTEGER NOT NULL, authenticated INTEGER, begun INTEGER NOT NULL, max_age INTEGER, expires INTEGER NOT NULL, \
             owner BLOB, owner_name BLOB, login INTEGER NOT NULL, label BLOB, renewed_from BLOB, renewed_at INTEGER) WITHOUT ROWID"
        ),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_expires ON {sessions} (expires)"),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_begun ON {sessions} (begun, id)"),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_owner ON {sessions} (owner, login) WHERE owner IS NOT NULL"),
        format!(
            "CREATE TABLE IF NOT EXISTS {values} (\
             session BLOB NOT NULL REFERENCES {sessions} (id) ON DELETE CASCADE, name BLOB NOT NULL, \
             value BLOB NOT NULL, PRIMARY KEY (session, name)) WITHOUT ROWID"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {owners} (\
             owner BLOB NOT NULL PRIMARY KEY, logins INTEGER NOT NULL, mark INTEGER NOT NULL, \
             ended INTEGER NOT NULL, kept_until INTEGER NOT NULL) WITHOUT ROWID"
        ),
        format!("CREATE INDEX IF NOT EXISTS {owners}_kept_until ON {owners} (kept_until)"),
        format!(
            "CREATE TABLE IF NOT EXISTS {ends} (\
             one INTEGER NOT NULL PRIMARY KEY, mark INTEGER NOT NULL, epoch INTEGER NOT NULL)"
        ),
        first_end(tables),
    ]]
}

impl Engine for File {
    type Transaction = SqliteTransaction<'static, Sqlite>;

    fn statements(&self) -> &Statements {
        &self.statements
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        // At once: a transaction that begins as a reader cannot become a writer when another one was there meanwhile.
        answered(self.writer.begin_with("BEGIN IMMEDIATE").await)
    }

    async fn begin_alone(&self) -> Result<Self::Transaction> {
        self.begin().await
    }

    async fn execute(&self, query: &Query<'_>) -> Result<u64> {
        Ok(answered(driver_query!(query).execute(&self.writer).await)?.rows_affected())
    }

    async fn fetch(&self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let found = answered(driver_query!(query).fetch_all(&self.reader).await)?;
        rows!(found, kinds)
    }

    async fn prepare(&self) -> Result<()> {
        self.writes().await
    }

    // There is no server that could go away.
    fn connections(&self) -> u32 {
        0
    }

    fn idle(&self) -> usize {
        0
    }
}

const READ_ONLY: &str = "the SQLite database cannot be written to, and each login is written: let the program write to the file \
                         and to its folder, and connect without `mode=ro` and `immutable`";

fn is_read_only(error: &sqlx::Error) -> bool {
    // SQLITE_READONLY, whose more exact forms have it in their last byte.
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 8)
}

/// The outcome of a statement.
fn answered<T>(done: sqlx::Result<T>) -> Result<T> {
    done.map_err(|cause| {
        // Locked, by a connection of the same shared cache or not; busy while another process recovers the file, or since it
        // wrote first. Plain "busy" comes after all patience is gone.
        let code = cause.as_database_error().and_then(|error| error.code());
        let outcome = match code.as_deref() {
            Some("6" | "262" | "261" | "517") => Outcome::GivenUp,
            _ => Outcome::Final,
        };
        Failure::new(cause, outcome)
    })
}

impl Transaction for SqliteTransaction<'static, Sqlite> {
    async fn execute(&mut self, query: &Query<'_>) -> Result<u64> {
        Ok(answered(driver_query!(query).execute(&mut **self).await)?.rows_affected())
    }

    async fn fetch(&mut self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let found = answered(driver_query!(query).fetch_all(&mut **self).await)?;
        rows!(found, kinds)
    }

    async fn commit(self) -> Result<()> {
        answered(SqliteTransaction::commit(self).await)
    }

    async fn rollback(self) -> Result<()> {
        answered(SqliteTransaction::rollback(self).await)
    }
}
