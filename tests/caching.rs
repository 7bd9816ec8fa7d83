//! Rule 3: what caches are told, and what they would do to users if they were not.
//!
//! The shared caches here keep whatever they may keep for as long as they like: time stands still, and everything that is
//! stored and not forbidden is reused. A response that they hand out never reaches the handler.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[cfg(feature = "tracing")]
#[path = "support/events.rs"]
mod events;
mod support;

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY},
};
use http_session::{Key, Session, SessionLayer};
use support::*;

const DAY: Duration = Duration::from_secs(86_400);

fn key() -> Key {
    Key::generate().unwrap()
}

type Header = (&'static str, &'static str);

fn with_headers(body: String, headers: &[Header]) -> Response<String> {
    let mut response = Response::new(body);
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(&value.chars().map(|char| char as u8).collect::<Vec<_>>()).unwrap();
        response
            .headers_mut()
            .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    response
}

fn values(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let texts = headers.get_all(name).iter();
    texts
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

// --- The caches.

/// A cache that many users share.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Whether a stored response is only for requests with the same `Vary` headers.
    varies: bool,
    /// Whether `Set-Cookie` is taken off what is stored, however it is marked.
    strips_cookies: bool,
}

const RFC_9111: Kind = Kind {
    varies: true,
    strips_cookies: false,
};
const BLIND_TO_VARY: Kind = Kind {
    varies: false,
    ..RFC_9111
};
const STRIPPING: Kind = Kind {
    strips_cookies: true,
    ..RFC_9111
};
const STRIPPING_AND_BLIND: Kind = Kind {
    varies: false,
    strips_cookies: true,
};
const ALL: [Kind; 4] = [RFC_9111, BLIND_TO_VARY, STRIPPING, STRIPPING_AND_BLIND];

struct Cache {
    kind: Kind,
    stored: Vec<Stored>,
}

struct Stored {
    path: String,
    /// The request's `Cookie` header, if the response varies by it.
    cookie: Option<String>,
    headers: HeaderMap,
    body: String,
}

/// A directive and its argument, both in lower case and without quotes.
fn directives(headers: &HeaderMap, name: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for value in headers.get_all(name) {
        let text = String::from_utf8_lossy(value.as_bytes()).to_lowercase();
        let mut parts = vec![String::new()];
        let mut quoted = false;
        for char in text.chars() {
            match char {
                '"' => quoted = !quoted,
                ',' if !quoted => parts.push(String::new()),
                char => parts.last_mut().unwrap().push(char),
            }
        }
        for part in parts {
            let (directive, argument) = part.split_once('=').unwrap_or((&part, ""));
            found.push((directive.trim().to_owned(), argument.trim().to_owned()));
        }
    }
    found
}

/// The field names in the arguments of these directives; `None` if one of them has no argument and means the whole response.
fn fields(directives: &[(String, String)], names: &[&str]) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    for (name, argument) in directives {
        if names.contains(&&**name) {
            if argument.is_empty() {
                return None;
            }
            fields.extend(argument.split(',').map(|field| field.trim().to_owned()));
        }
    }
    Some(fields)
}

impl Cache {
    fn new(kind: Kind) -> Self {
        let stored = Vec::new();
        Self { kind, stored }
    }

    /// The header that this cache obeys: one that is addressed to it goes first (RFC 9213, section 2.2).
    fn control(headers: &HeaderMap) -> Vec<(String, String)> {
        for targeted in ["example-cdn-cache-control", "cdn-cache-control", "surrogate-control"] {
            if headers.contains_key(targeted) {
                return directives(headers, targeted);
            }
        }
        directives(headers, "cache-control")
    }

    /// What may be kept of a response, if anything (RFC 9111, section 3).
    fn storable(headers: &HeaderMap) -> Option<HeaderMap> {
        let control = Self::control(headers);
        if control.iter().any(|(name, _)| name == "no-store") {
            return None;
        }
        // A 200 without a word may be kept by guessing (section 4.2.2). Some of its headers may not.
        let private = fields(&control, &["private", "no-cache"])?;
        let mut kept = headers.clone();
        for field in private {
            kept.remove(HeaderName::from_bytes(field.as_bytes()).unwrap());
        }
        Some(kept)
    }

    fn serve(
        &mut self,
        jar: &mut Jar,
        path: &str,
        layer: &SessionLayer,
        handler: impl FnOnce(&Session) -> Response<String>,
    ) -> Response<String> {
        let cookie = jar.header(path);
        let hit = self.stored.iter().find(|stored| {
            stored.path == path && (!self.kind.varies || stored.cookie.as_ref().is_none_or(|stored| *stored == cookie))
        });
        let response = if let Some(hit) = hit {
            let mut response = Response::new(hit.body.clone());
            *response.headers_mut() = hit.headers.clone();
            response
                .headers_mut()
                .insert("x-cache", HeaderValue::from_static("hit"));
            response
        } else {
            let response = send(layer, &cookie, handler);
            let vary: Vec<_> = directives(response.headers(), "vary")
                .into_iter()
                .map(|(name, _)| name)
                .collect();
            if let Some(mut headers) = Self::storable(response.headers())
                && !(self.kind.varies && vary.iter().any(|name| name == "*"))
            {
                if self.kind.strips_cookies {
                    headers.remove(SET_COOKIE);
                }
                self.stored.push(Stored {
                    path: path.to_owned(),
                    cookie: vary.iter().any(|name| name == "cookie").then_some(cookie),
                    headers,
                    body: response.body().clone(),
                });
            }
            response
        };
        jar.receive(response.headers());
        response
    }
}

// --- The handlers.

const NOTHING: &[Header] = &[];
const PUBLIC: &[Header] = &[("cache-control", "public, max-age=60")];

/// What a handler may say, and whether it invites shared caches.
const SAID: &[(&[Header], bool)] = &[
    (NOTHING, false),
    (PUBLIC, true),
    (&[("cache-control", "Public, Max-Age=60, Immutable")], true),
    (&[("cache-control", "PUBLIC"), ("cache-control", "max-age=60")], true),
    (&[("cache-control", "max-age=60"), ("cache-control", "public")], true),
    (&[("cache-control", "s-maxage=60")], true),
    (&[("cache-control", "max-age=0, s-maxage = \"60\"")], true),
    (&[("cache-control", "ext=\"a, b\", public, max-age=60")], true),
    (
        &[("cache-control", "ext=\"a\\\", b\", public, max-age=60, ext2=\"\\\\\"")],
        true,
    ),
    (&[("cache-control", "public, ext=\"caf\u{e9}\"")], true),
    (
        &[("cache-control", "max-age=60, public"), ("vary", "Accept-Encoding")],
        true,
    ),
    (&[("cdn-cache-control", "max-age=60")], true),
    (&[("example-cdn-cache-control", "public, max-age=60")], true),
    (
        &[("cdn-cache-control", "max-age=60"), ("cache-control", "no-store")],
        true,
    ),
    (
        &[
            ("cdn-cache-control", "s-maxage=60"),
            ("cdn-cache-control", "max-age=60"),
        ],
        true,
    ),
    (&[("surrogate-control", "max-age=60")], true),
    (
        &[
            ("surrogate-control", "max-age=60, content=\"ESI/1.0\""),
            ("cache-control", "private"),
        ],
        true,
    ),
    (
        &[
            ("surrogate-control", "max-age=60"),
            ("cdn-cache-control", "max-age=60"),
            ("cache-control", "public"),
        ],
        true,
    ),
    (&[("cache-control", "private")], false),
    (&[("cache-control", "private, max-age=60")], false),
    (&[("cache-control", "no-store")], false),
    (
        &[
            ("cache-control", "no-store, max-age=0"),
            ("surrogate-control", "no-store"),
        ],
        false,
    ),
    (&[("cache-control", "no-cache")], false),
    (&[("cdn-cache-control", "no-store")], false),
    (&[("vary", "cookie")], false),
    (&[("vary", "Accept"), ("vary", "Accept-Encoding, COOKIE")], false),
    (&[("vary", "*")], false),
];

/// A page that shows whose it is.
fn page(session: &Session) -> String {
    let user = session.get::<String>("user").unwrap();
    format!("this is {}'s", user.as_deref().unwrap_or("nobody"))
}

#[test]
fn row_17_no_cache_hands_anybody_the_session_or_the_page_of_somebody_else() {
    for &(said, invites) in SAID {
        for kind in ALL {
            let mut hits = 0;
            // With a user's session to begin with, and without.
            for known in [false, true] {
                let layer = SessionLayer::encrypted(key()).build().unwrap();
                let mut cache = Cache::new(kind);
                let mut users: Vec<(&str, Jar)> = ["alice", "bob"]
                    .map(|name| {
                        let mut jar = Jar::new();
                        jar.set("theme=dark; Path=/");
                        if known {
                            jar.visit(&layer, |session| {
                                session.insert("user", name).unwrap();
                                ok()
                            });
                        }
                        (name, jar)
                    })
                    .into();
                for round in 0..2 {
                    for (name, jar) in &mut users {
                        let what = || format!("{name} in round {round}, {said:?}, {kind:?}");
                        // A login, which writes.
                        let response = cache.serve(jar, "/login", &layer, |session| {
                            session.insert("user", *name).unwrap();
                            session.authenticated().unwrap();
                            with_headers(page(session), said)
                        });
                        assert_eq!(*response.body(), format!("this is {name}'s"), "{}", what());
                        assert!(!response.headers().contains_key("x-cache"), "{}", what());
                        // A page that counts, so that it writes each time.
                        let response = cache.serve(jar, "/count", &layer, |session| {
                            let visits = session.get::<u64>("visits").unwrap().unwrap_or(0) + 1;
                            session.insert("visits", visits).unwrap();
                            with_headers(format!("{} page {visits}", page(session)), said)
                        });
                        assert_eq!(
                            *response.body(),
                            format!("this is {name}'s page {}", round + 1),
                            "{}",
                            what()
                        );
                        // A page that only reads.
                        let response = cache.serve(jar, "/read", &layer, |session| with_headers(page(session), said));
                        hits += u32::from(response.headers().contains_key("x-cache"));
                        assert!(
                            invites || *response.body() == format!("this is {name}'s"),
                            "{:?}: {}",
                            response.body(),
                            what()
                        );
                        assert_eq!(set_cookies(response.headers()), [""; 0]);
                        // Whatever was served, the jar holds its owner's session.
                        assert_eq!(whose(jar, &layer), Some((*name).to_owned()), "{}", what());
                    }
                }
                for (name, jar) in &mut users {
                    cache.serve(jar, "/logout", &layer, |session| {
                        session.destroy().unwrap();
                        with_headers(page(session), said)
                    });
                    assert_eq!(whose(jar, &layer), None, "{name} could not log out: {said:?}, {kind:?}");
                }
            }
            // The caches do work.
            assert!(!invites || kind.varies || hits > 0, "{said:?}, {kind:?}");
        }
    }
}

fn whose(jar: &Jar, layer: &SessionLayer) -> Option<String> {
    let mut user = None;
    send(layer, &jar.header("/"), |session| {
        user = session.get("user").unwrap();
        ok()
    });
    user
}

#[test]
fn row_17_a_mere_max_age_is_reused_for_the_same_cookies_only() {
    // The handler has spoken, so `private` is not added; `Vary: Cookie` is what keeps users apart, where a cache knows it.
    for kind in ALL.into_iter().filter(|kind| kind.varies) {
        let layer = SessionLayer::encrypted(key()).build().unwrap();
        let mut cache = Cache::new(kind);
        let mut hits = 0;
        let mut jars = [Jar::new(), Jar::new(), Jar::new()];
        for (jar, name) in jars.iter_mut().zip(["alice", "bob"]) {
            jar.visit(&layer, |session| {
                session.insert("user", name).unwrap();
                ok()
            });
        }
        for _ in 0..2 {
            for (jar, name) in jars.iter_mut().zip(["alice", "bob", "nobody"]) {
                let response = cache.serve(jar, "/read", &layer, |session| {
                    with_headers(page(session), &[("cache-control", "max-age=60")])
                });
                assert_eq!(*response.body(), format!("this is {name}'s"));
                hits += u32::from(response.headers().contains_key("x-cache"));
            }
        }
        assert_eq!(hits, 3);
    }
}

#[test]
fn row_17_the_caches_here_would_mix_users_up_if_they_were_not_told() {
    // Without this the test before proves nothing: the same caches, and the layer's words taken back by another one.
    for kind in ALL {
        let layer = SessionLayer::encrypted(key()).build().unwrap();
        let mut cache = Cache::new(kind);
        let mut bob = Jar::new();
        let response = send(&layer, "", |session| {
            session.insert("user", "alice").unwrap();
            Response::new(page(session))
        });
        let mut headers = response.headers().clone();
        headers.remove(CACHE_CONTROL);
        headers.remove(VARY);
        assert_eq!(directives(&headers, "vary"), []);
        if kind.strips_cookies {
            headers.remove(SET_COOKIE);
        }
        cache.stored.push(Stored {
            path: "/login".to_owned(),
            cookie: None,
            headers: Cache::storable(&headers).unwrap(),
            body: response.body().clone(),
        });
        let response = cache.serve(&mut bob, "/login", &layer, |_| ok());
        assert_eq!(response.body(), "this is alice's");
        let stolen = (!kind.strips_cookies).then(|| "alice".to_owned());
        assert_eq!(whose(&bob, &layer), stolen);
    }
}

#[test]
fn row_17_an_untouched_page_stays_as_public_as_it_was() {
    let layer = SessionLayer::encrypted(key()).rolling(true).build().unwrap();
    for &(said, _) in SAID {
        for cookies in ["", "__Host-session=x"] {
            let response = send(&layer, cookies, |_| with_headers(String::new(), said));
            let inner = with_headers(String::new(), said);
            assert_eq!(format!("{:?}", response.headers()), format!("{:?}", inner.headers()));
        }
    }
}

// --- The headers themselves.

/// The headers of a response whose handler read the session, or wrote it.
fn told(layer: &SessionLayer, said: &[Header], write: bool) -> HeaderMap {
    send(layer, "", |session| {
        assert!(session.is_empty().unwrap());
        if write {
            session.insert("user", "alice").unwrap();
        }
        with_headers(String::new(), said)
    })
    .headers()
    .clone()
}

#[test]
fn a_read_appends_vary_once_and_private_unless_the_handler_has_spoken() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    for (said, vary, control) in [
        (NOTHING, &["Cookie"][..], &["private"][..]),
        (PUBLIC, &["Cookie"], &["public, max-age=60"]),
        (&[("cache-control", "no-store")], &["Cookie"], &["no-store"]),
        (&[("vary", "accept")], &["accept", "Cookie"], &["private"]),
        (&[("vary", "accept, cookie")], &["accept, cookie"], &["private"]),
        (
            &[("vary", "accept"), ("vary", "COOKIE")],
            &["accept", "COOKIE"],
            &["private"],
        ),
        (&[("vary", "*")], &["*"], &["private"]),
        (
            &[("vary", "x-cookie, cookies, set-cookie")],
            &["x-cookie, cookies, set-cookie", "Cookie"],
            &["private"],
        ),
        (&[("vary", "caf\u{e9}")], &["caf\u{fffd}", "Cookie"], &["private"]),
        (&[("cdn-cache-control", "max-age=60")], &["Cookie"], &["private"]),
    ] {
        let headers = told(&layer, said, false);
        assert_eq!(values(&headers, VARY), vary, "{said:?}");
        assert_eq!(values(&headers, CACHE_CONTROL), control, "{said:?}");
        assert!(!headers.contains_key(SET_COOKIE));
    }
    // A targeted header is the handler's own affair while no cookie is sent.
    let headers = told(
        &layer,
        &[("cdn-cache-control", "max-age=60"), ("surrogate-control", "max-age=60")],
        false,
    );
    assert_eq!(
        (&headers["cdn-cache-control"], &headers["surrogate-control"]),
        (&"max-age=60".parse().unwrap(), &"max-age=60".parse().unwrap())
    );
}

#[test]
fn a_cookie_makes_the_response_private_whatever_the_handler_said() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let ours = "private, no-cache=\"Set-Cookie\"";
    for (said, control) in [
        (NOTHING, &[ours][..]),
        (PUBLIC, &[ours, "max-age=60"]),
        (&[("cache-control", "public")], &[ours]),
        (
            &[("cache-control", "s-maxage=60, must-revalidate")],
            &[ours, "must-revalidate"],
        ),
        (
            &[("cache-control", "max-age=60"), ("cache-control", "public, immutable")],
            &[ours, "max-age=60, immutable"],
        ),
        (&[("cache-control", "max-age=60")], &[ours, "max-age=60"]),
        (&[("cache-control", "no-cache")], &[ours, "no-cache"]),
        (&[("cache-control", "private")], &[ours, "private"]),
        (&[("cache-control", "no-store")], &["no-store"]),
        (&[("cache-control", "max-age=0, No-Store")], &["max-age=0, No-Store"]),
        (
            &[("cache-control", "ext=\"public, no-store\"")],
            &[ours, "ext=\"public, no-store\""],
        ),
        (
            &[("cache-control", "publicity, s-maxages=1")],
            &[ours, "publicity, s-maxages=1"],
        ),
    ] {
        let headers = told(&layer, said, true);
        assert_eq!(values(&headers, CACHE_CONTROL), control, "{said:?}");
        assert_eq!(values(&headers, VARY), ["Cookie"]);
        assert_eq!(set_cookies(&headers).len(), 1);
    }
}

#[test]
fn a_cookie_takes_back_what_is_said_to_one_kind_of_cache() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    for (name, before, after) in [
        ("cdn-cache-control", "max-age=60", "private"),
        ("cdn-cache-control", "public, s-maxage=60", "private"),
        ("vendor-cdn-cache-control", "max-age=60", "private"),
        ("surrogate-control", "max-age=60, content=\"ESI/1.0\"", "no-store"),
        ("surrogate-control", "max-age=60, x=\"no-store\"", "no-store"),
        // What forbids it already stays.
        ("cdn-cache-control", "no-store", "no-store"),
        ("cdn-cache-control", "Private, max-age=1", "Private, max-age=1"),
        ("surrogate-control", "no-store", "no-store"),
        // Not a header for caches.
        ("x-cdn-cache", "max-age=60", "max-age=60"),
    ] {
        let headers = told(&layer, &[(name, before), ("cache-control", "no-store")], true);
        assert_eq!(headers[name], after, "{name}: {before}");
        assert_eq!(values(&headers, CACHE_CONTROL), ["no-store"]);
    }
    let twice = &[("cdn-cache-control", "max-age=60"), ("cdn-cache-control", "public")];
    let headers = told(&layer, twice, true);
    assert_eq!(
        headers.get_all("cdn-cache-control").iter().collect::<Vec<_>>(),
        ["private", "private"]
    );
}

#[cfg(feature = "tracing")]
#[test]
fn a_public_response_with_a_cookie_is_one_warning_for_each_layer() {
    events::listen();
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let warnings = |said: &[Header], write| {
        told(&layer, said, write);
        events::warnings().len()
    };
    assert_eq!(warnings(PUBLIC, false), 0);
    assert_eq!(warnings(NOTHING, true), 0);
    assert_eq!(warnings(&[("surrogate-control", "no-store")], true), 0);
    assert_eq!(warnings(PUBLIC, true), 1);
    assert_eq!(warnings(PUBLIC, true), 0);
    assert_eq!(warnings(&[("cdn-cache-control", "max-age=1")], true), 0);
}

// --- A mere refresh.

#[test]
fn a_mere_refresh_is_skipped_on_a_public_response_and_made_on_the_next_one() {
    for &(said, invites) in SAID {
        let clock = Clock::new();
        let layer = SessionLayer::encrypted(key())
            .max_age(10 * DAY)
            .rolling(true)
            .anonymous_max_age(None)
            .clock(clock.reader())
            .build()
            .unwrap();
        let mut jar = Jar::new();
        jar.visit(&layer, |session| {
            session.insert("user", "alice").unwrap();
            ok()
        });
        clock.advance(2 * DAY);
        let response = jar.visit(&layer, |session| with_headers(page(session), said));
        assert_eq!(response.body(), "this is alice's");
        assert_eq!(set_cookies(response.headers()).len(), usize::from(!invites), "{said:?}");
        if invites {
            // The handler's word stands, but for `Vary`.
            let inner = with_headers(String::new(), said);
            let control = values(inner.headers(), CACHE_CONTROL);
            let control = if control.is_empty() {
                vec!["private".to_owned()]
            } else {
                control
            };
            assert_eq!(values(response.headers(), CACHE_CONTROL), control, "{said:?}");
            let next = jar.visit(&layer, |session| Response::new(page(session)));
            assert_eq!(set_cookies(next.headers()).len(), 1, "{said:?}");
        }
        clock.advance(9 * DAY);
        assert_eq!(whose(&jar, &layer).as_deref(), Some("alice"), "{said:?}");
    }
}

#[test]
fn a_change_is_sent_on_a_public_response_all_the_same() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key())
        .max_age(10 * DAY)
        .rolling(true)
        .anonymous_max_age(None)
        .clock(clock.reader())
        .build()
        .unwrap();
    let mut jar = Jar::new();
    jar.visit(&layer, |session| {
        session.insert("user", "alice").unwrap();
        ok()
    });
    let changes: [fn(&Session); 4] = [
        |session| session.insert("n", 1).unwrap(),
        |session| session.renew().unwrap(),
        |session| session.set_max_age(DAY).unwrap(),
        |session| session.destroy().unwrap(),
    ];
    for change in changes {
        clock.advance(DAY);
        let mut jar = jar.clone();
        let response = jar.visit(&layer, |session| {
            change(session);
            with_headers(String::new(), PUBLIC)
        });
        assert_eq!(set_cookies(response.headers()).len(), 1);
        assert_eq!(values(response.headers(), CACHE_CONTROL)[1], "max-age=60");
    }
}

#[test]
fn an_error_response_is_private_too() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let response = send(&layer, "", |session| {
        session.insert("blob", "x".repeat(10_000)).unwrap();
        with_headers(String::new(), PUBLIC)
    });
    assert!(response.status().is_server_error());
    assert_eq!(values(response.headers(), VARY), ["Cookie"]);
    assert_eq!(values(response.headers(), CACHE_CONTROL), ["private"]);
    assert!(!response.headers().contains_key(COOKIE));
}
