//! JSON as Python's `json.dumps` spells it.

use std::{borrow::Cow, fmt::Write as _, ops::Range};

use memchr::{memchr, memchr2};

/// The one character of ASCII above the printable ones.
const DELETE: u8 = 0x7f;

/// Rewrites one JSON text: `", "` and `": "` between its tokens, ASCII only, and the floats that `serde_json` wrote as
/// Python writes them. All other tokens stay as they are, so a value that came from Python leaves as it came.
pub(super) fn respell(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut out = Respelled {
        json,
        out: String::new(),
        copied: 0,
    };
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                at = string_end(bytes, start);
                let string = &json[start..at];
                if !string.is_ascii() || memchr(DELETE, string.as_bytes()).is_some() {
                    out.replace(start..at, |out| escape(string, out));
                }
            }
            // From Python it comes so.
            b',' | b':' if bytes.get(at) == Some(&b' ') => at += 1,
            b',' | b':' => out.replace(at..at, |out| out.push(' ')),
            b' ' | b'\t' | b'\r' | b'\n' => out.replace(start..at, |_| {}),
            b'-' | b'0'..=b'9' => {
                let rest = bytes[at..].iter();
                at += rest
                    .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .count();
                let number = &json[start..at];
                if let Some(float) = serde_float(number) {
                    out.replace(start..at, |out| python_float(float, out));
                }
            }
            // Brackets and literals.
            _ => {}
        }
    }
    out.finish()
}

/// A text that is mostly copied.
struct Respelled<'a> {
    json: &'a str,
    out: String,
    /// Up to here it is in `out`.
    copied: usize,
}

impl<'a> Respelled<'a> {
    fn replace(&mut self, range: Range<usize>, write: impl FnOnce(&mut String)) {
        if self.out.is_empty() {
            self.out.reserve(self.json.len() + self.json.len() / 8);
        }
        self.out.push_str(&self.json[self.copied..range.start]);
        write(&mut self.out);
        self.copied = range.end;
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.copied == 0 {
            return self.json.into();
        }
        self.out.push_str(&self.json[self.copied..]);
        self.out.into()
    }
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut end = start + 1;
    loop {
        match memchr2(b'"', b'\\', bytes.get(end..).unwrap_or_default()) {
            Some(at) if bytes[end + at] == b'"' => return end + at + 1,
            // What follows is escaped, be it a quote.
            Some(at) => end += at + 2,
            None => return bytes.len(),
        }
    }
}

/// Copies a string. Escapes stand as they are: whoever wrote them knew why.
fn escape(mut string: &str, out: &mut String) {
    while let Some(at) = string.find(|char: char| char > '~') {
        out.push_str(&string[..at]);
        let mut chars = string[at..].chars();
        if let Some(char) = chars.next() {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        string = chars.as_str();
    }
    out.push_str(string);
}

/// The float that `serde_json` wrote so, if it did and Python might have written it otherwise.
fn serde_float(number: &str) -> Option<f64> {
    let (has_point, has_exponent) = (number.contains('.'), number.contains(['e', 'E']));
    // What both spell alike: integers, and floats of up to 15 digits from 0.0001 on.
    let is_short = number.len() <= 16 && !number.trim_start_matches('-').starts_with("0.0000");
    if !has_exponent && (!has_point || is_short) {
        return None;
    }
    let float = number.parse::<f64>().ok().filter(|float| float.is_finite())?;
    serde_json::to_string(&float)
        .is_ok_and(|ours| ours == number)
        .then_some(float)
}

/// `repr(float)`: the shortest digits that read back the same, with an exponent below -4 and from 16 on.
fn python_float(float: f64, out: &mut String) {
    let mut scientific = format!("{float:e}");
    // Of two that are equally near Python takes the even one. It takes 16 digits to be in between.
    if let Some(decimals @ 15..) = scientific
        .find('e')
        .and_then(|end| end.checked_sub(scientific.find('.')? + 1))
    {
        let nearest = format!("{float:.decimals$e}");
        // Below a power of two, the nearest of so few digits may be another number.
        if nearest.parse() == Ok(float) {
            scientific = nearest;
        }
    }
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return out.push_str(&scientific);
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        plain(digits, exponent, out);
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
}

/// Puts the point of `d.ddd` where the exponent says.
fn plain(digits: &str, exponent: i32, out: &mut String) {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    out.push_str(sign);
    let digits = digits.replace('.', "");
    let before = usize::try_from(exponent + 1).unwrap_or(0);
    if before == 0 {
        out.push_str("0.");
        out.extend((exponent..-1).map(|_| '0'));
        out.push_str(&digits);
    } else {
        let (whole, rest) = digits.split_at_checked(before).unwrap_or((&digits, ""));
        out.push_str(whole);
        out.extend((digits.len()..before).map(|_| '0'));
        out.push('.');
        out.push_str(if rest.is_empty() { "0" } else { rest });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_spelled_as_python_spells_them() {
        for (ours, pythons) in [
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.5e-7, "1.5e-07"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (12.525_924_939_625_225, "12.525924939625225"),
            // Half way between two, and the even one is written.
            (28.544_937_133_789_063, "28.544937133789062"),
            (-1_126_878_358_063_131.2, "-1126878358063131.2"),
            // The nearest of 16 digits is another number.
            (618_970_019_642_690_137_449_562_112.0, "6.189700196426902e+26"),
            (0.5, "0.5"),
            (0.000_123_456_789_012_345_67, "0.00012345678901234567"),
            (1_234_567_890_123_456.0, "1234567890123456.0"),
            (-100.25, "-100.25"),
        ] {
            assert_eq!(respell(&serde_json::to_string(&ours).unwrap()), pythons);
            assert_eq!(respell(pythons), pythons);
        }
    }

    #[test]
    fn what_serde_json_would_not_write_stays() {
        for token in ["1.10", "1e999", "1E5", "123456789012345678901234567890", "-0", "0.10e1"] {
            assert_eq!(respell(token), token);
        }
    }

    #[test]
    fn text_becomes_ascii_and_escapes_stay() {
        assert_eq!(
            respell("{\"a\":[1,{\"b\":null}],\"c\":true}"),
            "{\"a\": [1, {\"b\": null}], \"c\": true}"
        );
        assert_eq!(respell("\"é\u{7f}😀\""), "\"\\u00e9\\u007f\\ud83d\\ude00\"");
        assert_eq!(
            respell("\"\\ud83d \\/ \\\" , : \\\\\""),
            "\"\\ud83d \\/ \\\" , : \\\\\""
        );
        assert_eq!(respell("{ \"a\" :\t1 }"), "{\"a\": 1}");
    }
}
