//! Ours and the real Starlette, face to face: what is done to a cookie on its way, what either side writes and the other
//! reads. Needs a Python that has Starlette; `tests/run` sets one up.
#![cfg(feature = "starlette")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/python.rs"]
mod python;
#[path = "support/starlette.rs"]
mod starlette;
mod support;

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use http_session::{Reject, SessionLayer};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use python::Python;
use serde_json::{Value, json};
use starlette::{Difference, Json, difference, lines, sign, sign_text, stamp};
use support::*;

/// Cookies that something was done to.
const MUTATED: usize = 12_000;

// --- The same cookie before both.

#[test]
fn ten_thousand_mutated_cookies_are_judged_alike() {
    let Some(mut python) = Python::start("starlette_app.py") else {
        return;
    };
    let mut random = Random::new();
    let seed = random.0;
    let mut cases: Vec<Value> = (0..MUTATED).map(|_| mutated(&mut random)).collect();
    let ours: Vec<_> = cases
        .iter()
        .map(|case| {
            starlette::read(
                &starlette::layer(case, case["now"].as_u64().unwrap()),
                &lines(&case["cookie"]),
            )
        })
        .collect();
    for (case, ours) in cases.iter_mut().zip(&ours) {
        if let Ok(ours) = ours {
            case["ours"] = ours.as_str().into();
        }
    }
    let answers = python.ask_all(&cases);

    let mut tally = BTreeMap::<String, usize>::new();
    for ((case, ours), real) in cases.iter().zip(ours).zip(answers) {
        let what = format!("seed {seed}: {case}\n ours {ours:?}\n real {real}");
        let accepted = real.get("session_text").is_some();
        let name = case["params"]["cookie_name"].as_str().unwrap_or("session");
        let difference = difference(&lines(&case["cookie"]), name);
        if difference == Some(Difference::Duplicates) {
            assert_eq!(ours, of_duplicates(case, name), "{what}");
        } else if difference.is_some_and(Difference::is_stricter) {
            assert!(ours.is_err(), "{what}");
        } else if difference.is_none() || ours.is_ok() == accepted {
            assert_eq!(ours.is_ok(), accepted, "{what}");
            assert!(!accepted || real["same"] == true, "{what}");
            // With a negative `max_age` nothing is good, whatever else is said about it.
            let never = case["params"]["max_age"] == -1;
            match ours {
                _ if difference.is_some() => {}
                Ok(_) => {}
                Err(None) => assert_eq!(real["reject"], "absent", "{what}"),
                Err(Some(Reject::Expired)) => assert!(real["reject"] == "expired" || never, "{what}"),
                Err(Some(Reject::NotYetValid)) => assert_eq!(real["reject"], "future", "{what}"),
                Err(Some(Reject::Malformed | Reject::BadSignature)) => assert_ne!(real["reject"], "absent", "{what}"),
                Err(Some(other)) => panic!("{other}: {what}"),
            }
        }
        let verdict = if accepted { "accepted" } else { "rejected" };
        *tally.entry(format!("{verdict}, {difference:?}")).or_default() += 1;
    }
    println!("{tally:#?}");
    // Every kind of difference has come up, and the rest is about half and half.
    for (difference, _) in Difference::ALL {
        let met = tally
            .iter()
            .filter(|(key, _)| key.contains(&format!("{difference:?}")))
            .map(|(_, met)| met)
            .sum::<usize>();
        assert!(met > 10, "{difference:?}: {met}");
    }
    assert!(tally["accepted, None"] > MUTATED / 6 && tally["rejected, None"] > MUTATED / 8);
}

/// By the rule of the documentation, from what becomes of each alone.
fn of_duplicates(case: &Value, name: &str) -> Result<String, Option<Reject>> {
    let layer = starlette::layer(case, case["now"].as_u64().unwrap());
    let mut alone = Vec::new();
    for value in starlette::values(&lines(&case["cookie"]), name, |byte| matches!(byte, b' ' | b'\t')) {
        let line = [format!("{name}=").as_bytes(), &value].concat();
        if !alone.iter().any(|(known, _)| *known == value) {
            alone.push((value, starlette::read(&layer, &[line])));
        }
    }
    let valid: Vec<_> = alone.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).collect();
    match &valid[..] {
        [] => {
            let reasons: Vec<Reject> = alone
                .iter()
                .filter_map(|(_, outcome)| outcome.clone().err().flatten())
                .collect();
            let strongest = |reason: &&Reject| match reason {
                Reject::Malformed => 0,
                Reject::Expired | Reject::NotYetValid => 2,
                _ => 1,
            };
            // The first of the strongest.
            Err(reasons.iter().rev().max_by_key(strongest).copied())
        }
        [one] => Ok((*one).clone()),
        _ => Err(Some(Reject::Ambiguous)),
    }
}

/// One request for both sides.
fn mutated(random: &mut Random) -> Value {
    let now = 1_700_000_000 + random.below(1000);
    let secret = random.pick(&[
        "secret",
        "",
        "ключ-密钥",
        "k",
        "a long secret, longer than a block of the hash: 0123456789 0123456789",
    ]);
    let max_age = match random.below(20) {
        0 => json!(-1),
        1 => json!(0),
        2..6 => Value::Null,
        6..10 => json!(60),
        _ => json!(1_209_600),
    };
    let mut params = json!({"max_age": max_age});
    let name = random.pick(&["session", "session", "session", "sid_2"]);
    if name != "session" {
        params["cookie_name"] = name.into();
    }
    let value = mutated_value(random, secret, now);
    let mut cookie = mutated_header(random, name, &value, secret, now);
    // What HTTP does not carry.
    cookie.retain(|&byte| byte == b'\t' || (b' '..0x7f).contains(&byte) || byte >= 0x80);
    let cookie: String = cookie.into_iter().map(char::from).collect();
    let cookie = match random.below(20) {
        0 => match cookie.split_once("; ") {
            Some((one, two)) => json!([one, two]),
            None => json!([cookie, "a=b"]),
        },
        _ => json!(cookie),
    };
    json!({"secret": secret, "params": params, "now": now, "cookie": cookie})
}

fn mutated_value(random: &mut Random, secret: &str, now: u64) -> Vec<u8> {
    let text = mutated_json(random);
    let mut encoded = STANDARD.encode_to_string(&text);
    if random.below(20) == 0 {
        let digits = b"ABCabc019+/-_=.!\xe9 ";
        let mut bytes = encoded.into_bytes();
        mutate(random, &mut bytes, digits);
        // Only what is text can be signed here; Python makes text of any bytes.
        encoded = bytes.into_iter().map(char::from).collect();
    }
    if random.below(30) == 0 {
        encoded = encoded.trim_end_matches('=').to_owned();
    }
    let mut seconds = stamp(match random.below(20) {
        0 => now,
        1 => now - 60,
        2 => now - 61,
        3 => now + 1,
        4 => now - 1_209_600,
        5 => now - 1_209_601,
        6 => random.next() >> random.below(64),
        _ => now - random.below(40),
    });
    if random.below(25) == 0 {
        let mut bytes = seconds.into_bytes();
        mutate(random, &mut bytes, b"ABCabc019-_+/=.!\xe9");
        seconds = bytes.into_iter().map(char::from).collect();
    }
    if random.below(40) == 0 {
        seconds =
            URL_SAFE_NO_PAD.encode_to_string((0..random.below(11)).map(|_| random.next() as u8).collect::<Vec<_>>());
    }
    let signed = match random.below(60) {
        0 => encoded.clone(),
        1 => format!("{encoded}.{seconds}.{seconds}"),
        _ => format!("{encoded}.{seconds}"),
    };
    let signing = if random.below(30) == 0 {
        random.pick(&["Secret", "secret ", "sécret"])
    } else {
        secret
    };
    // What is not ASCII arrives as one byte, is one character in Python, and is signed as two.
    let mut value: Vec<u8> = sign_text(signing, &signed).chars().map(|char| char as u8).collect();
    if random.below(6) == 0 {
        let digits = b"ABCDabcd0189+/-_=.=!\"\\;, \xe9\xff";
        let before = value.clone();
        mutate(random, &mut value, digits);
        // The signature's end is where readers differ.
        if random.below(3) == 0 {
            value = before;
            let last = value.len() - 1;
            let digit = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            match random.below(4) {
                0 => value[last] = digit[random.below(64) as usize],
                1 => value.extend(&b"===="[..random.below(5) as usize]),
                2 => value.extend(b"!!!!"),
                _ => value.iter_mut().rev().take(27).for_each(|byte| {
                    *byte = match *byte {
                        b'-' => b'+',
                        b'_' => b'/',
                        other => other,
                    };
                }),
            }
        }
    }
    value
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, alphabet: &[u8]) {
    for _ in 0..1 + random.below(2) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let byte = alphabet[random.below(alphabet.len() as u64) as usize];
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at + 1 < bytes.len() => bytes.swap(at, at + 1),
            4 => bytes.truncate(at),
            _ => {
                let end = (at + 4).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn mutated_json(random: &mut Random) -> Vec<u8> {
    let mut text = match random.below(30) {
        0 => random
            .pick(&[
                "[]",
                "\"\"",
                "null",
                "1",
                "true",
                "\"ab\"",
                r#"[["a", 1]]"#,
                r#"["ab"]"#,
                "",
                " ",
                "{}",
                "[[]]",
            ])
            .to_owned(),
        1 => format!("{{\"d\": {}{}}}", "[".repeat(40), "]".repeat(40)),
        // Not near the limit of Python, which depends on who calls.
        2 if random.below(4) == 0 => format!("{{\"d\": {}{}}}", "[".repeat(2000), "]".repeat(2000)),
        3 if random.below(4) == 0 => format!("{{\"d\": {}}}", "7".repeat(4299 + random.below(4) as usize)),
        _ => {
            let members: Vec<_> = (0..random.below(5))
                .map(|_| {
                    format!(
                        "{}{}{}",
                        random.key(),
                        random.pick(&[": ", ":", " :\t"]),
                        random.value(2)
                    )
                })
                .collect();
            let comma = random.pick(&[", ", ",", " ,\r\n"]);
            format!("{{{}}}", members.join(comma))
        }
    }
    .into_bytes();
    if random.below(4) == 0 {
        let pieces = b"{}[]\",:\\/ \n\t\x0b\0u0d8e19.-+EeNaIn\x7f\xc3\xa9\xed\xa0\xbd\xff\xef\xbb\xbf'#tf";
        mutate(random, &mut text, pieces);
    }
    match random.below(60) {
        0 => text.iter().flat_map(|&byte| [byte, 0]).collect(),
        1 => text.iter().flat_map(|&byte| [0, 0, 0, byte]).collect(),
        2 => [b"\xef\xbb\xbf", &text[..]].concat(),
        _ => text,
    }
}

fn mutated_header(random: &mut Random, name: &str, value: &[u8], secret: &str, now: u64) -> Vec<u8> {
    let pair = |name: &str, value: &[u8]| [name.as_bytes(), b"=", value].concat();
    let good =
        |random: &mut Random| sign(secret, format!("{{\"n\": {}}}", random.below(3)).as_bytes(), now - 1).into_bytes();
    let plain = pair(name, value);
    match random.below(24) {
        0 => [b"a=b; ", &plain[..], b"; c=d"].concat(),
        1 => [b"a=\"x; ", &plain[..], b"\";y"].concat(),
        2 => {
            let space = [&b" "[..], b"\t", b"  ", b"\xa0", b"\x85", b" \t "][random.below(6) as usize];
            match random.below(4) {
                0 => [space, &plain].concat(),
                1 => [&plain, space].concat(),
                2 => [name.as_bytes(), space, b"=", value].concat(),
                _ => [name.as_bytes(), b"=", space, value].concat(),
            }
        }
        3 => [name.as_bytes(), b"=\"", value, b"\""].concat(),
        4 | 5 => {
            // Escapes that mean what stood there, and others.
            let mut escaped = Vec::new();
            for &byte in value {
                match random.below(40) {
                    0 => escaped.extend(format!("\\{byte:03o}").into_bytes()),
                    1 => escaped.extend([b'\\', byte]),
                    2 if random.below(8) == 0 => escaped.extend(b"\\"),
                    3 if random.below(8) == 0 => escaped.extend(b"\\401"),
                    _ => escaped.push(byte),
                }
            }
            [name.as_bytes(), b"=\"", &escaped, b"\""].concat()
        }
        6 => [name.as_bytes(), b"=\"", value].concat(),
        7 => {
            let other = [good(random), b"null".to_vec(), Vec::new(), value.to_vec()][random.below(4) as usize].clone();
            let mut pairs = [plain, pair(name, &other)];
            if random.below(2) == 0 {
                pairs.reverse();
            }
            pairs.join(&b"; "[..])
        }
        8 => pair(&name.to_uppercase(), value),
        9 => pair(&format!("{name}2"), value),
        10 => [&plain[..], b", a=b"].concat(),
        11 => [b"=", &plain[..]].concat(),
        12 => [name.as_bytes(), b";", value].concat(),
        _ => plain,
    }
}

// --- What one side writes and the other reads.

/// Values that a Rust program may insert.
fn arbitrary_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(|int| Json::Int(int.into())),
        any::<i128>().prop_map(Json::Int),
        (-1000..1000_i128).prop_map(Json::Int),
        floats().prop_map(Json::Float),
        text().prop_map(Json::Text),
        "-?[1-9][0-9]{20,120}".prop_map(|digits| Json::Raw(serde_json::from_str(&digits).unwrap())),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::List),
            members(inner).prop_map(Json::Dict),
        ]
    })
}

fn members(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Vec<(String, Json)>> {
    // A key comes once; the order is any.
    prop::collection::vec((text(), value), 0..6).prop_map(|mut members| {
        let mut seen = std::collections::HashSet::new();
        members.retain(|(key, _)| seen.insert(key.clone()));
        members
    })
}

/// All kinds of text, with more of what is escaped than chance would have.
fn text() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        4 => any::<char>(),
        2 => (0..=0x20_u8).prop_map(char::from),
        2 => prop::sample::select(vec!['"', '\\', '/', '\u{7f}', '~', '\u{80}', '\u{a0}', '\u{2028}', '\u{fffe}', '\u{ffff}', '\u{10000}', '\u{10ffff}', '😀', 'é']),
        4 => (b' '..=b'~').prop_map(char::from),
    ];
    prop::collection::vec(char, 0..12).prop_map(|chars| chars.into_iter().collect())
}

/// Of all sizes, and near the borders at which the spelling changes.
fn floats() -> impl Strategy<Value = f64> {
    let finite = |float: &f64| float.is_finite();
    prop_oneof![
        any::<f64>().prop_filter("JSON has no other", finite),
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("JSON has no other", finite),
        any::<f32>()
            .prop_filter("JSON has no other", |float| float.is_finite())
            .prop_map(f64::from),
        (any::<i32>(), -30..30_i32).prop_map(|(digits, exponent)| format!("{digits}e{exponent}").parse().unwrap()),
        (any::<i64>(), -8..24_i32).prop_map(|(digits, exponent)| format!("{digits}e{exponent}").parse().unwrap()),
        prop::sample::select(vec![
            0.0,
            -0.0,
            1e15,
            1e16,
            9_999_999_999_999_998.0,
            1e17,
            1e-4,
            1e-5,
            9.999e-5,
            5e-324,
            f64::MAX,
            f64::MIN_POSITIVE
        ]),
    ]
}

#[test]
fn what_ours_writes_is_what_the_real_one_would_write_and_reads() {
    let Some(python) = Python::start("starlette_app.py") else {
        return;
    };
    let python = RefCell::new(python);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        cases: 500,
        ..Config::default()
    });
    let strategy = (members(arbitrary_json()), members(arbitrary_json()));
    let outcome = runner.run(&strategy, |(first, second)| {
        let now = START / 1000;
        let case = json!({"secret": "secret", "now": now});
        let layer = starlette::layer(&case, now);
        // A session by Python, and what Rust adds to it, beside what Python adds to it.
        let ask = |cookie: &str, members: &[(String, Json)]| {
            let data: String = serde_json::to_string(&Json::Dict(members.to_vec())).unwrap();
            let mut case = case.clone();
            case["cookie"] = cookie.into();
            case["run"] = "session.update(__import__('json').loads(data))".into();
            case["with"] = json!({ "data": data });
            python.borrow_mut().ask(&case)
        };
        let start = ask("", &first);
        let start = start["set_cookie"][0]
            .as_str()
            .map_or("", |line| line.split(';').next().unwrap());
        prop_assume!(start.len() < 3000);
        let reals = ask(start, &second);
        let response = send(&layer, start, |session| {
            for (key, value) in &second {
                session.insert(key, value).unwrap();
            }
            ok()
        });
        prop_assume!(response.status() == 200);
        let ours = set_cookies(response.headers());
        let Some(ours) = ours.first() else {
            // Nothing was changed by it.
            prop_assert!(
                second
                    .iter()
                    .all(|(key, _)| first.iter().any(|(known, _)| known == key))
            );
            return Ok(());
        };
        prop_assert_eq!(ours, reals["set_cookie"][0].as_str().unwrap());
        // Byte for byte the same, so this is only to be sure.
        let mut question = case.clone();
        question["cookie"] = ours.split(';').next().unwrap().into();
        let judged = python.borrow_mut().ask(&question);
        prop_assert_eq!(&judged["session_text"], &reals["session_text"]);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn sessions_go_back_and_forth_request_by_request() {
    let Some(mut python) = Python::start("starlette_app.py") else {
        return;
    };
    let mut random = Random::new();
    let seed = random.0;
    let (clock, ahead) = (Clock::new(), Clock::new());
    // With the default stamp: this server's clock is ahead, by more or less than a second.
    let layer = SessionLayer::starlette("secret").clock(ahead.reader()).build().unwrap();
    let mut jar = Jar::new();
    let mut model = BTreeMap::<String, Value>::new();
    let mut turns = [0; 2];
    for turn in 0..600 {
        clock.advance(Duration::from_millis(random.below(5000)));
        ahead.set(clock.now() + Duration::from_millis(random.below(2000)));
        let key = random.pick(&["user", "cart", "é", "a b", "\u{1F600}", "\""]).to_owned();
        let value: Value = serde_json::from_str(&random.value(2)).unwrap_or_else(|_| turn.into());
        let operation = random.pick(&["set", "set", "set", "remove", "read", "clear"]);
        if operation == "clear" && random.below(4) > 0 {
            continue;
        }
        let what = format!("seed {seed}, turn {turn}: {operation} {key} {value}");
        let seen: Value = if random.below(2) == 0 {
            turns[0] += 1;
            let run = match operation {
                "set" => "(dict(session), session.__setitem__(key, value))[0]",
                "remove" => "(dict(session), session.pop(key, None))[0]",
                "clear" => "(dict(session), session.clear())[0]",
                _ => "dict(session)",
            };
            let now = clock.now().duration_since(starlette::at(0)).unwrap().as_secs_f64();
            let answer = python.ask(&json!({
                "secret": "secret", "now": now, "cookie": jar.header("/"), "run": run, "with": {"key": key, "value": value},
            }));
            answer["set_cookie"]
                .as_array()
                .unwrap()
                .iter()
                .for_each(|line| jar.set(line.as_str().unwrap()));
            answer["result"].clone()
        } else {
            turns[1] += 1;
            let mut seen = Value::Null;
            jar.visit(&layer, |session| {
                seen = session.to_map().unwrap();
                match operation {
                    "set" => session.insert(&key, &value).unwrap(),
                    "remove" => session.remove(&key).unwrap(),
                    "clear" => session.clear().unwrap(),
                    _ => {}
                }
                ok()
            });
            seen
        };
        assert_eq!(seen, json!(model), "{what}");
        match operation {
            "set" => drop(model.insert(key, value)),
            "remove" => drop(model.remove(&key)),
            "clear" => model.clear(),
            _ => {}
        }
        assert_eq!(jar.0.len(), usize::from(!model.is_empty()), "{what}: {jar:?}");
    }
    assert!(turns[0] > 200 && turns[1] > 200);
}

#[test]
fn floats_are_spelled_as_python_spells_them() {
    let Some(mut python) = Python::start("starlette_app.py") else {
        return;
    };
    let now = START / 1000;
    let layer = starlette::layer(&json!({"secret": "secret"}), now);
    let mut random = Random::new();
    let seed = random.0;
    for _ in 0..200 {
        let floats: Vec<f64> = (0..100)
            .map(|_| match random.below(4) {
                0 => f64::from_bits(random.next()),
                // Where the nearest short number may be another float.
                3 => 2_f64.powi(random.below(2000) as i32 - 1000),
                1 => random.next() as i32 as f64 * 10_f64.powi(random.below(50) as i32 - 25),
                _ => (random.next() >> 11) as f64 / (1_u64 << random.below(60)) as f64,
            })
            .filter(|float| float.is_finite())
            .collect();
        let cookie = layer.cookie_header(&json!({ "f": floats })).unwrap();
        let ours = starlette::payload(cookie.to_str().unwrap().split_once('=').unwrap().1);
        let ask = json!({"secret": "secret", "now": now, "cookie": cookie.to_str().unwrap()});
        assert_eq!(python.ask(&ask)["session_text"], ours, "seed {seed}");
    }
}

#[test]
fn shorter_floats_and_every_kind_of_integer_keep_their_value() {
    let Some(mut python) = Python::start("starlette_app.py") else {
        return;
    };
    let now = START / 1000;
    let layer = starlette::layer(&json!({"secret": "secret"}), now);
    let response = send(&layer, "", |session| {
        session
            .insert("f32", [0.1_f32, 16_777_216.0, 3.402_823_5e38, 1e-45, 1e20])
            .unwrap();
        session.insert("u64", [0, u64::MAX]).unwrap();
        session.insert("i128", [i128::MIN, i128::MAX]).unwrap();
        session.insert("u128", u128::MAX).unwrap();
        session.insert("char", 'é').unwrap();
        session.insert("nothing", ()).unwrap();
        // JSON has no such number.
        assert!(session.insert("nan", [f64::NAN, f64::INFINITY]).is_err());
        ok()
    });
    let line = set_cookies(response.headers()).remove(0);
    let ask = json!({"secret": "secret", "now": now, "cookie": line.split(';').next().unwrap()});
    let expected = "{\"f32\": [0.1, 16777216.0, 3.4028235e+38, 1e-45, 1e+20], \"u64\": [0, 18446744073709551615], \
                    \"i128\": [-170141183460469231731687303715884105728, 170141183460469231731687303715884105727], \
                    \"u128\": 340282366920938463463374607431768211455, \"char\": \"\\u00e9\", \"nothing\": null}";
    assert_eq!(python.ask(&ask)["session_text"], expected);
    assert_eq!(starlette::payload(line.split_once('=').unwrap().1), expected);
}

/// What these tests make of luck.
impl Random {
    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    fn key(&mut self) -> &'static str {
        if self.below(40) == 0 {
            return "\"\\ud83d\"";
        }
        self.pick(&[
            "\"a\"",
            "\"b\"",
            "\"a b\"",
            "\"\\u00e9\"",
            "\"\\ud83d\\ude00\"",
            "\"\"",
            "\"\\u0061\"",
        ])
    }

    fn value(&mut self, depth: u32) -> String {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            _ if self.below(50) == 0 => self
                .pick(&[
                    "NaN",
                    "Infinity",
                    "-Infinity",
                    "nul",
                    "None",
                    "01",
                    "1.",
                    ".5",
                    "+1",
                    "1e",
                    "\"\\x\"",
                    "\"a\nb\"",
                    "'a'",
                ])
                .to_owned(),
            0 => self.pick(&["null", "true", "false"]).to_owned(),
            1 => self
                .pick(&[
                    "0",
                    "-1",
                    "18446744073709551616",
                    "1e16",
                    "1E5",
                    "-0",
                    "1e999",
                    "1.0",
                    "-1.5e-7",
                ])
                .to_owned(),
            2 => (self.next() as i64 >> self.below(64)).to_string(),
            3 => format!("{:?}", f64::from_bits(self.next()))
                .replace("inf", "0")
                .replace("NaN", "1"),
            4 => self
                .pick(&[
                    "\"\"",
                    "\"x\"",
                    "\"\\ud83d\"",
                    "\"\\/\\b\\u007F\"",
                    "\"\u{7f}é\"",
                    "\"\u{feff}\"",
                ])
                .to_owned(),
            5 => {
                let items: Vec<_> = (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", items.join(", "))
            }
            _ => {
                let members: Vec<_> = (0..self.below(4))
                    .map(|_| format!("{}: {}", self.key(), self.value(depth - 1)))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
        }
    }
}
