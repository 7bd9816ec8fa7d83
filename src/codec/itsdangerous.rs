//! The signing of itsdangerous 2.2: `text.stamp.signature`, with HMAC-SHA1.

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};

use super::Incoming;
use crate::error::{Error, Reject};

/// The 20 bytes of a signature in base64.
const SIGNATURE_TEXT: usize = 27;

/// Every key is tried, and a request has 16 attempts.
const MAX_KEYS: usize = 16;

/// Prepared keys, the signing one first.
#[derive(Clone)]
pub(super) struct Signer {
    keys: Vec<Hmac<Sha1>>,
}

impl Signer {
    /// Keys derived as itsdangerous does by default ("django-concat").
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, salt: &str) -> Result<Self, Error> {
        let keys = secrets
            .into_iter()
            .map(|secret| {
                let key = Sha1::new()
                    .chain_update(salt)
                    .chain_update("signer")
                    .chain_update(secret)
                    .finalize();
                Hmac::new_from_slice(&key)
                    .map_err(|_| Error::config("a key could not be derived from this secret: take another one"))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        if keys.len() > MAX_KEYS {
            return Err(Error::config(format!("more than {MAX_KEYS} secrets: drop the oldest")));
        }
        Ok(Self { keys })
    }

    /// Appends `.stamp.signature` to the text that begins at `start`.
    pub(super) fn sign(&self, text: &mut String, start: usize, stamp: u64) -> Result<(), Error> {
        let key = self
            .keys
            .first()
            .ok_or_else(|| Error::config("the codec has no secret: give it one"))?;
        let bytes = stamp.to_be_bytes();
        text.push('.');
        URL_SAFE_NO_PAD.encode_append(&bytes[stamp.leading_zeros() as usize / 8..], text);
        let tag = key
            .clone()
            .chain_update(&text.as_bytes()[start..])
            .finalize()
            .into_bytes();
        text.push('.');
        URL_SAFE_NO_PAD.encode_append(tag, text);
        Ok(())
    }

    /// Checks the signature and returns the text and its stamp, in seconds since the epoch.
    pub(super) fn verify<'a>(&self, cookie: &Incoming<'_>, value: &'a [u8]) -> Result<(&'a [u8], u64), Reject> {
        let (signed, signature) = split_last(value).ok_or(Reject::Malformed)?;
        if signature.len() != SIGNATURE_TEXT {
            return Err(Reject::BadSignature);
        }
        let mut tag = [0; 20];
        let decoded = URL_SAFE_NO_PAD.decode(signature, base64_simd::Out::from_slice(&mut tag));
        decoded.map_err(|_| Reject::BadSignature)?;
        let mut authentic = false;
        for key in &self.keys {
            cookie.attempt()?;
            authentic = key.clone().chain_update(signed).verify_slice(&tag).is_ok();
            if authentic {
                break;
            }
        }
        if !authentic {
            return Err(Reject::BadSignature);
        }
        let (text, stamp) = split_last(signed).ok_or(Reject::Malformed)?;
        let stamp = URL_SAFE_NO_PAD.decode_to_vec(stamp).map_err(|_| Reject::Malformed)?;
        if stamp.len() > 8 {
            return Err(Reject::Malformed);
        }
        Ok((
            text,
            stamp.iter().fold(0, |seconds, &byte| seconds << 8 | u64::from(byte)),
        ))
    }
}

fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memrchr(b'.', text)?;
    Some((&text[..dot], &text[dot + 1..]))
}
