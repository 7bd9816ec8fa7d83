//! Values and keys: what JSON loses, what stands twice, and what many of them cost.

use std::collections::{BTreeMap, HashMap};

use http_session::{Error, Session, SessionLayer, Until, codec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    SECRET, key,
    starlette::{payload, sign},
    support::{Clock, Jar, START, ok, poll_now, send, set_cookies},
};

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Shape {
    Unit,
    New(f64),
    Pair(u8, f64),
    Named { x: f32 },
}

#[derive(Serialize)]
struct Wrapped(f64);

#[derive(Serialize)]
struct Named {
    name: &'static str,
    value: Option<f64>,
}

fn assert_refused<T: Serialize>(value: T, what: &str) {
    let session = Session::new();
    session.insert("k", 1).unwrap();
    let error = session.insert("k", &value).unwrap_err();
    assert!(matches!(error, Error::Serialize { .. }), "{what}: {error:?}");
    assert_eq!(session.get::<u8>("k").unwrap(), Some(1), "{what}: it stays as it was");
}

#[test]
fn fault_f6_what_could_not_be_read_again_is_refused() {
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN] {
        assert_refused(float, "alone");
        assert_refused(float as f32, "f32");
        assert_refused(Some(float), "Some");
        assert_refused(vec![1.0, float], "a list");
        assert_refused((1, float), "a tuple");
        assert_refused([Some(Some(float))], "an array");
        assert_refused(HashMap::from([("a", vec![float])]), "a map");
        assert_refused(
            BTreeMap::from([(1, BTreeMap::from([('c', float)]))]),
            "maps with other keys",
        );
        assert_refused(Wrapped(float), "a newtype");
        assert_refused(Shape::New(float), "a newtype variant");
        assert_refused(Shape::Pair(1, float), "a tuple variant");
        assert_refused(Shape::Named { x: float as f32 }, "a struct variant");
        let named = Named {
            name: "a",
            value: Some(float),
        };
        assert_refused(&named, "a struct");
        assert_refused(Box::new([named]), "a box");
    }
    assert_refused(BTreeMap::from([((1, 2), 3)]), "keys that are no text");
    assert_refused(BTreeMap::from([(None::<u8>, 3)]), "a key that is nothing");
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let objects = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    for depth in [128, 129, 500] {
        assert_refused(nested(depth), "too deep");
        assert_refused(objects(depth), "too deep");
    }
    for value in [nested(127), objects(127)] {
        let session = Session::new();
        session.insert("k", &value).unwrap();
        assert_eq!(session.get::<Value>("k").unwrap(), Some(value));
    }
}

#[test]
fn fault_f6_update_and_get_or_insert_with_too() {
    let session = Session::new();
    session.insert("k", 1.5).unwrap();
    assert!(matches!(
        poll_now(session.update("k", |_: Option<f64>| f64::NAN)),
        Err(Error::Serialize { .. })
    ));
    assert_eq!(session.get::<f64>("k").unwrap(), Some(1.5));
    assert!(matches!(
        session.get_or_insert_with("n", || f64::INFINITY),
        Err(Error::Serialize { .. })
    ));
    assert!(!session.contains_key("n").unwrap());
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    assert!(matches!(
        layer.cookie_header(&HashMap::from([("a", f64::NAN)])),
        Err(Error::Serialize { .. })
    ));
}

#[test]
fn fault_f6_everything_else_is_written_as_before() {
    let session = Session::new();
    let value = json!({"a": [null, true, -1, 1.5, "é\"\\\n", {}], "b": {"c": []}, "": u64::MAX});
    session.insert("k", &value).unwrap();
    assert_eq!(session.get::<Value>("k").unwrap(), Some(value));
    let shapes = vec![
        Shape::Unit,
        Shape::New(-0.0),
        Shape::Pair(1, 1e300),
        Shape::Named { x: 0.1 },
    ];
    session.insert("shapes", &shapes).unwrap();
    assert_eq!(session.get::<Vec<Shape>>("shapes").unwrap(), Some(shapes));
    let numbers = (i128::MIN, u128::MAX, 'c', (), Some(1), None::<u8>);
    session.insert("numbers", numbers).unwrap();
    assert_eq!(
        session
            .get::<(i128, u128, char, (), Option<u8>, Option<u8>)>("numbers")
            .unwrap(),
        Some(numbers)
    );
    session.insert("none", None::<u8>).unwrap();
    assert!(session.contains_key("none").unwrap());
    assert_eq!(session.get::<Option<u8>>("none").unwrap(), Some(None));
    assert!(session.get::<u8>("none").is_err());
}

/// What `serde_json` with its feature `raw_value` takes for something else.
const RAW: &str = "$serde_json::private::RawValue";

#[test]
fn fault_a10_no_key_is_special() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let mut jar = Jar::new();
    for text in ["no json", "{\"admin\":true}", ""] {
        let value = BTreeMap::from([(RAW.to_owned(), text.to_owned())]);
        jar.visit(&layer, |session| {
            session.insert("prefs", json!({ RAW: text })).unwrap();
            session.insert(RAW, text).unwrap();
            ok()
        });
        jar.visit(&layer, |session| {
            assert_eq!(
                session.get::<BTreeMap<String, String>>("prefs").unwrap().as_ref(),
                Some(&value)
            );
            assert_eq!(session.get::<String>(RAW).unwrap().as_deref(), Some(text));
            assert_eq!(session.keys().unwrap(), ["prefs", RAW]);
            session.insert("again", 1).unwrap();
            session.remove("again").unwrap();
            assert!(!session.is_modified());
            ok()
        });
    }
}

#[test]
fn fault_a10_the_feature_is_not_this_crates_choice() {
    let manifest = include_str!("../../Cargo.toml");
    let dependencies = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let lines = dependencies.lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<_> = lines.filter(|line| line.contains("serde_json")).collect();
    assert_eq!(lines.len(), 1);
    for feature in ["raw_value", "arbitrary_precision", "preserve_order", "unbounded_depth"] {
        assert!(
            !lines[0].contains(feature),
            "it would change how the whole program reads JSON"
        );
    }
}

/// A browser with a session that Python wrote.
fn python(payload: &str) -> String {
    format!("session={}", sign(SECRET, payload.as_bytes(), START / 1000))
}

fn moving() -> SessionLayer {
    SessionLayer::signed(key())
        .clock(Clock::new().reader())
        .also_accept(codec::Starlette::new(SECRET), Until::forever())
        .build()
        .unwrap()
}

/// The JSON in a signed native cookie.
fn native(lines: &[String]) -> String {
    let line = lines.iter().find(|line| line.starts_with("__Host-session=")).unwrap();
    let value = line.split_once('=').unwrap().1.split(';').next().unwrap();
    let frame = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(value).unwrap();
    String::from_utf8(frame[8 + 39..frame.len() - 32].to_vec()).unwrap()
}

#[test]
fn fault_a22_a_key_that_stands_twice_goes_into_no_native_frame() {
    let acts: [fn(&Session); 3] = [
        |session| session.renew().unwrap(),
        |session| session.authenticated().unwrap(),
        |session| {
            session.insert("n", 1).unwrap();
            session.remove("n").unwrap();
            session.renew().unwrap();
        },
    ];
    for (came, expected) in [
        (r#"{"a": 1, "a": 2}"#, r#"{"a":2}"#),
        (r#"{"a": 1, "b": 0, "\u0061": 2}"#, r#"{"a":2,"b": 0}"#),
        (r#"{"\ud800": 1, "\uD800": 2}"#, r#"{"\ud800":2}"#),
    ] {
        for act in acts {
            let response = send(&moving(), &python(came), |session| {
                act(session);
                ok()
            });
            assert_eq!(native(&set_cookies(response.headers())), expected, "{came}");
        }
    }
    let many: Vec<String> = (0..200).map(|n| format!("\"k{}\": {n}", n % 100)).collect();
    let response = send(&moving(), &python(&format!("{{{}}}", many.join(", "))), |session| {
        session.renew().unwrap();
        ok()
    });
    let text = native(&set_cookies(response.headers()));
    assert_eq!(text.matches("\"k7\"").count(), 1);
    assert_eq!(serde_json::from_str::<BTreeMap<String, u8>>(&text).unwrap()["k7"], 107);
}

#[test]
fn fault_a22_half_a_surrogate_is_a_key_of_its_own() {
    let layer = SessionLayer::starlette(SECRET)
        .clock(Clock::new().reader())
        .build()
        .unwrap();
    let mut names = Vec::new();
    send(&layer, &python(r#"{"\ud800": 1, "a": 2}"#), |session| {
        names = session.keys().unwrap();
        ok()
    });
    // However it is spelled, it is one key.
    send(&layer, &python(r#"{"\uD800": 1, "\ud800": 3, "a": 2}"#), |session| {
        assert_eq!(session.keys().unwrap(), names);
        assert_eq!(session.get::<u8>(&names[0]).unwrap(), Some(3));
        ok()
    });
    // The name that stands in for it, and every longer one, may be a real key.
    for more in 0..3 {
        let real = format!("{}{}", "\u{10ffff}".repeat(more), names[0]);
        let json = serde_json::to_string(&real).unwrap();
        for came in [
            format!("{{{json}: 7, \"\\ud800\": 1}}"),
            format!("{{\"\\ud800\": 1, {json}: 7}}"),
        ] {
            let response = send(&layer, &python(&came), |session| {
                assert_eq!(session.len().unwrap(), 2, "{more}");
                assert_eq!(session.get::<u8>(&real).unwrap(), Some(7), "{more}");
                session.insert("n", 0).unwrap();
                ok()
            });
            let lines = set_cookies(response.headers());
            let written = payload(lines[0].split_once('=').unwrap().1.split(';').next().unwrap());
            assert!(
                written.contains(r#""\ud800": 1"#) && written.contains(": 7"),
                "{written}"
            );
        }
    }
    // Two halves are two keys, and a backslash is none.
    send(
        &layer,
        &python(r#"{"\ud800": 1, "\udc00": 2, "\ud800\\udc00": 3, "\\ud800": 4}"#),
        |session| {
            assert_eq!(session.len().unwrap(), 4);
            assert_eq!(session.get::<u8>("\\ud800").unwrap(), Some(4));
            ok()
        },
    );
}

/// Few and many keys. That the work grows as their number does is what `benches/growth` measures, and
/// `Table`'s own test counts.
fn few_and_many(work: impl Fn(usize)) {
    for keys in [10, 63, 64, 65, 129, 16_000] {
        work(keys);
    }
}

fn filled(keys: usize) -> Session {
    let session = Session::new();
    for n in 0..keys {
        session.insert(&format!("k{n}"), n).unwrap();
    }
    session
}

#[test]
fn fault_a7_many_keys_cost_what_each_of_them_does() {
    few_and_many(|keys| drop(filled(keys)));
    few_and_many(|keys| {
        let session = filled(keys);
        for n in 0..keys {
            assert_eq!(session.get::<usize>(&format!("k{n}")).unwrap(), Some(n));
        }
    });
    few_and_many(|keys| {
        let session = filled(keys);
        for n in 0..keys {
            session.remove(&format!("k{n}")).unwrap();
        }
        assert!(session.is_empty().unwrap());
    });
    few_and_many(|keys| {
        let session = filled(keys);
        for n in 0..keys {
            session.remove(&format!("k{n}")).unwrap();
            session.insert(&format!("k{n}"), 0).unwrap();
        }
        assert_eq!(session.len().unwrap(), keys);
    });
}

#[test]
fn fault_a7_few_keys_that_were_many_are_all_there() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let mut jar = Jar::new();
    let response = send(&layer, "", |session| {
        let names: Vec<_> = (0..65).map(|n| format!("k{n}")).collect();
        names.iter().for_each(|name| session.insert(name, 1).unwrap());
        names.iter().for_each(|name| session.remove(name).unwrap());
        for n in 0..400 {
            session.insert("draft", n).unwrap();
            session.remove("draft").unwrap();
        }
        for n in 0..20 {
            session.insert(&format!("n{n}"), n).unwrap();
            assert_eq!(session.get(&format!("n{n}")).unwrap(), Some(n));
        }
        ok()
    });
    jar.receive(response.headers());
    send(&layer, &jar.header("/"), |session| {
        let all: BTreeMap<String, u64> = session.to_map().unwrap();
        assert_eq!(all, (0..20).map(|n| (format!("n{n}"), n)).collect());
        ok()
    });
}

#[tokio::test]
async fn fault_a7_in_a_store_too() {
    use crate::client::visit;
    use http_session::store::MemoryStore;

    let layer = SessionLayer::with_store(MemoryStore::new()).build().unwrap();
    for keys in [65, 16_000] {
        let mut jar = Jar::new();
        visit(&mut jar, &layer, async |session| {
            for n in 0..keys {
                session.insert(&format!("k{n}"), n).unwrap();
            }
            session.save().await.unwrap();
            for n in 0..keys {
                assert_eq!(session.get::<usize>(&format!("k{n}")).unwrap(), Some(n));
            }
            ok()
        })
        .await;
        visit(&mut jar, &layer, async |session| {
            session.load().await.unwrap();
            for n in 0..keys {
                assert_eq!(session.get::<usize>(&format!("k{n}")).unwrap(), Some(n));
                session.insert(&format!("k{n}"), n + 1).unwrap();
            }
            assert!(session.is_modified());
            session.save().await.unwrap();
            session.remove("k7").unwrap();
            ok()
        })
        .await;
        visit(&mut jar, &layer, async |session| {
            session.load().await.unwrap();
            assert_eq!(session.len().unwrap(), keys - 1);
            assert_eq!(session.get::<usize>("k8").unwrap(), Some(9));
            ok()
        })
        .await;
    }
}
