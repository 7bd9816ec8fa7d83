//! The statements, as text that is made once for a store.

use std::{fmt::Write as _, sync::Arc};

use super::{
    engine::{Arg, Query, bytes, int},
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
    /// The end of an `INSERT` that adds to the counts of an owner that is there; `{}` is the table.
    pub(super) add: &'static str,
    /// The end of a `SELECT` whose rows nobody may change before the transaction is over, and that
    /// waits for those who do.
    pub(super) share: &'static str,
    /// Deletes so many of the sessions that expired first; `{}` is the table.
    pub(super) sweep: &'static str,
    /// The versions of the schema from the first on, each as statements.
    pub(super) schema: fn(&Tables) -> Vec<Vec<String>>,
}

/// A statement for up to so many keys stays prepared; more keys than that are rare, and in too many different numbers.
const KEPT_KEYS: usize = 32;

/// At most so many keys in one statement (engines allow 32,766 parameters and more) ...
const MOST_KEYS: usize = 500;

/// ... and so many bytes at most, if there is more than one: MySQL hangs up on what is above its
/// `max_allowed_packet`, which is 16 MB by default and is set to 1 MB here and there.
const MOST_BYTES: usize = 512 << 10;

pub(super) struct Statements {
    pub(super) tables: Tables,
    pub(super) dialect: &'static Dialect,
    pub(super) load: Arc<str>,
    pub(super) secret: Arc<str>,
    pub(super) create: Arc<str>,
    /// The same for a session that somebody has logged in to: it waits for an end of all sessions
    /// that is on its way.
    pub(super) create_login: Arc<str>,
    pub(super) update: Arc<str>,
    /// The same if somebody logs in.
    pub(super) update_login: Arc<str>,
    pub(super) clear: Arc<str>,
    pub(super) delete: Arc<str>,
    pub(super) delete_expired: Arc<str>,
    pub(super) sweep: Arc<str>,
    pub(super) sessions_of: Arc<str>,
    pub(super) delete_only: Arc<str>,
    /// The numbers that a login has to know.
    pub(super) mark: Arc<str>,
    /// Adds to an owner's counts of logins and of ends, and locks the owner.
    pub(super) count: Arc<str>,
    /// Those counts, and the mark.
    pub(super) counts: Arc<str>,
    pub(super) surplus: Arc<str>,
    /// A page of an owner's sessions, the last login first.
    pub(super) page_of: Arc<str>,
    pub(super) end_all: Arc<str>,
    /// A page of the sessions that began in some time.
    pub(super) page_begun: Arc<str>,
    /// A page of owners that were not heard of for long.
    pub(super) page_owners: Arc<str>,
    pub(super) delete_owner: Arc<str>,
    pub(super) keep_owner: Arc<str>,
}

impl Statements {
    pub(super) fn new(dialect: &'static Dialect, tables: Tables) -> Self {
        let Tables {
            sessions,
            values,
            owners,
            ends,
            ..
        } = &tables;
        let (greatest, share) = (dialect.greatest, dialect.share);
        let text = |sql: String| spelled(dialect, &sql);
        let create = format!(
            "INSERT INTO {sessions} (id, secret, created, sent, seen, authenticated, begun, max_age, expires, owner, \
             owner_name, login, label, renewed_from, renewed_at) \
             SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM {ends} WHERE one = 1 AND epoch <= ?"
        );
        // All conditions stand here, and this takes the row's lock: nobody else changes the session
        // after it. The old secret comes before the new one, since MySQL sets one column after the
        // other.
        let update = format!(
            "UPDATE {sessions} SET renewed_from = CASE ? WHEN 1 THEN secret ELSE renewed_from END, \
             renewed_at = CASE ? WHEN 1 THEN ? ELSE renewed_at END, \
             secret = COALESCE(?, secret), seen = {greatest}(seen, ?), sent = {greatest}(sent, ?), \
             expires = CASE ? WHEN 1 THEN ? ELSE {greatest}(expires, ?) END, \
             authenticated = CASE ? WHEN 1 THEN ? ELSE authenticated END, \
             begun = CASE ? WHEN 1 THEN COALESCE(?, created) ELSE begun END, \
             max_age = CASE ? WHEN 1 THEN ? ELSE max_age END, \
             owner = CASE ? WHEN 1 THEN ? ELSE owner END, \
             owner_name = CASE ? WHEN 1 THEN ? ELSE owner_name END, \
             login = CASE ? WHEN 1 THEN ? ELSE login END, \
             label = CASE ? WHEN 1 THEN ? ELSE label END \
             WHERE id = ? AND secret = ? AND expires >= ?"
        );
        Self {
            // The session's own row, and one for each of its values. In one statement, so that they
            // are of one moment.
            load: text(format!(
                "SELECT secret, created, sent, seen, authenticated, max_age, expires, owner, owner_name, label, NULL, NULL \
                 FROM {sessions} WHERE id = ? AND expires >= ? \
                 AND (secret = ? OR (renewed_from = ? AND renewed_at >= ?)) \
                 UNION ALL \
                 SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, v.name, v.value \
                 FROM {sessions} s JOIN {values} v ON v.session = s.id \
                 WHERE s.id = ? AND s.secret = ? AND s.expires >= ?"
            )),
            secret: text(format!("SELECT secret FROM {sessions} WHERE id = ?")),
            create: text(create.clone()),
            create_login: text(format!("{create}{share}")),
            update: text(update.clone()),
            update_login: text(format!(
                "{update} AND (SELECT epoch FROM {ends} WHERE one = 1{share}) <= ?"
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
            delete_only: text(format!("DELETE FROM {sessions} WHERE owner = ? AND id = ?")),
            mark: text(format!(
                "SELECT e.mark, e.epoch, o.mark, o.ended FROM {ends} e LEFT JOIN {owners} o ON o.owner = ? \
                 WHERE e.one = 1"
            )),
            count: text(format!(
                "INSERT INTO {owners} (owner, logins, mark, ended, kept_until) VALUES (?, ?, ?, ?, ?){}",
                dialect.add.replace("{}", owners)
            )),
            counts: text(format!(
                "SELECT o.logins, o.mark + e.mark FROM {owners} o, {ends} e WHERE o.owner = ? AND e.one = 1{share}"
            )),
            // The inner one twice, since MySQL does not read what it deletes from.
            surplus: text(format!(
                "DELETE FROM {sessions} WHERE owner = ? AND expires >= ? AND login <= (SELECT surplus.login FROM (\
                 SELECT login FROM {sessions} WHERE owner = ? AND expires >= ? ORDER BY login DESC LIMIT 1 OFFSET ?\
                 ) AS surplus)"
            )),
            page_of: text(format!(
                "SELECT login, id FROM {sessions} WHERE owner = ? AND login <= ? AND (login < ? OR id < ?) \
                 ORDER BY login DESC, id DESC LIMIT ?"
            )),
            end_all: text(format!(
                "UPDATE {ends} SET mark = mark + 1, epoch = {greatest}(epoch, ?) WHERE one = 1"
            )),
            page_begun: text(format!(
                "SELECT begun, id FROM {sessions} WHERE begun >= ? AND begun <= ? AND (begun > ? OR id > ?) \
                 ORDER BY begun, id LIMIT ?"
            )),
            page_owners: text(format!(
                "SELECT owner FROM {owners} WHERE kept_until < ? ORDER BY kept_until LIMIT ?"
            )),
            delete_owner: text(format!(
                "DELETE FROM {owners} WHERE owner = ? AND kept_until < ? \
                 AND NOT EXISTS (SELECT 1 FROM {sessions} WHERE {sessions}.owner = {owners}.owner)"
            )),
            keep_owner: text(format!(
                "UPDATE {owners} SET kept_until = ? WHERE owner = ? AND kept_until < ?"
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

    /// Deletes sessions, those of them that began in some time.
    pub(super) fn delete_begun<'a>(&self, from: u64, to: u64, ids: &'a [Vec<u8>]) -> Query<'a> {
        self.delete_ids("begun + 0 >= ? AND begun + 0 <= ?", vec![int(from), int(to)], ids)
    }

    /// Deletes sessions, those of them that are the owner's.
    pub(super) fn delete_of<'a>(&self, owner: &'a [u8], logins: u64, ids: &'a [Vec<u8>]) -> Query<'a> {
        self.delete_ids(
            "COALESCE(owner, '') = ? AND login + 0 <= ?",
            vec![bytes(owner), int(logins)],
            ids,
        )
    }

    /// The condition is spelled so that no index knows it: MySQL would lock all that it finds
    /// there, and wait for what another transaction holds of it.
    fn delete_ids<'a>(&self, condition: &str, mut args: Vec<Arg<'a>>, ids: &'a [Vec<u8>]) -> Query<'a> {
        let sql = format!(
            "DELETE FROM {} WHERE {condition} AND id IN ({})",
            self.tables.sessions,
            list(ids.len(), "?")
        );
        args.extend(ids.iter().map(|id| bytes(id)));
        self.of_keys(&sql, args, ids.len())
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
