//! One contract for every codec: the native ones, the documentation's, and one that uses two cookies. A new codec is one
//! line in the list.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/codecs.rs"]
mod codecs;
mod support;

use std::{
    cell::Cell,
    time::{Duration, SystemTime},
};

use codecs::{Dotted, Paired, SIG, mac_key};
use http::{Request, Response, header::COOKIE};
use http_session::{
    Duplicates, Error, Key, Reject, Session, SessionLayer,
    codec::{Codec, Encrypted, Signed},
};
use serde_json::value::RawValue;
use support::*;

/// What is said of a codec before it is put to the test.
struct Subject {
    layer: SessionLayer,
    /// The same format under another key.
    foreign: SessionLayer,
    /// Whether its keys depend on the application's and the cookie's name.
    binds: bool,
    created: bool,
    authenticated: bool,
    max_age: bool,
    chunks: bool,
    /// Whether JSON comes back byte for byte; otherwise, in another framework's spelling.
    verbatim: bool,
    /// Whether quotes around a value are no part of it, as another framework has it.
    unquotes: bool,
    /// How many cookies a large session takes at most.
    cookies: usize,
}

impl Subject {
    fn of<C: Codec + Clone>(make: impl Fn() -> C) -> Self {
        Self {
            layer: layer(make()),
            foreign: layer(make()),
            binds: true,
            created: true,
            authenticated: true,
            max_age: true,
            chunks: true,
            verbatim: true,
            unquotes: false,
            cookies: 1,
        }
    }

    fn chunked(self, cookies: usize) -> Self {
        Self {
            layer: self.layer.chunked(cookies),
            foreign: self.foreign.chunked(cookies),
            cookies,
            ..self
        }
    }
}

macro_rules! contract {
    ($($(#[$attribute:meta])* $name:ident: $subject:expr;)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            #[test]
            fn every_json_shape_comes_back_verbatim() {
                super::every_json_shape_comes_back_verbatim(&$subject);
            }

            #[test]
            fn what_handlers_insert_comes_back() {
                super::what_handlers_insert_comes_back(&$subject);
            }

            #[test]
            fn carries_what_its_format_says() {
                super::carries_what_its_format_says(&$subject);
            }

            #[test]
            fn row_9_every_changed_bit_is_rejected() {
                super::every_changed_bit_is_rejected(&$subject);
            }

            #[test]
            fn every_truncation_and_extension_is_rejected() {
                super::every_truncation_and_extension_is_rejected(&$subject);
            }

            #[test]
            fn row_8_what_is_not_ours_is_rejected() {
                super::what_is_not_ours_is_rejected(&$subject);
            }

            #[test]
            fn row_14_names_bind() {
                super::names_bind(&$subject);
            }

            #[test]
            fn too_large_is_an_error_and_never_a_cookie() {
                super::too_large_is_an_error_and_never_a_cookie(&$subject);
            }
        }
    )*};
}

contract! {
    signed: Subject::of(|| Signed::new(Key::generate().unwrap()));
    encrypted: Subject::of(|| Encrypted::new(Key::generate().unwrap()));
    signed_in_up_to_four: Subject::of(|| Signed::new(Key::generate().unwrap())).chunked(4);
    encrypted_in_up_to_four: Subject::of(|| Encrypted::new(Key::generate().unwrap())).chunked(4);
    documented_example: Subject {
        binds: false,
        created: false,
        authenticated: false,
        max_age: false,
        chunks: false,
        ..Subject::of(|| Dotted(mac_key()))
    };
    two_cookies: Subject {
        authenticated: false,
        max_age: false,
        chunks: false,
        ..Subject::of(Paired::random)
    };
    #[cfg(feature = "starlette")]
    starlette: Subject {
        binds: false,
        created: false,
        authenticated: false,
        max_age: false,
        chunks: false,
        verbatim: false,
        unquotes: true,
        ..Subject::of(starlette)
    };
}

#[cfg(feature = "starlette")]
fn starlette() -> http_session::codec::Starlette {
    use ring::rand::{SystemRandom, generate};

    let secret: [u8; 16] = generate(&SystemRandom::new()).unwrap().expose();
    http_session::codec::Starlette::new(format!("{secret:?}")).backdate(0)
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(START)
}

fn layer<C: Codec + Clone>(codec: C) -> SessionLayer {
    // Any codec can be handed around as an object.
    let codec_as_object: Box<dyn Codec> = Box::new(codec.clone());
    drop(codec_as_object);
    SessionLayer::with_codec(codec).clock(start)
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// The cookies of a session, as names and values.
type Cookies = Vec<(String, Vec<u8>)>;

fn cookies(layer: &SessionLayer, json: &str) -> Cookies {
    let header = layer.cookie_header(&raw(json)).unwrap();
    let pairs = header.to_str().unwrap().split("; ");
    pairs
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn header(cookies: &Cookies) -> Vec<u8> {
    let pairs: Vec<Vec<u8>> = cookies
        .iter()
        .map(|(name, value)| [name.as_bytes(), b"=", value].concat())
        .collect();
    pairs.join(&b"; "[..])
}

/// What a handler sees and what the client gets; `None` if HTTP does not allow the header at all.
fn visit(layer: &SessionLayer, header: &[u8]) -> Option<(Seen, Response<String>)> {
    let request = Request::builder().header(COOKIE, header).body(()).ok()?;
    let seen = Cell::new(None);
    let response = send_request(layer, request, |session| {
        seen.set(Some(see(session)));
        ok()
    });
    Some((seen.take().unwrap(), response))
}

struct Seen {
    rejected: Option<Reject>,
    is_new: bool,
    json: Option<String>,
}

fn see(session: &Session) -> Seen {
    let json = session.to_map::<Box<RawValue>>().unwrap();
    Seen {
        rejected: session.rejected(),
        is_new: session.is_new().unwrap(),
        json: (!session.is_empty().unwrap()).then(|| json.get().to_owned()),
    }
}

/// An empty session, a reason for the server, and for the client the answer that a stranger gets.
#[track_caller]
fn assert_rejected(layer: &SessionLayer, header: &[u8], what: &str) -> Option<Reject> {
    let (seen, response) = visit(layer, header)?;
    assert_eq!(seen.json, None, "{what}");
    assert!(seen.is_new, "{what}");
    let reason = seen.rejected.unwrap_or_else(|| panic!("{what}: not a word"));
    let looks_foreign = matches!(
        reason,
        Reject::Malformed | Reject::BadSignature | Reject::UnknownKey | Reject::TooLarge
    );
    assert!(looks_foreign, "{what}: {reason:?}");
    let (_, anonymous) = visit(layer, b"other=1").unwrap();
    assert_eq!(response.status(), anonymous.status(), "{what}");
    assert_eq!(response.headers(), anonymous.headers(), "{what}");
    Some(reason)
}

#[track_caller]
fn assert_accepted(subject: &Subject, layer: &SessionLayer, header: &[u8], json: &str) {
    let (seen, response) = visit(layer, header).unwrap();
    assert_eq!(seen.rejected, None);
    assert_same(subject, &seen.json.unwrap(), json);
    assert_eq!(set_cookies(response.headers()), [""; 0]);
}

/// The same text, or in another spelling the same value.
#[track_caller]
fn assert_same(subject: &Subject, text: &str, expected: &str) {
    if subject.verbatim || !expected.starts_with(['{', '[', '"']) && !expected.contains(['.', 'e', 'E']) {
        assert_eq!(text, expected);
    } else if text.starts_with('{') {
        let (members, expected) = (in_order(text), in_order(expected));
        assert_eq!(members.len(), expected.len());
        for (member, expected) in members.iter().zip(&expected) {
            assert_eq!(member.0, expected.0);
            assert_same(subject, member.1.get(), expected.1.get());
        }
    } else if text != expected {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(text), value(expected), "{text} and {expected}");
    }
}

fn nested(depth: usize) -> String {
    format!(
        "{{\"a\":{}{}}}",
        "[{\"b\":".repeat(depth / 2) + "[]",
        "}]".repeat(depth / 2)
    )
}

fn members(count: usize) -> String {
    let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
    format!("{{{}}}", members.join(","))
}

fn shapes() -> Vec<String> {
    let mut shapes: Vec<String> = [
        r#"{"user":42}"#,
        r#"{"":""}"#,
        r#"{"a":null,"b":true,"c":false,"d":[],"e":{},"f":[[],{}],"g":""}"#,
        r#"{"name":"Zoë Ångström","城市":"東京","emoji":"👩‍🚀","e\u0301":"\u0000\u2028"}"#,
        r#"{"escapes":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude80","\u006bey\\\"":"\u003c/script\u003e"}"#,
        r#"{"plain":"; , = \" %3B ' < > & + \\"}"#,
        r#"{"big":123456789012345678901234567890,"u64":18446744073709551615,"i64":-9223372036854775808}"#,
        r#"{"exact":1.10,"huge":1e400,"tiny":5e-324,"zero":-0,"minus":-0.0,"exponent":1E+2,"third":0.3333333333333333}"#,
        "{ \"a\" : [ 1 ,\t2 ] ,\r\n \"b\" : { \"c\" : \"d e\" } }",
    ]
    .map(str::to_owned)
    .into();
    shapes.push(nested(100));
    shapes.push(members(200));
    shapes.push(format!("{{\"long\":\"{}\"}}", "x".repeat(1900)));
    shapes
}

fn every_json_shape_comes_back_verbatim(subject: &Subject) {
    for json in shapes() {
        assert_accepted(subject, &subject.layer, &header(&cookies(&subject.layer, &json)), &json);
    }
    let (seen, _) = visit(&subject.layer, &header(&cookies(&subject.layer, "{}"))).unwrap();
    assert_eq!((seen.rejected, seen.is_new, seen.json), (None, false, None));
}

fn what_handlers_insert_comes_back(subject: &Subject) {
    for json in shapes() {
        let members: Vec<(String, Box<RawValue>)> = in_order(&json);
        let mut jar = Jar::new();
        jar.visit(&subject.layer, |session| {
            for (key, value) in &members {
                session.insert(key, value).unwrap();
            }
            ok()
        });
        jar.visit(&subject.layer, |session| {
            assert_eq!(session.rejected(), None);
            let keys: Vec<&String> = members.iter().map(|(key, _)| key).collect();
            assert_eq!(session.keys().unwrap().iter().collect::<Vec<_>>(), keys);
            for (key, value) in &members {
                let read: Box<RawValue> = session.get(key).unwrap().unwrap();
                assert_same(subject, read.get(), value.get());
            }
            ok()
        });
    }
}

/// The members of an object as they stand, numbers of any size among them.
fn in_order(json: &str) -> Vec<(String, Box<RawValue>)> {
    struct Members(Vec<(String, Box<RawValue>)>);
    impl<'de> serde::Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Members;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Members>(json).unwrap().0
}

fn carries_what_its_format_says(subject: &Subject) {
    let clock = Clock::new();
    let layer = || subject.layer.clone().clock(clock.reader());
    let day = Duration::from_secs(86_400);
    let plain = layer().build().unwrap();
    let mut jar = Jar::new();
    jar.visit(&plain, |session| {
        session.insert("a", 1).unwrap();
        session.authenticated().unwrap();
        let set = session.set_max_age(day);
        assert_eq!(set.is_ok(), subject.max_age);
        assert!(matches!(set, Ok(()) | Err(Error::Config { .. })));
        ok()
    });
    clock.advance(Duration::from_secs(10));
    jar.visit(&plain, |session| {
        let carried = |carried: bool| carried.then(start);
        assert_eq!(session.created_at().unwrap(), carried(subject.created));
        assert_eq!(session.authenticated_at().unwrap(), carried(subject.authenticated));
        let max_age = if subject.max_age { day } else { 14 * day };
        assert_eq!(session.expires_at().unwrap(), Some(start() + max_age));
        ok()
    });
    // A write keeps the beginning and moves the end.
    jar.visit(&plain, |session| {
        session.insert("a", 2).unwrap();
        ok()
    });
    jar.visit(&plain, |session| {
        assert_eq!(session.created_at().unwrap(), subject.created.then(start));
        let max_age = if subject.max_age { day } else { 14 * day };
        assert_eq!(
            session.expires_at().unwrap(),
            Some(start() + Duration::from_secs(10) + max_age)
        );
        ok()
    });
    // The server enforces it, whatever the browser does.
    clock.advance(15 * day);
    jar.visit(&plain, |session| {
        assert_eq!(session.rejected(), Some(Reject::Expired));
        assert!(session.is_empty().unwrap());
        ok()
    });
    clock.set(start() - Duration::from_secs(61));
    jar.visit(&plain, |session| {
        assert_eq!(session.rejected(), Some(Reject::NotYetValid));
        ok()
    });
    // A layer that asks for more than the format carries is refused.
    let refusal = |layer: SessionLayer| match layer.build() {
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    let absolute = refusal(layer().absolute_lifetime(day));
    assert_eq!(absolute.is_none(), subject.created, "{absolute:?}");
    let limit = refusal(layer().max_age_limit(30 * day));
    assert_eq!(limit.is_none(), subject.max_age, "{limit:?}");
    let chunked = refusal(layer().chunked(2));
    assert_eq!(chunked.is_none(), subject.chunks, "{chunked:?}");
}

/// What the tampering starts from: short, and where the codec can split, long enough for a second cookie.
fn targets(subject: &Subject) -> Vec<String> {
    let mut targets = vec![r#"{"user":42,"admin":false}"#.to_owned()];
    if subject.cookies > 1 {
        targets.push(format!("{{\"k\":\"{}\"}}", "x".repeat(4000)));
    }
    targets
}

fn every_changed_bit_is_rejected(subject: &Subject) {
    for json in targets(subject) {
        let good = cookies(&subject.layer, &json);
        assert_accepted(subject, &subject.layer, &header(&good), &json);
        for (number, (name, value)) in good.iter().enumerate() {
            for at in 0..value.len() {
                // Of long ones, one bit of each byte: the short one has had them all.
                let bits = if value.len() > 1000 { at % 8..at % 8 + 1 } else { 0..8 };
                for bit in bits {
                    let mut forged = good.clone();
                    forged[number].1[at] ^= 1 << bit;
                    let what = format!("{name}, byte {at}, bit {bit}");
                    assert_rejected(&subject.layer, &header(&forged), &what);
                }
            }
        }
    }
}

fn every_truncation_and_extension_is_rejected(subject: &Subject) {
    for json in targets(subject) {
        let good = cookies(&subject.layer, &json);
        for (number, (name, value)) in good.iter().enumerate() {
            for len in 0..value.len() {
                let mut cut = good.clone();
                cut[number].1.truncate(len);
                assert_rejected(&subject.layer, &header(&cut), &format!("{name}, cut to {len}"));
            }
            for start in 1..value.len().min(200) {
                let mut cut = good.clone();
                cut[number].1.drain(..start);
                assert_rejected(&subject.layer, &header(&cut), &format!("{name} from {start} on"));
            }
            for more in ["A", "=", "==", ".", "A=", "AAAA", "\"", "%", "0", "00", "-", " A"] {
                for before in [true, false] {
                    let mut longer = good.clone();
                    let at = if before { 0 } else { value.len() };
                    longer[number].1.splice(at..at, more.bytes());
                    let what = format!("{name} and {more:?}, {before}");
                    assert_rejected(&subject.layer, &header(&longer), &what);
                }
            }
            let mut twice = good.clone();
            twice[number].1.extend_from_slice(value);
            assert_rejected(&subject.layer, &header(&twice), &format!("{name} twice in one"));
        }
        if good.len() > 1 {
            for missing in 0..good.len() {
                let mut fewer = good.clone();
                let (name, _) = fewer.remove(missing);
                if missing > 0 {
                    assert_rejected(&subject.layer, &header(&fewer), &format!("without {name}"));
                } else {
                    // Nothing stands under the cookie's own name, so nothing was presented.
                    let (seen, _) = visit(&subject.layer, &header(&fewer)).unwrap();
                    assert!(seen.is_new && seen.json.is_none());
                }
            }
            let mut swapped = good.clone();
            let (first, rest) = swapped.split_at_mut(1);
            std::mem::swap(&mut first[0].1, &mut rest[0].1);
            assert_rejected(&subject.layer, &header(&swapped), "values swapped");
        }
    }
}

fn what_is_not_ours_is_rejected(subject: &Subject) {
    let json = r#"{"user":1,"admin":true}"#;
    let good = cookies(&subject.layer, json);
    let name = &good[0].0;
    let companions: Vec<_> = good[1..].to_vec();
    let with = |value: &[u8]| {
        let mut cookies = vec![(name.clone(), value.to_vec())];
        cookies.extend(companions.clone());
        header(&cookies)
    };
    let own = &good[0].1;
    let mut values: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        json.as_bytes().to_vec(),
        b"eyJ1c2VyIjoxLCJhZG1pbiI6dHJ1ZX0".to_vec(),
        b"eyJ1c2VyIjoxLCJhZG1pbiI6dHJ1ZX0=".to_vec(),
        b"eyJ1c2VyIjogMX0=.aR0cKw.8ytlFtJzLkFiGHDEOK5Ch7_RFJY".to_vec(),
        b"eyJhbGciOiJub25lIn0.eyJ1c2VyIjoxfQ.".to_vec(),
        b"s%3AabcdefghijklmnopqrstuvwxyzABCDEF.0123456789".to_vec(),
        b"...".to_vec(),
        b"-".to_vec(),
        b"0".to_vec(),
        b"deleted".to_vec(),
        b"\xff\xfe\x80".to_vec(),
        b"\xc3\xa9\xf0\x9f\x9a\x80".to_vec(),
        "\u{feff}".repeat(20).into_bytes(),
        [b"%", own.as_slice()].concat(),
        own.iter()
            .flat_map(|byte| format!("%{byte:02X}").into_bytes())
            .collect(),
        [own.as_slice(), b", ", own.as_slice()].concat(),
        own.to_ascii_uppercase(),
        own.iter().rev().copied().collect(),
        own.repeat(50),
    ];
    let quoted = [b"\"", own.as_slice(), b"\""].concat();
    assert_accepted(subject, &subject.layer, &with(&quoted), json);
    if !subject.unquotes {
        values.push([b"\"", quoted.as_slice(), b"\""].concat());
    }
    for huge in ["A", "_", ".", "0", "=", "{", "[", "\"", "\u{e9}", "AQ", "Ag", "ff"] {
        values.push(huge.repeat(100_000).into_bytes());
    }
    for value in &values {
        let shown = String::from_utf8_lossy(&value[..value.len().min(60)]).into_owned();
        assert_rejected(&subject.layer, &with(value), &format!("{} bytes: {shown}", value.len()));
    }
    // Somebody else's keys, in full and in parts.
    let foreign = cookies(&subject.foreign, json);
    assert_rejected(&subject.layer, &header(&foreign), "made with other keys");
    let foreign_half = cookies(&subject.foreign, r#"{"user":2,"admin":true}"#);
    for number in 0..good.len() {
        let mut mixed = good.clone();
        mixed[number] = foreign_half[number].clone();
        assert_rejected(&subject.layer, &header(&mixed), "half made with other keys");
    }
    // A session that was rejected is replaced by the next write and shows nothing of the reason.
    let insert = |header: &[u8]| {
        let request = Request::builder().header(COOKIE, header).body(()).unwrap();
        let response = send_request(&subject.layer, request, |session| {
            session.insert("a", 1).unwrap();
            ok()
        });
        let mut headers = response.headers().clone();
        let lines = set_cookies(&headers);
        headers.remove(http::header::SET_COOKIE);
        let attributes: Vec<String> = lines
            .iter()
            .map(|line| line.split_once(';').unwrap().1.to_owned())
            .collect();
        let names: Vec<String> = lines
            .iter()
            .map(|line| line.split('=').next().unwrap().to_owned())
            .collect();
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        (response.status(), headers, names, attributes, lengths)
    };
    let anonymous = insert(b"other=1");
    for header in [header(&foreign), with(b"{}"), with(b"\xff"), with(&own.repeat(50))] {
        assert_eq!(insert(&header), anonymous);
    }
}

fn names_bind(subject: &Subject) {
    let json = r#"{"user":42}"#;
    let home = subject.layer.clone().app("shop").cookie_name("id");
    let good = cookies(&home, json);
    assert_accepted(subject, &home, &header(&good), json);
    let other_layers = [
        home.clone().app("shop2"),
        home.clone().app("Shop"),
        home.clone().app(""),
        home.clone().app("shop "),
        home.clone().cookie_name("id2"),
        home.clone().cookie_name("ID"),
        home.clone().path("/app"),
        home.clone().domain("example.com"),
        home.clone().secure(false),
        // One string if they were only written one after the other.
        home.clone().app("shop__Host-").cookie_name("__Secure-id").path("/x"),
        home.clone().app("sho").cookie_name("p__Host-id").secure(false),
    ];
    for other in other_layers {
        let names: Vec<String> = cookies(&other, json).into_iter().map(|(name, _)| name).collect();
        let moved: Cookies = names
            .into_iter()
            .zip(good.iter().map(|(_, value)| value.clone()))
            .collect();
        if subject.binds {
            assert_rejected(&other, &header(&moved), &format!("{other:?}"));
        } else {
            // Its documentation shows no binding, so the test must see that: it is what the flag says.
            assert_accepted(subject, &other, &header(&moved), json);
        }
    }
}

fn too_large_is_an_error_and_never_a_cookie(subject: &Subject) {
    let attempt = |jar: &mut Jar, len: usize| {
        let response = jar.visit(&subject.layer, |session| {
            session.insert("k", "x".repeat(len)).unwrap();
            ok()
        });
        for line in set_cookies(response.headers()) {
            let pair = line.split(';').next().unwrap();
            // The `=` between them does not count.
            assert!(pair.len() - 1 <= 4096, "{} bytes", pair.len() - 1);
        }
        response
    };
    // The longest that fits.
    let (mut fits, mut exceeds) = (1, 100_000);
    while exceeds - fits > 1 {
        let middle = (fits + exceeds) / 2;
        let response = attempt(&mut Jar::new(), middle);
        if response.status() == 200 {
            assert!(!set_cookies(response.headers()).is_empty());
            fits = middle;
        } else {
            exceeds = middle;
        }
    }
    let mut jar = Jar::new();
    assert_eq!(attempt(&mut jar, fits).status(), 200);
    let bytes: usize = jar.0.iter().map(|cookie| cookie.name.len() + cookie.value.len()).sum();
    assert!(
        bytes > subject.cookies * 4096 - 4,
        "{bytes} bytes in {} cookies",
        jar.0.len()
    );
    let before = jar.clone();
    for len in [exceeds, exceeds + 1, 2 * exceeds, 10 * exceeds] {
        let response = attempt(&mut jar, len);
        assert_eq!(response.status(), 500);
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        match response.extensions().get::<Error>() {
            Some(&Error::TooLarge { size, limit, .. }) => {
                assert_eq!(limit, subject.cookies * 4096);
                assert!(size > limit, "{size} and {limit}");
            }
            other => panic!("{other:?}"),
        }
        // The session that was there is there.
        assert_eq!(jar.0, before.0);
        jar.visit(&subject.layer, |session| {
            assert_eq!(session.get::<String>("k").unwrap().unwrap().len(), fits);
            ok()
        });
    }
}

// --- More than one cookie: what the suite cannot ask of every codec.

/// A name without prefix, where duplicates are ambiguous.
fn paired() -> SessionLayer {
    layer(Paired::random()).secure(false).cookie_name("id")
}

fn pair(layer: &SessionLayer, user: u64) -> [String; 2] {
    let header = layer
        .cookie_header(&std::collections::BTreeMap::from([("user", user)]))
        .unwrap();
    let mut pairs = header.to_str().unwrap().split("; ").map(str::to_owned);
    [pairs.next().unwrap(), pairs.next().unwrap()]
}

#[track_caller]
fn user(layer: &SessionLayer, header: &str) -> Result<u64, Option<Reject>> {
    let mut user = Err(None);
    send(layer, header, |session| {
        user = session.get("user").unwrap().ok_or_else(|| session.rejected());
        ok()
    });
    user
}

#[test]
fn a_companion_that_is_missing_or_somebody_elses_is_no_signature() {
    let layer = paired();
    let [value, sig] = pair(&layer, 1);
    let [other_value, other_sig] = pair(&layer, 2);
    assert!(sig.starts_with(&format!("id{SIG}=")));
    assert_eq!(user(&layer, &format!("{value}; {sig}")), Ok(1));
    assert_eq!(user(&layer, &format!("{sig}; {value}")), Ok(1));
    assert_eq!(user(&layer, &value), Err(Some(Reject::Malformed)));
    assert_eq!(user(&layer, &sig), Err(None), "there is no session cookie at all");
    assert_eq!(
        user(&layer, &format!("{value}; id.sig=?")),
        Err(Some(Reject::Malformed))
    );
    assert_eq!(
        user(&layer, &format!("{value}; id.sig=")),
        Err(Some(Reject::BadSignature))
    );
    assert_eq!(
        user(&layer, &format!("{value}; {other_sig}")),
        Err(Some(Reject::BadSignature))
    );
    assert_eq!(
        user(&layer, &format!("{other_value}; {sig}")),
        Err(Some(Reject::BadSignature))
    );
    let foreign = pair(&paired(), 1)[1].clone();
    assert_eq!(
        user(&layer, &format!("{value}; {foreign}")),
        Err(Some(Reject::BadSignature))
    );
}

#[test]
fn of_duplicate_companions_the_one_that_fits_counts() {
    let layer = paired();
    let [value, sig] = pair(&layer, 1);
    let [other_value, other_sig] = pair(&layer, 2);
    for header in [
        format!("{value}; {other_sig}; {sig}"),
        format!("{value}; {sig}; {other_sig}"),
        format!("{sig}; {value}; {sig}"),
        format!("{value}; {value}; id.sig=; id.sig=\u{e9}; {sig}"),
    ] {
        assert_eq!(user(&layer, &header), Ok(1), "{header}");
    }
    // Two whole sessions under one name.
    for header in [
        format!("{value}; {sig}; {other_value}; {other_sig}"),
        format!("{value}; {other_value}; {other_sig}; {sig}"),
    ] {
        assert_eq!(user(&layer, &header), Err(Some(Reject::Ambiguous)), "{header}");
        let newest = layer.clone().on_duplicates(Duplicates::Newest);
        assert_eq!(user(&newest, &header), Ok(2), "equally old: the one named last");
    }
    // Nobody makes the server compute more than a few MACs: behind enough wrong ones, the right one is not found.
    let wrong: Vec<String> = (0..40).map(|n| format!("id.sig={n:064x}")).collect();
    let flood = format!("{value}; {}; {sig}", wrong.join("; "));
    assert!(user(&layer, &flood).is_err());
    let few = format!("{value}; {}; {sig}", wrong[..15].join("; "));
    assert_eq!(user(&layer, &few), Ok(1));
}

#[test]
fn all_cookies_of_a_session_are_written_and_removed_together() {
    let layer = paired();
    let mut jar = Jar::new();
    let response = jar.visit(&layer, |session| {
        session.insert("user", 1).unwrap();
        ok()
    });
    let names = |response: &Response<String>| -> Vec<String> {
        let lines = set_cookies(response.headers());
        lines
            .iter()
            .map(|line| line.split('=').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&response), ["id", "id.sig"]);
    let old = jar.clone();
    let response = jar.visit(&layer, |session| {
        session.insert("user", 2).unwrap();
        ok()
    });
    assert_eq!(names(&response), ["id", "id.sig"]);
    // An old half beside a new one is no session.
    assert_ne!(old.0[1].value, jar.0[1].value);
    let mixed = format!("id={}; id.sig={}", jar.0[0].value, old.0[1].value);
    assert_eq!(user(&layer, &mixed), Err(Some(Reject::BadSignature)));
    let live = set_cookies(response.headers());
    let response = jar.visit(&layer, |session| {
        session.destroy().unwrap();
        ok()
    });
    assert_eq!(names(&response), ["id", "id.sig"]);
    assert!(jar.0.is_empty());
    for (live, removal) in live.iter().zip(set_cookies(response.headers())) {
        let scope = |line: &str| -> Vec<String> {
            let attributes = line.split("; ").skip(1).map(str::to_owned);
            attributes
                .filter(|text| !text.starts_with("Max-Age") && !text.starts_with("Expires"))
                .collect()
        };
        assert_eq!(scope(live), scope(&removal));
    }
}

#[test]
fn a_codec_that_writes_what_it_must_not_is_an_error() {
    use http_session::codec::{Format, Incoming, Outgoing, Payload};

    #[derive(Clone)]
    struct Bad(&'static str, &'static [&'static str]);
    impl Codec for Bad {
        fn format(&self) -> Format {
            Format::new().carries_issued().companions(&[".a"])
        }
        fn encode(&self, _: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
            cookie.push_str(self.0);
            self.1.iter().for_each(|&value| cookie.push_companion(value));
            Ok(())
        }
        fn decode(&self, _: &Incoming<'_>) -> Result<Payload, Reject> {
            Err(Reject::Malformed)
        }
    }
    let status = |value: &'static str, companions: &'static [&'static str]| {
        let response = send(&layer(Bad(value, companions)), "", |session| {
            session.insert("a", 1).unwrap();
            ok()
        });
        let lines = set_cookies(response.headers());
        assert_eq!(lines.is_empty(), response.status() != 200, "all or nothing");
        response.status().as_u16()
    };
    assert_eq!(status("fine", &["too"]), 200);
    for bad in [
        "a;b",
        "a b",
        "a\r\nSet-Cookie: x=y",
        "a,b",
        "\"a\"",
        "a\\b",
        "\u{e9}",
        "\0",
    ] {
        assert_eq!(status(bad, &["fine"]), 500, "{bad:?}");
        let companions: &[&str] = match bad {
            "a;b" => &["a;b"],
            "a b" => &["a b"],
            _ => &["a\nb"],
        };
        assert_eq!(status("fine", companions), 500, "{bad:?}");
    }
    assert_eq!(status("fine", &[]), 500);
    assert_eq!(status("fine", &["one", "more"]), 500);
}

#[test]
fn a_codec_that_needs_companions_is_not_split() {
    use http_session::codec::{Format, Incoming, Outgoing, Payload};

    #[derive(Clone)]
    struct Both;
    impl Codec for Both {
        fn format(&self) -> Format {
            Format::new().carries_issued().carries_text_len().companions(&[".a"])
        }
        fn encode(&self, _: &Payload, _: &mut Outgoing<'_>) -> Result<(), Error> {
            Ok(())
        }
        fn decode(&self, _: &Incoming<'_>) -> Result<Payload, Reject> {
            Err(Reject::Malformed)
        }
    }
    assert!(layer(Both).build().is_ok());
    assert!(layer(Both).chunked(2).build().is_err());
}
