//! Faults that other session layers had, or this one: cookies as clients send them, values that JSON loses, cookies that are to be
//! removed, keys, names, caches and alarms. One test for each kind, named after its number in the list of faults.
#![cfg(all(feature = "memory", feature = "starlette"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "faults_cookie/alarms.rs"]
mod alarms;
#[path = "support/client.rs"]
mod client;
#[path = "support/codecs.rs"]
mod codecs;
#[path = "faults_cookie/cookies.rs"]
mod cookies;
#[path = "support/events.rs"]
mod events;
#[path = "faults_cookie/fallbacks.rs"]
mod fallbacks;
#[path = "support/plain.rs"]
mod plain;
#[path = "faults_cookie/settings.rs"]
mod settings;
#[path = "support/starlette.rs"]
mod starlette;
mod support;
#[path = "faults_cookie/unreadable.rs"]
mod unreadable;
#[path = "faults_cookie/values.rs"]
mod values;

use http_session::{Key, Reject, Session, SessionLayer};
use support::{ok, send};

pub const SECRET: &str = "not-really-a-secret";

pub fn key() -> Key {
    Key::generate().unwrap()
}

/// Who is logged in with these cookies, and why not.
pub fn look(layer: &SessionLayer, cookies: &str) -> (Option<String>, Option<Reject>) {
    let mut seen = (None, None);
    send(layer, cookies, |session| {
        seen = (session.get("user").unwrap(), session.rejected());
        ok()
    });
    seen
}

pub fn log_in(session: &Session) {
    session.insert("user", "ada").unwrap();
}

pub fn logged_in() -> (Option<String>, Option<Reject>) {
    (Some("ada".to_owned()), None)
}
