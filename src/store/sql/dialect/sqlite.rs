//! SQLite: one file, or memory.

use std::{path::Path, str::FromStr as _, sync::Arc, time::Duration};

use sqlx::{
    Sqlite, SqlitePool, Transaction as SqliteTransaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::sql::{
    engine::{Engine, Kind, Query, Result, Row, Transaction, driver_query, rows},
    schema::Tables,
    statements::{Dialect, Statements},
};

const DIALECT: Dialect = Dialect {
    numbered: false,
    greatest: "MAX",
    overwrite: " ON CONFLICT (session, name) DO UPDATE SET value = excluded.value",
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
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        Self::open(writing(options), false, tables).await
    }

    pub(in crate::store::sql) async fn url(url: &str, tables: Tables) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?;
        // The options do not tell.
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let read_only = url.contains("mode=ro") || url.contains("immutable=");
        let options = if read_only || in_memory {
            options
        } else {
            writing(options)
        };
        let options = if url.contains("mode=") || read_only {
            options
        } else {
            options.create_if_missing(true)
        };
        Self::open(options, in_memory, tables).await
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
        let reader = if in_memory {
            // Another connection would be another database, or wait for locks that nobody waits for patiently.
            writer.clone()
        } else {
            let threads = std::thread::available_parallelism().map_or(4, |count| count.get() as u32);
            pool().max_connections(threads.clamp(2, 8)).connect_lazy_with(options)
        };
        Ok(Self {
            writer,
            reader,
            statements: Arc::new(Statements::new(&DIALECT, tables)),
        })
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

fn schema(tables: &Tables) -> Vec<Vec<String>> {
    let Tables { sessions, values, .. } = tables;
    vec![vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {sessions} (\
             id BLOB NOT NULL PRIMARY KEY, secret BLOB NOT NULL, created INTEGER NOT NULL, sent INTEGER NOT NULL, \
             seen INTEGER NOT NULL, authenticated INTEGER, max_age INTEGER, expires INTEGER NOT NULL, owner BLOB, \
             label BLOB) WITHOUT ROWID"
        ),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_expires ON {sessions} (expires)"),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_owner ON {sessions} (owner) WHERE owner IS NOT NULL"),
        format!(
            "CREATE TABLE IF NOT EXISTS {values} (\
             session BLOB NOT NULL REFERENCES {sessions} (id) ON DELETE CASCADE, name BLOB NOT NULL, \
             value TEXT NOT NULL, PRIMARY KEY (session, name)) WITHOUT ROWID"
        ),
    ]]
}

impl Engine for File {
    type Transaction = SqliteTransaction<'static, Sqlite>;

    fn statements(&self) -> &Statements {
        &self.statements
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        // At once: a transaction that begins as a reader cannot become a writer when another one was there meanwhile.
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    async fn begin_alone(&self) -> Result<Self::Transaction> {
        self.begin().await
    }

    async fn execute(&self, query: &Query<'_>) -> Result<u64> {
        let done = driver_query!(query).execute(&self.writer).await?;
        Ok(done.rows_affected())
    }

    async fn fetch(&self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let found = driver_query!(query).fetch_all(&self.reader).await?;
        rows!(found, kinds)
    }

    fn is_passing(error: &sqlx::Error) -> bool {
        // Locked, by a connection of the same shared cache or not; busy while another process recovers the file, or since it
        // wrote first. Plain "busy" comes after all patience is gone.
        let code = error.as_database_error().and_then(|error| error.code());
        matches!(code.as_deref(), Some("6" | "262" | "261" | "517"))
    }
}

impl Transaction for SqliteTransaction<'static, Sqlite> {
    async fn execute(&mut self, query: &Query<'_>) -> Result<u64> {
        let done = driver_query!(query).execute(&mut **self).await?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let found = driver_query!(query).fetch_all(&mut **self).await?;
        rows!(found, kinds)
    }

    async fn commit(self) -> Result<()> {
        SqliteTransaction::commit(self).await
    }

    async fn rollback(self) -> Result<()> {
        SqliteTransaction::rollback(self).await
    }
}
