//! MySQL and MariaDB.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use sqlx::{AssertSqlSafe, Executor as _, MySql, MySqlConnection, MySqlPool, mysql::MySqlDatabaseError};

use crate::store::sql::{
    engine::{Engine, Kind, Query, Result, Row, Transaction, driver_query, rows},
    error::{Failure, Outcome, malformed},
    lease::{self, Answer, Doubt, Lease, Served},
    read::{array_of, fetched, number},
    schema::{Tables, first_end},
    statements::{Dialect, Statements},
};

const DIALECT: Dialect = Dialect {
    numbered: false,
    greatest: "GREATEST",
    overwrite: " ON DUPLICATE KEY UPDATE value = VALUES(value)",
    add: " ON DUPLICATE KEY UPDATE logins = logins + VALUES(logins), mark = mark + VALUES(mark), \
          ended = GREATEST(ended, VALUES(ended)), \
          kept_until = GREATEST(kept_until, VALUES(kept_until))",
    share: " LOCK IN SHARE MODE",
    sweep: "DELETE FROM {} WHERE expires < ? ORDER BY expires LIMIT ?",
    schema,
};

/// A statement that is not in a transaction is committed, and a read sees what was committed before
/// it and nothing else.
const SET_UP: [&str; 2] = [
    "SET SESSION autocommit = 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
];

/// The bytes that a statement takes besides a value.
const OVERHEAD: u64 = 256;

/// So much each server takes at once, and not less.
const ALWAYS: u64 = 1_024;

const NO_AUTOCOMMIT: &str = "`autocommit` is off for the connections of this pool, so a logout would be rolled back when its \
                             connection is closed: set `autocommit = 1` in the pool's `after_connect`, or let \
                             `SqlStore::connect` make the pool";

#[derive(Clone)]
pub(in crate::store::sql) struct Server {
    pool: MySqlPool,
    doubt: Doubt,
    /// Whether each connection is set up by this store, or was seen to be as it must be.
    is_set_up: Arc<AtomicBool>,
    statements: Arc<Statements>,
}

impl Server {
    pub(in crate::store::sql) async fn url(url: &str, tables: Tables) -> Result<Self> {
        let options = lease::options().after_connect(|connection: &mut MySqlConnection, _| {
            Box::pin(async move {
                // A server or a database may set these otherwise for all its connections.
                for sql in SET_UP {
                    connection.execute(sql).await?;
                }
                Ok(())
            })
        });
        Ok(Self::new(options.connect(url).await?, true, tables))
    }

    pub(in crate::store::sql) fn pool(pool: MySqlPool, tables: Tables) -> Self {
        Self::new(pool, false, tables)
    }

    fn new(pool: MySqlPool, is_set_up: bool, tables: Tables) -> Self {
        Self {
            pool,
            doubt: Doubt::default(),
            is_set_up: Arc::new(AtomicBool::new(is_set_up)),
            statements: Arc::new(Statements::new(&DIALECT, tables)),
        }
    }

    /// Finds a value that is larger than the server takes at once, and says how much that is. The
    /// server is asked each time, since it may have been allowed more.
    pub(in crate::store::sql) async fn too_large<'a>(
        &self,
        values: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<(&'a str, u64)>> {
        let size = |(key, json): &(&str, &str)| (key.len() + json.len()) as u64 + OVERHEAD;
        let Some(largest) = values.max_by_key(size).filter(|value| size(value) > ALWAYS) else {
            return Ok(None);
        };
        let most = Query::once("SELECT CAST(@@max_allowed_packet AS SIGNED)");
        let rows = fetched(self, &most, &[Kind::Int]).await?;
        let [most] = array_of(rows.into_iter().next().ok_or_else(malformed)?)?;
        let most = number(&most)?;
        Ok((size(&largest) > most).then_some((largest.0, most)))
    }

    pub(in crate::store::sql) fn named(&mut self, tables: Tables) {
        self.statements = Arc::new(Statements::new(&DIALECT, tables));
    }

    /// A connection on which a statement that is not in a transaction is one by itself. Those of a
    /// pool of the application's own are all made in the same way, so one of them tells.
    async fn lease(&self) -> Result<Lease<MySql>> {
        let lease = Lease::new(&self.pool, &self.doubt).await?;
        if self.is_set_up.load(Relaxed) {
            return Ok(lease);
        }
        let query = sqlx::query_scalar("SELECT CAST(@@autocommit AS SIGNED)").persistent(false);
        let (lease, commits) = lease.run(|connection| Box::pin(query.fetch_one(connection))).await;
        let commits: i64 = commits.map_err(Failure::uncommitted)?;
        if commits != 1 {
            return Err(sqlx::Error::Configuration(NO_AUTOCOMMIT.into()).into());
        }
        self.is_set_up.store(true, Relaxed);
        Ok(lease)
    }
}

/// Bytes everywhere: what is text to this engine is compared without regard to spaces at its end.
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
             id BINARY(32) NOT NULL PRIMARY KEY, secret BINARY(32) NOT NULL, created BIGINT NOT NULL, \
             sent BIGINT NOT NULL, seen BIGINT NOT NULL, authenticated BIGINT, begun BIGINT NOT NULL, \
             max_age BIGINT, expires BIGINT NOT NULL, owner BINARY(32), owner_name BLOB, login BIGINT NOT NULL, \
             label BLOB, renewed_from BINARY(32), renewed_at BIGINT, \
             INDEX {sessions}_expires (expires), INDEX {sessions}_begun (begun, id), \
             INDEX {sessions}_owner (owner, login)) \
             ENGINE = InnoDB ROW_FORMAT = DYNAMIC"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {values} (\
             session BINARY(32) NOT NULL, name VARBINARY(2048) NOT NULL, value LONGBLOB NOT NULL, \
             PRIMARY KEY (session, name), \
             FOREIGN KEY (session) REFERENCES {sessions} (id) ON DELETE CASCADE) \
             ENGINE = InnoDB ROW_FORMAT = DYNAMIC"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {owners} (\
             owner BINARY(32) NOT NULL PRIMARY KEY, logins BIGINT NOT NULL, mark BIGINT NOT NULL, \
             ended BIGINT NOT NULL, kept_until BIGINT NOT NULL, INDEX {owners}_kept_until (kept_until)) ENGINE = InnoDB"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {ends} (\
             one BIGINT NOT NULL PRIMARY KEY, mark BIGINT NOT NULL, epoch BIGINT NOT NULL) ENGINE = InnoDB"
        ),
        first_end(tables),
    ]]
}

/// A connection in a transaction, or one that holds the lock for changes of the schema. It is back
/// as soon as a statement has come to its end.
pub(in crate::store::sql) struct Begun {
    lease: Option<Lease<MySql>>,
    lock: Option<Arc<str>>,
}

impl Engine for Server {
    type Transaction = Begun;

    fn statements(&self) -> &Statements {
        &self.statements
    }

    async fn begin(&self) -> Result<Begun> {
        let mut lease = self.lease().await?;
        // Before it is: nobody may be there to say it after.
        lease.begun();
        let (lease, begun) = lease
            .run(|connection| Box::pin(connection.execute("START TRANSACTION")))
            .await;
        begun.map_err(Failure::uncommitted)?;
        let lease = Some(lease);
        Ok(Begun { lease, lock: None })
    }

    async fn begin_alone(&self) -> Result<Begun> {
        // Changes of a schema are no transactions here. The lock is the server's, so it is named after database and tables.
        let lock: Arc<str> = format!("SHA1(CONCAT(DATABASE(), '.{}'))", self.statements.tables.version).into();
        let sql = AssertSqlSafe(format!("SELECT COALESCE(GET_LOCK({lock}, 60), 0)"));
        let query = sqlx::query_scalar(sql).persistent(false);
        let mut lease = self.lease().await?;
        lease.locked();
        let (lease, locked) = lease.run(|connection| Box::pin(query.fetch_one(connection))).await;
        let locked: i64 = locked.map_err(Failure::uncommitted)?;
        if locked != 1 {
            return Err(sqlx::Error::Protocol("another process has changed the schema for a minute".into()).into());
        }
        Ok(Begun {
            lease: Some(lease),
            lock: Some(lock),
        })
    }

    async fn execute(&self, query: &Query<'_>) -> Result<u64> {
        let query = driver_query!(query);
        let (_, done) = self
            .lease()
            .await?
            .run(|connection| Box::pin(query.execute(connection)))
            .await;
        Ok(done?.rows_affected())
    }

    async fn fetch(&self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let query = driver_query!(query);
        let (_, found) = self
            .lease()
            .await?
            .run(|connection| Box::pin(query.fetch_all(connection)))
            .await;
        rows!(found?, kinds)
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn connections(&self) -> u32 {
        self.pool.options().get_max_connections()
    }

    fn idle(&self) -> usize {
        self.pool.num_idle()
    }
}

impl Served for MySql {
    fn outcome(error: &sqlx::Error) -> Outcome {
        let sqlx::Error::Database(error) = error else {
            return match error {
                // The connection, or the sense of what comes through it.
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Outcome::Unknown,
                _ => Outcome::Final,
            };
        };
        let number = error
            .try_downcast_ref::<MySqlDatabaseError>()
            .map_or(0, MySqlDatabaseError::number);
        // A packet with an error stands in the place of the one that acknowledges.
        match number {
            // A deadlock; and MariaDB with `innodb_snapshot_isolation`: a row changed since it was
            // read.
            1213 | 1020 => Outcome::GivenUp,
            // The server is shutting down, or ends this connection, perhaps long ago; or its
            // cluster has left it alone.
            1053 | 1927 | 4031 | 1047 => Outcome::Elsewhere,
            // It does not write, or did not when the connection was made.
            1290 | 1792 | 1836 => Outcome::Elsewhere,
            // The connection remembers statements that the server has not, or tables as they were:
            // a proxy's, say.
            1243 | 1615 => Outcome::Elsewhere,
            _ => Outcome::Final,
        }
    }

    fn roll_back(connection: &mut MySqlConnection) -> Answer<'_, ()> {
        Box::pin(async move { connection.execute("ROLLBACK").await.map(drop) })
    }
}

impl Begun {
    fn lease(&mut self) -> Result<Lease<MySql>> {
        self.lease.take().ok_or_else(|| sqlx::Error::PoolClosed.into())
    }
}

impl Transaction for Begun {
    async fn execute(&mut self, query: &Query<'_>) -> Result<u64> {
        let query = driver_query!(query);
        let (lease, done) = self
            .lease()?
            .run(|connection| Box::pin(query.execute(connection)))
            .await;
        self.lease = Some(lease);
        Ok(done.map_err(Failure::uncommitted)?.rows_affected())
    }

    async fn fetch(&mut self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let query = driver_query!(query);
        let (lease, found) = self
            .lease()?
            .run(|connection| Box::pin(query.fetch_all(connection)))
            .await;
        self.lease = Some(lease);
        rows!(found.map_err(Failure::uncommitted)?, kinds)
    }

    async fn commit(mut self) -> Result<()> {
        let sql = self
            .lock
            .take()
            .map_or_else(|| "COMMIT".to_owned(), |lock| format!("DO RELEASE_LOCK({lock})"));
        let (mut lease, done) = self
            .lease()?
            .run(|connection| Box::pin(connection.execute(AssertSqlSafe(sql))))
            .await;
        done.map_err(Failure::of_commit)?;
        lease.ended();
        Ok(())
    }

    async fn rollback(mut self) -> Result<()> {
        // A connection that is closed takes its transaction, or its lock, with it.
        if self.lock.is_none() && self.lease.as_ref().is_some_and(Lease::is_usable) {
            let lease = self.lease()?;
            let (mut lease, done) = lease.run(|connection| Box::pin(connection.execute("ROLLBACK"))).await;
            done?;
            lease.ended();
        }
        Ok(())
    }
}
