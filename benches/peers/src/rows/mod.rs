//! The rows of the table.

mod actix;
mod axum_session;
mod by_hand;
mod cookie_store;
mod floor;
mod floor_store;
mod ours;
mod tower_sessions;

use std::time::Duration;

use crate::{handlers::Task, runner::Runner};

/// Name of the session cookie where it can be chosen.
pub const NAME: &str = "__Host-session";

const TWO_WEEKS: Duration = Duration::from_secs(14 * 86_400);

/// A session layer, with its key and its store.
pub trait Contender {
    /// A service with a handler for the task; `None` if the row has no such case.
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>>;
}

/// What a row is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Ours,
    Floor,
    Peer,
}

pub struct Row {
    pub name: &'static str,
    /// The crate whose version counts.
    pub package: Option<&'static str>,
    pub kind: Kind,
    /// The row of ours that does the same work.
    pub ours: &'static str,
    /// A key of its own and an empty store.
    pub make: fn() -> Box<dyn Contender>,
}

pub const SIGNED: &str = "http-session, signed";
pub const ENCRYPTED: &str = "http-session, encrypted";
pub const MEMORY: &str = "http-session, memory";
pub const STARLETTE: &str = "http-session, Starlette's format";

pub const BARE: &str = "bare service";
pub const ARC: &str = "floor: one Arc in the extensions";
pub const SCAN: &str = "floor: that and a scan for the cookie";
pub const HMAC: &str = "floor: HMAC and spans";
pub const AEAD: &str = "floor: AEAD and spans";
pub const MEMORY_FLOOR: &str = "floor: in-process store and a Map";
pub const STARLETTE_FLOOR: &str = "floor: Starlette's format and a Map";

pub const SESSIONS: &str = "tower-sessions, memory";
pub const STORE_SIGNED: &str = "tower-sessions-cookie-store, signed";
pub const STORE_PRIVATE: &str = "tower-sessions-cookie-store, private";
pub const AXUM_SESSION: &str = "axum_session, memory";
pub const COOKIES_SIGNED: &str = "tower-cookies signed, by hand";
pub const COOKIES_PRIVATE: &str = "tower-cookies private, by hand";
pub const EXTRA_SIGNED: &str = "axum-extra SignedCookieJar, by hand";
pub const JAR_SIGNED: &str = "cookie's jar signed, by hand";
pub const ACTIX_BARE: &str = "actix-web, bare";
pub const ACTIX: &str = "actix-session, signed";

pub const ROWS: [Row; 21] = [
    row(SIGNED, None, Kind::Ours, SIGNED, || Box::new(ours::Ours::signed())),
    row(ENCRYPTED, None, Kind::Ours, ENCRYPTED, || {
        Box::new(ours::Ours::encrypted())
    }),
    row(MEMORY, None, Kind::Ours, MEMORY, || Box::new(ours::OursInStore::new())),
    row(STARLETTE, None, Kind::Ours, STARLETTE, || {
        Box::new(ours::Ours::starlette())
    }),
    row(BARE, None, Kind::Floor, SIGNED, || Box::new(floor::Bare)),
    row(ARC, None, Kind::Floor, SIGNED, || Box::new(floor::OneArc)),
    row(SCAN, None, Kind::Floor, SIGNED, || Box::new(floor::Scan)),
    row(HMAC, None, Kind::Floor, SIGNED, || Box::new(floor::hmac())),
    row(AEAD, None, Kind::Floor, ENCRYPTED, || Box::new(floor::aead())),
    row(MEMORY_FLOOR, None, Kind::Floor, MEMORY, || Box::new(floor_store::new())),
    row(STARLETTE_FLOOR, None, Kind::Floor, STARLETTE, || {
        Box::new(floor::starlette())
    }),
    row(SESSIONS, Some("tower-sessions"), Kind::Peer, MEMORY, || {
        Box::new(tower_sessions::Sessions::new())
    }),
    row(
        STORE_SIGNED,
        Some("tower-sessions-cookie-store"),
        Kind::Peer,
        SIGNED,
        || Box::new(cookie_store::CookieStore::signed()),
    ),
    row(
        STORE_PRIVATE,
        Some("tower-sessions-cookie-store"),
        Kind::Peer,
        ENCRYPTED,
        || Box::new(cookie_store::CookieStore::private()),
    ),
    row(AXUM_SESSION, Some("axum_session"), Kind::Peer, MEMORY, || {
        Box::new(axum_session::AxumSession::new())
    }),
    row(COOKIES_SIGNED, Some("tower-cookies"), Kind::Peer, SIGNED, || {
        Box::new(by_hand::TowerCookies::signed())
    }),
    row(COOKIES_PRIVATE, Some("tower-cookies"), Kind::Peer, ENCRYPTED, || {
        Box::new(by_hand::TowerCookies::private())
    }),
    row(EXTRA_SIGNED, Some("axum-extra"), Kind::Peer, SIGNED, || {
        Box::new(by_hand::AxumExtra)
    }),
    row(JAR_SIGNED, Some("cookie"), Kind::Peer, SIGNED, || {
        Box::new(by_hand::Jar)
    }),
    row(ACTIX_BARE, Some("actix-web"), Kind::Floor, SIGNED, || {
        Box::new(actix::Bare)
    }),
    row(ACTIX, Some("actix-session"), Kind::Peer, SIGNED, || {
        Box::new(actix::Actix::new())
    }),
];

const fn row(
    name: &'static str,
    package: Option<&'static str>,
    kind: Kind,
    ours: &'static str,
    make: fn() -> Box<dyn Contender>,
) -> Row {
    Row {
        name,
        package,
        kind,
        ours,
        make,
    }
}
