//! Codecs that are not the crate's own: the one of the documentation, and one that uses two cookies.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use http_session::{
    Error, Reject,
    codec::{Binding, Codec, Format, Incoming, Outgoing, Payload},
};
use ring::{hmac, rand::SystemRandom};

pub fn mac_key() -> hmac::Key {
    hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).unwrap()
}

/// `seconds.hex(JSON).hex(HMAC-SHA256)`, word for word as in the documentation of `http_session::codec`.
#[derive(Clone)]
pub struct Dotted(pub hmac::Key);

impl Codec for Dotted {
    fn format(&self) -> Format {
        Format::new().carries_issued()
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        let issued = payload.issued().unwrap_or(SystemTime::UNIX_EPOCH);
        let issued = issued
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(Error::codec)?
            .as_secs();
        let text = format!("{issued}.{}", hex::encode(payload.json()));
        let tag = hmac::sign(&self.0, text.as_bytes());
        cookie.push_str(&format!("{text}.{}", hex::encode(tag)));
        Ok(())
    }

    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        let text = std::str::from_utf8(cookie.value()).map_err(|_| Reject::Malformed)?;
        let (text, tag) = text.rsplit_once('.').ok_or(Reject::Malformed)?;
        let tag = hex::decode(tag).ok_or(Reject::Malformed)?;
        cookie.attempt()?; // at most 16 MACs a request, whatever the client sends
        hmac::verify(&self.0, text.as_bytes(), &tag).map_err(|_| Reject::BadSignature)?;
        let (issued, json) = text.split_once('.').ok_or(Reject::Malformed)?;
        let issued = Duration::from_secs(issued.parse().map_err(|_| Reject::Malformed)?);
        let issued = SystemTime::UNIX_EPOCH.checked_add(issued).ok_or(Reject::Malformed)?;
        let json = hex::decode(json).and_then(|json| String::from_utf8(json).ok());
        Ok(Payload::new(json.ok_or(Reject::Malformed)?).with_issued(issued))
    }
}

pub mod hex {
    pub fn encode(bytes: impl AsRef<[u8]>) -> String {
        bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn decode(text: &str) -> Option<Vec<u8>> {
        let pairs = text.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        // One text for the same bytes, so that no changed cookie is a good one.
        bytes.collect::<Option<Vec<u8>>>().filter(|bytes| encode(bytes) == text)
    }
}

/// `created-issued-hex(JSON)` in one cookie and its MAC in a companion, as two frameworks of other languages do it. The key
/// is bound to the application and the cookie's name.
#[derive(Clone)]
pub struct Paired {
    secret: [u8; 32],
    key: Option<hmac::Key>,
}

pub const SIG: &str = ".sig";

impl Paired {
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret, key: None }
    }

    pub fn random() -> Self {
        Self::new(ring::rand::generate(&SystemRandom::new()).unwrap().expose())
    }
}

impl Codec for Paired {
    fn format(&self) -> Format {
        Format::new().carries_issued().carries_created().companions(&[SIG])
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let names = format!("{}:{}{}", binding.app().len(), binding.app(), binding.cookie_name());
        let key = hmac::sign(&secret, names.as_bytes());
        self.key = Some(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()));
        Ok(())
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        let key = self.key.as_ref().ok_or_else(|| Error::codec("not bound"))?;
        let [created, issued] = [payload.created(), payload.issued()].map(|at| {
            let at = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            at.map_or(0, |at| at.as_millis())
        });
        let text = format!("{created}-{issued}-{}", hex::encode(payload.json()));
        cookie.push_str(&text);
        cookie.push_companion(hex::encode(hmac::sign(key, text.as_bytes())));
        Ok(())
    }

    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        let key = self.key.as_ref().ok_or(Reject::UnknownKey)?;
        let tag = cookie.companion(0).and_then(|tag| std::str::from_utf8(tag).ok());
        let tag = tag.and_then(hex::decode).ok_or(Reject::Malformed)?;
        cookie.attempt()?;
        hmac::verify(key, cookie.value(), &tag).map_err(|_| Reject::BadSignature)?;
        let text = std::str::from_utf8(cookie.value()).map_err(|_| Reject::Malformed)?;
        let mut fields = text.split('-');
        let mut time = || {
            let millis = Duration::from_millis(fields.next()?.parse().ok()?);
            SystemTime::UNIX_EPOCH.checked_add(millis)
        };
        let (created, issued) = time().zip(time()).ok_or(Reject::Malformed)?;
        let json = fields.next().and_then(hex::decode).ok_or(Reject::Malformed)?;
        let json = String::from_utf8(json).map_err(|_| Reject::Malformed)?;
        Ok(Payload::new(json).with_created(created).with_issued(issued))
    }
}
