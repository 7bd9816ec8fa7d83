//! The ticket: what the cookie of a stored session holds, and the two hashes that the store sees of it.

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};

use super::{HashedTicket, SecretHash};
use crate::session::SessionId;

/// Finds the record; stable for the session's life. 128 bits.
const SELECTOR: usize = 16;

/// Must hash to what the record holds; replaced by `renew`. 256 bits.
const SECRET: usize = 32;

/// Its length as text: base64url without padding, which 48 bytes do not need.
const TEXT: usize = (SELECTOR + SECRET) / 3 * 4;

/// What only the client has, and this server while it answers a request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    bytes: [u8; SELECTOR + SECRET],
}

impl Ticket {
    pub(crate) fn new(selector: [u8; SELECTOR], secret: [u8; SECRET]) -> Self {
        let mut bytes = [0; SELECTOR + SECRET];
        bytes[..SELECTOR].copy_from_slice(&selector);
        bytes[SELECTOR..].copy_from_slice(&secret);
        Self { bytes }
    }

    /// Reads a cookie's value. Nothing else than what [`text`](Self::text) writes is a ticket.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; SELECTOR + SECRET];
        if value.len() != TEXT {
            return None;
        }
        let read = URL_SAFE_NO_PAD
            .decode(value, base64_simd::Out::from_slice(&mut bytes))
            .ok()?;
        (read.len() == SELECTOR + SECRET).then_some(Self { bytes })
    }

    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode_to_string(self.bytes)
    }

    /// The same session under a new secret.
    pub(crate) fn renewed(&self, secret: [u8; SECRET]) -> Self {
        let mut renewed = self.clone();
        renewed.bytes[SELECTOR..].copy_from_slice(&secret);
        renewed
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// Hashes the tickets of one layer: a ticket is worth nothing under another name or for another application.
pub(crate) struct Hasher {
    selector: Context,
    secret: Context,
}

impl Hasher {
    pub(crate) fn new(app: &str, cookie_name: &str) -> Self {
        let begin = |part: &str| {
            let mut context = Context::new(&SHA256);
            for field in ["ticket", app, cookie_name, part] {
                // As everywhere: 2 bytes of length before each field. Names are far shorter than 64 KB.
                context.update(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
                context.update(field.as_bytes());
            }
            context
        };
        Self {
            selector: begin("selector"),
            secret: begin("secret"),
        }
    }

    pub(crate) fn hash(&self, ticket: &Ticket) -> HashedTicket {
        let (selector, secret) = ticket.bytes.split_at(SELECTOR);
        HashedTicket {
            id: SessionId::from_bytes(finish(&self.selector, selector)),
            secret: SecretHash::from_bytes(finish(&self.secret, secret)),
        }
    }
}

fn finish(begun: &Context, field: &[u8]) -> [u8; 32] {
    let mut context = begun.clone();
    context.update(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
    context.update(field);
    let digest = context.finish();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket::new([7; SELECTOR], [9; SECRET])
    }

    #[test]
    fn a_ticket_is_64_characters_and_nothing_else_is_one() {
        let text = ticket().text();
        assert_eq!(text.len(), 64);
        assert!(Ticket::parse(text.as_bytes()) == Some(ticket()));
        for bad in [
            String::new(),
            text[1..].to_owned(),
            format!("{text}A"),
            format!("{}=", &text[1..]),
            text.replace('B', "+"),
            text.replace('B', "/"),
            text.replace('B', " "),
            "é".repeat(32),
        ] {
            assert!(Ticket::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_hashes_are_bound_to_application_name_and_part() {
        let hashes = |app, name| Hasher::new(app, name).hash(&Ticket::new([7; SELECTOR], [7; SECRET]));
        let one = hashes("a", "b");
        assert!(one == hashes("a", "b"));
        assert_ne!(one.id.as_bytes(), one.secret.as_bytes());
        for other in [hashes("", "b"), hashes("ab", ""), hashes("", "ab"), hashes("a", "c")] {
            assert!(one.id != other.id && one.secret != other.secret);
        }
    }

    #[test]
    fn a_known_answer() {
        // printf '\0\6ticket\0\1a\0\1b\0\10selector\0\20%s' "$(head -c 16 /dev/zero | tr '\0' '\7')" | sha256sum
        let hashed = Hasher::new("a", "b").hash(&ticket());
        assert_eq!(hashed.id.to_string(), KNOWN);
    }

    const KNOWN: &str = "fa7a9cb968e534057bf322fa8c8736c5d0faee8b2803d1de080ee82d2078584e";

    #[test]
    fn a_renewed_ticket_is_the_same_session_under_another_secret() {
        let hasher = Hasher::new("", "session");
        let (old, new) = (ticket(), ticket().renewed([1; SECRET]));
        assert!(hasher.hash(&old).id == hasher.hash(&new).id);
        assert!(hasher.hash(&old).secret != hasher.hash(&new).secret);
    }
}
