//! What the fuzz targets share: one request through a layer, headers made of genuine pieces, and the native format written
//! a second time, to know what must be accepted.

pub mod native;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use http::{
    HeaderValue, Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use http_session::{Error, Key, Reject, Session, SessionLayer};
use serde_json::value::RawValue;
use tower_layer::Layer as _;
use tower_service::Service;

/// The clock of all layers: 2023-11-14T22:13:20Z, in milliseconds.
pub const NOW: u64 = 1_700_000_000_000;

/// The layers' `max_age`, in milliseconds.
pub const MAX_AGE: u64 = 14 * 86_400_000;

/// The same in every run, so that a finding can be had again.
pub const KEY: &str = "9d1f4c0e7ab3528866f05be92d47c1a3fe08b6d5137a9c24e0815d6ff2b34a77";

pub fn key() -> Key {
    KEY.parse().expect("a good key")
}

pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(NOW)
}

/// Whether the text is one JSON object, half a surrogate pair here or there allowed.
pub fn is_object(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|object| object.get().starts_with('{'))
}

/// Whether a text is JSON but for `NaN` and the infinities, by a reader that is no quicker than it must be: with other numbers in
/// the places of these words, it is JSON.
pub fn is_lax(text: &str) -> bool {
    let (mut strict, mut rest, mut quoted) = (String::new(), text, false);
    while let Some(char) = rest.chars().next() {
        let mut len = char.len_utf8();
        if quoted && char == '\\' {
            len += rest[1..].chars().next().map_or(0, char::len_utf8);
        } else if char == '"' {
            quoted = !quoted;
        } else if let (false, Some(word)) = (quoted, ["NaN", "Infinity"].iter().find(|word| rest.starts_with(**word))) {
            // Not `01`, and not `-1`: Python reads `-Infinity` and no `-NaN`.
            let before = strict.chars().next_back();
            if before.is_some_and(|char| {
                char.is_ascii_alphanumeric() || matches!(char, '.' | '+') || (char == '-' && *word == "NaN")
            }) {
                return false;
            }
            strict.push('1');
            rest = &rest[word.len()..];
            if rest.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '.') {
                return false;
            }
            continue;
        }
        strict.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    strict != text && serde_json::from_str::<&RawValue>(&strict).is_ok()
}

/// What a handler saw.
pub type Seen = Result<String, Option<Reject>>;

/// Sends these `Cookie` lines, as far as HTTP allows them, to a handler that reads everything.
pub fn read(layer: &SessionLayer, lines: &[Vec<u8>]) -> Seen {
    let mut seen = Err(None);
    let response = send(layer, lines, |session| {
        let text = session.to_map::<Box<RawValue>>().expect("a session can be read");
        assert_eq!(session.keys().unwrap().len(), session.len().unwrap());
        if session.is_new().unwrap() {
            assert_eq!(text.get(), "{}");
            seen = Err(session.rejected());
        } else {
            assert_eq!(session.rejected(), None);
            seen = Ok(text.get().to_owned());
        }
        assert!(!session.is_modified());
    });
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key(SET_COOKIE), "nothing changed");
    seen
}

/// Sends these `Cookie` lines to a handler that writes, and reads what was written in a second request: the same, `spelled`
/// as the format does.
pub fn write(layer: &SessionLayer, lines: &[Vec<u8>], before: &Seen, spelled: fn(String) -> String) {
    let mut expected = BTreeMap::new();
    let response = send(layer, lines, |session| {
        if *before == Err(Some(Reject::Unreadable)) {
            // What only others can read stays theirs, until it is given up.
            assert!(matches!(session.insert("new", "value"), Err(Error::Unreadable)));
            session.clear().unwrap();
        }
        let keys = session.keys().unwrap();
        if let Some(first) = keys.first() {
            session.remove(first).unwrap();
        }
        session.insert("new", "value").unwrap();
        for key in session.keys().unwrap() {
            let value: Box<RawValue> = session.get(&key).unwrap().expect("a key that is there");
            expected.insert(key, spelled(value.get().to_owned()));
        }
        if before.is_err() {
            assert_eq!(expected.len(), 1);
        }
    });
    if response.status() != 200 {
        let text = before.as_ref().expect("one value is not too large");
        assert!(text.len() > 2000, "500 for {} bytes", text.len());
        assert!(!response.headers().contains_key(SET_COOKIE));
        return;
    }
    let live: Vec<&str> = response
        .headers()
        .get_all(SET_COOKIE)
        .iter()
        .map(|line| {
            line.to_str()
                .expect("cookies are text")
                .split(';')
                .next()
                .unwrap_or_default()
        })
        .filter(|pair| !pair.ends_with('=') && !pair.ends_with("=null"))
        .collect();
    assert!(!live.is_empty() || before.as_ref().is_ok_and(|text| text.contains("new")));
    if live.is_empty() {
        return;
    }
    assert!(live.iter().all(|pair| pair.len() - 1 <= 4096));
    let mut arrived = BTreeMap::new();
    send(layer, &[live.join("; ").into_bytes()], |session| {
        assert_eq!(session.rejected(), None);
        for key in session.keys().unwrap() {
            let value: Box<RawValue> = session.get(&key).unwrap().expect("a key that is there");
            arrived.insert(key, spelled(value.get().to_owned()));
        }
    });
    assert_eq!(arrived, expected);
}

/// Sends these `Cookie` lines, as far as HTTP allows them.
pub fn send(layer: &SessionLayer, lines: &[Vec<u8>], handler: impl FnOnce(&Session)) -> Response<String> {
    let mut request = Request::new(());
    for line in lines {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            request.headers_mut().append(COOKIE, line);
        }
    }
    let mut service = layer.layer(Once(Some(handler)));
    let future = pin!(service.call(request));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => response,
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => panic!("neither a cookie nor a map waits for anything"),
    }
}

struct Once<F>(Option<F>);

impl<F: FnOnce(&Session)> Service<Request<()>> for Once<F> {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let session = request.extensions().get::<Session>().expect("the layer was built");
        (self.0.take().expect("one call"))(session);
        ready(Ok(Response::new(String::new())))
    }
}

/// Sessions of a layer, to be taken apart and put together.
pub struct Genuine {
    /// The JSON of each session.
    pub texts: Vec<String>,
    /// The cookies of each, as names and values.
    cookies: Vec<Vec<(String, String)>>,
}

impl Genuine {
    pub fn new(layer: &SessionLayer, texts: impl IntoIterator<Item = String>) -> Self {
        let texts: Vec<String> = texts.into_iter().collect();
        let cookies = texts
            .iter()
            .map(|text| {
                let data = RawValue::from_string(text.clone()).expect("JSON");
                let header = layer.cookie_header(&data).expect("it fits");
                let pairs = header.to_str().expect("cookies are text").split("; ");
                pairs
                    .map(|pair| pair.split_once('=').expect("a pair"))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect()
            })
            .collect();
        Self { texts, cookies }
    }

    /// Sessions that are somewhere else, each of one cookie, given as `name=value`.
    pub fn of(pairs: &[String]) -> Self {
        let cookies = pairs
            .iter()
            .map(|pair| pair.split_once('=').expect("a pair"))
            .map(|(name, value)| vec![(name.to_owned(), value.to_owned())])
            .collect();
        Self {
            texts: vec![String::new(); pairs.len()],
            cookies,
        }
    }

    /// Makes `Cookie` lines of a recipe. Bytes stand for themselves, but for two that no header may hold:
    ///
    /// - `01 what which` is a piece of a genuine session: `which` picks the session and, of it, the cookie; `what` says whether
    ///   the whole header, a pair, a name, a value, or its first or second half;
    /// - `02` ends the line.
    pub fn cook(&self, recipe: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = vec![Vec::new()];
        let mut rest = recipe.iter();
        while let Some(&byte) = rest.next() {
            let line = lines.last_mut().expect("there is always one");
            match byte {
                1 => {
                    let (what, which) = (rest.next().copied().unwrap_or(0), rest.next().copied().unwrap_or(0));
                    line.extend_from_slice(self.piece(what, which.into()).as_bytes());
                }
                2 => lines.push(Vec::new()),
                _ => line.push(byte),
            }
        }
        lines
    }

    fn piece(&self, what: u8, which: usize) -> String {
        let cookies = &self.cookies[which % self.cookies.len()];
        let (name, value) = &cookies[which / self.cookies.len() % cookies.len()];
        let middle = value.len() / 2;
        match what % 6 {
            0 => {
                let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
                pairs.join("; ")
            }
            1 => format!("{name}={value}"),
            2 => name.clone(),
            3 => value.clone(),
            4 => value[..middle].to_owned(),
            _ => value[middle..].to_owned(),
        }
    }
}
