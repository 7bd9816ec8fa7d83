//! The native format from `docs/format.md`, by other means than the crate's: to forge frames, and to know what a reader must
//! say of any text.

use base64_simd::URL_SAFE_NO_PAD;
use http_session::{Reject, SessionLayer};
use ring::{aead, hmac};

use crate::{KEY, MAX_AGE, NOW, Seen, is_lax, is_object, read, write};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Signed = 1,
    Encrypted = 2,
}

const NAME: &str = "__Host-session";

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().expect("32 bytes")
}

fn expand(info: &[u8]) -> [u8; 32] {
    let key: Vec<u8> = (0..KEY.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&KEY[at..at + 2], 16).expect("hex"))
        .collect();
    mac(&mac(b"http-session/v1", &key), &[info, &[1]].concat())
}

fn lp(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

impl Kind {
    fn secret(self) -> [u8; 32] {
        let purpose = if self == Self::Signed { "signed" } else { "encrypted" };
        expand(&[lp(purpose), lp(""), lp(NAME)].concat())
    }

    fn least(self) -> usize {
        if self == Self::Signed { 79 } else { 87 }
    }

    /// A cookie that is authentic, whatever the body.
    pub fn forge(self, body: &[u8]) -> String {
        let len = body.len() + if self == Self::Signed { 40 } else { 48 };
        let mut frame = vec![self as u8];
        frame.extend_from_slice(&expand(&lp("key-id"))[..4]);
        frame.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
        if self == Self::Signed {
            frame.extend_from_slice(body);
            let tag = mac(&self.secret(), &frame);
            frame.extend_from_slice(&tag);
        } else {
            let salt = &mac(b"salt", body)[..24];
            frame.extend_from_slice(salt);
            let mut sealed = body.to_vec();
            let key = aes(&mac(&self.secret(), salt));
            let aad = aead::Aad::from(&frame[..]);
            key.seal_in_place_append_tag(nonce(), aad, &mut sealed)
                .expect("it is short");
            frame.extend_from_slice(&sealed);
        }
        URL_SAFE_NO_PAD.encode_to_string(&frame)
    }

    /// The steps of docs/format.md, "Reading", in their order.
    pub fn expected(self, text: &[u8]) -> Result<String, Reject> {
        // The reader of the header takes one pair of quotes off.
        let text = match text {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'"') && !inner.contains(&b'\\') => inner,
            _ => text,
        };
        let frame = URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| Reject::Malformed)?;
        if URL_SAFE_NO_PAD.encode_to_string(&frame).as_bytes() != text || frame.len() < self.least() {
            return Err(Reject::Malformed);
        }
        if u32::from_be_bytes([0, frame[5], frame[6], frame[7]]) as usize != frame.len() {
            return Err(Reject::Malformed);
        }
        if frame[1..5] != expand(&lp("key-id"))[..4] {
            return Err(Reject::UnknownKey);
        }
        if frame[0] != self as u8 {
            return Err(Reject::BadSignature);
        }
        let body = match self {
            Self::Signed => {
                let (signed, tag) = frame.split_at(frame.len() - 32);
                if mac(&self.secret(), signed) != tag {
                    return Err(Reject::BadSignature);
                }
                signed[8..].to_vec()
            }
            Self::Encrypted => {
                let (clear, sealed) = frame.split_at(32);
                let mut sealed = sealed.to_vec();
                let key = aes(&mac(&self.secret(), &clear[8..]));
                let opened = key.open_in_place(nonce(), aead::Aad::from(clear), &mut sealed);
                opened.map_err(|_| Reject::BadSignature)?.to_vec()
            }
        };
        let number = |from: usize, to: usize| body[from..to].iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
        let json = std::str::from_utf8(&body[39..]).map_err(|_| Reject::Malformed)?;
        if body[0] != 0 || !(is_object(json) || is_lax(json)) {
            return Err(Reject::Malformed);
        }
        let (created, issued, authenticated) = (number(1, 7), number(7, 13), number(13, 19));
        if created.max(issued).max(authenticated) > NOW + 60_000 {
            return Err(Reject::NotYetValid);
        }
        let lifetime = match number(19, 23) {
            0 => MAX_AGE,
            own => MAX_AGE.min(own * 1000),
        };
        if NOW > issued + lifetime {
            return Err(Reject::Expired);
        }
        if !is_object(json) {
            return Err(Reject::Unreadable);
        }
        Ok(json.to_owned())
    }
}

fn aes(key: &[u8]) -> aead::LessSafeKey {
    aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes"))
}

fn nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; 12])
}

/// The first byte says what the rest is: a text, a frame, the body of an authentic frame, or the JSON of one.
pub fn run(kind: Kind, layer: &SessionLayer, input: &[u8]) {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    let text = match mode % 4 {
        0 => rest.to_vec(),
        1 => URL_SAFE_NO_PAD.encode_to_string(rest).into_bytes(),
        2 => kind.forge(rest).into_bytes(),
        _ => {
            let now = &NOW.to_be_bytes()[2..];
            let body = [&[0], now, now, &[0; 10], &[7; 16], rest].concat();
            kind.forge(&body).into_bytes()
        }
    };
    // These end a value or are trimmed, which is not the codec's affair.
    if text.iter().any(|byte| matches!(byte, b';' | b' ' | b'\t')) {
        return;
    }
    let line = [NAME.as_bytes(), b"=", &text].concat();
    if http::HeaderValue::from_bytes(&line).is_err() {
        return;
    }
    let lines = [line];
    let seen: Seen = read(layer, &lines);
    match (&seen, kind.expected(&text)) {
        (Ok(seen), Ok(expected)) => assert_eq!(*seen, without_space(&expected)),
        (Err(Some(seen)), Err(expected)) => assert_eq!(*seen, expected),
        (seen, expected) => panic!("{seen:?}, and it should be {expected:?}"),
    }
    write(layer, &lines, &seen, |text| text);
}

/// The session is shown without white space around it.
fn without_space(json: &str) -> &str {
    json.trim_matches([' ', '\t', '\r', '\n'])
}
