//! PostgreSQL.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Executor as _, PgPool, Postgres};

use crate::{
    session::SessionId,
    store::{
        Applied, Changes, Created, HashedTicket, Record,
        sql::{
            engine::{Arg, Engine, Kind, Query, Result, Row, Transaction, driver_query, rows},
            error::retried,
            lease::{self, Lease},
            schema::Tables,
            statements::{Dialect, Statements, spelled},
            steps,
        },
    },
};

const DIALECT: Dialect = Dialect {
    numbered: true,
    greatest: "GREATEST",
    overwrite: " ON CONFLICT (session, name) DO UPDATE SET value = EXCLUDED.value",
    // An array, so that the inner query runs once; several sweepers share the work.
    sweep: "DELETE FROM {} WHERE id = ANY (ARRAY(\
            SELECT id FROM {} WHERE expires < ? ORDER BY expires LIMIT ? FOR UPDATE SKIP LOCKED))",
    schema,
};

/// Names the lock that whoever changes the schema holds: "sessions" in ASCII.
const LOCK: i64 = 0x7365_7373_696f_6e73;

#[derive(Clone)]
pub(in crate::store::sql) struct Server {
    pool: PgPool,
    statements: Arc<Statements>,
    create: Arc<str>,
    set: Arc<str>,
}

impl Server {
    pub(in crate::store::sql) async fn url(url: &str, tables: Tables) -> Result<Self> {
        Ok(Self::pool(lease::options().connect(url).await?, tables))
    }

    pub(in crate::store::sql) fn pool(pool: PgPool, tables: Tables) -> Self {
        let statements = Arc::new(Statements::new(&DIALECT, tables));
        let Tables { values, .. } = &statements.tables;
        // A session and its values in one statement, which is one round trip and one transaction.
        let with_values = |session: &str, overwrite: &str| {
            let first = session.matches('$').count() + 1;
            let second = first + 1;
            Arc::from(format!(
                "WITH written AS ({session} RETURNING id), kept AS (INSERT INTO {values} (session, name, value) \
                 SELECT written.id, given.name, given.value FROM written, \
                 UNNEST(${first}::bytea[], ${second}::text[]) AS given (name, value){overwrite}) \
                 SELECT id FROM written"
            ))
        };
        let create = with_values(&statements.create, "");
        let set = with_values(&statements.update, DIALECT.overwrite);
        Self {
            pool,
            statements,
            create,
            set,
        }
    }

    pub(in crate::store::sql) fn named(&mut self, tables: Tables) {
        *self = Self::pool(self.pool.clone(), tables);
    }

    pub(in crate::store::sql) async fn create(&self, id: &SessionId, record: &Record, now: u64) -> Result<Created> {
        let values: Vec<(&str, &str)> = record.values.iter().collect();
        let insert = || self.with_values(&self.create, steps::created(id, record), &values);
        match retried::<Self, _, _>(insert).await {
            Ok(_) => Ok(Created::Created),
            Err(error) if steps::is_taken(&error) => steps::create(self, id, record, now).await,
            Err(error) => Err(error),
        }
    }

    /// All statements of a transaction see what was committed before each of them, but those within one statement see what
    /// was there when it began. The row's lock may be had much later than that. So one statement is right only where nothing
    /// is looked at: values that are set are set whatever was there, while one that is to be removed must be seen.
    pub(in crate::store::sql) async fn apply(
        &self,
        ticket: &HashedTicket,
        changes: &Changes,
        now: u64,
    ) -> Result<Applied> {
        if steps::keeps_data(changes) || changes.cleared || !changes.expected.is_empty() || !changes.removed.is_empty()
        {
            return steps::apply(self, ticket, changes, now).await;
        }
        let values = steps::set(changes);
        let set = || self.with_values(&self.set, steps::updated(ticket, changes, now), &values);
        retried::<Self, _, _>(set).await.map(steps::updated_or_gone)
    }

    async fn read(&self, query: &Query<'_>) -> Result<Vec<sqlx::postgres::PgRow>> {
        for _ in 0..self.pool.options().get_max_connections() {
            let mut lease = Lease::new(&self.pool).await?;
            let done = driver_query!(query).fetch_all(&mut *lease).await;
            if !done.as_ref().is_err_and(lease::was_closed) {
                return lease.end_with(done);
            }
        }
        let mut lease = Lease::new(&self.pool).await?;
        let done = driver_query!(query).fetch_all(&mut *lease).await;
        lease.end_with(done)
    }

    /// A connection on which this has been done. Nothing is changed yet, so the connection may be another one.
    async fn after(&self, sql: &'static str) -> Result<Lease<Postgres>> {
        for _ in 0..self.pool.options().get_max_connections() {
            let mut lease = Lease::new(&self.pool).await?;
            match (*lease).execute(sql).await {
                Err(error) if lease::was_closed(&error) => {}
                done => return done.map(|_| lease),
            }
        }
        let mut lease = Lease::new(&self.pool).await?;
        (*lease).execute(sql).await?;
        Ok(lease)
    }

    async fn with_values(&self, sql: &Arc<str>, args: Vec<Arg<'_>>, values: &[(&str, &str)]) -> Result<u64> {
        let names: Vec<&[u8]> = values.iter().map(|(name, _)| name.as_bytes()).collect();
        let texts: Vec<&str> = values.iter().map(|(_, json)| *json).collect();
        let query = Query::new(sql, args);
        let mut lease = Lease::new(&self.pool).await?;
        let done = driver_query!(&query).bind(names).bind(texts).execute(&mut *lease).await;
        Ok(lease.end_with(done)?.rows_affected())
    }
}

fn schema(tables: &Tables) -> Vec<Vec<String>> {
    let Tables { sessions, values, .. } = tables;
    vec![vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {sessions} (\
             id BYTEA NOT NULL PRIMARY KEY, secret BYTEA NOT NULL, created BIGINT NOT NULL, sent BIGINT NOT NULL, \
             seen BIGINT NOT NULL, authenticated BIGINT, max_age BIGINT, expires BIGINT NOT NULL, owner BYTEA, \
             label BYTEA)"
        ),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_expires ON {sessions} (expires)"),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_owner ON {sessions} (owner) WHERE owner IS NOT NULL"),
        format!(
            "CREATE TABLE IF NOT EXISTS {values} (\
             session BYTEA NOT NULL REFERENCES {sessions} (id) ON DELETE CASCADE, name BYTEA NOT NULL, \
             value TEXT NOT NULL, PRIMARY KEY (session, name))"
        ),
    ]]
}

impl Engine for Server {
    type Transaction = Lease<Postgres>;

    fn statements(&self) -> &Statements {
        &self.statements
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        // Said aloud, for a database whose default is another: each statement must see what was committed before it.
        self.after("BEGIN ISOLATION LEVEL READ COMMITTED").await
    }

    async fn begin_alone(&self) -> Result<Self::Transaction> {
        let mut lease = self.begin().await?;
        let lock = spelled(&DIALECT, "SELECT pg_advisory_xact_lock(?)");
        sqlx::query(AssertSqlSafe(lock))
            .persistent(false)
            .bind(LOCK)
            .execute(&mut *lease)
            .await?;
        Ok(lease)
    }

    async fn execute(&self, query: &Query<'_>) -> Result<u64> {
        let mut lease = Lease::new(&self.pool).await?;
        let done = driver_query!(query).execute(&mut *lease).await;
        Ok(lease.end_with(done)?.rows_affected())
    }

    async fn fetch(&self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let found = self.read(query).await?;
        rows!(found, kinds)
    }

    fn is_passing(error: &sqlx::Error) -> bool {
        // A deadlock, or a conflict of serialisable transactions.
        let code = error.as_database_error().and_then(|error| error.code());
        matches!(code.as_deref(), Some("40P01" | "40001"))
    }
}

impl Transaction for Lease<Postgres> {
    async fn execute(&mut self, query: &Query<'_>) -> Result<u64> {
        let done = driver_query!(query).execute(&mut **self).await?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let found = driver_query!(query).fetch_all(&mut **self).await?;
        rows!(found, kinds)
    }

    async fn commit(mut self) -> Result<()> {
        (*self).execute("COMMIT").await?;
        self.end();
        Ok(())
    }

    async fn rollback(mut self) -> Result<()> {
        (*self).execute("ROLLBACK").await?;
        self.end();
        Ok(())
    }
}
