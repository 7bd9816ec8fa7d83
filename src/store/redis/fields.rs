//! A record as the fields of a hash, and back.

use std::borrow::Cow;

use ::redis::{Value, from_redis_value};

use super::{
    flight::Step,
    login::Intent,
    script::{Args, KEEP, UNSET, number, set, text as arg},
    strange,
};
use crate::{
    error::Error,
    session::{SessionId, Values},
    store::{Changes, Field, HashedTicket, Owner, OwnerId, Record, Renewed, SecretHash, StoredSession},
};

/// A record's values are the fields with this prefix; no field of its own has one.
const VALUE: &[u8] = b"v:";

/// What [`line()`] reads.
pub(super) const SUMMARY: [&str; 7] = ["owner", "created", "seen", "expires", "authenticated", "label", "login"];

/// The fields that [`standing`] reads.
pub(super) const STANDING: [&str; 3] = ["owner", "expires", "login"];

/// The fields that [`pending`] reads.
pub(super) const PENDING: [&str; 3] = ["owner", "login", "indexed"];

/// A record, and what this store keeps beside it.
pub(super) struct Found {
    pub(super) record: Record,
    /// The login that is not settled.
    pub(super) login: Option<Intent>,
    /// Until when the owner's index holds it.
    pub(super) indexed: u64,
}

/// A session of an owner.
pub(super) struct Standing {
    pub(super) expires: u64,
    /// Its login has come to its end.
    pub(super) settled: bool,
}

/// An entry of an owner's index.
pub(super) enum Line {
    Listed(Box<StoredSession>),
    /// It is there, and not to be shown: expired by our clock, or its login has not come to its
    /// end.
    Hidden,
    /// It has ended, or is not the owner's any more.
    Gone,
}

/// A hash that does not hold what this store writes.
fn foreign() -> Error {
    Error::store(
        "a session in Redis has fields that this store did not write, so something else uses its key prefix: give the store a \
         `key_prefix` of its own",
    )
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| foreign())
}

fn owner_id(hex: &[u8]) -> Result<OwnerId, Error> {
    let id: SessionId = parsed(hex)?;
    Ok(OwnerId::from_bytes(*id.as_bytes()))
}

fn secret_hash(bytes: &[u8]) -> Result<SecretHash, Error> {
    Ok(SecretHash::from_bytes(bytes.try_into().map_err(|_| foreign())?))
}

fn parsed<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| foreign())?;
    text.parse().map_err(|_| foreign())
}

/// The record in an answer to `HGETALL`. `None` if there is none.
pub(super) fn record(answer: Value) -> Result<Option<Found>, Error> {
    let fields: Vec<(Vec<u8>, Vec<u8>)> = from_redis_value(answer).map_err(|_| strange())?;
    let mut record = Record::new(SecretHash::from_bytes([0; 32]), 0, 0);
    let (mut secret, mut was, mut renewed, mut login) = (None, None, 0, None);
    let (mut owner, mut name, mut indexed) = (None, String::new(), 0);
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
            b"owner" => owner = Some(owner_id(&value)?),
            b"name" => name = text(value)?,
            b"label" => record.label = Some(text(value)?),
            b"was" => was = Some(secret_hash(&value)?),
            b"renewed" => renewed = parsed(&value)?,
            b"login" => login = Some(parsed(&value)?),
            b"indexed" => indexed = parsed(&value)?,
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
    record.secret = secret_hash(&secret)?;
    record.owner = owner.map(|id| Owner::new(id, name));
    record.renewed = was.map(|was| Renewed::new(was, renewed));
    record.values = values.into_iter().collect::<Values>();
    Ok(Some(Found { record, login, indexed }))
}

/// Returns the arguments of the script `create`. A session with an owner has the login that makes
/// it theirs, and until when their index will hold it.
pub(super) fn create<'a>(record: &'a Record, login: Option<(&Intent, u64)>, step: &Step<'_>, now: u64) -> Args<'a> {
    let mut args = vec![number(now)];
    args.extend(step.args());
    args.push(number(record.expires));
    // With a login its mark says whether it comes too late.
    args.push(login.map_or_else(|| number(record.begun()), |_| Cow::Borrowed(b"")));
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
        put("owner", arg(owner.id.to_string()));
        put("name", Cow::Borrowed(owner.name.as_bytes()));
    }
    if let Some((login, indexed)) = login {
        put("login", arg(login.to_string()));
        put("indexed", number(indexed));
    }
    if let Some(label) = &record.label {
        put("label", Cow::Borrowed(label.as_bytes()));
    }
    if let Some(renewed) = &record.renewed {
        put("was", Cow::Owned(renewed.secret.as_bytes().to_vec()));
        put("renewed", number(renewed.at));
    }
    for (key, json) in record.values.iter() {
        args.push(Cow::Owned([VALUE, key.as_bytes()].concat()));
        args.push(Cow::Borrowed(json.as_bytes()));
    }
    args
}

/// The arguments of the script `apply` besides the changes.
pub(super) struct Apply<'a> {
    pub(super) step: &'a Step<'a>,
    pub(super) login: Option<&'a Intent>,
    /// Whose index holds it, or will with the login, and until when.
    pub(super) held: Option<(OwnerId, u64)>,
    /// Whose order of sessions the script is shown.
    pub(super) known: Option<OwnerId>,
    pub(super) now: u64,
}

pub(super) fn apply<'a>(ticket: &'a HashedTicket, changes: &'a Changes, apply: &Apply<'_>) -> Args<'a> {
    let flag = |on| Cow::Borrowed(if on { b"1".as_slice() } else { b"" });
    let mut args = vec![number(apply.now)];
    args.extend(apply.step.args());
    args.extend([
        Cow::Borrowed(ticket.secret.as_bytes().as_slice()),
        changes.secret.map_or(KEEP, |secret| set(secret.as_bytes())),
        number(changes.seen),
        changes.sent.map_or(flag(false), number),
        number(changes.expires),
        flag(changes.may_shorten),
        field(&changes.authenticated, |&at| number(at)),
        field(&changes.max_age, |&seconds| number(seconds.into())),
        field(&changes.owner, |owner| arg(owner.id.to_string())),
        field(&changes.owner, |owner| Cow::Borrowed(owner.name.as_bytes())),
        field(&changes.label, |label| Cow::Borrowed(label.as_bytes())),
        apply.login.map_or(flag(false), |login| arg(login.to_string())),
        apply.held.map_or(KEEP, |(owner, _)| set(owner.to_string().as_bytes())),
        number(apply.held.map_or(0, |(_, until)| until)),
        apply.known.map_or(flag(false), |owner| arg(owner.to_string())),
        arg(ticket.id.to_string()),
        flag(changes.cleared),
        number(changes.expected.len() as u64),
        number(changes.removed.len() as u64),
    ]);
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

/// The answer of the script `apply`.
pub(super) enum AppliedTo {
    Gone,
    Conflict,
    /// Nothing was changed: the last login must be settled first.
    NotSettled,
    /// Nothing was changed: the owner's index must hold the session until this end.
    Hold(OwnerId, u64),
    Updated,
    /// It ends then, and whether the owner's index knows it is not known.
    UpdatedOf(OwnerId, u64),
}

pub(super) fn applied(answer: Value) -> Result<AppliedTo, Error> {
    Ok(match answer {
        Value::Int(0) => AppliedTo::Gone,
        Value::Int(1) => AppliedTo::Updated,
        Value::Int(2) => AppliedTo::Conflict,
        Value::Int(3) => AppliedTo::NotSettled,
        answer => {
            let (owner, ends, done): (Vec<u8>, u64, u8) = from_redis_value(answer).map_err(|_| strange())?;
            let owner = owner_id(&owner)?;
            match done {
                0 => AppliedTo::Hold(owner, ends),
                _ => AppliedTo::UpdatedOf(owner, ends),
            }
        }
    })
}

fn field<'a, T>(field: &'a Field<T>, bytes: impl FnOnce(&'a T) -> Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    match field {
        Field::Keep => KEEP,
        Field::Unset => UNSET,
        Field::Set(value) => set(&bytes(value)),
    }
}

/// The texts in an answer to `HMGET`.
fn texts<const COUNT: usize>(answer: Value) -> Result<[Option<Vec<u8>>; COUNT], Error> {
    let fields: Vec<Option<Vec<u8>>> = from_redis_value(answer).map_err(|_| strange())?;
    fields.try_into().map_err(|_| strange())
}

/// Makes the line of a list of sessions, from an answer to `HMGET` with [`SUMMARY`].
pub(super) fn line(answer: Value, id: SessionId, owner: &OwnerId, now: u64) -> Result<Line, Error> {
    let [
        Some(of),
        Some(created),
        Some(seen),
        Some(expires),
        authenticated,
        label,
        login,
    ] = texts(answer)?
    else {
        return Ok(Line::Gone);
    };
    if owner_id(&of)? != *owner {
        return Ok(Line::Gone);
    }
    let mut record = Record::new(SecretHash::from_bytes([0; 32]), parsed(&created)?, parsed(&expires)?);
    record.seen = parsed(&seen)?;
    record.authenticated = authenticated.as_deref().map(parsed).transpose()?;
    record.label = label.map(text).transpose()?;
    Ok(if record.is_live(now) && login.is_none() {
        Line::Listed(Box::new(record.summary(id)))
    } else {
        Line::Hidden
    })
}

/// How a session stands, from an answer to `HMGET` with [`STANDING`]; `None` if it has ended, or is
/// not the owner's.
pub(super) fn standing(answer: Value, owner: &OwnerId) -> Result<Option<Standing>, Error> {
    let [Some(of), Some(expires), login] = texts(answer)? else {
        return Ok(None);
    };
    Ok(if owner_id(&of)? == *owner {
        Some(Standing {
            expires: parsed(&expires)?,
            settled: login.is_none(),
        })
    } else {
        None
    })
}

/// The login that is not settled, and until when the owner's index is to hold the session, from an
/// answer to `HMGET` with [`PENDING`].
pub(super) fn pending(answer: Value) -> Result<Option<(OwnerId, Intent, u64)>, Error> {
    let [Some(of), Some(login), Some(indexed)] = texts(answer)? else {
        return Ok(None);
    };
    Ok(Some((owner_id(&of)?, parsed(&login)?, parsed(&indexed)?)))
}
