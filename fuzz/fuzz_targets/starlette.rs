//! Starlette's format: any text, and payloads of any content with a good signature.
#![no_main]

use std::sync::LazyLock;

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_session::SessionLayer;
use http_session_fuzz::{NOW, is_object, now, read, write};
use libfuzzer_sys::fuzz_target;
use sha1::{Digest as _, Sha1};

const SECRET: &str = "a secret for tests";

static LAYER: LazyLock<SessionLayer> =
    LazyLock::new(|| SessionLayer::starlette(SECRET).clock(now).build().expect("it is good"));

fn signature(signed: &[u8]) -> String {
    let key = Sha1::digest(format!("itsdangerous.Signersigner{SECRET}"));
    let tag = Hmac::<Sha1>::new_from_slice(&key)
        .expect("any length")
        .chain_update(signed)
        .finalize();
    URL_SAFE_NO_PAD.encode_to_string(tag.into_bytes())
}

/// White space, escapes and floats are written as Python writes them, so only what is meant can be compared.
fn spelled(text: String) -> String {
    serde_json::from_str::<serde_json::Value>(&text).map_or("too large for Rust".to_owned(), |value| value.to_string())
}

// The first byte says what the rest is: a text, a text to be signed, a payload, or a stamp of eight bytes and a payload.
fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    let (stamp, payload) = match rest.split_first_chunk::<8>() {
        Some((stamp, payload)) if mode % 4 == 3 => (stamp.to_vec(), payload),
        _ => ((NOW / 1000).to_be_bytes()[4..].to_vec(), rest),
    };
    let signed = match mode % 4 {
        0 | 1 => rest.to_vec(),
        _ => {
            let stamp = URL_SAFE_NO_PAD.encode_to_string(stamp);
            format!("{}.{stamp}", STANDARD.encode_to_string(payload)).into_bytes()
        }
    };
    let text = match mode % 4 {
        0 => signed,
        _ => [&signed[..], b".", signature(&signed).as_bytes()].concat(),
    };
    let lines = [[b"session=", &text[..]].concat()];
    let seen = read(&LAYER, &lines);
    if mode % 4 == 0 && seen.is_ok() {
        // Whoever found this knows the secret, or the text came with quotes around it, of which there are many kinds.
        let dot = text.iter().rposition(|&byte| byte == b'.').expect("a signature");
        let plain = text
            .iter()
            .all(|byte| !matches!(byte, b'"' | b'\\' | b' ' | b'\t' | b';'));
        assert!(!plain || text[dot + 1..] == *signature(&text[..dot]).as_bytes());
    }
    if let Ok(json) = &seen {
        assert!(is_object(json));
    }
    write(&LAYER, &lines, &seen, spelled);
});
