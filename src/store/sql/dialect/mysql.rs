//! MySQL and MariaDB.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Executor as _, MySql, MySqlPool};

use crate::store::sql::{
    engine::{Engine, Kind, Query, Result, Row, Transaction, driver_query, rows},
    lease::{self, Lease},
    schema::Tables,
    statements::{Dialect, Statements},
};

const DIALECT: Dialect = Dialect {
    numbered: false,
    greatest: "GREATEST",
    overwrite: " ON DUPLICATE KEY UPDATE value = VALUES(value)",
    sweep: "DELETE FROM {} WHERE expires < ? ORDER BY expires LIMIT ?",
    schema,
};

#[derive(Clone)]
pub(in crate::store::sql) struct Server {
    pool: MySqlPool,
    statements: Arc<Statements>,
}

impl Server {
    pub(in crate::store::sql) async fn url(url: &str, tables: Tables) -> Result<Self> {
        Ok(Self::pool(lease::options().connect(url).await?, tables))
    }

    pub(in crate::store::sql) fn pool(pool: MySqlPool, tables: Tables) -> Self {
        Self {
            pool,
            statements: Arc::new(Statements::new(&DIALECT, tables)),
        }
    }

    pub(in crate::store::sql) fn named(&mut self, tables: Tables) {
        self.statements = Arc::new(Statements::new(&DIALECT, tables));
    }

    async fn read(&self, query: &Query<'_>) -> Result<Vec<sqlx::mysql::MySqlRow>> {
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
    async fn after(&self, sql: &'static str) -> Result<Lease<MySql>> {
        for _ in 0..self.pool.options().get_max_connections() {
            let mut lease = Lease::new(&self.pool).await?;
            match lease.execute(sql).await {
                Err(error) if lease::was_closed(&error) => {}
                done => return done.map(|_| lease),
            }
        }
        let mut lease = Lease::new(&self.pool).await?;
        lease.execute(sql).await?;
        Ok(lease)
    }
}

/// Bytes everywhere: what is text to this engine is compared without regard to spaces at its end.
fn schema(tables: &Tables) -> Vec<Vec<String>> {
    let Tables { sessions, values, .. } = tables;
    vec![vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {sessions} (\
             id BINARY(32) NOT NULL PRIMARY KEY, secret BINARY(32) NOT NULL, created BIGINT NOT NULL, \
             sent BIGINT NOT NULL, seen BIGINT NOT NULL, authenticated BIGINT, max_age BIGINT, \
             expires BIGINT NOT NULL, owner VARBINARY(2048), label LONGBLOB, \
             INDEX {sessions}_expires (expires), INDEX {sessions}_owner (owner)) \
             ENGINE = InnoDB ROW_FORMAT = DYNAMIC"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {values} (\
             session BINARY(32) NOT NULL, name VARBINARY(2048) NOT NULL, value LONGBLOB NOT NULL, \
             PRIMARY KEY (session, name), \
             FOREIGN KEY (session) REFERENCES {sessions} (id) ON DELETE CASCADE) \
             ENGINE = InnoDB ROW_FORMAT = DYNAMIC"
        ),
    ]]
}

/// A connection in a transaction, or one that holds the lock for changes of the schema.
pub(in crate::store::sql) struct Begun {
    lease: Lease<MySql>,
    lock: Option<Arc<str>>,
}

impl Engine for Server {
    type Transaction = Begun;

    fn statements(&self) -> &Statements {
        &self.statements
    }

    async fn begin(&self) -> Result<Begun> {
        let lease = self.after("START TRANSACTION").await?;
        Ok(Begun { lease, lock: None })
    }

    async fn begin_alone(&self) -> Result<Begun> {
        // Changes of a schema are no transactions here. The lock is the server's, so it is named after database and tables.
        let lock = format!("SHA1(CONCAT(DATABASE(), '.{}'))", self.statements.tables.version);
        let mut lease = Lease::new(&self.pool).await?;
        let sql = AssertSqlSafe(format!("SELECT COALESCE(GET_LOCK({lock}, 60), 0)"));
        let locked: i64 = sqlx::query_scalar(sql).persistent(false).fetch_one(&mut *lease).await?;
        if locked != 1 {
            return Err(sqlx::Error::Protocol(
                "somebody else has changed the schema for a minute".into(),
            ));
        }
        Ok(Begun {
            lease,
            lock: Some(lock.into()),
        })
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
        // A deadlock; and MariaDB with `innodb_snapshot_isolation`: a row changed since it was read.
        let number = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>())
            .map(sqlx::mysql::MySqlDatabaseError::number);
        matches!(number, Some(1213 | 1020))
    }
}

impl Transaction for Begun {
    async fn execute(&mut self, query: &Query<'_>) -> Result<u64> {
        let done = driver_query!(query).execute(&mut *self.lease).await?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let found = driver_query!(query).fetch_all(&mut *self.lease).await?;
        rows!(found, kinds)
    }

    async fn commit(mut self) -> Result<()> {
        match self.lock {
            None => self.lease.execute("COMMIT").await?,
            Some(lock) => {
                self.lease
                    .execute(AssertSqlSafe(format!("DO RELEASE_LOCK({lock})")))
                    .await?
            }
        };
        self.lease.end();
        Ok(())
    }

    async fn rollback(mut self) -> Result<()> {
        if self.lock.is_none() {
            self.lease.execute("ROLLBACK").await?;
            self.lease.end();
        }
        Ok(())
    }
}
