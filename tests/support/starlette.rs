//! Starlette's cookie taken apart and put together by other means than the codec's, and what ours does differently on
//! purpose.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, Request, header::COOKIE};
use http_session::{Reject, SameSite, SessionLayer, codec::Starlette};
use ring::{digest, hmac};
use serde_json::{Value, value::RawValue};

use crate::support::{ok, send_request};

/// One way in which ours differs from Starlette on purpose when it reads. The codec's documentation has one line for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Base64 as no framework writes it.
    Base64,
    /// `NaN`, `Infinity` and `-Infinity`.
    NotJson,
    /// UTF-16, UTF-32, a byte order mark, surrogates in UTF-8.
    Encoding,
    /// JSON that is no object and that Python makes a dictionary of.
    TopLevel,
    /// White space that is none in HTTP.
    WhiteSpace,
    /// Several cookies of the name.
    Duplicates,
    /// JSON that only Python's limits make unreadable.
    Limits,
}

impl Difference {
    /// What the codec's documentation says about it.
    pub const ALL: [(Self, &'static str); 7] = [
        (
            Self::Base64,
            "Base64 that no framework writes (other alphabet, missing padding, unused bits, stray characters) is rejected",
        ),
        (
            Self::NotJson,
            "`NaN` and `Infinity` are not JSON: a session that holds one is rejected as [unreadable](crate::Reject::Unreadable)",
        ),
        (
            Self::Encoding,
            "So is text in UTF-16 or UTF-32, with a byte order mark, or with a surrogate in UTF-8",
        ),
        (
            Self::TopLevel,
            "A payload that is not a JSON object is an empty session; Starlette answers 500, or makes a dictionary of a \
             list of pairs",
        ),
        (
            Self::WhiteSpace,
            "Around a cookie's name and value, spaces and tabs are no part of them; Python takes other bytes for white space",
        ),
        (
            Self::Duplicates,
            "Of several cookies of the name Starlette takes the last. Here those that are not valid do not count",
        ),
        (
            Self::Limits,
            "There is no limit to nesting and to the digits of an integer. Starlette answers 500 from about 1,000 levels \
             (before Python 3.12) and from 4,301 digits on",
        ),
    ];

    /// Whether ours rejects whatever is of this kind.
    pub fn is_stricter(self) -> bool {
        !matches!(self, Self::Limits | Self::Duplicates | Self::WhiteSpace)
    }
}

/// The codec's documentation as one line of text.
pub fn documentation() -> String {
    let source = include_str!("../../src/codec/starlette.rs");
    let lines = source.lines().filter_map(|line| line.trim_start().strip_prefix("///"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The rows of the documentation's table below this heading, each as its cells.
pub fn documented_rows(heading: &str) -> Vec<Vec<String>> {
    let source = include_str!("../../src/codec/starlette.rs");
    let lines = source
        .lines()
        .map(|line| line.trim_start().trim_start_matches("///").trim());
    lines
        .skip_while(|line| !line.starts_with(heading))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            // A `|` in a cell is written `\|`.
            let line = line.trim_matches('|').replace("\\|", "\u{0}");
            line.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
        })
        .collect()
}

// --- What the real one is told, and a layer like it.

/// The layer that a vector describes: its `secrets`, `params` and the moment at which it is used.
pub fn layer(vector: &Value, now: u64) -> SessionLayer {
    let secrets: Vec<&str> = match vector.get("secrets") {
        Some(secrets) => secrets
            .as_array()
            .unwrap()
            .iter()
            .map(|secret| secret.as_str().unwrap())
            .collect(),
        None => vec![vector["secret"].as_str().unwrap()],
    };
    let codec = Starlette::new(secrets[0]).backdate(0);
    let mut codec = secrets[1..].iter().fold(codec, |codec, &secret| codec.accept(secret));
    let params = vector.get("params").and_then(Value::as_object);
    if let Some(seconds) = params.and_then(|params| params.get("max_age")?.as_i64()) {
        codec = codec.max_age(seconds);
    }
    let mut layer = SessionLayer::with_codec(codec).secure(false);
    for (name, value) in params.into_iter().flatten() {
        layer = match (name.as_str(), value) {
            ("max_age", Value::Null) => layer.max_age(None),
            ("max_age", _) => layer,
            ("cookie_name", Value::String(name)) => layer.cookie_name(name),
            ("path", Value::String(path)) => layer.path(path),
            ("domain", Value::String(domain)) => layer.domain(domain),
            ("https_only", Value::Bool(secure)) => layer.secure(*secure),
            ("partitioned", Value::Bool(partitioned)) => layer.partitioned(*partitioned),
            ("same_site", Value::String(same_site)) => layer.same_site(match same_site.as_str() {
                "lax" => SameSite::Lax,
                "strict" => SameSite::Strict,
                "none" => SameSite::None,
                other => panic!("{other}"),
            }),
            other => panic!("{other:?}"),
        };
    }
    layer.clock(move || at(now)).build().unwrap()
}

pub fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The `Cookie` lines of a vector, a character for each byte.
pub fn lines(cookie: &Value) -> Vec<Vec<u8>> {
    let bytes = |line: &Value| line.as_str().unwrap().chars().map(|char| char as u8).collect();
    match cookie {
        Value::Null => vec![],
        Value::Array(lines) => lines.iter().map(bytes).collect(),
        line => vec![bytes(line)],
    }
}

pub fn request(lines: &[Vec<u8>]) -> Request<()> {
    let mut request = Request::new(());
    for line in lines {
        request
            .headers_mut()
            .append(COOKIE, HeaderValue::from_bytes(line).unwrap());
    }
    request
}

/// What ours makes of the cookie: the session's JSON text, or why there is none.
pub fn read(layer: &SessionLayer, lines: &[Vec<u8>]) -> Result<String, Option<Reject>> {
    let mut outcome = Err(None);
    send_request(layer, request(lines), |session| {
        outcome = if session.is_new().unwrap() {
            assert!(session.is_empty().unwrap());
            Err(session.rejected())
        } else {
            assert_eq!(session.rejected(), None);
            Ok(session.to_map::<Box<RawValue>>().unwrap().get().to_owned())
        };
        ok()
    });
    outcome
}

// --- The format, by other means.

fn key(secret: &str) -> hmac::Key {
    let text = format!("itsdangerous.Signersigner{secret}");
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, digest.as_ref())
}

/// `text.signature`
pub fn sign_text(secret: &str, text: &str) -> String {
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode_to_string(hmac::sign(&key(secret), text.as_bytes()))
    )
}

pub fn stamp(seconds: u64) -> String {
    let bytes = seconds.to_be_bytes();
    URL_SAFE_NO_PAD.encode_to_string(&bytes[seconds.leading_zeros() as usize / 8..])
}

/// A cookie's value with this payload.
pub fn sign(secret: &str, payload: &[u8], seconds: u64) -> String {
    sign_text(
        secret,
        &format!("{}.{}", STANDARD.encode_to_string(payload), stamp(seconds)),
    )
}

/// The JSON in a cookie's value.
pub fn payload(value: &str) -> String {
    let text = value.split('.').next().unwrap();
    String::from_utf8(STANDARD.decode_to_vec(text).unwrap()).unwrap()
}

// --- Why ours may differ from the real one.

/// Which of the documented differences explains another answer to this one cookie of the name. `None`: there is none, and
/// ours must agree.
pub fn difference(lines: &[Vec<u8>], name: &str) -> Option<Difference> {
    let found = values(lines, name, python_space);
    if values(lines, name, |byte| matches!(byte, b' ' | b'\t')) != found {
        return Some(Difference::WhiteSpace);
    }
    if found.iter().collect::<BTreeSet<_>>().len() > 1 {
        return Some(Difference::Duplicates);
    }
    let value = unquoted(found.first()?);
    let value = value.as_slice();
    let [signature, stamp, text] = &value.rsplitn(3, |&byte| byte == b'.').collect::<Vec<_>>()[..] else {
        return None;
    };
    let bytes = decode(text, STANDARD_DIGITS);
    let is_canonical = [signature, stamp]
        .into_iter()
        .all(|part| encode(&decode(part, URL_DIGITS), URL_DIGITS, false) == *part)
        && encode(&bytes, STANDARD_DIGITS, true) == *text;
    if is_canonical {
        of_payload(&bytes)
    } else {
        Some(Difference::Base64)
    }
}

const STANDARD_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Takes what it knows and forgives the rest.
fn decode(text: &[u8], alphabet: &[u8]) -> Vec<u8> {
    let digits: Vec<usize> = text
        .iter()
        .filter_map(|byte| alphabet.iter().position(|digit| digit == byte))
        .collect();
    let groups = digits.chunks(4).flat_map(|group| {
        let bits = group
            .iter()
            .enumerate()
            .fold(0, |bits, (at, digit)| bits | digit << (18 - 6 * at));
        let bytes = (bits as u32).to_be_bytes();
        bytes.into_iter().skip(1).take(group.len() * 6 / 8)
    });
    groups.collect()
}

fn encode(bytes: &[u8], alphabet: &[u8], padded: bool) -> Vec<u8> {
    let groups = bytes.chunks(3).flat_map(|group| {
        let bits = group
            .iter()
            .enumerate()
            .fold(0, |bits, (at, &byte)| bits | usize::from(byte) << (16 - 8 * at));
        let digits = (0..4).map(move |at| match at <= group.len() {
            true => Some(alphabet[bits >> (18 - 6 * at) & 63]),
            false => padded.then_some(b'='),
        });
        digits.flatten()
    });
    groups.collect()
}

fn of_payload(bytes: &[u8]) -> Option<Difference> {
    let Some(text) = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0') && !text.starts_with('\u{feff}'))
    else {
        return Some(Difference::Encoding);
    };
    let Ok(value) = serde_json::from_str::<&RawValue>(text) else {
        let without = outside_of_strings(text, |part| {
            part.replace("-Infinity", "null")
                .replace("Infinity", "null")
                .replace("NaN", "null")
        });
        let is_json = without != text && serde_json::from_str::<&RawValue>(&without).is_ok();
        return is_json.then_some(Difference::NotJson);
    };
    if !value.get().starts_with('{') {
        return Some(Difference::TopLevel);
    }
    let mut depth = 0;
    let mut deepest = 0;
    let mut digits = 0;
    let mut most_digits = 0;
    outside_of_strings(text, |part| {
        for byte in part.bytes() {
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
            deepest = deepest.max(depth);
            most_digits = most_digits.max(digits);
        }
        part.to_owned()
    });
    (deepest > 900 || most_digits > 4300).then_some(Difference::Limits)
}

/// Changes what stands between the strings of a JSON text.
fn outside_of_strings(text: &str, mut change: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        out += &change(&rest[..start]);
        let mut escaped = false;
        let end = rest[start + 1..].bytes().position(|byte| {
            let end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            end
        });
        let end = end.map_or(rest.len(), |end| start + end + 2);
        out += &rest[start..end];
        rest = &rest[end..];
    }
    out + &change(rest)
}

/// The values under a name, where this is white space.
pub fn values(lines: &[Vec<u8>], name: &str, is_space: impl Fn(u8) -> bool) -> Vec<Vec<u8>> {
    let trim = |text: &[u8]| {
        let start = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
        let end = text
            .iter()
            .rposition(|&byte| !is_space(byte))
            .map_or(start, |last| last + 1);
        text[start..end].to_vec()
    };
    let pieces = lines.iter().flat_map(|line| line.split(|&byte| byte == b';'));
    pieces
        .filter_map(|piece| {
            let equals = piece.iter().position(|&byte| byte == b'=')?;
            (trim(&piece[..equals]) == name.as_bytes()).then(|| trim(&piece[equals + 1..]))
        })
        .collect()
}

/// `str.strip` of Python, of what HTTP lets through.
fn python_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x85 | 0xa0)
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut out = Vec::new();
    let mut at = 0;
    while at < inner.len() {
        let octal = inner
            .get(at + 1..at + 4)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = octal.filter(|digits| digits.starts_with(['0', '1', '2', '3']));
        match (inner[at], octal.and_then(|digits| u8::from_str_radix(digits, 8).ok())) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                at += 4;
            }
            (b'\\', None) if at + 1 < inner.len() => {
                out.push(inner[at + 1]);
                at += 2;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

// --- Values that a Rust program might put into a session.

/// JSON that keeps the order of members and every number.
#[derive(Clone, Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// What Rust has no type for: longer integers, half a surrogate pair.
    Raw(Box<RawValue>),
    List(Vec<Json>),
    Dict(Vec<(String, Json)>),
}

impl Json {
    /// Reads Python's text; `None` if it is not JSON.
    pub fn parse(text: &str) -> Option<Self> {
        let raw = || Some(Self::Raw(serde_json::from_str(text).ok()?));
        Some(match text.as_bytes().first()? {
            b'n' => Self::Null,
            b't' | b'f' => Self::Bool(text == "true"),
            b'"' => match serde_json::from_str(text) {
                Ok(text) => Self::Text(text),
                Err(_) => return raw(),
            },
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                Self::List(
                    items
                        .into_iter()
                        .map(|item| Self::parse(item.get()))
                        .collect::<Option<_>>()?,
                )
            }
            b'{' => Self::Dict(members(text)?),
            _ if text.contains(['.', 'e', 'E']) => Self::Float(text.parse().ok()?),
            _ => match text.parse() {
                Ok(int) => Self::Int(int),
                Err(_) => return raw(),
            },
        })
    }
}

/// The members of an object in their order.
pub fn members(text: &str) -> Option<Vec<(String, Json)>> {
    struct Visitor;

    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = serde::Deserializer::deserialize_map(&mut deserializer, Visitor).ok()?;
    members
        .into_iter()
        .map(|(key, value)| Some((key, Json::parse(value.get())?)))
        .collect()
}

impl serde::Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Int(int) => serializer.serialize_i128(*int),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Raw(raw) => raw.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Dict(members) => serializer.collect_map(members.iter().map(|(key, value)| (key, value))),
        }
    }
}
