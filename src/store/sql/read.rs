//! What the store reads, on any engine.

use super::{
    engine::{Cell, Engine, Kind, Query, Result, Row, bytes, int},
    error::malformed,
};
use crate::{
    session::{SessionId, Values},
    store::{HashedTicket, Loaded, Owner, OwnerId, Record, SecretHash, StoredSession},
};

pub(super) async fn load<E: Engine>(engine: &E, ticket: &HashedTicket, now: u64) -> Result<Loaded> {
    use Kind::{Bytes, Int};
    const COLUMNS: [Kind; 11] = [Bytes, Int, Int, Int, Int, Int, Int, Bytes, Bytes, Bytes, Bytes];
    let query = Query::new(&engine.statements().load, vec![bytes(ticket.id.as_bytes()), int(now)]);
    let mut rows = engine.fetch(&query, &COLUMNS).await?;
    let Some(first) = rows.first_mut() else {
        return Ok(Loaded::Missing);
    };
    let mut fields = first.drain(..9);
    let mut next = || fields.next().ok_or_else(malformed);
    let secret = SecretHash::from_bytes(array(next()?)?);
    if secret != ticket.secret {
        return Ok(Loaded::Renewed);
    }
    let (created, sent, seen) = (number(&next()?)?, number(&next()?)?, number(&next()?)?);
    let authenticated = optional(&next()?)?;
    let max_age = optional(&next()?)?;
    let mut record = Record::new(secret, created, number(&next()?)?);
    record.sent = sent;
    record.seen = seen;
    record.authenticated = authenticated;
    record.max_age = max_age.map(|age| u32::try_from(age).unwrap_or(u32::MAX));
    record.owner = match next()? {
        Cell::Null => None,
        id => Some(Owner::new(OwnerId::from_bytes(array(id)?), "")),
    };
    record.label = optional_text(next()?)?;
    drop(fields);
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        // The last two of each row.
        let mut row = row.into_iter().rev();
        let (value, name) = (row.next(), row.next());
        if let (Some(value), Some(name @ Cell::Bytes(_))) = (value, name) {
            values.push((text(name)?, text(value)?));
        }
    }
    record.values = values.into_iter().collect::<Values>();
    Ok(Loaded::Live(Box::new(record)))
}

pub(super) async fn sessions_of<E: Engine>(engine: &E, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>> {
    use Kind::{Bytes, Int};
    let query = Query::new(
        &engine.statements().sessions_of,
        vec![bytes(owner.as_bytes()), int(now)],
    );
    let rows = engine.fetch(&query, &[Bytes, Int, Int, Int, Int, Bytes]).await?;
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

fn number(cell: &Cell) -> Result<u64> {
    optional(cell)?.ok_or_else(malformed)
}

fn optional(cell: &Cell) -> Result<Option<u64>> {
    match *cell {
        Cell::Null => Ok(None),
        Cell::Int(number) => u64::try_from(number).map(Some).map_err(|_| malformed()),
        Cell::Bytes(_) => Err(malformed()),
    }
}

fn array(cell: Cell) -> Result<[u8; 32]> {
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
