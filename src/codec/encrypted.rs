//! Neither readable nor changeable by the client.

use std::fmt;

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};

use super::{
    Binding, Codec, Format, Incoming, Outgoing, Payload,
    bound::Bound,
    frame::{self, HEAD, Kind, META},
};
use crate::{
    error::{Error, Reject},
    key::{KeyRing, random},
    session::Millis,
};

const SALT: usize = 24;
const TAG: usize = 16;
/// What is authenticated and not encrypted.
const CLEAR: usize = HEAD + SALT;

/// Sessions that the client can neither read nor change: AES-256-GCM, each cookie under a key of its own.
///
/// The cookie is 87 bytes longer than the JSON, before base64; its length tells the length of the JSON. The key of a cookie is
/// derived from the ring's key and 192 random bits and is used once, so there is no number of cookies after which a key is
/// worn out (a random 96-bit nonce under one AES-GCM key is good for about 2^32).
#[derive(Clone)]
pub struct Encrypted {
    ring: KeyRing,
    keys: Bound<hmac::Key>,
}

impl Encrypted {
    /// Encrypts with the ring's signing key and accepts all of them.
    #[must_use]
    pub fn new(keys: impl Into<KeyRing>) -> Self {
        Self {
            ring: keys.into(),
            keys: Bound::nothing(),
        }
    }
}

/// `[head | salt | AES-256-GCM(meta | JSON) | tag]`, with `head | salt` as associated data
impl Codec for Encrypted {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        let (mut frame, id) = frame::read(cookie.value(), CLEAR + META + TAG)?;
        let mut keys = self.keys.named(id).peekable();
        if keys.peek().is_none() {
            cookie.unknown_key.set(Some(id));
            return Err(Reject::UnknownKey);
        }
        if frame[0] != Kind::Encrypted as u8 {
            return Err(Reject::BadSignature);
        }
        let mut opened = false;
        while let (false, Some(key)) = (opened, keys.next()) {
            cookie.attempt()?;
            // Opening destroys what does not open, so it works on a copy while there is another key to try.
            let spare = keys.peek().is_some().then(|| frame.clone());
            opened = open(key, &mut frame)?;
            if let (false, Some(spare)) = (opened, spare) {
                frame = spare;
            }
        }
        if !opened {
            return Err(Reject::BadSignature);
        }
        let meta = frame::read_meta(&frame[CLEAR..CLEAR + META])?;
        // The frame's buffer becomes the text.
        frame.truncate(frame.len() - TAG);
        frame.drain(..CLEAR + META);
        let json = String::from_utf8(frame).map_err(|_| Reject::Malformed)?;
        Ok(Payload { json, meta })
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        let salt: [u8; SALT] = random()?;
        self.seal(payload, salt, cookie.now, cookie.line)
    }

    fn format(&self) -> Format {
        frame::FORMAT
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        self.keys = Bound::new(&self.ring, "encrypted", binding, |key| {
            hmac::Key::new(hmac::HMAC_SHA256, &key)
        })?;
        Ok(())
    }

    fn text_len(&self, start: &[u8]) -> Option<usize> {
        frame::text_len(start)
    }
}

impl Encrypted {
    /// Encrypts under this salt, which must be new: `encode` draws one, known answers bring theirs.
    pub(super) fn seal(&self, payload: &Payload, salt: [u8; SALT], now: Millis, out: &mut String) -> Result<(), Error> {
        let (id, key) = self.keys.signing(now)?;
        let len = CLEAR + META + payload.json.len() + TAG;
        let mut frame = Vec::with_capacity(len);
        frame.extend_from_slice(&frame::head(Kind::Encrypted, *id, len)?);
        frame.extend_from_slice(&salt);
        frame.extend_from_slice(&frame::meta(&payload.meta));
        frame.extend_from_slice(payload.json.as_bytes());
        let (clear, secret) = frame.split_at_mut(CLEAR);
        let tag = subkey(key, &salt)
            .and_then(|key| key.seal_in_place_separate_tag(nonce(), Aad::from(&*clear), secret).ok())
            .ok_or_else(|| Error::codec("AES-256-GCM refused the session"))?;
        frame.extend_from_slice(tag.as_ref());
        frame::write(&frame, out);
        Ok(())
    }
}

/// Decrypts the frame in its place, or destroys it.
fn open(key: &hmac::Key, frame: &mut [u8]) -> Result<bool, Reject> {
    let (clear, secret) = frame.split_at_mut(CLEAR);
    let key = subkey(key, &clear[HEAD..]).ok_or(Reject::BadSignature)?;
    Ok(key.open_in_place(nonce(), Aad::from(&*clear), secret).is_ok())
}

/// The AES key of one cookie.
fn subkey(key: &hmac::Key, salt: &[u8]) -> Option<LessSafeKey> {
    let derived = hmac::sign(key, salt);
    UnboundKey::new(&AES_256_GCM, derived.as_ref())
        .ok()
        .map(LessSafeKey::new)
}

/// Always zero: each subkey encrypts once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted")
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}
