//! Cookies of before, which must be found and removed where they were set.

use std::time::Duration;

use http_session::{
    Error, Fallback, Reject, Scope, Session, SessionLayer, Until, codec, codec::Signed, store::MemoryStore,
};

use crate::{
    SECRET,
    client::ask,
    key, log_in, logged_in, look,
    starlette::sign,
    support::{Clock, Jar, START, ok, poll_now, set_cookies},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A browser on `app.example.com` with a session of Starlette, as a response of the middleware with
/// these attributes has set it.
fn python(name: &str, attributes: &str) -> Jar {
    let mut jar = Jar::new();
    let value = sign(SECRET, br#"{"user": "ada"}"#, START / 1000);
    jar.set(&format!("{name}={value}; {attributes}"));
    assert_eq!(jar.0.len(), 1);
    jar
}

/// Nothing of before is left, and nobody is logged in.
fn assert_logs_out(layer: &SessionLayer, mut jar: Jar, path: &str, what: &str) {
    assert_eq!(look(layer, &jar.header(path)), logged_in(), "{what}");
    let before = jar.clone();
    jar.visit_path(layer, path, |session| {
        session.clear().unwrap();
        ok()
    });
    assert_eq!(jar.0, [], "{what}: a logout");
    // A write moves the session, and the old cookie goes.
    let mut jar = before;
    jar.visit_path(layer, path, |session| {
        session.insert("n", 1).unwrap();
        ok()
    });
    assert_eq!(jar.0.len(), 1, "{what}: {:?}", jar.0);
    assert_eq!(look(layer, &jar.header(path)), logged_in(), "{what}");
    jar.visit_path(layer, path, |session| {
        session.destroy().unwrap();
        ok()
    });
    assert_eq!(jar.0, [], "{what}: a logout after a write");
}

#[test]
fn fault_f16_a_layer_of_before_is_a_fallback_and_is_removed_where_it_was_set() {
    let clock = Clock::new();
    let starlette = || SessionLayer::starlette(SECRET);
    // The middleware's arguments, the attributes of its `Set-Cookie`, and the same said to the
    // layer.
    for (what, name, attributes, path, before) in [
        ("defaults", "session", "path=/; httponly", "/", starlette()),
        ("session_cookie", "sid", "path=/", "/", starlette().cookie_name("sid")),
        (
            "session_cookie, domain, https_only",
            "sid",
            "path=/; secure; domain=example.com",
            "/",
            starlette().cookie_name("sid").domain("example.com").secure(true),
        ),
        ("path", "session", "path=/app", "/app/x", starlette().path("/app")),
        (
            "path, domain",
            "session",
            "path=/app; domain=.example.com",
            "/app/x",
            starlette().path("/app").domain(".example.com"),
        ),
        (
            "partitioned",
            "session",
            "path=/; secure; partitioned",
            "/",
            starlette().secure(true).partitioned(true),
        ),
    ] {
        for own in [
            SessionLayer::encrypted(key()),
            SessionLayer::signed(key()).chunked(4),
            SessionLayer::encrypted(key()).domain("example.com"),
            SessionLayer::encrypted(key()).path("/app"),
        ] {
            let layer = own
                .clock(clock.reader())
                .also_accept(before.clone(), Until::forever())
                .build()
                .unwrap();
            if path == "/" && format!("{layer:?}").contains("\"/app\"") {
                // That one's own cookie is not sent there.
                continue;
            }
            assert_logs_out(&layer, python(name, attributes), path, what);
        }
    }
}

#[test]
fn fault_f16_a_codec_alone_is_removed_wherever_it_is_likely_to_be() {
    let clock = Clock::new();
    for (attributes, own) in [
        ("path=/", SessionLayer::encrypted(key())),
        ("path=/", SessionLayer::encrypted(key()).domain("example.com")),
        (
            "path=/; domain=example.com",
            SessionLayer::encrypted(key()).domain("example.com"),
        ),
        ("path=/", SessionLayer::encrypted(key()).path("/app")),
        ("path=/app", SessionLayer::encrypted(key()).path("/app")),
        (
            "path=/",
            SessionLayer::encrypted(key()).path("/app").domain("example.com"),
        ),
        (
            "path=/app",
            SessionLayer::encrypted(key()).path("/app").domain("example.com"),
        ),
        (
            "path=/; domain=example.com",
            SessionLayer::encrypted(key()).path("/app").domain("example.com"),
        ),
    ] {
        let layer = own
            .clock(clock.reader())
            .also_accept(codec::Starlette::new(SECRET), Until::forever())
            .build()
            .unwrap();
        assert_logs_out(
            &layer,
            python("session", attributes),
            "/app",
            &format!("{attributes}: {layer:?}"),
        );
    }
    // What is said of the scope is believed.
    let fallback = Fallback::new(codec::Starlette::new(SECRET)).scope(Scope::new().domain("example.com").path("/"));
    let layer = SessionLayer::encrypted(key())
        .clock(clock.reader())
        .also_accept(fallback, Until::forever())
        .build()
        .unwrap();
    let mut jar = python("session", "path=/; domain=example.com");
    let response = jar.visit(&layer, |session| {
        session.clear().unwrap();
        ok()
    });
    assert_eq!((jar.0.len(), set_cookies(response.headers()).len()), (0, 1));
}

#[test]
fn fault_f16_a_prefix_says_where_its_cookie_is() {
    // Phase one and a half of the guide: the old format is written, and the new one is read.
    let secret = key();
    let new = SessionLayer::encrypted(secret.clone());
    let mut jar = Jar::new();
    jar.visit(&new, |session| {
        log_in(session);
        ok()
    });
    let by_name = Fallback::new(codec::Encrypted::new(secret)).cookie_name("__Host-session");
    for fallback in [Fallback::from(new), by_name] {
        for own in [
            SessionLayer::starlette(SECRET).secure(true),
            SessionLayer::starlette(SECRET).secure(true).domain("example.com"),
            SessionLayer::starlette(SECRET).secure(true).path("/app"),
        ] {
            let layer = own.also_accept(fallback.clone(), Until::forever()).build().unwrap();
            assert_logs_out(&layer, jar.clone(), "/app", &format!("{layer:?}"));
        }
    }
}

#[test]
fn fault_f16_a_layer_of_before_keeps_its_application_and_its_lifetime() {
    let (clock, secret) = (Clock::new(), key());
    let before = SessionLayer::signed(secret)
        .app("shop")
        .cookie_name("id")
        .chunked(4)
        .max_age(Duration::from_secs(3600))
        .clock(clock.reader());
    let mut jar = Jar::new();
    jar.visit(&before, |session| {
        log_in(session);
        session.insert("long", "x".repeat(5000)).unwrap();
        ok()
    });
    assert_eq!(jar.0.len(), 2);
    let layer = SessionLayer::encrypted(key())
        .chunked(2)
        .clock(clock.reader())
        .also_accept(before.clone(), Until::forever())
        .build()
        .unwrap();
    assert_eq!(look(&layer, &jar.header("/")), logged_in());
    assert_logs_out_of_all(&layer, jar.clone());
    clock.advance(Duration::from_secs(3601));
    assert_eq!(
        look(&layer, &jar.header("/")),
        (None, Some(Reject::Expired)),
        "its own hour"
    );
    // And the new layer's limit holds as ever.
    let shorter = SessionLayer::encrypted(key())
        .max_age(Duration::from_secs(60))
        .clock(clock.reader())
        .also_accept(before.max_age(Duration::from_secs(86_400)), Until::forever())
        .build()
        .unwrap();
    assert_eq!(look(&shorter, &jar.header("/")), (None, Some(Reject::Expired)));
}

fn assert_logs_out_of_all(layer: &SessionLayer, mut jar: Jar) {
    jar.visit(layer, |session| {
        session.destroy().unwrap();
        ok()
    });
    assert_eq!(jar.0, []);
}

#[test]
fn fault_f16_a_layer_with_a_store_is_no_fallback() {
    let error = SessionLayer::encrypted(key())
        .also_accept(SessionLayer::with_store(MemoryStore::new()), Until::forever())
        .build()
        .unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
    // The other way round is how cookies move into a store.
    let before = SessionLayer::encrypted(key());
    assert!(
        SessionLayer::with_store(MemoryStore::new())
            .also_accept(before, Until::forever())
            .build()
            .is_ok()
    );
    let plain = Fallback::new(Signed::new(key()));
    assert!(
        SessionLayer::encrypted(key())
            .also_accept(plain, Until::forever())
            .build()
            .is_ok()
    );
}

/// Starlette does not say whether somebody has logged in.
#[test]
fn fault_a15_a_session_of_before_is_neither_short_lived_nor_remembered() {
    let clock = Clock::new();
    for layer in [
        SessionLayer::encrypted(key()),
        SessionLayer::with_store(MemoryStore::new()),
    ] {
        let layer = layer
            .browser_session(true)
            .max_age(DAY * 7)
            .max_age_limit(DAY * 30)
            .also_accept(codec::Starlette::new(SECRET), Until::forever())
            .clock(clock.reader());
        let of = |max_age| layer.clone().max_age(max_age).build().unwrap();
        let mut jar = python("session", "path=/");
        for n in 0..2 {
            clock.advance(Duration::from_secs(1));
            let response = poll_now(ask(&of(DAY * 7), &jar.header("/"), async |session: Session| {
                session.load().await.unwrap();
                session.insert("n", n).unwrap();
                session.renew().unwrap();
                ok()
            }));
            let lines = set_cookies(response.headers());
            let live = lines.iter().find(|line| line.starts_with("__Host-")).unwrap();
            assert!(!live.contains("Max-Age"), "it ends with the browser: {live}");
            jar.receive(response.headers());
        }
        let expires = |jar: &Jar, max_age| {
            let mut at = None;
            poll_now(ask(&of(max_age), &jar.header("/"), async |session: Session| {
                session.load().await.unwrap();
                at = session.expires_at().unwrap();
                ok()
            }));
            at
        };
        assert_eq!(expires(&jar, DAY * 7), Some(clock.now() + DAY * 7), "as a user's");
        assert_eq!(expires(&jar, DAY * 2), Some(clock.now() + DAY * 2), "nor is it its own");
        assert_eq!(expires(&jar, DAY * 9), Some(clock.now() + DAY * 9));
        // Who comes after a logout is anonymous.
        clock.advance(Duration::from_secs(1));
        let response = poll_now(ask(&of(DAY * 7), &jar.header("/"), async |session: Session| {
            session.load().await.unwrap();
            session.clear().unwrap();
            log_in(&session);
            ok()
        }));
        jar.receive(response.headers());
        assert_eq!(expires(&jar, DAY * 7), Some(clock.now() + DAY));
    }
}
