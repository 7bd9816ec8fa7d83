//! The native formats against `tests/vectors/native.json`, which another implementation made (`tests/python`), and the
//! frame byte by byte.

use std::cell::Cell;

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Binding, Codec, Encrypted, Incoming, Outgoing, Payload, Signed, frame::META};
use crate::{
    SameSite,
    error::{Error, Reject},
    key::{Key, KeyRing, random},
    session::{Base, Meta},
};

fn vectors(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../tests/vectors/native.json")).unwrap();
    let Value::Array(vectors) = all[part].clone() else {
        panic!("{part} is not an array");
    };
    vectors
}

/// The keys of the vectors are known to everybody, so they are made past the check.
fn key(text: &str) -> Key {
    Key::unchecked(&crate::key::bytes_of_text(text).unwrap())
}

fn ring<'a>(texts: impl IntoIterator<Item = &'a str>) -> KeyRing {
    let mut keys = texts.into_iter().map(key);
    let first = KeyRing::new(keys.next().unwrap());
    keys.fold(first, KeyRing::accept)
}

fn bound(mut codec: impl Codec, app: &str, cookie_name: &str) -> Box<dyn Codec> {
    codec.bind(&binding(app, cookie_name)).unwrap();
    Box::new(codec)
}

fn binding<'a>(app: &'a str, cookie_name: &'a str) -> Binding<'a> {
    Binding {
        app,
        cookie_name,
        path: "/",
        domain: None,
        secure: true,
        http_only: true,
        same_site: SameSite::Lax,
        partitioned: false,
        max_age: None,
    }
}

fn codec(kind: &str, ring: KeyRing, app: &str, cookie_name: &str) -> Box<dyn Codec> {
    match kind {
        "signed" => bound(Signed::new(ring), app, cookie_name),
        "encrypted" => bound(Encrypted::new(ring), app, cookie_name),
        other => panic!("no codec {other:?}"),
    }
}

/// As a layer reads: the text must be one JSON object, too.
fn decode(codec: &dyn Codec, text: &[u8]) -> Result<Payload, Reject> {
    decode_with(codec, text, &Cell::new(16))
}

fn decode_with(codec: &dyn Codec, value: &[u8], attempts: &Cell<u8>) -> Result<Payload, Reject> {
    let payload = codec.decode(&Incoming {
        value,
        companions: &[],
        attempts,
        unknown_key: &Cell::new(None),
    })?;
    Base::parse(payload.json.clone()).map_err(|_| Reject::Malformed)?;
    Ok(payload)
}

fn encode(codec: &dyn Codec, payload: &Payload) -> String {
    let (mut line, mut companions) = (String::new(), Vec::new());
    codec
        .encode(
            payload,
            &mut Outgoing {
                line: &mut line,
                companions: &mut companions,
                now: 0,
            },
        )
        .unwrap();
    assert!(companions.is_empty());
    line
}

fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member} of {vector}"))
}

fn hex<const N: usize>(digits: &str) -> [u8; N] {
    assert_eq!(digits.len(), 2 * N);
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

/// What the vector says that its cookie holds.
fn payload(vector: &Value) -> Payload {
    let number = |member: &str| vector[member].as_u64().unwrap();
    Payload {
        json: text(vector, "json").to_owned(),
        meta: Meta {
            id: Some(hex(text(vector, "sid"))),
            created: Some(number("created")),
            issued: Some(number("issued")),
            authenticated: Some(number("authenticated")).filter(|&at| at != 0),
            max_age: u32::try_from(number("max_age")).ok().filter(|&seconds| seconds != 0),
            is_owned: false,
        },
    }
}

fn accepts(vector: &Value, ring: KeyRing) {
    let (app, name) = (text(vector, "app"), text(vector, "name_on_wire"));
    let codec = codec(text(vector, "type"), ring, app, name);
    let read = decode(&*codec, text(vector, "cookie").as_bytes())
        .unwrap_or_else(|reason| panic!("{}: {reason:?}", vector["name"]));
    let expected = payload(vector);
    assert_eq!(read.json, expected.json, "{}", vector["name"]);
    assert_eq!(read.meta, expected.meta, "{}", vector["name"]);
}

#[test]
fn row_9_vectors_are_read_and_written_byte_for_byte() {
    let vectors = vectors("accept");
    assert!(vectors.len() >= 40);
    for vector in &vectors {
        let ring = ring([text(vector, "key")]);
        accepts(vector, ring.clone());
        let (app, name) = (text(vector, "app"), text(vector, "name_on_wire"));
        let written = match text(vector, "type") {
            "signed" => encode(&*bound(Signed::new(ring), app, name), &payload(vector)),
            _ => {
                let mut codec = Encrypted::new(ring);
                codec.bind(&binding(app, name)).unwrap();
                let mut line = String::new();
                let salt = hex(text(vector, "salt"));
                codec.seal(&payload(vector), salt, 0, &mut line).unwrap();
                line
            }
        };
        assert_eq!(written, text(vector, "cookie"), "{}", vector["name"]);
    }
}

#[test]
fn vectors_that_must_be_refused_are_for_the_same_reason() {
    let vectors = vectors("reject");
    assert!(vectors.len() >= 200);
    for vector in &vectors {
        let keys = vector["keys"].as_array().unwrap();
        let codec = codec(
            text(vector, "codec"),
            ring(keys.iter().map(|key| key.as_str().unwrap())),
            text(vector, "app"),
            text(vector, "name_on_wire"),
        );
        let reason = match text(vector, "reason") {
            "malformed" => Reject::Malformed,
            "unknown-key" => Reject::UnknownKey,
            "bad-signature" => Reject::BadSignature,
            other => panic!("no reason {other:?}"),
        };
        let read = decode(&*codec, text(vector, "cookie").as_bytes());
        assert_eq!(read.map(|_| ()), Err(reason), "{}", vector["name"]);
    }
}

#[test]
fn of_colliding_key_ids_all_matches_are_tried() {
    let all: Value = serde_json::from_str(include_str!("../../tests/vectors/native.json")).unwrap();
    let colliding = &all["colliding_keys"];
    let keys: Vec<&str> = colliding["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap())
        .collect();
    let cookies = colliding["cookies"].as_array().unwrap();
    assert_eq!((keys.len(), cookies.len()), (2, 4));
    let other = "hex:c2f4ab9a6a1b1f3d5c7e9081a3b5c7d9eb0d2f4163758597a9bbcddfe1031527";
    for order in [
        vec![keys[0], keys[1]],
        vec![keys[1], keys[0]],
        vec![other, keys[0], keys[1]],
        vec![keys[1], other, keys[0]],
    ] {
        for cookie in cookies {
            accepts(cookie, ring(order.iter().copied()));
        }
    }
    // Each attempt is counted, and a signature that fits neither is tried with both.
    for cookie in cookies {
        let codec = codec(
            text(cookie, "type"),
            ring([keys[0], keys[1], other]),
            "",
            text(cookie, "name_on_wire"),
        );
        let mut frame = URL_SAFE_NO_PAD.decode_to_vec(text(cookie, "cookie")).unwrap();
        *frame.last_mut().unwrap() ^= 1;
        let forged = URL_SAFE_NO_PAD.encode_to_string(&frame);
        let attempts = Cell::new(16);
        let read = decode_with(&*codec, forged.as_bytes(), &attempts);
        assert_eq!(read.map(|_| ()), Err(Reject::BadSignature));
        assert_eq!(attempts.get(), 14);
        let read = decode_with(&*codec, forged.as_bytes(), &Cell::new(1));
        assert_eq!(
            read.map(|_| ()),
            Err(Reject::Ambiguous),
            "the second attempt needs leave"
        );
    }
}

#[test]
fn no_mac_is_computed_for_what_cannot_be_ours() {
    let ours = Key::generate().unwrap();
    for kind in ["signed", "encrypted"] {
        let codec = codec(kind, ours.clone().into(), "", "id");
        let good = encode(&*codec, &sample());
        let frame = URL_SAFE_NO_PAD.decode_to_vec(&good).unwrap();
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = frame.clone();
            change(&mut frame);
            URL_SAFE_NO_PAD.encode_to_string(&frame)
        };
        for (text, reason) in [
            (good[..good.len() - 1].to_owned(), Reject::Malformed),
            (changed(&|frame| frame[7] ^= 1), Reject::Malformed),
            (changed(&|frame| frame[1] ^= 1), Reject::UnknownKey),
            (changed(&|frame| frame[0] ^= 3), Reject::BadSignature),
        ] {
            let none = Cell::new(0);
            assert_eq!(decode_with(&*codec, text.as_bytes(), &none).map(|_| ()), Err(reason));
        }
        assert!(decode_with(&*codec, good.as_bytes(), &Cell::new(1)).is_ok());
        assert_eq!(
            decode_with(&*codec, good.as_bytes(), &Cell::new(0)).map(|_| ()),
            Err(Reject::Ambiguous)
        );
    }
}

/// The head names a key, so whatever the ring's length, one MAC is enough.
#[test]
fn a_long_ring_costs_one_mac() {
    let keys: Vec<Key> = (0..40).map(|_| Key::generate().unwrap()).collect();
    let ring = keys[1..]
        .iter()
        .cloned()
        .fold(KeyRing::new(keys[0].clone()), KeyRing::accept);
    for kind in ["signed", "encrypted"] {
        let reader = codec(kind, ring.clone(), "", "id");
        for key in &keys {
            let text = encode(&*codec(kind, key.clone().into(), "", "id"), &sample());
            let attempts = Cell::new(2);
            assert!(decode_with(&*reader, text.as_bytes(), &attempts).is_ok());
            assert_eq!(attempts.get(), 1);
        }
    }
}

#[test]
fn row_9_every_bit_of_the_frame_counts() {
    let ring = KeyRing::from(Key::generate().unwrap());
    for kind in ["signed", "encrypted"] {
        let codec = codec(kind, ring.clone(), "", "id");
        let frame = URL_SAFE_NO_PAD.decode_to_vec(encode(&*codec, &sample())).unwrap();
        for at in 0..frame.len() {
            for bit in 0..8 {
                let mut forged = frame.clone();
                forged[at] ^= 1 << bit;
                let reason = match at {
                    1..5 => Reject::UnknownKey,
                    5..8 => Reject::Malformed,
                    _ => Reject::BadSignature,
                };
                let text = URL_SAFE_NO_PAD.encode_to_string(&forged);
                let read = decode(&*codec, text.as_bytes());
                assert_eq!(read.map(|_| ()), Err(reason), "{kind}, byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_body_cut_short_is_no_panic_even_if_authentic() {
    // Whoever has the key can make any frame; the vectors have those of the right length.
    let ring = KeyRing::from(Key::generate().unwrap());
    for kind in ["signed", "encrypted"] {
        let codec = codec(kind, ring.clone(), "", "id");
        let frame = URL_SAFE_NO_PAD.decode_to_vec(encode(&*codec, &sample())).unwrap();
        for len in 0..frame.len() {
            let mut cut = frame[..len].to_vec();
            if let Some(field) = cut.get_mut(5..8) {
                field.copy_from_slice(&(len as u32).to_be_bytes()[1..]);
            }
            let least = if kind == "signed" { 40 + META } else { 48 + META };
            let reason = if len < least {
                Reject::Malformed
            } else {
                Reject::BadSignature
            };
            let read = decode(&*codec, URL_SAFE_NO_PAD.encode_to_string(&cut).as_bytes());
            assert_eq!(read.map(|_| ()), Err(reason), "{kind}, {len} bytes");
        }
    }
}

#[test]
fn row_40_each_cookie_is_encrypted_under_a_salt_of_its_own() {
    let codec = codec("encrypted", Key::generate().unwrap().into(), "", "id");
    let mut salts = std::collections::HashSet::new();
    for _ in 0..1000 {
        let frame = URL_SAFE_NO_PAD.decode_to_vec(encode(&*codec, &sample())).unwrap();
        assert!(salts.insert(frame[8..32].to_vec()));
    }
}

#[test]
fn an_unbound_codec_neither_reads_nor_writes() {
    let key = Key::generate().unwrap();
    let text = encode(&*codec("signed", key.clone().into(), "", "id"), &sample());
    let unbound: [Box<dyn Codec>; 2] = [Box::new(Signed::new(key.clone())), Box::new(Encrypted::new(key))];
    for codec in unbound {
        assert!(decode(&*codec, text.as_bytes()).is_err());
        let (mut line, mut companions) = (String::new(), Vec::new());
        let error = codec.encode(
            &sample(),
            &mut Outgoing {
                line: &mut line,
                companions: &mut companions,
                now: 0,
            },
        );
        assert!(matches!(error, Err(Error::Config { .. })));
        assert_eq!(line, "");
    }
}

#[test]
fn names_too_long_for_their_length_field_are_refused() {
    let long = "a".repeat(65_535);
    let codec = &mut Signed::new(Key::generate().unwrap());
    assert!(codec.bind(&binding(&long, "id")).is_ok());
    let longer = "a".repeat(65_536);
    assert!(matches!(codec.bind(&binding(&longer, "id")), Err(Error::Config { .. })));
}

#[test]
fn debug_shows_no_key_and_no_data() {
    let secret: [u8; 32] = random().unwrap();
    let key = Key::unchecked(&secret);
    let codec = Signed::new(key.clone());
    let mut sealed = Encrypted::new(key.clone());
    sealed.bind(&binding("", "id")).unwrap();
    let shown = format!(
        "{codec:?} {sealed:?} {key:?} {:?} {:?} {:?}",
        KeyRing::new(key.clone()),
        sample(),
        Incoming {
            value: b"top-secret",
            companions: &[b"top-secret"],
            attempts: &Cell::new(0),
            unknown_key: &Cell::new(None),
        }
    );
    assert!(!shown.contains("secret"), "{shown}");
    assert!(!shown.contains("tea"), "{shown}");
    for window in secret.windows(4) {
        let hex: String = window.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{window:?}");
        assert!(
            !shown.contains(&hex) && !shown.contains(list.trim_matches(['[', ']'])),
            "{shown}"
        );
    }
}

fn sample() -> Payload {
    Payload {
        json: r#"{"cart":["tea"]}"#.to_owned(),
        meta: Meta {
            id: Some([7; 16]),
            created: Some(1_700_000_000_000),
            issued: Some(1_700_000_000_001),
            authenticated: None,
            max_age: Some(3600),
            is_owned: false,
        },
    }
}
