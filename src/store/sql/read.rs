//! What the store reads, on any engine.

use super::{
    engine::{Cell, Engine, Kind, Query, Result, Row, bytes, int},
    error::{Twice, carried_out, malformed},
};
use crate::{
    session::{SessionId, Values},
    store::{HashedTicket, Loaded, Mark, Owner, OwnerId, RENEWED_FOR, Record, SecretHash, StoredSession},
};

pub(super) async fn load<E: Engine>(engine: &E, ticket: &HashedTicket, now: u64) -> Result<Loaded> {
    use Kind::{Bytes, Int};
    const COLUMNS: [Kind; 12] = [Bytes, Int, Int, Int, Int, Int, Int, Bytes, Bytes, Bytes, Bytes, Bytes];
    let (id, secret) = (ticket.id.as_bytes(), ticket.secret.as_bytes());
    let args = vec![
        bytes(id),
        int(now),
        bytes(secret),
        bytes(secret),
        int(now.saturating_sub(RENEWED_FOR)),
        bytes(id),
        bytes(secret),
        int(now),
    ];
    let query = Query::new(&engine.statements().load, args);
    let rows = fetched(engine, &query, &COLUMNS).await?;
    let (mut session, mut values) = (None, Vec::with_capacity(rows.len()));
    for row in rows {
        let [
            secret,
            created,
            sent,
            seen,
            authenticated,
            max_age,
            expires,
            owner,
            owner_name,
            label,
            name,
            value,
        ] = array_of(row)?;
        if let Cell::Bytes(_) = name {
            values.push((text(name)?, text(value)?));
            continue;
        }
        let secret = SecretHash::from_bytes(array(secret)?);
        let mut record = Record::new(secret, number(&created)?, number(&expires)?);
        record.sent = number(&sent)?;
        record.seen = number(&seen)?;
        record.authenticated = optional(&authenticated)?;
        record.max_age = optional(&max_age)?.map(|age| u32::try_from(age).unwrap_or(u32::MAX));
        record.owner = match owner {
            Cell::Null => None,
            id => Some(Owner::new(OwnerId::from_bytes(array(id)?), text(owner_name)?)),
        };
        record.label = optional_text(label)?;
        session = Some(Box::new(record));
    }
    Ok(match session {
        None => Loaded::Missing,
        Some(record) if record.secret != ticket.secret => Loaded::Renewed,
        Some(mut record) => {
            record.values = values.into_iter().collect::<Values>();
            Loaded::Live(record)
        }
    })
}

/// Reads, on whichever connection can.
pub(super) async fn fetched<E: Engine>(engine: &E, query: &Query<'_>, kinds: &[Kind]) -> Result<Vec<Row>> {
    carried_out(engine, Twice::Same, |_| engine.fetch(query, kinds)).await
}

/// The mark that a login asks for.
pub(super) async fn mark<E: Engine>(engine: &E, owner: &OwnerId) -> Result<Mark> {
    let query = Query::new(&engine.statements().mark, vec![bytes(owner.as_bytes())]);
    let rows = fetched(engine, &query, &[Kind::Int; 4]).await?;
    let [all, epoch, theirs, ended] = array_of(rows.into_iter().next().ok_or_else(malformed)?)?;
    Ok(Mark::new(
        number(&all)? + optional(&theirs)?.unwrap_or(0),
        number(&epoch)?.max(optional(&ended)?.unwrap_or(0)),
    ))
}

pub(super) async fn sessions_of<E: Engine>(engine: &E, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>> {
    use Kind::{Bytes, Int};
    let query = Query::new(
        &engine.statements().sessions_of,
        vec![bytes(owner.as_bytes()), int(now)],
    );
    let rows = fetched(engine, &query, &[Bytes, Int, Int, Int, Int, Bytes]).await?;
    rows.into_iter().map(summary).collect()
}

fn summary(row: Row) -> Result<StoredSession> {
    let [id, created, seen, expires, authenticated, label] = array_of(row)?;
    let mut record = Record::new(SecretHash::from_bytes([0; 32]), number(&created)?, number(&expires)?);
    record.seen = number(&seen)?;
    record.authenticated = optional(&authenticated)?;
    record.label = optional_text(label)?;
    Ok(record.summary(SessionId::from_bytes(array(id)?)))
}

pub(super) fn array_of<const N: usize>(row: Row) -> Result<[Cell; N]> {
    row.try_into().map_err(|_| malformed())
}

pub(super) fn number(cell: &Cell) -> Result<u64> {
    optional(cell)?.ok_or_else(malformed)
}

fn optional(cell: &Cell) -> Result<Option<u64>> {
    match *cell {
        Cell::Null => Ok(None),
        Cell::Int(number) => u64::try_from(number).map(Some).map_err(|_| malformed()),
        Cell::Bytes(_) => Err(malformed()),
    }
}

pub(super) fn array(cell: Cell) -> Result<[u8; 32]> {
    match cell {
        Cell::Bytes(bytes) => bytes.try_into().map_err(|_| malformed()),
        _ => Err(malformed()),
    }
}

fn text(cell: Cell) -> Result<String> {
    optional_text(cell)?.ok_or_else(malformed)
}

fn optional_text(cell: Cell) -> Result<Option<String>> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Bytes(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| malformed()),
        Cell::Int(_) => Err(malformed()),
    }
}
