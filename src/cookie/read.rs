//! Finding cookies in a request's headers. Names are bytes: nothing is decoded, and of white space only SP and HTAB is
//! trimmed.

use std::{fmt, slice};

use http::{
    HeaderMap,
    header::{COOKIE, HeaderValue},
};
use memchr::memchr_iter;

/// More cookies of our names than this in one request are not looked at.
const MAX_HITS: usize = 64;

/// The cookies of a request that have one of the wanted names, in their order.
#[derive(Clone, Default)]
pub(crate) enum Found {
    #[default]
    Nothing,
    /// What nearly every request has, without an allocation.
    One(Hit),
    Several(Vec<Hit>),
}

#[derive(Clone)]
pub(crate) struct Hit {
    /// Which of the wanted names.
    name: usize,
    /// A cheap clone: the header's bytes are shared.
    header: HeaderValue,
    start: usize,
    end: usize,
}

impl Found {
    /// The values under the wanted name of this number, in their order.
    pub(crate) fn values(&self, name: usize) -> impl Iterator<Item = &[u8]> {
        self.hits().iter().filter(move |hit| hit.name == name).map(Hit::value)
    }

    pub(crate) fn has(&self, name: usize) -> bool {
        self.hits().iter().any(|hit| hit.name == name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hits().is_empty()
    }

    /// Whether there may be more, which were not looked at.
    pub(crate) fn is_full(&self) -> bool {
        self.hits().len() >= MAX_HITS
    }

    fn hits(&self) -> &[Hit] {
        match self {
            Self::Nothing => &[],
            Self::One(hit) => slice::from_ref(hit),
            Self::Several(hits) => hits,
        }
    }

    fn push(&mut self, hit: Hit) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(hit),
            Self::One(first) => Self::Several(vec![first, hit]),
            Self::Several(mut hits) => {
                if hits.len() < MAX_HITS {
                    hits.push(hit);
                }
                Self::Several(hits)
            }
        };
    }
}

impl Hit {
    fn value(&self) -> &[u8] {
        &self.header.as_bytes()[self.start..self.end]
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("cookies", &self.hits().len()).finish()
    }
}

/// Looks through all `Cookie` headers once.
pub(crate) fn scan(headers: &HeaderMap, names: &[Box<[u8]>]) -> Found {
    let mut found = Found::Nothing;
    for header in headers.get_all(COOKIE) {
        let bytes = header.as_bytes();
        let mut start = 0;
        for end in memchr_iter(b';', bytes).chain([bytes.len()]) {
            if let Some((name, value)) = named(&bytes[start..end], names) {
                found.push(Hit {
                    name,
                    header: header.clone(),
                    start: start + value.start,
                    end: start + value.end,
                });
            }
            start = end + 1;
        }
    }
    found
}

/// Which of the names the pair has, and where its value stands.
fn named(pair: &[u8], names: &[Box<[u8]>]) -> Option<(usize, std::ops::Range<usize>)> {
    let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t');
    let leading = pair.iter().take_while(blank).count();
    let pair_text = &pair[leading..];
    names.iter().enumerate().find_map(|(number, name)| {
        let rest = pair_text.strip_prefix(&**name)?;
        let before_equals = rest.iter().take_while(blank).count();
        let value = rest[before_equals..].strip_prefix(b"=")?;
        let before = value.iter().take_while(blank).count();
        let after = value[before..].iter().rev().take_while(blank).count();
        let start = pair.len() - value.len() + before;
        Some((number, start..pair.len() - after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(lines: &[&[u8]]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        let names = [Box::from(&b"__Host-id"[..]), Box::from(&b"__Host-id.1"[..])];
        scan(&headers, &names)
            .values(0)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    #[test]
    fn finds_the_cookie_wherever_it_stands() {
        assert_eq!(values(&[b"__Host-id=v"]), ["v"]);
        assert_eq!(values(&[b"a=1; __Host-id=v; b=2"]), ["v"]);
        assert_eq!(values(&[b"a=1;__Host-id=v"]), ["v"]);
        assert_eq!(values(&[b"a=1", b"b=2; __Host-id=v"]), ["v"]);
        assert_eq!(
            values(&[b"__Host-id=v1; x=y; __Host-id=v2", b"__Host-id=v3"]),
            ["v1", "v2", "v3"]
        );
        assert_eq!(values(&[b"\t __Host-id \t=  v=w=\t"]), ["v=w="]);
        assert_eq!(values(&[b"x=\xff\xfe; __Host-id=\xff"]), ["\u{fffd}"]);
        assert_eq!(values(&[b"__Host-id="]), [""]);
        assert_eq!(values(&[b"__Host-id.1=part; __Host-id=v"]), ["v"]);
    }

    #[test]
    fn row_18_and_19_nothing_else_is_our_name() {
        for other in [
            &b"__host-id=v"[..],
            b"__Host-id",
            b"__Host-idx=v",
            b"x__Host-id=v",
            b"%5f%5fHost-id=v",
            b"__Host%2Did=v",
            b"=__Host-id=v",
            b"\xc2\xa0__Host-id=v",
            b"\"__Host-id\"=v",
            b"$Version=1, __Host-id=v",
            b"a=\"; b=__Host-id=v",
            b"",
            b";;;",
        ] {
            assert_eq!(values(&[other]), [""; 0], "{}", other.escape_ascii());
        }
        // Python and other readers trim these; a browser never sends them.
        assert!(HeaderValue::from_bytes(b"\x0b__Host-id=v").is_err());
    }

    #[test]
    fn row_20_many_duplicates_are_bounded() {
        let line = b"__Host-id=v;".repeat(10_000);
        assert_eq!(values(&[&line]).len(), MAX_HITS);
    }
}
