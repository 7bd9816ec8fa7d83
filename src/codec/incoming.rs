//! What a codec is handed: a cookie to read, a cookie to write.

use std::{cell::Cell, fmt};

use crate::{error::Reject, session::Millis};

/// A cookie to be read by a [`Codec`](super::Codec).
///
/// `Debug` shows its length, never its value.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    pub(crate) value: &'a [u8],
    pub(crate) companions: &'a [&'a [u8]],
    pub(crate) attempts: &'a Cell<u8>,
    /// Where the native formats leave the id of a key that is not in the ring.
    pub(crate) unknown_key: &'a Cell<Option<[u8; 4]>>,
}

impl<'a> Incoming<'a> {
    /// The cookie's value as it stands in the header, without the white space around it, and without quotes if the whole value
    /// stands in a pair of them and neither quotes nor backslashes stand between. It may be any bytes.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The value of the companion cookie of this number, counted from 0 in the order of
    /// [`Format::companions`](super::Format::companions).
    #[must_use]
    pub fn companion(&self, number: usize) -> Option<&'a [u8]> {
        self.companions.get(number).copied()
    }

    /// Asks for leave to compute one more MAC: a request has 16, so that nobody makes the server work by sending many cookies.
    ///
    /// # Errors
    ///
    /// [`Reject::Ambiguous`] if they are used up; return it.
    pub fn attempt(&self) -> Result<(), Reject> {
        let left = self.attempts.get().checked_sub(1).ok_or(Reject::Ambiguous)?;
        self.attempts.set(left);
        Ok(())
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("len", &self.value.len())
            .finish_non_exhaustive()
    }
}

/// A cookie to be written by a [`Codec`](super::Codec): text is appended to its value.
///
/// `Debug` shows its length, never its value.
pub struct Outgoing<'a> {
    /// Begins with what is not the codec's.
    pub(crate) line: &'a mut String,
    pub(crate) companions: &'a mut Vec<String>,
    /// Which of the keys signs is a matter of the clock, and not of the time that is written.
    pub(crate) now: Millis,
}

impl Outgoing<'_> {
    /// Appends to the cookie's value.
    pub fn push_str(&mut self, text: &str) {
        self.line.push_str(text);
    }

    /// Sets the value of the next companion cookie; call it once for each of
    /// [`Format::companions`](super::Format::companions), in their order.
    pub fn push_companion(&mut self, value: impl Into<String>) {
        self.companions.push(value.into());
    }
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("len", &self.line.len())
            .finish_non_exhaustive()
    }
}
