//! Readable by the client, and changeable by nobody.

use std::fmt;

use ring::hmac;

use super::{
    Binding, Codec, Format, Incoming, Outgoing, Payload,
    bound::Bound,
    frame::{self, HEAD, Kind, META},
};
use crate::{
    error::{Error, Reject},
    key::KeyRing,
};

const TAG: usize = 32;

/// Sessions that the client can read and cannot change: HMAC-SHA256 over the session's JSON.
///
/// The cookie is 79 bytes longer than the JSON, before base64. Use [`Encrypted`](super::Encrypted) unless something else must
/// be able to read the data.
#[derive(Clone)]
pub struct Signed {
    ring: KeyRing,
    keys: Bound<hmac::Key>,
}

impl Signed {
    /// Signs with the ring's signing key and accepts all of them.
    #[must_use]
    pub fn new(keys: impl Into<KeyRing>) -> Self {
        Self {
            ring: keys.into(),
            keys: Bound::nothing(),
        }
    }
}

/// `[head | meta | JSON | HMAC-SHA256 over all before it]`
impl Codec for Signed {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        let (mut frame, id) = frame::read(cookie.value(), HEAD + META + TAG)?;
        let (signed, tag) = frame.split_at(frame.len() - TAG);
        let mut reject = Reject::UnknownKey;
        let mut authentic = false;
        for key in self.keys.named(id) {
            reject = Reject::BadSignature;
            if signed[0] != Kind::Signed as u8 {
                break;
            }
            cookie.attempt()?;
            authentic = hmac::verify(key, signed, tag).is_ok();
            if authentic {
                break;
            }
        }
        if !authentic {
            cookie.unknown_key.set((reject == Reject::UnknownKey).then_some(id));
            return Err(reject);
        }
        let meta = frame::read_meta(&signed[HEAD..HEAD + META])?;
        // The frame's buffer becomes the text.
        frame.truncate(frame.len() - TAG);
        frame.drain(..HEAD + META);
        let json = String::from_utf8(frame).map_err(|_| Reject::Malformed)?;
        Ok(Payload { json, meta })
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        let (id, key) = self.keys.signing(cookie.now)?;
        let len = HEAD + META + payload.json.len() + TAG;
        let mut frame = Vec::with_capacity(len);
        frame.extend_from_slice(&frame::head(Kind::Signed, *id, len)?);
        frame.extend_from_slice(&frame::meta(&payload.meta));
        frame.extend_from_slice(payload.json.as_bytes());
        let tag = hmac::sign(key, &frame);
        frame.extend_from_slice(tag.as_ref());
        frame::write(&frame, cookie.line);
        Ok(())
    }

    fn format(&self) -> Format {
        frame::FORMAT
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        self.keys = Bound::new(&self.ring, "signed", binding, |key| {
            hmac::Key::new(hmac::HMAC_SHA256, &key)
        })?;
        Ok(())
    }

    fn text_len(&self, start: &[u8]) -> Option<usize> {
        frame::text_len(start)
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}
