//! JSON as Python's `json.dumps` spells it.

use std::fmt::Write as _;

use memchr::{memchr, memchr2};

/// The one character of ASCII above the printable ones.
const DELETE: u8 = 0x7f;

/// Rewrites one JSON text: `", "` and `": "` between its tokens, ASCII only, and the floats that `serde_json` wrote as
/// Python writes them. All other tokens stay as they are, so a value that came from Python leaves as it came.
pub(super) fn respell(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    let mut rest = json;
    while let Some(first) = rest.as_bytes().first() {
        rest = match first {
            b'"' => string(rest, &mut out),
            b',' => separator(", ", rest, &mut out),
            b':' => separator(": ", rest, &mut out),
            b' ' | b'\t' | b'\r' | b'\n' => &rest[1..],
            b'-' | b'0'..=b'9' => number(rest, &mut out),
            // Brackets and literals. Outside of strings JSON is ASCII.
            _ => {
                let (token, after) = rest.split_at(rest.chars().next().map_or(1, char::len_utf8));
                out.push_str(token);
                after
            }
        };
    }
    out
}

fn separator<'a>(spelled: &str, text: &'a str, out: &mut String) -> &'a str {
    out.push_str(spelled);
    // From Python it comes so.
    let rest = &text[1..];
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// Copies a string and returns what follows it.
fn string<'a>(text: &'a str, out: &mut String) -> &'a str {
    let bytes = text.as_bytes();
    let mut end = 1;
    let end = loop {
        match memchr2(b'"', b'\\', bytes.get(end..).unwrap_or_default()) {
            Some(at) if bytes[end + at] == b'"' => break end + at + 1,
            // What follows is escaped, be it a quote.
            Some(at) => end += at + 2,
            None => break text.len(),
        }
    };
    let (mut plain, rest) = text.split_at(end);
    // Escapes stand as they are: whoever wrote them knew why.
    if !plain.is_ascii() || memchr(DELETE, plain.as_bytes()).is_some() {
        while let Some(at) = plain.find(|char: char| char > '~') {
            out.push_str(&plain[..at]);
            let mut chars = plain[at..].chars();
            if let Some(char) = chars.next() {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            plain = chars.as_str();
        }
    }
    out.push_str(plain);
    rest
}

/// Copies a number and returns what follows it.
fn number<'a>(text: &'a str, out: &mut String) -> &'a str {
    let end = text
        .bytes()
        .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        .unwrap_or(text.len());
    let (token, rest) = text.split_at(end);
    let float = token
        .contains(['.', 'e', 'E'])
        .then(|| token.parse::<f64>().ok())
        .flatten();
    match float.filter(|float| float.is_finite()) {
        // Only what serde_json would write was written by it.
        Some(float) if serde_json::to_string(&float).is_ok_and(|ours| ours == token) => python_float(float, out),
        _ => out.push_str(token),
    }
    rest
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
