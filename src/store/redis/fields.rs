//! A record as the fields of a hash, and back.

use std::borrow::Cow;

use ::redis::{Value, from_redis_value};

use super::script::{Args, KEEP, Step, UNSET, number, set};
use crate::{
    error::Error,
    session::{SessionId, Values},
    store::{Changes, Field, HashedTicket, Owner, OwnerId, Record, SecretHash, StoredSession},
};

/// A record's values are the fields with this prefix; no field of its own has one.
const VALUE: &[u8] = b"v:";

/// What [`summary`] reads.
pub(super) const SUMMARY: [&str; 6] = ["owner", "created", "seen", "expires", "authenticated", "label"];

/// A hash that does not hold what this store writes.
fn foreign() -> Error {
    Error::store("a session in Redis has fields that this store did not write: something else uses its key prefix")
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| foreign())
}

fn owner(hex: &[u8]) -> Result<Owner, Error> {
    let id: SessionId = parsed(hex)?;
    Ok(Owner::new(OwnerId::from_bytes(*id.as_bytes()), ""))
}

fn parsed<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| foreign())?;
    text.parse().map_err(|_| foreign())
}

/// The record in an answer to `HGETALL`. `None` if there is none.
pub(super) fn record(answer: Value) -> Result<Option<Record>, Error> {
    let fields: Vec<(Vec<u8>, Vec<u8>)> = from_redis_value(answer).map_err(Error::store)?;
    let mut record = Record::new(SecretHash::from_bytes([0; 32]), 0, 0);
    let mut secret = None;
    let mut values = Vec::with_capacity(fields.len());
    for (field, value) in fields {
        match &*field {
            b"secret" => secret = Some(value),
            b"created" => record.created = parsed(&value)?,
            b"sent" => record.sent = parsed(&value)?,
            b"seen" => record.seen = parsed(&value)?,
            b"authenticated" => record.authenticated = Some(parsed(&value)?),
            b"max_age" => record.max_age = Some(parsed(&value)?),
            b"expires" => record.expires = parsed(&value)?,
            b"owner" => record.owner = Some(owner(&value)?),
            b"label" => record.label = Some(text(value)?),
            _ => {
                // Others are from a later version of this store, or its own.
                if let Some(key) = field.strip_prefix(VALUE) {
                    values.push((text(key.to_vec())?, text(value)?));
                }
            }
        }
    }
    // A session that has just ended leaves a mark without a secret.
    let Some(secret) = secret else {
        return Ok(None);
    };
    record.secret = SecretHash::from_bytes(secret.try_into().map_err(|_| foreign())?);
    record.values = values.into_iter().collect::<Values>();
    Ok(Some(record))
}

/// What the script `create` is called with.
pub(super) fn create(record: &Record, indexed: u64, step: Step, now: u64) -> Args<'_> {
    let mut args = vec![number(now), step.as_arg(), number(record.expires)];
    let mut put = |field: &'static str, value| {
        args.push(Cow::Borrowed(field.as_bytes()));
        args.push(value);
    };
    put("secret", Cow::Borrowed(record.secret.as_bytes().as_slice()));
    put("created", number(record.created));
    put("sent", number(record.sent));
    put("seen", number(record.seen));
    if let Some(authenticated) = record.authenticated {
        put("authenticated", number(authenticated));
    }
    if let Some(max_age) = record.max_age {
        put("max_age", number(max_age.into()));
    }
    if let Some(owner) = &record.owner {
        put("owner", Cow::Owned(owner.id.to_string().into_bytes()));
        put("indexed", number(indexed));
    }
    if let Some(label) = &record.label {
        put("label", Cow::Borrowed(label.as_bytes()));
    }
    for (key, json) in record.values.iter() {
        args.push(Cow::Owned([VALUE, key.as_bytes()].concat()));
        args.push(Cow::Borrowed(json.as_bytes()));
    }
    args
}

/// What the script `apply` is called with. `indexed` is whose index was written, and until when it holds the session.
pub(super) fn apply<'a>(
    ticket: &'a HashedTicket,
    changes: &'a Changes,
    indexed: Option<(&str, u64)>,
    step: Step,
    now: u64,
) -> Args<'a> {
    let flag = |on| Cow::Borrowed(if on { b"1".as_slice() } else { b"" });
    let mut args = vec![
        number(now),
        step.as_arg(),
        Cow::Borrowed(ticket.secret.as_bytes().as_slice()),
        changes.secret.map_or(KEEP, |secret| set(secret.as_bytes())),
        number(changes.seen),
        changes.sent.map_or(flag(false), number),
        number(changes.expires),
        flag(changes.may_shorten),
        field(&changes.authenticated, |&at| number(at)),
        field(&changes.max_age, |&seconds| number(seconds.into())),
        field(&changes.owner, |owner| Cow::Owned(owner.id.to_string().into_bytes())),
        field(&changes.label, |label| Cow::Borrowed(label.as_bytes())),
        indexed.map_or(KEEP, |(owner, _)| set(owner.as_bytes())),
        number(indexed.map_or(0, |(_, until)| until)),
        flag(changes.cleared),
        number(changes.expected.len() as u64),
        number(changes.removed.len() as u64),
    ];
    for (key, json) in &changes.expected {
        args.push(Cow::Borrowed(key.as_bytes()));
        args.push(json.as_ref().map_or(UNSET, |json| set(json.as_bytes())));
    }
    args.extend(changes.removed.iter().map(|key| Cow::Borrowed(key.as_bytes())));
    for (key, json) in &changes.set {
        args.push(Cow::Borrowed(key.as_bytes()));
        args.push(Cow::Borrowed(json.as_bytes()));
    }
    args
}

fn field<'a, T>(field: &'a Field<T>, bytes: impl FnOnce(&'a T) -> Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    match field {
        Field::Keep => KEEP,
        Field::Unset => UNSET,
        Field::Set(value) => set(&bytes(value)),
    }
}

/// What an owner is shown, from an answer to `HMGET` with [`SUMMARY`]; `None` if the session is not theirs, or has ended.
pub(super) fn summary(answer: Value, id: SessionId, owner: &str, now: u64) -> Result<Option<StoredSession>, Error> {
    let fields: [Option<Vec<u8>>; SUMMARY.len()] = from_redis_value::<Vec<_>>(answer)
        .map_err(Error::store)?
        .try_into()
        .map_err(|_| foreign())?;
    let [Some(of), Some(created), Some(seen), Some(expires), authenticated, label] = fields else {
        return Ok(None);
    };
    let mut record = Record::new(SecretHash::from_bytes([0; 32]), parsed(&created)?, parsed(&expires)?);
    record.seen = parsed(&seen)?;
    record.authenticated = authenticated.as_deref().map(parsed).transpose()?;
    record.label = label.map(text).transpose()?;
    Ok((of == owner.as_bytes() && record.is_live(now)).then(|| record.summary(id)))
}
