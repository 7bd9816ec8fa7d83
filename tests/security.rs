//! What a session layer must survive: forged, changed, moved, replayed and outdated cookies, weak keys, hostile settings.
//! `docs/security.md` says which row of its table each test holds.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use base64_simd::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request, Response, StatusCode, header::COOKIE};
use http_session::{
    Duplicates, Error, Fallback, Key, KeyRing, Reject, SameSite, Scope, Session, SessionLayer, Until,
    codec::{Binding, Codec, Encrypted, Format, Incoming, Outgoing, Payload, Signed, Spelling},
};
use proptest::prelude::*;
use ring::hmac;
use serde_json::Value;
use static_assertions::assert_not_impl_any;
use support::*;

const DAY: Duration = Duration::from_secs(86_400);
const KINDS: [&str; 2] = ["signed", "encrypted"];

fn key() -> Key {
    Key::generate().unwrap()
}

fn layer_of(kind: &str, keys: impl Into<KeyRing>) -> SessionLayer {
    match kind {
        "signed" => SessionLayer::signed(keys),
        _ => SessionLayer::encrypted(keys),
    }
}

/// The `name=value` of the one cookie that a fresh session of this layer is written into.
fn pair_of(layer: &SessionLayer, user: &str) -> String {
    let response = send(layer, "", |session| {
        session.insert("user", user).unwrap();
        ok()
    });
    let lines = set_cookies(response.headers());
    let [line] = &lines[..] else { panic!("{lines:?}") };
    line.split(';').next().unwrap().to_owned()
}

fn value_of(pair: &str) -> &str {
    pair.split_once('=').unwrap().1
}

/// What a handler makes of these cookies: the user, and why there is none. A look at the session never sends a cookie.
#[track_caller]
fn look(layer: &SessionLayer, cookies: &str) -> (Option<String>, Option<Reject>) {
    let mut seen = (None, None);
    let response = send(layer, cookies, |session| {
        seen = (session.get("user").unwrap(), session.rejected());
        assert_eq!(session.is_empty().unwrap(), seen.0.is_none());
        assert_eq!(session.is_new().unwrap(), seen.0.is_none());
        ok()
    });
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    seen
}

#[track_caller]
fn assert_refused(layer: &SessionLayer, cookies: &str) -> Reject {
    let (user, rejected) = look(layer, cookies);
    assert_eq!(user, None, "{cookies}");
    rejected.unwrap_or_else(|| panic!("no reason given for {cookies}"))
}

// --- Frames made by somebody who has the key, after `docs/format.md`.

struct Forger {
    secret: [u8; 32],
}

impl Forger {
    fn new() -> Self {
        let secret = ring::rand::generate(&ring::rand::SystemRandom::new()).unwrap().expose();
        Self { secret }
    }

    fn key(&self) -> Key {
        let digits: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("hex:{digits}").parse().unwrap()
    }

    fn expand(&self, info: &[u8]) -> hmac::Tag {
        let hmac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
        let prk = hmac(b"http-session/v1", &self.secret);
        hmac(prk.as_ref(), &[info, &[1]].concat())
    }

    /// A signed cookie of `__Host-session` without an application's name.
    fn cookie(&self, kind: u8, flags: u8, times: [u64; 3], json: &[u8]) -> String {
        let lp = |text: &str| [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
        let id = self.expand(&lp("key-id"));
        let mac = self.expand(&[lp("signed"), lp(""), lp("__Host-session")].concat());
        let len = (8 + 39 + json.len() + 32) as u32;
        let mut frame = vec![kind];
        frame.extend_from_slice(&id.as_ref()[..4]);
        frame.extend_from_slice(&len.to_be_bytes()[1..]);
        frame.push(flags);
        for time in times {
            frame.extend_from_slice(&time.to_be_bytes()[2..]);
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&[7; 16]);
        frame.extend_from_slice(json);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, mac.as_ref()), &frame);
        frame.extend_from_slice(tag.as_ref());
        format!("__Host-session={}", URL_SAFE_NO_PAD.encode_to_string(frame))
    }
}

// --- Rows 8 to 15: what is not authentic is nothing.

#[test]
fn row_08_what_is_not_authentic_is_no_session() {
    let shared = key();
    let json = r#"{"user":"mallory"}"#;
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
    for kind in KINDS {
        let layer = layer_of(kind, shared.clone()).build().unwrap();
        let good = pair_of(&layer, "alice");
        let frame = URL_SAFE_NO_PAD.decode_to_vec(value_of(&good)).unwrap();
        let other_kind = layer_of(KINDS[usize::from(kind == "signed")], shared.clone());
        let mut forged = vec![
            String::new(),
            json.replace('"', "%22"),
            base64(json.as_bytes()),
            format!("{}.{}", base64(json.as_bytes()), base64(&[0; 32])),
            format!("{}.", base64(json.as_bytes())),
            "eyJhbGciOiJub25lIn0.eyJ1c2VyIjoibWFsbG9yeSJ9.".to_owned(),
            value_of(&pair_of(&layer_of(kind, key()), "mallory")).to_owned(),
            value_of(&pair_of(&other_kind, "mallory")).to_owned(),
            format!("\"\"{}\"\"", value_of(&good)),
            format!("{}=", value_of(&good)),
            format!("{}A", value_of(&good)),
            value_of(&good).to_ascii_lowercase(),
        ];
        // Every type byte, with the rest as it was, and with no MAC or plain JSON in the place of what follows.
        for byte in (0..=255).filter(|&byte| byte != frame[0]) {
            let mut typed = frame.clone();
            typed[0] = byte;
            forged.push(base64(&typed));
            let mut bare = typed[..47].to_vec();
            bare.extend_from_slice(json.as_bytes());
            let len = (bare.len() as u32).to_be_bytes();
            bare[5..8].copy_from_slice(&len[1..]);
            forged.push(base64(&bare));
        }
        assert_eq!(look(&layer, &good), (Some("alice".into()), None), "{kind}");
        for value in forged {
            assert_refused(&layer, &format!("__Host-session={value}"));
        }
    }
}

#[test]
fn row_08_a_refused_cookie_is_replaced_by_the_next_write_and_not_echoed() {
    for kind in KINDS {
        let layer = layer_of(kind, key()).build().unwrap();
        let planted = "__Host-session=bWFsbG9yeQ";
        let response = send(&layer, planted, |session| {
            session.insert("user", "alice").unwrap();
            ok()
        });
        let lines = set_cookies(response.headers());
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains("bWFsbG9yeQ"));
        let response = send(&layer, planted, |session| {
            session.destroy().unwrap();
            ok()
        });
        assert!(set_cookies(response.headers())[0].starts_with("__Host-session=;"));
    }
}

#[test]
fn row_09_every_flipped_bit_is_refused() {
    for kind in KINDS {
        let layer = layer_of(kind, key()).build().unwrap();
        let good = pair_of(&layer, "alice");
        let text = value_of(&good).as_bytes();
        // The text, as far as it can stand in a header.
        for bit in 0..text.len() * 8 {
            let mut flipped = text.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let line = [b"__Host-session=", &flipped[..]].concat();
            let Ok(header) = HeaderValue::from_bytes(&line) else {
                continue;
            };
            let request = Request::builder().header(COOKIE, header).body(()).unwrap();
            send_request(&layer, request, |session| {
                assert!(session.is_empty().unwrap(), "{kind}: bit {bit} of the text");
                assert!(session.rejected().is_some());
                ok()
            });
        }
        // The bytes.
        let frame = URL_SAFE_NO_PAD.decode_to_vec(text).unwrap();
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let value = URL_SAFE_NO_PAD.encode_to_string(flipped);
            assert_refused(&layer, &format!("__Host-session={value}"));
        }
    }
}

#[test]
fn row_09_every_truncation_and_every_repetition_is_refused() {
    for kind in KINDS {
        let layer = layer_of(kind, key()).build().unwrap();
        let good = pair_of(&layer, "alice");
        let frame = URL_SAFE_NO_PAD.decode_to_vec(value_of(&good)).unwrap();
        for len in 0..value_of(&good).len() {
            assert_refused(&layer, &format!("__Host-session={}", &value_of(&good)[..len]));
        }
        for len in 0..frame.len() {
            // Shorter, with a length that says so.
            let mut short = frame[..len].to_vec();
            if let Some(field) = short.get_mut(5..8) {
                field.copy_from_slice(&(len as u32).to_be_bytes()[1..]);
            }
            let value = URL_SAFE_NO_PAD.encode_to_string(&short);
            assert_refused(&layer, &format!("__Host-session={value}"));
        }
        let mut long = frame.repeat(2);
        let len = (long.len() as u32).to_be_bytes();
        long[5..8].copy_from_slice(&len[1..]);
        let value = URL_SAFE_NO_PAD.encode_to_string(&long);
        assert_refused(&layer, &format!("__Host-session={value}"));
    }
}

#[test]
fn row_09_a_flipped_bit_in_any_part_of_a_split_cookie_is_refused() {
    for kind in KINDS {
        let layer = layer_of(kind, key()).chunked(3).build().unwrap();
        let response = send(&layer, "", |session| {
            session.insert("user", "a".repeat(7_000)).unwrap();
            ok()
        });
        let pairs: Vec<String> = set_cookies(response.headers())
            .iter()
            .map(|line| line.split(';').next().unwrap().to_owned())
            .collect();
        assert_eq!(pairs.len(), 3);
        assert!(look(&layer, &pairs.join("; ")).0.is_some());
        for part in 0..3 {
            let start = pairs[part].find('=').unwrap() + 1;
            // An odd step, so that every place in a group of four characters is met.
            for at in (start..pairs[part].len()).step_by(29) {
                let mut changed = pairs.clone();
                let other = if changed[part].as_bytes()[at] == b'A' { "B" } else { "A" };
                changed[part].replace_range(at..=at, other);
                assert_refused(&layer, &changed.join("; "));
            }
            let mut missing = pairs.clone();
            missing.remove(part);
            assert_eq!(look(&layer, &missing.join("; ")).0, None);
        }
        let swapped = format!(
            "{}; __Host-session.1={}; __Host-session.2={}",
            pairs[0],
            value_of(&pairs[2]),
            value_of(&pairs[1])
        );
        assert_refused(&layer, &swapped);
    }
}

#[test]
fn row_11_the_mac_is_checked_before_the_content_and_only_one_json_object_is_a_session() {
    let forger = Forger::new();
    let clock = Clock::new();
    let layer = SessionLayer::signed(forger.key())
        .clock(clock.reader())
        .build()
        .unwrap();
    let times = [START, START, 0];
    let deep_list = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(
        look(&layer, &forger.cookie(1, 0, times, br#"{"user":"alice"}"#)),
        (Some("alice".into()), None),
        "the forger forges well"
    );
    for hostile in [
        &b""[..],
        b"[]",
        b"null",
        b"42",
        b"\"user\"",
        b"{",
        b"{}{}",
        b"{} x",
        b"{\"user\":}",
        b"{user:1}",
        b"{\"user\":\"\xff\"}",
        b"{\"user\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{}",
        b"\x80\x04\x95",
        deep_list.as_bytes(),
    ] {
        // Signed by somebody who has the key, so that only the content is wrong.
        let authentic = forger.cookie(1, 0, times, hostile);
        let reason = assert_refused(&layer, &authentic);
        assert_eq!(reason, Reject::Malformed, "{}", hostile.escape_ascii());
        // The same without the key: the content is never looked at.
        let (start, end) = authentic.split_at(authentic.len() - 2);
        let forged = format!("{start}{}A", if end.starts_with('A') { 'B' } else { 'A' });
        let reason = assert_refused(&layer, &forged);
        assert!(matches!(reason, Reject::BadSignature | Reject::Malformed));
    }
    // What a later version might mean by a flag or a type is not guessed at.
    assert_eq!(
        assert_refused(&layer, &forger.cookie(1, 1, times, b"{}")),
        Reject::Malformed
    );
    assert_eq!(
        assert_refused(&layer, &forger.cookie(2, 0, times, b"{}")),
        Reject::BadSignature
    );
    assert_eq!(
        assert_refused(&layer, &forger.cookie(3, 0, times, b"{}")),
        Reject::BadSignature
    );
}

#[test]
fn row_11_deep_and_repetitive_json_is_neither_a_crash_nor_a_stall() {
    let forger = Forger::new();
    let clock = Clock::new();
    let layer = SessionLayer::signed(forger.key())
        .clock(clock.reader())
        .build()
        .unwrap();
    let deep = format!(r#"{{"user":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    let cookie = forger.cookie(1, 0, [START, START, 0], deep.as_bytes());
    send(&layer, &cookie, |session| {
        assert_eq!(session.len().unwrap(), 1);
        assert!(matches!(session.get::<Value>("user"), Err(Error::Type { .. })));
        assert!(matches!(session.to_map::<Value>(), Err(Error::Type { .. })));
        // Compared with what it was, and written over.
        session.insert("user", "alice").unwrap();
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("alice"));
        ok()
    });
    let many: Vec<String> = (0..6_000).map(|n| format!(r#""k{}":{n}"#, n % 3_000)).collect();
    let cookie = forger.cookie(1, 0, [START, START, 0], format!("{{{}}}", many.join(",")).as_bytes());
    send(&layer, &cookie, |session| {
        assert_eq!(session.len().unwrap(), 3_000);
        assert_eq!(session.get::<u64>("k0").unwrap(), Some(3_000), "the last one counts");
        ok()
    });
}

assert_not_impl_any!(Key: Default, serde::Serialize, std::fmt::Display, PartialEq);
assert_not_impl_any!(KeyRing: Default, serde::Serialize, std::fmt::Display, PartialEq);

#[test]
fn row_12_weak_and_known_keys_are_refused() {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let random: [u8; 32] = ring::rand::generate(&ring::rand::SystemRandom::new()).unwrap().expose();
    assert!(hex(&random).parse::<Key>().is_ok());
    let mut weak = vec![
        String::new(),
        " ".to_owned(),
        "secret".to_owned(),
        "changeme".repeat(8),
        "thisismyscretkeythisismyscretkey".to_owned(),
        "correct horse battery staple, and then some more".to_owned(),
        format!("hex:{}", hex(&random[..31])),
        format!("base64:{}", base64_simd::STANDARD.encode_to_string(&random[..31])),
        format!("hex:{}x", hex(&random)),
        // Those of `docs/format.md`.
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".to_owned(),
        "hex:AD22B1751613F5817D9939EA08BE122FD565296A5851F6F331E521C1F6F70C118AC3143DCF41BF6E22D273887F3A485E"
            .to_owned(),
    ];
    weak.extend((0..=255_u8).map(|byte| format!("hex:{}", hex(&[byte; 32]))));
    weak.extend((0..=255_u8).map(|byte| format!("hex:{}", hex(&[byte; 64]))));
    for text in weak {
        let error = text.parse::<Key>().expect_err(&text);
        assert!(matches!(error, Error::Key { .. }));
        let message = error.to_string();
        assert!(message.contains("openssl rand -hex 32"), "{message}");
    }
}

#[test]
fn row_13_a_rotated_ring_signs_with_the_new_key_and_writes_the_old_cookie_anew() {
    let (old, new) = (key(), key());
    for kind in KINDS {
        let before = layer_of(kind, old.clone()).build().unwrap();
        let rotated = layer_of(kind, KeyRing::new(new.clone()).accept(old.clone()))
            .build()
            .unwrap();
        let only_new = layer_of(kind, new.clone()).build().unwrap();
        let mut jar = Jar::new();
        jar.set(&format!("{}; Secure; Path=/", pair_of(&before, "alice")));
        assert_eq!(assert_refused(&only_new, &jar.header("/")), Reject::UnknownKey);
        jar.visit(&rotated, |session| {
            assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("alice"));
            session.insert("seen", true).unwrap();
            ok()
        });
        assert_eq!(look(&only_new, &jar.header("/")), (Some("alice".into()), None));
        assert_eq!(assert_refused(&before, &jar.header("/")), Reject::UnknownKey);
    }
}

#[test]
fn row_14_a_cookie_of_another_name_application_or_codec_is_refused() {
    let shared = key();
    let mut layers = Vec::new();
    for kind in KINDS {
        for app in ["", "shop", "Shop", "admin"] {
            for name in ["session", "id"] {
                let layer = layer_of(kind, shared.clone())
                    .app(app)
                    .cookie_name(name)
                    .build()
                    .unwrap();
                let pair = pair_of(&layer, &format!("{kind} {app} {name}"));
                layers.push((layer, pair, format!("{kind} {app} {name}")));
            }
        }
    }
    for (layer, own, user) in &layers {
        let name = own.split_once('=').unwrap().0;
        for (_, other, from) in &layers {
            let moved = format!("{name}={}", value_of(other));
            if from == user {
                assert_eq!(look(layer, &moved), (Some(user.clone()), None));
            } else {
                assert_eq!(assert_refused(layer, &moved), Reject::BadSignature, "{from} in {user}");
            }
        }
    }
}

#[test]
fn row_14_a_cookie_without_its_prefix_is_refused() {
    let shared = key();
    let host = SessionLayer::encrypted(shared.clone()).build().unwrap();
    let secure = SessionLayer::encrypted(shared.clone()).path("/app").build().unwrap();
    let plain = SessionLayer::encrypted(shared).secure(false).build().unwrap();
    let weaker = pair_of(&plain, "mallory");
    assert_eq!(weaker.split_once('=').unwrap().0, "session");
    for (layer, name) in [(&host, "__Host-session"), (&secure, "__Secure-session")] {
        assert_eq!(look(layer, &weaker), (None, None), "not its name");
        let renamed = format!("{name}={}", value_of(&weaker));
        assert_eq!(assert_refused(layer, &renamed), Reject::BadSignature);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn row_15_no_byte_can_move_from_the_application_to_the_name(text in "[a-z0-9.]{2,12}", first in 0..12_usize, second in 0..12_usize) {
        let shared = key();
        // The name needs a byte at least, and without `Secure` there is no prefix between the two.
        let [first, second] = [first % text.len(), second % text.len()];
        prop_assume!(first != second);
        let layer = |at: usize| {
            SessionLayer::signed(shared.clone()).secure(false).app(&text[..at]).cookie_name(&text[at..]).build().unwrap()
        };
        let moved = format!("{}={}", &text[second..], value_of(&pair_of(&layer(first), "mallory")));
        prop_assert_eq!(assert_refused(&layer(second), &moved), Reject::BadSignature);
    }
}

#[test]
fn row_15_length_bytes_in_the_applications_name_shift_nothing() {
    let shared = key();
    // As the key derivation sees it: lp("signed") lp(app) lp(name).
    let layer = |app: &str, name: &str| {
        SessionLayer::signed(shared.clone())
            .secure(false)
            .app(app)
            .cookie_name(name)
            .build()
            .unwrap()
    };
    let (plain, shifted) = (layer("", "ab"), layer("\0\u{2}", "ab"));
    let moved = format!("ab={}", value_of(&pair_of(&plain, "mallory")));
    assert_eq!(assert_refused(&shifted, &moved), Reject::BadSignature);
    let (plain, shifted) = (layer("a\0\u{1}b", "c"), layer("a", "c"));
    let moved = format!("c={}", value_of(&pair_of(&plain, "mallory")));
    assert_eq!(assert_refused(&shifted, &moved), Reject::BadSignature);
}

// --- Rows 23 and 39: time, by the server's clock.

#[test]
fn row_23_a_replayed_cookie_expires_on_the_server() {
    for kind in KINDS {
        let clock = Clock::new();
        let layer = layer_of(kind, key())
            .max_age(Duration::from_secs(60))
            .clock(clock.reader())
            .build()
            .unwrap();
        let captured = pair_of(&layer, "alice");
        clock.advance(Duration::from_secs(60));
        assert!(look(&layer, &captured).0.is_some());
        clock.advance(Duration::from_millis(1));
        assert_eq!(assert_refused(&layer, &captured), Reject::Expired);
        clock.advance(400 * DAY);
        assert_eq!(assert_refused(&layer, &captured), Reject::Expired);
    }
}

#[test]
fn row_23_use_does_not_carry_a_session_past_its_absolute_end() {
    for kind in KINDS {
        let clock = Clock::new();
        let layer = layer_of(kind, key())
            .max_age(Duration::from_secs(60))
            .rolling(true)
            .absolute_lifetime(Duration::from_secs(200))
            .clock(clock.reader())
            .build()
            .unwrap();
        let mut jar = Jar::new();
        jar.visit(&layer, |session| {
            session.insert("user", "alice").unwrap();
            ok()
        });
        for n in 0..9_u32 {
            clock.advance(Duration::from_secs(20));
            jar.visit(&layer, |session| {
                assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("alice"), "{n}");
                session.insert("n", n).unwrap();
                ok()
            });
        }
        // The browser has dropped it by now; a thief has not.
        let captured = jar.header("/");
        clock.advance(Duration::from_secs(20));
        send(&layer, &captured, |session| {
            assert!(session.contains_key("user").unwrap());
            ok()
        });
        clock.advance(Duration::from_millis(1));
        assert_eq!(assert_refused(&layer, &captured), Reject::Expired);
    }
}

#[test]
fn row_23_a_cookie_from_the_future_is_refused_and_left_alone() {
    for kind in KINDS {
        let (ahead, clock) = (Clock::new(), Clock::new());
        ahead.advance(Duration::from_millis(60_001));
        let shared = key();
        let fast = layer_of(kind, shared.clone()).clock(ahead.reader()).build().unwrap();
        let layer = layer_of(kind, shared).clock(clock.reader()).build().unwrap();
        let early = pair_of(&fast, "alice");
        assert_eq!(assert_refused(&layer, &early), Reject::NotYetValid);
        let response = send(&layer, &early, |session| {
            session.clear().unwrap();
            ok()
        });
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        clock.advance(Duration::from_millis(1));
        assert!(look(&layer, &early).0.is_some());
    }
}

#[test]
fn row_39_renewal_keeps_the_birth_and_a_lower_limit_applies_to_what_is_out() {
    for kind in KINDS {
        let clock = Clock::new();
        let shared = key();
        let layer = |age: u64, lifetime: u64| {
            layer_of(kind, shared.clone())
                .max_age(Duration::from_secs(age))
                .absolute_lifetime(Duration::from_secs(lifetime))
                .clock(clock.reader())
                .build()
                .unwrap()
        };
        let generous = layer(1_000, 1_000);
        let mut jar = Jar::new();
        jar.visit(&generous, |session| {
            session.insert("user", "alice").unwrap();
            ok()
        });
        let born = clock.now();
        for _ in 0..3 {
            clock.advance(Duration::from_secs(300));
            jar.visit(&generous, |session| {
                session.renew().unwrap();
                assert_eq!(session.created_at().unwrap(), Some(born));
                ok()
            });
        }
        jar.visit(&generous, |session| {
            assert_eq!(session.expires_at().unwrap(), Some(born + Duration::from_secs(1_000)));
            ok()
        });
        // 900 s old, written just now.
        assert!(look(&layer(100, 900), &jar.header("/")).0.is_some());
        assert_eq!(assert_refused(&layer(100, 899), &jar.header("/")), Reject::Expired);
        clock.advance(Duration::from_secs(60));
        assert!(look(&layer(60, 1_000), &jar.header("/")).0.is_some());
        assert_eq!(assert_refused(&layer(59, 1_000), &jar.header("/")), Reject::Expired);
        clock.advance(Duration::from_millis(40_001));
        assert_eq!(
            assert_refused(&generous, &jar.header("/")),
            Reject::Expired,
            "renewal gave no more time"
        );
    }
}

#[test]
fn row_24_a_captured_cookie_outlives_logout_until_it_expires_as_documented() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key())
        .max_age(DAY)
        .clock(clock.reader())
        .build()
        .unwrap();
    let mut jar = Jar::new();
    jar.set(&format!("{}; Secure; Path=/", pair_of(&layer, "alice")));
    let captured = jar.header("/");
    jar.visit(&layer, |session| {
        session.destroy().unwrap();
        ok()
    });
    assert_eq!(jar.header("/"), "");
    assert!(
        look(&layer, &captured).0.is_some(),
        "the server keeps nothing that could be revoked"
    );
    clock.advance(DAY + Duration::from_millis(1));
    assert_eq!(assert_refused(&layer, &captured), Reject::Expired);
}

// --- Rows 40 to 42: encryption, compression, defaults.

#[test]
fn row_40_the_same_session_encrypted_twice_has_nothing_in_common() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key()).clock(clock.reader()).build().unwrap();
    let secret = "0123456789abcdef".repeat(20);
    let frames: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            URL_SAFE_NO_PAD
                .decode_to_vec(value_of(&pair_of(&layer, &secret)))
                .unwrap()
        })
        .collect();
    // The head is the same; the 192 bits after it, and all that they encrypt, are not.
    let salts: HashSet<&[u8]> = frames.iter().map(|frame| &frame[8..32]).collect();
    assert_eq!(salts.len(), frames.len());
    let mut blocks = HashSet::new();
    for frame in &frames {
        assert_eq!(frame[..8], frames[0][..8]);
        assert!(!frame.windows(8).any(|window| window == b"01234567"));
        // Neither between two cookies nor in one of them: the plaintext repeats every 16 bytes.
        assert!(frame[32..].chunks_exact(16).all(|block| blocks.insert(block)));
    }
}

#[test]
fn row_41_nothing_is_compressed() {
    let random: [u8; 32] = ring::rand::generate(&ring::rand::SystemRandom::new()).unwrap().expose();
    let noise: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    for kind in KINDS {
        let layer = layer_of(kind, key()).build().unwrap();
        let len = |user: &str| pair_of(&layer, user).len();
        assert_eq!(
            len(&"a".repeat(64)),
            len(&noise),
            "{kind}: the length tells the length and nothing else"
        );
        // A guess that is right is as long as one that is wrong.
        let guess = |guess: &str| len(&format!("token={noise}&q=token={guess}"));
        assert_eq!(guess(&noise), guess(&"f".repeat(64)));
    }
}

#[test]
fn row_42_and_asvs_3_3_the_defaults_are_the_safe_ones() {
    // A visitor's session lives for a day, a user's for 14.
    for (logs_in, max_age) in [(false, "Max-Age=86400"), (true, "Max-Age=1209600")] {
        for kind in KINDS {
            let response = send(&layer_of(kind, key()), "", |session| {
                session.insert("user", "alice").unwrap();
                if logs_in {
                    session.authenticated().unwrap();
                }
                ok()
            });
            let lines = set_cookies(response.headers());
            let [line] = &lines[..] else { panic!("{lines:?}") };
            let (pair, attributes) = line.split_once("; ").unwrap();
            assert!(pair.starts_with("__Host-session="));
            let mut attributes: Vec<&str> = attributes.split("; ").collect();
            attributes.sort_unstable();
            assert_eq!(attributes, ["HttpOnly", max_age, "Path=/", "SameSite=Lax", "Secure"]);
        }
    }
    // Only in so many words.
    let response = send(&SessionLayer::signed(key()).secure(false), "", |session| {
        session.insert("user", "alice").unwrap();
        ok()
    });
    let line = &set_cookies(response.headers())[0];
    assert!(line.starts_with("session=") && !line.contains("Secure"), "{line}");
}

// --- OWASP ASVS lines that no row holds.

/// Tells the ids that are written.
#[derive(Clone)]
struct Spy {
    codec: Encrypted,
    ids: Arc<Mutex<Vec<[u8; 16]>>>,
}

impl Codec for Spy {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        self.codec.decode(cookie)
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        self.ids.lock().unwrap().push(payload.id().unwrap());
        self.codec.encode(payload, cookie)
    }

    fn format(&self) -> Format {
        self.codec.format()
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        self.codec.bind(binding)
    }
}

#[test]
fn asvs_7_2_every_session_has_a_random_id_and_login_a_new_one() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let spy = Spy {
        codec: Encrypted::new(key()),
        ids: Arc::clone(&ids),
    };
    let layer = SessionLayer::with_codec(spy).build().unwrap();
    let mut jar = Jar::new();
    let mut write = |handler: &dyn Fn(&Session)| {
        jar.visit(&layer, |session| {
            handler(session);
            ok()
        });
        *ids.lock().unwrap().last().unwrap()
    };
    let anonymous = write(&|session| session.insert("n", 1).unwrap());
    assert_eq!(write(&|session| session.insert("n", 2).unwrap()), anonymous);
    let login = write(&|session| session.authenticated().unwrap());
    assert_ne!(login, anonymous);
    assert_eq!(write(&|session| session.insert("n", 3).unwrap()), login);
    let renewed = write(&|session| session.renew().unwrap());
    assert_ne!(renewed, login);
    let after_logout = write(&|session| {
        session.destroy().unwrap();
        session.insert("n", 1).unwrap();
    });
    assert_ne!(after_logout, renewed);
    for _ in 0..500 {
        pair_of(&layer, "alice");
    }
    let ids = ids.lock().unwrap();
    let distinct: HashSet<_> = ids[6..].iter().collect();
    assert_eq!(distinct.len(), 500);
    // No bit of the 128 stands still.
    let (mut ones, mut zeros) = ([0_u8; 16], [0_u8; 16]);
    for id in distinct {
        for (at, byte) in id.iter().enumerate() {
            ones[at] |= byte;
            zeros[at] |= !byte;
        }
    }
    assert_eq!((ones, zeros), ([0xff; 16], [0xff; 16]));
}

#[test]
fn asvs_7_5_the_time_of_the_last_login_survives_and_is_not_prolonged() {
    let clock = Clock::new();
    let layer = SessionLayer::signed(key()).clock(clock.reader()).build().unwrap();
    let mut jar = Jar::new();
    jar.visit(&layer, |session| {
        assert_eq!(session.authenticated_at().unwrap(), None);
        session.insert("user", "alice").unwrap();
        session.authenticated().unwrap();
        ok()
    });
    let login = clock.now();
    for _ in 0..3 {
        clock.advance(DAY);
        jar.visit(&layer, |session| {
            assert_eq!(session.authenticated_at().unwrap(), Some(login));
            session.renew().unwrap();
            ok()
        });
    }
    jar.visit(&layer, |session| {
        session.destroy().unwrap();
        assert_eq!(session.authenticated_at().unwrap(), None);
        session.insert("user", "bob").unwrap();
        ok()
    });
    jar.visit(&layer, |session| {
        assert_eq!(session.authenticated_at().unwrap(), None);
        ok()
    });
}

// --- Row 28: what a builder is given does not get into a header unchecked.

/// What could end an attribute, a header or a head.
const INJECTIONS: [&str; 12] = [
    "x; Domain=evil.example",
    "x;",
    ";",
    "x\r\nSet-Cookie: a=b",
    "x\nx",
    "x\rx",
    "x\0x",
    "x\x7fx",
    "x\u{85}x",
    "x\u{2028}x",
    "x=y; Path=/",
    "\u{e4}",
];

#[test]
fn row_28_no_setting_injects_into_the_header() {
    let layer = || SessionLayer::encrypted(key());
    let old = || Fallback::new(Signed::new(key())).cookie_name("old");
    for bad in INJECTIONS {
        let path = format!("/{bad}");
        let attempts = [
            ("name", layer().cookie_name(bad)),
            ("path", layer().path(&path)),
            ("path", layer().path(bad)),
            ("domain", layer().domain(bad)),
            ("retired path", layer().retired(Scope::new().path(&path))),
            ("retired domain", layer().retired(Scope::new().domain(bad))),
            (
                "fallback name",
                layer().also_accept(Fallback::new(Signed::new(key())).cookie_name(bad), Until::forever()),
            ),
            (
                "fallback path",
                layer().also_accept(old().scope(Scope::new().path(&path)), Until::forever()),
            ),
            (
                "fallback domain",
                layer().also_accept(old().scope(Scope::new().domain(bad)), Until::forever()),
            ),
        ];
        for (setting, layer) in attempts {
            let refused = layer.build();
            assert!(
                matches!(refused, Err(Error::Config { .. })),
                "{setting} {bad:?}: {refused:?}"
            );
            // Nor does the message carry a raw line break into a log.
            assert!(
                !refused.unwrap_err().to_string().contains(['\r', '\n', '\0']),
                "{setting} {bad:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is accepted says what it was meant to say, and nothing more.
    #[test]
    fn row_28_an_accepted_setting_is_one_attribute(
        name in prop_oneof![9 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", 1 => "[!-~]{1,3}"],
        path in prop_oneof![9 => "/[ -:<-~]{0,20}", 1 => "/\\PC{0,2}"],
        domain in prop_oneof![9 => "\\.?[a-zA-Z0-9]{1,5}(\\.[a-z0-9]{1,5}){0,3}", 1 => "[ -~]{1,3}"],
        app in "\\PC{0,20}",
        old_path in prop_oneof![9 => "/[ -:<-~]{0,20}", 1 => "/[ -~]{0,2}"],
    ) {
        let layer = SessionLayer::signed(key())
            .app(app)
            .cookie_name(&*name)
            .path(&*path)
            .domain(&*domain)
            .retired(Scope::new().path(&*old_path))
            .build();
        prop_assume!(layer.is_ok());
        let layer = layer.unwrap();
        let response = send(&layer, "", |session| {
            session.insert("user", "alice").unwrap();
            ok()
        });
        let lines = set_cookies(response.headers());
        let live = lines.last().unwrap();
        let attributes: Vec<&str> = live.split(';').collect();
        prop_assert_eq!(attributes.len(), 7, "{}", live);
        let wire_name = attributes[0].split_once('=').unwrap().0;
        prop_assert!(wire_name.ends_with(&*name));
        let path_attribute = format!(" Path={path}");
        let domain_attribute = format!(" Domain={}", domain.trim_start_matches('.'));
        prop_assert!(attributes.contains(&&*path_attribute), "{}", live);
        prop_assert!(attributes.contains(&&*domain_attribute), "{}", live);
        for removal in &lines[..lines.len() - 1] {
            prop_assert_eq!(removal.split(';').count(), 8, "{}", removal);
        }
    }
}

/// A codec that is wrong on purpose.
#[derive(Clone)]
struct Wrong {
    format: Format,
    value: &'static str,
    companion: Option<&'static str>,
    spelling: Option<(&'static str, &'static str)>,
}

impl Wrong {
    fn writing(value: &'static str) -> Self {
        Self {
            format: Format::new().carries_issued(),
            value,
            companion: None,
            spelling: None,
        }
    }
}

impl Codec for Wrong {
    fn decode(&self, _: &Incoming<'_>) -> Result<Payload, Reject> {
        Err(Reject::Malformed)
    }

    fn encode(&self, _: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        cookie.push_str(self.value);
        if let Some(companion) = self.companion {
            cookie.push_companion(companion);
        }
        Ok(())
    }

    fn format(&self) -> Format {
        self.format
    }

    fn spelling(&self, _: &Binding<'_>) -> Option<Spelling> {
        self.spelling.map(|(live, removal)| Spelling::new(live, removal))
    }
}

#[test]
fn row_28_a_codec_cannot_inject_through_its_value() {
    for bad in ["a;b", "a b", "a,b", "a\"b", "a\\b", "a\r\nb", "a\tb", "\u{e4}", "a\0"] {
        let with_companion = Wrong {
            format: Format::new().carries_issued().companions(&[".sig"]),
            companion: Some(bad),
            ..Wrong::writing("good")
        };
        for codec in [Wrong::writing(bad), with_companion] {
            let layer = SessionLayer::with_codec(codec).build().unwrap();
            let response = send(&layer, "", |session| {
                session.insert("user", "alice").unwrap();
                ok()
            });
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(set_cookies(response.headers()), [""; 0]);
            let error = response.extensions().get::<Error>().unwrap();
            assert!(matches!(error, Error::Codec { .. }));
        }
    }
}

// --- Row 29: no panic, no 500.

fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => proptest::sample::select(&b"AXVS06-_azAZ09"[..]),
        2 => proptest::sample::select(&b";=., \t\"%$\\{}"[..]),
        1 => (0x20..=0xff_u8).prop_filter("a header's byte", |&byte| byte != 0x7f),
    ];
    proptest::collection::vec(byte, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn row_29_no_cookie_header_is_a_panic_or_an_error(
        before in header_bytes(),
        value in header_bytes(),
        part in header_bytes(),
        sig in header_bytes(),
        kind in 0..2_usize,
        host in any::<bool>(),
    ) {
        let layer = layer_of(KINDS[kind], key()).chunked(2).path(if host { "/" } else { "/app" });
        let layer = layer.also_accept(Fallback::new(Encrypted::new(key())).cookie_name("old"), Until::forever());
        let name = if host { "__Host-session" } else { "__Secure-session" };
        let mut request = Request::new(());
        for line in [
            before,
            [name.as_bytes(), b"=", &value, b";", name.as_bytes(), b".1=", &part].concat(),
            [b"old=", &sig[..]].concat(),
        ] {
            request.headers_mut().append(COOKIE, HeaderValue::from_bytes(&line).unwrap());
        }
        let response = send_request(&layer, request, |session| {
            assert_eq!(session.get::<String>("user").unwrap(), None);
            assert!(session.is_empty().unwrap());
            assert!(session.rejected().is_some());
            ok()
        });
        prop_assert_eq!(response.status(), StatusCode::OK);
        prop_assert_eq!(set_cookies(response.headers()), [""; 0]);
    }

    /// Frames that are right up to a point.
    #[test]
    fn row_29_no_frame_is_a_panic(
        mut frame in proptest::collection::vec(any::<u8>(), 0..160),
        kind in 0..2_usize,
        says_its_length in any::<bool>(),
    ) {
        let layer = layer_of(KINDS[kind], key()).chunked(4);
        let good = URL_SAFE_NO_PAD.decode_to_vec(value_of(&pair_of(&layer, "alice"))).unwrap();
        if let Some(head) = frame.get_mut(..5) {
            head.copy_from_slice(&good[..5]);
        }
        let len = frame.len() as u32;
        if says_its_length && let Some(field) = frame.get_mut(5..8) {
            field.copy_from_slice(&len.to_be_bytes()[1..]);
        }
        let value = URL_SAFE_NO_PAD.encode_to_string(frame);
        assert_refused(&layer, &format!("__Host-session={value}"));
    }
}

#[test]
fn row_29_extreme_durations_are_neither_a_panic_nor_negative() {
    let clock = Clock::new();
    let long = Duration::MAX;
    let layer = SessionLayer::encrypted(key())
        .max_age(long)
        .max_age_limit(long)
        .absolute_lifetime(long)
        .refresh_interval(Duration::ZERO)
        .rolling(true)
        .clock(clock.reader())
        .build()
        .unwrap();
    for own in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_secs(u64::from(u32::MAX)),
        long,
    ] {
        let mut jar = Jar::new();
        let response = jar.visit(&layer, |session| {
            session.insert("user", "alice").unwrap();
            session.set_max_age(own).unwrap();
            session.authenticated().unwrap();
            ok()
        });
        let line = set_cookies(response.headers()).remove(0);
        let max_age = line.split("Max-Age=").nth(1).unwrap();
        assert!(max_age.parse::<u64>().unwrap() >= 1, "{line}");
        jar.visit(&layer, |session| {
            assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("alice"));
            assert!(session.expires_at().unwrap().unwrap() > clock.now());
            ok()
        });
    }
}

#[test]
fn row_29_extreme_clocks_are_no_panic() {
    let last = SystemTime::UNIX_EPOCH + Duration::from_millis((1 << 48) - 1);
    for at in [
        SystemTime::UNIX_EPOCH - 400 * DAY,
        SystemTime::UNIX_EPOCH,
        SystemTime::UNIX_EPOCH + Duration::from_millis(1),
        last - Duration::from_millis(1),
        last,
        last + 1_000 * DAY,
    ] {
        for kind in KINDS {
            let layer = layer_of(kind, key())
                .rolling(true)
                .absolute_lifetime(DAY)
                .clock(move || at)
                .build()
                .unwrap();
            let mut jar = Jar::new();
            for n in 0..4_u64 {
                let response = jar.visit(&layer, |session| {
                    assert_eq!(
                        session.get::<u64>("n").unwrap(),
                        n.checked_sub(1),
                        "{at:?}: {:?}",
                        session.rejected()
                    );
                    session.insert("n", n).unwrap();
                    session.authenticated().unwrap();
                    assert!(session.created_at().unwrap().is_some_and(|at| at <= last) || n == 0);
                    ok()
                });
                assert_eq!(response.status(), StatusCode::OK);
            }
        }
    }
}

#[test]
fn row_29_a_clock_that_jumps_is_no_panic() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key())
        .rolling(true)
        .clock(clock.reader())
        .build()
        .unwrap();
    let mut jar = Jar::new();
    for millis in [START, 0, (1 << 48) - 1, START, 1, START + 1_000, START - 1_000] {
        clock.set(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        let response = jar.visit(&layer, |session| {
            session.get::<u64>("n").unwrap();
            session.insert("n", millis).unwrap();
            ok()
        });
        assert_eq!(response.status(), StatusCode::OK);
    }
}

// --- What `build` refuses, and a layer that was never built.

#[track_caller]
fn assert_config<R: std::fmt::Debug>(layer: Result<SessionLayer<R>, Error>, says: &str) {
    let error = layer.expect_err(says);
    let message = error.to_string();
    let what = match error {
        Error::Config { .. } => "the sessions are not set up for this: ",
        Error::Key { .. } => "the session key cannot be used: ",
        _ => panic!("{message}"),
    };
    assert!(message.starts_with(what), "{message}");
    assert!(message.contains(says), "{message:?} does not say {says:?}");
}

#[test]
fn refused_names_paths_and_domains() {
    let layer = || SessionLayer::encrypted(key());
    for name in [
        "", "a b", "a=b", "a;b", "a,b", "\"a\"", "(a)", "a/b", "a@b", "\u{e4}", "a\tb",
    ] {
        assert_config(layer().cookie_name(name).build(), "is not a token");
    }
    assert_config(layer().cookie_name("a".repeat(257)).build(), "256 is the most");
    assert!(layer().cookie_name("a".repeat(256)).build().is_ok());
    for path in ["", "app", "*", "https://example.com/", " /"] {
        assert_config(layer().path(path).build(), "must begin with `/`");
    }
    assert_config(
        layer().path(format!("/{}", "a".repeat(1_024))).build(),
        "browsers ignore more than 1024",
    );
    assert!(layer().path(format!("/{}", "a".repeat(1_023))).build().is_ok());
    for domain in [
        "",
        ".",
        "a..b",
        "-a.example",
        "a-.example",
        "https://a.example",
        "a.example:443",
        "a_b.example",
        "*.example",
    ] {
        assert_config(layer().domain(domain).build(), "is not a host name");
    }
    assert_config(layer().domain("a".repeat(64)).build(), "is not a host name");
    assert_config(layer().domain(["a"; 128].join(".")).build(), "is not a host name");
    assert!(layer().domain(".Example.com").build().is_ok());
}

#[test]
fn refused_attributes_that_need_secure() {
    let layer = || SessionLayer::encrypted(key()).secure(false);
    assert_config(
        layer().same_site(SameSite::None).build(),
        "`SameSite=None` needs `Secure`",
    );
    assert_config(layer().partitioned(true).build(), "`Partitioned` needs `Secure`");
    assert_config(
        layer().retired(Scope::new().partitioned(true)).build(),
        "`Partitioned` needs `Secure`",
    );
    assert!(
        layer()
            .secure(true)
            .same_site(SameSite::None)
            .partitioned(true)
            .build()
            .is_ok()
    );
}

#[test]
fn row_21_refused_prefixes_that_are_promised_and_not_kept() {
    let layer = |name: &str| SessionLayer::encrypted(key()).cookie_name(name);
    let host = "promises `Secure`, `Path=/` and no `Domain`";
    let secure = "promises `Secure`: set it";
    for name in ["__Host-id", "__host-id", "__HOST-id", "__Host-"] {
        assert_config(layer(name).domain("example.com").build(), host);
        assert_config(layer(name).path("/app").build(), host);
        assert_config(layer(name).secure(false).build(), host);
    }
    for name in ["__Secure-id", "__secure-id", "__SECURE-id"] {
        assert_config(layer(name).secure(false).build(), secure);
    }
    // A browser that compares prefixes without case holds the cookie to the promise; one that does not, does not.
    assert_config(layer("__host-id").build(), host);
    assert_config(layer("__secure-id").build(), secure);
    // Another framework's name has no prefix of ours, and its promise counts all the same.
    let foreign = Wrong {
        format: Format::new().carries_issued().cookie_name("__Host-other"),
        ..Wrong::writing("x")
    };
    assert_config(SessionLayer::with_codec(foreign).domain("example.com").build(), host);
}

#[test]
fn row_21_the_name_that_is_written_is_the_name_that_is_read() {
    let layer = |name: &str| SessionLayer::encrypted(key()).cookie_name(name);
    for (layer, name) in [
        (layer("id"), "__Host-id"),
        (layer("__Host-id"), "__Host-id"),
        (layer("__Secure-id"), "__Secure-id"),
        (layer("id").path("/app"), "__Secure-id"),
        (layer("id").domain("example.com"), "__Secure-id"),
        (layer("id").secure(false), "id"),
        (layer("Host__id"), "__Host-Host__id"),
    ] {
        let pair = pair_of(&layer, "alice");
        assert!(pair.starts_with(&format!("{name}=")), "{pair}");
        assert_eq!(look(&layer, &pair), (Some("alice".into()), None));
        for other in ["id", "__Host-id", "__Secure-id", "__host-id"] {
            if other != name {
                assert_eq!(look(&layer, &format!("{other}={}", value_of(&pair))), (None, None));
            }
        }
    }
}

#[test]
fn refused_lifetimes() {
    let layer = || SessionLayer::encrypted(key());
    let second = Duration::from_secs(1);
    let short = "ends every session at once";
    for nothing in [Duration::ZERO, Duration::from_millis(999)] {
        assert_config(layer().max_age(nothing).build(), short);
        assert_config(layer().max_age_limit(nothing).build(), short);
        assert_config(layer().absolute_lifetime(nothing).build(), short);
    }
    let limit = "`max_age_limit` is shorter than `max_age`";
    assert_config(layer().max_age(2 * second).max_age_limit(second).build(), limit);
    assert_config(layer().max_age(None).max_age_limit(second).build(), limit);
    assert_config(
        layer().max_age(None).rolling(true).build(),
        "`rolling` prolongs `max_age`, and there is none",
    );
    let interval = "`refresh_interval` is not shorter than `max_age`";
    assert_config(
        layer().max_age(2 * second).refresh_interval(2 * second).build(),
        interval,
    );
    assert!(
        layer()
            .max_age(2 * second)
            .refresh_interval(second)
            .rolling(true)
            .build()
            .is_ok()
    );
}

#[test]
fn refused_what_the_codec_cannot_carry() {
    let nothing = || Wrong {
        format: Format::new(),
        ..Wrong::writing("x")
    };
    let layer = || SessionLayer::with_codec(nothing());
    assert_config(layer().build(), "the server cannot enforce `max_age`");
    assert!(layer().max_age(None).build().is_ok());
    let issued = || SessionLayer::with_codec(Wrong::writing("x"));
    assert_config(
        issued().absolute_lifetime(DAY).build(),
        "`absolute_lifetime` cannot work",
    );
    assert_config(issued().max_age_limit(400 * DAY).build(), "`max_age_limit` cannot work");
    assert_config(issued().chunked(2).build(), "cannot split a session");
    // A fallback that never expires, for ever.
    let accepting = |until| SessionLayer::encrypted(key()).also_accept(nothing(), until);
    assert_config(accepting(Until::forever()).build(), "its cookies would never expire");
    assert!(accepting(Until::date(SystemTime::now())).build().is_ok());
    assert!(accepting(Until::forever()).max_age(None).build().is_ok());
    // What it cannot carry is an error where it is asked for, too.
    send(&issued(), "", |session| {
        let error = session.set_max_age(DAY).unwrap_err().to_string();
        assert!(error.contains("no place for a session's own lifetime"), "{error}");
        ok()
    });
}

#[test]
fn refused_chunks_keys_names_and_codecs() {
    let layer = || SessionLayer::encrypted(key());
    for parts in [0, 5, usize::MAX] {
        assert_config(layer().chunked(parts).build(), "is out of range: 1 to 4 cookies");
    }
    let twice = key();
    let ring = || KeyRing::new(key()).accept(twice.clone());
    let says = "in the key ring twice";
    assert_config(SessionLayer::signed(ring().accept(twice.clone())).build(), says);
    assert_config(
        SessionLayer::encrypted(ring().sign_from(twice.clone(), SystemTime::now())).build(),
        says,
    );
    assert_config(
        layer()
            .also_accept(Signed::new(ring().accept(twice.clone())), Until::forever())
            .build(),
        says,
    );
    assert_config(layer().app("a".repeat(65_536)).build(), "longer than 65,535 bytes");
    for (live, removal) in [
        ("; path=/\r\nSet-Cookie: a=b", "; max-age=0"),
        ("; path=/", "; max-age=0\nx"),
        ("", "\0"),
    ] {
        let spelled = Wrong {
            spelling: Some((live, removal)),
            ..Wrong::writing("x")
        };
        assert_config(SessionLayer::with_codec(spelled).build(), "may not stand in a header");
    }
    for suffix in [&[""][..], &["; Path=/"], &["\r\n"], &[".sig", "a b"]] {
        let companions = Wrong {
            format: Format::new().carries_issued().companions(suffix),
            ..Wrong::writing("x")
        };
        assert_config(SessionLayer::with_codec(companions.clone()).build(), "companion cookie");
        assert_config(
            layer().also_accept(companions, Until::forever()).build(),
            "companion cookie",
        );
    }
}

#[test]
fn a_layer_that_was_never_built_fails_closed() {
    let shared = key();
    let good = SessionLayer::encrypted(shared.clone());
    let cookies = pair_of(&good, "alice");
    let broken = SessionLayer::encrypted(shared).max_age(Duration::ZERO);
    for _ in 0..2 {
        let response = send(&broken, &cookies, |session| {
            let refused =
                |result: Result<(), Error>| assert!(matches!(result, Err(Error::Config { .. })), "{result:?}");
            refused(session.get::<String>("user").map(drop));
            refused(session.insert("user", "mallory"));
            refused(session.remove("user"));
            refused(session.take::<String>("user").map(drop));
            refused(session.contains_key("user").map(drop));
            refused(session.len().map(drop));
            refused(session.is_empty().map(drop));
            refused(session.keys().map(drop));
            refused(session.clear());
            refused(session.to_map::<BTreeMap<String, Value>>().map(drop));
            refused(session.get_or_insert_with("user", || 1).map(drop));
            refused(poll_now(session.update("user", |_: Option<u64>| 1)).map(drop));
            refused(session.renew());
            refused(session.authenticated());
            refused(session.destroy());
            refused(session.set_max_age(DAY));
            refused(session.is_new().map(drop));
            refused(session.created_at().map(drop));
            refused(session.authenticated_at().map(drop));
            refused(session.expires_at().map(drop));
            assert!(!session.is_modified());
            let mut response = Response::new("as it was".to_owned());
            response
                .headers_mut()
                .insert("x-handler", HeaderValue::from_static("1"));
            response
        });
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.body(), "as it was");
        assert_eq!(response.headers().len(), 1);
    }
    assert!(matches!(
        broken.cookie_header(&BTreeMap::from([("user", 1)])),
        Err(Error::Config { .. })
    ));
    // A setting after `build` is checked, too.
    let changed = good.build().unwrap().secure(false).same_site(SameSite::None);
    let response = send(&changed, &cookies, |session| {
        assert!(session.insert("user", "mallory").is_err());
        ok()
    });
    assert_eq!(response.headers().len(), 0);
}

#[test]
fn duplicates_and_fallbacks_never_make_a_session_of_a_foreign_key() {
    let shared = key();
    let layer = SessionLayer::encrypted(shared.clone())
        .on_duplicates(Duplicates::Newest)
        .also_accept(
            Fallback::new(Signed::new(shared.clone())).cookie_name("old"),
            Until::forever(),
        )
        .also_accept(Signed::new(shared.clone()), Until::forever())
        .build()
        .unwrap();
    let mallory = SessionLayer::signed(key())
        .cookie_name("old")
        .secure(false)
        .build()
        .unwrap();
    let forged = value_of(&pair_of(&mallory, "mallory")).to_owned();
    assert_refused(&layer, &format!("old={forged}"));
    assert_refused(&layer, &format!("__Host-session={forged}; old={forged}"));
    // A fallback is bound to its own name, although it shares its key.
    let old = SessionLayer::signed(shared)
        .cookie_name("old")
        .secure(false)
        .build()
        .unwrap();
    let good = pair_of(&old, "alice");
    assert!(look(&layer, &good).0.is_some());
    assert_refused(&layer, &format!("__Host-session={}", value_of(&good)));
    // And counts for nothing beside a cookie of the layer's own name, be that good or bad.
    assert_refused(&layer, &format!("__Host-session=x; {good}"));
}

// --- The table.

#[test]
fn docs_security_md_names_tests_that_exist_and_leaves_no_row_without_one() {
    let text = include_str!("../docs/security.md");
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut sources = BTreeMap::new();
    let mut named = 0;
    for code in text.split('`').skip(1).step_by(2) {
        let Some((file, test)) = code.split_once(": ").filter(|(_, test)| test.contains('_')) else {
            continue;
        };
        let source = sources.entry(file.to_owned()).or_insert_with(|| {
            // A test may keep its scenarios in a folder of its name, or be one.
            let parts = std::fs::read_dir(tests.join(file)).into_iter().flatten();
            let parts = parts.map(|part| part.unwrap().path());
            let files = parts.chain([tests.join(format!("{file}.rs"))]);
            files
                .filter(|file| file.exists())
                .map(|file| std::fs::read_to_string(file).unwrap())
                .collect::<String>()
        });
        assert!(
            source.contains(&format!("fn {test}(")),
            "no test {test} in tests/{file}.rs"
        );
        named += 1;
    }
    assert!(named > 80, "{named}");
    for row in 1..=84 {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("| {row} |")))
            .unwrap();
        assert!(
            row == 33 || [": row_", ": docs_", ": fault_"].iter().any(|test| line.contains(test)),
            "row {row} has no test"
        );
    }
}
