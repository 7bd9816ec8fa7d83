//! Finding cookies in a request's headers. Names are bytes: nothing is decoded, of white space only
//! SP and HTAB is trimmed, and of quotes only the two around a whole value.

use std::{fmt, ops::Range, slice};

use http::{
    HeaderMap,
    header::{COOKIE, HeaderValue},
};
use memchr::{memchr, memchr2, memmem::Finder};

/// More cookies of one name than this in one request are not looked at. Each name has its own
/// bound, so that no number of cookies under a name that others can set hides the one under a name
/// that they cannot.
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

    /// Tells whether there may be more under the wanted name of this number, which were not looked
    /// at.
    pub(crate) fn is_full(&self, name: usize) -> bool {
        let hits = self.hits();
        hits.len() >= MAX_HITS && self.values(name).nth(MAX_HITS - 1).is_some()
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
                hits.push(hit);
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

/// The names that are looked for.
pub(crate) struct Names {
    names: Vec<Box<[u8]>>,
    /// What all of them begin with. Most cookies of a request are others', and are passed over at memory speed.
    anchor: Option<Finder<'static>>,
}

impl Names {
    pub(crate) fn new(names: Vec<Box<[u8]>>) -> Self {
        let alike = |a: &[u8], b: &[u8]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let first = names.first().map_or(&[][..], |name| name);
        let shared = names.iter().map(|name| alike(first, name)).min().unwrap_or(0);
        let anchor = (shared > 0).then(|| Finder::new(&first[..shared]).into_owned());
        Self { names, anchor }
    }

    /// Looks through all `Cookie` headers once.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Found {
        let mut found = Found::Nothing;
        // How many there are of each name; nearly always there is one cookie, and nothing to count.
        let mut counts = Vec::new();
        for header in headers.get_all(COOKIE) {
            let bytes = header.as_bytes();
            let mut from = 0;
            while let Some(pair) = self.next(bytes, from) {
                if let Some((name, value)) = named(&bytes[pair.clone()], &self.names)
                    && self.has_room(&mut counts, &found, name)
                {
                    found.push(Hit {
                        name,
                        header: header.clone(),
                        start: pair.start + value.start,
                        end: pair.start + value.end,
                    });
                }
                from = pair.end + 1;
            }
        }
        found
    }

    /// Counts one more cookie of this name, unless there are as many as are looked at.
    fn has_room(&self, counts: &mut Vec<usize>, found: &Found, name: usize) -> bool {
        match found {
            Found::Nothing => return true,
            Found::One(first) => {
                counts.resize(self.names.len(), 0);
                counts[first.name] = 1;
            }
            Found::Several(_) => {}
        }
        let has_room = counts[name] < MAX_HITS;
        counts[name] += usize::from(has_room);
        has_room
    }

    /// The next pair that may be one of ours; `from` is the beginning of one.
    fn next(&self, bytes: &[u8], mut from: usize) -> Option<Range<usize>> {
        let Some(anchor) = &self.anchor else {
            let rest = bytes.get(from..)?;
            return Some(from..from + memchr(b';', rest).unwrap_or(rest.len()));
        };
        loop {
            let at = from + anchor.find(bytes.get(from..)?)?;
            let mut start = at;
            while start > 0 && is_blank(bytes[start - 1]) {
                start -= 1;
            }
            if start == 0 || bytes[start - 1] == b';' {
                return Some(start..at + memchr(b';', &bytes[at..]).unwrap_or(bytes.len() - at));
            }
            // It stands in the midst of another name, or of a value.
            from = at + 1;
        }
    }
}

/// Which of the names the pair has, and where its value stands.
fn named(pair: &[u8], names: &[Box<[u8]>]) -> Option<(usize, Range<usize>)> {
    let start = skip_blanks(pair, 0);
    let text = &pair[start..];
    names.iter().enumerate().find_map(|(number, name)| {
        if !begins_with(text, name) {
            return None;
        }
        let equals = skip_blanks(pair, start + name.len());
        if pair.get(equals) != Some(&b'=') {
            return None;
        }
        let start = skip_blanks(pair, equals + 1);
        let mut end = pair.len();
        while end > start && is_blank(pair[end - 1]) {
            end -= 1;
        }
        Some((number, unquoted(pair, start..end)))
    })
}

/// The value between the quotes of one that stands whole in them: some clients send every value so
/// (RFC 6265, section 4.1.1). With further quotes or escapes inside it is left as it is, since no
/// reading of these is everybody's.
fn unquoted(pair: &[u8], value: Range<usize>) -> Range<usize> {
    match &pair[value.clone()] {
        [b'"', inner @ .., b'"'] if memchr2(b'"', b'\\', inner).is_none() => value.start + 1..value.end - 1,
        _ => value,
    }
}

/// Whether this is the name or longer. The last byte goes first: the beginnings of names are often alike.
fn begins_with(text: &[u8], name: &[u8]) -> bool {
    match name.last() {
        Some(last) => text.get(name.len() - 1) == Some(last) && text.starts_with(name),
        None => false,
    }
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|&byte| is_blank(byte)) {
        at += 1;
    }
    at
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Names {
        Names::new(names.iter().map(|name| Box::from(name.as_bytes())).collect())
    }

    fn values(lines: &[&[u8]]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        names(&["__Host-id", "__Host-id.1"])
            .find(&headers)
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
        assert_eq!(values(&[b"$Version=\"1\"; __Host-id=\"v=w\";$Path=\"/\""]), ["v=w"]);
        assert_eq!(values(&[b"__Host-id = \"\" \t"]), [""]);
        for left in ["\"", "\"v", "v\"", "\"v\"w\"", "\"\"v\"\"", "\"v\"w", "\"v\\\"", "'v'"] {
            assert_eq!(values(&[format!("__Host-id={left}").as_bytes()]), [left]);
        }
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
        let others = b"__Host-id.1=v;".repeat(MAX_HITS);
        assert_eq!(
            values(&[&others, b"__Host-id=v", &others]),
            ["v"],
            "each name has its own bound"
        );
    }

    /// The same in so many words: between semicolons, around the first `=`, without the blanks.
    fn split(line: &str, name: &str) -> Vec<String> {
        let trim = |text: &str| text.trim_matches([' ', '\t']).to_owned();
        line.split(';')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(before, _)| trim(before) == name)
            .map(|(_, value)| trim(value))
            .map(
                |value| match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                    Some(inner) if !inner.contains('"') => inner.to_owned(),
                    _ => value,
                },
            )
            .collect()
    }

    #[test]
    fn finds_what_splitting_finds_in_every_short_header() {
        const LETTERS: &[u8] = b"ab; =\"";
        const LENGTH: u32 = 7;
        for wanted in [&["ab", "aba"][..], &["aa"], &["a", "b"], &["ab"]] {
            let names = names(wanted);
            for number in 0..LETTERS.len().pow(LENGTH) {
                let letter = |place| LETTERS[number / LETTERS.len().pow(place) % LETTERS.len()];
                let line = String::from_utf8((0..LENGTH).map(letter).collect()).unwrap();
                let mut headers = HeaderMap::new();
                headers.insert(COOKIE, HeaderValue::try_from(&line).unwrap());
                let found = names.find(&headers);
                for (number, name) in wanted.iter().enumerate() {
                    let values: Vec<_> = found.values(number).map(<[u8]>::to_vec).collect();
                    let expected: Vec<_> = split(&line, name).into_iter().map(String::into_bytes).collect();
                    assert_eq!(values, expected, "{name} in {line:?}");
                }
            }
        }
    }
}
