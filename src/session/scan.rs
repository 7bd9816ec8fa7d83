//! A strict reader of JSON text (RFC 8259) that keeps nothing of it: it finds where a value ends,
//! and recurses on nothing.

/// The bit of each byte of a word.
const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The last character there is begins the name that stands in for a key which is none in Rust.
pub(super) const STAND_IN: char = '\u{10ffff}';

/// Which numbers count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Those of JSON.
    Json,
    /// `NaN`, `Infinity` and `-Infinity` too, as Python and others write them.
    Lax,
}

/// A text that is read from its beginning to its end.
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    pub(super) at: usize,
    numbers: Numbers,
}

/// A string as it stands in the text.
pub(super) struct Found {
    /// With its quotes.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) has_escapes: bool,
}

/// The text is not JSON.
pub(super) struct NotJson;

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t str, numbers: Numbers) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            numbers,
        }
    }

    /// The next byte that is no white space, which stays the next one.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes the next byte that is no white space, if it is this one.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes this byte.
    pub(super) fn take(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.takes(byte) { Ok(()) } else { Err(NotJson) }
    }

    /// Takes a string.
    pub(super) fn string(&mut self) -> Result<Found, NotJson> {
        self.take(b'"')?;
        let start = self.at - 1;
        let mut has_escapes = false;
        loop {
            self.skip_plain();
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Found {
                        start,
                        end: self.at,
                        has_escapes,
                    });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += match self.text.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') => {
                            let digits = self.text.get(self.at + 2..self.at + 6).ok_or(NotJson)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return Err(NotJson);
                            }
                            6
                        }
                        _ => return Err(NotJson),
                    };
                }
                // A control character, or the end.
                _ => return Err(NotJson),
            }
        }
    }

    /// Passes over what stands for itself in a string, eight bytes at a time.
    fn skip_plain(&mut self) {
        let mut rest = &self.text[self.at..];
        while let Some((word, after)) = rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*word);
            let zero = |word: u64| word.wrapping_sub(ONES) & !word;
            let quote = zero(word ^ (ONES * u64::from(b'"')));
            let backslash = zero(word ^ (ONES * u64::from(b'\\')));
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            // A borrow can only come from a byte that is to be found itself, so the first one is
            // right.
            let found = (quote | backslash | control) & HIGH;
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
            rest = after;
        }
        let is_plain = |&&byte: &&u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        self.at += rest.iter().take_while(is_plain).count();
    }

    /// Takes one value, however deep it nests.
    pub(super) fn value(&mut self) -> Result<(), NotJson> {
        let mut open = Brackets::default();
        loop {
            // A value begins here.
            match self.peek().ok_or(NotJson)? {
                b'{' => {
                    self.at += 1;
                    if !self.takes(b'}') {
                        open.push(true);
                        self.name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    if !self.takes(b']') {
                        open.push(false);
                        continue;
                    }
                }
                b'"' => {
                    self.string()?;
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                byte => self.number(byte)?,
            }
            // And one has ended here.
            loop {
                let Some(in_object) = open.last() else {
                    return Ok(());
                };
                match (self.peek(), in_object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.name()?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(NotJson),
                }
            }
        }
    }

    /// Takes the end of the text.
    pub(super) fn end(&mut self) -> Result<(), NotJson> {
        if self.peek().is_none() { Ok(()) } else { Err(NotJson) }
    }

    /// Takes a member's name and what stands between it and the value.
    fn name(&mut self) -> Result<(), NotJson> {
        self.string()?;
        self.take(b':')
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<(), NotJson> {
        let is_lax = self.numbers == Numbers::Lax;
        let mut first = Some(first);
        if first == Some(b'-') {
            self.at += 1;
            first = self.text.get(self.at).copied();
        } else if first == Some(b'N') && is_lax {
            return self.word(b"NaN");
        }
        match first {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            Some(b'I') if is_lax => return self.word(b"Infinity"),
            _ => return Err(NotJson),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    /// Takes at least one digit.
    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(NotJson) }
    }
}

/// The brackets that are open, a bit for each: whether it is an object's.
#[derive(Default)]
struct Brackets {
    /// The innermost ones, the last one lowest.
    inner: u64,
    depth: usize,
    /// Where more than 64 are open, those further out.
    outer: Vec<u64>,
}

impl Brackets {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn last(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.inner & 1 == 1)
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.inner >>= 1;
        if self.depth.is_multiple_of(64)
            && let Some(outer) = self.outer.pop()
        {
            self.inner = outer;
        }
    }
}

/// Tells whether the text is JSON but for the numbers that JSON has not: `NaN`, `Infinity` and
/// `-Infinity`. Others may read it.
pub(super) fn is_lax_only(text: &str) -> bool {
    let is_json = |numbers| {
        let mut scanner = Scanner::new(text, numbers);
        scanner.value().and_then(|()| scanner.end()).is_ok()
    };
    is_json(Numbers::Lax) && !is_json(Numbers::Json)
}

/// Returns the text that the JSON string `quoted`, which was scanned before, stands for; `None` if
/// half of a surrogate pair is in it.
pub(super) fn unescape(quoted: &str) -> Option<Box<str>> {
    let units = units(quoted);
    String::from_utf16(&units).ok().map(Into::into)
}

/// A name for the JSON string `quoted` with half of a surrogate pair in it, which is a key in other
/// languages and none in Rust: the same one however the key is spelled.
pub(super) fn stand_in(quoted: &str) -> String {
    use std::fmt::Write as _;
    let mut name = String::from(STAND_IN);
    for char in char::decode_utf16(units(quoted)) {
        match char {
            // So that no two keys have the same name.
            Ok('\\') => name.push_str("\\\\"),
            Ok(char) => name.push(char),
            // Writing to a string does not fail.
            Err(half) => drop(write!(name, "\\u{:04x}", half.unpaired_surrogate())),
        }
    }
    name
}

/// The UTF-16 of a JSON string.
fn units(quoted: &str) -> Vec<u16> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let mut units = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        units.extend(rest[..at].encode_utf16());
        let escape = &rest[at + 1..];
        let (unit, len) = match escape.as_bytes().first() {
            Some(b'b') => (0x08, 1),
            Some(b'f') => (0x0c, 1),
            Some(b'n') => (0x0a, 1),
            Some(b'r') => (0x0d, 1),
            Some(b't') => (0x09, 1),
            Some(b'u') => {
                let digits = escape.get(1..5).unwrap_or_default();
                (u16::from_str_radix(digits, 16).unwrap_or_default(), 5)
            }
            Some(&byte) => (u16::from(byte), 1),
            None => break,
        };
        units.push(unit);
        rest = escape.get(len..).unwrap_or_default();
    }
    units.extend(rest.encode_utf16());
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(text: &str) -> bool {
        let mut scanner = Scanner::new(text, Numbers::Json);
        scanner.value().and_then(|()| scanner.end()).is_ok()
    }

    #[test]
    fn takes_what_serde_json_takes_in_every_short_text() {
        let letters: Vec<&str> = "{ } [ ] , : \" \\ u 0 1 - . e + n 1e5 null true 12af a \u{1} é"
            .split(' ')
            .chain([" "])
            .collect();
        let count = letters.len();
        for number in 0..count.pow(4) {
            let parts = (0..4).map(|place| letters[number / count.pow(place) % count]);
            let text: String = parts.collect();
            for text in [
                &text,
                &format!("\"{text}\""),
                &format!("[{text}]"),
                &format!("{{\"\":{text}}}"),
            ] {
                // `IgnoredAny` is checked as strictly as any other value.
                let expected = serde_json::from_str::<serde_core::de::IgnoredAny>(text).is_ok();
                assert_eq!(is_json(text), expected, "{text}");
            }
        }
    }

    #[test]
    fn finds_the_end_of_a_string_wherever_it_stands_in_a_word() {
        for before in 0..20 {
            for stop in ["\"", "\\\"", "\u{1f}", "é\"", "\u{80}\"", "\u{ff}!\u{7f}\""] {
                for after in 0..10 {
                    let text = format!("\"{}{stop}{}\"", "!".repeat(before), "#".repeat(after));
                    let expected = serde_json::from_str::<serde_core::de::IgnoredAny>(&text).is_ok();
                    assert_eq!(is_json(&text), expected, "{text}");
                }
            }
        }
    }

    #[test]
    fn depth_costs_a_bit_and_no_stack() {
        for depth in [63, 64, 65, 127, 128, 129, 200, 100_000] {
            let (open, close) = ("[{\"a\":".repeat(depth), "}]".repeat(depth));
            assert!(is_json(&format!("{open}1{close}")), "{depth}");
            assert!(!is_json(&format!("{open}1]{close}")), "{depth}");
            assert!(!is_json(&format!("{open}1{}", &close[1..])), "{depth}");
        }
    }

    #[test]
    fn what_is_json_but_for_its_numbers() {
        for text in ["NaN", "[Infinity]", "{\"a\":{\"b\":[-Infinity,1]}}", " NaN "] {
            assert!(is_lax_only(text), "{text}");
        }
        for text in [
            "1",
            "{}",
            "{\"a\":nan}",
            "[NaN",
            "-NaN",
            "+Infinity",
            "{\"a\":NaN,}",
            "NaN1",
            "",
        ] {
            assert!(!is_lax_only(text), "{text}");
        }
    }

    #[test]
    fn one_key_has_one_name_however_it_is_spelled() {
        assert_eq!(
            unescape(r#""\u0041\n\/\"\\\b\f\r\té\ud83d\uDE00""#).as_deref(),
            Some("A\n/\"\\\u{8}\u{c}\r\té😀")
        );
        assert_eq!(unescape(r#""\ud800""#), None);
        assert_eq!(stand_in(r#""\ud800""#), stand_in(r#""\uD800""#));
        assert_eq!(stand_in(r#""a\ud800""#), stand_in(r#""\u0061\uD800""#));
        assert_ne!(stand_in(r#""\ud800\\ud801""#), stand_in(r#""\ud800\ud801""#));
    }
}
