//! The statements, as text that is made once for a store.

use std::{fmt::Write as _, sync::Arc};

use super::{
    engine::{Arg, Query, bytes},
    schema::Tables,
};

/// What an engine says differently.
pub(super) struct Dialect {
    /// Parameters are `$1`, `$2` instead of `?`.
    pub(super) numbered: bool,
    /// The function for the larger of two numbers.
    pub(super) greatest: &'static str,
    /// The end of an `INSERT` that overwrites the value of a key that is there.
    pub(super) overwrite: &'static str,
    /// Deletes so many of the sessions that expired first; `{}` is the table.
    pub(super) sweep: &'static str,
    /// The versions of the schema from the first on, each as statements.
    pub(super) schema: fn(&Tables) -> Vec<Vec<String>>,
}

/// A statement for up to so many keys stays prepared; more keys than that are rare, and in too many different numbers.
const KEPT_KEYS: usize = 32;

/// At most so many keys in one statement (engines allow 32,766 parameters and more) ...
const MOST_KEYS: usize = 500;

/// ... and about so many bytes: MySQL refuses a packet above `max_allowed_packet`, 16 MB by default.
const MOST_BYTES: usize = 1 << 20;

pub(super) struct Statements {
    pub(super) tables: Tables,
    pub(super) dialect: &'static Dialect,
    pub(super) load: Arc<str>,
    pub(super) secret: Arc<str>,
    pub(super) create: Arc<str>,
    pub(super) update: Arc<str>,
    pub(super) clear: Arc<str>,
    pub(super) delete: Arc<str>,
    pub(super) delete_expired: Arc<str>,
    pub(super) sweep: Arc<str>,
    pub(super) sessions_of: Arc<str>,
    pub(super) delete_of: Arc<str>,
    pub(super) delete_of_all_but: Arc<str>,
    pub(super) delete_of_only: Arc<str>,
    pub(super) delete_begun_before: Arc<str>,
}

impl Statements {
    pub(super) fn new(dialect: &'static Dialect, tables: Tables) -> Self {
        let Tables { sessions, values, .. } = &tables;
        let greatest = dialect.greatest;
        let text = |sql: String| spelled(dialect, &sql);
        Self {
            // The session's own row, and one for each of its values. In one statement, so that they are of one moment.
            load: text(format!(
                "SELECT secret, created, sent, seen, authenticated, max_age, expires, owner, label, NULL, NULL \
                 FROM {sessions} WHERE id = ? AND expires >= ? \
                 UNION ALL \
                 SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, v.name, v.value \
                 FROM {sessions} s JOIN {values} v ON v.session = s.id \
                 WHERE s.id = ? AND s.secret = ? AND s.expires >= ?"
            )),
            secret: text(format!("SELECT secret FROM {sessions} WHERE id = ?")),
            create: text(format!(
                "INSERT INTO {sessions} (id, secret, created, sent, seen, authenticated, max_age, expires, owner, label) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            )),
            // All conditions stand here, and this takes the row's lock: whoever gets through is alone with the session.
            update: text(format!(
                "UPDATE {sessions} SET secret = COALESCE(?, secret), seen = {greatest}(seen, ?), \
                 sent = {greatest}(sent, ?), \
                 expires = CASE ? WHEN 1 THEN ? ELSE {greatest}(expires, ?) END, \
                 authenticated = CASE ? WHEN 1 THEN ? ELSE authenticated END, \
                 max_age = CASE ? WHEN 1 THEN ? ELSE max_age END, \
                 owner = CASE ? WHEN 1 THEN ? ELSE owner END, \
                 label = CASE ? WHEN 1 THEN ? ELSE label END \
                 WHERE id = ? AND secret = ? AND expires >= ?"
            )),
            clear: text(format!("DELETE FROM {values} WHERE session = ?")),
            delete: text(format!(
                "DELETE FROM {sessions} WHERE id = ? AND secret = ? AND expires >= ?"
            )),
            delete_expired: text(format!("DELETE FROM {sessions} WHERE id = ? AND expires < ?")),
            sweep: text(dialect.sweep.replace("{}", sessions)),
            sessions_of: text(format!(
                "SELECT id, created, seen, expires, authenticated, label FROM {sessions} WHERE owner = ? AND expires >= ?"
            )),
            delete_of: text(format!("DELETE FROM {sessions} WHERE owner = ?")),
            delete_of_all_but: text(format!("DELETE FROM {sessions} WHERE owner = ? AND id <> ?")),
            delete_of_only: text(format!("DELETE FROM {sessions} WHERE owner = ? AND id = ?")),
            delete_begun_before: text(format!(
                "DELETE FROM {sessions} WHERE {greatest}(created, COALESCE(authenticated, 0)) < ?"
            )),
            tables,
            dialect,
        }
    }

    /// Sets values, in as few statements as are allowed.
    pub(super) fn set<'a>(&self, session: &'a [u8], values: &[(&'a str, &'a str)]) -> Vec<Query<'a>> {
        let mut queries = Vec::new();
        let mut rest = values;
        while !rest.is_empty() {
            let mut size = 0;
            let fits = |(key, json): &&(&str, &str)| {
                let first = size == 0;
                size += key.len() + json.len();
                first || size <= MOST_BYTES
            };
            let count = rest.iter().take(MOST_KEYS).take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            rest = later;
            let rows = list(now.len(), "(?, ?, ?)");
            let sql = format!(
                "INSERT INTO {} (session, name, value) VALUES {rows}{}",
                self.tables.values, self.dialect.overwrite
            );
            let row =
                |&(key, json): &(&'a str, &'a str)| [bytes(session), bytes(key.as_bytes()), bytes(json.as_bytes())];
            queries.push(self.of_keys(&sql, now.iter().flat_map(row).collect(), now.len()));
        }
        queries
    }

    /// Removes keys.
    pub(super) fn remove<'a>(&self, session: &'a [u8], keys: &[&'a str]) -> Vec<Query<'a>> {
        self.by_keys(&format!("DELETE FROM {}", self.tables.values), session, keys)
    }

    /// Reads the values of keys.
    pub(super) fn values<'a>(&self, session: &'a [u8], keys: &[&'a str]) -> Vec<Query<'a>> {
        self.by_keys(
            &format!("SELECT name, value FROM {}", self.tables.values),
            session,
            keys,
        )
    }

    fn by_keys<'a>(&self, verb: &str, session: &'a [u8], keys: &[&'a str]) -> Vec<Query<'a>> {
        let query = |keys: &[&'a str]| {
            let sql = format!("{verb} WHERE session = ? AND name IN ({})", list(keys.len(), "?"));
            let names = keys.iter().map(|key| bytes(key.as_bytes()));
            self.of_keys(&sql, [bytes(session)].into_iter().chain(names).collect(), keys.len())
        };
        keys.chunks(MOST_KEYS).map(query).collect()
    }

    fn of_keys<'a>(&self, sql: &str, args: Vec<Arg<'a>>, keys: usize) -> Query<'a> {
        Query {
            sql: spelled(self.dialect, sql),
            args,
            kept: keys <= KEPT_KEYS,
        }
    }
}

fn list(count: usize, item: &str) -> String {
    vec![item; count].join(", ")
}

/// The statement as the engine spells its parameters. There is no `?` but those.
pub(super) fn spelled(dialect: &Dialect, sql: &str) -> Arc<str> {
    if !dialect.numbered {
        return sql.into();
    }
    let mut parts = sql.split('?');
    let mut spelled = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        // Writing to a `String` does not fail.
        let _ = write!(spelled, "${}{part}", at + 1);
    }
    spelled.into()
}
