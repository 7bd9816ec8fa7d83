//! PostgreSQL.

use std::{str::FromStr as _, sync::Arc};

use sqlx::{
    Executor as _, PgConnection, PgPool, Postgres, Row as _,
    postgres::{PgConnectOptions, PgRow},
};

use super::sent::Sent;
use crate::{
    session::SessionId,
    store::{
        Applied, Changes, Created, Field, HashedTicket, Login, Record,
        sql::{
            engine::{Arg, Engine, Kind, Query, Result, Row, Transaction, int, rows},
            error::{Failure, Outcome},
            lease::{self, Answer, Doubt, Lease, Served},
            schema::{Tables, first_end},
            statements::{Dialect, Statements, spelled},
            steps,
        },
    },
};

const DIALECT: Dialect = Dialect {
    numbered: true,
    greatest: "GREATEST",
    overwrite: " ON CONFLICT (session, name) DO UPDATE SET value = EXCLUDED.value",
    add: " ON CONFLICT (owner) DO UPDATE SET logins = {}.logins + excluded.logins, mark = {}.mark + excluded.mark, \
          ended = GREATEST({}.ended, excluded.ended), kept_until = GREATEST({}.kept_until, excluded.kept_until)",
    share: " FOR SHARE",
    // An array, so that the inner query runs once; several sweepers share the work.
    sweep: "DELETE FROM {} WHERE id = ANY (ARRAY(\
            SELECT id FROM {} WHERE expires < ? ORDER BY expires LIMIT ? FOR UPDATE SKIP LOCKED))",
    schema,
};

/// The value that is asked of `extra_float_digits`; another than its default, and than the
/// driver's.
const MARK: i8 = 3;

fn is_refused_parameter(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().contains("extra_float_digits"))
}

/// Names the lock that whoever changes the schema holds: "sessions" in ASCII.
const LOCK: i64 = 0x7365_7373_696f_6e73;

#[derive(Clone)]
pub(in crate::store::sql) struct Server {
    pool: PgPool,
    doubt: Doubt,
    /// Whether each statement is one text, with nothing prepared.
    as_text: bool,
    statements: Arc<Statements>,
    create: Arc<str>,
    create_login: Arc<str>,
    set: Arc<str>,
    set_login: Arc<str>,
}

impl Server {
    pub(in crate::store::sql) async fn url(url: &str, tables: Tables) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?;
        // A setting that no float of ours needs: a pooler refuses it or leaves it out.
        let marked = options.clone().extra_float_digits(MARK);
        match lease::options().connect_with(marked).await {
            Ok(pool) => {
                let found: PgRow = sqlx::raw_sql("SHOW extra_float_digits").fetch_one(&pool).await?;
                let is_marked = found.try_get::<String, _>(0)? == MARK.to_string();
                Ok(Self::new(pool, !is_marked, tables))
            }
            Err(error) if is_refused_parameter(&error) => {
                let pool = lease::options().connect_with(options.extra_float_digits(None)).await?;
                Ok(Self::new(pool, true, tables))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(in crate::store::sql) fn pool(pool: PgPool, tables: Tables) -> Self {
        Self::new(pool, false, tables)
    }

    /// The same with nothing prepared.
    pub(in crate::store::sql) fn as_text(&mut self) {
        self.as_text = true;
    }

    fn new(pool: PgPool, as_text: bool, tables: Tables) -> Self {
        let statements = Arc::new(Statements::new(&DIALECT, tables));
        let Tables { values, .. } = &statements.tables;
        // A session and its values in one statement, which is one round trip and one transaction.
        let with_values = |session: &str, overwrite: &str| {
            let first = session.matches('$').count() + 1;
            let second = first + 1;
            Arc::from(format!(
                "WITH written AS ({session} RETURNING id), kept AS (INSERT INTO {values} (session, name, value) \
                 SELECT written.id, given.name, given.value FROM written, \
                 UNNEST(${first}::bytea[], ${second}::bytea[]) AS given (name, value){overwrite}) \
                 SELECT id FROM written"
            ))
        };
        Self {
            create: with_values(&statements.create, ""),
            create_login: with_values(&statements.create_login, ""),
            set: with_values(&statements.update, DIALECT.overwrite),
            set_login: with_values(&statements.update_login, DIALECT.overwrite),
            pool,
            doubt: Doubt::default(),
            as_text,
            statements,
        }
    }

    pub(in crate::store::sql) fn named(&mut self, tables: Tables) {
        *self = Self::new(self.pool.clone(), self.as_text, tables);
    }

    pub(in crate::store::sql) async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        login: Option<&Login>,
        now: u64,
    ) -> Result<Created> {
        if login.is_some() {
            return steps::create(self, id, record, login, now).await;
        }
        let values: Vec<(&str, &str)> = record.values.iter().collect();
        let create = if record.is_anonymous() {
            &self.create
        } else {
            &self.create_login
        };
        let insert = || async {
            let args = steps::created(id, record, None);
            Ok(self.with_values(create, args, &values).await? > 0)
        };
        steps::created_by(self, id, record, now, insert).await
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
        let looks = changes.cleared || !changes.expected.is_empty() || !changes.removed.is_empty();
        if looks || steps::keeps_data(changes) || steps::login(changes).is_some() {
            return steps::apply(self, ticket, changes, now).await;
        }
        let values = steps::set(changes);
        let set = || async {
            let mut args = steps::updated(ticket, changes, None, now);
            let set = if let Field::Set(at) = changes.authenticated {
                args.push(int(at));
                &self.set_login
            } else {
                &self.set
            };
            self.with_values(set, args, &values).await.map(steps::updated_or_gone)
        };
        steps::applied_by(self, ticket, changes, set).await
    }

    async fn with_values(&self, sql: &Arc<str>, args: Vec<Arg<'_>>, values: &[(&str, &str)]) -> Result<u64> {
        let sent = Sent::with_values(&Query::new(sql, args), values, self.as_text);
        let (_, done) = self.lease().await?.run(|connection| sent.execute(connection)).await;
        done
    }

    async fn lease(&self) -> Result<Lease<Postgres>> {
        Lease::new(&self.pool, &self.doubt).await
    }
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
             id BYTEA NOT NULL PRIMARY KEY, secret BYTEA NOT NULL, created BIGINT NOT NULL, sent BIGINT NOT NULL, \
             seen BIGINT NOT NULL, authenticated BIGINT, begun BIGINT NOT NULL, max_age BIGINT, expires BIGINT NOT NULL, \
             owner BYTEA, owner_name BYTEA, login BIGINT NOT NULL, label BYTEA, renewed_from BYTEA, renewed_at BIGINT)"
        ),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_expires ON {sessions} (expires)"),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_begun ON {sessions} (begun, id)"),
        format!("CREATE INDEX IF NOT EXISTS {sessions}_owner ON {sessions} (owner, login) WHERE owner IS NOT NULL"),
        format!(
            "CREATE TABLE IF NOT EXISTS {values} (\
             session BYTEA NOT NULL REFERENCES {sessions} (id) ON DELETE CASCADE, name BYTEA NOT NULL, \
             value BYTEA NOT NULL, PRIMARY KEY (session, name))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {owners} (\
             owner BYTEA NOT NULL PRIMARY KEY, logins BIGINT NOT NULL, mark BIGINT NOT NULL, \
             ended BIGINT NOT NULL, kept_until BIGINT NOT NULL)"
        ),
        format!("CREATE INDEX IF NOT EXISTS {owners}_kept_until ON {owners} (kept_until)"),
        format!(
            "CREATE TABLE IF NOT EXISTS {ends} (\
             one BIGINT NOT NULL PRIMARY KEY, mark BIGINT NOT NULL, epoch BIGINT NOT NULL)"
        ),
        first_end(tables),
    ]]
}

impl Engine for Server {
    type Transaction = Begun;

    fn statements(&self) -> &Statements {
        &self.statements
    }

    async fn begin(&self) -> Result<Begun> {
        // Said aloud, for a database whose default is another: each statement must see what was committed before it.
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        let mut lease = self.lease().await?;
        // Before it is: nobody may be there to say it after.
        lease.begun();
        let (lease, begun) = lease.run(move |connection| Box::pin(connection.execute(begin))).await;
        begun.map_err(Failure::uncommitted)?;
        Ok(Begun {
            lease: Some(lease),
            as_text: self.as_text,
        })
    }

    async fn begin_alone(&self) -> Result<Begun> {
        let mut transaction = self.begin().await?;
        let lock = Query {
            sql: spelled(&DIALECT, "SELECT pg_advisory_xact_lock(?)"),
            args: vec![Arg::Int(Some(LOCK))],
            kept: false,
        };
        transaction.execute(&lock).await?;
        Ok(transaction)
    }

    async fn execute(&self, query: &Query<'_>) -> Result<u64> {
        let sent = Sent::new(query, self.as_text);
        let (_, done) = self.lease().await?.run(|connection| sent.execute(connection)).await;
        done
    }

    async fn fetch(&self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let sent = Sent::new(query, self.as_text);
        let (_, found) = self.lease().await?.run(|connection| sent.fetch_all(connection)).await;
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

impl Served for Postgres {
    fn outcome(error: &sqlx::Error) -> Outcome {
        let sqlx::Error::Database(error) = error else {
            return match error {
                // The connection, or the sense of what comes through it.
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Outcome::Unknown,
                _ => Outcome::Final,
            };
        };
        match error.code().as_deref() {
            // A deadlock, or a conflict of serialisable transactions.
            Some("40P01" | "40001") => Outcome::GivenUp,
            // The server is shutting down, or ends this connection, perhaps long ago. A fatal error
            // stands in the place of the answer; where the statement may have been committed, the
            // server hangs up without one.
            Some("57P01" | "57P03" | "57P04" | "57P05" | "25P03") => Outcome::Elsewhere,
            // It does not write, or did not when the connection was made.
            Some("25006") => Outcome::Elsewhere,
            // The connection remembers another server's statements or tables as they were: a
            // pooler's, or before a migration.
            Some("26000" | "42P05" | "0A000") => Outcome::Elsewhere,
            // The connection of a pooler to the server, which broke at some time.
            Some(code) if code.starts_with("08") || code == "57P02" => Outcome::Unknown,
            _ => Outcome::Final,
        }
    }

    fn roll_back(connection: &mut PgConnection) -> Answer<'_, ()> {
        Box::pin(async move { connection.execute("ROLLBACK").await.map(drop) })
    }
}

/// A connection in a transaction. It is back as soon as a statement has come to its end.
pub(in crate::store::sql) struct Begun {
    lease: Option<Lease<Postgres>>,
    as_text: bool,
}

impl Begun {
    fn lease(&mut self) -> Result<Lease<Postgres>> {
        self.lease.take().ok_or_else(|| sqlx::Error::PoolClosed.into())
    }

    async fn end(mut self, sql: &'static str) -> Result<()> {
        let (mut lease, done) = self
            .lease()?
            .run(move |connection| Box::pin(connection.execute(sql)))
            .await;
        done.map_err(Failure::of_commit)?;
        lease.ended();
        Ok(())
    }
}

impl Transaction for Begun {
    async fn execute(&mut self, query: &Query<'_>) -> Result<u64> {
        let sent = Sent::new(query, self.as_text);
        let (lease, done) = self.lease()?.run(|connection| sent.execute(connection)).await;
        self.lease = Some(lease);
        done.map_err(Failure::uncommitted)
    }

    async fn fetch(&mut self, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
        let sent = Sent::new(query, self.as_text);
        let (lease, found) = self.lease()?.run(|connection| sent.fetch_all(connection)).await;
        self.lease = Some(lease);
        rows!(found.map_err(Failure::uncommitted)?, kinds)
    }

    async fn commit(self) -> Result<()> {
        self.end("COMMIT").await
    }

    async fn rollback(self) -> Result<()> {
        // A connection that is closed takes its transaction with it.
        if self.lease.as_ref().is_some_and(Lease::is_usable) {
            self.end("ROLLBACK").await?;
        }
        Ok(())
    }
}
