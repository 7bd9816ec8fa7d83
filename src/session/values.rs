//! The values of a session as a store keeps them: JSON text by key.

use std::{cmp::Ordering, fmt, sync::Arc};

use super::{index::in_order, text::Text};

/// The values of a stored session: the JSON text of each, by key, in the order of the keys. A clone is cheap, and a change
/// copies all of them once: [`collect`](Iterator::collect) pairs instead of setting them one by one.
///
/// `Debug` shows neither keys nor values.
#[derive(Clone, Default)]
pub struct Values {
    /// In the order of the keys, and no key twice. `None` for no values.
    text: Option<Arc<Text>>,
}

impl Values {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The JSON text under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.text().get(key)
    }

    /// Sets the JSON text under `key`.
    pub fn set(&mut self, key: impl AsRef<str>, json: impl AsRef<str>) {
        self.change(vec![(key.as_ref(), Some(json.as_ref()))]);
    }

    /// Removes what is under `key`, if there is anything.
    pub fn remove(&mut self, key: &str) {
        if self.get(key).is_some() {
            self.change(vec![(key, None)]);
        }
    }

    /// Sets or removes several at once. Of a key that comes twice, the last one counts.
    pub(crate) fn change(&mut self, changes: Vec<(&str, Option<&str>)>) {
        self.text = Some(Arc::new(merge(self.text(), changes)));
    }

    /// Keys and JSON texts, in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.text().iter()
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text().members().len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them as the text of one JSON object.
    pub(super) fn text(&self) -> &Text {
        static NONE: Text = Text::none();
        self.text.as_deref().unwrap_or(&NONE)
    }
}

/// The members of a text and changes of them, in the order of their keys.
fn merge(before: &Text, mut changes: Vec<(&str, Option<&str>)>) -> Text {
    if changes.len() > 1 {
        let order = in_order(changes.len(), &|at| changes[at].0);
        changes = order.into_iter().map(|at| changes[at]).collect();
    }
    let added: usize = changes
        .iter()
        .map(|(key, json)| json.map_or(0, |json| key.len() + json.len() + 4))
        .sum();
    let mut text = Text::with_room(before.json().len() + added, before.members().len() + changes.len());
    let mut known = before.iter().peekable();
    let mut changes = changes.into_iter().peekable();
    loop {
        let order = match (known.peek(), changes.peek()) {
            (Some((key, _)), Some((changed, _))) => key.cmp(changed),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        if order.is_le() {
            let member = known.next().filter(|_| order.is_lt());
            member.into_iter().for_each(|(key, json)| text.push(key, json));
            continue;
        }
        if let Some((key, json)) = changes.next()
            && changes.peek().is_none_or(|(next, _)| *next != key)
            && let Some(json) = json
        {
            text.push(key, json);
        }
    }
    text.shrink();
    text
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Values {}

/// Of a key that comes twice, the last one counts.
impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Values {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries: Vec<(K, V)> = entries.into_iter().collect();
        let mut values = Self::new();
        values.change(
            entries
                .iter()
                .map(|(key, json)| (key.as_ref(), Some(json.as_ref())))
                .collect(),
        );
        values
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &Values) -> Vec<(&str, &str)> {
        values.iter().collect()
    }

    #[test]
    fn values_are_a_sorted_map_and_the_last_of_a_key_counts() {
        let mut values: Values = [("b", "1"), ("a", "2"), ("b", "3"), ("b", "4")].into_iter().collect();
        assert_eq!(all(&values), [("a", "2"), ("b", "4")]);
        let before = values.clone();
        values.set("ab", "5");
        values.set("a", "6");
        values.remove("b");
        values.remove("none");
        assert_eq!(all(&values), [("a", "6"), ("ab", "5")]);
        assert_eq!((values.get("ab"), values.get("b"), values.len()), (Some("5"), None, 2));
        assert_eq!(all(&before), [("a", "2"), ("b", "4")], "a clone is its own");
        assert!(Values::new().is_empty() && !before.is_empty());
    }
}
