//! Row 31: no key, cookie value, session id or session data in what is printed: `Debug` and `Display` of every public type,
//! the sources of errors, events at every level, the bodies of error responses.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[cfg(any(feature = "redis", feature = "sqlite", feature = "tokio"))]
#[path = "support/client.rs"]
mod client;
#[cfg(any(feature = "redis", feature = "sqlite", feature = "postgres", feature = "mysql"))]
#[path = "support/daemon.rs"]
mod daemon;
#[cfg(feature = "tracing")]
#[path = "support/events.rs"]
mod events;
#[path = "support/map_store.rs"]
mod map_store;
#[cfg(feature = "redis")]
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "redaction/stored.rs"]
mod stored;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    error::Error as StdError,
    fmt::{self, Debug, Display},
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use http::{Request, Response, header::COOKIE};
use http_session::{
    DefaultErrorResponse, Duplicates, Error, ErrorResponse as _, Fallback, Key, KeyRing, Reject, SameSite, Scope,
    Session, SessionLayer, Tagged, Until,
    codec::{Binding, Codec, Encrypted, Format, Incoming, Outgoing, Payload, Signed, Spelling},
};
use support::*;
use tower::{Layer as _, Service as _, service_fn};

/// A value that stands in no text of ours.
const DATA: &str = "qZ7-the-users-secret-Wx4";

/// What must not be printed, and everything that was.
#[derive(Clone, Default)]
struct Printer(Arc<Mutex<Printed>>);

#[derive(Default)]
struct Printed {
    secrets: BTreeSet<String>,
    texts: Vec<(String, String)>,
    types: BTreeSet<&'static str>,
}

impl Printer {
    fn new() -> Self {
        let printer = Self::default();
        printer.text_is_secret(DATA);
        printer
    }

    fn text_is_secret(&self, text: &str) {
        self.bytes_are_secret(text.as_bytes());
        self.0.lock().unwrap().secrets.insert(text.to_owned());
    }

    /// In all the ways in which bytes are printed, and pieces of them.
    fn bytes_are_secret(&self, bytes: &[u8]) {
        let mut printed = self.0.lock().unwrap();
        for piece in bytes.chunks_exact(8) {
            let list = |one: fn(&u8) -> String| piece.iter().map(one).collect::<Vec<_>>();
            printed.secrets.extend([
                list(|byte| format!("{byte:02x}")).concat(),
                list(|byte| format!("{byte:02X}")).concat(),
                list(|byte| byte.to_string()).join(", "),
                list(|byte| format!("{byte:#x}")).join(", "),
                list(|byte| byte.to_string()).join(",\n        "),
            ]);
        }
        // Three ways in which three bytes meet four characters; without the ends, which depend on the neighbours.
        for skip in 0..3 {
            for text in [base64_simd::STANDARD, base64_simd::URL_SAFE].map(|way| way.encode_to_string(&bytes[skip..])) {
                let whole = text.trim_end_matches('=');
                printed.secrets.insert(whole[..whole.len().min(16) - 2].to_owned());
            }
        }
    }

    /// The cookie's value as it stands in a header, and any dozen characters of it.
    fn cookie_is_secret(&self, pair: &str) {
        let value = pair.split_once('=').unwrap().1.split(';').next().unwrap();
        self.bytes_are_secret(value.as_bytes());
        let mut printed = self.0.lock().unwrap();
        let pieces = value.as_bytes().chunks_exact(12);
        printed
            .secrets
            .extend(pieces.map(|piece| String::from_utf8(piece.to_vec()).unwrap()));
    }

    fn text(&self, what: &str, text: String) {
        self.0.lock().unwrap().texts.push((what.to_owned(), text));
    }

    /// Remembers how a value of this type looks.
    fn debug(&self, name: &'static str, value: &dyn Debug) {
        self.text(name, format!("{value:?}"));
        self.text(name, format!("{value:#?}"));
        self.text(name, format!("{:?}", Some(&[value])));
        self.0.lock().unwrap().types.insert(name);
    }

    fn display<T: Debug + Display>(&self, name: &'static str, value: &T) {
        self.debug(name, value);
        self.text(name, value.to_string());
        self.text(name, format!("{value:#}"));
    }

    /// An error, and all that led to it.
    fn error(&self, error: &Error) {
        self.display("Error", error);
        let mut source = error.source();
        while let Some(error) = source {
            self.text("a source", format!("{error} {error:?} {error:#?}"));
            source = error.source();
        }
    }

    /// Whether nothing secret was printed.
    #[track_caller]
    fn check(&self) {
        let printed = self.0.lock().unwrap();
        assert!(printed.secrets.len() > 5 && !printed.texts.is_empty());
        for (what, text) in &printed.texts {
            for secret in &printed.secrets {
                assert!(!text.contains(&**secret), "{what} shows {secret}: {text}");
            }
        }
    }

    /// A key of which every trace is looked for.
    fn key(&self) -> Key {
        let bytes: [u8; 32] = ring::rand::generate(&ring::rand::SystemRandom::new()).unwrap().expose();
        self.bytes_are_secret(&bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.text_is_secret(&digits);
        digits.parse().unwrap()
    }
}

#[test]
fn the_printer_notices() {
    for leak in [
        format!("x{DATA}x"),
        format!("{:?}", DATA.as_bytes()),
        format!("{:#?}", BTreeMap::from([("a", Some(DATA.as_bytes()))])).replace("            ", "        "),
        base64_simd::URL_SAFE_NO_PAD.encode_to_string(format!("{{\"user\":\"{DATA}\"}}")),
        base64_simd::STANDARD.encode_to_string(format!("{{\"u\":\"{DATA}\"}}")),
        base64_simd::STANDARD.encode_to_string(format!("{{\"us\":\"{DATA}\"}}")),
    ] {
        let printer = Printer::new();
        printer.text("a leak", leak.clone());
        let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| printer.check())).is_err();
        assert!(noticed, "{leak}");
    }
}

/// Prints all that a codec is handed.
#[derive(Clone)]
struct Spy {
    inner: Encrypted,
    printer: Printer,
}

impl Codec for Spy {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        self.printer.debug("Incoming", cookie);
        let payload = self.inner.decode(cookie);
        self.printer.debug("Payload", &payload);
        payload
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        self.printer.bytes_are_secret(&payload.id().unwrap());
        self.printer.debug("Payload", payload);
        self.printer.debug("Outgoing", cookie);
        self.inner.encode(payload, cookie)?;
        self.printer.debug("Outgoing", cookie);
        Ok(())
    }

    fn format(&self) -> Format {
        let format = self.inner.format();
        self.printer.debug("Format", &format);
        format
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        self.printer.debug("Binding", binding);
        self.inner.bind(binding)?;
        self.printer.debug("Encrypted", &self.inner);
        Ok(())
    }

    fn spelling(&self, _: &Binding<'_>) -> Option<Spelling> {
        let spelling = Spelling::new("; Path=/; Secure; HttpOnly", "; Path=/; Secure; HttpOnly; Max-Age=0");
        self.printer.debug("Spelling", &spelling);
        Some(spelling)
    }
}

/// Prints a session, and everything that it answers.
fn print_session(printer: &Printer, session: &Session) {
    printer.debug("Session", session);
    printer.debug("Tagged", &Tagged::<()>::new(session.clone()));
    for error in [
        session.get::<u64>("user").err(),
        session.take::<Vec<u8>>("user").err(),
        session.to_map::<BTreeMap<String, u64>>().err(),
        session.get_or_insert_with("user", || 1_u64).err(),
        poll_now(session.update("user", |_: Option<u64>| 1)).err(),
        session.insert("map", BTreeMap::from([(vec![1_u8], DATA)])).err(),
        session.insert("number", Unserialisable).err(),
    ]
    .into_iter()
    .flatten()
    {
        printer.error(&error);
    }
    printer.text(
        "answers",
        format!("{:?}", (session.rejected(), session.is_new(), session.created_at())),
    );
    printer.text(
        "answers",
        format!(
            "{:?}",
            (session.expires_at(), session.authenticated_at(), session.keys())
        ),
    );
    printer.debug("Session", session);
}

struct Unserialisable;

impl serde::Serialize for Unserialisable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[test]
fn row_31_no_public_type_prints_a_secret() {
    let printer = Printer::new();
    let key = printer.key();
    printer.debug("Key", &key);
    let ring = KeyRing::new(key.clone())
        .accept(printer.key())
        .sign_from(printer.key(), SystemTime::now());
    printer.debug("KeyRing", &ring);
    printer.debug("Signed", &Signed::new(ring.clone()));
    printer.debug("Encrypted", &Encrypted::new(ring.clone()));
    #[cfg(feature = "starlette")]
    {
        let secret = "rT5-shared-with-python-Lm9";
        printer.text_is_secret(secret);
        let codec = http_session::codec::Starlette::new(secret).accept(DATA);
        printer.debug("Starlette", &codec);
        printer.debug("SessionLayer", &SessionLayer::with_codec(codec.clone()).build());
        printer.debug("Fallback", &Fallback::new(codec));
    }
    printer.debug(
        "Fallback",
        &Fallback::new(Signed::new(ring.clone()))
            .cookie_name("old")
            .app("shop")
            .scope(Scope::new().path("/")),
    );
    printer.debug("Until", &Until::date(SystemTime::now()));
    printer.debug("Duplicates", &Duplicates::Newest);
    printer.debug("Scope", &Scope::new().domain("example.com"));
    printer.debug("SameSite", &SameSite::Lax);
    printer.debug("DefaultErrorResponse", &DefaultErrorResponse::default());
    printer.debug("Session", &Session::new());

    let spy = Spy {
        inner: Encrypted::new(ring.clone()),
        printer: printer.clone(),
    };
    let layer = SessionLayer::with_codec(spy)
        .app("shop")
        .also_accept(Signed::new(ring), Until::forever())
        .chunked(2);
    printer.debug("SessionLayer", &layer);
    let layer = layer.build().unwrap();
    printer.debug("SessionLayer", &layer);
    printer.debug(
        "SessionLayer",
        &layer.clone().on_error(|_: Error, response: Response<String>| response),
    );

    // A session as it is made, changed, saved, sealed.
    let mut kept = None;
    let response = send(&layer, "", |session| {
        printer.debug("Session", session);
        session.insert("user", DATA).unwrap();
        session.authenticated().unwrap();
        print_session(&printer, session);
        poll_now(session.save()).unwrap();
        print_session(&printer, session);
        kept = Some(session.clone());
        ok()
    });
    let kept = kept.unwrap();
    print_session(&printer, &kept);
    printer.error(&kept.insert("user", DATA).unwrap_err());
    let pair = set_cookies(response.headers()).remove(0);
    printer.cookie_is_secret(&pair);
    printer.text("a response", format!("{response:?} {response:#?}"));
    let header = layer.cookie_header(&BTreeMap::from([("user", DATA)])).unwrap();
    printer.cookie_is_secret(header.to_str().unwrap());
    printer.text("a header", format!("{header:?}"));
    // As it comes back, good and bad.
    let good = pair.split(';').next().unwrap().to_owned();
    for cookies in [
        good.clone(),
        format!("{good}x"),
        good.replace('a', "b"),
        good.replace("=A", "=B"),
    ] {
        send(&layer, &cookies, |session| {
            print_session(&printer, session);
            ok()
        });
    }
    // The service and its future, with a session inside.
    let mut service = layer.layer(service_fn(|request: Request<()>| async move {
        let session = request.extensions().get::<Session>().unwrap();
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some(DATA));
        std::future::pending::<Result<Response<String>, Infallible>>().await
    }));
    printer.debug("SessionService", &service);
    let future = service.call(Request::builder().header(COOKIE, &good).body(()).unwrap());
    printer.debug("ResponseFuture", &future);
    let mut future = Box::pin(future);
    assert!(
        future
            .as_mut()
            .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
            .is_pending()
    );
    printer.debug("ResponseFuture", &future);
    // A layer that cannot be built.
    let broken = layer.clone().chunked(9);
    printer.debug("SessionLayer", &broken);
    printer.error(&broken.cookie_header(&BTreeMap::from([("user", DATA)])).unwrap_err());
    send(&broken, &good, |session| {
        printer.debug("Session", session);
        printer.error(&session.insert("user", DATA).unwrap_err());
        ok()
    });
    printer.error(&layer.cookie_header(&[DATA]).unwrap_err());
    printer.error(&layer.cookie_header(DATA).unwrap_err());
    #[cfg(feature = "axum")]
    {
        use axum::{extract::FromRequestParts as _, response::IntoResponse as _};
        let (mut parts, ()) = Request::builder().header(COOKIE, &good).body(()).unwrap().into_parts();
        let rejection = poll_now(Session::from_request_parts(&mut parts, &())).unwrap_err();
        printer.display("SessionRejection", &rejection);
        printer.text("a rejection's response", format!("{:?}", rejection.into_response()));
    }

    stored::print(&printer);

    printer.check();
    // Every public type was looked at.
    let missing: Vec<String> = public_types()
        .into_iter()
        .filter(|name| !printer.0.lock().unwrap().types.contains(&**name))
        // Said in the two tests below, and not here without their features.
        .filter(|name| !["Cause", "Reject"].contains(&&**name))
        .filter(|name| cfg!(feature = "axum") || name != "SessionRejection")
        .filter(|name| cfg!(feature = "starlette") || name != "Starlette")
        .filter(|name| !stored::left_out().contains(&&**name))
        .collect();
    assert!(missing.is_empty(), "not looked at: {missing:?}");
}

/// The names of all public types in `src/`.
fn public_types() -> Vec<String> {
    fn walk(folder: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, names);
                continue;
            }
            for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                let rest = ["pub struct ", "pub enum ", "pub union "]
                    .iter()
                    .find_map(|start| line.strip_prefix(start));
                if let Some(rest) = rest {
                    let end = rest.find(|char: char| !char.is_alphanumeric()).unwrap();
                    names.push(rest[..end].to_owned());
                }
            }
        }
    }
    let mut names = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(names.len() > 20, "{names:?}");
    names
}

/// Writes what may not stand in a cookie.
#[derive(Clone)]
struct Leaky;

impl Codec for Leaky {
    fn decode(&self, _: &Incoming<'_>) -> Result<Payload, Reject> {
        Err(Reject::Malformed)
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        cookie.push_str(payload.json());
        Ok(())
    }

    fn format(&self) -> Format {
        Format::new().carries_issued()
    }
}

#[test]
fn row_31_no_error_prints_a_secret() {
    let printer = Printer::new();
    // Keys that are refused, with the text in which they came.
    for text in [
        DATA.to_owned(),
        format!("hex:{DATA}"),
        format!("base64:{DATA}"),
        format!("{DATA}{DATA}"),
        base64_simd::STANDARD.encode_to_string(format!("{DATA}{DATA}")),
        base64_simd::STANDARD.encode_to_string(DATA),
    ] {
        printer.error(&text.parse::<Key>().unwrap_err());
    }
    // Rings that are refused.
    let twice = printer.key();
    let ring = KeyRing::new(twice.clone()).accept(twice);
    for layer in [SessionLayer::signed(ring.clone()), SessionLayer::encrypted(ring)] {
        printer.error(&layer.build().unwrap_err());
    }
    // Sessions that cannot be committed, and what becomes of the response.
    let large = SessionLayer::signed(printer.key()).build().unwrap();
    let leaky = SessionLayer::with_codec(Leaky).build().unwrap();
    for layer in [large, leaky] {
        let response = send(&layer, "", |session| {
            session.insert("user", DATA.repeat(300)).unwrap();
            printer.error(&poll_now(session.save()).unwrap_err());
            Response::new(DATA.to_owned())
        });
        printer.error(response.extensions().get().unwrap());
        printer.text("an error response", format!("{response:?} {}", response.body()));
    }
    for error in [
        Error::HeadersSent,
        Error::Random,
        Error::config("a reason"),
        Error::codec("a source"),
        Error::store("a source"),
        Error::value("cart", "a reason"),
        Error::NotLoaded,
        Error::Gone,
    ] {
        printer.error(&error);
        if let Error::Store { source, .. } = &error {
            printer.debug("Cause", source);
        }
        let made = DefaultErrorResponse::default().error_response(error.clone(), Response::new(DATA.to_owned()));
        printer.text("an error response", format!("{made:?}"));
        #[cfg(feature = "axum")]
        printer.text(
            "a handler's error",
            format!("{:?}", axum::response::IntoResponse::into_response(error)),
        );
    }
    printer.check();
}

/// Says what went wrong in `Display`, and more than that in `Debug`.
#[derive(Debug)]
struct Talkative {
    _data: &'static str,
}

impl Display for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk is full")
    }
}

impl StdError for Talkative {}

#[test]
fn an_errors_debug_does_not_print_its_source_and_source_keeps_it() {
    // A codec's own error may hold anything; it is there for whoever asks for it, and nowhere else.
    let error = Error::codec(DATA);
    assert!(!format!("{error:?} {error:#?} {error}").contains(DATA));
    assert_eq!(error.source().unwrap().to_string(), DATA);
    // What a store says is what a log needs; what it holds besides is not.
    let error = Error::store(Talkative { _data: DATA });
    let printed = format!("{error:?} {error:#?} {error}");
    assert_eq!(
        printed.matches("the disk is full").count(),
        2,
        "`Display` leaves it to `source`"
    );
    assert!(!printed.contains(DATA));
    assert!(error.source().unwrap().is::<Talkative>());
}

#[test]
fn row_31_a_reject_is_a_word() {
    for reject in [
        Reject::Ambiguous,
        Reject::BadSignature,
        Reject::Expired,
        Reject::Malformed,
        Reject::NotYetValid,
        Reject::Renewed,
        Reject::TooLarge,
        Reject::UnknownKey,
        Reject::UnknownTicket,
    ] {
        assert!(format!("{reject:?}").chars().all(char::is_alphabetic));
        assert!(reject.to_string().len() < 60);
    }
}

#[cfg(feature = "tracing")]
#[test]
fn row_31_no_event_holds_a_secret_and_each_says_what_happened() {
    use std::time::Duration;

    let printer = Printer::new();
    let clock = Clock::new();
    let (own, other) = (printer.key(), printer.key());
    let layer = |key: &Key| SessionLayer::encrypted(key.clone()).clock(clock.reader()).rolling(true);
    let plain = layer(&own).build().unwrap();
    let pair = |layer: &SessionLayer| {
        let response = send(layer, "", |session| {
            session.insert("user", DATA).unwrap();
            ok()
        });
        let line = set_cookies(response.headers()).remove(0);
        printer.cookie_is_secret(&line);
        line.split(';').next().unwrap().to_owned()
    };
    let good = pair(&plain);
    let foreign = pair(&layer(&other).build().unwrap());
    let elsewhere = pair(&layer(&own).app("shop").build().unwrap());
    let shared = layer(&own).domain("example.com").build().unwrap();
    let ambiguous = format!("{}; {}", pair(&shared), pair(&shared));
    clock.advance(Duration::from_secs(100));
    let future = pair(&plain);
    clock.set(clock.now() - Duration::from_secs(100));
    let split = layer(&own).chunked(2).build().unwrap();
    // Its length says more than two cookies hold.
    let mut claims = base64_simd::URL_SAFE_NO_PAD
        .decode_to_vec(good.split_once('=').unwrap().1)
        .unwrap();
    claims[5..8].copy_from_slice(&[1, 0, 0]);
    let too_large = format!(
        "__Host-session={}",
        base64_simd::URL_SAFE_NO_PAD.encode_to_string(claims)
    );

    let read = |session: &Session| {
        let _ = session.get::<String>("user").unwrap();
        ok()
    };
    let expect = |what: &str, expected: &[(&str, &str)]| {
        let heard = events::heard();
        for line in &heard {
            printer.text(what, line.clone());
        }
        let fits = heard.len() == expected.len()
            && heard
                .iter()
                .zip(expected)
                .all(|(line, (level, says))| line.starts_with(level) && line.contains(says));
        assert!(fits, "{what}: {heard:#?}");
    };
    events::listen();
    send(&plain, &good, read);
    expect("accepted", &[]);
    send(&plain, &good, |session| {
        session.insert("more", DATA).unwrap();
        session.renew().unwrap();
        ok()
    });
    expect("written", &[]);
    for (what, layer, cookies, level, says) in [
        (
            "malformed",
            &plain,
            format!("__Host-session={DATA}"),
            "DEBUG",
            "reason=malformed",
        ),
        (
            "unknown key",
            &plain,
            foreign,
            "WARN",
            "reason=signed with an unknown key",
        ),
        (
            "another application's",
            &plain,
            elsewhere,
            "DEBUG",
            "reason=bad signature",
        ),
        (
            "ambiguous",
            &shared,
            ambiguous,
            "WARN",
            "reason=several different sessions",
        ),
        (
            "from the future",
            &plain,
            future,
            "DEBUG",
            "reason=issued in the future",
        ),
        ("too large", &split, too_large, "DEBUG", "reason=too large"),
    ] {
        // A warning that anybody can bring about is one for an hour.
        for level in [level, "DEBUG"] {
            send(layer, &cookies, read);
            expect(what, &[(level, says)]);
        }
        // Nobody looked.
        send(layer, &cookies, |_| ok());
        expect(what, &[]);
    }
    // Commits that fail.
    let blob = DATA.repeat(300);
    send(&plain, &good, |session| {
        session.insert("blob", &blob).unwrap();
        ok()
    });
    expect(
        "too large",
        &[("ERROR", "could not be committed error=the session cookie would take")],
    );
    send(&plain, &good, |session| {
        session.insert("blob", &blob).unwrap();
        assert!(poll_now(session.save()).is_err());
        session.remove("blob").unwrap();
        ok()
    });
    expect("reported by save", &[]);
    send(&SessionLayer::with_codec(Leaky).build().unwrap(), "", |session| {
        session.insert("user", DATA).unwrap();
        ok()
    });
    expect(
        "a codec's failure",
        &[("ERROR", "the codec could not write the session")],
    );
    // Settings.
    let broken = plain.clone().cookie_name("no name");
    send(&broken, &good, |session| {
        assert!(session.insert("user", DATA).is_err());
        ok()
    });
    expect(
        "never built",
        &[(
            "ERROR",
            "no request will have a session error=the sessions are not set up for this",
        )],
    );
    printer.text_is_secret(DATA);
    printer
        .0
        .lock()
        .unwrap()
        .texts
        .retain(|(what, _)| what != "never built");
    send(&plain, &good, |session| {
        session.insert("n", 1).unwrap();
        let mut response = ok();
        response
            .headers_mut()
            .insert("cache-control", "public".parse().unwrap());
        response
    });
    expect("public", &[("WARN", "marked as public")]);
    // Expired, at last.
    clock.advance(Duration::from_secs(15 * 86_400));
    send(&plain, &good, read);
    expect("expired", &[("DEBUG", "reason=expired")]);
    printer.check();
}
