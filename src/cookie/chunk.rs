//! One text over several cookies, for what is too long for one.
//!
//! Part 0 has the cookie's name, part *n* has `name.n`. All parts but the last are full, so that the length of the text alone
//! says how many there are and how long each is.

/// What browsers keep of one cookie: name and value together, in bytes (RFC 6265bis, section 5.6).
pub(crate) const LIMIT: usize = 4096;

/// More would not pass the header limits of common servers and proxies.
pub(crate) const MAX_PARTS: usize = 4;

/// How a text is split under a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks {
    name_len: usize,
    /// How many parts are allowed.
    parts: usize,
}

impl Chunks {
    pub(crate) fn new(name_len: usize, parts: usize) -> Self {
        Self { name_len, parts }
    }

    pub(crate) fn name(name: &str, part: usize) -> String {
        if part == 0 {
            name.to_owned()
        } else {
            format!("{name}.{part}")
        }
    }

    /// The longest text.
    pub(crate) fn capacity(self) -> usize {
        (0..self.parts).map(|part| self.room(part)).sum()
    }

    /// The size of all names and values together for a text of this length.
    pub(crate) fn size(self, text_len: usize) -> usize {
        if self.parts == 1 {
            return self.name_len + text_len;
        }
        let mut left = text_len;
        let mut size = 0;
        for part in 0.. {
            let room = self.room(part).max(1);
            size += LIMIT - self.room(part) + left.min(room);
            if left <= room {
                break;
            }
            left -= room;
        }
        size
    }

    pub(crate) fn limit(self) -> usize {
        self.parts * LIMIT
    }

    /// How long each part of a text of this length is, or `None` if it does not fit.
    pub(crate) fn lengths(self, text_len: usize) -> Option<impl Iterator<Item = usize>> {
        let mut left = text_len;
        (text_len <= self.capacity()).then(|| {
            (0..self.parts).map_while(move |part| {
                let len = left.min(self.room(part));
                left -= len;
                (part == 0 || len > 0).then_some(len)
            })
        })
    }

    fn room(self, part: usize) -> usize {
        // A dot and a digit: there are never ten parts.
        let suffix = if part == 0 { 0 } else { 2 };
        LIMIT.saturating_sub(self.name_len + suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(text_len: usize) -> Option<Vec<usize>> {
        Chunks::new(6, 3).lengths(text_len).map(Iterator::collect)
    }

    #[test]
    fn all_parts_but_the_last_are_full() {
        assert_eq!(lengths(0), Some(vec![0]));
        assert_eq!(lengths(4090), Some(vec![4090]));
        assert_eq!(lengths(4091), Some(vec![4090, 1]));
        assert_eq!(lengths(4090 + 4088), Some(vec![4090, 4088]));
        assert_eq!(lengths(4090 + 4088 + 5), Some(vec![4090, 4088, 5]));
        assert_eq!(lengths(4090 + 2 * 4088), Some(vec![4090, 4088, 4088]));
        assert_eq!(lengths(4090 + 2 * 4088 + 1), None);
    }

    #[test]
    fn size_counts_names_too() {
        assert_eq!(Chunks::new(6, 1).size(100), 106);
        assert_eq!(Chunks::new(6, 1).size(4091), 4097);
        assert_eq!(Chunks::new(6, 3).size(4091), 4096 + 8 + 1);
    }
}
