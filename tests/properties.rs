//! Properties for arbitrary input: what is written is what is read, what is changed is rejected, nothing panics, and the
//! session is a dictionary like any other.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/codecs.rs"]
mod codecs;
mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use codecs::{Dotted, Paired, mac_key};
use http::{HeaderValue, Request, header::COOKIE};
use http_session::{Error, Key, Reject, Session, SessionLayer, Until, codec::Signed};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::value::RawValue;
use support::*;

// --- JSON as text: the spelling counts, so values are made as it.

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => select(vec![" ", "\n", "\t\r", "  "])]
}

fn string() -> impl Strategy<Value = String> {
    let quoted = |text: String| serde_json::to_string(&text).unwrap();
    prop_oneof![
        any::<String>().prop_map(quoted),
        "[a-z]{0,12}".prop_map(quoted),
        // Escapes that nobody needs.
        "[a-zé東🚀\"/\\\\]{0,6}".prop_map(|text| {
            let units: Vec<u16> = text.encode_utf16().collect();
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04X}")).collect();
            format!("\"{escapes}\"")
        }),
        select(vec![r#""\/""#, r#""\b\f\n\r\t""#, r#""\u0000""#, r#""; , = %3B""#]).prop_map(str::to_owned),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| serde_json::to_string(&number).unwrap()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?",
        select(vec![
            "123456789012345678901234567890",
            "1e400",
            "1.10",
            "-0",
            "-0.0",
            "5e-324"
        ])
        .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        number(),
        string(),
    ];
    scalar.prop_recursive(5, 24, 5, |inner| {
        prop_oneof![
            (space(), vec((space(), inner.clone(), space()), 0..5)).prop_map(|(space, items)| {
                let items: Vec<String> = items
                    .iter()
                    .map(|(before, item, after)| format!("{before}{item}{after}"))
                    .collect();
                format!("[{space}{}]", items.join(","))
            }),
            object(string(), inner, 5),
        ]
    })
}

/// The text of an object, in which a key may stand twice.
fn object(
    key: impl Strategy<Value = String>,
    value: impl Strategy<Value = String>,
    most: usize,
) -> impl Strategy<Value = String> {
    let member = (space(), key, space(), space(), value, space())
        .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
    (space(), vec(member, 0..=most)).prop_map(|(space, members)| format!("{{{space}{}}}", members.join(",")))
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The members of an object in their order, of a key that stands there twice the last value in the first place.
fn members(text: &str) -> Vec<(String, String)> {
    struct Members(Vec<(String, String)>);
    impl<'de> serde::Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Members;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members: Vec<(String, String)> = Vec::new();
                    while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                        match members.iter_mut().find(|member| member.0 == key) {
                            Some(member) => value.get().clone_into(&mut member.1),
                            None => members.push((key, value.get().to_owned())),
                        }
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Members>(text).unwrap().0
}

/// What a value means: white space, escapes and the order of members are gone, the digits of numbers are not.
#[derive(Debug, PartialEq)]
enum Meaning {
    Spelled(String),
    Text(String),
    List(Vec<Meaning>),
    Object(BTreeMap<String, Meaning>),
}

fn meaning(text: &str) -> Meaning {
    match text.as_bytes()[0] {
        b'{' => Meaning::Object(
            members(text)
                .into_iter()
                .map(|(key, value)| (key, meaning(&value)))
                .collect(),
        ),
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
            Meaning::List(items.iter().map(|item| meaning(item.get())).collect())
        }
        b'"' => Meaning::Text(serde_json::from_str(text).unwrap()),
        _ => Meaning::Spelled(text.to_owned()),
    }
}

// --- Layers.

/// Every codec, whole and split.
fn layers() -> &'static [SessionLayer] {
    static LAYERS: OnceLock<Vec<SessionLayer>> = OnceLock::new();
    LAYERS.get_or_init(|| {
        let key = Key::generate().unwrap();
        let other = Signed::new(Key::generate().unwrap());
        [
            SessionLayer::signed(key.clone()),
            SessionLayer::encrypted(key.clone()),
            SessionLayer::signed(key.clone()).chunked(4),
            SessionLayer::encrypted(key.clone()).chunked(4),
            SessionLayer::encrypted(key)
                .also_accept(other, Until::forever())
                .secure(false)
                .cookie_name("id"),
            SessionLayer::with_codec(Dotted(mac_key())),
            SessionLayer::with_codec(Paired::random()),
        ]
        .map(|layer| layer.clock(|| Clock::new().now()).build().unwrap())
        .into()
    })
}

fn any_layer() -> impl Strategy<Value = &'static SessionLayer> {
    (0..layers().len()).prop_map(|at| &layers()[at])
}

/// The `Cookie` header of this session, or `None` if it is too long for the layer.
fn cookie(layer: &SessionLayer, json: &str) -> Option<String> {
    match layer.cookie_header(&raw(json)) {
        Ok(header) => Some(header.to_str().unwrap().to_owned()),
        Err(Error::TooLarge { size, limit, .. }) => {
            assert!(size > limit);
            assert!(json.len() > 1900, "{} bytes of JSON do not fit", json.len());
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// The session's whole text, or why there is none.
fn read(layer: &SessionLayer, header: HeaderValue) -> Result<String, Option<Reject>> {
    let request = Request::builder().header(COOKIE, header).body(()).unwrap();
    let mut seen = Err(None);
    let response = send_request(layer, request, |session| {
        seen = if session.is_new().unwrap() {
            assert!(session.is_empty().unwrap());
            Err(session.rejected())
        } else {
            Ok(session.to_map::<Box<RawValue>>().unwrap().get().to_owned())
        };
        ok()
    });
    assert_eq!(response.status(), 200);
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    seen
}

/// A failure is printed, and not kept in a file beside this one; it becomes a test of its own. `PROPTEST_CASES` makes them
/// more than 256.
fn config(times: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: times * config.cases,
        failure_persistence: None,
        ..config
    }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn what_is_written_is_read(layer in any_layer(), json in object(string(), value(), 12)) {
        if let Some(header) = cookie(layer, &json) {
            prop_assert_eq!(read(layer, HeaderValue::try_from(header).unwrap()), Ok(json));
        }
    }

    #[test]
    fn long_sessions_are_split_and_joined(
        at in 2..4_usize,
        len in 2900..13_000_usize,
        name in "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,100}",
        app in any::<String>(),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let layer = layers()[at].clone().app(app).cookie_name(name);
        let json = format!("{{\"k\":\"{}\"}}", "x".repeat(len));
        if let Some(header) = cookie(&layer, &json) {
            let mut pairs: Vec<&str> = header.split("; ").collect();
            for pair in &pairs {
                prop_assert!(pair.len() - 1 <= 4096);
            }
            for full in &pairs[..pairs.len() - 1] {
                prop_assert_eq!(full.len() - 1, 4096);
            }
            prop_assert!(pairs.len() <= 4);
            // Neither the order of the parts nor what stands between them matters.
            let first = shuffle.index(pairs.len());
            pairs.rotate_left(first);
            let header = HeaderValue::try_from(pairs.join("; a=1;b=2;  ")).unwrap();
            prop_assert_eq!(read(&layer, header), Ok(json));
        }
    }

    #[test]
    fn every_mutation_is_rejected(
        layer in any_layer(),
        json in object(string(), value(), 4),
        mutation in mutation(),
    ) {
        let Some(header) = cookie(layer, &json) else { return Ok(()) };
        let pairs: Vec<&str> = header.split("; ").collect();
        let which = mutation.part.index(pairs.len());
        let (name, good) = pairs[which].split_once('=').unwrap();
        let mutated = mutation.apply(good.as_bytes());
        let mut line = Vec::new();
        for (at, pair) in pairs.iter().enumerate() {
            line.extend_from_slice(if at > 0 { b"; " } else { b"" });
            if at == which {
                line.extend_from_slice(&[name.as_bytes(), b"=", &mutated].concat());
            } else {
                line.extend_from_slice(pair.as_bytes());
            }
        }
        let Ok(line) = HeaderValue::from_bytes(&line) else { return Ok(()) };
        // What the header says after all: a value ends at `;`, and white space around it is no part of it.
        let value = mutated.split(|&byte| byte == b';').next().unwrap();
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
        let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
        match read(layer, line) {
            Ok(read) => {
                prop_assert!(&value[start..end] == good.as_bytes(), "accepted: {}", mutated.escape_ascii());
                prop_assert_eq!(read, json);
            }
            Err(reason) => {
                prop_assert!(&value[start..end] != good.as_bytes());
                let expected = [Reject::Malformed, Reject::BadSignature, Reject::UnknownKey, Reject::TooLarge];
                prop_assert!(reason.is_some_and(|reason| expected.contains(&reason)), "{:?}", reason);
            }
        }
    }

    #[test]
    fn headers_of_any_bytes_open_nothing(layer in any_layer(), lines in vec(vec(any::<u8>(), 0..300), 0..4)) {
        prop_assert!(open(layer, &lines).is_err());
    }

    /// Genuine cookies cut to pieces and put together in any way, in as many lines and duplicates as may be: what is
    /// accepted is one of the genuine sessions.
    #[test]
    fn pieces_of_genuine_cookies_open_nothing_else(layer in any_layer(), soup in soup()) {
        let sessions = ["{\"user\":1}".to_owned(), "{\"user\":2}".to_owned(), format!("{{\"k\":\"{}\"}}", "x".repeat(5000))];
        let genuine: Vec<String> = sessions.iter().filter_map(|json| cookie(layer, json)).collect();
        if let Ok(json) = open(layer, &soup.cook(&genuine)) {
            prop_assert!(sessions.contains(&json), "{}", json);
        }
    }

    #[test]
    fn any_text_is_a_key_or_an_error(text in prop_oneof![
        any::<String>(),
        "(hex:|base64:)?[0-9a-zA-Z+/_=-]{0,140}",
        "(hex:)?[0-9a-fA-F]{60,70}",
    ]) {
        match text.parse::<Key>() {
            Ok(key) => {
                prop_assert!(text.trim().len() >= 43, "32 bytes are 43 characters of base64");
                prop_assert!(SessionLayer::encrypted(key).build().is_ok());
            }
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.ends_with("make one with `openssl rand -hex 32`"));
                prop_assert!(text.len() < 16 || !message.contains(&text));
            }
        }
    }

    #[test]
    fn any_app_and_any_name_bind_or_are_refused(
        apps in [any::<String>(), any::<String>()],
        names in ["\\PC{0,20}", "\\PC{0,20}"],
    ) {
        let layer = |app: &str, name: &str| layers()[0].clone().app(app).cookie_name(name).secure(false).build();
        if let (Ok(first), Ok(second)) = (layer(&apps[0], &names[0]), layer(&apps[1], &names[1])) {
            let header = cookie(&first, "{\"user\":1}").unwrap();
            let value = header.strip_prefix(&format!("{}=", names[0])).unwrap();
            let moved = HeaderValue::try_from(format!("{}={value}", names[1])).unwrap();
            let same = apps[0] == apps[1] && names[0] == names[1];
            prop_assert_eq!(read(&second, moved).is_ok(), same);
            prop_assert!(read(&first, HeaderValue::try_from(header).unwrap()).is_ok());
        }
    }
}

fn open(layer: &SessionLayer, lines: &[Vec<u8>]) -> Result<String, Option<Reject>> {
    let mut request = Request::new(());
    for line in lines {
        // What HTTP does not allow does not come in.
        if let Ok(line) = HeaderValue::from_bytes(line) {
            request.headers_mut().append(COOKIE, line);
        }
    }
    let mut seen = Err(None);
    let response = send_request(layer, request, |session| {
        seen = if session.is_new().unwrap() {
            assert!(session.is_empty().unwrap());
            Err(session.rejected())
        } else {
            assert_eq!(session.rejected(), None);
            Ok(session.to_map::<Box<RawValue>>().unwrap().get().to_owned())
        };
        ok()
    });
    assert_eq!(response.status(), 200);
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    seen
}

#[derive(Clone, Debug)]
struct Mutation {
    part: prop::sample::Index,
    edits: Vec<Edit>,
}

#[derive(Clone, Debug)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Reverse,
    Case(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use prop::sample::Index;

    let digit = select(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. ;\t\"".to_vec());
    let byte = prop_oneof![3 => digit, 1 => any::<u8>()];
    let edit = prop_oneof![
        4 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), vec(byte, 1..6)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(at, len)| Edit::Remove(at, len)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(at, len)| Edit::Repeat(at, len)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::Swap(a, b)),
        1 => Just(Edit::Reverse),
        1 => any::<Index>().prop_map(Edit::Case),
    ];
    (any::<Index>(), vec(edit, 1..4)).prop_map(|(part, edits)| Mutation { part, edits })
}

impl Mutation {
    fn apply(&self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for edit in &self.edits {
            if bytes.is_empty() {
                break;
            }
            let len = bytes.len();
            match edit {
                Edit::Set(at, byte) => bytes[at.index(len)] = *byte,
                Edit::Insert(at, more) => {
                    let at = at.index(len + 1);
                    bytes.splice(at..at, more.iter().copied());
                }
                Edit::Remove(at, count) => {
                    let at = at.index(len);
                    bytes.drain(at..at + 1 + count.index(len - at));
                }
                Edit::Repeat(at, count) => {
                    let at = at.index(len);
                    let slice = bytes[at..at + 1 + count.index(len - at)].to_vec();
                    bytes.splice(at..at, slice);
                }
                Edit::Swap(a, b) => bytes.swap(a.index(len), b.index(len)),
                Edit::Reverse => bytes.reverse(),
                Edit::Case(at) => bytes[at.index(len)] ^= 0x20,
            }
        }
        bytes
    }
}

/// What to put together from genuine cookies.
#[derive(Clone, Debug)]
struct Soup(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    /// A whole pair of one of the sessions.
    Pair(prop::sample::Index, prop::sample::Index),
    /// The name of one, and the value of another, from somewhere to somewhere.
    Mixed([prop::sample::Index; 4], prop::sample::Index, prop::sample::Index),
    /// A part number that may not be there.
    Numbered(u8, prop::sample::Index, prop::sample::Index),
    Bytes(Vec<u8>),
    Line,
}

fn soup() -> impl Strategy<Value = Soup> {
    use prop::sample::Index;

    let piece = prop_oneof![
        4 => (any::<Index>(), any::<Index>()).prop_map(|(session, pair)| Piece::Pair(session, pair)),
        3 => (any::<[Index; 4]>(), any::<Index>(), any::<Index>()).prop_map(|(ids, a, b)| Piece::Mixed(ids, a, b)),
        1 => (0..6_u8, any::<Index>(), any::<Index>()).prop_map(|(number, a, b)| Piece::Numbered(number, a, b)),
        1 => vec(any::<u8>(), 0..20).prop_map(Piece::Bytes),
        1 => Just(Piece::Line),
    ];
    vec(piece, 1..12).prop_map(Soup)
}

impl Soup {
    fn cook(&self, genuine: &[String]) -> Vec<Vec<u8>> {
        let pair = |session: &prop::sample::Index, pair: &prop::sample::Index| {
            let pairs: Vec<&str> = session.get(genuine).split("; ").collect();
            pair.get(&pairs).split_once('=').unwrap()
        };
        let mut lines = vec![Vec::new()];
        for piece in &self.0 {
            let line: &mut Vec<u8> = lines.last_mut().unwrap();
            match piece {
                Piece::Pair(a, b) => {
                    let (name, value) = pair(a, b);
                    line.extend_from_slice(format!("{name}={value}; ").as_bytes());
                }
                Piece::Mixed([a, b, c, d], start, end) => {
                    let (name, _) = pair(a, b);
                    let (_, value) = pair(c, d);
                    // More often whole than cut.
                    let start = start.index(2 * value.len()).saturating_sub(value.len());
                    let end = (start + end.index(2 * value.len())).min(value.len());
                    line.extend_from_slice(format!("{name}={}; ", &value[start..end]).as_bytes());
                }
                Piece::Numbered(number, a, b) => {
                    let (name, value) = pair(a, b);
                    let name = name.split('.').next().unwrap();
                    line.extend_from_slice(format!("{name}.{number}={value};").as_bytes());
                }
                Piece::Bytes(bytes) => line.extend_from_slice(bytes),
                Piece::Line => lines.push(Vec::new()),
            }
        }
        lines
    }
}

// --- The session as a dictionary, against a plain list.

#[derive(Clone, Debug)]
enum Op {
    Insert(String, String),
    /// The value that came with the request, in another spelling.
    Restore(String),
    Remove(String),
    Take(String),
    TakeWrongly(String),
    GetOrInsert(String, String),
    Update(String, String),
    Clear,
    Destroy,
    Renew,
    Save,
}

fn key() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c", "d", "", "é", "a b", "\"", "\u{0}"]).prop_map(str::to_owned)
}

/// A key as it may stand in a text.
fn key_text() -> impl Strategy<Value = String> {
    (key(), any::<bool>()).prop_map(|(key, escaped)| {
        if escaped {
            let escapes: String = key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{escapes}\"")
        } else {
            serde_json::to_string(&key).unwrap()
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (key(), value()).prop_map(|(key, value)| Op::Insert(key, value)),
        3 => key().prop_map(Op::Restore),
        4 => key().prop_map(Op::Remove),
        2 => key().prop_map(Op::Take),
        1 => key().prop_map(Op::TakeWrongly),
        1 => (key(), value()).prop_map(|(key, value)| Op::GetOrInsert(key, value)),
        1 => (key(), value()).prop_map(|(key, value)| Op::Update(key, value)),
        1 => Just(Op::Clear),
        1 => Just(Op::Destroy),
        1 => Just(Op::Renew),
        1 => Just(Op::Save),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    key: String,
    text: String,
    /// The text that came with the request, while it has not left its place.
    original: Option<String>,
}

/// What the session should be.
#[derive(Clone, Debug, Default)]
struct Model {
    entries: Vec<Entry>,
    /// What the client has, or will have after the last save.
    base: Vec<(String, String)>,
    /// Whether the client has a cookie.
    present: bool,
    ended: bool,
    rewrite: bool,
}

impl Model {
    fn new(base: Vec<(String, String)>, present: bool) -> Self {
        Self {
            entries: Self::untouched(&base),
            base,
            present,
            ended: false,
            rewrite: false,
        }
    }

    fn untouched(base: &[(String, String)]) -> Vec<Entry> {
        let entry = |(key, text): &(String, String)| Entry {
            key: key.clone(),
            text: text.clone(),
            original: Some(text.clone()),
        };
        base.iter().map(entry).collect()
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &*entry.text)
    }

    fn insert(&mut self, key: &str, text: &str) {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => {
                // What is what it was, stays as it was.
                let original = entry.original.as_deref().filter(|old| meaning(old) == meaning(text));
                entry.text = original.unwrap_or(text).to_owned();
            }
            None => self.entries.push(Entry {
                key: key.to_owned(),
                text: text.to_owned(),
                original: None,
            }),
        }
    }

    fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key);
    }

    fn is_modified(&self) -> bool {
        let differs = self.entries.len() != self.base.len()
            || self
                .base
                .iter()
                .any(|(key, old)| self.get(key).is_none_or(|now| meaning(now) != meaning(old)));
        if self.entries.is_empty() {
            self.present && (differs || self.ended)
        } else {
            differs || self.rewrite
        }
    }

    fn commit(&mut self) {
        if self.is_modified() {
            let members: Vec<_> = self
                .entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.text.clone()))
                .collect();
            let present = !members.is_empty();
            *self = Self::new(members, present);
        }
    }

    fn apply(&mut self, op: &Op, session: &Session) {
        match op {
            Op::Insert(key, text) => {
                session.insert(key, raw(text)).unwrap();
                self.insert(key, text);
            }
            Op::Restore(key) => {
                let old = self.base.iter().find(|(other, _)| other == key);
                let text = old.map_or("1".to_owned(), |(_, text)| respelled(text));
                session.insert(key, raw(&text)).unwrap();
                self.insert(key, &text);
            }
            Op::Remove(key) => {
                session.remove(key).unwrap();
                self.remove(key);
            }
            Op::Take(key) => {
                let taken: Option<Box<RawValue>> = session.take(key).unwrap();
                assert_eq!(taken.as_deref().map(RawValue::get), self.get(key));
                self.remove(key);
            }
            Op::TakeWrongly(key) => {
                let taken = session.take::<std::num::NonZeroI8>(key);
                match self.get(key).map(serde_json::from_str::<std::num::NonZeroI8>) {
                    None => assert_eq!(taken.unwrap(), None),
                    Some(Ok(number)) => {
                        assert_eq!(taken.unwrap(), Some(number));
                        self.remove(key);
                    }
                    Some(Err(_)) => assert!(matches!(taken, Err(Error::Type { key: named, .. }) if named == *key)),
                }
            }
            Op::GetOrInsert(key, text) => {
                let got: Arc<RawValue> = session
                    .get_or_insert_with::<Text, _>(key, || Text(raw(text).into()))
                    .unwrap()
                    .0;
                if self.get(key).is_none() {
                    self.insert(key, text);
                }
                assert_eq!(Some(got.get()), self.get(key));
            }
            Op::Update(key, text) => {
                let old = self.get(key).map(str::to_owned);
                let update = session.update::<Text, _>(key, |seen| {
                    assert_eq!(seen.map(|seen| seen.0.get().to_owned()), old);
                    Text(raw(text).into())
                });
                assert_eq!(poll_now(update).unwrap().0.get(), text);
                self.insert(key, text);
            }
            Op::Clear => {
                session.clear().unwrap();
                self.entries.clear();
                self.ended = true;
            }
            Op::Destroy => {
                session.destroy().unwrap();
                *self = Self {
                    present: self.present,
                    ended: true,
                    ..Self::default()
                };
            }
            Op::Renew => {
                session.renew().unwrap();
                self.rewrite = true;
            }
            Op::Save => {
                poll_now(session.save()).unwrap();
                self.commit();
            }
        }
    }

    fn assert_is(&self, session: &Session) {
        let keys: Vec<&String> = self.entries.iter().map(|entry| &entry.key).collect();
        assert_eq!(session.keys().unwrap().iter().collect::<Vec<_>>(), keys);
        assert_eq!(session.len().unwrap(), keys.len());
        assert_eq!(session.is_empty().unwrap(), keys.is_empty());
        for key in ["a", "b", "c", "d", "", "é", "a b", "\"", "\u{0}"] {
            let value: Option<Box<RawValue>> = session.get(key).unwrap();
            assert_eq!(value.as_deref().map(RawValue::get), self.get(key), "{key:?}");
            assert_eq!(session.contains_key(key).unwrap(), self.get(key).is_some());
        }
        let whole: Box<RawValue> = session.to_map().unwrap();
        let all: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.text.clone()))
            .collect();
        assert_eq!(members(whole.get()), all);
        assert_eq!(session.is_modified(), self.is_modified(), "{self:?}");
    }
}

/// A value that keeps its spelling on the way through the session.
#[derive(Clone)]
struct Text(Arc<RawValue>);

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.into()))
    }
}

/// The same value with other white space, and with its members the other way round.
fn respelled(text: &str) -> String {
    match text.as_bytes()[0] {
        b'{' => {
            let members: Vec<String> = members(text)
                .iter()
                .rev()
                .map(|(key, value)| format!("{} : {}", serde_json::to_string(key).unwrap(), respelled(value)))
                .collect();
            format!("{{ {} }}", members.join(" , "))
        }
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
            let items: Vec<String> = items.iter().map(|item| respelled(item.get())).collect();
            format!("[ {} ]", items.join(" , "))
        }
        b'"' => {
            let text: String = serde_json::from_str(text).unwrap();
            let escapes: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{escapes}\"")
        }
        _ => text.to_owned(),
    }
}

proptest! {
    #![proptest_config(config(2))]

    #[test]
    fn the_session_is_a_dictionary(
        split in 2..4_usize,
        first in prop_oneof![1 => Just(None), 5 => object(key_text(), value(), 6).prop_map(Some)],
        requests in vec(vec(op(), 0..8), 1..4),
    ) {
        let layer = &layers()[split];
        let mut jar = Jar::new();
        let mut text = String::new();
        if let Some(json) = &first {
            let Some(header) = cookie(layer, json) else { return Ok(()) };
            for pair in header.split("; ") {
                jar.set(&format!("{pair}; Path=/; Secure"));
            }
            text.clone_from(json);
        }
        for ops in &requests {
            let base = if text.is_empty() { Vec::new() } else { members(&text) };
            let mut model = Model::new(base, !jar.0.is_empty());
            let mut sent = false;
            let before = jar.clone();
            let response = jar.visit(layer, |session| {
                assert_eq!(session.rejected(), None);
                model.assert_is(session);
                for op in ops {
                    model.apply(op, session);
                    sent |= matches!(op, Op::Save);
                    model.assert_is(session);
                }
                ok()
            });
            let modified = model.is_modified();
            let was_saved = jar.0 != before.0;
            model.commit();
            let nothing_to_remove = before.0.is_empty() && !model.present;
            if modified && !nothing_to_remove {
                prop_assert!(!set_cookies(response.headers()).is_empty());
            }
            let untouched = !(modified || sent);
            if untouched {
                prop_assert_eq!(set_cookies(response.headers()), [""; 0], "nothing changed");
                prop_assert!(!was_saved);
            }
            prop_assert_eq!(jar.0.is_empty(), !model.present);

            // What arrives is what was there at the end, and members that nobody touched are as they came.
            let came = std::mem::take(&mut text);
            jar.visit(layer, |session| {
                assert_eq!(session.rejected(), None);
                if !session.is_new().unwrap() {
                    text = session.to_map::<Box<RawValue>>().unwrap().get().to_owned();
                }
                ok()
            });
            let arrived = if text.is_empty() { Vec::new() } else { members(&text) };
            prop_assert_eq!(&arrived, &model.base);
            if jar.0 == before.0 {
                prop_assert_eq!(&text, &came);
            }
        }
    }

    /// With few members, duplicates are found in another way than with many.
    #[test]
    fn of_a_key_that_stands_twice_the_last_value_counts(
        keys in vec(0..90_u8, 0..200),
        removed in 0..90_u8,
        set in 0..90_u8,
    ) {
        let texts: Vec<String> = keys.iter().zip(0..).map(|(key, n)| format!("\"k{key}\" : {n}")).collect();
        let json = format!("{{{}}}", texts.join(", "));
        let header = cookie(&layers()[2], &json).unwrap();
        let mut expected = members(&json);
        let mut jar = Jar::new();
        for pair in header.split("; ") {
            jar.set(&format!("{pair}; Path=/; Secure"));
        }
        let compare = |session: &Session, expected: &[(String, String)]| {
            let keys: Vec<&String> = expected.iter().map(|(key, _)| key).collect();
            assert_eq!(session.keys().unwrap().iter().collect::<Vec<_>>(), keys);
            for (key, value) in expected {
                assert_eq!(session.get::<u64>(key).unwrap().unwrap().to_string(), *value);
            }
        };
        let (removed, set) = (format!("k{removed}"), format!("k{set}"));
        jar.visit(&layers()[2], |session| {
            compare(session, &expected);
            session.remove(&removed).unwrap();
            session.insert(&set, 1000).unwrap();
            ok()
        });
        expected.retain(|(key, _)| *key != removed);
        match expected.iter_mut().find(|(key, _)| *key == set) {
            Some(member) => member.1 = "1000".to_owned(),
            None => expected.push((set, "1000".to_owned())),
        }
        jar.visit(&layers()[2], |session| {
            compare(session, &expected);
            ok()
        });
    }
}
