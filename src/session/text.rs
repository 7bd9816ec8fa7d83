//! The text of one JSON object, and where its members stand.

use super::{
    index::{Member, NotAnObject, Span, index},
    table::{FEW, Table},
};

/// A text that is indexed once and never changed.
#[derive(Clone, Default)]
pub(crate) struct Text {
    /// Empty for no object at all.
    json: String,
    members: Vec<Member>,
    /// Where the keys of more than a few members stand, if these are not in the order of their
    /// keys.
    table: Option<Box<Table>>,
}

impl Text {
    /// Of a key that stands in the text twice, the last value counts, in the first one's place.
    pub(super) fn parse(json: String) -> Result<Self, NotAnObject> {
        // Spans are of 4 bytes.
        u32::try_from(json.len()).map_err(|_| NotAnObject { is_lax: false })?;
        let (members, table) = index(&json)?;
        Ok(Self {
            json,
            members,
            table: table.map(Box::new),
        })
    }

    /// No object at all.
    pub(super) const fn none() -> Self {
        Self {
            json: String::new(),
            members: Vec::new(),
            table: None,
        }
    }

    /// An empty object with room for others.
    pub(super) fn with_room(bytes: usize, members: usize) -> Self {
        let mut json = String::with_capacity(bytes + 2);
        json.push_str("{}");
        Self {
            json,
            members: Vec::with_capacity(members),
            table: None,
        }
    }

    /// Adds a member after all others, of which the keys must come before its own.
    pub(super) fn push(&mut self, key: &str, json: &str) {
        let whole = self.json.len();
        self.json.pop();
        if !self.members.is_empty() {
            self.json.push(',');
        }
        let start = self.json.len();
        write_json_string(key, &mut self.json);
        let key_end = self.json.len();
        self.json.push(':');
        let value_start = self.json.len();
        self.json.push_str(json);
        let (key_span, value) = (Span::new(start, key_end), Span::new(value_start, self.json.len()));
        // Spans are of 4 bytes. No store keeps as much, and what it cannot show it does not have.
        if let (Some(key_span), Some(value)) = (key_span, value) {
            self.members.push(Member {
                unescaped: (key_end - start != key.len() + 2).then(|| key.into()),
                key: key_span,
                value,
                repeated: false,
            });
        } else {
            self.json.truncate(whole - 1);
        }
        self.json.push('}');
    }

    /// Gives back much more room than was needed: a store keeps the text for long.
    pub(super) fn shrink(&mut self) {
        let is_wasteful = |capacity: usize, len: usize| capacity > len + len / 4 + 16;
        if is_wasteful(self.json.capacity(), self.json.len()) {
            self.json.shrink_to_fit();
        }
        if is_wasteful(self.members.capacity(), self.members.len()) {
            self.members.shrink_to_fit();
        }
    }

    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// Tells whether a key stands in the text more than once.
    pub(super) fn repeats(&self) -> bool {
        self.members.iter().any(|member| member.repeated)
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The JSON text under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = match &self.table {
            Some(table) => table.find(key, |at| self.members[at].key(&self.json) == key),
            None if self.members.len() <= FEW => self.members.iter().position(|member| member.key(&self.json) == key),
            None => self
                .members
                .binary_search_by(|member| member.key(&self.json).cmp(key))
                .ok(),
        };
        Some(self.members[found?].value.of(&self.json))
    }

    /// Keys and JSON texts.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.members
            .iter()
            .map(|member| (member.key(&self.json), member.value.of(&self.json)))
    }
}

/// What JSON writes as it is, between quotes.
pub(super) fn write_json_string(text: &str, out: &mut String) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        // A string always serialises.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}
