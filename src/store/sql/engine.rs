//! What the steps need of an engine, so that they are written once: queries of a few plain types, and transactions.

use std::{future::Future, sync::Arc};

use super::{error::Failure, statements::Statements};

/// Within an engine, errors are the driver's.
pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A parameter of a query.
#[derive(Clone, Copy)]
pub(super) enum Arg<'a> {
    Int(Option<i64>),
    Bytes(Option<&'a [u8]>),
}

/// Milliseconds and seconds as the columns hold them. Nothing real is beyond 2^48.
pub(super) fn int<'a>(number: u64) -> Arg<'a> {
    Arg::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
}

pub(super) fn bytes(bytes: &[u8]) -> Arg<'_> {
    Arg::Bytes(Some(bytes))
}

/// One statement with its parameters.
pub(super) struct Query<'a> {
    pub(super) sql: Arc<str>,
    pub(super) args: Vec<Arg<'a>>,
    /// Whether the connection keeps it prepared. Not for statements of a thousand different lengths.
    pub(super) kept: bool,
}

impl<'a> Query<'a> {
    pub(super) fn new(sql: &Arc<str>, args: Vec<Arg<'a>>) -> Self {
        Self {
            sql: Arc::clone(sql),
            args,
            kept: true,
        }
    }

    /// A statement that is run once in the life of a connection.
    pub(super) fn once(sql: &str) -> Self {
        Self {
            sql: sql.into(),
            args: Vec::new(),
            kept: false,
        }
    }
}

/// What a column holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Int,
    Bytes,
}

/// The content of a column of a row. There is no text: a server would convert it.
pub(super) enum Cell {
    Null,
    Int(i64),
    Bytes(Vec<u8>),
}

pub(super) type Row = Vec<Cell>;

/// One of the databases, with its pool.
pub(super) trait Engine: Send + Sync {
    type Transaction: Transaction;

    fn statements(&self) -> &Statements;

    /// Begins to write.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;

    /// A transaction that no other process is in at the same time, for changes of the schema.
    fn begin_alone(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;

    /// Runs one statement as a transaction of its own, and says how many rows it was about.
    fn execute(&self, query: &Query<'_>) -> impl Future<Output = Result<u64>> + Send;

    /// Reads.
    fn fetch(&self, query: &Query<'_>, kinds: &[Kind]) -> impl Future<Output = Result<Vec<Row>>> + Send;

    /// Fails if the database is one that the store cannot work with.
    fn prepare(&self) -> impl Future<Output = Result<()>> + Send;

    /// How many connections its pool may have.
    fn connections(&self) -> u32;

    /// How many of them nobody uses.
    fn idle(&self) -> usize;
}

/// Rolled back when it is dropped.
pub(super) trait Transaction: Send + Sized {
    fn execute(&mut self, query: &Query<'_>) -> impl Future<Output = Result<u64>> + Send;
    fn fetch(&mut self, query: &Query<'_>, kinds: &[Kind]) -> impl Future<Output = Result<Vec<Row>>> + Send;
    fn commit(self) -> impl Future<Output = Result<()>> + Send;
    fn rollback(self) -> impl Future<Output = Result<()>> + Send;
}

/// The driver's form of a query. A macro, since each driver's types are its own.
macro_rules! driver_query {
    ($query:expr) => {{
        let query: &$crate::store::sql::engine::Query<'_> = $query;
        // Nothing but this module's own text and checked table names is ever in it; all else is a parameter.
        let sql = sqlx::AssertSqlSafe(std::sync::Arc::clone(&query.sql));
        let mut bound = sqlx::query(sql).persistent(query.kept);
        for arg in &query.args {
            bound = match *arg {
                $crate::store::sql::engine::Arg::Int(number) => bound.bind(number),
                $crate::store::sql::engine::Arg::Bytes(bytes) => bound.bind(bytes),
            };
        }
        bound
    }};
}

/// The cells of a driver's rows.
macro_rules! rows {
    ($rows:expr, $kinds:expr) => {
        $rows
            .iter()
            .map(|row| {
                let cell =
                    |(at, kind): (usize, &$crate::store::sql::engine::Kind)| -> $crate::store::sql::engine::Result<_> {
                        use sqlx::Row as _;
                        use $crate::store::sql::engine::{Cell, Kind};
                        Ok(match kind {
                            Kind::Int => row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Int),
                            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map_or(Cell::Null, Cell::Bytes),
                        })
                    };
                $kinds.iter().enumerate().map(cell).collect()
            })
            .collect()
    };
}

pub(super) use {driver_query, rows};
