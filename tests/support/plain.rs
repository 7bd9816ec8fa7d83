//! A codec that hides nothing, so that a test sees the very text on the wire and can plant any text of its own.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use http_session::{
    Error, Reject,
    codec::{Codec, Format, Incoming, Outgoing, Payload},
};

use super::support::{Clock, set_cookies};

/// The name on the wire of a layer with no settings.
pub const NAME: &str = "__Host-session";

/// The id in what [`planted`] makes.
pub const ID: [u8; 16] = [7; 16];

/// Runs while the codec is at work.
pub type Hook = Arc<dyn Fn() + Send + Sync>;

/// `length.hex(JSON).id.created.issued.authenticated.max_age`: the length of the whole in 8 digits, times in milliseconds,
/// what is unknown as `-`. Nothing protects it.
#[derive(Clone)]
pub struct Plain {
    format: Format,
    on_decode: Option<Hook>,
    on_mac: Option<Hook>,
    on_encode: Option<Hook>,
    fails: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Plain {
    /// Carries everything.
    pub fn new() -> Self {
        let format = Format::new()
            .carries_id()
            .carries_created()
            .carries_issued()
            .carries_authenticated()
            .carries_max_age()
            .carries_text_len();
        Self::carrying(format)
    }

    pub fn carrying(format: Format) -> Self {
        Self {
            format,
            on_decode: None,
            on_mac: None,
            on_encode: None,
            fails: None,
        }
    }

    pub fn on_decode(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_decode = Some(Arc::new(hook));
        self
    }

    /// Runs where another codec would compute a MAC.
    pub fn on_mac(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_mac = Some(Arc::new(hook));
        self
    }

    pub fn on_encode(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_encode = Some(Arc::new(hook));
        self
    }

    /// Writing fails whenever this says so.
    pub fn fails_if(mut self, fails: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.fails = Some(Arc::new(fails));
        self
    }
}

impl Codec for Plain {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        if let Some(hook) = &self.on_decode {
            hook();
        }
        let text = std::str::from_utf8(cookie.value()).map_err(|_| Reject::Malformed)?;
        if !text.is_ascii() || text.get(..8).and_then(|len| len.parse().ok()) != Some(text.len()) {
            return Err(Reject::Malformed);
        }
        cookie.attempt()?;
        if let Some(hook) = &self.on_mac {
            hook();
        }
        read(text).ok_or(Reject::BadSignature)
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        if let Some(hook) = &self.on_encode {
            hook();
        }
        if self.fails.as_ref().is_some_and(|fails| fails()) {
            return Err(Error::codec("told to fail"));
        }
        cookie.push_str(&text(payload));
        Ok(())
    }

    fn format(&self) -> Format {
        self.format
    }

    fn text_len(&self, start: &[u8]) -> Option<usize> {
        std::str::from_utf8(start.get(..8)?).ok()?.parse().ok()
    }
}

/// A payload as a cookie's value.
pub fn text(payload: &Payload) -> String {
    let dash = || "-".to_owned();
    let time = |at: Option<SystemTime>| at.map_or_else(dash, |at| millis(at).to_string());
    let rest = format!(
        ".{}.{}.{}.{}.{}.{}",
        hex(payload.json().as_bytes()),
        payload.id().map_or_else(dash, |id| hex(&id)),
        time(payload.created()),
        time(payload.issued()),
        time(payload.authenticated()),
        payload.max_age().map_or_else(dash, |age| age.as_secs().to_string()),
    );
    format!("{:08}{rest}", rest.len() + 8)
}

/// The payload in a cookie's value.
pub fn read(text: &str) -> Option<Payload> {
    let fields: Vec<&str> = text.split('.').collect();
    let [_, json, id, created, issued, authenticated, max_age] = fields[..] else {
        return None;
    };
    let number = |text: &str| (text != "-").then(|| text.parse::<u64>().unwrap());
    let time = |text: &str| number(text).map(|at| SystemTime::UNIX_EPOCH + Duration::from_millis(at));
    let mut payload = Payload::new(String::from_utf8(unhex(json)?).ok()?);
    if id != "-" {
        payload = payload.with_id(unhex(id)?.try_into().ok()?);
    }
    if let Some(at) = time(created) {
        payload = payload.with_created(at);
    }
    if let Some(at) = time(issued) {
        payload = payload.with_issued(at);
    }
    if let Some(at) = time(authenticated) {
        payload = payload.with_authenticated(at);
    }
    if let Some(seconds) = number(max_age) {
        payload = payload.with_max_age(Duration::from_secs(seconds));
    }
    Some(payload)
}

/// The `Cookie` header of a client with a session of exactly this text, begun and written now.
pub fn planted(json: &str, clock: &Clock) -> String {
    let payload = Payload::new(json)
        .with_id(ID)
        .with_created(clock.now())
        .with_issued(clock.now());
    cookie(&payload)
}

pub fn cookie(payload: &Payload) -> String {
    format!("{NAME}={}", text(payload))
}

/// The one live session cookie that a response sets, if it sets one.
pub fn sent(headers: &HeaderMap) -> Option<Payload> {
    let mut live: Vec<Payload> = set_cookies(headers)
        .iter()
        .filter(|line| !is_removal(line))
        .map(|line| {
            let (pair, _) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert_eq!(name, NAME);
            read(value).unwrap()
        })
        .collect();
    assert!(live.len() < 2, "two live cookies");
    live.pop()
}

pub fn sent_json(headers: &HeaderMap) -> Option<String> {
    sent(headers).map(|payload| payload.json().to_owned())
}

pub fn is_removal(line: &str) -> bool {
    line.contains("; Max-Age=0; Expires=Thu, 01 Jan 1970")
}

/// The names that a response removes.
pub fn removed(headers: &HeaderMap) -> Vec<String> {
    set_cookies(headers)
        .iter()
        .filter(|line| is_removal(line))
        .map(|line| line.split('=').next().unwrap().to_owned())
        .collect()
}

pub fn millis(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
