//! A key as text, and which keys are too weak to be one.

use super::{HOW_TO, MIN_BYTES};
use crate::error::Error;

/// Random bytes of this length hold about 30 different values, and never as few as this.
const MIN_DISTINCT: usize = 12;

/// Keys that stand in documentation, so that they are no secret: those of `docs/format.md`.
const SAMPLES: [&str; 2] = [
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "ad22b1751613f5817d9939ea08be122fd565296a5851f6f331e521c1f6f70c118ac3143dcf41bf6e22d273887f3a485e",
];

pub(super) fn parse(text: &str) -> Result<Vec<u8>, Error> {
    let secret = bytes(text)?;
    check(&secret)?;
    Ok(secret)
}

/// The bytes that a text means, however weak they are.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, Error> {
    let text = text.trim();
    let not = |what: &str| Error::key(format!("it is not {what}; {HOW_TO}"));
    if let Some(digits) = text.strip_prefix("hex:") {
        return hex(digits).ok_or_else(|| not("hexadecimal, as its prefix says"));
    }
    if let Some(digits) = text.strip_prefix("base64:") {
        return base64(digits).ok_or_else(|| not("base64, as its prefix says"));
    }
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        // Files of variables are read with their quotes by some tools and without them by others.
        return Err(Error::key(format!(
            "it has a quotation mark at one end: leave the marks out, since not every tool takes them away; or {HOW_TO}"
        )));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        // Base64 of nothing but hex digits does not happen by chance: it is hex with a digit too
        // few, or a longer key.
        return match hex(text) {
            Some(secret) if text.len() == 2 * MIN_BYTES => Ok(secret),
            _ => Err(Error::key(format!(
                "it has {} hexadecimal digits and 64 are needed, or say with `hex:` or `base64:` before it how it is written; \
                 {HOW_TO}",
                text.len()
            ))),
        };
    }
    base64(text).ok_or_else(|| not("hexadecimal of 64 digits and not base64"))
}

fn check(secret: &[u8]) -> Result<(), Error> {
    if secret.len() < MIN_BYTES {
        let (n, s) = (secret.len(), if secret.len() == 1 { "" } else { "s" });
        return Err(Error::key(format!(
            "it has {n} byte{s} and at least {MIN_BYTES} are needed; {HOW_TO}"
        )));
    }
    let (_, distinct) = most(secret.iter().copied());
    // Counting up or down shows as one difference between most neighbours, whatever it starts with.
    let (regular, _) = most(secret.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
    let repeats = (1..=secret.len() / 2).any(|period| secret[period..] == secret[..secret.len() - period]);
    if distinct < MIN_DISTINCT || 2 * regular >= secret.len() || repeats {
        return Err(Error::key(format!(
            "it is a pattern and not random, so it can be guessed; {HOW_TO}"
        )));
    }
    let is_text = |text: &str| text.chars().all(|char| char.is_whitespace() || !char.is_control());
    if std::str::from_utf8(secret).is_ok_and(is_text) {
        return Err(Error::key(format!(
            "it is readable text and not random, so it can be guessed; {HOW_TO}"
        )));
    }
    if SAMPLES.iter().any(|sample| hex(sample).as_deref() == Some(secret)) {
        return Err(Error::key(format!(
            "it is a sample from the documentation and known to everybody; {HOW_TO}"
        )));
    }
    Ok(())
}

/// How often the most frequent byte occurs, and how many different ones there are.
fn most(bytes: impl Iterator<Item = u8>) -> (usize, usize) {
    let mut times = [0_usize; 256];
    bytes.for_each(|byte| times[usize::from(byte)] += 1);
    let distinct = times.iter().filter(|&&times| times > 0).count();
    (times.into_iter().max().unwrap_or(0), distinct)
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let alphabet = match (text.contains(['-', '_']), text.ends_with('=')) {
        (false, false) => base64_simd::STANDARD_NO_PAD,
        (false, true) => base64_simd::STANDARD,
        (true, false) => base64_simd::URL_SAFE_NO_PAD,
        (true, true) => base64_simd::URL_SAFE,
    };
    alphabet.decode_to_vec(text).ok()
}
