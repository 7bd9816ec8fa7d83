//! Which of the cookies in a request is the session: formats that are accepted besides the layer's own, and duplicates.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/plain.rs"]
mod plain;
mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{Request, header::COOKIE};
use http_session::{
    Duplicates, Error, Fallback, Key, KeyRing, Reject, Scope, Session, SessionLayer, Until,
    codec::{Codec, Encrypted, Format, Incoming, Outgoing, Payload, Signed},
};
use plain::{NAME, Plain, is_removal, removed, sent, text};
use support::*;

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
const FORTNIGHT: Duration = Duration::from_secs(14 * 86_400);

fn key() -> Key {
    Key::generate().unwrap()
}

fn header<R>(layer: &SessionLayer<R>, user: &str) -> String {
    let header = layer.cookie_header(&BTreeMap::from([("user", user)])).unwrap();
    header.to_str().unwrap().to_owned()
}

/// Who a request is taken for, and what it says of the cookie if it is nobody.
fn who(layer: &SessionLayer, cookie: &str) -> Result<String, Option<Reject>> {
    let mut user = Err(None);
    let response = send(layer, cookie, |session| {
        user = session.get("user").unwrap().ok_or(session.rejected());
        assert!(user.is_err() || session.rejected().is_none());
        ok()
    });
    assert!(set_cookies(response.headers()).is_empty(), "answered by reading alone");
    user
}

/// What a deed makes of the cookies of a request.
fn lines(layer: &SessionLayer, cookie: &str, deed: fn(&Session)) -> Vec<String> {
    let response = send(layer, cookie, |session| {
        deed(session);
        ok()
    });
    assert_eq!(response.status(), 200);
    set_cookies(response.headers())
}

fn insert(session: &Session) {
    session.insert("new", 1).unwrap();
}

fn destroy(session: &Session) {
    session.destroy().unwrap();
}

fn clear(session: &Session) {
    session.clear().unwrap();
}

fn read(session: &Session) {
    session.len().unwrap();
}

/// The names that are set, and then those that are removed, in alphabetical order.
fn names(lines: &[String]) -> (Vec<&str>, Vec<&str>) {
    let of = |removals: bool| {
        let lines = lines.iter().filter(|line| is_removal(line) == removals);
        let mut names: Vec<&str> = lines.map(|line| &line[..line.find('=').unwrap()]).collect();
        names.sort_unstable();
        names
    };
    (of(false), of(true))
}

fn named(name: &str, payload: &Payload) -> String {
    format!("{name}={}", text(payload))
}

// --- Another format.

#[test]
fn a_move_from_signed_to_encrypted_keeps_the_user_and_the_next_write_is_encrypted() {
    let clock = Clock::new();
    let (old_key, new_key) = (key(), key());
    let before = SessionLayer::signed(old_key.clone()).clock(clock.reader());
    let alone = SessionLayer::encrypted(new_key).clock(clock.reader());
    let moving = alone
        .clone()
        .also_accept(Signed::new(old_key), Until::date(clock.now() + DAY));
    let mut jar = Jar::new();
    let began = clock.now();
    jar.visit(&before, |session| {
        session.insert("user", "alice").unwrap();
        session.set_max_age(FORTNIGHT / 2).unwrap();
        session.authenticated().unwrap();
        ok()
    });
    assert_eq!(who(&alone, &jar.header("/")), Err(Some(Reject::UnknownKey)));
    clock.advance(DAY);
    let response = jar.visit(&moving, |session| {
        assert!(!session.is_new().unwrap() && !session.is_modified());
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("alice"));
        ok()
    });
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    let old = jar.header("/");
    let response = jar.visit(&moving, |session| {
        insert(session);
        ok()
    });
    assert_eq!(names(&set_cookies(response.headers())), (vec![NAME], vec![]));
    assert!(
        set_cookies(response.headers())[0].ends_with("; Max-Age=604800"),
        "its own age"
    );
    let new = jar.header("/");
    assert!(old != new && jar.0.len() == 1);
    // Now nothing of the old is needed, and all is kept.
    send(&alone, &new, |session| {
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("alice"));
        assert_eq!(session.created_at().unwrap(), Some(began));
        assert_eq!(session.authenticated_at().unwrap(), Some(began));
        assert_eq!(session.expires_at().unwrap(), Some(clock.now() + FORTNIGHT / 2));
        ok()
    });
    assert!(who(&before, &new).is_err());
}

#[test]
fn the_id_and_the_times_of_a_session_survive_the_move() {
    let clock = Clock::new();
    let old_key = key();
    let old = SessionLayer::encrypted(old_key.clone())
        .cookie_name("old")
        .clock(clock.reader());
    let layer = SessionLayer::with_codec(Plain::new())
        .clock(clock.reader())
        .also_accept(
            Fallback::new(Encrypted::new(old_key)).cookie_name("__Host-old"),
            Until::forever(),
        );
    let (alice, bob) = (header(&old, "alice"), header(&old, "bob"));
    let began = clock.now();
    clock.advance(DAY);
    let write = |cookie: &str, deed: fn(&Session)| {
        let response = send(&layer, cookie, |session| {
            deed(session);
            ok()
        });
        assert_eq!(removed(response.headers()), ["__Host-old"]);
        sent(response.headers()).unwrap()
    };
    let first = write(&alice, insert);
    assert_eq!(first.json(), r#"{"user":"alice","new":1}"#);
    assert_eq!((first.created(), first.issued()), (Some(began), Some(clock.now())));
    assert!(first.id().is_some());
    assert_eq!(write(&alice, insert).id(), first.id(), "the id is the old one");
    assert!(write(&bob, insert).id() != first.id());
    assert!(write(&alice, |session| session.renew().unwrap()).id() != first.id());
}

#[test]
fn what_was_written_after_the_date_is_refused() {
    let clock = Clock::new();
    let date = clock.now();
    let (old_key, new_key) = (key(), key());
    let by_name = Fallback::new(Signed::new(old_key.clone())).cookie_name("__Host-old");
    let layers = [
        (Fallback::new(Signed::new(old_key.clone())), "session"),
        (by_name, "old"),
    ];
    for (fallback, name) in layers {
        let old = SessionLayer::signed(old_key.clone())
            .cookie_name(name)
            .clock(clock.reader());
        let new = SessionLayer::encrypted(new_key.clone()).clock(clock.reader());
        let layer = new.clone().also_accept(fallback.clone(), Until::date(date));
        for (written, wanted) in [
            (date - DAY, true),
            (date - MS, true),
            (date, true),
            (date + MS, false),
            (date + DAY, false),
        ] {
            clock.set(written);
            let cookie = header(&old, "alice");
            // Whenever it is looked at.
            for now in [written, written + DAY] {
                clock.set(now);
                let wanted = if wanted {
                    Ok("alice".to_owned())
                } else {
                    Err(Some(Reject::Expired))
                };
                assert_eq!(who(&layer, &cookie), wanted);
                let layer = new.clone().also_accept(fallback.clone(), Until::forever());
                assert_eq!(who(&layer, &cookie), Ok("alice".to_owned()));
            }
        }
    }
}

#[test]
fn at_the_date_plus_max_age_nothing_is_accepted_any_more() {
    let clock = Clock::new();
    let date = clock.now();
    let old_key = key();
    // Even what its own age would keep longer.
    let old = SessionLayer::signed(old_key.clone()).clock(clock.reader());
    let layer = SessionLayer::encrypted(key())
        .clock(clock.reader())
        .max_age(DAY)
        .max_age_limit(DAY * 7)
        .also_accept(Signed::new(old_key), Until::date(date));
    let mut jar = Jar::new();
    jar.visit(&old, |session| {
        session.insert("user", "alice").unwrap();
        session.set_max_age(DAY * 7).unwrap();
        ok()
    });
    for (now, wanted) in [
        (date + DAY - MS, Ok("alice".to_owned())),
        (date + DAY, Ok("alice".to_owned())),
        (date + DAY + MS, Err(Some(Reject::Expired))),
        (date + DAY * 3, Err(Some(Reject::Expired))),
    ] {
        clock.set(now);
        assert_eq!(who(&layer, &jar.header("/")), wanted);
    }
    // Also where the format cannot tell when it was written.
    let bare = Plain::carrying(Format::new());
    let layer = SessionLayer::encrypted(key())
        .clock(clock.reader())
        .max_age(DAY)
        .also_accept(bare.clone(), Until::date(date));
    let cookie = named(NAME, &Payload::new(r#"{"user":"bob"}"#));
    clock.set(date + DAY);
    assert_eq!(who(&layer, &cookie), Ok("bob".to_owned()));
    clock.set(date + DAY + MS);
    assert_eq!(who(&layer, &cookie), Err(Some(Reject::Expired)));
    // It would be good for ever, so `forever` is refused.
    let error = SessionLayer::encrypted(key())
        .also_accept(bare, Until::forever())
        .build();
    assert!(matches!(error, Err(Error::Config { .. })));
}

#[test]
fn an_accepted_cookie_has_no_longer_life_than_the_layers_own() {
    let clock = Clock::new();
    let old_key = key();
    let old = SessionLayer::signed(old_key.clone()).clock(clock.reader());
    let layer = SessionLayer::encrypted(key())
        .clock(clock.reader())
        .max_age(DAY)
        .anonymous_max_age(None)
        .also_accept(Signed::new(old_key.clone()), Until::forever());
    let cookie = header(&old, "alice");
    let written = clock.now();
    clock.set(written + DAY);
    assert_eq!(who(&layer, &cookie), Ok("alice".to_owned()));
    assert!(who(&layer.clone().absolute_lifetime(DAY - MS), &cookie).is_err());
    clock.set(written + DAY + MS);
    assert_eq!(who(&layer, &cookie), Err(Some(Reject::Expired)));
    assert_eq!(who(&layer.max_age(DAY * 2), &cookie), Ok("alice".to_owned()));
    // A clock that is wrong is told apart from an unknown key, and costs nobody their cookie.
    clock.set(written - Duration::from_secs(61));
    let layer = SessionLayer::encrypted(key())
        .clock(clock.reader())
        .also_accept(Signed::new(old_key), Until::forever());
    assert_eq!(who(&layer, &cookie), Err(Some(Reject::NotYetValid)));
    assert_eq!(lines(&layer, &cookie, clear), [""; 0]);
}

#[test]
fn a_used_session_in_an_accepted_format_is_refreshed_into_the_layers_own() {
    let clock = Clock::new();
    let old_key = key();
    let old = SessionLayer::signed(old_key.clone())
        .cookie_name("old")
        .clock(clock.reader());
    let layer = SessionLayer::with_codec(Plain::new())
        .clock(clock.reader())
        .rolling(true)
        .anonymous_max_age(None)
        .also_accept(
            Fallback::new(Signed::new(old_key)).cookie_name("__Host-old"),
            Until::forever(),
        );
    let cookie = header(&old, "alice");
    clock.advance(DAY);
    assert_eq!(lines(&layer, &cookie, read), [""; 0]);
    clock.advance(DAY);
    assert_eq!(names(&lines(&layer, &cookie, read)), (vec![NAME], vec!["__Host-old"]));
}

#[test]
fn a_name_of_its_own_is_looked_at_only_without_a_cookie_of_the_layers_name() {
    let clock = Clock::new();
    let old_key = key();
    let old = SessionLayer::signed(old_key.clone())
        .cookie_name("old")
        .clock(clock.reader());
    let layer = SessionLayer::encrypted(key()).clock(clock.reader()).also_accept(
        Fallback::new(Signed::new(old_key)).cookie_name("__Host-old"),
        Until::forever(),
    );
    let alice = header(&old, "alice");
    let bob = header(&layer, "bob");
    assert_eq!(who(&layer, &alice), Ok("alice".to_owned()));
    for both in [format!("{alice}; {bob}"), format!("{bob}; {alice}")] {
        assert_eq!(who(&layer, &both), Ok("bob".to_owned()));
    }
    // A cookie that is no good is a cookie all the same: else its holder could choose.
    assert_eq!(who(&layer, &format!("{alice}; {NAME}=x")), Err(Some(Reject::Malformed)));
    assert_eq!(who(&layer, &format!("{NAME}=; {alice}")), Err(Some(Reject::Malformed)));
    clock.advance(FORTNIGHT + MS);
    let alice = header(&old, "alice");
    assert_eq!(who(&layer, &format!("{alice}; {bob}")), Err(Some(Reject::Expired)));
    assert_eq!(who(&layer, &alice), Ok("alice".to_owned()));
}

#[test]
fn several_are_tried_in_their_order_until_one_is_accepted() {
    let clock = Clock::new();
    let keys = [key(), key(), key()];
    let olds: Vec<SessionLayer> = keys
        .iter()
        .zip(["a", "b", "b"])
        .map(|(key, name)| {
            SessionLayer::signed(key.clone())
                .cookie_name(name)
                .clock(clock.reader())
        })
        .collect();
    let mut layer = SessionLayer::encrypted(key()).clock(clock.reader());
    for (key, name) in keys.iter().zip(["__Host-a", "__Host-b", "__Host-b"]) {
        layer = layer.also_accept(
            Fallback::new(Signed::new(key.clone())).cookie_name(name),
            Until::forever(),
        );
    }
    let [a, b, c] = ["a", "b", "c"].map(|user| user.to_owned());
    let cookies: Vec<String> = olds
        .iter()
        .zip([&a, &b, &c])
        .map(|(old, user)| header(old, user))
        .collect();
    assert_eq!(who(&layer, &cookies[0]), Ok(a.clone()));
    assert_eq!(who(&layer, &cookies[1]), Ok(b.clone()));
    assert_eq!(who(&layer, &cookies[2]), Ok(c.clone()), "two keys for one name");
    assert_eq!(who(&layer, &format!("{}; {}", cookies[1], cookies[0])), Ok(a));
    assert_eq!(who(&layer, &format!("__Host-a=bad; {}", cookies[2])), Ok(c));
    // One name, one removal.
    let all = format!("{}; {}", cookies[0], cookies[1]);
    for deed in [destroy, clear] {
        assert_eq!(
            names(&lines(&layer, &all, deed)),
            (vec![], vec!["__Host-a", "__Host-b"])
        );
    }
    assert_eq!(
        names(&lines(&layer, &all, insert)),
        (vec![NAME], vec!["__Host-a", "__Host-b"])
    );
    assert_eq!(names(&lines(&layer, &cookies[1], destroy)), (vec![], vec!["__Host-b"]));
    assert_eq!(lines(&layer, &all, read), [""; 0]);
}

#[test]
fn every_end_and_every_write_removes_each_accepted_name_that_came() {
    let clock = Clock::new();
    let (old_key, new_key) = (key(), key());
    let old = SessionLayer::signed(old_key.clone())
        .cookie_name("old")
        .clock(clock.reader());
    let layer = SessionLayer::encrypted(new_key).clock(clock.reader()).also_accept(
        Fallback::new(Signed::new(old_key)).cookie_name("__Host-old"),
        Until::date(clock.now()),
    );
    let (alice, bob) = (header(&old, "alice"), header(&layer, "bob"));
    let bad = "__Host-old=bad".to_owned();
    let cases = [
        (alice.clone(), vec!["__Host-old"]),
        (bob.clone(), vec![NAME]),
        (format!("{alice}; {bob}"), vec!["__Host-old", NAME]),
        (format!("{bob}; {bad}"), vec!["__Host-old", NAME]),
        (format!("{NAME}=bad; {bad}"), vec!["__Host-old", NAME]),
        (bad, vec!["__Host-old"]),
        ("other=1".to_owned(), vec![]),
    ];
    for (cookie, came) in &cases {
        for deed in [destroy, clear] {
            assert_eq!(names(&lines(&layer, cookie, deed)), (vec![], came.clone()), "{cookie}");
        }
        let mut gone = came.clone();
        gone.retain(|name| *name != NAME);
        assert_eq!(names(&lines(&layer, cookie, insert)), (vec![NAME], gone), "{cookie}");
        assert_eq!(lines(&layer, cookie, read), [""; 0], "{cookie}");
    }
    // Long after the date too: the name is still ours to tidy up.
    clock.advance(DAY * 1_000);
    assert_eq!(names(&lines(&layer, &alice, destroy)), (vec![], vec!["__Host-old"]));
    // A logout is final: with both gone, nobody is left.
    clock.set(clock.now() - DAY * 1_000);
    let mut jar = Jar::new();
    for cookie in [&alice, &bob] {
        jar.set(&format!("{cookie}; Path=/; Secure"));
    }
    jar.visit(&layer, |session| {
        destroy(session);
        ok()
    });
    assert!(jar.0.is_empty());
}

#[test]
fn row_22_the_removal_of_an_accepted_name_goes_to_its_scope() {
    let clock = Clock::new();
    let old_key = key();
    let scopes = [
        (Scope::new(), "Path=/", None),
        (Scope::new().path("/app"), "Path=/app", None),
        (Scope::new().domain("example.com"), "Path=/", Some("Domain=example.com")),
    ];
    for (scope, path, domain) in scopes {
        // The same name and another.
        for name in ["sid", "old"] {
            let old = SessionLayer::signed(old_key.clone())
                .cookie_name(name)
                .secure(false)
                .clock(clock.reader());
            let layer = SessionLayer::encrypted(key())
                .cookie_name("sid")
                .secure(false)
                .clock(clock.reader())
                .also_accept(
                    Fallback::new(Signed::new(old_key.clone()))
                        .cookie_name(name)
                        .scope(scope.clone()),
                    Until::forever(),
                );
            let alice = header(&old, "alice");
            assert_eq!(who(&layer, &alice), Ok("alice".to_owned()));
            for deed in [destroy, clear, insert] {
                let lines = lines(&layer, &alice, deed);
                let is_write = std::ptr::fn_addr_eq(deed, insert as fn(&Session));
                let is_own = name == "sid" && scope == Scope::new();
                let wanted = |line: &&String| {
                    is_removal(line)
                        && line.starts_with(&format!("{name}="))
                        && line.split("; ").any(|part| part == path)
                        && domain == line.split("; ").find(|part| part.starts_with("Domain="))
                };
                assert_eq!(
                    lines.iter().filter(wanted).count(),
                    usize::from(!(is_write && is_own)),
                    "{scope:?} {name}: {lines:?}"
                );
                // What is set comes last, for those who do not tell the scopes apart.
                if is_write {
                    assert!(!is_removal(lines.last().unwrap()) && lines.last().unwrap().starts_with("sid="));
                }
            }
        }
    }
}

#[test]
fn row_22_after_a_change_of_scope_under_one_name_a_logout_is_final() {
    let clock = Clock::new();
    let (old_key, new_key) = (key(), key());
    let before = SessionLayer::signed(old_key.clone())
        .cookie_name("__Secure-id")
        .domain("example.com")
        .clock(clock.reader());
    let layer = SessionLayer::encrypted(new_key)
        .cookie_name("__Secure-id")
        .clock(clock.reader())
        .also_accept(
            Fallback::new(Signed::new(old_key)).scope(Scope::new().domain("example.com")),
            Until::forever(),
        );
    let login = |session: &Session| {
        session.insert("user", "alice").unwrap();
        ok()
    };
    for writes_between in [false, true] {
        let mut jar = Jar::new();
        jar.visit(&before, login);
        assert_eq!(who(&layer, &jar.header("/")), Ok("alice".to_owned()));
        if writes_between {
            jar.visit(&layer, |session| {
                insert(session);
                ok()
            });
            assert_eq!(jar.0.len(), 1, "the old one is gone");
            assert_eq!(who(&layer, &jar.header("/")), Ok("alice".to_owned()));
        }
        jar.visit(&layer, |session| {
            destroy(session);
            ok()
        });
        assert!(jar.0.is_empty(), "{:?}", jar.0);
    }
}

#[test]
fn rule_12_an_accepted_cookie_is_bound_to_its_name_and_application() {
    let clock = Clock::new();
    let old_key = key();
    let old = SessionLayer::signed(old_key.clone()).clock(clock.reader());
    let fallback = || Fallback::new(Signed::new(old_key.clone()));
    let layer = |fallback: Fallback| {
        SessionLayer::encrypted(key())
            .clock(clock.reader())
            .also_accept(fallback, Until::forever())
    };
    let alice = Ok("alice".to_owned());
    let plain = header(&old, "alice");
    let shop = header(&old.clone().app("shop"), "alice");
    assert_eq!(who(&layer(fallback()), &plain), alice);
    assert_eq!(who(&layer(fallback().app("shop")), &shop), alice);
    // Without a word of its own, the application is the layer's.
    assert_eq!(who(&layer(fallback()).app("shop"), &shop), alice);
    assert_eq!(who(&layer(fallback().app("")).app("shop"), &plain), alice);
    let refused = |layer: &SessionLayer, cookie: &str| {
        assert!(who(layer, cookie).unwrap_err().is_some(), "{cookie}");
    };
    refused(&layer(fallback()), &shop);
    refused(&layer(fallback().app("shop")), &plain);
    refused(&layer(fallback()).app("shop"), &plain);
    // A cookie moved under another name, either way.
    let value = plain.split_once('=').unwrap().1;
    let moved = layer(fallback().cookie_name("__Host-old"));
    assert_eq!(
        who(&moved, &format!("__Host-old={value}")),
        Err(Some(Reject::BadSignature))
    );
    let named = header(&old.cookie_name("old"), "alice");
    let value = named.split_once('=').unwrap().1;
    assert_eq!(who(&moved, &named), alice);
    refused(&layer(fallback()), &format!("{NAME}={value}"));
    // The name is the one on the wire: no prefix is put before it.
    assert_eq!(who(&layer(fallback().cookie_name("old")), &named), Err(None));
}

#[test]
fn a_key_that_leaked_and_was_dropped_is_never_accepted() {
    let clock = Clock::new();
    let (leaked, kept, new) = (key(), key(), key());
    let ring = KeyRing::new(kept.clone()).accept(leaked.clone());
    let by_leaked = SessionLayer::signed(leaked).clock(clock.reader());
    let layer = |ring: KeyRing| {
        SessionLayer::encrypted(new.clone())
            .clock(clock.reader())
            .also_accept(Signed::new(ring), Until::forever())
    };
    let cookie = header(&by_leaked, "mallory");
    assert_eq!(who(&layer(ring), &cookie), Ok("mallory".to_owned()));
    assert_eq!(who(&layer(kept.into()), &cookie), Err(Some(Reject::UnknownKey)));
    // Nor is one that fits in another codec's place.
    let encrypted = SessionLayer::encrypted(new.clone())
        .clock(clock.reader())
        .also_accept(Encrypted::new(key()), Until::forever());
    assert_eq!(who(&encrypted, &cookie), Err(Some(Reject::UnknownKey)));
    // The same key signs for one purpose only: signed is not encrypted.
    let same_key = SessionLayer::encrypted(new.clone()).clock(clock.reader());
    let signed = header(&SessionLayer::signed(new).clock(clock.reader()), "mallory");
    assert_eq!(who(&same_key, &signed), Err(Some(Reject::BadSignature)));
}

#[test]
fn row_8_a_bad_cookie_of_the_own_format_is_not_good_in_another() {
    let clock = Clock::new();
    let (old_key, new_key) = (key(), key());
    let layer = SessionLayer::encrypted(new_key)
        .clock(clock.reader())
        .also_accept(Signed::new(old_key.clone()), Until::forever());
    let old = SessionLayer::signed(old_key).clock(clock.reader());
    for good in [header(&layer, "alice"), header(&old, "alice")] {
        assert_eq!(who(&layer, &good), Ok("alice".to_owned()));
        let value_at = good.find('=').unwrap() + 1;
        for at in value_at..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            if bad != good {
                assert!(who(&layer, &bad).unwrap_err().is_some());
            }
        }
    }
}

#[test]
fn a_foreign_text_of_the_same_name_is_tried_even_if_it_looks_like_a_long_frame() {
    /// Just the JSON in hexadecimal, which is base64 of something else: in the place where the head of a native frame says
    /// how long it is, there stands a large number.
    #[derive(Clone)]
    struct Hex;
    impl Codec for Hex {
        fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
            let text = std::str::from_utf8(cookie.value()).map_err(|_| Reject::Malformed)?;
            let json = plain::unhex(text).and_then(|json| String::from_utf8(json).ok());
            json.map(Payload::new).ok_or(Reject::Malformed)
        }
        fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
            cookie.push_str(&plain::hex(payload.json().as_bytes()));
            Ok(())
        }
    }
    let clock = Clock::new();
    let cookie = format!("{NAME}={}", plain::hex(br#"{"user":"alice"}"#));
    for parts in 1..=4 {
        let layer = SessionLayer::encrypted(key()).clock(clock.reader()).chunked(parts);
        let moving = layer.clone().also_accept(Hex, Until::date(clock.now()));
        assert_eq!(who(&moving, &cookie), Ok("alice".to_owned()), "{parts}");
        let reason = if parts == 1 {
            Reject::Malformed
        } else {
            Reject::TooLarge
        };
        assert_eq!(who(&layer, &cookie), Err(Some(reason)));
    }
}

#[test]
fn an_accepted_session_in_parts_is_read_and_all_its_parts_are_removed() {
    let clock = Clock::new();
    let (old_key, new_key) = (key(), key());
    let long = "x".repeat(8_000);
    let old = SessionLayer::signed(old_key.clone())
        .cookie_name("old")
        .chunked(3)
        .clock(clock.reader());
    let parts = ["__Host-old", "__Host-old.1", "__Host-old.2"];
    let layer = SessionLayer::encrypted(new_key)
        .chunked(3)
        .clock(clock.reader())
        .also_accept(
            Fallback::new(Signed::new(old_key)).cookie_name("__Host-old"),
            Until::forever(),
        );
    let cookie = header(&old, &long);
    assert_eq!(cookie.matches("__Host-old").count(), 3);
    assert_eq!(who(&layer, &cookie), Ok(long));
    assert_eq!(names(&lines(&layer, &cookie, destroy)), (vec![], parts.to_vec()));
    let (set, gone) = (vec![NAME, "__Host-session.1", "__Host-session.2"], parts.to_vec());
    assert_eq!(names(&lines(&layer, &cookie, insert)), (set, gone));
}

#[test]
fn an_accepted_cookie_that_cannot_be_one_is_refused_when_the_layer_is_built() {
    for fallback in [
        Fallback::new(Signed::new(key())).cookie_name("a b"),
        Fallback::new(Signed::new(key())).cookie_name(""),
        Fallback::new(Signed::new(key())).cookie_name("a=b"),
        Fallback::new(Signed::new(key())).scope(Scope::new().path("app")),
        Fallback::new(Signed::new(key())).scope(Scope::new().domain("a;b")),
    ] {
        let layer = SessionLayer::encrypted(key()).also_accept(fallback, Until::forever());
        assert!(matches!(layer.build(), Err(Error::Config { .. })));
    }
    let twice = key();
    let ring = KeyRing::new(twice.clone()).accept(twice);
    let layer = SessionLayer::encrypted(key()).also_accept(Signed::new(ring), Until::forever());
    assert!(matches!(layer.build(), Err(Error::Key { .. })));
}

// --- What it costs.

/// A codec and how often it computed what a MAC would be.
fn counting() -> (Plain, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let codec = Plain::new().on_mac({
        let count = count.clone();
        move || {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (codec, count)
}

#[test]
fn another_format_costs_nothing_while_the_own_one_is_there() {
    let clock = Clock::new();
    let (codec, count) = counting();
    let layer = SessionLayer::encrypted(key())
        .clock(clock.reader())
        .also_accept(codec.clone(), Until::forever())
        .also_accept(Fallback::new(codec).cookie_name("old"), Until::forever());
    let old = plain::planted(r#"{"user":"alice"}"#, &clock);
    let own = header(&layer, "bob");
    send(&layer, &format!("{own}; {}", old.replace(NAME, "old")), |session| {
        insert(session);
        ok()
    });
    assert_eq!(count.load(Ordering::SeqCst), 0);
    // Nor before anybody asks.
    send(&layer, &old, |_| ok());
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert_eq!(who(&layer, &old), Ok("alice".to_owned()));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn row_20_however_many_cookies_and_formats_there_are_a_request_costs_sixteen_macs() {
    let clock = Clock::new();
    let (codec, count) = counting();
    let mut layer = SessionLayer::with_codec(codec.clone()).clock(clock.reader());
    for _ in 0..10 {
        layer = layer.also_accept(codec.clone(), Until::forever());
    }
    // Of the right shape, and not one of them good.
    let bad: Vec<String> = (0..50).map(|n| format!("{NAME}=00000014.bad{n:02}")).collect();
    let header = bad.join("; ");
    assert!(who(&layer, &header).unwrap_err().is_some());
    assert!((4..=16).contains(&count.swap(0, Ordering::SeqCst)));
    let layer = SessionLayer::with_codec(codec).clock(clock.reader());
    assert!(who(&layer, &header).unwrap_err().is_some());
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

// --- Duplicates.

/// A session of this user, with an id of its own, written so many seconds after the start.
fn session(user: &str, seconds: u64) -> Payload {
    let began = SystemTime::UNIX_EPOCH + Duration::from_millis(START);
    let mut id = [0; 16];
    id[..user.len()].copy_from_slice(user.as_bytes());
    Payload::new(format!(r#"{{"user":"{user}","at":{seconds}}}"#))
        .with_id(id)
        .with_created(began)
        .with_issued(began + Duration::from_secs(seconds))
}

/// A layer whose name is its own host's, and one whose name others may set.
fn host_and_shared() -> (SessionLayer, SessionLayer) {
    let clock = Clock::new();
    clock.advance(Duration::from_secs(1_000));
    let layer = SessionLayer::with_codec(Plain::new()).clock(clock.reader());
    (layer.clone(), layer.domain("example.com"))
}

const SHARED: &str = "__Secure-session";

fn several(name: &str, payloads: &[&Payload]) -> String {
    let pairs: Vec<String> = payloads.iter().map(|payload| named(name, payload)).collect();
    pairs.join("; ")
}

/// Who a request is taken for, and when that was written.
fn who_and_when(layer: &SessionLayer, cookie: &str) -> Result<(String, u64), Option<Reject>> {
    let user = who(layer, cookie)?;
    let mut at = None;
    send(layer, cookie, |session| {
        at = session.get("at").unwrap();
        ok()
    });
    Ok((user, at.unwrap()))
}

#[test]
fn row_20_of_one_session_the_newest_wins_wherever_it_stands() {
    let (host, shared) = host_and_shared();
    let [a, b, c] = [1, 2, 3].map(|at| session("alice", at));
    for (layer, name) in [
        (host, NAME),
        (shared.clone(), SHARED),
        (shared.on_duplicates(Duplicates::Reject), SHARED),
    ] {
        for order in [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a], [&c, &a, &b]] {
            let got = who_and_when(&layer, &several(name, &order));
            assert_eq!(got, Ok(("alice".to_owned(), 3)));
        }
        // The same cookie twice, and in two headers.
        assert_eq!(
            who_and_when(&layer, &several(name, &[&a, &a])),
            Ok(("alice".to_owned(), 1))
        );
        let request = Request::builder()
            .header(COOKIE, several(name, &[&b]))
            .header(COOKIE, "other=1")
            .header(COOKIE, several(name, &[&c, &a]))
            .body(())
            .unwrap();
        send_request(&layer, request, |session| {
            assert_eq!(session.get::<u64>("at").unwrap(), Some(3));
            ok()
        });
    }
}

#[test]
fn row_20_of_different_sessions_the_newest_wins_under_a_host_name_only() {
    let (host, shared) = host_and_shared();
    let (alice, mallory) = (session("alice", 2), session("mallory", 1));
    let newer_mallory = session("mallory", 3);
    for order in [[&alice, &mallory], [&mallory, &alice]] {
        let (in_host, in_shared) = (several(NAME, &order), several(SHARED, &order));
        assert_eq!(who_and_when(&host, &in_host), Ok(("alice".to_owned(), 2)));
        assert_eq!(who(&shared, &in_shared), Err(Some(Reject::Ambiguous)));
        // Unless it is said otherwise.
        let strict = host.clone().on_duplicates(Duplicates::Reject);
        assert_eq!(who(&strict, &in_host), Err(Some(Reject::Ambiguous)));
        let lax = shared.clone().on_duplicates(Duplicates::Newest);
        assert_eq!(who_and_when(&lax, &in_shared), Ok(("alice".to_owned(), 2)));
    }
    for order in [[&alice, &newer_mallory], [&newer_mallory, &alice]] {
        assert_eq!(
            who_and_when(&host, &several(NAME, &order)),
            Ok(("mallory".to_owned(), 3))
        );
    }
    // Ambiguous stays ambiguous, whatever else is there.
    for order in [
        [&alice, &mallory, &alice],
        [&alice, &mallory, &newer_mallory],
        [&mallory, &newer_mallory, &alice],
    ] {
        assert_eq!(who(&shared, &several(SHARED, &order)), Err(Some(Reject::Ambiguous)));
    }
    // Names without any prefix are like names that others may set.
    let bare = host.clone().secure(false);
    assert_eq!(
        who(&bare, &several("session", &[&alice, &mallory])),
        Err(Some(Reject::Ambiguous))
    );
    // Written at the same time: browsers name the newer cookie last.
    let (x, y) = (session("x", 5), session("y", 5));
    assert_eq!(who(&host, &several(NAME, &[&x, &y])), Ok("y".to_owned()));
    assert_eq!(who(&host, &several(NAME, &[&y, &x])), Ok("x".to_owned()));
}

#[test]
fn row_20_an_ambiguous_session_is_empty_and_is_replaced_or_removed_like_any_bad_one() {
    let (_, shared) = host_and_shared();
    let cookie = several(SHARED, &[&session("alice", 1), &session("mallory", 2)]);
    let written = lines(&shared, &cookie, insert);
    assert_eq!(names(&written), (vec![SHARED], vec![]));
    let value = written[0].split(['=', ';']).nth(1).unwrap();
    let payload = plain::read(value).unwrap();
    assert_eq!(payload.json(), r#"{"new":1}"#);
    assert!(![session("alice", 1).id(), session("mallory", 1).id()].contains(&payload.id()));
    for deed in [clear, destroy] {
        assert_eq!(names(&lines(&shared, &cookie, deed)), (vec![], vec![SHARED]));
    }
}

#[test]
fn row_20_what_is_not_accepted_is_no_rival() {
    let (host, shared) = host_and_shared();
    let alice = session("alice", 1);
    let began = SystemTime::UNIX_EPOCH + Duration::from_millis(START);
    let expired = session("old", 0).with_issued(began - DAY * 30);
    let future = session("future", 0).with_issued(began + DAY);
    for (layer, name) in [(host, NAME), (shared, SHARED)] {
        let good = named(name, &alice);
        for other in [
            format!("{name}=garbage"),
            format!("{name}="),
            format!("{name}=00000013.nope"),
            named(name, &expired),
            named(name, &future),
            named(name, &Payload::new("[]").with_issued(began)),
        ] {
            for both in [format!("{good}; {other}"), format!("{other}; {good}")] {
                assert_eq!(who(&layer, &both), Ok("alice".to_owned()), "{both}");
            }
        }
    }
}

#[test]
fn row_20_sessions_without_an_id_are_different_ones() {
    let clock = Clock::new();
    let codec = Plain::carrying(Format::new().carries_issued());
    let layer = SessionLayer::with_codec(codec)
        .domain("example.com")
        .clock(clock.reader());
    let cookie = |at: Duration| {
        let payload = Payload::new(r#"{"user":"alice"}"#).with_issued(clock.now() - at);
        named(SHARED, &payload)
    };
    let (a, b) = (cookie(DAY), cookie(MS));
    assert_eq!(who(&layer, &format!("{a}; {b}")), Err(Some(Reject::Ambiguous)));
    assert_eq!(who(&layer, &format!("{a}; {a}")), Ok("alice".to_owned()));
}

#[test]
fn row_20_more_duplicates_than_four_are_not_looked_at() {
    let clock = Clock::new();
    clock.advance(Duration::from_secs(1_000));
    let (codec, count) = counting();
    let host = SessionLayer::with_codec(codec).clock(clock.reader());
    let shared = host.clone().domain("example.com");
    let sessions: Vec<Payload> = (0..12).map(|at| session("alice", at)).collect();
    let all: Vec<&Payload> = sessions.iter().collect();
    assert_eq!(who(&host, &several(NAME, &all)), Ok("alice".to_owned()));
    assert_eq!(count.swap(0, Ordering::SeqCst), 4);
    // Where others may plant some, what was left out might have told.
    assert_eq!(who(&shared, &several(SHARED, &all)), Err(Some(Reject::Ambiguous)));
    assert_eq!(count.swap(0, Ordering::SeqCst), 4);
    assert_eq!(who(&shared, &several(SHARED, &all[..4])), Ok("alice".to_owned()));
    // Ten thousand copies are one cookie.
    let copies = vec![named(SHARED, &sessions[0]); 60].join("; ");
    assert_eq!(who(&shared, &copies), Ok("alice".to_owned()));
    count.store(0, Ordering::SeqCst);
    let copies = vec![named(NAME, &sessions[0]); 300].join("; ");
    assert_eq!(who(&host, &copies), Ok("alice".to_owned()));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn row_20_an_old_and_a_new_cookie_of_one_name_in_two_formats_follow_the_same_rules() {
    let clock = Clock::new();
    let (old_key, new_key) = (key(), key());
    let old = SessionLayer::signed(old_key.clone())
        .domain("example.com")
        .clock(clock.reader());
    let layer = SessionLayer::encrypted(new_key)
        .domain("example.com")
        .clock(clock.reader())
        .also_accept(Signed::new(old_key), Until::forever());
    let alice = header(&old, "alice");
    let response = send(&layer, &alice, |session| {
        session.insert("user", "alice 2").unwrap();
        ok()
    });
    let line = &set_cookies(response.headers())[0];
    let moved = line.split(';').next().unwrap().to_owned();
    let mallory = header(&old, "mallory");
    for (a, b) in [(&alice, &moved), (&moved, &alice)] {
        assert_eq!(
            who(&layer, &format!("{a}; {b}")),
            Ok("alice 2".to_owned()),
            "one session"
        );
    }
    for (a, b) in [(&mallory, &moved), (&moved, &mallory)] {
        assert_eq!(who(&layer, &format!("{a}; {b}")), Err(Some(Reject::Ambiguous)));
    }
}
