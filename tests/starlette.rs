//! Starlette's cookie: golden vectors and whole responses of the real one, its arguments, its dictionary, its clock, and
//! the way out of it. What needs the real one at hand is in `starlette_judge.rs`.
#![cfg(feature = "starlette")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/starlette.rs"]
mod starlette;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::{
    Response,
    header::{CACHE_CONTROL, VARY},
};
use http_session::{
    Duplicates, Error, Fallback, Key, Reject, SameSite, Scope, Session, SessionLayer, Until,
    codec::{self, Starlette},
};
use serde_json::{Value, json, value::RawValue};
use starlette::{Difference, at, documentation, documented_rows, payload, sign, sign_text, stamp};
use support::*;

const SECRET: &str = "not-really-a-secret";

fn book(part: &str) -> Vec<Value> {
    let mut book: Value = serde_json::from_str(include_str!("vectors/starlette.json")).unwrap();
    match book[part].take() {
        Value::Array(vectors) => vectors,
        other => panic!("{other}"),
    }
}

/// The value in a `Set-Cookie` line.
fn value_of(line: &str) -> &str {
    line.split_once('=').unwrap().1.split(';').next().unwrap()
}

// --- The vectors.

#[test]
fn every_vector_is_read_as_the_real_one_reads_it_or_differs_as_documented() {
    let (mut agreed, mut differing) = (0, BTreeMap::<Difference, Vec<String>>::new());
    for vector in book("vectors") {
        let name = vector["name"].as_str().unwrap();
        let now = vector["now"].as_u64().unwrap();
        let layer = starlette::layer(&vector, now);
        let lines = starlette::lines(&vector["cookie"]);
        let expect = &vector["expect"];
        let real = expect.get("session_text").map(|text| text.as_str().unwrap());
        let ours = starlette::read(&layer, &lines);
        let agree = match (&ours, real) {
            (Ok(ours), Some(real)) => same(&layer, ours, real),
            (Err(None), None) => expect["reject"] == "absent",
            (Err(Some(ours)), None) => match expect["reject"].as_str().unwrap() {
                "expired" => *ours == Reject::Expired,
                "future" => *ours == Reject::NotYetValid,
                _ => matches!(ours, Reject::Malformed | Reject::BadSignature),
            },
            _ => false,
        };
        if agree {
            agreed += 1;
            continue;
        }
        let cookie_name = vector["params"]["cookie_name"].as_str().unwrap_or("session");
        let difference = starlette::difference(&lines, cookie_name)
            .unwrap_or_else(|| panic!("{name}: {ours:?} instead of {expect}"));
        assert!(!difference.is_stricter() || ours.is_err(), "{name}: {ours:?}");
        differing.entry(difference).or_default().push(name.to_owned());
    }
    assert!(agreed >= 200, "{agreed}");
    for (difference, names) in &differing {
        println!("{difference:?}: {}", names.join(", "));
    }
    // All but the one that is not in the book.
    let kinds: BTreeSet<_> = Difference::ALL.into_iter().map(|(difference, _)| difference).collect();
    assert_eq!(differing.keys().copied().collect::<BTreeSet<_>>(), &kinds - &BTreeSet::from([Difference::HalfKey]));
}

/// Whether our JSON text says what Python's says.
fn same(layer: &SessionLayer, ours: &str, pythons: &str) -> bool {
    let raw: Box<RawValue> = serde_json::from_str(ours).unwrap();
    let cookie = layer.cookie_header(&raw).ok();
    let respelled = cookie.map(|cookie| payload(value_of(cookie.to_str().unwrap())));
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    // serde_json takes `-0` for a float, and `1e999` and integers of 400 digits for nothing at all.
    respelled.is_some_and(|ours| ours == pythons)
        || (ours == r#"{"a":-0}"# && pythons == r#"{"a": 0}"#)
        || (ours == r#"{"a":1e999,"b":-1e999}"# && pythons == r#"{"a": Infinity, "b": -Infinity}"#)
        || ours.replace(':', ": ") == pythons
        || (parse(ours).is_some() && parse(ours) == parse(pythons))
}

#[test]
fn every_written_cookie_is_the_real_ones_byte_for_byte() {
    let mut written = 0;
    let mut not_written = Vec::new();
    for mut vector in book("vectors") {
        let Some(expected) = vector.get("expect_cookie_bytes").map(|bytes| bytes.as_str().unwrap().to_owned()) else {
            continue;
        };
        let name = vector["name"].as_str().unwrap().to_owned();
        vector["cookie"] = Value::Null;
        let layer = starlette::layer(&vector, vector["signed_at"].as_u64().unwrap());
        let text = vector["expect"]["session_text"].as_str().unwrap();
        let Some(members) = starlette::members(text) else {
            not_written.push(name);
            continue;
        };
        let mut error = None;
        let service = layer.on_error(|reason, response| {
            error = Some(reason);
            response
        });
        let response = send(&service, "", |session| {
            for (key, value) in &members {
                session.insert(key, value).unwrap();
            }
            ok()
        });
        match &set_cookies(response.headers())[..] {
            [line] => {
                assert_eq!(value_of(line), expected, "{name}: {text}");
                written += 1;
            }
            _ => not_written.push(name),
        }
    }
    assert!(written >= 40, "{written}");
    // An empty session is no cookie (in Starlette neither: it was signed by hand). Rust's JSON has no NaN. And a browser
    // would not have kept the longest one.
    assert_eq!(not_written, ["empty-session", "nan-and-infinity", "long-value"]);
}

#[test]
fn every_difference_in_reading_is_documented_and_is_one() {
    let documentation = documentation();
    let now = 1_700_000_000;
    let layer = starlette::layer(&json!({"secret": SECRET}), now);
    let good = sign(SECRET, br#"{"a": 1}"#, now);
    let deep = [r#"{"a": "#, &"[".repeat(3000), &"]".repeat(3000), "}"].concat();
    let long = format!(r#"{{"a": {}}}"#, "7".repeat(4301));
    for (difference, text) in Difference::ALL {
        assert!(documentation.contains(text), "not in the documentation: {text}");
        let signed = |payload: &[u8]| format!("session={}", sign(SECRET, payload, now)).into_bytes();
        let text_signed = |text: &str| format!("session={}", sign_text(SECRET, text)).into_bytes();
        let cases: Vec<(Vec<u8>, Result<&str, Option<Reject>>)> = match difference {
            Difference::Base64 => vec![
                (format!("session={good}=").into_bytes(), Err(Some(Reject::BadSignature))),
                (text_signed(&format!("eyJhIjogMX0.{}", stamp(now))), Err(Some(Reject::Malformed))),
                (text_signed(&format!("eyJhIjogMX1=.{}", stamp(now))), Err(Some(Reject::Malformed))),
                (text_signed(&format!("eyJh!Ijo gMX0=.{}", stamp(now))), Err(Some(Reject::Malformed))),
                (text_signed(&format!("eyJhIjogMX0=.{}=", stamp(now))), Err(Some(Reject::Malformed))),
            ],
            Difference::NotJson => ["NaN", "Infinity", "-Infinity"]
                .map(|number| (signed(format!(r#"{{"a": {number}}}"#).as_bytes()), Err(Some(Reject::Malformed))))
                .to_vec(),
            Difference::Encoding => [&b"{\0\"\0a\0\"\0:\0001\0}\0"[..], b"\xef\xbb\xbf{\"a\": 1}", b"{\"a\": \"\xed\xa0\xbd\"}"]
                .map(|payload| (signed(payload), Err(Some(Reject::Malformed))))
                .to_vec(),
            Difference::TopLevel => ["[]", "\"\"", r#"[["a", 1]]"#, "null", "1", "true", r#""a""#]
                .map(|payload| (signed(payload.as_bytes()), Err(Some(Reject::Malformed))))
                .to_vec(),
            Difference::HalfKey => vec![
                (signed(br#"{"\ud83d": 1}"#), Err(Some(Reject::Malformed))),
                (signed(br#"{"a": {"\ud83d": "\ude00"}}"#), Ok(r#"{"a": {"\ud83d": "\ude00"}}"#)),
            ],
            Difference::WhiteSpace => vec![
                (format!("session={good}\u{a0}").chars().map(|char| char as u8).collect(), Err(Some(Reject::BadSignature))),
                (format!("\u{85}session={good}").chars().map(|char| char as u8).collect(), Err(None)),
                (format!(" \tsession\t =\t {good} \t").into_bytes(), Ok(r#"{"a": 1}"#)),
            ],
            Difference::Duplicates => vec![
                (format!("session={good}; session=null").into_bytes(), Ok(r#"{"a": 1}"#)),
                (format!("session={good}; session=").into_bytes(), Ok(r#"{"a": 1}"#)),
                (format!("session={good}; session={good}").into_bytes(), Ok(r#"{"a": 1}"#)),
                (
                    format!("session={good}; session={}", sign(SECRET, br#"{"a": 2}"#, now)).into_bytes(),
                    Err(Some(Reject::Ambiguous)),
                ),
            ],
            Difference::Limits => vec![(signed(deep.as_bytes()), Ok(&deep)), (signed(long.as_bytes()), Ok(&long))],
        };
        for (line, expected) in cases {
            let expected = expected.map(str::to_owned);
            assert_eq!(starlette::read(&layer, &[line]), expected, "{difference:?}");
        }
    }
}

#[test]
fn of_several_valid_cookies_the_newest_can_be_chosen() {
    let now = 1_700_000_000;
    let layer = SessionLayer::starlette(SECRET).clock(move || at(now)).on_duplicates(Duplicates::Newest);
    let [old, new] = [now - 5, now - 4].map(|at| sign(SECRET, format!(r#"{{"at": {at}}}"#).as_bytes(), at));
    for cookie in [format!("session={old}; session={new}"), format!("session={new}; session={old}")] {
        send(&layer, &cookie, |session| {
            assert_eq!(session.get("at").unwrap(), Some(now - 4));
            ok()
        });
    }
}

// --- Whole responses.

/// Why a response of ours is another one than Starlette's, in the words of the codec's documentation.
const RESPONSES: [(&str, &str, &[&str]); 6] = [
    ("good/set-same-value", "Setting a value to what it already was is no change, and no cookie is sent", &[]),
    ("good/set-then-remove", "Nor are setting and removing a key again, and `update` with nothing", &[]),
    ("good/update-empty", "Nor are setting and removing a key again, and `update` with nothing", &[]),
    (
        "good/mutate-nested",
        "A change inside a nested list or dictionary is written, since the whole value is inserted",
        &["session=eyJhIjogMSwgImIiOiAieCIsICJsaXN0IjogWzAsIDFdfQ==.YsoIow.", "; path=/; Max-Age=1209600; httponly; samesite=lax"],
    ),
    (
        "bad/clear",
        "Clearing a session removes the cookie even if it was not valid",
        &["session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax"],
    ),
    (
        "params/max_age=-1/clear",
        "Clearing a session removes the cookie even if it was not valid",
        &["session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax"],
    ),
];

#[test]
fn every_response_is_the_real_ones_or_differs_as_documented() {
    let documentation = documentation();
    let responses = book("responses");
    assert!(responses.len() >= 60);
    let mut differing = Vec::new();
    for case in &responses {
        let name = case["name"].as_str().unwrap();
        let layer = starlette::layer(case, case["now"].as_u64().unwrap());
        let response = send_request(&layer, starlette::request(&starlette::lines(&case["cookie"])), |session| {
            case["ops"].as_array().unwrap().iter().for_each(|operation| perform(session, operation));
            ok()
        });
        let lines = set_cookies(response.headers());
        let expected: Vec<&str> =
            case["expect_set_cookie"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        match RESPONSES.iter().find(|(other, ..)| *other == name) {
            Some((_, reason, parts)) => {
                assert!(documentation.contains(reason), "not in the documentation: {reason}");
                assert_ne!(lines, expected, "{name} differs no more");
                assert_eq!(lines.is_empty(), parts.is_empty(), "{name}: {lines:?}");
                assert!(parts.iter().all(|part| lines[0].contains(part)), "{name}: {lines:?}");
                differing.push(name);
            }
            None => assert_eq!(lines, expected, "{name}"),
        }
        let vary = response.headers().get(VARY).map(|vary| vary.to_str().unwrap());
        assert_eq!(vary, case["expect_vary"].as_str(), "{name}");
        // Starlette says nothing about caches; see the documentation.
        assert_eq!(response.headers().contains_key(CACHE_CONTROL), vary.is_some(), "{name}");
    }
    assert_eq!(differing.len(), RESPONSES.len());
}

fn perform(session: &Session, operation: &Value) {
    let key = operation[1].as_str().unwrap_or_default();
    match operation[0].as_str().unwrap() {
        "get" => drop(session.get::<Value>(key).unwrap()),
        "set" => session.insert(key, &operation[2]).unwrap(),
        "remove" => session.remove(key).unwrap(),
        "pop" => drop(session.take::<Value>(key).unwrap()),
        "setdefault" => drop(session.get_or_insert_with(key, || operation[2].clone()).unwrap()),
        "clear" => session.clear().unwrap(),
        "update" => {
            assert_eq!(session.len().unwrap(), session.keys().unwrap().len());
            operation[1].as_object().unwrap().iter().for_each(|(key, value)| session.insert(key, value).unwrap());
        }
        "set-nested" => {
            if let Some(mut list) = session.get::<Vec<u8>>("list").unwrap() {
                list.push(1);
                session.insert("list", list).unwrap();
            }
        }
        other => panic!("{other}"),
    }
}

// --- The arguments of `SessionMiddleware`.

/// The documentation's table, line by line: how the layer is made and what its cookie looks like.
#[test]
fn every_argument_of_the_middleware_has_its_counterpart() {
    type Row = (&'static str, &'static str, fn() -> SessionLayer, &'static str);
    macro_rules! rows {
        ($($python:literal: |$layer:ident| $rust:expr => $line:literal,)*) => {
            [$(($python, stringify!($rust), || { let $layer = SessionLayer::starlette("..."); $rust }, $line),)*]
        };
    }
    let made = |python, rust, layer: fn() -> SessionLayer| -> Row {
        (python, rust, layer, "session=V; path=/; Max-Age=1209600; httponly; samesite=lax")
    };
    let mut rows: Vec<Row> = vec![
        made(r#"secret_key="...""#, r#"SessionLayer::starlette("...")"#, || SessionLayer::starlette("...")),
        made("a list of secrets, which it has not", r#"SessionLayer::with_codec(codec::Starlette::new("new").accept("..."))"#, || {
            SessionLayer::with_codec(Starlette::new("new").accept("...")).secure(false)
        }),
    ];
    rows.extend(rows! {
        r#"session_cookie="session""#: |layer| layer.cookie_name("session") => "session=V; path=/; Max-Age=1209600; httponly; samesite=lax",
        "max_age=14 * 24 * 60 * 60": |layer| layer.max_age(Duration::from_secs(1_209_600)) => "session=V; path=/; Max-Age=1209600; httponly; samesite=lax",
    });
    drop(rows);
}
