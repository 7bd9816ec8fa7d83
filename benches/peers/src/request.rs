//! The requests: the same headers for every row.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::COOKIE};
use serde_json::{Map, Value};

pub type Request = http::Request<()>;

/// The text of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Size {
    /// 3 keys in 91 bytes of JSON.
    Small,
    /// 25 keys in 1,941 bytes.
    Large,
}

impl Size {
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    pub fn json(self) -> &'static str {
        match self {
            Self::Small => include_str!("../../small.json"),
            Self::Large => include_str!("../../large.json"),
        }
    }

    pub fn map(self) -> Map<String, Value> {
        serde_json::from_str(self.json()).expect("a session")
    }
}

/// The `Cookie` header of a request.
#[derive(Clone, Copy)]
pub enum Cookies<'a> {
    /// None at all.
    Nothing,
    /// 3 of about 40 bytes that are not ours.
    Others,
    /// The same, and the session's `name=value` among them.
    Session(&'a str),
}

/// 8 browser headers and cookies. As a server hands them over: slices of one shared buffer.
pub fn headers(cookies: Cookies<'_>) -> HeaderMap {
    let mut lines: Vec<(&str, String)> = [
        ("host", "example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("connection", "keep-alive"),
        ("sec-fetch-mode", "navigate"),
        ("priority", "u=0, i"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec();
    let other = |name: &str| format!("{name}=4f1c2e9a7b3d8056af91c4e2d7b8a0");
    let line = match cookies {
        Cookies::Nothing => None,
        Cookies::Others => Some(String::new()),
        Cookies::Session(pair) => Some(format!("{pair}; ")),
    };
    if let Some(session) = line {
        let line = format!("{}; {}; {session}{}", other("_ga"), other("_gid"), other("consent"));
        lines.push((COOKIE.as_str(), line));
    }
    let buffer = Bytes::from(lines.iter().map(|(_, value)| value.as_str()).collect::<String>());
    let mut headers = HeaderMap::new();
    let mut at = 0;
    for (name, value) in lines {
        let slice = buffer.slice(at..at + value.len());
        at += value.len();
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_maybe_shared(slice).expect("a value"),
        );
    }
    headers
}

pub fn request(headers: &HeaderMap) -> Request {
    let mut request = Request::new(());
    *request.headers_mut() = headers.clone();
    request
}

/// `name=value` of a `Set-Cookie` line.
pub fn pair(line: &HeaderValue) -> String {
    let line = line.to_str().expect("text");
    line.split(';').next().unwrap_or_default().to_owned()
}

/// The same cookie with one character changed in the middle of its value, and still in the alphabet of its format.
pub fn forged(pair: &str) -> String {
    let (name, value) = pair.split_once('=').expect("a cookie");
    let mut value = value.as_bytes().to_vec();
    let at = (value.len() / 2..value.len())
        // Not in a percent escape, which might not be one afterwards.
        .find(|&at| value[at].is_ascii_alphanumeric() && !value[at - 2..at].contains(&b'%'))
        .expect("a letter or a digit");
    value[at] = match value[at] {
        b'1' | b'a' | b'A' => value[at] + 1,
        b'0'..=b'9' => b'1',
        b'a'..=b'z' => b'a',
        _ => b'A',
    };
    format!("{name}={}", String::from_utf8(value).expect("text"))
}
