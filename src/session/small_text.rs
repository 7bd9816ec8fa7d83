//! A copy of a value's text that needs no allocation while it is short.

use std::fmt;

const INLINE: usize = 64;

pub(crate) enum SmallText {
    Inline { bytes: [u8; INLINE], len: usize },
    Heap(Box<str>),
}

impl SmallText {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            // Always a copy of a whole `str`.
            Self::Inline { bytes, len } => std::str::from_utf8(&bytes[..*len]).unwrap_or_default(),
            Self::Heap(text) => text,
        }
    }
}

impl SmallText {
    pub(crate) fn set(&mut self, text: &str) {
        if let Self::Inline { bytes, len } = self
            && let Some(start) = bytes.get_mut(..text.len())
        {
            start.copy_from_slice(text.as_bytes());
            *len = text.len();
        } else {
            *self = Self::Heap(text.into());
        }
    }
}

impl Default for SmallText {
    fn default() -> Self {
        Self::Inline {
            bytes: [0; INLINE],
            len: 0,
        }
    }
}

impl From<&str> for SmallText {
    fn from(text: &str) -> Self {
        let mut copy = Self::default();
        copy.set(text);
        copy
    }
}

impl fmt::Debug for SmallText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmallText")
    }
}
