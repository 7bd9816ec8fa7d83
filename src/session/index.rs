//! The members of one JSON object, found without parsing their values.

use std::collections::BinaryHeap;

use super::{
    scan::{NotJson, Numbers, STAND_IN, Scanner, is_lax_only, stand_in, unescape},
    table::{FEW, Table},
};

/// Deeper than this, two values that differ in bytes count as different: telling more is not worth a deep stack.
const MAX_COMPARED_DEPTH: usize = 128;

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
pub(crate) struct NotAnObject {
    /// It is JSON but for `NaN` and the infinities, so whoever wrote it can read it.
    pub(crate) is_lax: bool,
}

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
}

/// Finds the members of the text, and says how to find one of many by its key.
pub(super) fn index(text: &str) -> Result<(Vec<Member>, Option<Table>), NotAnObject> {
    let mut members = scan(text).map_err(|NotJson| NotAnObject {
        is_lax: is_lax_only(text),
    })?;
    name_halves(&mut members, text);
    if members.len() <= FEW {
        merge_few(&mut members, text);
        Ok((members, None))
    } else {
        let table = merge_many(&mut members, text);
        Ok((members, Some(table)))
    }
}

fn scan(text: &str) -> Result<Vec<Member>, NotJson> {
    let mut scanner = Scanner::new(text, Numbers::Json);
    scanner.take(b'{')?;
    let mut members = Vec::new();
    if !scanner.takes(b'}') {
        // Room for most sessions at once, and no more than the text could fill.
        members.reserve_exact((text.len() / 16).clamp(1, FEW));
        loop {
            let name = scanner.string()?;
            scanner.take(b':')?;
            scanner.peek();
            let start = scanner.at;
            scanner.value()?;
            let key = Span::new(name.start, name.end).ok_or(NotJson)?;
            let half_or_key = |quoted: &str| unescape(quoted).unwrap_or_else(|| stand_in(quoted).into());
            members.push(Member {
                key,
                unescaped: name.has_escapes.then(|| half_or_key(key.of(text))),
                value: Span::new(start, scanner.at).ok_or(NotJson)?,
                repeated: false,
            });
            if !scanner.takes(b',') {
                break;
            }
        }
        scanner.take(b'}')?;
    }
    scanner.end()?;
    Ok(members)
}

/// Sees to it that the name which stands in for a key with half of a surrogate pair is no other member's key: it begins with one
/// more of a character than each of these does.
fn name_halves(members: &mut [Member], text: &str) {
    let is_half = |member: &Member| {
        let escaped = member.unescaped.as_deref();
        escaped.is_some_and(|key| key.starts_with(STAND_IN)) && unescape(member.key.of(text)).is_none()
    };
    if !members.iter().any(is_half) {
        return;
    }
    let whole_keys = members.iter().filter(|member| !is_half(member));
    let runs = whole_keys.map(|member| member.key(text).chars().take_while(|&char| char == STAND_IN).count());
    let prefix = String::from(STAND_IN).repeat(runs.max().unwrap_or(0));
    for member in members {
        if is_half(member)
            && let Some(name) = &mut member.unescaped
        {
            *name = format!("{prefix}{name}").into();
        }
    }
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

/// The same where comparing each with each would take too long. The table finds the rest.
fn merge_many(members: &mut Vec<Member>, text: &str) -> Table {
    let mut table = Table::with_room(members.len());
    let mut kept: usize = 0;
    for at in 0..members.len() {
        let key = members[at].key(text);
        match table.find(key, |first| members[first].key(text) == key) {
            Some(first) => {
                let value = members[at].value;
                members[first].repeat(value);
            }
            None => {
                table.add(key, kept);
                members.swap(kept, at);
                kept += 1;
            }
        }
    }
    members.truncate(kept);
    table
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
            let (Ok((members, _)), Ok((others, _))) = (index(a), index(b)) else {
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
            let (Ok(items), Ok(others)) = (items(a), items(b)) else {
                return false;
            };
            items.len() == others.len() && items.iter().zip(&others).all(|(x, y)| same(x, y, depth + 1))
        }
        (Some(b'"'), Some(b'"')) if a.contains('\\') || b.contains('\\') => {
            matches!((unescape(a), unescape(b)), (Some(a), Some(b)) if a == b)
        }
        _ => false,
    }
}

/// The texts of an array's items.
fn items(text: &str) -> Result<Vec<&str>, NotJson> {
    let mut scanner = Scanner::new(text, Numbers::Json);
    scanner.take(b'[')?;
    let mut items = Vec::new();
    if !scanner.takes(b']') {
        loop {
            scanner.peek();
            let start = scanner.at;
            scanner.value()?;
            items.push(&text[start..scanner.at]);
            if !scanner.takes(b',') {
                break;
            }
        }
        scanner.take(b']')?;
    }
    scanner.end()?;
    Ok(items)
}
