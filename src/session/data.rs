//! The dictionary: JSON text as it came, an index of its top-level members, and the changes made since.
//!
//! Members that nobody touched are never parsed and never re-encoded. Every change passes through [`Data::change`].

use std::{collections::BTreeSet, fmt};

use super::{
    changes::{Change, Changes},
    index::{Member, NotAnObject, same},
    text::{Text, write_json_string},
    values::Values,
};

#[derive(Default)]
pub(crate) struct Data {
    base: Base,
    /// The members of `base` are gone; `changes` alone counts.
    cleared: bool,
    /// How often they went.
    clears: u32,
    /// What lies under the changes is in a store and was not fetched yet.
    unloaded: bool,
    changes: Changes,
    /// Keys of which the store may or may not hold what it was last told, since its answer never came.
    unsure: BTreeSet<String>,
}

/// What came with a request, and lies under all changes.
pub(crate) enum Base {
    Own(Text),
    /// The same with keys that stand in it more than once, and must not be written so.
    Repeating(Text),
    /// With the store that has fetched it.
    Shared(Values),
}

impl Base {
    /// Indexes the text of one JSON object. Of a key that stands in it twice, the last value counts, in the first one's place.
    pub(crate) fn parse(text: String) -> Result<Self, NotAnObject> {
        Text::parse(text).map(Self::Own)
    }

    /// The same for a format in which no key may stand twice: when it is written again, each stands
    /// in it once.
    pub(crate) fn written_once(self) -> Self {
        match self {
            Self::Own(text) if text.repeats() => Self::Repeating(text),
            other => other,
        }
    }

    fn text(&self) -> &Text {
        match self {
            Self::Own(text) | Self::Repeating(text) => text,
            Self::Shared(values) => values.text(),
        }
    }
}

impl Default for Base {
    fn default() -> Self {
        Self::Own(Text::default())
    }
}

/// What was changed, for a store that carries it out on the newest state.
#[derive(Clone, Default)]
pub(crate) struct Delta {
    pub(crate) cleared: bool,
    clears: u32,
    pub(crate) removed: Vec<String>,
    pub(crate) set: Vec<(String, String)>,
}

impl Delta {
    pub(crate) fn one(key: &str, json: &str) -> Self {
        Self {
            set: vec![(key.to_owned(), json.to_owned())],
            ..Self::default()
        }
    }
}

impl Data {
    /// Nothing was changed yet.
    pub(crate) fn on(base: Base) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    fn base(&self) -> &Text {
        self.base.text()
    }

    /// Whether every key there is was set since the session came.
    pub(crate) fn is_all_new(&self) -> bool {
        self.cleared || self.base().members().is_empty()
    }

    /// Nothing is known of what lies in the store; changes can be made all the same.
    pub(crate) fn unloaded() -> Self {
        Self {
            unloaded: true,
            ..Self::default()
        }
    }

    /// Whether there is an answer about `key`.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.knows_all() || self.changed(key).is_some()
    }

    /// Whether there is an answer about everything.
    pub(crate) fn knows_all(&self) -> bool {
        !self.unloaded || self.cleared
    }

    /// Puts what was fetched under the changes, which stay.
    pub(crate) fn ground_on(&mut self, fetched: Base) {
        let mut fetched = Self::on(fetched);
        let before = std::mem::take(self);
        fetched.clears = before.clears;
        // The store may yet carry out the step before.
        fetched.unsure = before.unsure;
        if before.cleared {
            fetched.cleared = true;
            fetched.changes = before.changes;
        } else {
            fetched.replay(before.changes);
        }
        *self = fetched;
    }

    /// All keys and the texts of their values.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        self.keys()
            .filter_map(|key| Some((key.to_owned(), self.get(key)?.to_owned())))
            .collect()
    }

    pub(crate) fn is_cleared(&self) -> bool {
        self.cleared
    }

    /// The text under `key` in the store, as far as is known.
    pub(crate) fn stored(&self, key: &str) -> Option<&str> {
        self.base().get(key)
    }

    /// What was changed.
    pub(crate) fn delta(&self) -> Delta {
        self.delta_of(self.changes.clone())
    }

    /// The same where nobody will look at it here again.
    pub(crate) fn take_delta(&mut self) -> Delta {
        let changes = std::mem::take(&mut self.changes);
        self.delta_of(changes)
    }

    fn delta_of(&self, changes: Changes) -> Delta {
        let mut delta = Delta {
            cleared: self.cleared,
            clears: self.clears,
            ..Delta::default()
        };
        delta.set.reserve_exact(changes.len());
        for Change { key, value, .. } in changes {
            match value {
                Some(value) => {
                    let known = self.original(&key);
                    if !known.is_some_and(|old| same(&value, old, 0)) || self.unsure.contains(&*key) {
                        delta.set.push((key, value));
                    }
                }
                None => delta.removed.push(key),
            }
        }
        delta
    }

    /// The store was told of `delta`, and nobody knows whether it has carried it out.
    pub(crate) fn doubt(&mut self, delta: &Delta) {
        for key in delta.set.iter().map(|(key, _)| key).chain(&delta.removed) {
            self.unsure.insert(key.clone());
            if self.changed(key).is_none() {
                // Undone while the store was at work: it has to be told.
                let value = self.original(key).map(str::to_owned);
                self.change(key, value);
            }
        }
    }

    /// The store has carried out `delta`, after which the whole was `text`: what came later is pending, and nothing else.
    pub(crate) fn settle(&mut self, text: String, delta: &Delta) {
        let before = std::mem::take(self);
        // Our own text is always an object.
        let mut settled = Self::on(Base::parse(text).unwrap_or_default());
        settled.clears = before.clears;
        if before.clears != delta.clears {
            settled.cleared = true;
            settled.changes = before.changes;
        } else {
            // Undone since: back to what it was before.
            let keys = delta.set.iter().map(|(key, _)| key).chain(&delta.removed);
            for key in keys.filter(|key| before.changed(key).is_none()) {
                settled.change(key, before.original(key).map(str::to_owned));
            }
            settled.replay(before.changes);
        }
        *self = settled;
    }

    /// The store holds this text under `key` now, in the place of what was `seen` there. What came later is pending.
    pub(crate) fn settle_one(&mut self, key: &str, json: &str, seen: Option<&str>) {
        let mut values = match &self.base {
            Base::Shared(values) => values.clone(),
            Base::Own(text) | Base::Repeating(text) => text.iter().collect(),
        };
        values.set(key, json);
        let mut before = std::mem::take(self);
        let mut settled = Self::on(Base::Shared(values));
        settled.clears = before.clears;
        // About all other keys nothing new is known.
        settled.unsure = std::mem::take(&mut before.unsure);
        settled.unsure.remove(key);
        if before.cleared {
            settled.cleared = true;
            settled.changes = before.changes;
        } else {
            let now = before.get(key);
            let newer = if now == seen {
                None
            } else {
                Some(now.map(str::to_owned))
            };
            settled.replay(before.changes.into_iter().filter(|change| change.key != key));
            if let Some(newer) = newer {
                settled.change(key, newer);
            }
        }
        *self = settled;
    }

    fn replay(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.change(&change.key, change.value);
        }
    }

    /// The JSON text of the value under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        match self.changed(key) {
            Some(change) => change.value.as_deref(),
            None => self.original(key),
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: String) {
        self.change(key, Some(value));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.change(key, None);
    }

    pub(crate) fn clear(&mut self) {
        self.changes.clear();
        self.cleared = true;
        self.clears = self.clears.wrapping_add(1);
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, ..)| key)
    }

    /// Whether anything was ever written; quick, and surely no only if nothing was.
    pub(crate) fn is_touched(&self) -> bool {
        self.cleared || !self.changes.is_empty()
    }

    /// Whether the dictionary differs from what was parsed, whatever was done to it in between.
    pub(crate) fn is_changed(&self) -> bool {
        if self.cleared && self.unloaded {
            true
        } else if self.cleared {
            self.changes.len() != self.base().members().len()
                || self.base().iter().any(|(key, old)| {
                    let now = self.changed(key).and_then(|change| change.value.as_deref());
                    !now.is_some_and(|now| same(now, old, 0))
                })
        } else {
            self.changes.iter().any(|change| match &change.value {
                None => true,
                // Moved to the end, but the same.
                Some(now) => {
                    !self.original(&change.key).is_some_and(|old| same(now, old, 0))
                        || self.unsure.contains(&*change.key)
                }
            })
        }
    }

    /// The whole as the text of one JSON object.
    pub(crate) fn to_json(&self) -> String {
        let base = self.base().json();
        if !self.cleared && self.changes.is_empty() && !base.is_empty() {
            return base.to_owned();
        }
        self.joined()
    }

    /// The whole as a cookie is to hold it.
    pub(crate) fn to_cookie(&self) -> String {
        match &self.base {
            Base::Repeating(_) => self.joined(),
            _ => self.to_json(),
        }
    }

    /// The whole, put together member by member.
    fn joined(&self) -> String {
        let base = self.base().json();
        let added: usize = self
            .changes
            .iter()
            .map(|change| change.key.len() + change.value.as_ref().map_or(0, String::len) + 8)
            .sum();
        let mut out = String::with_capacity(base.len() + added + 2);
        out.push('{');
        for (key, source, value) in self.iter() {
            if out.len() > 1 {
                out.push(',');
            }
            match source {
                Source::Member(member) if value.is_none() && !member.repeated => {
                    out.push_str(&base[member.key.start as usize..member.value.end as usize]);
                }
                Source::Member(member) => {
                    out.push_str(member.key.of(base));
                    out.push(':');
                    out.push_str(value.unwrap_or_else(|| member.value.of(base)));
                }
                Source::Change => {
                    write_json_string(key, &mut out);
                    out.push(':');
                    out.push_str(value.unwrap_or_default());
                }
            }
        }
        out.push('}');
        out
    }

    /// What is pending has been kept elsewhere as `text`: compare with that from now on.
    pub(crate) fn rebase(&mut self, text: String) -> Result<(), NotAnObject> {
        *self = Self::on(Base::parse(text)?);
        Ok(())
    }

    /// The one place through which every change of one key goes.
    fn change(&mut self, key: &str, value: Option<String>) {
        let original = self.original(key);
        let pending = self.changes.get(key);
        let (is_pending, was_removed) = (pending.is_some(), pending.is_some_and(|change| change.value.is_none()));
        let in_place = match pending {
            // Removed before and set again: to the end, unless it is removed once more.
            Some(_) if was_removed => value.is_none(),
            Some(change) => change.in_place,
            None => original.is_some(),
        };
        let as_it_was = in_place
            && match (original, &value) {
                (Some(old), Some(new)) => same(old, new, 0),
                _ => false,
            };
        // Nothing is left to say about a key that is what it was, or that never was and is not.
        let nothing_there = original.is_none() && self.knows_all();
        let is_sure = !self.unsure.contains(key);
        let forget = is_sure && (as_it_was || (value.is_none() && nothing_there));
        // The key's own text is used again where there is one.
        let known = if forget || (was_removed && value.is_some()) {
            self.changes.remove(key)
        } else {
            None
        };
        if forget {
            return;
        }
        match self.changes.get_mut(key).filter(|_| is_pending) {
            Some(change) => change.value = value,
            None => self.changes.push(Change {
                key: known.map_or_else(|| key.to_owned(), |change| change.key),
                value,
                in_place,
            }),
        }
    }

    fn changed(&self, key: &str) -> Option<&Change> {
        self.changes.get(key)
    }

    fn original(&self, key: &str) -> Option<&str> {
        if self.cleared { None } else { self.base().get(key) }
    }

    /// Key, where it comes from, and its value if it is not the one in the text.
    fn iter(&self) -> impl Iterator<Item = (&str, Source<'_>, Option<&str>)> {
        let base = self.base();
        let members = if self.cleared { &[] } else { base.members() };
        let in_place = members.iter().filter_map(|member| {
            let key = member.key(base.json());
            let changed = if self.changes.is_empty() {
                None
            } else {
                self.changed(key)
            };
            match changed {
                None => Some((key, Source::Member(member), None)),
                Some(change) if change.in_place => change
                    .value
                    .as_deref()
                    .map(|value| (key, Source::Member(member), Some(value))),
                Some(_) => None,
            }
        });
        let after = self
            .changes
            .iter()
            .filter(|change| !change.in_place)
            .filter_map(|change| {
                change
                    .value
                    .as_deref()
                    .map(|value| (change.key.as_str(), Source::Change, Some(value)))
            });
        in_place.chain(after)
    }
}

enum Source<'a> {
    Member(&'a Member),
    Change,
}

// Keys only by number, values not at all.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data")
            .field("len", &self.len())
            .field("changed", &self.is_changed())
            .finish_non_exhaustive()
    }
}
