//! What the store changes, step by step, on any engine.

use std::{collections::BTreeMap, future::Future};

use super::{
    engine::{Arg, Cell, Engine, Kind, Query, Result, Transaction, bytes, int},
    error::{Failure, Twice, carried_out, malformed},
    read::array_of,
};
use crate::{
    session::SessionId,
    store::{Applied, Changes, Created, Field, HashedTicket, Record, SecretHash, Which},
};

/// So many sessions are swept at once, so that nobody waits for long.
const BATCH: u64 = 500;

pub(super) async fn create<E: Engine>(engine: &E, id: &SessionId, record: &Record, now: u64) -> Result<Created> {
    created_by(engine, id, record, now, || insert(engine, id, record)).await
}

/// Creates a session with this step, which fails if the id is taken.
pub(super) async fn created_by<E: Engine, T, F>(
    engine: &E,
    id: &SessionId,
    record: &Record,
    now: u64,
    insert: impl Fn() -> F,
) -> Result<Created>
where
    F: Future<Output = Result<T>>,
{
    let insert = &insert;
    carried_out(engine, Twice::Same, |again| async move {
        match insert().await {
            Ok(_) => return Ok(Created::Created),
            // Of the two tables' keys only this one can be there already: the values are a new session's.
            Err(failure) if !is_taken(&failure) => return Err(failure),
            Err(_) => {}
        }
        // Nobody else knows the secret, so a session that has it is the one that an earlier try has made.
        if again && has_secret(engine, id, &record.secret).await? {
            return Ok(Created::Created);
        }
        // One that expired makes room, with its values.
        let expired = Query::new(
            &engine.statements().delete_expired,
            vec![bytes(id.as_bytes()), int(now)],
        );
        engine.execute(&expired).await?;
        match insert().await {
            Ok(_) => Ok(Created::Created),
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

/// Whether there is a session of this id with this secret.
async fn has_secret<E: Engine>(engine: &E, id: &SessionId, secret: &SecretHash) -> Result<bool> {
    let query = Query::new(&engine.statements().secret, vec![bytes(id.as_bytes())]);
    let rows = engine.fetch(&query, &[Kind::Bytes]).await?;
    Ok(matches!(rows.first().and_then(|row| row.first()), Some(Cell::Bytes(bytes)) if bytes == secret.as_bytes()))
}

async fn insert<E: Engine>(engine: &E, id: &SessionId, record: &Record) -> Result<()> {
    let statements = engine.statements();
    let session = Query::new(&statements.create, created(id, record));
    if record.values.is_empty() {
        return engine.execute(&session).await.map(drop);
    }
    let mut transaction = engine.begin().await?;
    let values: Vec<(&str, &str)> = record.values.iter().collect();
    for query in [session].into_iter().chain(statements.set(id.as_bytes(), &values)) {
        if let Err(error) = transaction.execute(&query).await {
            // If that fails as well, the connection is closed.
            let _ = transaction.rollback().await;
            return Err(error);
        }
    }
    transaction.commit().await
}

/// The parameters of a new session.
pub(super) fn created<'a>(id: &'a SessionId, record: &'a Record) -> Vec<Arg<'a>> {
    vec![
        bytes(id.as_bytes()),
        bytes(record.secret.as_bytes()),
        int(record.created),
        int(record.sent),
        int(record.seen),
        record.authenticated.map_or(Arg::Int(None), int),
        Arg::Int(record.max_age.map(i64::from)),
        int(record.expires),
        Arg::Bytes(record.owner.as_deref().map(str::as_bytes)),
        Arg::Bytes(record.label.as_deref().map(str::as_bytes)),
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

/// Whether changes may be carried out twice, when nobody knows whether they were.
///
/// Those with a new secret do not fit the ticket any more once they are carried out. A mere sign of life moves times on, and a
/// second one does not move them further. All others might undo what another request did between the two.
fn twice(changes: &Changes) -> Twice {
    let fields = [&changes.owner, &changes.label];
    let moves_on = keeps_data(changes)
        && !changes.may_shorten
        && changes.authenticated == Field::Keep
        && changes.max_age == Field::Keep
        && fields.into_iter().all(|field| *field == Field::Keep);
    if moves_on || changes.secret.is_some() {
        Twice::Same
    } else {
        Twice::No
    }
}

async fn apply_once<E: Engine>(engine: &E, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied> {
    let update = Query::new(&engine.statements().update, updated(ticket, changes, now));
    if keeps_data(changes) {
        return Ok(updated_or_gone(engine.execute(&update).await?));
    }
    let mut transaction = engine.begin().await?;
    match apply_within(engine, &mut transaction, &update, ticket, changes).await {
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
    update: &Query<'_>,
    ticket: &HashedTicket,
    changes: &Changes,
) -> Result<Applied> {
    let statements = engine.statements();
    let id = ticket.id.as_bytes();
    if updated_or_gone(transaction.execute(update).await?) == Applied::Gone {
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
    Ok(Applied::Updated)
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

/// The parameters of an update.
pub(super) fn updated<'a>(ticket: &'a HashedTicket, changes: &'a Changes, now: u64) -> Vec<Arg<'a>> {
    let flag = |is_so: bool| int(u64::from(is_so));
    let number = |field: &Field<u64>| match *field {
        Field::Keep => [flag(false), Arg::Int(None)],
        Field::Set(number) => [flag(true), int(number)],
        Field::Unset => [flag(true), Arg::Int(None)],
    };
    fn text(field: &Field<String>) -> [Arg<'_>; 2] {
        match field {
            Field::Keep => [int(0), Arg::Bytes(None)],
            Field::Set(text) => [int(1), bytes(text.as_bytes())],
            Field::Unset => [int(1), Arg::Bytes(None)],
        }
    }
    let max_age = match changes.max_age {
        Field::Keep => Field::Keep,
        Field::Set(seconds) => Field::Set(u64::from(seconds)),
        Field::Unset => Field::Unset,
    };
    let mut args = vec![
        Arg::Bytes(changes.secret.as_ref().map(|secret| secret.as_bytes().as_slice())),
        int(changes.seen),
        int(changes.sent.unwrap_or(0)),
        flag(changes.may_shorten),
        int(changes.expires),
        int(changes.expires),
    ];
    args.extend(number(&changes.authenticated));
    args.extend(number(&max_age));
    args.extend(text(&changes.owner));
    args.extend(text(&changes.label));
    args.extend([bytes(ticket.id.as_bytes()), bytes(ticket.secret.as_bytes()), int(now)]);
    args
}

pub(super) async fn delete<E: Engine>(engine: &E, ticket: &HashedTicket, now: u64) -> Result<bool> {
    let args = vec![bytes(ticket.id.as_bytes()), bytes(ticket.secret.as_bytes()), int(now)];
    let query = Query::new(&engine.statements().delete, args);
    // A second time there is nothing left to end. What the first one did nobody knows then, but it is ended.
    carried_out(engine, Twice::Same, |_| engine.execute(&query))
        .await
        .map(|rows| rows > 0)
}

pub(super) async fn delete_expired<E: Engine>(engine: &E, now: u64) -> Result<u64> {
    let query = Query::new(&engine.statements().sweep, vec![int(now), int(BATCH)]);
    let mut all = 0;
    loop {
        let swept = carried_out(engine, Twice::Same, |_| engine.execute(&query)).await?;
        all += swept;
        if swept < BATCH {
            return Ok(all);
        }
    }
}

pub(super) async fn delete_of<E: Engine>(engine: &E, owner: &str, which: &Which) -> Result<u64> {
    let statements = engine.statements();
    let owner = bytes(owner.as_bytes());
    let query = match which {
        Which::All => Query::new(&statements.delete_of, vec![owner]),
        Which::AllBut(kept) => Query::new(&statements.delete_of_all_but, vec![owner, bytes(kept.as_bytes())]),
        Which::Only(one) => Query::new(&statements.delete_of_only, vec![owner, bytes(one.as_bytes())]),
    };
    carried_out(engine, Twice::Same, |_| engine.execute(&query)).await
}

pub(super) async fn delete_begun_before<E: Engine>(engine: &E, epoch: u64) -> Result<u64> {
    let query = Query::new(&engine.statements().delete_begun_before, vec![int(epoch)]);
    carried_out(engine, Twice::Same, |_| engine.execute(&query)).await
}
