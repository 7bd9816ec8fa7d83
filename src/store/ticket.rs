//! The ticket: what the cookie of a stored session holds, and the two hashes that the store sees of it.

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{Context, SHA256},
};

use super::{HashedTicket, Owner, OwnerId, SecretHash};
use crate::{error::Error, session::SessionId};

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

/// Hashes the tickets of one layer: a ticket is worth nothing under another name or for another
/// application. Owners are bound to the application only, so that all layers of one application
/// know the same ones.
pub(crate) struct Hasher {
    selector: Context,
    secret: Context,
    /// Makes the key under which the owner's name is kept.
    name: Context,
    owner: Context,
}

impl Hasher {
    pub(crate) fn new(app: &str, cookie_name: &str) -> Self {
        let begin = |part: &str| begin(&["ticket", app, cookie_name, part]);
        Self {
            selector: begin("selector"),
            secret: begin("secret"),
            name: begin("owner"),
            owner: self::begin(&["owner", app]),
        }
    }

    pub(crate) fn hash(&self, ticket: &Ticket) -> HashedTicket {
        let (selector, secret) = ticket.bytes.split_at(SELECTOR);
        HashedTicket {
            id: SessionId::from_bytes(finish(&self.selector, selector)),
            secret: SecretHash::from_bytes(finish(&self.secret, secret)),
        }
    }

    pub(crate) fn owner_id(&self, owner: &str) -> OwnerId {
        OwnerId::from_bytes(finish(&self.owner, owner.as_bytes()))
    }

    /// Makes of an owner what the store may see. The key of the name is in the client's ticket
    /// only, and is the same after a renewal, so the nonce must be random.
    pub(crate) fn seal(&self, ticket: &Ticket, owner: &str, nonce: [u8; NONCE_LEN]) -> Result<Owner, Error> {
        let mut name = owner.as_bytes().to_vec();
        self.name_key(ticket)
            .and_then(|key| key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut name))
            .map_err(|_| Error::Random)?;
        let sealed = [&nonce[..], &name].concat();
        Ok(Owner::new(
            self.owner_id(owner),
            URL_SAFE_NO_PAD.encode_to_string(sealed),
        ))
    }

    /// Reads the name again. `None` if this layer has not written it under this ticket.
    pub(crate) fn open(&self, ticket: &Ticket, owner: &Owner) -> Option<String> {
        let mut sealed = URL_SAFE_NO_PAD.decode_to_vec(&owner.name).ok()?;
        let (nonce, name) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let key = self.name_key(ticket).ok()?;
        let name = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), name)
            .ok()?;
        let name = std::str::from_utf8(name).ok()?;
        (self.owner_id(name) == owner.id).then(|| name.to_owned())
    }

    fn name_key(&self, ticket: &Ticket) -> Result<LessSafeKey, ring::error::Unspecified> {
        let key = finish(&self.name, &ticket.bytes[..SELECTOR]);
        UnboundKey::new(&AES_256_GCM, &key).map(LessSafeKey::new)
    }
}

/// As everywhere: 2 bytes of length before each field. Names are far shorter than 64 KB.
fn begin(fields: &[&str]) -> Context {
    let mut context = Context::new(&SHA256);
    for field in fields {
        context.update(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
        context.update(field.as_bytes());
    }
    context
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

    #[test]
    fn fault_a1_an_owner_is_bound_to_the_application_and_read_with_the_ticket_only() {
        let (shop, other_cookie, admin) = (
            Hasher::new("shop", "session"),
            Hasher::new("shop", "id"),
            Hasher::new("admin", "session"),
        );
        let owner = shop.seal(&ticket(), "1", [3; NONCE_LEN]).unwrap();
        assert_eq!(owner.id, shop.owner_id("1"));
        assert_eq!(
            owner.id,
            other_cookie.owner_id("1"),
            "layers of one application share owners"
        );
        assert_ne!(owner.id, admin.owner_id("1"));
        // No byte moves from one field to the next.
        assert_ne!(Hasher::new("a", "").owner_id("bc"), Hasher::new("ab", "").owner_id("c"));
        // printf '\0\5owner\0\4shop\0\0011' | sha256sum
        let known = "f8f9b6e75aeef2bebc25ab26b6c74783ccbbffd924078d52918a272079d3c292";
        assert_eq!(owner.id.to_string(), known);

        assert_eq!(shop.open(&ticket(), &owner).as_deref(), Some("1"));
        assert_eq!(shop.open(&ticket().renewed([1; SECRET]), &owner).as_deref(), Some("1"));
        assert_eq!(shop.open(&Ticket::new([8; SELECTOR], [9; SECRET]), &owner), None);
        assert_eq!(other_cookie.open(&ticket(), &owner), None);
        let moved = Owner::new(shop.owner_id("2"), owner.name.clone());
        assert_eq!(shop.open(&ticket(), &moved), None);
        assert_eq!(shop.open(&ticket(), &Owner::new(owner.id, "")), None);
        for odd in ["", "é\0{}", &"x".repeat(1_024)] {
            let owner = shop.seal(&ticket(), odd, [4; NONCE_LEN]).unwrap();
            assert!(owner.name.len() <= 1_404, "{}", owner.name.len());
            assert_eq!(shop.open(&ticket(), &owner).as_deref(), Some(odd));
        }
    }
}
