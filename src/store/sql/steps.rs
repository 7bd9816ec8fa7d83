//! What the store changes, step by step, on any engine.

use std::{collections::BTreeMap, future::Future};

use super::{
    engine::{Arg, Cell, Engine, Kind, Query, Result, Transaction, bytes, int},
    error::{Failure, Twice, carried_out, malformed},
    login::{admitted, end_surplus},
    read::array_of,
};
use crate::{
    session::SessionId,
    store::{Applied, Changes, Created, Field, HashedTicket, Login, OwnerId, Record, SecretHash},
};

pub(super) async fn create<E: Engine>(
    engine: &E,
    id: &SessionId,
    record: &Record,
    login: Option<&Login>,
    now: u64,
) -> Result<Created> {
    created_by(engine, id, record, now, || insert(engine, id, record, login, now)).await
}

/// Creates a session with this step, which fails if the id is taken, and says whether the session
/// does not begin too late.
pub(super) async fn created_by<E: Engine, F>(
    engine: &E,
    id: &SessionId,
    record: &Record,
    now: u64,
    insert: impl Fn() -> F,
) -> Result<Created>
where
    F: Future<Output = Result<bool>>,
{
    let insert = &insert;
    carried_out(engine, Twice::Same, |again| async move {
        let ended = match insert().await {
            Ok(true) => return Ok(Created::Created),
            Ok(false) => true,
            // Of the tables' keys only this one can be there already: the values are a new
            // session's.
            Err(failure) if is_taken(&failure) => false,
            Err(failure) => return Err(failure),
        };
        // Nobody else knows the secret, so a session that has it is the one that an earlier try has
        // made.
        if again && has_secret(engine, id, &record.secret).await? {
            return Ok(Created::Created);
        }
        if ended {
            return Ok(Created::Ended);
        }
        // One that expired makes room, with its values.
        let expired = Query::new(
            &engine.statements().delete_expired,
            vec![bytes(id.as_bytes()), int(now)],
        );
        engine.execute(&expired).await?;
        match insert().await {
            Ok(true) => Ok(Created::Created),
            Ok(false) => Ok(Created::Ended),
            Err(failure) if is_taken(&failure) => Ok(Created::Collision),
            Err(failure) => Err(failure),
        }
    })
    .await
}

fn is_taken(failure: &Failure) -> bool {
    failure
        .cause
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation())
}

/// Tells whether there is a session of this id with this secret.
async fn has_secret<E: Engine>(engine: &E, id: &SessionId, secret: &SecretHash) -> Result<bool> {
    let query = Query::new(&engine.statements().secret, vec![bytes(id.as_bytes())]);
    let rows = engine.fetch(&query, &[Kind::Bytes]).await?;
    Ok(matches!(rows.first().and_then(|row| row.first()), Some(Cell::Bytes(bytes)) if bytes == secret.as_bytes()))
}

/// Tells whether the session does not begin too late.
async fn insert<E: Engine>(
    engine: &E,
    id: &SessionId,
    record: &Record,
    login: Option<&Login>,
    now: u64,
) -> Result<bool> {
    let login = login.zip(record.owner.as_ref().map(|owner| &owner.id));
    if record.values.is_empty() && login.is_none() {
        let session = Query::new(creation(engine, record), created(id, record, None));
        return Ok(engine.execute(&session).await? > 0);
    }
    let mut transaction = engine.begin().await?;
    match insert_within(engine, &mut transaction, id, record, login, now).await {
        Ok(true) => transaction.commit().await.map(|()| true),
        other => {
            // If that fails as well, the connection is closed.
            let _ = transaction.rollback().await;
            other
        }
    }
}

async fn insert_within<E: Engine>(
    engine: &E,
    transaction: &mut E::Transaction,
    id: &SessionId,
    record: &Record,
    login: Option<(&Login, &OwnerId)>,
    now: u64,
) -> Result<bool> {
    let number = match login {
        None => None,
        Some((login, owner)) => match admitted(engine, transaction, owner, login, now).await? {
            None => return Ok(false),
            number => number,
        },
    };
    let session = Query::new(creation(engine, record), created(id, record, number));
    if transaction.execute(&session).await? == 0 {
        return Ok(false);
    }
    let values: Vec<(&str, &str)> = record.values.iter().collect();
    for query in engine.statements().set(id.as_bytes(), &values) {
        transaction.execute(&query).await?;
    }
    if let Some((login, owner)) = login {
        end_surplus(engine, transaction, owner, login, now).await?;
    }
    Ok(true)
}

/// A session that nobody has logged in to does not wait for an end of all sessions.
fn creation<'e, E: Engine>(engine: &'e E, record: &Record) -> &'e std::sync::Arc<str> {
    if record.is_anonymous() {
        &engine.statements().create
    } else {
        &engine.statements().create_login
    }
}

/// The parameters of a new session, with the number of its login. A login was let in by its mark,
/// all others by the time when they began.
pub(super) fn created<'a>(id: &'a SessionId, record: &'a Record, login: Option<u64>) -> Vec<Arg<'a>> {
    let owner = record.owner.as_ref();
    let renewed = record.renewed.as_ref();
    vec![
        bytes(id.as_bytes()),
        bytes(record.secret.as_bytes()),
        int(record.created),
        int(record.sent),
        int(record.seen),
        record.authenticated.map_or(Arg::Int(None), int),
        int(record.begun()),
        Arg::Int(record.max_age.map(i64::from)),
        int(record.expires),
        Arg::Bytes(owner.map(|owner| owner.id.as_bytes().as_slice())),
        Arg::Bytes(owner.map(|owner| owner.name.as_bytes())),
        int(login.unwrap_or(0)),
        Arg::Bytes(record.label.as_deref().map(str::as_bytes)),
        Arg::Bytes(renewed.map(|renewed| renewed.secret.as_bytes().as_slice())),
        renewed.map_or(Arg::Int(None), |renewed| int(renewed.at)),
        int(login.map_or_else(|| record.begun(), |_| u64::MAX)),
    ]
}

pub(super) async fn apply<E: Engine>(
    engine: &E,
    ticket: &HashedTicket,
    changes: &Changes,
    now: u64,
) -> Result<Applied> {
    applied_by(engine, ticket, changes, || apply_once(engine, ticket, changes, now)).await
}

/// Carries out changes with this step.
pub(super) async fn applied_by<E: Engine, F>(
    engine: &E,
    ticket: &HashedTicket,
    changes: &Changes,
    apply: impl Fn() -> F,
) -> Result<Applied>
where
    F: Future<Output = Result<Applied>>,
{
    let apply = &apply;
    carried_out(engine, twice(changes), |again| async move {
        let applied = apply().await?;
        if let (Applied::Gone, true, Some(secret)) = (applied, again, &changes.secret)
            // Nobody else knows the new secret, so an earlier try has set it, with all the rest.
            && has_secret(engine, &ticket.id, secret).await?
        {
            return Ok(Applied::Updated);
        }
        Ok(applied)
    })
    .await
}

/// Tells whether changes may be carried out twice, when nobody knows whether they were.
///
/// Those with a new secret do not fit the ticket any more once they are carried out. A mere sign of
/// life moves times on, and a second one does not move them further. All others might undo what
/// another request did between the two.
fn twice(changes: &Changes) -> Twice {
    let moves_on = keeps_data(changes)
        && !changes.may_shorten
        && changes.authenticated == Field::Keep
        && changes.max_age == Field::Keep
        && changes.owner == Field::Keep
        && changes.label == Field::Keep;
    if moves_on || changes.secret.is_some() {
        Twice::Same
    } else {
        Twice::No
    }
}

async fn apply_once<E: Engine>(engine: &E, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied> {
    let login = login(changes);
    if keeps_data(changes) && login.is_none() {
        let update = update(engine, ticket, changes, None, now);
        return Ok(updated_or_gone(engine.execute(&update).await?));
    }
    let mut transaction = engine.begin().await?;
    match apply_within(engine, &mut transaction, ticket, changes, login, now).await {
        Ok(Applied::Updated) => transaction.commit().await.map(|()| Applied::Updated),
        other => {
            // If that fails, the connection is closed, which does the same.
            let _ = transaction.rollback().await;
            other
        }
    }
}

async fn apply_within<E: Engine>(
    engine: &E,
    transaction: &mut E::Transaction,
    ticket: &HashedTicket,
    changes: &Changes,
    login: Option<(&Login, &OwnerId)>,
    now: u64,
) -> Result<Applied> {
    let statements = engine.statements();
    let id = ticket.id.as_bytes();
    let number = match login {
        None => None,
        Some((login, owner)) => match admitted(engine, transaction, owner, login, now).await? {
            None => return Ok(Applied::Gone),
            number => number,
        },
    };
    let update = update(engine, ticket, changes, number, now);
    if updated_or_gone(transaction.execute(&update).await?) == Applied::Gone {
        return Ok(Applied::Gone);
    }
    // From here on the session's row is locked, and nobody else changes its values.
    if !as_expected(engine, transaction, id, changes).await? {
        return Ok(Applied::Conflict);
    }
    if changes.cleared {
        transaction
            .execute(&Query::new(&statements.clear, vec![bytes(id)]))
            .await?;
    } else {
        let removed: Vec<&str> = changes.removed.iter().map(String::as_str).collect();
        for query in statements.remove(id, &removed) {
            transaction.execute(&query).await?;
        }
    }
    for query in statements.set(id, &set(changes)) {
        transaction.execute(&query).await?;
    }
    if let Some((login, owner)) = login {
        end_surplus(engine, transaction, owner, login, now).await?;
    }
    Ok(Applied::Updated)
}

/// Returns the login that the changes are part of, and its owner.
pub(super) fn login(changes: &Changes) -> Option<(&Login, &OwnerId)> {
    match (&changes.login, &changes.owner) {
        (Some(login), Field::Set(owner)) => Some((login, &owner.id)),
        _ => None,
    }
}

fn update<'a, E: Engine>(
    engine: &E,
    ticket: &'a HashedTicket,
    changes: &'a Changes,
    login: Option<u64>,
    now: u64,
) -> Query<'a> {
    let statements = engine.statements();
    let mut args = updated(ticket, changes, login, now);
    // A login was let in by its mark, one without an owner by its time.
    Query::new(
        match (login, &changes.authenticated) {
            (None, &Field::Set(at)) => {
                args.push(int(at));
                &statements.update_login
            }
            _ => &statements.update,
        },
        args,
    )
}

async fn as_expected<E: Engine>(
    engine: &E,
    transaction: &mut E::Transaction,
    id: &[u8],
    changes: &Changes,
) -> Result<bool> {
    let keys: Vec<&str> = changes.expected.iter().map(|(key, _)| key.as_str()).collect();
    let mut values = BTreeMap::new();
    for query in engine.statements().values(id, &keys) {
        for row in transaction.fetch(&query, &[Kind::Bytes, Kind::Bytes]).await? {
            let [Cell::Bytes(name), Cell::Bytes(value)] = array_of(row)? else {
                return Err(malformed());
            };
            values.insert(name, value);
        }
    }
    // Compared here and not by the engine, whose idea of equal texts may be another.
    let is_so = |(key, json): &(String, Option<String>)| {
        values.get(key.as_bytes()).map(Vec::as_slice) == json.as_deref().map(str::as_bytes)
    };
    Ok(changes.expected.iter().all(is_so))
}

/// Whether only the session's own row changes.
pub(super) fn keeps_data(changes: &Changes) -> bool {
    changes.expected.is_empty() && !changes.cleared && changes.removed.is_empty() && changes.set.is_empty()
}

/// What is set, each key once: the last one counts. In the order of the keys.
pub(super) fn set(changes: &Changes) -> Vec<(&str, &str)> {
    let once: BTreeMap<&str, &str> = changes
        .set
        .iter()
        .map(|(key, json)| (key.as_str(), json.as_str()))
        .collect();
    once.into_iter().collect()
}

/// What the number of rows says of an update.
pub(super) fn updated_or_gone(rows: u64) -> Applied {
    if rows == 0 { Applied::Gone } else { Applied::Updated }
}

/// The parameters of an update, with the number of the login that it is a part of.
pub(super) fn updated<'a>(
    ticket: &'a HashedTicket,
    changes: &'a Changes,
    login: Option<u64>,
    now: u64,
) -> Vec<Arg<'a>> {
    fn field<'a, T>(field: &'a Field<T>, arg: impl Fn(Option<&'a T>) -> Arg<'a>) -> [Arg<'a>; 2] {
        match field {
            Field::Keep => [int(0), arg(None)],
            Field::Set(value) => [int(1), arg(Some(value))],
            Field::Unset => [int(1), arg(None)],
        }
    }
    let flag = |is_so: bool| int(u64::from(is_so));
    let is_new = flag(changes.secret.is_some());
    let secret = changes.secret.as_ref();
    let time = |time: Option<&u64>| time.map_or(Arg::Int(None), |time| int(*time));
    let mut args = vec![
        is_new,
        is_new,
        int(now),
        Arg::Bytes(secret.map(|secret| secret.as_bytes().as_slice())),
        int(changes.seen),
        int(changes.sent.unwrap_or(0)),
        flag(changes.may_shorten),
        int(changes.expires),
        int(changes.expires),
    ];
    args.extend(field(&changes.authenticated, time));
    args.extend(field(&changes.authenticated, time));
    args.extend(field(&changes.max_age, |seconds| {
        Arg::Int(seconds.copied().map(i64::from))
    }));
    args.extend(field(&changes.owner, |owner| {
        Arg::Bytes(owner.map(|owner| owner.id.as_bytes().as_slice()))
    }));
    args.extend(field(&changes.owner, |owner| {
        Arg::Bytes(owner.map(|owner| owner.name.as_bytes()))
    }));
    // Without an owner there is no number; an owner that comes without a login is no later than all
    // others.
    args.extend([
        flag(login.is_some() || changes.owner != Field::Keep),
        int(login.unwrap_or(0)),
    ]);
    args.extend(field(&changes.label, |label| {
        Arg::Bytes(label.map(|label| label.as_bytes()))
    }));
    args.extend([bytes(ticket.id.as_bytes()), bytes(ticket.secret.as_bytes()), int(now)]);
    args
}

pub(super) async fn delete<E: Engine>(engine: &E, ticket: &HashedTicket, now: u64) -> Result<bool> {
    let args = vec![bytes(ticket.id.as_bytes()), bytes(ticket.secret.as_bytes()), int(now)];
    let query = Query::new(&engine.statements().delete, args);
    // A second time there is nothing left to end. What the first one did nobody knows then, but it
    // is ended.
    carried_out(engine, Twice::Same, |_| engine.execute(&query))
        .await
        .map(|rows| rows > 0)
}
