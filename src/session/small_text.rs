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

impl From<&str> for SmallText {
    fn from(text: &str) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..text.len()) {
            Some(start) => {
                start.copy_from_slice(text.as_bytes());
                Self::Inline { bytes, len: text.len() }
            }
            None => Self::Heap(text.into()),
        }
    }
}

impl fmt::Debug for SmallText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmallText")
    }
}
