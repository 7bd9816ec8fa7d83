//! What the steps need of an engine, so that they are written once: queries of a few plain types, and transactions.

use std::{future::Future, sync::Arc};

use super::statements::Statements;

/// Within an engine, errors are the driver's.
pub(super) type Result<T> = std::result::Result<T, sqlx::Error>;

/// A parameter of a query.
#[derive(Clone, Copy)]
pub(super) enum Arg<'a> {
    Int(Option<i64>),
    Bytes(Option<&'a [u8]>),
    Text(&'a str),
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

/// What a column of a row held; text comes as its bytes.
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

    /// Whether the engine gave up a transaction in favour of another one, so that the same will do when tried again.
    fn is_passing(error: &sqlx::Error) -> bool;
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
                $crate::store::sql::engine::Arg::Text(text) => bound.bind(text),
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
                let cell = |(at, kind): (usize, &$crate::store::sql::engine::Kind)| {
                    use sqlx::Row as _;
                    use $crate::store::sql::engine::{Cell, Kind};
                    Ok(match kind {
                        Kind::Int => row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Int),
                        // Unchecked: text is read as its bytes.
                        Kind::Bytes => row
                            .try_get_unchecked::<Option<Vec<u8>>, _>(at)?
                            .map_or(Cell::Null, Cell::Bytes),
                    })
                };
                $kinds.iter().enumerate().map(cell).collect()
            })
            .collect()
    };
}

pub(super) use {driver_query, rows};
