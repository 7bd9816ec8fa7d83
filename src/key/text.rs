//! A key as text, and which keys are too weak to be one.

use super::{HOW_TO, MIN_BYTES};
use crate::error::Error;

/// Random bytes of this length hold about 30 different values, and never as few as this.
const MIN_DISTINCT: usize = 12;

/// Keys that stand in documentation, so that they are no secret: those of `docs/format.md`.
const SAMPLES: [&str; 0] = [];

pub(super) fn parse(text: &str) -> Result<Vec<u8>, Error> {
    let secret = decode(text.trim())?;
    check(&secret)?;
    Ok(secret)
}

fn decode(text: &str) -> Result<Vec<u8>, Error> {
    let not = |what: &str| Error::key(format!("it is not {what}; {HOW_TO}"));
    if let Some(digits) = text.strip_prefix("hex:") {
        return hex(digits).ok_or_else(|| not("hexadecimal, as its prefix says"));
    }
    if let Some(digits) = text.strip_prefix("base64:") {
        return base64(digits).ok_or_else(|| not("base64, as its prefix says"));
    }
    if text.len() == 2 * MIN_BYTES
        && let Some(secret) = hex(text)
    {
        return Ok(secret);
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
    let mut seen = [false; 256];
    secret.iter().for_each(|&byte| seen[usize::from(byte)] = true);
    let distinct = seen.iter().filter(|&&seen| seen).count();
    let step = secret[1].wrapping_sub(secret[0]);
    let regular = secret.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    if distinct < MIN_DISTINCT || regular {
        return Err(Error::key(format!(
            "it is a pattern and not random, so it can be guessed; {HOW_TO}"
        )));
    }
    if secret.iter().all(|byte| (b' '..=b'~').contains(byte)) {
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

fn hex(digits: &str) -> Option<Vec<u8>> {
    if digits.len() % 2 != 0 {
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
