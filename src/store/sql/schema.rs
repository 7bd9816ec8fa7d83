//! The tables, their versions, and how a database gets the newest one.

use super::{
    engine::{Cell, Engine, Kind, Query, Result, Transaction},
    error::{Twice, carried_out},
    read::fetched,
    statements::{Dialect, Statements},
};
use crate::error::Error;

/// What the tables' names begin with if nobody says otherwise.
const PREFIX: &str = "http_";

/// Longest prefix: PostgreSQL cuts names off at 63 bytes, and the longest name of an index is 24 bytes longer.
const MOST: usize = 32;

#[derive(Clone)]
pub(super) struct Tables {
    pub(super) sessions: String,
    pub(super) values: String,
    /// One row for each owner, which a login locks: so an owner's logins are one after the other.
    pub(super) owners: String,
    /// One row, which an end of all sessions changes and a login locks against it.
    pub(super) ends: String,
    pub(super) version: String,
}

impl Tables {
    /// Only what needs no quoting anywhere, so that a name is never more than a name.
    pub(super) fn new(prefix: &str) -> std::result::Result<Self, Error> {
        let plain = prefix
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !plain || prefix.len() > MOST || prefix.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(Error::config(format!(
                "the prefix of the tables' names must be at most {MOST} of a-z, 0-9 and _, and not begin with a digit"
            )));
        }
        Ok(Self::named(prefix))
    }

    fn named(prefix: &str) -> Self {
        Self {
            sessions: format!("{prefix}sessions"),
            values: format!("{prefix}session_values"),
            owners: format!("{prefix}session_owners"),
            ends: format!("{prefix}session_ends"),
            version: format!("{prefix}session_schema"),
        }
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::named(PREFIX)
    }
}

/// All there is to run for the newest version, a database's first one included.
pub(super) fn text(statements: &Statements) -> String {
    let Statements { dialect, tables, .. } = statements;
    let mut text = String::new();
    for sql in all(dialect, tables, 0) {
        text.push_str(&sql);
        text.push_str(";\n");
    }
    text
}

/// Brings the tables to the newest version, if they are not.
pub(super) async fn migrate<E: Engine>(engine: &E) -> Result<()> {
    engine.prepare().await?;
    // Most often there is nothing to do, and the program may have no right to create tables.
    if version_of(engine).await.is_ok_and(|version| version >= newest(engine)) {
        return Ok(());
    }
    carried_out(engine, Twice::Same, |_| migrate_alone(engine)).await
}

async fn migrate_alone<E: Engine>(engine: &E) -> Result<()> {
    let Statements { dialect, tables, .. } = engine.statements();
    let mut alone = engine.begin_alone().await?;
    for sql in begin(tables) {
        alone.execute(&Query::once(&sql)).await?;
    }
    let known = version(alone.fetch(&read(engine), &[Kind::Int]).await)?;
    // The first one creates the table of versions again, if it is not there.
    for sql in all(dialect, tables, known) {
        alone.execute(&Query::once(&sql)).await?;
    }
    alone.commit().await
}

/// The version of a database's tables, as they say themselves.
pub(super) async fn version_of<E: Engine>(engine: &E) -> Result<u32> {
    version(fetched(engine, &read(engine), &[Kind::Int]).await)
}

fn newest<E: Engine>(engine: &E) -> u32 {
    let Statements { dialect, tables, .. } = engine.statements();
    (dialect.schema)(tables).len() as u32
}

fn read<E: Engine>(engine: &E) -> Query<'static> {
    Query::once(&format!(
        "SELECT MAX(version) FROM {}",
        engine.statements().tables.version
    ))
}

fn version(rows: Result<Vec<super::engine::Row>>) -> Result<u32> {
    Ok(match rows?.first().and_then(|row| row.first()) {
        Some(&Cell::Int(version)) => u32::try_from(version).unwrap_or(0),
        _ => 0,
    })
}

/// The one row of the table of ends. Not a second one, so that the printed text may be run twice.
pub(super) fn first_end(tables: &Tables) -> String {
    format!(
        "INSERT INTO {table} (one, mark, epoch) SELECT 1, 0, 0 FROM (SELECT 1 AS one) AS one \
         WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE one = 1)",
        table = tables.ends
    )
}

fn begin(tables: &Tables) -> [String; 1] {
    [format!(
        "CREATE TABLE IF NOT EXISTS {} (version BIGINT NOT NULL PRIMARY KEY)",
        tables.version
    )]
}

/// The statements for all versions after this one.
fn all(dialect: &Dialect, tables: &Tables, known: u32) -> Vec<String> {
    let mut all: Vec<String> = begin(tables).into();
    for (version, statements) in (1_u32..).zip((dialect.schema)(tables)) {
        if version > known {
            all.extend(statements);
            // Not a second time, so that the printed text may be run twice.
            all.push(format!(
                "INSERT INTO {table} (version) SELECT {version} FROM (SELECT 1 AS one) AS one \
                 WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE version = {version})",
                table = tables.version
            ));
        }
    }
    all
}
