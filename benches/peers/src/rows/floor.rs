//! The arithmetic alone: what a session layer cannot do without, as real tower services.
//!
//! They are lazy, have one `Arc` for each request, find the cookie by a scan of bytes, compute with prepared keys and
//! decode with base64-simd. They leave out expiry, key rotation, ids, errors, what caches are told (`Vary`), and where the
//! cookie is encrypted a key of its own for each.

use std::{
    future::Future,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::{SystemTime, UNIX_EPOCH},
};

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use memchr::{memchr_iter, memrchr};
use pin_project_lite::pin_project;
use rand::RngExt as _;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac as ring_hmac,
};
use serde::{
    Deserializer as _, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use sha1::Sha1;
use tower::{Layer, Service, layer::util::Identity};

use super::Contender;
use crate::{
    handlers::{Dictionary, Response, Task, answer, runner},
    request::Request,
    runner::{Runner, tower},
};

pub(super) const START: &str = "__Host-session=";
pub(super) const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=1209600";

pub struct Bare;

impl Contender for Bare {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        (task == Task::Nothing).then(|| {
            tower(&Identity::new(), |request: Request| async move {
                drop(request);
                answer()
            })
        })
    }
}

#[derive(Clone)]
pub struct OneArc;

impl Floor for OneArc {
    type State = bool;

    fn begin(&self, _: &HeaderMap) -> bool {
        false
    }

    fn end(&self, _: &mut bool) -> Option<HeaderValue> {
        None
    }
}

impl Contender for OneArc {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        untouched(self, task)
    }
}

#[derive(Clone)]
pub struct Scan;

impl Floor for Scan {
    type State = Option<Found>;

    fn begin(&self, headers: &HeaderMap) -> Option<Found> {
        scan(headers)
    }

    fn end(&self, _: &mut Option<Found>) -> Option<HeaderValue> {
        None
    }
}

impl Contender for Scan {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        untouched(self, task)
    }
}

fn untouched<F: Floor>(floor: &F, task: Task) -> Option<Box<dyn Runner>> {
    (task == Task::Nothing).then(|| {
        tower(&FloorLayer(floor.clone()), |request: Request| async move {
            drop(request);
            answer()
        })
    })
}

pub fn hmac() -> impl Contender {
    let key = ring_hmac::Key::new(ring_hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
    Sealed(Arc::new(Spans(key)))
}

pub fn aead() -> impl Contender {
    let key = UnboundKey::new(&AES_256_GCM, &rand::random::<[u8; 32]>()).expect("a key");
    Sealed(Arc::new(Spans(LessSafeKey::new(key))))
}

pub fn starlette() -> impl Contender {
    let key = Hmac::<Sha1>::new_from_slice(&rand::random::<[u8; 20]>()).expect("a key");
    Sealed(Arc::new(Itsdangerous(key)))
}

impl<D: Document> Contender for Sealed<D> {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        Some(runner!(FloorLayer(self.clone()), Handle<Sealed<D>>, task))
    }
}

// --- The service.

/// What a floor does at the two ends of a request.
pub(super) trait Floor: Clone + Send + Sync + 'static {
    type State: Send + 'static;

    fn begin(&self, headers: &HeaderMap) -> Self::State;
    /// The `Set-Cookie` line, if one is due.
    fn end(&self, state: &mut Self::State) -> Option<HeaderValue>;
}

pub(super) struct Shared<F: Floor> {
    pub(super) floor: F,
    pub(super) state: Mutex<F::State>,
}

/// What handlers find in the extensions.
pub(super) struct Handle<F: Floor>(pub(super) Arc<Shared<F>>);

impl<F: Floor> Clone for Handle<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub(super) struct FloorLayer<F>(pub(super) F);

impl<F: Floor, S> Layer<S> for FloorLayer<F> {
    type Service = FloorService<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        FloorService {
            floor: self.0.clone(),
            inner,
        }
    }
}

pub(super) struct FloorService<F, S> {
    floor: F,
    inner: S,
}

impl<F: Floor, S: Service<Request, Response = Response>> Service<Request> for FloorService<F, S> {
    type Response = Response;
    type Error = S::Error;
    type Future = FloorFuture<F, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let state = Mutex::new(self.floor.begin(request.headers()));
        let floor = self.floor.clone();
        let handle = Handle(Arc::new(Shared { floor, state }));
        request.extensions_mut().insert(handle.clone());
        FloorFuture {
            future: self.inner.call(request),
            handle,
        }
    }
}

pin_project! {
    pub(super) struct FloorFuture<F: Floor, S> {
        #[pin]
        future: S,
        handle: Handle<F>,
    }
}

impl<F: Floor, S: Future<Output = Result<Response, E>>, E> Future for FloorFuture<F, S> {
    type Output = S::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<S::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(context))?;
        let shared = &this.handle.0;
        if let Some(line) = shared.floor.end(&mut shared.state.lock().expect("a state")) {
            response.headers_mut().append(SET_COOKIE, line);
        }
        Poll::Ready(Ok(response))
    }
}

// --- The cookie.

pub(super) struct Found {
    pub(super) line: HeaderValue,
    pub(super) value: Range<usize>,
}

pub(super) fn scan(headers: &HeaderMap) -> Option<Found> {
    for line in headers.get_all(COOKIE) {
        let bytes = line.as_bytes();
        let mut start = 0;
        for end in memchr_iter(b';', bytes).chain([bytes.len()]) {
            let blank = usize::from(bytes.get(start) == Some(&b' '));
            if bytes[start + blank..end].starts_with(START.as_bytes()) {
                return Some(Found {
                    line: line.clone(),
                    value: start + blank + START.len()..end,
                });
            }
            start = end + 1;
        }
    }
    None
}

/// A session that is opened when it is asked for.
struct Lazy<T> {
    found: Option<Found>,
    opened: Option<T>,
    changed: bool,
}

/// Floors with a session in the cookie.
struct Sealed<D>(Arc<D>);

impl<D> Clone for Sealed<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A format and a data model.
trait Document: Send + Sync + 'static {
    type Session: Default + Send + 'static;

    fn open(&self, cookie: &[u8]) -> Option<Self::Session>;
    fn get<T: DeserializeOwned>(session: &Self::Session, key: &str) -> Option<T>;
    fn insert<T: Serialize>(session: &mut Self::Session, key: &str, value: T);
    /// Appends the value of the cookie.
    fn seal(&self, session: &Self::Session, line: &mut String);
    /// About how long that is.
    fn len(session: &Self::Session) -> usize;
}

impl<D: Document> Floor for Sealed<D> {
    type State = Lazy<D::Session>;

    fn begin(&self, headers: &HeaderMap) -> Self::State {
        Lazy {
            found: scan(headers),
            opened: None,
            changed: false,
        }
    }

    fn end(&self, state: &mut Self::State) -> Option<HeaderValue> {
        let session = state.opened.as_ref().filter(|_| state.changed)?;
        let mut line = String::with_capacity(START.len() + D::len(session) + ATTRIBUTES.len());
        line.push_str(START);
        self.0.seal(session, &mut line);
        line.push_str(ATTRIBUTES);
        HeaderValue::try_from(line).ok()
    }
}

impl<D: Document> Handle<Sealed<D>> {
    fn with<T>(&self, work: impl FnOnce(&mut D::Session, &mut bool) -> T) -> T {
        let state = &mut *self.0.state.lock().expect("a state");
        let session = state.opened.get_or_insert_with(|| {
            let found = state.found.as_ref();
            found
                .and_then(|found| self.0.floor.0.open(&found.line.as_bytes()[found.value.clone()]))
                .unwrap_or_default()
        });
        work(session, &mut state.changed)
    }
}

impl<D: Document> Dictionary for Handle<Sealed<D>> {
    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        self.with(|session, _| D::get(session, key))
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) {
        self.with(|session, changed| {
            *changed = true;
            D::insert(session, key, value);
        });
    }
}

// --- Spans: the text as it came, and where its members stand.

struct Spans<C>(C);

trait Crypto: Send + Sync + 'static {
    const EXTRA: usize;

    fn open(&self, frame: Vec<u8>) -> Option<Vec<u8>>;
    fn seal(&self, json: &str) -> Vec<u8>;
}

#[derive(Default)]
struct Text {
    json: String,
    /// Keys without their quotes, and values.
    members: Vec<(Range<usize>, Range<usize>)>,
    changes: Vec<(String, String)>,
}

impl<C: Crypto> Document for Spans<C> {
    type Session = Text;

    fn open(&self, cookie: &[u8]) -> Option<Text> {
        let frame = self.0.open(URL_SAFE_NO_PAD.decode_to_vec(cookie).ok()?)?;
        let json = String::from_utf8(frame).ok()?;
        let members = serde_json::Deserializer::from_str(&json)
            .deserialize_map(Index(&json))
            .ok()?;
        Some(Text {
            members,
            json,
            changes: Vec::new(),
        })
    }

    fn get<T: DeserializeOwned>(text: &Text, key: &str) -> Option<T> {
        let value = match text.changes.iter().find(|(changed, _)| changed == key) {
            Some((_, value)) => value,
            None => {
                let (_, value) = text.members.iter().find(|(name, _)| text.json[name.clone()] == *key)?;
                &text.json[value.clone()]
            }
        };
        serde_json::from_str(value).ok()
    }

    fn insert<T: Serialize>(text: &mut Text, key: &str, value: T) {
        let value = serde_json::to_string(&value).expect("JSON");
        match text.changes.iter_mut().find(|(changed, _)| changed == key) {
            Some((_, old)) => *old = value,
            None => text.changes.push((key.to_owned(), value)),
        }
    }

    fn seal(&self, text: &Text, line: &mut String) {
        let mut json = String::with_capacity(Self::len(text));
        json.push('{');
        let mut left: Vec<_> = text.changes.iter().collect();
        for (key, value) in &text.members {
            if json.len() > 1 {
                json.push(',');
            }
            let name = &text.json[key.clone()];
            match left.iter().position(|(changed, _)| changed == name) {
                None => json.push_str(&text.json[key.start - 1..value.end]),
                Some(at) => {
                    json.push_str(&text.json[key.start - 1..key.end + 1]);
                    json.push(':');
                    json.push_str(&left.remove(at).1);
                }
            }
        }
        for (key, value) in left {
            if json.len() > 1 {
                json.push(',');
            }
            // A floor: no key here needs an escape.
            json.extend(["\"", key, "\":", value]);
        }
        json.push('}');
        URL_SAFE_NO_PAD.encode_append(self.0.seal(&json), line);
    }

    fn len(text: &Text) -> usize {
        let added: usize = text
            .changes
            .iter()
            .map(|(key, value)| key.len() + value.len() + 4)
            .sum();
        (text.json.len() + added + 2 + C::EXTRA) * 4 / 3 + 4
    }
}

struct Index<'t>(&'t str);

impl<'t> Visitor<'t> for Index<'t> {
    type Value = Vec<(Range<usize>, Range<usize>)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity((self.0.len() / 16).clamp(4, 64));
        let span = |part: &str| {
            let start = part.as_ptr() as usize - self.0.as_ptr() as usize;
            start..start + part.len()
        };
        // A floor: no key here has an escape, or comes twice.
        while let Some((key, value)) = map.next_entry::<&str, &RawValue>()? {
            members.push((span(key), span(value.get())));
        }
        Ok(members)
    }
}

/// `[JSON | MAC]`
impl Crypto for ring_hmac::Key {
    const EXTRA: usize = 32;

    fn open(&self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let (json, tag) = frame.split_at_checked(frame.len().checked_sub(Self::EXTRA)?)?;
        ring_hmac::verify(self, json, tag).ok()?;
        frame.truncate(frame.len() - Self::EXTRA);
        Some(frame)
    }

    fn seal(&self, json: &str) -> Vec<u8> {
        let tag = ring_hmac::sign(self, json.as_bytes());
        let mut frame = Vec::with_capacity(json.len() + Self::EXTRA);
        frame.extend_from_slice(json.as_bytes());
        frame.extend_from_slice(tag.as_ref());
        frame
    }
}

/// `[nonce | encrypted JSON | tag]`
impl Crypto for LessSafeKey {
    const EXTRA: usize = NONCE_LEN + 16;

    fn open(&self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, secret) = frame.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let len = self.open_in_place(nonce, Aad::empty(), secret).ok()?.len();
        frame.truncate(NONCE_LEN + len);
        frame.drain(..NONCE_LEN);
        Some(frame)
    }

    fn seal(&self, json: &str) -> Vec<u8> {
        // From a generator in the process: the system's costs more than the encryption.
        let nonce: [u8; NONCE_LEN] = rand::rng().random();
        let mut frame = Vec::with_capacity(json.len() + Self::EXTRA);
        frame.extend_from_slice(&nonce);
        frame.extend_from_slice(json.as_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut frame[NONCE_LEN..])
            .expect("a cookie");
        frame.extend_from_slice(tag.as_ref());
        frame
    }
}

// --- Starlette's format with serde_json's Map.

struct Itsdangerous(Hmac<Sha1>);

/// `base64(JSON).stamp.signature`
impl Document for Itsdangerous {
    type Session = Map<String, Value>;

    fn open(&self, cookie: &[u8]) -> Option<Self::Session> {
        let (signed, signature) = split_last(cookie)?;
        let mut tag = [0; 20];
        URL_SAFE_NO_PAD
            .decode(signature, base64_simd::Out::from_slice(&mut tag))
            .ok()?;
        self.0.clone().chain_update(signed).verify_slice(&tag).ok()?;
        let (text, _) = split_last(signed)?;
        let json = String::from_utf8(STANDARD.decode_to_vec(text).ok()?).ok()?;
        serde_json::from_str(&json).ok()
    }

    fn get<T: DeserializeOwned>(session: &Self::Session, key: &str) -> Option<T> {
        T::deserialize(session.get(key)?).ok()
    }

    fn insert<T: Serialize>(session: &mut Self::Session, key: &str, value: T) {
        session.insert(key.to_owned(), serde_json::to_value(value).expect("JSON"));
    }

    fn seal(&self, session: &Self::Session, line: &mut String) {
        let start = line.len();
        let json = serde_json::to_string(session).expect("JSON");
        STANDARD.encode_append(json, line);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let stamp = now.to_be_bytes();
        line.push('.');
        URL_SAFE_NO_PAD.encode_append(&stamp[now.leading_zeros() as usize / 8..], line);
        let tag = self
            .0
            .clone()
            .chain_update(&line.as_bytes()[start..])
            .finalize()
            .into_bytes();
        line.push('.');
        URL_SAFE_NO_PAD.encode_append(tag, line);
    }

    fn len(session: &Self::Session) -> usize {
        session.len() * 64
    }
}

fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memrchr(b'.', text)?;
    Some((&text[..dot], &text[dot + 1..]))
}
