//! The members of one JSON object, found without parsing their values.

use std::{
    borrow::Cow,
    collections::{BinaryHeap, HashMap, hash_map::Entry},
    fmt,
};

use serde_core::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deeper than this, two values that differ in bytes count as different: telling more is not worth a deep stack.
const MAX_COMPARED_DEPTH: usize = 128;

/// Up to this many members, duplicates are looked for without an allocation.
const FEW: usize = 64;

/// A member of the text as it came.
#[derive(Clone)]
pub(super) struct Member {
    /// The key as it stands in the text, quotes included.
    pub(super) key: Span,
    /// The key's meaning, where it was written with escapes.
    pub(super) unescaped: Option<Box<str>>,
    pub(super) value: Span,
    /// The value stands with a later mention of the key, so there are other members between the two.
    pub(super) repeated: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The text is not one JSON object.
#[derive(Debug)]
pub(crate) struct NotAnObject;

impl Member {
    pub(super) fn key<'a>(&'a self, text: &'a str) -> &'a str {
        match &self.unescaped {
            Some(key) => key,
            None => &text[self.key.start as usize + 1..self.key.end as usize - 1],
        }
    }

    /// The key came once more, with this value.
    fn repeat(&mut self, value: Span) {
        self.value = value;
        self.repeated = true;
    }
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Option<Self> {
        Some(Self {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(end).ok()?,
        })
    }

    pub(super) fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }

    /// Where `part`, a slice of `text`, stands in it.
    fn find(text: &str, part: &str) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        Self::new(start, start + part.len())
    }
}

pub(super) fn index(text: &str) -> Result<Vec<Member>, NotAnObject> {
    // Nearly all keys are written without escapes, and are slices of the text then.
    let mut members = match index_with(text, Plain { text }) {
        Err(NotAnObject) if memchr::memchr(b'\\', text.as_bytes()).is_some() => index_with(text, Escaped { text })?,
        indexed => indexed?,
    };
    if members.len() <= FEW {
        merge_few(&mut members, text);
    } else {
        merge_many(&mut members, text);
    }
    Ok(members)
}

fn index_with<'t>(text: &'t str, visitor: impl Visitor<'t, Value = Vec<Member>>) -> Result<Vec<Member>, NotAnObject> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(visitor).map_err(|_| NotAnObject)?;
    deserializer.end().map_err(|_| NotAnObject)?;
    Ok(members)
}

/// Room for most sessions at once, and no more than the text could fill.
fn room(text: &str) -> Vec<Member> {
    Vec::with_capacity((text.len() / 16).clamp(1, FEW))
}

/// Fails at the first key with an escape.
struct Plain<'t> {
    text: &'t str,
}

impl<'t> Visitor<'t> for Plain<'t> {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = room(self.text);
        while let Some((key, value)) = map.next_entry::<&str, &RawValue>()? {
            let (Some(key), Some(value)) = (Span::find(self.text, key), Span::find(self.text, value.get())) else {
                return Err(outside());
            };
            members.push(Member {
                key: Span {
                    // Its quotes.
                    start: key.start - 1,
                    end: key.end + 1,
                },
                unescaped: None,
                value,
                repeated: false,
            });
        }
        Ok(members)
    }
}

struct Escaped<'t> {
    text: &'t str,
}

impl<'t> Visitor<'t> for Escaped<'t> {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = room(self.text);
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let (key, value) = (key.get(), value.get());
            let (Some(key_span), Some(value)) = (Span::find(self.text, key), Span::find(self.text, value)) else {
                return Err(outside());
            };
            let unescaped = if memchr::memchr(b'\\', key.as_bytes()).is_some() {
                // Half a surrogate pair, which is a key in other languages and none in Rust, is kept under a name of its own.
                let unescaped = serde_json::from_str::<Box<str>>(key);
                Some(unescaped.unwrap_or_else(|_| format!("\u{10ffff}{key}").into()))
            } else {
                None
            };
            members.push(Member {
                key: key_span,
                unescaped,
                value,
                repeated: false,
            });
        }
        Ok(members)
    }
}

fn outside<E: serde_core::de::Error>() -> E {
    E::custom("a member outside of the text")
}

/// Merges duplicate keys. A bit per key seen tells most new keys apart without comparing them.
fn merge_few(members: &mut Vec<Member>, text: &str) {
    let mut seen = [0_u64; 8];
    let mut kept: usize = 0;
    for at in 0..members.len() {
        let key = members[at].key(text).as_bytes();
        let hash = key.iter().fold(key.len() as u32, |hash, &byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let (word, bit) = ((hash >> 13) as usize % 8, 1 << (hash >> 26));
        let first = if seen[word] & bit == 0 {
            None
        } else {
            let key = members[at].key(text);
            members[..kept].iter().position(|member| member.key(text) == key)
        };
        seen[word] |= bit;
        match first {
            Some(first) => {
                let value = members[at].value;
                members[first].repeat(value);
            }
            None => {
                members.swap(kept, at);
                kept += 1;
            }
        }
    }
    members.truncate(kept);
}

/// The same where comparing each with each would take too long.
fn merge_many(members: &mut Vec<Member>, text: &str) {
    let mut firsts: HashMap<&str, usize> = HashMap::with_capacity(members.len());
    let mut repeats = Vec::new();
    for (at, member) in members.iter().enumerate() {
        match firsts.entry(member.key(text)) {
            Entry::Occupied(first) => repeats.push((*first.get(), at)),
            Entry::Vacant(place) => {
                place.insert(at);
            }
        }
    }
    if repeats.is_empty() {
        return;
    }
    let mut dropped = vec![false; members.len()];
    for (first, at) in repeats {
        let value = members[at].value;
        members[first].repeat(value);
        dropped[at] = true;
    }
    let mut dropped = dropped.into_iter();
    members.retain(|_| dropped.next() != Some(true));
}

/// The numbers from 0 up to `len` in the order of their keys, and those of equal keys in their own. By a heap, which is a tenth of
/// the code of the other sorts, and seldom asked.
pub(super) fn in_order<'t>(len: usize, key: &dyn Fn(usize) -> &'t str) -> Vec<usize> {
    let keys: BinaryHeap<(&str, usize)> = (0..len).map(|at| (key(at), at)).collect();
    keys.into_sorted_vec().into_iter().map(|(_, at)| at).collect()
}

/// Whether two JSON values mean the same: white space, escapes and the order of members do not count, the spelling of
/// numbers does (`1.0` is not `1`, and no digit of a long number is lost).
pub(super) fn same(a: &str, b: &str, depth: usize) -> bool {
    if a == b {
        return true;
    }
    if depth >= MAX_COMPARED_DEPTH {
        return false;
    }
    match (a.as_bytes().first(), b.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => {
            let (Ok(members), Ok(others)) = (index(a), index(b)) else {
                return false;
            };
            let order = in_order(members.len(), &|at| members[at].key(a));
            let other_order = in_order(others.len(), &|at| others[at].key(b));
            members.len() == others.len()
                && order.into_iter().zip(other_order).all(|(x, y)| {
                    members[x].key(a) == others[y].key(b)
                        && same(members[x].value.of(a), others[y].value.of(b), depth + 1)
                })
        }
        (Some(b'['), Some(b'[')) => {
            let (Ok(items), Ok(others)) = (
                serde_json::from_str::<Vec<&RawValue>>(a),
                serde_json::from_str::<Vec<&RawValue>>(b),
            ) else {
                return false;
            };
            items.len() == others.len()
                && items
                    .iter()
                    .zip(&others)
                    .all(|(x, y)| same(x.get(), y.get(), depth + 1))
        }
        (Some(b'"'), Some(b'"')) if a.contains('\\') || b.contains('\\') => {
            match (
                serde_json::from_str::<Cow<'_, str>>(a),
                serde_json::from_str::<Cow<'_, str>>(b),
            ) {
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            }
        }
        _ => false,
    }
}
