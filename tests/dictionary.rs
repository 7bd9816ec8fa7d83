//! The dictionary: what goes in, what comes out, what stays as it was, and what counts as a change.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/plain.rs"]
mod plain;
mod support;

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as _,
    sync::Mutex,
    time::Duration,
};

use http::Response;
use http_session::{Error, Reject, Session, SessionLayer};
use plain::{Plain, planted, read, sent_json};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use support::*;

fn layer() -> (SessionLayer, Clock) {
    let clock = Clock::new();
    (SessionLayer::with_codec(Plain::new()).clock(clock.reader()), clock)
}

/// What a response says of the session of a client that had exactly this JSON.
fn after(json: &str, handler: impl FnOnce(&Session)) -> Response<String> {
    let (layer, clock) = layer();
    send(&layer, &planted(json, &clock), |session| {
        handler(session);
        ok()
    })
}

fn raw(json: &str) -> Box<RawValue> {
    serde_json::from_str(json).unwrap()
}

fn keep<T>(result: Result<T, Error>) -> T {
    result.unwrap()
}

fn text_of(error: &Error) -> String {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error} {error:?} {source}")
}

// --- The dictionary.

#[test]
fn what_nobody_touched_passes_byte_for_byte_and_in_order() {
    let json = concat!(
        r#"{"z":123456789012345678901234567890123456789012345678901234567890,"#,
        r#""u":1,"#,
        r#""a":-0.0,"e":1E+2,"f":0.1000,"g":1e-999,"neg":-170141183460469231731687303715884105729,"#,
        r#""s":"\u00e9\/\ud83d\ude00 \u0000","key\u0021":[ 1 , {"x" : null} ],"lone":"\ud800","\ud801":[1],"#,
        r#""n":{"deep":[[[[{"b":1,"a":2,"b":3}]]]]}}"#,
    );
    let response = after(json, |session| {
        // Only this value is parsed: the others are no numbers of any Rust type.
        assert_eq!(keep(session.get::<u8>("u")), Some(1));
        keep(session.insert("u", 2));
    });
    assert_eq!(
        sent_json(response.headers()).unwrap(),
        json.replace(r#""u":1"#, r#""u":2"#)
    );
}

#[test]
fn white_space_inside_a_member_stays_and_between_members_goes() {
    let json = " {\n\t\"a\" : [ 1,\n2 ] ,\r\n \"b\"\t:\t\"x  y\" , \"c\":3 } ";
    let response = after(json, |session| keep(session.insert("c", 4)));
    assert_eq!(
        sent_json(response.headers()).unwrap(),
        "{\"a\" : [ 1,\n2 ],\"b\"\t:\t\"x  y\",\"c\":4}"
    );
}

#[test]
fn a_text_that_is_written_again_unchanged_is_the_very_same() {
    let json = " { \"a\" : 1e5 , \"a\" : 2e5 } ";
    let response = after(json, |session| keep(session.renew()));
    assert_eq!(sent_json(response.headers()).unwrap(), json);
}

#[test]
fn a_known_key_keeps_its_place_and_a_new_one_comes_last() {
    let json = r#"{"a":1,"b":2,"c":3}"#;
    let response = after(json, |session| {
        keep(session.insert("new", 0));
        keep(session.insert("b", "two"));
        keep(session.insert("newer", 0));
        assert_eq!(keep(session.keys()), ["a", "b", "c", "new", "newer"]);
    });
    assert_eq!(
        sent_json(response.headers()).unwrap(),
        r#"{"a":1,"b":"two","c":3,"new":0,"newer":0}"#
    );
    let response = after(json, |session| {
        keep(session.remove("a"));
        keep(session.insert("a", 9));
        keep(session.insert("d", 4));
        keep(session.remove("c"));
        assert_eq!(keep(session.keys()), ["b", "a", "d"]);
    });
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"b":2,"a":9,"d":4}"#);
}

#[test]
fn keys_are_compared_by_meaning_and_written_as_they_came() {
    let json = r#"{"\u0061":1,"q\"\\\n":2}"#;
    let response = after(json, |session| {
        assert_eq!(keep(session.get::<u8>("a")), Some(1));
        assert_eq!(keep(session.get::<u8>("q\"\\\n")), Some(2));
        assert_eq!(keep(session.get::<u8>("\\u0061")), None);
        assert_eq!(keep(session.keys()), ["a", "q\"\\\n"]);
        keep(session.insert("a", 3));
        keep(session.insert("\u{7f}\u{1}\"ü😀", 4));
        keep(session.insert("", 5));
    });
    assert_eq!(
        sent_json(response.headers()).unwrap(),
        "{\"\\u0061\":3,\"q\\\"\\\\\\n\":2,\"\u{7f}\\u0001\\\"ü😀\":4,\"\":5}"
    );
}

#[test]
fn of_a_key_that_is_there_twice_the_last_value_counts_in_the_first_ones_place() {
    // Few and many members go different ways.
    for many in [0, 200] {
        let more: String = (0..many).map(|n| format!(r#","m{n}":{n}"#)).collect();
        let json = format!(r#"{{"a":1,"b":2,"a":3,"c":4,"\u0061":5{more},"m7":"last"}}"#);
        let response = after(&json, |session| {
            assert_eq!(keep(session.get::<u8>("a")), Some(5));
            assert_eq!(keep(session.len()), 4 + many - usize::from(many > 0));
            assert_eq!(&keep(session.keys())[..3], ["a", "b", "c"]);
            keep(session.remove("c"));
            assert_eq!(keep(session.get::<String>("m7")), Some("last".to_owned()));
        });
        let now = sent_json(response.headers()).unwrap();
        if many == 0 {
            assert_eq!(now, r#"{"a":5,"b":2,"m7":"last"}"#);
        }
        assert_eq!(now.matches("\"m7\":\"last\"").count(), 1);
        // Removed is removed, however often it was there.
        let response = after(&json, |session| {
            keep(session.remove("a"));
            assert!(!keep(session.contains_key("a")));
        });
        let now = sent_json(response.headers()).unwrap();
        assert!(now.starts_with(r#"{"b":2,"c":4"#), "{now}");
        assert!(!now.contains("a\"") && !now.contains("0061"), "{now}");
    }
}

#[test]
fn a_wrong_type_is_an_error_that_names_the_key_and_not_the_data_and_the_value_stays() {
    let json = r#"{"cart":"top secret","big":123456789012345678901234567890,"lone":"\ud800"}"#;
    let response = after(json, |session| {
        let errors = [
            session.get::<u64>("cart").unwrap_err(),
            session.take::<u64>("cart").unwrap_err(),
            session.get_or_insert_with("cart", || 1_u64).unwrap_err(),
            poll_now(session.update("cart", |_: Option<u64>| panic!("there is no old value"))).unwrap_err(),
        ];
        for error in errors {
            let text = text_of(&error);
            assert!(text.contains("\"cart\"") && text.contains("u64"), "{text}");
            assert!(!text.contains("secret"), "{text}");
            assert!(matches!(error, Error::Type { key, .. } if key == "cart"));
        }
        assert!(session.get::<u64>("big").is_err());
        assert!(session.get::<String>("lone").is_err());
        let error = session.to_map::<BTreeMap<String, u64>>().unwrap_err();
        assert!(!text_of(&error).contains("secret"));
        assert!(matches!(error, Error::Type { key, .. } if key.is_empty()));
        assert_eq!(keep(session.get::<String>("cart")).as_deref(), Some("top secret"));
        assert!(!session.is_modified());
    });
    assert_eq!(set_cookies(response.headers()), [""; 0]);
}

#[test]
fn numbers_of_every_size_come_back_as_they_were() {
    let (layer, _) = layer();
    let mut jar = Jar::new();
    let floats = [
        0.1,
        1.0 / 3.0,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        -0.0,
        9_007_199_254_740_993.0,
        1e23,
    ];
    jar.visit(&layer, |session| {
        keep(session.insert("u128", u128::MAX));
        keep(session.insert("i128", i128::MIN));
        keep(session.insert("u64", u64::MAX));
        keep(session.insert("i64", i64::MIN));
        keep(session.insert("floats", floats));
        ok()
    });
    jar.visit(&layer, |session| {
        assert_eq!(keep(session.get("u128")), Some(u128::MAX));
        assert_eq!(keep(session.get("i128")), Some(i128::MIN));
        assert_eq!(keep(session.get("u64")), Some(u64::MAX));
        assert_eq!(keep(session.get("i64")), Some(i64::MIN));
        let back: [f64; 8] = keep(session.get("floats")).unwrap();
        assert_eq!(back.map(f64::to_bits), floats.map(f64::to_bits));
        ok()
    });
}

#[test]
fn any_serde_type_goes_in_and_comes_out() {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    enum Step {
        Start,
        Pay { amount: u32 },
        Note(String, Option<char>),
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct All {
        steps: Vec<Step>,
        none: Option<u8>,
        unit: (),
    }
    let (layer, _) = layer();
    let steps = [
        Step::Start,
        Step::Pay { amount: 7 },
        Step::Note("ü\"\\\u{0}\n😀".into(), Some('\u{2028}')),
    ];
    let mut jar = Jar::new();
    jar.visit(&layer, |session| {
        keep(session.insert("steps", &steps));
        keep(session.insert("none", None::<u8>));
        keep(session.insert("unit", ()));
        ok()
    });
    jar.visit(&layer, |session| {
        assert_eq!(keep(session.get::<Vec<Step>>("steps")).unwrap(), steps);
        // `null` is a value, and not the same as none.
        assert_eq!(keep(session.get::<Option<u8>>("none")), Some(None));
        assert_eq!(keep(session.get::<Option<u8>>("missing")), None);
        assert!(keep(session.contains_key("none")));
        let all: All = keep(session.to_map());
        assert_eq!((all.steps, all.none, all.unit), (steps.to_vec(), None, ()));
        ok()
    });
}

#[test]
fn a_value_that_cannot_be_written_changes_nothing() {
    let response = after(r#"{"a":1}"#, |session| {
        let error = session.insert("a", HashMap::from([(vec!["secret"], 1)])).unwrap_err();
        assert!(matches!(&error, Error::Serialize { key, .. } if key == "a"));
        assert!(!text_of(&error).contains("secret"));
        assert!(poll_now(session.update("a", |_: Option<Unwritable>| Unwritable)).is_err());
        assert!(session.get_or_insert_with("b", || Unwritable).is_err());
        assert_eq!(keep(session.get::<u8>("a")), Some(1));
        assert_eq!(keep(session.len()), 1);
    });
    assert_eq!(set_cookies(response.headers()), [""; 0]);
}

struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("cannot"))
    }
}

impl<'de> Deserialize<'de> for Unwritable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[test]
fn the_small_methods_do_what_they_say() {
    let response = after(
        r#"{"a":1,"b":[2],"long":"0123456789012345678901234567890123456789012345678901234567890123456789"}"#,
        |session| {
            assert_eq!((keep(session.len()), keep(session.is_empty())), (3, false));
            assert_eq!(keep(session.take::<u8>("missing")), None);
            assert_eq!(keep(session.take::<u8>("a")), Some(1));
            assert_eq!(keep(session.take::<u8>("a")), None);
            assert_eq!(keep(session.take::<String>("long")).unwrap().len(), 70);
            assert_eq!(keep(session.get_or_insert_with("b", || vec![0])), [2]);
            assert_eq!(keep(session.get_or_insert_with("c", || 3)), 3);
            assert_eq!(keep(poll_now(session.update("c", |c: Option<u8>| c.unwrap() + 1))), 4);
            assert_eq!(keep(poll_now(session.update("d", |d: Option<u8>| d.unwrap_or(9)))), 9);
            keep(poll_now(session.load()));
            let all: BTreeMap<String, serde_json::Value> = keep(session.to_map());
            assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"b":[2],"c":4,"d":9}"#);
        },
    );
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"b":[2],"c":4,"d":9}"#);
}

#[test]
fn a_text_that_is_not_one_object_is_malformed_and_never_a_panic() {
    for json in [
        "",
        " ",
        "null",
        "[]",
        "1",
        "\"a\"",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "{\"a\":01}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":nul}",
        "\u{feff}{}",
    ] {
        let response = after(json, |session| {
            assert_eq!(session.rejected(), Some(Reject::Malformed), "{json}");
            assert!(keep(session.is_empty()));
        });
        assert_eq!(set_cookies(response.headers()), [""; 0], "{json}");
    }
}

#[test]
fn row_11_deep_nesting_passes_through_and_overflows_nothing() {
    let deep = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    let (layer, clock) = layer();
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let json = format!(r#"{{"deep":{},"u":1}}"#, deep(open, close, 300));
        let response = send(&layer, &planted(&json, &clock), |session| {
            let parsed = session.get::<serde_json::Value>("deep");
            assert!(parsed.is_err(), "serde_json has a limit");
            keep(session.insert("u", 2));
            ok()
        });
        let now = json.replace(r#""u":1"#, r#""u":2"#);
        assert_eq!(sent_json(response.headers()), Some(now));
        // Equal but differently spelled: telling so is given up at some depth, and that is no harm.
        let value = deep(open, close, 10_000);
        let response = send(&layer, &planted(&format!(r#"{{"deep":{value}}}"#), &clock), |session| {
            keep(session.insert("deep", raw(&deep(&format!("{open} "), close, 10_000))));
            assert!(session.is_modified());
            keep(session.insert("deep", raw(&value)));
            assert!(!session.is_modified());
            ok()
        });
        assert_eq!(set_cookies(response.headers()), [""; 0]);
    }
}

// --- What is a change.

/// What a handler does with a client's session.
type Deed = fn(&Session);

#[test]
fn rule_2_what_leaves_the_content_as_it_was_sends_nothing() {
    let deeds: &[(&str, &str, Deed)] = &[
        ("reading", r#"{"a":1}"#, |s| {
            keep(s.get::<u8>("a"));
            keep(s.keys());
        }),
        ("an equal value", r#"{"a":1,"b":"x"}"#, |s| {
            keep(s.insert("a", 1));
            keep(s.insert("b", "x"));
        }),
        ("white space", r#"{"a":[1, { "b" : 2 }]}"#, |s| {
            keep(s.insert("a", raw(r#"[1,{"b":2}]"#)));
        }),
        ("more white space", r#"{"a":[1,{"b":2}]}"#, |s| {
            keep(s.insert("a", raw("[ 1\n,\t{\"b\" :2}\r]")));
        }),
        ("member order", r#"{"a":{"x":1,"y":{"p":[],"q":{}}}}"#, |s| {
            keep(s.insert("a", raw(r#"{"y":{"q":{},"p":[]},"x":1}"#)));
        }),
        ("escapes", r#"{"a":"\u00e9\/\ud83d\ude00","b":{"\u006b":1}}"#, |s| {
            keep(s.insert("a", "é/😀"));
            keep(s.insert("b", BTreeMap::from([("k", 1)])));
        }),
        ("duplicates inside of a value", r#"{"a":{"x":1,"x":2}}"#, |s| {
            keep(s.insert("a", raw(r#"{"x":2}"#)));
        }),
        ("an equal duplicate", r#"{"a":1,"a":2}"#, |s| keep(s.insert("a", 2))),
        ("set, then unset, of a new key", r#"{"a":1}"#, |s| {
            keep(s.insert("new", 1));
            keep(s.insert("new", 2));
            keep(s.remove("new"));
        }),
        ("there and back", r#"{"a":1}"#, |s| {
            keep(s.insert("a", 2));
            keep(s.insert("a", 1));
        }),
        ("removed and set again", r#"{"a":1,"b":2}"#, |s| {
            keep(s.remove("a"));
            keep(s.insert("a", 1));
        }),
        ("removed, set, removed, set", r#"{"a":1,"b":2}"#, |s| {
            for _ in 0..2 {
                keep(s.remove("a"));
                keep(s.insert("a", 3));
                keep(s.insert("a", 1));
            }
        }),
        ("taken and put back", r#"{"a":[1,2]}"#, |s| {
            let taken: Vec<u8> = keep(s.take("a")).unwrap();
            keep(s.insert("a", taken));
        }),
        ("cleared and all set again", r#"{"a":1,"b":{"c":[2, 3]}}"#, |s| {
            keep(s.clear());
            assert!(keep(s.is_empty()));
            keep(s.insert("b", BTreeMap::from([("c", [2, 3])])));
            keep(s.insert("a", 1));
        }),
        ("cleared twice, set, cleared, set", r#"{"a":1}"#, |s| {
            keep(s.clear());
            keep(s.insert("b", 1));
            keep(s.clear());
            keep(s.insert("a", 2));
            keep(s.insert("a", 1));
        }),
        ("removing what is not there", r#"{"a":1}"#, |s| {
            keep(s.remove("b"));
            keep(s.take::<u8>("b"));
        }),
        ("an update to the same", r#"{"a":1}"#, |s| {
            keep(poll_now(s.update("a", |a: Option<u8>| a.unwrap())));
        }),
        ("getting what is there", r#"{"a":1}"#, |s| {
            keep(s.get_or_insert_with("a", || 2));
        }),
        ("saving nothing", r#"{"a":1}"#, |s| keep(poll_now(s.save()))),
    ];
    for (what, json, deed) in deeds {
        let response = after(json, |session| {
            deed(session);
            assert!(!session.is_modified(), "{what}");
            assert!(!format!("{session:?}").contains("modified: true"));
        });
        assert_eq!(set_cookies(response.headers()), [""; 0], "{what}");
    }
}

#[test]
fn what_differs_in_the_least_is_sent() {
    for (before, now) in [
        ("1", "1.0"),
        ("1", "1e0"),
        ("1", "-1"),
        ("0", "-0"),
        ("9007199254740992", "9007199254740993"),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
        ("\"a\"", "\"A\""),
        ("\"a\"", "\"a \""),
        ("\"\\u00e9\"", "\"e\\u0301\""),
        ("\"\\\\u0061\"", "\"a\""),
        ("\"1\"", "1"),
        ("null", "false"),
        ("null", "0"),
        ("[]", "{}"),
        ("[1,2]", "[2,1]"),
        ("[1,2]", "[1,2,2]"),
        ("[[1]]", "[1]"),
        ("{\"a\":1}", "{\"a\":2}"),
        ("{\"a\":1}", "{\"b\":1}"),
        ("{\"a\":1}", "{\"a\":1,\"b\":1}"),
        ("{\"a\":1,\"a\":2}", "{\"a\":1}"),
        ("{\"a\":{\"b\":[1,{\"c\":null}]}}", "{\"a\":{\"b\":[1,{\"c\":0}]}}"),
    ] {
        let cases = [(before, now), (now, before)];
        for (before, now) in cases {
            let response = after(&format!(r#"{{"k":{before}}}"#), |session| {
                keep(session.insert("k", raw(now)));
                assert!(session.is_modified(), "{before} -> {now}");
            });
            assert_eq!(
                sent_json(response.headers()),
                Some(format!(r#"{{"k":{now}}}"#)),
                "{before} -> {now}"
            );
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, usize),
    Remove(usize),
    Take(usize),
    Clear,
    Update(usize, usize),
    GetOrInsert(usize, usize),
    Save,
    Destroy,
}

const KEYS: [&str; 5] = ["a", "b", "k\"\\", "ü", ""];
const VALUES: [&str; 6] = [
    "1",
    "1.0",
    "[1,{\"x\":\"y\"}]",
    "\"\\u0031\"",
    "null",
    "{\"p\":1,\"q\":2}",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (key, value) = (0..KEYS.len(), 0..VALUES.len());
    let step = prop_oneof![
        6 => (key.clone(), value.clone()).prop_map(|(k, v)| Step::Insert(k, v)),
        3 => key.clone().prop_map(Step::Remove),
        2 => key.clone().prop_map(Step::Take),
        1 => Just(Step::Clear),
        2 => (key.clone(), value.clone()).prop_map(|(k, v)| Step::Update(k, v)),
        2 => (key, value).prop_map(|(k, v)| Step::GetOrInsert(k, v)),
        1 => Just(Step::Save),
        1 => Just(Step::Destroy),
    ];
    prop::collection::vec(step, 0..12)
}

/// A dictionary as Python's: a known key keeps its place, a new one comes last.
#[derive(Clone, Default, Debug)]
struct Model(Vec<(String, String)>);

impl Model {
    fn get(&self, key: &str) -> Option<&String> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    fn set(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) if same(known, value) => {}
            Some((_, known)) => *known = value.to_owned(),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }

    fn remove(&mut self, key: &str) {
        self.0.retain(|(known, _)| known != key);
    }

    fn json(&self) -> String {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    fn content(&self) -> BTreeMap<&String, String> {
        self.0.iter().map(|(key, value)| (key, meaning(value))).collect()
    }
}

/// The values of this test have no two spellings but in their order of members and their escapes.
fn meaning(value: &str) -> String {
    serde_json::from_str::<serde_json::Value>(value).unwrap().to_string()
}

fn same(a: &str, b: &str) -> bool {
    meaning(a) == meaning(b)
}

fn run(session: &Session, model: &mut Model, step: &Step) {
    match *step {
        Step::Insert(k, v) => {
            keep(session.insert(KEYS[k], raw(VALUES[v])));
            model.set(KEYS[k], VALUES[v]);
        }
        Step::Remove(k) => {
            keep(session.remove(KEYS[k]));
            model.remove(KEYS[k]);
        }
        Step::Take(k) => {
            let taken: Option<Box<RawValue>> = keep(session.take(KEYS[k]));
            assert_eq!(taken.map(|raw| raw.get().to_owned()).as_ref(), model.get(KEYS[k]));
            model.remove(KEYS[k]);
        }
        Step::Clear => {
            keep(session.clear());
            model.0.clear();
        }
        Step::Update(k, v) => {
            let old = model.get(KEYS[k]).cloned();
            keep(poll_now(session.update(KEYS[k], |known: Option<Box<RawValue>>| {
                assert_eq!(known.map(|raw| raw.get().to_owned()), old);
                raw(VALUES[v])
            })));
            model.set(KEYS[k], VALUES[v]);
        }
        Step::GetOrInsert(k, v) => {
            let got: Box<RawValue> = keep(session.get_or_insert_with(KEYS[k], || raw(VALUES[v])));
            if model.get(KEYS[k]).is_none() {
                model.set(KEYS[k], VALUES[v]);
            }
            assert_eq!(Some(&got.get().to_owned()), model.get(KEYS[k]));
        }
        Step::Save => keep(poll_now(session.save())),
        Step::Destroy => {
            keep(session.destroy());
            model.0.clear();
        }
    }
    let keys: Vec<&str> = model.0.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keep(session.keys()), keys);
    assert_eq!(keep(session.len()), keys.len());
    assert_eq!(keep(session.is_empty()), keys.is_empty());
    for key in KEYS {
        let got: Option<Box<RawValue>> = keep(session.get(key));
        assert_eq!(got.map(|raw| raw.get().to_owned()).as_ref(), model.get(key));
        assert_eq!(keep(session.contains_key(key)), model.get(key).is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    /// After any steps in any number of requests the browser has what the handlers saw, and nothing was sent for nothing.
    #[test]
    fn whatever_is_done_the_browser_has_what_the_handlers_saw(
        requests in prop::collection::vec(steps(), 1..5),
    ) {
        let (layer, clock) = layer();
        let mut jar = Jar::new();
        let mut model = Model::default();
        for steps in &requests {
            clock.advance(Duration::from_secs(1));
            let before = model.clone();
            let had_cookie = !jar.0.is_empty();
            let ends = |step: &Step| matches!(step, Step::Save | Step::Destroy);
            let is_plain = !steps.iter().any(ends);
            let response = jar.visit(&layer, |session| {
                let known: BTreeMap<String, serde_json::Value> = keep(session.to_map());
                assert_eq!(known.len(), model.0.len());
                for step in steps {
                    run(session, &mut model, step);
                }
                if is_plain && before.content() == model.content() && !before.0.is_empty() {
                    assert!(!session.is_modified());
                }
                ok()
            });
            let lines = set_cookies(response.headers());
            prop_assert_eq!(jar.0.len(), usize::from(!model.0.is_empty()), "{:?}", &lines);
            if is_plain && before.content() == model.content() && !before.0.is_empty() {
                prop_assert!(lines.is_empty());
                // What moved only is not sent, so the order is as before.
                model = before;
            } else if let Some(stored) = jar.0.first() {
                let stored = read(&stored.value).unwrap().json().to_owned();
                if is_plain {
                    prop_assert_eq!(stored, model.json());
                } else {
                    let stored: BTreeMap<String, serde_json::Value> = serde_json::from_str(&stored).unwrap();
                    let wanted: BTreeMap<String, serde_json::Value> = serde_json::from_str(&model.json()).unwrap();
                    prop_assert_eq!(stored, wanted);
                    // A save compares anew, so a mere move may be in it or not.
                    let text = read(&jar.0[0].value).unwrap().json().to_owned();
                    let order: Vec<String> = keys_of(&text);
                    model.0.sort_by_key(|(key, _)| order.iter().position(|known| known == key));
                }
            }
            prop_assert!(had_cookie || !lines.iter().any(|line| plain::is_removal(line)), "removes what is not there");
        }
    }
}

fn keys_of(json: &str) -> Vec<String> {
    let session_keys = Mutex::new(Vec::new());
    after(json, |session| *session_keys.lock().unwrap() = keep(session.keys()));
    session_keys.into_inner().unwrap()
}
