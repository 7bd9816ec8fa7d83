//! The signed and the encrypted format on the wire: the vectors of another implementation, every changed byte, every
//! truncation, every other spelling, and what a key is bound to, each with its reason for the server and none for the client.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::{Duration, SystemTime};

use base64_simd::URL_SAFE_NO_PAD;
use http::{HeaderMap, Request, StatusCode, header::COOKIE};
use http_session::{Key, KeyRing, Reject, SessionLayer};
use serde_json::{Value, value::RawValue};
use support::*;

/// Three lengths of JSON, so that the text ends with no, two and four unused bits.
const JSON: [&str; 3] = [r#"{"user":42}"#, r#"{"user":421}"#, r#"{"user":4213}"#];

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(START)
}

fn both(keys: impl Into<KeyRing>) -> [SessionLayer; 2] {
    let keys = keys.into();
    [SessionLayer::signed(keys.clone()), SessionLayer::encrypted(keys)].map(|layer| layer.clock(start))
}

/// The value of a cookie that holds this.
fn value(layer: &SessionLayer, json: &str) -> String {
    let data = RawValue::from_string(json.to_owned()).unwrap();
    let header = layer.cookie_header(&data).unwrap();
    header.to_str().unwrap().split_once('=').unwrap().1.to_owned()
}

fn frame(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode_to_vec(text).unwrap()
}

fn text(frame: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(frame)
}

type Answer = (StatusCode, HeaderMap, String);

/// What the server learns and what the client gets. `None` if HTTP does not allow the header at all.
fn read(layer: &SessionLayer, name: &str, value: &[u8]) -> Option<(Result<String, Option<Reject>>, Answer)> {
    let header = [name.as_bytes(), b"=", value].concat();
    let request = Request::builder().header(COOKIE, header).body(()).ok()?;
    let mut seen = Err(None);
    let response = send_request(layer, request, |session| {
        let user: Option<Value> = session.get("user").unwrap();
        seen = if session.is_new().unwrap() {
            Err(session.rejected())
        } else {
            let json: Box<RawValue> = session.to_map().unwrap();
            Ok(json.get().to_owned())
        };
        http::Response::new(format!("hello, {user:?}"))
    });
    let (parts, body) = response.into_parts();
    Some((seen, (parts.status, parts.headers, body)))
}

#[track_caller]
fn assert_rejected(layer: &SessionLayer, value: impl AsRef<[u8]>, reason: Reject, what: &str) -> bool {
    thread_local! {
        /// What somebody without any cookie gets; from every layer here the same.
        static ANONYMOUS: Answer = read(&both(Key::generate().unwrap())[0], "nothing", b"").unwrap().1;
    }
    let Some((seen, answer)) = read(layer, "__Host-session", value.as_ref()) else {
        return false;
    };
    assert_eq!(seen, Err(Some(reason)), "{what}");
    ANONYMOUS.with(|anonymous| assert_eq!(&answer, anonymous, "{what}: the client can tell"));
    true
}

/// Why a reader must refuse a text that differs from a good one of the same length, told from the bits that differ.
fn reason_for_change(good: &str, changed: &[u8]) -> Reject {
    let digits = |text: &[u8]| -> Option<Vec<u32>> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let digit = |byte: &u8| ALPHABET.iter().position(|digit| digit == byte);
        text.iter().map(|byte| digit(byte).map(|digit| digit as u32)).collect()
    };
    let (Some(old), Some(new)) = (digits(good.as_bytes()), digits(changed)) else {
        return Reject::Malformed;
    };
    let bytes = good.len() * 3 / 4;
    let mut reason = Reject::BadSignature;
    for (at, (old, new)) in old.iter().zip(&new).enumerate() {
        for bit in (0..6).filter(|bit| (old ^ new) & (0x20 >> bit) != 0) {
            match (6 * at + bit) / 8 {
                // A bit that stands for no byte, or the frame's length.
                byte if byte >= bytes || (5..8).contains(&byte) => return Reject::Malformed,
                1..5 => reason = Reject::UnknownKey,
                _ => {}
            }
        }
    }
    reason
}

#[test]
fn row_9_every_other_byte_at_every_position_of_the_text() {
    for layer in both(Key::generate().unwrap()) {
        for json in JSON {
            let good = value(&layer, json);
            assert_eq!(
                read(&layer, "__Host-session", good.as_bytes()).unwrap().0,
                Ok(json.to_owned())
            );
            let mut sent = 0;
            for at in 0..good.len() {
                // All bits of all lengths, and all bytes of the length at which every bit of the text counts.
                let byte = good.as_bytes()[at];
                let others: Vec<u8> = match good.len() % 4 {
                    0 => (0..=255).filter(|&other| other != byte).collect(),
                    _ => (0..8).map(|bit| byte ^ 1 << bit).collect(),
                };
                for byte in others {
                    let mut forged = good.clone().into_bytes();
                    forged[at] = byte;
                    let reason = reason_for_change(&good, &forged);
                    let what = format!("byte {at} is {:?}", char::from(byte));
                    sent += usize::from(assert_rejected(&layer, &forged, reason, &what));
                }
            }
            // All but the control characters, which HTTP does not carry.
            let least = if good.len().is_multiple_of(4) { 256 - 1 - 32 } else { 6 };
            assert!(sent >= good.len() * least, "{sent}");
        }
    }
}

#[test]
fn row_9_every_bit_of_every_byte_of_the_frame() {
    for layer in both(Key::generate().unwrap()) {
        for json in JSON {
            let good = frame(&value(&layer, json));
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut forged = good.clone();
                    forged[at] ^= 1 << bit;
                    let reason = match at {
                        1..5 => Reject::UnknownKey,
                        5..8 => Reject::Malformed,
                        _ => Reject::BadSignature,
                    };
                    assert_rejected(&layer, text(&forged), reason, &format!("byte {at}, bit {bit}"));
                }
            }
        }
    }
}

#[test]
fn every_truncation_and_every_addition() {
    for layer in both(Key::generate().unwrap()) {
        for json in JSON {
            let good = value(&layer, json);
            for len in 0..good.len() {
                assert_rejected(&layer, &good[..len], Reject::Malformed, &format!("{len} characters"));
                assert_rejected(
                    &layer,
                    &good[good.len() - len..],
                    Reject::Malformed,
                    &format!("the last {len}"),
                );
            }
            let bytes = frame(&good);
            let least = bytes.len() - json.len();
            for len in 0..bytes.len() {
                let mut cut = bytes[..len].to_vec();
                assert_rejected(&layer, text(&cut), Reject::Malformed, &format!("{len} bytes"));
                if len < 8 {
                    continue;
                }
                // And with a length that says so.
                cut[5..8].copy_from_slice(&(len as u32).to_be_bytes()[1..]);
                let reason = if len < least {
                    Reject::Malformed
                } else {
                    Reject::BadSignature
                };
                assert_rejected(&layer, text(&cut), reason, &format!("{len} bytes, and it says so"));
            }
            for len in bytes.len() + 1..bytes.len() + 40 {
                let mut longer = bytes.clone();
                longer.resize(len, 0);
                assert_rejected(&layer, text(&longer), Reject::Malformed, &format!("{len} bytes"));
                longer[5..8].copy_from_slice(&(len as u32).to_be_bytes()[1..]);
                assert_rejected(
                    &layer,
                    text(&longer),
                    Reject::BadSignature,
                    &format!("{len} bytes, said so"),
                );
            }
        }
    }
}

#[test]
fn every_other_spelling_of_the_same_bytes() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for layer in both(Key::generate().unwrap()) {
        let mut unused = 0;
        for json in JSON {
            let good = value(&layer, json);
            let malformed = |text: &str| {
                assert!(assert_rejected(&layer, text, Reject::Malformed, text));
            };
            let last = good.as_bytes()[good.len() - 1];
            let digit = ALPHABET.iter().position(|&digit| digit == last).unwrap();
            let spare = [0, 0, 4, 2][good.len() % 4];
            assert_eq!(digit % (1 << spare), 0, "our own are zero");
            for bits in 1..1 << spare {
                let other = char::from(ALPHABET[digit + bits]);
                malformed(&format!("{}{other}", &good[..good.len() - 1]));
                unused += 1;
            }
            for padding in ["=", "==", "===", "====", "%3D", "%3d%3d", "."] {
                malformed(&format!("{good}{padding}"));
            }
            malformed(&format!("\"\"{good}\"\""));
            malformed(&format!("{} {}", &good[..40], &good[40..]));
            malformed(&format!("{}\t{}", &good[..40], &good[40..]));
            malformed(&good.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>());
            if good.contains(['-', '_']) {
                malformed(&good.replace('-', "+").replace('_', "/"));
            }
            // Only white space around a value is no part of it (RFC 6265, section 5.2).
            let spaced = format!(" \t{good} \t");
            assert_eq!(
                read(&layer, "__Host-session", spaced.as_bytes()).unwrap().0,
                Ok(json.to_owned())
            );
        }
        assert_eq!(unused, 15 + 3);
    }
}

#[test]
fn row_14_another_purpose_type_name_or_application() {
    let ring = KeyRing::from(Key::generate().unwrap());
    let layers = || both(ring.clone());
    for (at, layer) in layers().into_iter().enumerate() {
        let good = value(&layer, JSON[0]);
        let other = &layers()[1 - at];
        assert_rejected(
            other,
            &good,
            Reject::BadSignature,
            "as it is, to a reader of the other type",
        );
        let mut relabelled = frame(&good);
        relabelled[0] ^= 3;
        for reader in [&layer, other] {
            assert_rejected(reader, text(&relabelled), Reject::BadSignature, "relabelled");
        }
        for kind in (0..=255).filter(|kind| !(1..=2).contains(kind)) {
            relabelled[0] = kind;
            assert_rejected(&layer, text(&relabelled), Reject::BadSignature, "an unassigned type");
        }
        assert_rejected(
            &layer.clone().app("shop"),
            &good,
            Reject::BadSignature,
            "another application",
        );
        let moved = [
            layer.clone().cookie_name("session2"),
            layer.clone().cookie_name("Session"),
            layer.clone().domain("example.com"),
            layer.clone().secure(false),
            layer.clone().cookie_name("__Host-session.1"),
        ];
        for other in moved {
            let name = other
                .cookie_header(&RawValue::from_string("{}".into()).unwrap())
                .unwrap();
            let name = name.to_str().unwrap().split_once('=').unwrap().0.to_owned();
            assert_ne!(name, "__Host-session");
            let (seen, _) = read(&other, &name, good.as_bytes()).unwrap();
            assert_eq!(seen, Err(Some(Reject::BadSignature)), "{name}");
        }
        let (seen, _) = read(&layer, "__Host-session", good.as_bytes()).unwrap();
        assert_eq!(seen, Ok(JSON[0].to_owned()));
    }
}

#[test]
fn row_15_application_and_name_do_not_run_together() {
    let ring = KeyRing::from(Key::generate().unwrap());
    for layer in both(ring) {
        let named = |app: &str, name: &str| layer.clone().secure(false).app(app).cookie_name(name);
        let good = value(&named("ab", "cd"), JSON[0]);
        assert_eq!(
            read(&named("ab", "cd"), "cd", good.as_bytes()).unwrap().0,
            Ok(JSON[0].to_owned())
        );
        for (app, name) in [
            ("a", "bcd"),
            ("abc", "d"),
            ("", "abcd"),
            ("cd", "ab"),
            ("ab\0\u{2}", "cd"),
        ] {
            let (seen, _) = read(&named(app, name), name, good.as_bytes()).unwrap();
            assert_eq!(seen, Err(Some(Reject::BadSignature)), "{app} {name}");
        }
    }
}

#[test]
fn unknown_keys_have_a_reason_of_their_own() {
    let layers = both(Key::generate().unwrap());
    let others = both(KeyRing::new(Key::generate().unwrap()).accept(Key::generate().unwrap()));
    for layer in &layers {
        let good = value(layer, JSON[0]);
        for other in &others {
            assert_rejected(other, &good, Reject::UnknownKey, "a key that is not in the ring");
        }
    }
}

#[test]
fn row_40_equal_sessions_are_unlike_when_encrypted() {
    let [signed, encrypted] = both(Key::generate().unwrap());
    let mut salts = std::collections::HashSet::new();
    for _ in 0..100 {
        let bytes = frame(&value(&encrypted, JSON[0]));
        // The head says what it is and how long.
        let sealed = &bytes[8..];
        assert!(salts.insert(bytes[8..32].to_vec()));
        // Nothing of the plaintext shows, not even what is the same in every session.
        assert!(
            !sealed
                .windows(6)
                .any(|window| window == b"\"user\"" || window == [0; 6])
        );
    }
    let bytes = frame(&value(&signed, JSON[0]));
    assert!(
        bytes.windows(4).any(|window| window == b"user"),
        "a signed session is readable"
    );
}

// --- The vectors.

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/native.json")).unwrap()
}

fn str_of<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member} of {vector}"))
}

/// A layer with this cookie name on the wire.
fn reader(kind: &str, ring: KeyRing, vector: &Value) -> SessionLayer {
    let layer = match kind {
        "signed" => SessionLayer::signed(ring),
        _ => SessionLayer::encrypted(ring),
    };
    let name = str_of(vector, "name_on_wire");
    let issued = vector["issued"].as_u64().unwrap_or(START);
    layer
        .app(str_of(vector, "app"))
        .cookie_name(name)
        .secure(name.starts_with("__"))
        .max_age(None)
        .clock(move || SystemTime::UNIX_EPOCH + Duration::from_millis(issued))
        .chunked(4)
}

/// The cookies of a vector in a header, and its JSON out of the layer.
#[track_caller]
fn assert_accepted(layer: &SessionLayer, vector: &Value, backwards: bool) {
    let mut pairs: Vec<String> = match vector["parts"].as_array() {
        Some(parts) => parts
            .iter()
            .map(|part| format!("{}={}", str_of(part, "name"), str_of(part, "value")))
            .collect(),
        None => vec![format!(
            "{}={}",
            str_of(vector, "name_on_wire"),
            str_of(vector, "cookie")
        )],
    };
    if backwards {
        pairs.reverse();
    }
    let at = |member: &str| {
        let millis = vector[member].as_u64().unwrap();
        Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).filter(|_| millis > 0 || member == "created")
    };
    send(layer, &pairs.join("; "), |session| {
        assert_eq!(session.rejected(), None, "{}", vector["name"]);
        let json: Box<RawValue> = session.to_map().unwrap();
        assert_eq!(json.get(), str_of(vector, "json").trim(), "{}", vector["name"]);
        assert_eq!(session.created_at().unwrap(), at("created"));
        assert_eq!(session.authenticated_at().unwrap(), at("authenticated"));
        ok()
    });
}

#[test]
fn row_9_vectors_are_accepted_on_the_wire() {
    let (mut accepted, mut split) = (0, 0);
    for vector in vectors()["accept"].as_array().unwrap() {
        // Some have keys that nobody may use; the unit tests have those, too.
        let Ok(key) = str_of(vector, "key").parse::<Key>() else {
            continue;
        };
        let layer = reader(str_of(vector, "type"), key.into(), vector);
        assert_accepted(&layer, vector, false);
        assert_accepted(&layer, vector, true);
        accepted += 1;
        split += usize::from(vector["parts"].is_array());
    }
    assert!(accepted >= 40 && split == 6, "{accepted}, {split} of them split");
}

#[test]
fn row_9_vectors_are_rejected_on_the_wire_for_the_same_reason() {
    let mut rejected = 0;
    for vector in vectors()["reject"].as_array().unwrap() {
        let keys = vector["keys"].as_array().unwrap().iter();
        let Ok(keys) = keys
            .map(|key| key.as_str().unwrap().parse::<Key>())
            .collect::<Result<Vec<_>, _>>()
        else {
            continue;
        };
        let cookie = str_of(vector, "cookie");
        // A codec refuses quotes, and the reader of the header takes them off.
        if cookie.starts_with('"') && cookie.ends_with('"') {
            continue;
        }
        if cookie.trim_matches([' ', '\t']) != cookie || cookie.contains([',', ';']) && vector["reason"] != "malformed"
        {
            continue;
        }
        let ring = keys[1..]
            .iter()
            .cloned()
            .fold(KeyRing::new(keys[0].clone()), KeyRing::accept);
        // A name that no layer would have is in the unit tests.
        let Ok(layer) = reader(str_of(vector, "codec"), ring, vector).chunked(1).build() else {
            continue;
        };
        let Some((seen, _)) = read(&layer, str_of(vector, "name_on_wire"), cookie.as_bytes()) else {
            continue;
        };
        let reason = match str_of(vector, "reason") {
            // Another writer's, in time or not, and of another time than now.
            "malformed"
                if ["NaN", "Infinity"]
                    .iter()
                    .any(|number| str_of(vector, "name").contains(number)) =>
            {
                Reject::NotYetValid
            }
            "malformed" => Reject::Malformed,
            "unknown-key" => Reject::UnknownKey,
            _ => Reject::BadSignature,
        };
        assert_eq!(seen, Err(Some(reason)), "{}", vector["name"]);
        rejected += 1;
    }
    assert!(rejected >= 200, "{rejected}");
}

#[test]
fn of_keys_whose_ids_collide_each_reads_its_own() {
    let vectors = vectors();
    let colliding = &vectors["colliding_keys"];
    let keys: Vec<Key> = colliding["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap().parse().unwrap())
        .collect();
    let new = || Key::generate().unwrap();
    let rings = [
        KeyRing::new(keys[0].clone()).accept(keys[1].clone()),
        KeyRing::new(keys[1].clone()).accept(keys[0].clone()),
        KeyRing::new(new())
            .accept(keys[0].clone())
            .accept(new())
            .accept(keys[1].clone()),
        KeyRing::new(keys[1].clone())
            .accept(new())
            .sign_from(keys[0].clone(), start()),
    ];
    for vector in colliding["cookies"].as_array().unwrap() {
        for ring in &rings {
            assert_accepted(&reader(str_of(vector, "type"), ring.clone(), vector), vector, false);
        }
        let fits = keys.iter().filter(|&key| {
            let layer = reader(str_of(vector, "type"), key.clone().into(), vector);
            let (seen, _) = read(
                &layer,
                str_of(vector, "name_on_wire"),
                str_of(vector, "cookie").as_bytes(),
            )
            .unwrap();
            seen.is_ok() || {
                assert_eq!(
                    seen,
                    Err(Some(Reject::BadSignature)),
                    "the id fits and the key does not"
                );
                false
            }
        });
        assert_eq!(fits.count(), 1);
    }
    // What one of them signs, a ring of both writes and reads as well.
    for ring in &rings[..2] {
        for layer in both(ring.clone()) {
            let good = value(&layer, JSON[1]);
            assert_eq!(
                read(&layer, "__Host-session", good.as_bytes()).unwrap().0,
                Ok(JSON[1].to_owned())
            );
        }
    }
}

// --- What docs/format.md says in numbers.

#[test]
fn times_are_judged_as_the_documented_table_says() {
    let page = include_str!("../docs/format.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| !line.starts_with("| issued | field max_age |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 9);
    let seconds = |text: &str| match text {
        "any" => 100,
        text => text.trim_end_matches(" s").parse().unwrap(),
    };
    for row in rows {
        let [_, own, limits, now, result] = row[..] else {
            panic!("{row:?}")
        };
        let (max_age, limit) = limits.split_once(", ").unwrap_or(("any", "any"));
        let offset: i64 = now
            .trim_start_matches('T')
            .replace([',', ' '], "")
            .trim_start_matches('+')
            .parse()
            .unwrap();
        for layer in both(Key::generate().unwrap()) {
            let (hour, mut jar) = (Duration::from_secs(3600), Jar::new());
            jar.visit(&layer.clone().max_age_limit(14 * 24 * hour), |session| {
                session.insert("user", 42).unwrap();
                if !["0", "any"].contains(&own) {
                    session.set_max_age(Duration::from_secs(seconds(own))).unwrap();
                }
                ok()
            });
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(START.checked_add_signed(offset).unwrap());
            let reader = layer
                .max_age(Duration::from_secs(seconds(max_age)))
                .max_age_limit(Duration::from_secs(seconds(limit)))
                .clock(move || now);
            let expected = match result {
                "accepted" => None,
                "expired" => Some(Reject::Expired),
                "not yet valid" => Some(Reject::NotYetValid),
                other => panic!("{other}"),
            };
            send(&reader, &jar.header("/"), |session| {
                assert_eq!(session.rejected(), expected, "{row:?}");
                assert_eq!(session.is_empty().unwrap(), expected.is_some(), "{row:?}");
                ok()
            });
        }
    }
}

#[test]
fn without_max_age_only_the_sessions_own_counts() {
    let (start, far) = (start(), SystemTime::UNIX_EPOCH + Duration::from_millis((1 << 48) - 1));
    for layer in both(Key::generate().unwrap()) {
        let layer = layer.max_age(None).anonymous_max_age(None);
        // The longest that there is; a second more stands for the layer's.
        for own in [None, Some(u32::MAX - 1)] {
            let mut jar = Jar::new();
            jar.visit(&layer, |session| {
                session.insert("user", 42).unwrap();
                if own.is_some() {
                    session.set_max_age(Duration::MAX).unwrap();
                }
                ok()
            });
            let rejected = |now: SystemTime| {
                let mut rejected = None;
                send(&layer.clone().clock(move || now), &jar.header("/"), |session| {
                    rejected = session.rejected();
                    ok()
                });
                rejected
            };
            match own.map(|seconds| Duration::from_secs(seconds.into())) {
                None => assert_eq!(rejected(far), None),
                Some(own) => {
                    assert_eq!(rejected(start + own), None);
                    assert_eq!(rejected(start + own + Duration::from_millis(1)), Some(Reject::Expired));
                }
            }
        }
    }
}

#[test]
fn one_cookie_holds_as_much_as_documented() {
    let page = include_str!("../docs/format.md");
    for (layer, most) in both(Key::generate().unwrap()).into_iter().zip([2982, 2974]) {
        let number = format!("{},{}", most / 1000, most % 1000);
        assert!(
            page.contains(&format!("{number} bytes of JSON signed"))
                || page.contains(&format!("or {number} encrypted"))
        );
        let json = |len: usize| RawValue::from_string(format!("{{\"k\":\"{}\"}}", "x".repeat(len - 8))).unwrap();
        assert_eq!(json(most).get().len(), most);
        assert!(layer.cookie_header(&json(most)).is_ok());
        assert!(layer.cookie_header(&json(most + 1)).is_err());
        let split = layer.chunked(4).cookie_header(&json(most + 1)).unwrap();
        assert_eq!(split.to_str().unwrap().split("; ").count(), 2);
    }
}

#[test]
fn more_than_four_parts_are_too_large_and_missing_ones_malformed() {
    for layer in both(Key::generate().unwrap()) {
        let data = RawValue::from_string(format!("{{\"k\":\"{}\"}}", "x".repeat(8000))).unwrap();
        let header = layer.clone().chunked(4).cookie_header(&data).unwrap();
        let pairs: Vec<&str> = header.to_str().unwrap().split("; ").collect();
        assert_eq!(pairs.len(), 3);
        let rejected = |parts: usize, pairs: &[&str]| {
            let mut rejected = None;
            send(&layer.clone().chunked(parts), &pairs.join("; "), |session| {
                rejected = session.rejected();
                ok()
            });
            rejected
        };
        assert_eq!(rejected(4, &pairs), None);
        // Whoever splits at all reads up to four, so that fewer can be allowed later.
        assert_eq!(rejected(2, &pairs), None);
        let mut longer = frame(&pairs[0].split_once('=').unwrap().1[..12]);
        longer[5..8].copy_from_slice(&[0xff; 3]);
        let longer = pairs[0].replacen(&pairs[0].split_once('=').unwrap().1[..12], &text(&longer), 1);
        assert_eq!(rejected(4, &[&longer, pairs[1], pairs[2]]), Some(Reject::TooLarge));
        // Who never splits sees a text that is not as long as it says.
        assert_eq!(rejected(1, &pairs), Some(Reject::Malformed));
        for missing in 1..3 {
            let mut fewer = pairs.clone();
            fewer.remove(missing);
            assert_eq!(rejected(4, &fewer), Some(Reject::Malformed));
        }
        // Numbers are not told by their order in the header, and a stale part is ignored.
        let stale = [pairs[2], pairs[1], "__Host-session.3=stale", pairs[0]];
        assert_eq!(rejected(4, &stale), None);
        let renamed = [pairs[0], pairs[1], &pairs[2].replace(".2=", ".02=")];
        assert_eq!(rejected(4, &renamed), Some(Reject::Malformed));
    }
}

/// Two writes at once may leave a browser with parts of both.
#[test]
fn parts_of_two_sessions_never_join() {
    for layer in both(Key::generate().unwrap()) {
        let layer = layer.chunked(4);
        let parts = |with: &str| -> Vec<String> {
            let data = RawValue::from_string(format!("{{\"k\":\"{}\"}}", with.repeat(5000))).unwrap();
            let header = layer.cookie_header(&data).unwrap();
            header.to_str().unwrap().split("; ").map(str::to_owned).collect()
        };
        let (a, b) = (parts("a"), parts("b"));
        assert_eq!((a.len(), b.len()), (2, 2));
        let read = |header: &str| {
            let mut seen = Err(None);
            send(&layer, header, |session| {
                seen = session.get::<String>("k").unwrap().ok_or_else(|| session.rejected());
                ok()
            });
            seen.map(|text| text[..1].to_owned())
        };
        assert_eq!(read(&a.join("; ")), Ok("a".to_owned()));
        for mixed in [[&a[0], &b[1]], [&b[0], &a[1]], [&a[1], &b[0]]] {
            let header = mixed.map(String::as_str).join("; ");
            assert_eq!(read(&header), Err(Some(Reject::BadSignature)));
        }
        // With both second parts there, each first one finds its own.
        assert_eq!(read(&format!("{}; {}; {}", a[0], b[1], a[1])), Ok("a".to_owned()));
        assert_eq!(read(&format!("{}; {}; {}", b[1], b[0], a[1])), Ok("b".to_owned()));
        // Others that were left over do not even have the length, so they cost nothing, however many.
        let stale = "__Host-session.1=stale; ".repeat(40);
        assert_eq!(read(&format!("{stale}{}; {}", a[0], a[1])), Ok("a".to_owned()));
    }
}

#[test]
fn the_id_is_the_sessions_own_until_it_is_renewed_and_issued_always_grows() {
    let clock = Clock::new();
    let layer = SessionLayer::signed(Key::generate().unwrap()).clock(clock.reader());
    let mut ids = std::collections::HashSet::new();
    for _ in 0..20 {
        let mut jar = Jar::new();
        let mut step = |change: &dyn Fn(&http_session::Session)| {
            jar.visit(&layer, |session| {
                change(session);
                ok()
            });
            let bytes = frame(&jar.0[0].value);
            let number =
                |from: usize, to: usize| bytes[from..to].iter().fold(0, |n: u64, &byte| n << 8 | u64::from(byte));
            (bytes[31..47].to_vec(), number(9, 15), number(15, 21))
        };
        let insert = |n: u32| move |session: &http_session::Session| session.insert("n", n).unwrap();
        let (id, created, issued) = step(&insert(1));
        assert!(ids.insert(id.clone()));
        assert_eq!(created, issued);
        // Even if no time passes, or a clock is set back.
        let (same, kept, second) = step(&insert(2));
        assert_eq!((&same, kept, second), (&id, created, issued + 1));
        clock.set(clock.now() - Duration::from_secs(10));
        let (same, kept, third) = step(&insert(3));
        assert_eq!((&same, kept, third), (&id, created, issued + 2));
        clock.advance(Duration::from_secs(100));
        let (same, kept, fourth) = step(&insert(4));
        assert_eq!((&same, kept, fourth), (&id, created, issued + 90_000));
        let (renewed, kept, _) = step(&|session| session.renew().unwrap());
        assert!(ids.insert(renewed));
        assert_eq!(kept, created);
        let (anew, later, _) = step(&|session| {
            session.destroy().unwrap();
            session.insert("n", 5).unwrap();
        });
        assert!(ids.insert(anew));
        assert_eq!(later, created + 90_000);
    }
    assert!(!ids.contains(&vec![0; 16]));
}
