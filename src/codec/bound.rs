//! A key ring bound to a purpose, an application and a cookie name: what rotation looks like once names are known.

use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use super::{Binding, frame::KeyId};
use crate::{
    error::Error,
    key::KeyRing,
    session::{Millis, millis},
};

const SALT: &[u8] = b"http-session/v1";

/// Derived keys of type `K`, each with the id that names it in a frame.
#[derive(Clone)]
pub(super) struct Bound<K> {
    keys: Vec<(KeyId, K)>,
    /// Which of `keys` sign from when on, in no order.
    signs_from: Vec<Millis>,
}

impl<K> Bound<K> {
    /// Without keys: nothing is accepted and nothing can be signed.
    pub(super) const fn nothing() -> Self {
        Self {
            keys: Vec::new(),
            signs_from: Vec::new(),
        }
    }

    pub(super) fn new(
        ring: &KeyRing,
        purpose: &str,
        binding: &Binding<'_>,
        make: impl Fn([u8; 32]) -> K,
    ) -> Result<Self, Error> {
        ring.check()?;
        let names = [purpose, binding.app(), binding.cookie_name()];
        let info = names
            .map(prefixed)
            .into_iter()
            .collect::<Result<Vec<_>, Error>>()?
            .concat();
        let keys = ring
            .keys()
            .map(|key| {
                let prk = Salt::new(HKDF_SHA256, SALT).extract(key.secret());
                Ok((expand(&prk, &prefixed("key-id")?)?, make(expand(&prk, &info)?)))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            keys,
            signs_from: ring.schedule().map(millis).collect(),
        })
    }

    /// The key that signs by this clock: the one whose time came last.
    pub(super) fn signing(&self, clock: &dyn Fn() -> Millis) -> Result<&(KeyId, K), Error> {
        // Nearly always there is one.
        let now = if self.signs_from.len() > 1 { clock() } else { 0 };
        let started = self
            .signs_from
            .iter()
            .zip(&self.keys)
            .enumerate()
            .filter(|&(at, (&from, _))| at == 0 || from <= now);
        started
            .max_by_key(|&(at, (&from, _))| (from, at))
            .map(|(_, (_, key))| key)
            .ok_or_else(|| {
                Error::config(
                    "the codec was not bound to a layer: hand it to `SessionLayer::with_codec` or `also_accept` instead of \
                     calling it",
                )
            })
    }

    /// The keys of this id; more than one if ids collide.
    pub(super) fn named(&self, id: KeyId) -> impl Iterator<Item = &K> {
        self.keys
            .iter()
            .filter(move |(other, _)| *other == id)
            .map(|(_, key)| key)
    }
}

/// Its length in two bytes, then itself, so that no two lists of names run together.
fn prefixed(text: &str) -> Result<Vec<u8>, Error> {
    let len = u16::try_from(text.len()).map_err(|_| {
        Error::config("a name is longer than 65,535 bytes: shorten the layer's `app` or its cookie's name")
    })?;
    Ok([&len.to_be_bytes(), text.as_bytes()].concat())
}

fn expand<const N: usize>(prk: &Prk, info: &[u8]) -> Result<[u8; N], Error> {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; N];
    prk.expand(&[info], Len(N))
        .and_then(|okm| okm.fill(&mut out))
        .map_err(|_| Error::config("a key could not be derived from this one: make another key"))?;
    Ok(out)
}
