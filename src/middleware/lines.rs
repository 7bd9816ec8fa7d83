//! The `Set-Cookie` lines of a response.

use http::HeaderValue;

use super::built::Built;
use crate::{
    codec,
    cookie::{Chunks, Found, is_cookie_text, line},
    error::Error,
    session::Payload,
};

/// Takes a line.
type Send<'a> = &'a mut dyn FnMut(HeaderValue);

/// The cookies of a session as `name=value`: one, and seldom more.
struct Pairs {
    first: String,
    further: Vec<String>,
}

impl Built {
    /// Makes the lines of a live cookie, and of what has to go with it. Nothing is sent if that fails.
    pub(super) fn write(&self, payload: &Payload, found: &Found, send: Send<'_>) -> Result<(), Error> {
        let max_age = if self.sends_max_age {
            self.lifetime.seconds_left(&payload.meta)
        } else {
            None
        };
        let Pairs { first, further } = self.pairs(payload)?;
        let first = line(first, &self.live, max_age)?;
        let further: Vec<_> = further
            .into_iter()
            .map(|pair| line(pair, &self.live, max_age))
            .collect::<Result<_, _>>()?;
        // Removals first: where a browser does not tell the scopes apart, the live cookie has the last word.
        self.removals
            .iter()
            .filter(|removal| !(removal.own && self.is_live(removal.name, further.len())) && removal.is_due(found))
            .for_each(|removal| send(removal.line.clone()));
        send(first);
        further.into_iter().for_each(send);
        Ok(())
    }

    /// Removes every cookie of ours that the request brought, or may not have been able to bring.
    pub(super) fn remove(&self, found: &Found, send: Send<'_>) {
        let lines = self.removals.iter().filter(|removal| removal.is_due(found));
        lines.map(|removal| removal.line.clone()).for_each(send);
    }

    /// A `Cookie` header that holds this session.
    pub(super) fn cookie_header(&self, payload: &Payload) -> Result<HeaderValue, Error> {
        let Pairs { first, further } = self.pairs(payload)?;
        let pairs = [vec![first], further].concat().join("; ");
        let mut header = HeaderValue::try_from(pairs).map_err(Error::codec)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// The cookies of a session, as `name=value`.
    fn pairs(&self, payload: &Payload) -> Result<Pairs, Error> {
        let reader = &self.own;
        // Room for base64 of the longest frame and for the attributes.
        let room = self.name.len() + (payload.json.len() + 96) * 4 / 3 + self.live.len() + 32;
        let mut pair = String::with_capacity(room);
        pair.push_str(&self.name);
        pair.push('=');
        let value_at = pair.len();
        let mut companions = Vec::new();
        reader.codec.encode(
            payload,
            &mut codec::Outgoing {
                line: &mut pair,
                companions: &mut companions,
                now: self.now(),
            },
        )?;
        let value = pair.get(value_at..).unwrap_or_default();
        if !is_cookie_text(value) || !companions.iter().all(|value| is_cookie_text(value)) {
            return Err(Error::codec(
                "the codec wrote characters that may not stand in a cookie's value",
            ));
        }
        if companions.len() != reader.companions.len() {
            return Err(Error::codec(
                "the codec wrote more or fewer cookies than its format says",
            ));
        }
        let too_large = |size| Error::TooLarge {
            size,
            limit: reader.written.limit(),
        };
        let Some(mut lengths) = reader.written.lengths(value.len()) else {
            return Err(too_large(reader.written.size(value.len())));
        };
        let first = lengths.next().unwrap_or(0);
        let mut further = Vec::new();
        let mut start = first;
        for (len, number) in lengths.zip(1..) {
            let part = value.get(start..start + len).unwrap_or_default();
            further.push(format!("{}={part}", Chunks::name(&self.name, number)));
            start += len;
        }
        pair.truncate(value_at + first);
        for (value, suffix) in companions.iter().zip(reader.format.companions) {
            let chunks = Chunks::new(self.name.len() + suffix.len(), 1);
            if value.len() > chunks.capacity() {
                return Err(too_large(chunks.size(value.len())));
            }
            further.push(format!("{}{suffix}={value}", self.name));
        }
        Ok(Pairs { first: pair, further })
    }

    /// Whether the cookie of this name is written, with this number of further parts.
    fn is_live(&self, name: usize, further: usize) -> bool {
        let reader = &self.own;
        name == reader.name
            || reader.companions.contains(&name)
            || reader.parts.iter().take(further).any(|&part| part == name)
    }
}
