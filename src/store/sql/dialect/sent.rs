//! A statement for PostgreSQL as it goes over the line: prepared, or as one text where a pooler
//! stands between.
//!
//! A prepared statement takes two messages that must meet the same connection of the server, and a
//! pooler that lends one for each transaction sees to that in a transaction only. One text is one
//! message.

use std::fmt::Write as _;

use sqlx::{
    AssertSqlSafe, PgConnection, Postgres,
    postgres::{PgArguments, PgRow},
};

use crate::store::sql::{
    engine::{Arg, Query, driver_query},
    lease::Answer,
};

/// A statement on its way.
pub(super) enum Sent {
    Prepared(sqlx::query::Query<'static, Postgres, PgArguments>),
    Text(String),
}

/// Names and values for the last two parameters of a statement.
type Values<'a> = &'a [(&'a str, &'a str)];

impl Sent {
    pub(super) fn new(query: &Query<'_>, as_text: bool) -> Self {
        if as_text {
            Self::Text(spelled_out(query, None))
        } else {
            Self::Prepared(driver_query!(query))
        }
    }

    pub(super) fn with_values(query: &Query<'_>, values: Values<'_>, as_text: bool) -> Self {
        if as_text {
            return Self::Text(spelled_out(query, Some(values)));
        }
        let names: Vec<&[u8]> = values.iter().map(|(name, _)| name.as_bytes()).collect();
        let texts: Vec<&[u8]> = values.iter().map(|(_, json)| json.as_bytes()).collect();
        Self::Prepared(driver_query!(query).bind(names).bind(texts))
    }

    /// How many rows it was about.
    pub(super) fn execute(self, connection: &mut PgConnection) -> Answer<'_, u64> {
        Box::pin(async move {
            let done = match self {
                Self::Prepared(query) => query.execute(connection).await?,
                Self::Text(sql) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?,
            };
            Ok(done.rows_affected())
        })
    }

    pub(super) fn fetch_all(self, connection: &mut PgConnection) -> Answer<'_, Vec<PgRow>> {
        Box::pin(async move {
            match self {
                Self::Prepared(query) => query.fetch_all(connection).await,
                Self::Text(sql) => {
                    // Rows come as text as well. For this transaction only, which ends with the
                    // text if none was begun.
                    let sql = format!("SET LOCAL bytea_output = 'hex'; {sql}");
                    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await
                }
            }
        })
    }
}

/// The statement with its parameters in it: numbers, and bytes as hexadecimal digits, which no
/// setting reads otherwise.
fn spelled_out(query: &Query<'_>, values: Option<Values<'_>>) -> String {
    let mut parts = query.sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let at = number.parse::<usize>().map_or(0, |number| number.saturating_sub(1));
        match (query.args.get(at), values) {
            (Some(Arg::Int(Some(number))), _) => {
                // Writing to a `String` does not fail.
                let _ = write!(text, "({number})::bigint");
            }
            (Some(Arg::Int(None)), _) => text.push_str("NULL::bigint"),
            (Some(Arg::Bytes(Some(bytes))), _) => push_bytes(&mut text, bytes),
            (Some(Arg::Bytes(None)), _) => text.push_str("NULL::bytea"),
            (None, Some(values)) => {
                let is_name = at == query.args.len();
                push_array(
                    &mut text,
                    values.iter().map(|(name, json)| if is_name { *name } else { *json }),
                );
            }
            // A parameter that is not there: the server says so.
            (None, None) => text.push('$'),
        }
        text.push_str(rest);
    }
    text
}

fn push_array<'a>(text: &mut String, items: impl Iterator<Item = &'a str>) {
    text.push_str("ARRAY[");
    for (at, item) in items.enumerate() {
        if at > 0 {
            text.push(',');
        }
        push_bytes(text, item.as_bytes());
    }
    text.push(']');
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    text.push_str("decode('");
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text.push_str("', 'hex')");
}
