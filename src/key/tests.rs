//! Key texts against `tests/vectors/native.json`, and which keys are refused with what words.

use super::*;

fn refusal(text: &str) -> String {
    let error = text.parse::<Key>().expect_err(text);
    assert!(matches!(error, Error::Key { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.starts_with("the session key cannot be used: "),
        "a sentence, not {message:?}"
    );
    assert!(
        message.ends_with("make one with `openssl rand -hex 32`"),
        "no way out in {message:?}"
    );
    assert!(!text.trim().is_empty() || message.contains("0 bytes"), "{message}");
    if text.len() > 12 {
        assert!(!message.contains(&text[8..]), "the message shows the key");
    }
    message
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn vectors_of_key_texts() {
    let all: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/native.json")).unwrap();
    let texts = all["key_texts"].as_array().unwrap();
    assert!(texts.len() >= 37);
    let mut usable = 0;
    for vector in texts {
        let (text, bytes) = (vector["text"].as_str().unwrap(), vector["bytes"].as_str());
        let read = bytes_of_text(text).ok().filter(|bytes| bytes.len() >= MIN_BYTES);
        assert_eq!(read.as_deref().map(hex).as_deref(), bytes, "{text:?}");
        match (text.parse::<Key>(), bytes) {
            (Ok(key), Some(bytes)) => {
                assert_eq!(hex(key.secret()), bytes);
                usable += 1;
            }
            // What the vectors mean and nobody may use.
            (Err(error), Some(_)) => assert!(
                error.to_string().contains("pattern") || error.to_string().contains("sample"),
                "{text:?}: {error}"
            ),
            (key, None) => assert!(key.is_err(), "{text:?}"),
        }
    }
    assert!(usable >= 10, "{usable}");
}

#[test]
fn row_12_a_key_of_the_documentation_is_refused() {
    let page = include_str!("../../docs/format.md");
    let keys = keys_of_page(page);
    assert_eq!(keys.len(), 2, "the page has other keys than it had");
    for text in &keys {
        refusal(text);
        refusal(&text.to_lowercase());
        let bytes = bytes_of_text(text).unwrap();
        refusal(&base64_simd::URL_SAFE_NO_PAD.encode_to_string(&bytes));
        refusal(&format!("base64:{}", base64_simd::STANDARD.encode_to_string(&bytes)));
    }
    let message = refusal(keys[1]);
    assert!(message.contains("a sample from the documentation"), "{message}");
}

fn keys_of_page(page: &str) -> Vec<&str> {
    page.split("Key text `")
        .skip(1)
        .map(|rest| rest.split('`').next().unwrap())
        .collect()
}

#[test]
fn row_12_weak_keys_are_refused_with_the_reason() {
    let counting: Vec<u8> = (7..71).collect();
    let down: Vec<u8> = (0..32).rev().collect();
    let by_three: Vec<u8> = (0..100).map(|n: u8| n.wrapping_mul(3).wrapping_add(9)).collect();
    let almost: Vec<u8> = (0..32).map(|n| if n == 11 { 200 } else { n }).collect();
    let aes = b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff".repeat(2);
    let sixteen_twice = random::<16>().unwrap().repeat(2);
    for weak in [
        vec![0; 32],
        vec![0xff; 64],
        vec![b'a'; 32],
        [[1; 16], [2; 16]].concat(),
        b"\xde\xad\xbe\xef".repeat(8),
        b"\x01\x23\x45\x67\x89\xab\xcd\xef".repeat(4),
        counting,
        down,
        by_three,
        almost,
        aes,
        sixteen_twice,
    ] {
        assert!(refusal(&hex_text(&weak)).contains("it is a pattern and not random"));
    }
    for text in [
        "correct horse battery staple, and some more",
        "correct horse battery staple, and some more\n",
        "3f9a1c77e02b4d5586aa90cbfe1d2e34",
        "Ein schöner Schlüssel, länger als nötig",
        "0b5c3f3c-93a1-4ff7-9aa5-3b2b2bb4b6ab",
    ] {
        let message = refusal(&hex_text(text.as_bytes()));
        assert!(message.contains("readable text and not random"), "{message}");
        refusal(&base64_simd::STANDARD.encode_to_string(text));
    }
}

fn hex_text(bytes: &[u8]) -> String {
    format!("hex:{}", hex(bytes))
}

#[test]
fn row_12_short_and_unreadable_texts_are_refused_with_the_reason() {
    assert!(refusal("hex:00").contains("it has 1 byte and at least 32 are needed"));
    assert!(refusal("").contains("it has 0 bytes"));
    assert!(refusal(" \n").contains("it has 0 bytes"));
    let strong: [u8; 32] = random().unwrap();
    assert!(refusal(&hex_text(&strong[..31])).contains("it has 31 bytes"));
    assert!(refusal(&hex_text(&strong)[..67]).contains("not hexadecimal, as its prefix says"));
    assert!(refusal("base64:*").contains("not base64, as its prefix says"));
    assert!(refusal("\"000102\"").contains("leave the marks out"));
    assert!(refusal("my secret").contains("not hexadecimal of 64 digits and not base64"));
    assert!(refusal("пароль").contains("not hexadecimal"));
    assert!(refusal("hex:пароль").contains("not hexadecimal"));
}

#[test]
fn all_spellings_of_a_key_are_that_key() {
    // With digits that differ between the alphabets.
    let mut secret: [u8; 32] = random().unwrap();
    secret[..6].copy_from_slice(&[0xfb, 0xef, 0xbe, 0xff, 0xff, 0xff]);
    let hex = hex(&secret);
    let standard = base64_simd::STANDARD.encode_to_string(secret);
    let url = base64_simd::URL_SAFE.encode_to_string(secret);
    assert!(standard.contains('+') && url.contains('-') && url.ends_with('='));
    for text in [
        hex.clone(),
        hex.to_uppercase(),
        format!("hex:{hex}"),
        format!(" \t{hex}\r\n"),
        standard.clone(),
        url.clone(),
        standard.trim_end_matches('=').to_owned(),
        url.trim_end_matches('=').to_owned(),
        format!("base64:{standard}"),
        format!("base64:{}\n", url.trim_end_matches('=')),
    ] {
        assert_eq!(text.parse::<Key>().unwrap().secret(), secret, "{text:?}");
    }
}

#[test]
fn generated_keys_are_distinct_and_strong() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1000 {
        let key = Key::generate().unwrap();
        assert_eq!(key.secret().len(), MIN_BYTES);
        let text = hex(key.secret());
        assert_eq!(text.parse::<Key>().unwrap().secret(), key.secret());
        assert!(seen.insert(text));
    }
}

#[test]
fn the_same_key_twice_is_refused_wherever_it_stands() {
    let at = std::time::SystemTime::UNIX_EPOCH;
    let (a, b) = (Key::generate().unwrap(), Key::generate().unwrap());
    let again = Key::unchecked(a.secret());
    let ring = || KeyRing::new(a.clone()).accept(b.clone());
    assert!(ring().check().is_ok());
    for ring in [
        ring().accept(again.clone()),
        ring().sign_from(again.clone(), at),
        KeyRing::new(b.clone()).accept(a.clone()).sign_from(again.clone(), at),
        KeyRing::new(b.clone()).sign_from(a.clone(), at).sign_from(again, at),
    ] {
        let message = ring.check().unwrap_err().to_string();
        assert!(message.contains("twice: name each key once"), "{message}");
    }
}

#[test]
fn debug_says_how_many_keys_and_none_of_them() {
    let ring = KeyRing::new(Key::generate().unwrap()).accept(Key::generate().unwrap());
    assert_eq!(format!("{ring:?}"), "KeyRing { keys: 2, .. }");
    assert_eq!(format!("{:?}", Key::generate().unwrap()), "Key(REDACTED)");
}
