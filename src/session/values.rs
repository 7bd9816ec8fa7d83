//! The values of a session as a store keeps them: JSON text by key.

use std::{fmt, sync::Arc};

/// The values of a stored session: the JSON text of each, by key, in the order of the keys. A clone is cheap.
///
/// `Debug` shows neither keys nor values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// Sorted by key, and no key twice.
    entries: Arc<Vec<(String, String)>>,
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
        let at = self.find(key).ok()?;
        Some(&self.entries[at].1)
    }

    /// Sets the JSON text under `key`.
    pub fn set(&mut self, key: impl Into<String>, json: impl Into<String>) {
        let key = key.into();
        let at = self.find(&key);
        let entries = Arc::make_mut(&mut self.entries);
        match at {
            Ok(at) => entries[at].1 = json.into(),
            Err(at) => entries.insert(at, (key, json.into())),
        }
    }

    /// Removes what is under `key`, if there is anything.
    pub fn remove(&mut self, key: &str) {
        if let Ok(at) = self.find(key) {
            Arc::make_mut(&mut self.entries).remove(at);
        }
    }

    /// Keys and JSON texts, in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, json)| (key.as_str(), json.as_str()))
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(known, _)| known.as_str().cmp(key))
    }
}

/// Of a key that comes twice, the last one counts.
impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Values {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(String, String)> = entries
            .into_iter()
            .map(|(key, json)| (key.into(), json.into()))
            .collect();
        // Stable, so that of equal keys the last one stands last.
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(&mut later.1, &mut earlier.1);
            }
            same
        });
        Self {
            entries: Arc::new(entries),
        }
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
