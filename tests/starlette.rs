//! Starlette's cookie: golden vectors and whole responses of the real one, its arguments, its dictionary, its clock, and
//! the way out of it. What needs the real one at hand is in `starlette_judge.rs`.
#![cfg(feature = "starlette")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/python.rs"]
mod python;
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
use http_session::{Duplicates, Error, Fallback, Key, Reject, SameSite, Scope, Session, SessionLayer, Until, codec};
use python::Python;
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
                _ => matches!(ours, Reject::Malformed | Reject::BadSignature | Reject::Unreadable),
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
    assert_eq!(
        differing.keys().copied().collect::<BTreeSet<_>>(),
        &kinds - &BTreeSet::from([Difference::WhiteSpace])
    );
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
        let Some(expected) = vector
            .get("expect_cookie_bytes")
            .map(|bytes| bytes.as_str().unwrap().to_owned())
        else {
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
        let response = send(&layer, "", |session| {
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
    assert_eq!(written, 36);
    // An empty session is no cookie (in Starlette neither: it was signed by hand). Rust's JSON has no NaN. And a browser
    // would not have kept the longest one.
    assert_eq!(not_written, ["empty-session", "nan-and-infinity", "long-value"]);
}

/// The session's text, or why there is none.
type Outcome<'a> = Result<&'a str, Option<Reject>>;

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
        let cases: Vec<(Vec<u8>, Outcome<'_>)> = match difference {
            Difference::Base64 => vec![
                (format!("session={good}=").into_bytes(), Err(Some(Reject::BadSignature))),
                (
                    text_signed(&format!("eyJhIjogMX0.{}", stamp(now))),
                    Err(Some(Reject::Malformed)),
                ),
                (
                    text_signed(&format!("eyJhIjogMX1=.{}", stamp(now))),
                    Err(Some(Reject::Malformed)),
                ),
                (
                    text_signed(&format!("eyJh!Ijo gMX0=.{}", stamp(now))),
                    Err(Some(Reject::Malformed)),
                ),
                (
                    text_signed(&format!("eyJhIjogMX0=.{}=", stamp(now))),
                    Err(Some(Reject::Malformed)),
                ),
            ],
            Difference::NotJson => ["NaN", "Infinity", "-Infinity"]
                .map(|number| {
                    (
                        signed(format!(r#"{{"a": {number}}}"#).as_bytes()),
                        Err(Some(Reject::Unreadable)),
                    )
                })
                .to_vec(),
            Difference::Encoding => [
                &b"{\0\"\0a\0\"\0:\0\x31\0}\0"[..],
                b"\xef\xbb\xbf{\"a\": 1}",
                b"{\"a\": \"\xed\xa0\xbd\"}",
            ]
            .map(|payload| (signed(payload), Err(Some(Reject::Unreadable))))
            .to_vec(),
            Difference::TopLevel => ["[]", "\"\"", r#"[["a", 1]]"#, "null", "1", "true", r#""a""#]
                .map(|payload| (signed(payload.as_bytes()), Err(Some(Reject::Malformed))))
                .to_vec(),
            Difference::WhiteSpace => vec![
                (
                    format!("session={good}\u{a0}").chars().map(|char| char as u8).collect(),
                    Err(Some(Reject::BadSignature)),
                ),
                (
                    format!("\u{85}session={good}").chars().map(|char| char as u8).collect(),
                    Err(None),
                ),
                (format!(" \tsession\t =\t {good} \t").into_bytes(), Ok(r#"{"a": 1}"#)),
            ],
            Difference::Duplicates => vec![
                (format!("session={good}; session=null").into_bytes(), Ok(r#"{"a": 1}"#)),
                (format!("session={good}; session=").into_bytes(), Ok(r#"{"a": 1}"#)),
                (
                    format!("session={good}; session={good}").into_bytes(),
                    Ok(r#"{"a": 1}"#),
                ),
                (
                    format!("session={good}; session={}", sign(SECRET, br#"{"a": 2}"#, now)).into_bytes(),
                    Err(Some(Reject::Ambiguous)),
                ),
            ],
            Difference::Limits => vec![
                (signed(deep.as_bytes()), Ok(&deep)),
                (signed(long.as_bytes()), Ok(&long)),
            ],
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
    let layer = SessionLayer::starlette(SECRET)
        .clock(move || at(now))
        .on_duplicates(Duplicates::Newest);
    let [old, new] = [now - 5, now - 4].map(|at| sign(SECRET, format!(r#"{{"at": {at}}}"#).as_bytes(), at));
    for cookie in [
        format!("session={old}; session={new}"),
        format!("session={new}; session={old}"),
    ] {
        send(&layer, &cookie, |session| {
            assert_eq!(session.get("at").unwrap(), Some(now - 4));
            ok()
        });
    }
}

// --- Whole responses.

/// Why a response of ours is another one than Starlette's, in the words of the codec's documentation.
const RESPONSES: [(&str, &str, &[&str]); 6] = [
    (
        "good/set-same-value",
        "Setting a value to what it already was is no change, and no cookie is sent",
        &[],
    ),
    (
        "good/set-then-remove",
        "Nor are setting and removing a key again, and `update` with nothing",
        &[],
    ),
    (
        "good/update-empty",
        "Nor are setting and removing a key again, and `update` with nothing",
        &[],
    ),
    (
        "good/mutate-nested",
        "A change inside a nested list or dictionary is written, since the whole value is inserted",
        &[
            "session=eyJhIjogMSwgImIiOiAieCIsICJsaXN0IjogWzAsIDFdfQ==.YsoIow.",
            "; path=/; Max-Age=1209600; httponly; samesite=lax",
        ],
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
        let response = send_request(
            &layer,
            starlette::request(&starlette::lines(&case["cookie"])),
            |session| {
                case["ops"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .for_each(|operation| perform(session, operation));
                ok()
            },
        );
        let lines = set_cookies(response.headers());
        let expected: Vec<&str> = case["expect_set_cookie"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
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
            operation[1]
                .as_object()
                .unwrap()
                .iter()
                .for_each(|(key, value)| session.insert(key, value).unwrap());
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

// --- The arguments of `SessionMiddleware`, and its dictionary: the documentation's tables, line by line.

struct Argument {
    python: &'static str,
    rust: &'static str,
    layer: fn() -> SessionLayer,
    /// The cookie's name, path, `Max-Age` and what follows it.
    spelling: [&'static str; 4],
}

macro_rules! arguments {
    ($($python:literal => [$($rust:tt)*] $spelling:expr;)*) => {
        [$(Argument {
            python: $python,
            rust: stringify!($($rust)*),
            layer: || arguments!(@ $($rust)*),
            spelling: $spelling,
        }),*]
    };
    (@ . $($setting:tt)*) => { SessionLayer::starlette("...") . $($setting)* };
    (@ $($layer:tt)*) => { $($layer)* };
}

const ARGUMENTS: [Argument; 13] = arguments! {
    r#"secret_key="...""# => [SessionLayer::starlette("...")]
        ["session", "/", "Max-Age=1209600; ", "httponly; samesite=lax"];
    r#"session_cookie="sid""# => [.cookie_name("sid")]
        ["sid", "/", "Max-Age=1209600; ", "httponly; samesite=lax"];
    "max_age=3600" => [.max_age(Duration::from_secs(3600))]
        ["session", "/", "Max-Age=3600; ", "httponly; samesite=lax"];
    "max_age=None" => [.max_age(None)]
        ["session", "/", "", "httponly; samesite=lax"];
    "max_age=-1" => [SessionLayer::with_codec(codec::Starlette::new("...").max_age(-1)).secure(false)]
        ["session", "/", "Max-Age=-1; ", "httponly; samesite=lax"];
    r#"path="/app""# => [.path("/app")]
        ["session", "/app", "Max-Age=1209600; ", "httponly; samesite=lax"];
    r#"same_site="strict""# => [.same_site(SameSite::Strict)]
        ["session", "/", "Max-Age=1209600; ", "httponly; samesite=strict"];
    "https_only=True" => [.secure(true)]
        ["session", "/", "Max-Age=1209600; ", "httponly; samesite=lax; secure"];
    r#"same_site="none", https_only=True"# => [.same_site(SameSite::None).secure(true)]
        ["session", "/", "Max-Age=1209600; ", "httponly; samesite=none; secure"];
    r#"domain="example.com""# => [.domain("example.com")]
        ["session", "/", "Max-Age=1209600; ", "httponly; samesite=lax; domain=example.com"];
    r#"domain=".example.com""# => [.domain(".example.com")]
        ["session", "/", "Max-Age=1209600; ", "httponly; samesite=lax; domain=.example.com"];
    "https_only=True, partitioned=True" => [.secure(true).partitioned(true)]
        ["session", "/", "Max-Age=1209600; ", "httponly; samesite=lax; secure; partitioned"];
    "nothing: it knows one secret" => [SessionLayer::with_codec(codec::Starlette::new("...").accept("old")).secure(false)]
        ["session", "/", "Max-Age=1209600; ", "httponly; samesite=lax"];
};

#[test]
fn every_argument_of_the_middleware_is_in_the_table_and_spells_the_cookie_as_there() {
    let table: Vec<_> = documented_rows("| `SessionMiddleware(...)`")
        .iter()
        .map(|row| (code(&row[0]), code(&row[1])))
        .collect();
    let here: Vec<_> = ARGUMENTS.iter().map(|row| (code(row.python), code(row.rust))).collect();
    assert_eq!(table, here);

    let mut python = Python::start("starlette_app.py");
    for Argument {
        python: arguments,
        layer,
        spelling: [name, path, max_age, flags],
        ..
    } in ARGUMENTS
    {
        let clock = Clock::new();
        let now = START / 1000;
        let layer = layer().clock(clock.reader());
        let written = set_cookies(
            send(&layer, "", |session| {
                session.insert("k", "v").unwrap();
                ok()
            })
            .headers(),
        );
        let value = value_of(&written[0]).to_owned();
        assert_eq!(
            written,
            [format!("{name}={value}; path={path}; {max_age}{flags}")],
            "{arguments}"
        );
        let back_then = now - if max_age == "Max-Age=-1; " { 0 } else { 2 };
        assert_eq!(value, sign("...", br#"{"k": "v"}"#, back_then), "{arguments}");
        let cookie = format!("{name}={value}");
        let removed = set_cookies(
            send(&layer, &cookie, |session| {
                assert_eq!(session.is_new().unwrap(), arguments == "max_age=-1");
                session.clear().unwrap();
                ok()
            })
            .headers(),
        );
        assert_eq!(
            removed,
            [format!(
                "{name}=null; path={path}; expires=Thu, 01 Jan 1970 00:00:00 GMT; {flags}"
            )]
        );

        let Some(python) = python.as_mut().filter(|_| arguments != "nothing: it knows one secret") else {
            continue;
        };
        let real = |python: &mut Python, now, run, cookie: Value| {
            let ask = json!({"secret": "...", "arguments": arguments, "now": now, "cookie": cookie, "run": run});
            python.ask(&ask)["set_cookie"].clone()
        };
        assert_eq!(
            json!(written),
            real(python, back_then, "session['k'] = 'v'", Value::Null),
            "{arguments}"
        );
        let pythons = real(python, now, "session.clear()", json!(cookie));
        let expected = if arguments == "max_age=-1" {
            json!([])
        } else {
            json!(removed)
        };
        assert_eq!(pythons, expected, "{arguments}");
    }
}

struct Operation {
    python: &'static str,
    rust: &'static str,
    run: fn(&Session) -> Result<Value, Error>,
}

macro_rules! operations {
    ($session:ident, $v:ident, $d:ident: $($python:literal => [$($rust:tt)*];)*) => {
        [$(Operation {
            python: $python,
            rust: stringify!($($rust)*),
            run: |$session| {
                type T = Value;
                let ($v, $d) = (json!(2), json!(9));
                let _ = (&$v, &$d, None::<T>);
                poll_now(async {
                    let result = { $($rust)* };
                    Ok(json!(result))
                })
            },
        }),*]
    };
}

const OPERATIONS: [Operation; 14] = operations! { session, v, d:
    r#"session["k"] = v"# => [session.insert("k", v)?];
    r#"session["k"]"# => [session.get::<T>("k")?];
    r#"session.get("k", d)"# => [session.get("k")?.unwrap_or(d)];
    r#"session.pop("k", None)"# => [session.take::<T>("k")?];
    r#"del session["k"]"# => [session.remove("k")?];
    r#"session.setdefault("k", v)"# => [session.get_or_insert_with("k", || v)?];
    "session.update(a=1, b=2)" => [session.insert("a", 1)?; session.insert("b", 2)?;];
    r#"session["n"] = session.get("n", 0) + 1"# => [session.update("n", |n| n.unwrap_or(0) + 1).await?];
    r#""k" in session"# => [session.contains_key("k")?];
    "for k in session" => [for k in session.keys()? { drop(k) }];
    "len(session)" => [session.len()?];
    "not session" => [session.is_empty()?];
    "dict(session)" => [session.to_map::<T>()?];
    "session.clear()" => [session.clear()?];
};

#[test]
fn every_operation_of_the_dictionary_is_in_the_table_and_does_what_it_does_there() {
    let table: Vec<_> = documented_rows("| `request.session`")
        .iter()
        .map(|row| (code(&row[0]), code(&row[1])))
        .collect();
    let here: Vec<_> = OPERATIONS
        .iter()
        .map(|row| (code(row.python), code(row.rust)))
        .collect();
    assert_eq!(table, here);

    let mut python = Python::start("starlette_app.py");
    let now = START / 1000;
    let layer = SessionLayer::with_codec(codec::Starlette::new(SECRET).backdate(0))
        .secure(false)
        .clock(Clock::new().reader());
    let mut compared = 0;
    for before in [
        r#"{"z": 1, "k": "old", "n": 3, "a": [0.5, null, {"é": true}]}"#,
        r#"{"z": 1}"#,
        r#"{"k": null}"#,
        "{}",
    ] {
        for Operation {
            python: source, run, ..
        } in OPERATIONS
        {
            let cookie = format!("session={}", sign(SECRET, before.as_bytes(), now - 5));
            let cookie = if before == "{}" { String::new() } else { cookie };
            let mut result = Value::Null;
            let response = send(&layer, &cookie, |session| {
                result = run(session).unwrap();
                ok()
            });
            let ours = set_cookies(response.headers());
            assert_eq!(response.headers()[VARY], "Cookie");
            let Some(python) = &mut python else { continue };
            let run = match source {
                "for k in session" => "for k in session: pass".to_owned(),
                source => source.to_owned(),
            };
            let ask = json!({"secret": SECRET, "now": now, "cookie": cookie, "run": run, "with": {"v": 2, "d": 9}});
            let real = python.ask(&ask);
            // An absent key is `None` here; a value that is not wanted is not kept.
            let missing = real["raised"] == "KeyError" && matches!(source, r#"session["k"]"# | r#"del session["k"]"#);
            assert!(missing || real.get("raised").is_none(), "{real}");
            // `update` says what it set.
            let expected = if source.starts_with("session[\"n\"] = ") {
                &result
            } else {
                &real["result"]
            };
            assert_eq!(&result, expected, "{source} on {before}");
            let unchanged = real["session_text"].as_str().unwrap() == before.replace('é', "\\u00e9");
            let expected = if unchanged {
                json!([])
            } else {
                real["set_cookie"].clone()
            };
            assert_eq!(json!(ours), expected, "{source} on {before}: {real}");
            compared += 1;
        }
    }
    assert!(python.is_none() || compared == 4 * OPERATIONS.len());
}

// --- Keys.

fn read_with(secrets: &[&str], cookie: &str) -> Result<String, Option<Reject>> {
    let layer = starlette::layer(&json!({"secrets": secrets}), START / 1000);
    starlette::read(&layer, &[cookie.as_bytes().to_vec()])
}

#[test]
fn secrets_rotate_in_two_steps_and_nobody_is_logged_out() {
    let clock = Clock::new();
    let server = |codec: codec::Starlette| {
        SessionLayer::with_codec(codec)
            .secure(false)
            .clock(clock.reader())
            .build()
            .unwrap()
    };
    let servers = [
        server(codec::Starlette::new("old")),
        server(codec::Starlette::new("old").accept("new")),
        server(codec::Starlette::new("new").accept("old")),
        server(codec::Starlette::new("new")),
    ];
    // A deploy takes a while, so a client meets servers of two neighbouring steps.
    for step in 0..2 {
        for (write, read) in [(step, step + 1), (step + 1, step)] {
            let mut jar = Jar::new();
            jar.visit(&servers[write], |session| {
                session.insert("user", 42).unwrap();
                ok()
            });
            jar.visit(&servers[read], |session| {
                assert_eq!(
                    session.get("user").unwrap(),
                    Some(42),
                    "written in step {write}, read in step {read}"
                );
                session.insert("seen", true).unwrap();
                ok()
            });
            jar.visit(&servers[write], |session| {
                assert_eq!(session.get("seen").unwrap(), Some(true));
                ok()
            });
        }
    }
    // The first secret signs, and what the old one signed ends with it.
    let cookie = |layer: &SessionLayer| layer.cookie_header(&json!({"a": 1})).unwrap();
    assert_eq!(cookie(&servers[1]), cookie(&servers[0]));
    assert_eq!(cookie(&servers[2]), cookie(&servers[3]));
    let rejected =
        |layer: &SessionLayer, cookie: http::HeaderValue| starlette::read(layer, &[cookie.as_bytes().to_vec()]);
    assert_eq!(
        rejected(&servers[3], cookie(&servers[0])),
        Err(Some(Reject::BadSignature))
    );
    assert_eq!(
        rejected(&servers[0], cookie(&servers[3])),
        Err(Some(Reject::BadSignature))
    );
}

#[test]
fn each_of_sixteen_secrets_reads_and_seventeen_are_refused() {
    let secrets: Vec<String> = (0..17).map(|number| format!("secret {number}")).collect();
    let all: Vec<&str> = secrets[..16].iter().map(String::as_str).collect();
    for secret in &secrets {
        let cookie = format!("session={}", sign(secret, br#"{"a": 1}"#, START / 1000));
        let expected = if *secret == secrets[16] {
            Err(Some(Reject::BadSignature))
        } else {
            Ok(r#"{"a": 1}"#.to_owned())
        };
        assert_eq!(read_with(&all, &cookie), expected, "{secret}");
    }
    let codec = secrets[1..]
        .iter()
        .fold(codec::Starlette::new("secret 0"), codec::Starlette::accept);
    assert!(matches!(
        SessionLayer::with_codec(codec).build(),
        Err(Error::Config { .. })
    ));
}

#[test]
fn secrets_never_show() {
    let layer = SessionLayer::starlette("correct horse");
    let codec = codec::Starlette::new("correct horse").accept("battery staple");
    let shown = format!("{layer:?} {codec:?} {:?}", layer.clone().build());
    assert!(!shown.contains("horse") && !shown.contains("staple"), "{shown}");
}

// --- The clock.

/// `max_age`, the age of the cookie in seconds, and what becomes of it: as in itsdangerous.
const AGES: [(Option<i64>, i64, Result<(), Reject>); 18] = [
    (Some(60), 0, Ok(())),
    (Some(60), 59, Ok(())),
    (Some(60), 60, Ok(())),
    (Some(60), 61, Err(Reject::Expired)),
    (Some(60), -1, Err(Reject::NotYetValid)),
    (Some(60), -3600, Err(Reject::NotYetValid)),
    (Some(1), 1, Ok(())),
    (Some(1), 2, Err(Reject::Expired)),
    (Some(0), 0, Ok(())),
    (Some(0), 1, Err(Reject::Expired)),
    (Some(0), -1, Err(Reject::NotYetValid)),
    (Some(-1), 0, Err(Reject::Expired)),
    (Some(-1), 1, Err(Reject::Expired)),
    (Some(-60), 0, Err(Reject::Expired)),
    (None, 0, Ok(())),
    (None, 1_700_000_000, Ok(())),
    (None, -1, Ok(())),
    (None, -1_000_000_000_000, Ok(())),
];

#[test]
fn ages_end_where_they_end_in_starlette_and_the_future_is_refused() {
    let mut python = Python::start("starlette_app.py");
    // Whole seconds on both sides, wherever in the second it is read.
    for (max_age, age, expected) in AGES {
        for millis in [0, 1, 500, 999] {
            let now = 1_700_000_000;
            let codec = codec::Starlette::new(SECRET);
            let layer = match max_age {
                // As an age of the layer where it has one, as Starlette's own otherwise.
                Some(seconds) if seconds > 0 && millis > 1 => {
                    SessionLayer::with_codec(codec).max_age(Duration::from_secs(seconds.unsigned_abs()))
                }
                Some(seconds) => SessionLayer::with_codec(codec.max_age(seconds)),
                None => SessionLayer::with_codec(codec).max_age(None),
            };
            let layer = layer.clock(move || at(now) + Duration::from_millis(millis));
            let stamp = now.checked_add_signed(-age).unwrap();
            let cookie = format!("session={}", sign(SECRET, br#"{"a": 1}"#, stamp));
            let ours = starlette::read(&layer, &[cookie.clone().into_bytes()]);
            assert_eq!(
                ours.map(drop),
                expected.map_err(Some),
                "max_age {max_age:?}, age {age}, {millis} ms"
            );
            if let Some(python) = &mut python {
                let now = now as f64 + millis as f64 / 1000.0;
                let ask = json!({"secret": SECRET, "params": {"max_age": max_age}, "now": now, "cookie": cookie});
                let real = python.ask(&ask);
                assert_eq!(
                    real.get("session").is_some(),
                    expected.is_ok(),
                    "max_age {max_age:?}, age {age}: {real}"
                );
            }
        }
    }
}

#[test]
fn a_stamp_is_at_most_eight_bytes_and_zeros_before_it_do_not_count() {
    let layer = starlette::layer(&json!({"secret": SECRET, "params": {"max_age": null}}), 1_700_000_000);
    let read = |stamp: &[u8]| {
        let stamp = base64_simd::URL_SAFE_NO_PAD.encode_to_string(stamp);
        let cookie = format!("session={}", sign_text(SECRET, &format!("eyJhIjogMX0=.{stamp}")));
        starlette::read(&layer, &[cookie.into_bytes()])
    };
    for len in 0..=8 {
        assert!(
            read(&vec![0xff; len]).is_ok() && read(&vec![0; len]).is_ok(),
            "{len} bytes"
        );
    }
    assert_eq!(read(&[0; 9]), Err(Some(Reject::Malformed)));
    let at_epoch = starlette::layer(&json!({"secret": SECRET}), 10);
    let cookie = format!("session={}", sign_text(SECRET, "eyJhIjogMX0=."));
    assert!(
        starlette::read(&at_epoch, &[cookie.into_bytes()]).is_ok(),
        "an empty stamp is 0"
    );
    // After the year 9999 the real one answers 500.
    let ends = starlette::layer(&json!({"secret": SECRET}), 1_700_000_000);
    for stamp in [253_402_300_800, u64::MAX] {
        let cookie = format!("session={}", sign(SECRET, b"{}", stamp));
        assert_eq!(
            starlette::read(&ends, &[cookie.into_bytes()]),
            Err(Some(Reject::NotYetValid))
        );
    }
}

/// A cookie of a layer whose clock is so many seconds ahead, in front of a server whose clock is right.
fn seen_by_a_slower_clock(codec: codec::Starlette, max_age: u64, ahead: u64) -> Result<String, Option<Reject>> {
    let now = 1_700_000_000;
    let layer = |codec, at_millis: u64| {
        SessionLayer::with_codec(codec)
            .secure(false)
            .max_age(Duration::from_secs(max_age))
            .clock(move || at(0) + Duration::from_millis(at_millis))
            .build()
            .unwrap()
    };
    // In the last millisecond of a second, and the other one in the first.
    let ahead = layer(codec, (now + ahead) * 1000 + 999)
        .cookie_header(&json!({"a": 1}))
        .unwrap();
    let ours = starlette::read(
        &layer(codec::Starlette::new(SECRET), now * 1000),
        &[ahead.as_bytes().to_vec()],
    );
    if let Some(python) = &mut Python::start("starlette_app.py") {
        let ask =
            json!({"secret": SECRET, "params": {"max_age": max_age}, "now": now, "cookie": ahead.to_str().unwrap()});
        assert_eq!(python.ask(&ask).get("session").is_some(), ours.is_ok());
    }
    ours
}

#[test]
fn a_twin_whose_clock_is_two_seconds_slow_is_logged_in() {
    let codec = || codec::Starlette::new(SECRET);
    assert!(seen_by_a_slower_clock(codec(), 1_209_600, 1).is_ok());
    assert!(seen_by_a_slower_clock(codec(), 1_209_600, 2).is_ok());
    assert_eq!(
        seen_by_a_slower_clock(codec(), 1_209_600, 3),
        Err(Some(Reject::NotYetValid))
    );
    assert!(seen_by_a_slower_clock(codec().backdate(5), 1_209_600, 5).is_ok());
    assert_eq!(
        seen_by_a_slower_clock(codec().backdate(5), 1_209_600, 6),
        Err(Some(Reject::NotYetValid))
    );
    assert_eq!(
        seen_by_a_slower_clock(codec().backdate(0), 1_209_600, 1),
        Err(Some(Reject::NotYetValid))
    );
    // At most a tenth of the `max_age`, or it would leave nothing of a short one.
    assert!(seen_by_a_slower_clock(codec().backdate(60), 100, 10).is_ok());
    assert_eq!(
        seen_by_a_slower_clock(codec().backdate(60), 100, 11),
        Err(Some(Reject::NotYetValid))
    );
    assert!(seen_by_a_slower_clock(codec(), 9, 0).is_ok());
    assert_eq!(seen_by_a_slower_clock(codec(), 9, 1), Err(Some(Reject::NotYetValid)));
}

#[test]
fn the_stamp_is_the_time_of_the_write_and_the_backdate_before_it() {
    let clock = Clock::new();
    let layer = SessionLayer::starlette(SECRET).clock(clock.reader());
    let mut jar = Jar::new();
    for (write, seconds) in [(0, 0), (1, 1), (2, 3600)] {
        clock.advance(Duration::from_secs(seconds));
        jar.visit(&layer, |session| {
            assert_eq!(session.get("write").unwrap(), (write > 0).then(|| write - 1));
            session.insert("write", write).unwrap();
            ok()
        });
        let stamp = stamp(clock.now().duration_since(at(0)).unwrap().as_secs() - 2);
        assert_eq!(jar.0[0].value.split('.').nth(1), Some(&*stamp));
    }
}

#[test]
fn starlettes_own_zero_and_negative_ages_on_the_wire() {
    for (seconds, good) in [(0, true), (-1, false)] {
        let clock = Clock::new();
        let layer = SessionLayer::with_codec(codec::Starlette::new(SECRET).max_age(seconds))
            .secure(false)
            .clock(clock.reader());
        let response = send(&layer, "", |session| {
            session.insert("a", 1).unwrap();
            ok()
        });
        let line = set_cookies(response.headers()).remove(0);
        assert!(line.contains(&format!("; Max-Age={seconds}; ")), "{line}");
        let cookie = format!("session={}", value_of(&line)).into_bytes();
        assert_eq!(
            starlette::read(&layer, std::slice::from_ref(&cookie)).is_ok(),
            good,
            "in the same second"
        );
        clock.advance(Duration::from_millis(1000));
        assert_eq!(starlette::read(&layer, &[cookie]), Err(Some(Reject::Expired)));
    }
}

// --- Rolling, the behaviour before Starlette 1.0.

#[test]
fn rolling_prolongs_what_is_used_as_starlette_did_before_1_0() {
    let clock = Clock::new();
    let layer = |rolling| {
        SessionLayer::starlette(SECRET)
            .rolling(rolling)
            .clock(clock.reader())
            .build()
            .unwrap()
    };
    let (as_now, as_before) = (layer(false), layer(true));
    let mut jar = Jar::new();
    jar.visit(&as_before, |session| {
        session.insert("user", 42).unwrap();
        ok()
    });
    let read = |session: &Session| {
        assert_eq!(session.get("user").unwrap(), Some(42));
        ok()
    };
    // After ten of fourteen days, twice: without a single write that is more than `max_age`.
    for _ in 0..2 {
        clock.advance(Duration::from_secs(10 * 86_400));
        assert_eq!(
            set_cookies(jar.clone().visit(&as_now, read).headers()),
            [""; 0],
            "only changes are written"
        );
        let line = set_cookies(jar.visit(&as_before, read).headers()).remove(0);
        let now = clock.now().duration_since(at(0)).unwrap().as_secs();
        let value = sign(SECRET, br#"{"user": 42}"#, now - 2);
        assert_eq!(
            line,
            format!("session={value}; path=/; Max-Age=1209600; httponly; samesite=lax")
        );
    }
    // With no interval on every response that used the session, and never on one that did not.
    let always = as_before.refresh_interval(Duration::ZERO).build().unwrap();
    assert_eq!(set_cookies(jar.visit(&always, read).headers()).len(), 1);
    assert_eq!(set_cookies(jar.visit(&always, |_| ok()).headers()).len(), 0);
}

// --- What the Rust side does not touch.

#[test]
fn members_that_nobody_touches_pass_through_as_they_came() {
    let now = START / 1000;
    let layer = SessionLayer::with_codec(codec::Starlette::new(SECRET).backdate(0))
        .secure(false)
        .clock(Clock::new().reader());
    let members = [
        r#""int": 10000000000000000000000000000000000000000000007"#,
        r#""floats": [1e+16, 1e-05, 5e-324, 1.7976931348623157e+308, 12.525924939625225, -0.0, 100000.0]"#,
        r#""text": "\u00e9\u007f\ud83d\ude00 \ud83d \\ \" / \b\f\n\r\t\u0000""#,
        r#""\u00e9 \"k\"": {"\ud83d": [{}, [], [[null, true, false]]], "": -1}"#,
        r#""\ud83d half a key": 1"#,
        r#""mine": 0"#,
        r#""after": "the same place""#,
    ];
    let text = format!("{{{}}}", members.join(", "));
    let cookie = format!("session={}", sign(SECRET, text.as_bytes(), now));
    let response = send(&layer, &cookie, |session| {
        session.insert("mine", 1).unwrap();
        session.insert("new", "last").unwrap();
        ok()
    });
    let line = set_cookies(response.headers()).remove(0);
    let expected = text
        .replace(r#""mine": 0"#, r#""mine": 1"#)
        .replace("place\"}", "place\", \"new\": \"last\"}");
    assert_eq!(payload(value_of(&line)), expected);
}

// --- The way out: from Starlette's format to an encrypted one.

#[test]
fn the_move_to_an_encrypted_cookie_in_two_phases_logs_nobody_out() {
    let clock = Clock::new();
    let build = |layer: SessionLayer| layer.clock(clock.reader()).build().unwrap();
    // Stands for the Python routes; where the real one is at hand, it does.
    let as_python = build(SessionLayer::with_codec(codec::Starlette::new(SECRET).backdate(0)).secure(false));
    let mut python = Python::start("starlette_app.py");
    let mut python_adds = |jar: &mut Jar, key: &str| {
        let now = clock.now().duration_since(at(0)).unwrap().as_secs();
        let Some(python) = &mut python else {
            jar.visit(&as_python, |session| {
                session.insert(key, session.len().unwrap()).unwrap();
                ok()
            });
            return;
        };
        let run = format!("session[{key:?}] = len(session)");
        let answer = python.ask(&json!({"secret": SECRET, "now": now, "cookie": jar.header("/"), "run": run}));
        jar.set(answer["set_cookie"][0].as_str().unwrap());
    };
    let key = Key::generate().unwrap();
    let rust_adds = |jar: &mut Jar, layer: &SessionLayer, key: &str, keys: &[&str]| {
        jar.visit(layer, |session| {
            assert_eq!(session.keys().unwrap(), keys, "and nobody is logged out");
            session.insert(key, session.len().unwrap()).unwrap();
            ok()
        });
    };
    let names = |jar: &Jar| jar.0.iter().map(|cookie| cookie.name.clone()).collect::<Vec<_>>();
    let wait = || clock.advance(Duration::from_secs(86_400));

    // Phase one: while there is a Python route, everything is in Starlette's format.
    let one = build(SessionLayer::starlette(SECRET));
    let mut jar = Jar::new();
    python_adds(&mut jar, "login");
    wait();
    rust_adds(&mut jar, &one, "a", &["login"]);
    python_adds(&mut jar, "b");
    rust_adds(&mut jar, &one, "c", &["login", "a", "b"]);
    let mut idle = jar.clone();
    assert_eq!(names(&jar), ["session"]);

    // Phase two: the last Python route is gone.
    let last = clock.now() + Duration::from_secs(3600);
    let two = build(SessionLayer::encrypted(key.clone()).also_accept(codec::Starlette::new(SECRET), Until::date(last)));
    wait();
    jar.visit(&two, |session| {
        assert_eq!(session.keys().unwrap(), ["login", "a", "b", "c"]);
        ok()
    });
    assert_eq!(names(&jar), ["session"], "reading alone moves nothing");
    rust_adds(&mut jar, &two, "d", &["login", "a", "b", "c"]);
    assert_eq!(
        names(&jar),
        ["__Host-session"],
        "the old cookie is gone, and the new one is Rust's own"
    );
    wait();
    rust_adds(&mut jar, &two, "e", &["login", "a", "b", "c", "d"]);

    // Who comes back within Starlette's 14 days finds the old session, and after that nobody could.
    clock.advance(Duration::from_secs(10 * 86_400));
    rust_adds(&mut idle.clone(), &two, "d", &["login", "a", "b", "c"]);
    clock.advance(Duration::from_secs(2 * 86_400));
    idle.visit(&two, |session| {
        assert_eq!(session.rejected(), Some(Reject::Expired));
        ok()
    });
    // A cookie that says it was written after the last Python route was gone is a forged one.
    let later = clock.now().duration_since(at(0)).unwrap().as_secs();
    let forged = format!("session={}", sign(SECRET, br#"{"user": "root"}"#, later)).into_bytes();
    assert_eq!(starlette::read(&two, &[forged]), Err(Some(Reject::Expired)));

    // Phase three, a line less. Who kept coming is still there.
    let three = build(SessionLayer::encrypted(key));
    jar.visit(&three, |session| {
        assert_eq!(session.len().unwrap(), 6);
        ok()
    });
}

#[test]
fn while_the_second_phase_is_deployed_both_kinds_of_server_know_both_cookies() {
    let clock = Clock::new();
    let key = Key::generate().unwrap();
    // One step more for a fleet: first everybody learns to read what some will soon write.
    let learned = Fallback::new(codec::Encrypted::new(key.clone()))
        .cookie_name("__Host-session")
        .scope(Scope::new());
    let one = SessionLayer::starlette(SECRET)
        .secure(true)
        .also_accept(learned, Until::forever());
    let two = SessionLayer::encrypted(key).also_accept(codec::Starlette::new(SECRET), Until::forever());
    let [one, two] = [one, two].map(|layer| layer.clock(clock.reader()).build().unwrap());
    let mut jar = Jar::new();
    for (visit, layer) in [&one, &two, &one, &one, &two, &two, &one].into_iter().enumerate() {
        clock.advance(Duration::from_secs(60));
        jar.visit(layer, |session| {
            assert_eq!(session.get("visits").unwrap().unwrap_or(0), visit);
            session.insert("visits", visit + 1).unwrap();
            ok()
        });
        assert_eq!(jar.0.len(), 1, "{jar:?}");
    }
}

// --- What the format cannot do is refused when the layer is built, and what would break is loud.

#[test]
fn what_the_format_cannot_carry_is_refused() {
    let refused = |layer: SessionLayer| matches!(layer.build(), Err(Error::Config { .. }));
    let layer = || SessionLayer::starlette(SECRET);
    assert!(refused(layer().absolute_lifetime(Duration::from_secs(60))));
    assert!(refused(layer().max_age_limit(Duration::from_secs(60 * 86_400))));
    assert!(refused(layer().chunked(2)));
    assert!(layer().build().is_ok());
    send(&layer(), "", |session| {
        assert!(matches!(
            session.set_max_age(Duration::from_secs(60)),
            Err(Error::Config { .. })
        ));
        ok()
    });
}

#[test]
fn what_a_browser_would_not_keep_is_refused_although_starlette_writes_it() {
    let documentation = documentation();
    for text in [
        "`same_site=\"none\"` or `partitioned` without `https_only`, a name, path or domain that no browser takes: refused",
        "A cookie of more than 4,096 bytes is an error; Starlette writes it, and the browser drops it",
        "`Cache-Control: private` is added, so that no shared cache keeps a user's page or cookie",
        "The stamp is two seconds in the past",
    ] {
        assert!(documentation.contains(text), "not in the documentation: {text}");
    }
    let refused = |layer: SessionLayer| matches!(layer.build(), Err(Error::Config { .. }));
    let layer = || SessionLayer::starlette(SECRET);
    assert!(refused(layer().same_site(SameSite::None)));
    assert!(refused(layer().partitioned(true)));
    assert!(refused(layer().cookie_name("two words")));
    assert!(refused(layer().path("app")));
    assert!(refused(layer().domain("https://example.com")));

    let layer = layer().on_error(|error, mut response: Response<String>| {
        *response.status_mut() = match error {
            Error::TooLarge { limit: 4096, .. } => http::StatusCode::PAYLOAD_TOO_LARGE,
            other => panic!("{other}"),
        };
        response
    });
    for (len, status) in [(3030, 200), (3031, 413)] {
        let response = send(&layer, "", |session| {
            session.insert("k", "x".repeat(len)).unwrap();
            ok()
        });
        assert_eq!(response.status(), status, "{len}");
        for line in set_cookies(response.headers()) {
            assert_eq!(line.split(';').next().unwrap().len() - "=".len(), 4094);
        }
    }
}

/// The code in a cell of the documentation: neither Markdown nor white space counts.
fn code(cell: &str) -> String {
    let code = cell.split('`').nth(1).unwrap_or(cell);
    code.chars().filter(|char| !char.is_whitespace()).collect()
}
