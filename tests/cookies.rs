//! Cookies in, among any others and several times over; cookies out, beside the handler's own headers and to the letter.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE, VARY},
};
use http_session::{
    Duplicates, Error, Fallback, Key, Reject, SameSite, Scope, Session, SessionLayer, Until,
    codec::{Binding, Codec, Encrypted, Format, Incoming, Outgoing, Payload, Signed, Spelling},
};
use proptest::prelude::*;
use support::*;

const NAME: &str = "__Host-session";

fn key() -> Key {
    Key::generate().unwrap()
}

fn login(user: &str) -> impl FnOnce(&Session) -> Response<String> {
    let user = user.to_owned();
    move |session| {
        session.insert("user", user).unwrap();
        ok()
    }
}

fn logout(session: &Session) -> Response<String> {
    session.destroy().unwrap();
    ok()
}

/// The `name=value` pairs that these lines set.
fn pairs(response: &Response<String>) -> Vec<String> {
    let lines = set_cookies(response.headers());
    let pairs = lines.iter().map(|line| line.split(';').next().unwrap().to_owned());
    pairs.collect()
}

/// The cookie of a new session.
fn pair_of(layer: &SessionLayer, user: &str) -> String {
    let pairs = pairs(&send(layer, "", login(user)));
    assert_eq!(pairs.len(), 1);
    pairs.into_iter().next().unwrap()
}

fn user(session: &Session) -> Option<String> {
    session.get("user").unwrap()
}

#[track_caller]
fn look(layer: &SessionLayer, cookies: &str) -> (Option<String>, Option<Reject>) {
    look_at(layer, &[cookies.as_bytes()])
}

/// Who a request with these `Cookie` headers belongs to.
#[track_caller]
fn look_at(layer: &SessionLayer, lines: &[&[u8]]) -> (Option<String>, Option<Reject>) {
    let mut request = Request::new(());
    for line in lines {
        request
            .headers_mut()
            .append(COOKIE, HeaderValue::from_bytes(line).unwrap());
    }
    let mut seen = (None, None);
    let response = send_request(layer, request, |session| {
        seen = (user(session), session.rejected());
        ok()
    });
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    seen
}

fn alice() -> (Option<String>, Option<Reject>) {
    (Some("alice".to_owned()), None)
}

/// Counts what a codec is asked for.
#[derive(Clone)]
struct Counting {
    codec: Encrypted,
    decoded: Arc<AtomicUsize>,
    granted: Arc<AtomicUsize>,
    /// As if the cookie had to be tried with so many keys.
    keys: usize,
}

impl Counting {
    fn new(key: Key, keys: usize) -> Self {
        Self {
            codec: Encrypted::new(key),
            decoded: Arc::default(),
            granted: Arc::default(),
            keys,
        }
    }

    fn taken(&self) -> (usize, usize) {
        (
            self.decoded.swap(0, Ordering::SeqCst),
            self.granted.swap(0, Ordering::SeqCst),
        )
    }
}

impl Codec for Counting {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        self.decoded.fetch_add(1, Ordering::SeqCst);
        for _ in 1..self.keys {
            cookie.attempt()?;
            self.granted.fetch_add(1, Ordering::SeqCst);
        }
        let payload = self.codec.decode(cookie);
        if matches!(payload, Ok(_) | Err(Reject::BadSignature)) {
            self.granted.fetch_add(1, Ordering::SeqCst);
        }
        payload
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        self.codec.encode(payload, cookie)
    }

    fn format(&self) -> Format {
        self.codec.format()
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        self.codec.bind(binding)
    }

    fn text_len(&self, start: &[u8]) -> Option<usize> {
        self.codec.text_len(start)
    }
}

// --- In: wherever the cookie stands.

/// A pair that is none of ours; what a header may hold, without the `;` that ends it.
fn neighbour() -> impl Strategy<Value = Vec<u8>> {
    let byte = (0x20..=0xff_u8).prop_filter("a header's byte", |byte| ![b';', 0x7f].contains(byte));
    prop_oneof![
        4 => proptest::collection::vec(byte, 0..40),
        1 => Just(b"__Host-sessions=x".to_vec()),
        1 => Just(b"__Host-session.1=x".to_vec()),
        1 => Just(b"session=x".to_vec()),
        1 => Just(b"__host-session=x".to_vec()),
        1 => Just(b"a=\"__Host-session=x\"".to_vec()),
        1 => Just(b"=__Host-session=x".to_vec()),
        1 => Just(b"__Host-session".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cookie_is_found_among_any_others(
        before in proptest::collection::vec(proptest::collection::vec(neighbour(), 0..6), 0..4),
        after in proptest::collection::vec(proptest::collection::vec(neighbour(), 0..6), 0..4),
        same_line in proptest::collection::vec(neighbour(), 0..6),
        at in 0..6_usize,
        separator in proptest::sample::select(vec![&b"; "[..], b";", b" ; ", b";\t", b";;"]),
    ) {
        let layer = SessionLayer::signed(key()).build().unwrap();
        let mut pairs = same_line;
        pairs.insert(at.min(pairs.len()), pair_of(&layer, "alice").into_bytes());
        let mut lines: Vec<Vec<u8>> = before.iter().map(|line| line.join(separator)).collect();
        lines.push(pairs.join(separator));
        lines.extend(after.iter().map(|line| line.join(separator)));
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(look_at(&layer, &lines), alice());
    }
}

#[test]
fn other_cookies_may_hold_any_bytes() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let pair = pair_of(&layer, "alice");
    for other in [
        &b"a=\xff\xfe\x80"[..],
        b"\xc3\x28=1",
        b"\x80",
        b"caf\xe9=1; x=\xed\xa0\x80",
    ] {
        let line = [other, b"; ", pair.as_bytes(), b"; ", other].concat();
        assert_eq!(look_at(&layer, &[&line]), alice());
        assert_eq!(look_at(&layer, &[other, pair.as_bytes(), other]), alice());
    }
}

#[test]
fn row_18_a_percent_decoded_name_is_not_ours() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let pair = pair_of(&layer, "mallory");
    let value = pair.split_once('=').unwrap().1;
    for name in [
        "%5f%5fHost-session",
        "__Host%2Dsession",
        "__Host-%73ession",
        "%5F%5FHost%2Dsession",
        "__Host-session%00",
        "__Host-session%20",
        "__Host+session",
        "_%5FHost-session",
        "%255F_Host-session",
    ] {
        // Neither as a session nor as one that was refused: it is no cookie of ours.
        assert_eq!(look(&layer, &format!("{name}={value}")), (None, None), "{name}");
    }
}

#[test]
fn row_18_the_value_is_not_percent_decoded_either() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let pair = pair_of(&layer, "mallory");
    let (name, value) = pair.split_once('=').unwrap();
    let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(
        look(&layer, &format!("{name}={encoded}")),
        (None, Some(Reject::Malformed))
    );
}

#[test]
fn row_19_nameless_mangled_and_padded_names_are_not_ours() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let pair = pair_of(&layer, "mallory");
    for line in [
        format!("={pair}"),
        format!(" ={pair}"),
        format!("=={pair}"),
        format!("\u{a0}{pair}"),
        format!("\u{2003}{pair}"),
        format!("\u{feff}{pair}"),
        format!("\u{85}{pair}"),
        pair.replace("__Host-", "..Host-"),
        pair.replace("__Host-", "  Host-"),
        pair.replace("__Host-", "[_Host-"),
        pair.replace("__Host-", "__Host."),
        pair.replace("__Host-", "Host__"),
        pair.replace("__Host-", "__HOST-"),
        pair.replace("session=", "session[]="),
        pair.replace("session=", "session[0]="),
        pair.replace("session=", "session\u{a0}="),
        format!("$Version=1, {pair}"),
        format!("a=1, {pair}"),
        format!("a=1&{pair}"),
        format!("\"{pair}\""),
        format!("a=\"\\\"{pair}\\\"\""),
    ] {
        assert_eq!(look(&layer, &line), (None, None), "{line}");
    }
    // These are: only SP and HTAB are trimmed, and `$Version` is just another cookie.
    let (name, value) = pair.split_once('=').unwrap();
    for line in [
        format!(" \t {pair}"),
        format!("{name} \t= {value}\t"),
        format!("$Version=1; {pair}; $Path=/"),
        format!("a=\"b; {pair}; c=d\""),
    ] {
        assert_eq!(look(&layer, &line).0.as_deref(), Some("mallory"), "{line}");
    }
    // As the documentation says: a nameless cookie that an old browser sends without its `=` cannot be told apart.
    assert_eq!(look(&layer, &pair).0.as_deref(), Some("mallory"));
}

#[test]
fn a_header_of_64_kilobytes_costs_no_more_memory_than_a_short_one() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let pair = pair_of(&layer, "alice");
    let measured = |line: String| {
        assert_eq!(look(&layer, &line), alice());
        let value = HeaderValue::try_from(line).unwrap();
        let request = || {
            let mut request = Request::new(());
            request.headers_mut().insert(COOKIE, value.clone());
            request
        };
        let requests: Vec<_> = (0..2).map(|_| request()).collect();
        let mut bytes = 0;
        for request in requests {
            let info = allocation_counter::measure(|| {
                send_request(&layer, request, |session| {
                    assert!(session.contains_key("user").unwrap());
                    ok()
                });
            });
            bytes = info.bytes_total;
        }
        bytes
    };
    let short = measured(format!("a=b; {pair}"));
    let pad = "x".repeat(64 * 1024);
    for long in [
        format!("{pad}={pad}; {pair}"),
        format!("{pair}; a={pad}"),
        format!("{}{pair}", "a=b; ".repeat(13_000)),
        format!("{}{pair}", ";".repeat(65_000)),
        format!("{}{pair}", "__Host-sessio=x;".repeat(4_000)),
        format!("{}{pair}", "__Host-session;".repeat(4_300)),
        format!("{}=; {pair}", " \t".repeat(32_000)),
    ] {
        assert_eq!(measured(long), short);
    }
}

#[test]
fn row_20_work_does_not_grow_with_the_number_of_duplicates() {
    let counting = Counting::new(key(), 1);
    let layer = SessionLayer::with_codec(counting.clone()).build().unwrap();
    let other = SessionLayer::encrypted(key()).build().unwrap();
    let good = pair_of(&layer, "alice");
    let frame = |n: usize| {
        // Of the right form and of our key's id, so that only the MAC can tell: the worst there is.
        let mut value = good.clone().into_bytes();
        let end = value.len() - 8;
        value[end..end + 4].copy_from_slice(format!("{n:04}").as_bytes());
        String::from_utf8(value).unwrap()
    };
    let foreign = pair_of(&other, "mallory");
    for (what, make, most) in [
        ("bad MAC", Box::new(frame) as Box<dyn Fn(usize) -> String>, (4, 4)),
        ("garbage", Box::new(|n| format!("{NAME}={n:06}")), (64, 0)),
        ("not base64", Box::new(|n| format!("{NAME}=a.{n:06}")), (64, 0)),
        ("unknown key", Box::new(|n| format!("{foreign}{}", n % 2)), (64, 0)),
        ("the same", Box::new(|_| foreign.clone()), (1, 1)),
    ] {
        let mut sizes = Vec::new();
        for copies in [100, 1_000, 4_000] {
            let line = (0..copies).map(&make).collect::<Vec<_>>().join("; ");
            let value = HeaderValue::try_from(line).unwrap();
            let mut request = Request::new(());
            request.headers_mut().insert(COOKIE, value);
            counting.taken();
            let info = allocation_counter::measure(|| {
                send_request(&layer, request, |session| {
                    assert!(session.is_empty().unwrap());
                    assert!(session.rejected().is_some());
                    ok()
                });
            });
            let (decoded, granted) = counting.taken();
            assert!(decoded <= most.0, "{what}: {decoded} decoded of {copies}");
            assert!(granted <= most.1.max(1), "{what}: {granted} MACs of {copies}");
            sizes.push((info.count_total, info.bytes_total));
        }
        assert_eq!(sizes[1], sizes[2], "{what}: memory grows with the number of cookies");
    }
}

#[test]
fn row_20_a_request_has_16_macs_whatever_it_sends() {
    // One key or many, in the layer's own codec and in two fallbacks.
    for keys in [1, 3, 16, 1_000] {
        let (own, before) = (Counting::new(key(), keys), Counting::new(key(), keys));
        let layer = SessionLayer::with_codec(own.clone())
            .chunked(4)
            .also_accept(before.clone(), Until::forever())
            .also_accept(Fallback::new(before.clone()).cookie_name("old"), Until::forever())
            .build()
            .unwrap();
        let before_it = SessionLayer::with_codec(before.clone()).build().unwrap();
        let mut cookies = Vec::new();
        for layer in [&layer, &before_it] {
            for n in 0..50 {
                let pair = pair_of(layer, "mallory");
                // A bad tag under a good head.
                cookies.push(format!("{}{n:02}AA", &pair[..pair.len() - 4]));
            }
        }
        for line in [cookies.join("; "), cookies.join("; ").replace(NAME, "old")] {
            own.taken();
            before.taken();
            let (user, rejected) = look(&layer, &line);
            assert_eq!(user, None);
            assert!(rejected.is_some());
            let (own, before) = (own.taken(), before.taken());
            let granted = own.1 + before.1;
            let (least, most) = match (keys, line.contains(NAME)) {
                // 4 cookies for each codec that looks at this name.
                (1, true) => (8, 8),
                (1, false) => (4, 4),
                (3, _) => (8, 16),
                _ => (16, 16),
            };
            let decoded = (own.0, before.0);
            assert!(
                (least..=most).contains(&granted),
                "{keys} keys: {granted} MACs, {decoded:?} decoded"
            );
        }
    }
}

#[test]
fn row_20_parts_of_a_split_cookie_multiply_no_work() {
    let counting = Counting::new(key(), 1);
    let layer = SessionLayer::with_codec(counting.clone()).chunked(4).build().unwrap();
    let response = send(&layer, "", login(&"a".repeat(10_000)));
    let parts = pairs(&response);
    assert_eq!(parts.len(), 4);
    // Of each part many that differ and have the right length: 16 to the power of 4 ways to join them.
    let mut line = Vec::new();
    for part in &parts {
        for n in 0..16 {
            let mut other = part.clone().into_bytes();
            let at = other.len() - 6;
            other[at..at + 2].copy_from_slice(format!("{n:02}").as_bytes());
            line.push(String::from_utf8(other).unwrap());
        }
    }
    counting.taken();
    let (user, rejected) = look(&layer, &line.join("; "));
    assert_eq!(user, None);
    assert!(rejected.is_some());
    let (decoded, granted) = counting.taken();
    assert!(granted <= 16, "{granted} MACs");
    assert!(decoded <= 64, "{decoded} decoded");
    // A planted part does not keep the true ones from joining.
    let planted = format!("{}A", &parts[1][..parts[1].len() - 1]);
    assert!(look(&layer, &format!("{planted}; {}", parts.join("; "))).0.is_some());
}

// --- In: duplicates.

/// Cookies of one session, each a second newer than the one before.
fn versions(layer: &SessionLayer, clock: &Clock, users: &[&str]) -> Vec<String> {
    let mut jar = Jar::new();
    let written = users.iter().map(|name| {
        clock.advance(Duration::from_secs(1));
        let response = jar.visit(layer, |session| {
            session.insert("n", clock.now()).unwrap();
            login(name)(session)
        });
        pairs(&response).pop().unwrap()
    });
    written.collect()
}

fn joined(pairs: &[&String]) -> String {
    pairs.iter().map(|pair| pair.as_str()).collect::<Vec<_>>().join("; ")
}

#[test]
fn row_20_of_one_session_the_newest_counts_in_any_order() {
    for domain in [false, true] {
        let clock = Clock::new();
        let layer = SessionLayer::encrypted(key()).clock(clock.reader());
        let layer = if domain { layer.domain("example.com") } else { layer };
        let written = versions(&layer, &clock, &["old", "alice"]);
        let [old, new] = &written[..] else { panic!() };
        for line in [[old, new], [new, old]] {
            assert_eq!(look(&layer, &joined(&line)), alice());
            let lines = line.map(|pair| pair.as_bytes());
            assert_eq!(look_at(&layer, &lines), alice());
        }
        assert_eq!(look(&layer, &joined(&[new, new, old, new])), alice());
    }
}

#[test]
fn row_20_different_sessions_are_ambiguous_unless_the_prefix_says_that_both_are_ours() {
    let clock = Clock::new();
    let base = || SessionLayer::encrypted(key()).clock(clock.reader());
    let ambiguous = (None, Some(Reject::Ambiguous));
    for (layer, newest) in [
        (base(), true),
        (base().domain("example.com"), false),
        (base().path("/app"), false),
        (base().secure(false), false),
        (base().on_duplicates(Duplicates::Reject), false),
        (base().secure(false).on_duplicates(Duplicates::Newest), true),
    ] {
        let older = pair_of(&layer, "mallory");
        clock.advance(Duration::from_secs(1));
        let newer = pair_of(&layer, "alice");
        for line in [joined(&[&older, &newer]), joined(&[&newer, &older])] {
            assert_eq!(look(&layer, &line), if newest { alice() } else { ambiguous.clone() });
        }
        // The same cookie twice is one cookie, and one that is refused is none.
        assert_eq!(look(&layer, &joined(&[&newer, &newer])), alice());
        let name = newer.split_once('=').unwrap().0;
        assert_eq!(look(&layer, &format!("{name}=x; {newer}; {name}=; {name}=y")), alice());
        let flipped = newer.replace(&newer[newer.len() - 4..], "AAAA");
        assert_eq!(look(&layer, &joined(&[&flipped, &newer])), alice());
    }
}

#[test]
fn row_20_an_ambiguous_session_is_empty_to_writers_too() {
    let layer = SessionLayer::encrypted(key()).domain("example.com").build().unwrap();
    let line = joined(&[&pair_of(&layer, "alice"), &pair_of(&layer, "mallory")]);
    let response = send(&layer, &line, |session| {
        assert!(session.is_new().unwrap() && session.is_empty().unwrap());
        session.insert("visits", 1).unwrap();
        ok()
    });
    assert_eq!(look(&layer, &pairs(&response)[0]), (None, None));
}

#[test]
fn row_20_planting_many_cookies_does_not_outvote_the_true_one() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key())
        .domain("example.com")
        .clock(clock.reader())
        .build()
        .unwrap();
    // Different cookies of one session are as good as one: of these, four would be all that is verified.
    let planted = versions(&layer, &clock, &["mallory"; 8]);
    let own = pair_of(&layer, "alice");
    let ambiguous = (None, Some(Reject::Ambiguous));
    for count in 1..=8 {
        let mut line: Vec<&String> = planted[..count].iter().collect();
        line.push(&own);
        assert_eq!(look(&layer, &joined(&line)), ambiguous, "{count} planted before");
        line.rotate_right(1);
        assert_eq!(look(&layer, &joined(&line)), ambiguous, "{count} planted after");
    }
    // One cookie in more scopes than are looked at.
    for count in [1, 63, 64, 65, 200] {
        let line = format!("{}{own}", format!("{}; ", planted[0]).repeat(count));
        assert_eq!(look(&layer, &line), ambiguous, "{count} times");
    }
    // What somebody without a session of their own can plant.
    let garbage: String = (0..30).map(|n| format!("__Secure-session={n}; ")).collect();
    assert_eq!(look(&layer, &format!("{garbage}{own}")), alice());
}

/// A user at `/app` with a cookie in an old scope as well: reads, writes and the end of the session take effect.
#[track_caller]
fn each_takes_effect(layer: &SessionLayer, jar: &Jar) {
    // Log in on another page, or on this one.
    for page in ["/login", "/app"] {
        let mut jar = jar.clone();
        jar.visit_path(layer, page, |session| {
            session.insert("user", "alice").unwrap();
            session.authenticated().unwrap();
            ok()
        });
        for seen_at in ["/", "/app", "/app/deep"] {
            assert_eq!(
                look(layer, &jar.header(seen_at)),
                alice(),
                "after a login at {page}, at {seen_at}"
            );
        }
        // Log out without having been anywhere else.
        let mut left = jar.clone();
        left.visit_path(layer, "/logout", logout);
        assert_eq!(
            look(layer, &left.header("/app")),
            (None, None),
            "after a login at {page} and a logout"
        );
        // Update.
        for n in 1..4_u64 {
            jar.visit_path(layer, ["/app", "/"][n as usize % 2], |session| {
                assert_eq!(user(session).as_deref(), Some("alice"));
                assert_eq!(
                    session.get::<u64>("n").unwrap().unwrap_or(0),
                    n - 1,
                    "the last update was lost"
                );
                session.insert("n", n).unwrap();
                ok()
            });
        }
        // Log out, here or elsewhere.
        for page in ["/logout", "/app"] {
            let mut jar = jar.clone();
            jar.visit_path(layer, page, logout);
            assert_eq!(jar.0, [], "after a logout at {page}");
        }
    }
    // Log out at once.
    let mut jar = jar.clone();
    jar.visit_path(layer, "/app", logout);
    assert_eq!(jar.0, [], "after a logout with the old cookie alone");
}

#[test]
fn row_20_partitioned_switched_on_under_a_live_cookie() {
    for browser_has_both in [false, true] {
        let shared = key();
        let old = SessionLayer::encrypted(shared.clone()).build().unwrap();
        let new = |retired: bool| {
            let layer = SessionLayer::encrypted(shared.clone()).partitioned(true);
            let layer = if retired {
                layer.retired(Scope::new().partitioned(false))
            } else {
                layer
            };
            layer.build().unwrap()
        };
        let mut jar = Jar::new();
        jar.visit(&old, login("old"));
        if browser_has_both {
            jar.visit(&new(false), login("old, changed"));
            assert_eq!(jar.0.len(), 2);
        }
        each_takes_effect(&new(true), &jar);
        // What would happen without: the old cookie comes back.
        jar.visit(&new(false), logout);
        assert_eq!(look(&new(true), &jar.header("/")).0.as_deref(), Some("old"));
    }
}

#[test]
fn row_20_another_domain_under_a_live_cookie() {
    for browser_has_both in [false, true] {
        let shared = key();
        let old = SessionLayer::encrypted(shared.clone())
            .domain("example.com")
            .build()
            .unwrap();
        let new = |retired: bool| {
            let layer = SessionLayer::encrypted(shared.clone()).domain("www.example.com");
            let layer = if retired {
                layer.retired(Scope::new().domain("example.com"))
            } else {
                layer
            };
            layer.build().unwrap()
        };
        let mut jar = Jar::new();
        jar.visit(&old, login("old"));
        if browser_has_both {
            jar.visit(&new(false), login("old, changed"));
            assert_eq!(jar.0.len(), 2);
        }
        each_takes_effect(&new(true), &jar);
        jar.visit(&new(false), logout);
        assert_eq!(look(&new(true), &jar.header("/")).0.as_deref(), Some("old"));
    }
}

#[test]
fn row_20_a_domain_cookie_under_the_host_prefix() {
    // Another scope and another prefix, so another name: the old one is a fallback.
    let shared = key();
    let old = SessionLayer::encrypted(shared.clone())
        .domain("example.com")
        .build()
        .unwrap();
    let before = Fallback::new(Encrypted::new(shared.clone()))
        .cookie_name("__Secure-session")
        .scope(Scope::new().domain("example.com"));
    let new = SessionLayer::encrypted(shared)
        .also_accept(before, Until::forever())
        .build()
        .unwrap();
    let mut jar = Jar::new();
    jar.visit(&old, login("old"));
    assert_eq!(look(&new, &jar.header("/")).0.as_deref(), Some("old"));
    each_takes_effect(&new, &jar);
}

#[test]
fn row_20_a_cookie_planted_under_a_path() {
    // Mallory has an account, and a page on another host of the domain.
    for planted_first in [false, true] {
        let shared = key();
        let layer = SessionLayer::encrypted(shared)
            .domain("example.com")
            .retired(Scope::new().path("/app"))
            .build()
            .unwrap();
        let plant = |jar: &mut Jar| {
            let pair = pairs(&send(&layer, "", login("mallory"))).pop().unwrap();
            jar.set(&format!("{pair}; Domain=example.com; Path=/app; Secure"));
        };
        let mut jar = Jar::new();
        if planted_first {
            plant(&mut jar);
            each_takes_effect(&layer, &jar);
        }
        jar.visit(&layer, login("alice"));
        if planted_first {
            assert_eq!(look(&layer, &jar.header("/app")), alice());
        } else {
            plant(&mut jar);
            // Nobody is taken for somebody else; and the first write puts it right.
            assert_eq!(look(&layer, &jar.header("/app")), (None, Some(Reject::Ambiguous)));
        }
        each_takes_effect(&layer, &jar);
    }
}

#[test]
fn row_20_a_fallback_under_a_path_does_not_come_back_after_logout() {
    let shared = key();
    let old = SessionLayer::signed(shared.clone())
        .secure(false)
        .cookie_name("sid")
        .path("/app")
        .build()
        .unwrap();
    let before = Fallback::new(Signed::new(shared.clone()))
        .cookie_name("sid")
        .scope(Scope::new().path("/app"));
    let new = SessionLayer::encrypted(shared)
        .also_accept(before, Until::forever())
        .build()
        .unwrap();
    let mut jar = Jar::new();
    jar.visit(&old, login("old"));
    each_takes_effect(&new, &jar);
}

#[test]
fn what_was_saved_and_then_ended_is_not_sent() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let own = pair_of(&layer, "alice");
    let ends: [fn(&Session); 3] = [
        |session| session.destroy().unwrap(),
        |session| session.clear().unwrap(),
        |session| {
            session.remove("user").unwrap();
            session.remove("cart").unwrap();
        },
    ];
    for end in ends {
        for cookies in ["", &own] {
            let response = send(&layer, cookies, |session| {
                session.insert("user", "mallory").unwrap();
                poll_now(session.save()).unwrap();
                session.insert("cart", 1).unwrap();
                poll_now(session.save()).unwrap();
                end(session);
                ok()
            });
            let lines = set_cookies(response.headers());
            assert_eq!(lines.len(), usize::from(!cookies.is_empty()));
            assert!(
                lines.iter().all(|line| line.starts_with("__Host-session=;")),
                "{lines:?}"
            );
        }
    }
}

// --- Out: to the letter.

/// What follows `name=value` in the line of a new session.
fn attributes_of(layer: &SessionLayer) -> Vec<String> {
    let lines = set_cookies(send(layer, "", login("alice")).headers());
    let mut attributes: Vec<String> = lines.last().unwrap().split("; ").skip(1).map(str::to_owned).collect();
    attributes.sort_unstable();
    attributes
}

#[test]
fn every_builder_setting_shows_in_the_line() {
    let layer = || SessionLayer::encrypted(key());
    let default = ["HttpOnly", "Max-Age=86400", "Path=/", "SameSite=Lax", "Secure"];
    assert_eq!(attributes_of(&layer()), default);
    let with = |removed: &[&str], added: &[&str]| {
        let mut list: Vec<String> = default
            .iter()
            .filter(|one| !removed.contains(one))
            .map(|&one| one.into())
            .collect();
        list.extend(added.iter().map(|&one| one.to_owned()));
        list.sort_unstable();
        list
    };
    for (layer, removed, added) in [
        (layer().secure(false), &["Secure"][..], &[][..]),
        (layer().http_only(false), &["HttpOnly"], &[]),
        (
            layer().same_site(SameSite::Strict),
            &["SameSite=Lax"],
            &["SameSite=Strict"],
        ),
        (layer().same_site(SameSite::None), &["SameSite=Lax"], &["SameSite=None"]),
        (layer().path("/app"), &["Path=/"], &["Path=/app"]),
        (layer().path("/a b,\"c\"=%41"), &["Path=/"], &["Path=/a b,\"c\"=%41"]),
        (layer().domain("example.com"), &[], &["Domain=example.com"]),
        (layer().domain(".Example.com"), &[], &["Domain=Example.com"]),
        (layer().partitioned(true), &[], &["Partitioned"]),
        (
            layer().max_age(Duration::from_secs(61)),
            &["Max-Age=86400"],
            &["Max-Age=61"],
        ),
        (
            layer().max_age(Duration::from_millis(1_999)),
            &["Max-Age=86400"],
            &["Max-Age=1"],
        ),
        (layer().max_age(None).anonymous_max_age(None), &["Max-Age=86400"], &[]),
        (
            layer().anonymous_max_age(Duration::from_secs(62)),
            &["Max-Age=86400"],
            &["Max-Age=62"],
        ),
        (
            layer().anonymous_max_age(None),
            &["Max-Age=86400"],
            &["Max-Age=1209600"],
        ),
        (layer().browser_session(true), &["Max-Age=86400"], &[]),
        (
            layer().absolute_lifetime(Duration::from_secs(9)),
            &["Max-Age=86400"],
            &["Max-Age=9"],
        ),
        // Nothing to see.
        (
            layer()
                .app("shop")
                .rolling(true)
                .chunked(4)
                .discard_on_server_error(true),
            &[],
            &[],
        ),
        (layer().retired(Scope::new().domain("example.com")), &[], &[]),
    ] {
        assert_eq!(attributes_of(&layer), with(removed, added));
    }
    for (layer, name) in [
        (layer(), "__Host-session"),
        (layer().cookie_name("id"), "__Host-id"),
        (
            layer().cookie_name("id").partitioned(true).same_site(SameSite::None),
            "__Host-id",
        ),
        (layer().cookie_name("id").path("/app"), "__Secure-id"),
        (layer().cookie_name("id").domain("example.com"), "__Secure-id"),
        (layer().cookie_name("id").secure(false), "id"),
        (layer().cookie_name("id").secure(false).domain("example.com"), "id"),
        (layer().cookie_name("__Secure-id"), "__Secure-id"),
    ] {
        assert_eq!(pair_of(&layer, "alice").split_once('=').unwrap().0, name);
    }
    // A session's own lifetime.
    let response = send(&layer(), "", |session| {
        session.set_max_age(Duration::from_secs(77)).unwrap();
        login("alice")(session)
    });
    assert!(set_cookies(response.headers())[0].ends_with("; Max-Age=77"));
}

#[test]
fn the_line_is_sensitive_so_that_neither_logs_nor_compression_keep_it() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let response = send(&layer, "", login("alice"));
    let removal = send(&layer, &pairs(&response)[0], logout);
    for headers in [response.headers(), removal.headers()] {
        assert!(headers.get_all(SET_COOKIE).iter().all(HeaderValue::is_sensitive));
        assert_eq!(format!("{:?}", headers[SET_COOKIE]), "Sensitive");
    }
    let cookie = layer
        .cookie_header(&std::collections::BTreeMap::from([("user", 1)]))
        .unwrap();
    assert!(cookie.is_sensitive());
}

/// A line as its name, its value and its attributes without the lifetime, in their order.
fn dissect(line: &str) -> (String, String, Vec<String>) {
    let mut parts = line.split("; ");
    let (name, value) = parts.next().unwrap().split_once('=').unwrap();
    let lifetime = |part: &&str| part.starts_with("Max-Age=") || part.starts_with("Expires=");
    let attributes = parts.filter(|part| !lifetime(part)).map(str::to_owned).collect();
    (name.to_owned(), value.to_owned(), attributes)
}

#[derive(Debug)]
struct Settings {
    name: &'static str,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    path: &'static str,
    domain: Option<&'static str>,
    partitioned: bool,
    parts: usize,
    max_age: Option<u64>,
    browser_session: bool,
}

fn settings() -> impl Strategy<Value = Settings> {
    (
        proptest::sample::select(&["session", "id", "__Host-id", "__Secure-id", "a!#$%&'*+-.^_`|~"][..]),
        any::<(bool, bool, bool, bool)>(),
        proptest::sample::select(&[SameSite::Lax, SameSite::Strict, SameSite::None][..]),
        proptest::sample::select(&["/", "/app", "/app/", "/a b"][..]),
        proptest::sample::select(&[None, Some("example.com"), Some(".www.example.com")][..]),
        1..=4_usize,
        proptest::sample::select(&[None, Some(1), Some(60), Some(100_000_000)][..]),
    )
        .prop_map(|(name, flags, same_site, path, domain, parts, max_age)| Settings {
            name,
            secure: flags.0,
            http_only: flags.1,
            partitioned: flags.2,
            browser_session: flags.3,
            same_site,
            path,
            domain,
            parts,
            max_age,
        })
}

impl Settings {
    fn layer(&self) -> Result<SessionLayer, Error> {
        let layer = SessionLayer::encrypted(key())
            .cookie_name(self.name)
            .secure(self.secure)
            .http_only(self.http_only)
            .same_site(self.same_site)
            .path(self.path)
            .partitioned(self.partitioned)
            .chunked(self.parts)
            .max_age(self.max_age.map(Duration::from_secs))
            .browser_session(self.browser_session);
        match self.domain {
            Some(domain) => layer.domain(domain),
            None => layer,
        }
        .build()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn row_22_the_removal_is_the_live_cookie_without_value_and_lifetime(
        settings in settings(),
        len in prop_oneof![2 => Just(5_usize), 1 => 4_000..12_000_usize],
        how in 0..3_usize,
    ) {
        let layer = settings.layer();
        prop_assume!(layer.is_ok());
        let layer = layer.unwrap();
        let mut jar = Jar::new();
        let live = send(&layer, "", login(&"a".repeat(len)));
        prop_assume!(live.status() == StatusCode::OK);
        jar.receive(live.headers());
        let lines = set_cookies(live.headers());
        prop_assert_eq!(jar.0.len(), lines.len(), "a browser refuses {:?}", lines);
        let removal = jar.visit_path(&layer, "/app/a b", |session| {
            // The path `/a b` is no prefix of the request's, and what does not come cannot be removed.
            match how {
                0 => session.destroy().unwrap(),
                1 => session.clear().unwrap(),
                _ => session.remove("user").unwrap(),
            }
            ok()
        });
        if settings.path == "/a b" {
            prop_assert_eq!(set_cookies(removal.headers()).len(), 0);
            return Ok(());
        }
        prop_assert_eq!(&jar.0, &[], "{:?}", removal.headers());
        let removals = set_cookies(removal.headers());
        prop_assert_eq!(removals.len(), lines.len());
        for line in lines {
            let (name, value, attributes) = dissect(&line);
            prop_assert!(!value.is_empty());
            let removal = removals.iter().find(|removal| dissect(removal).0 == name).unwrap();
            prop_assert_eq!(dissect(removal), (name, String::new(), attributes));
            prop_assert!(removal.contains("; Max-Age=0"));
            prop_assert!(removal.contains("; Expires=Thu, 01 Jan 1970 00:00:00 GMT"));
        }
    }

    /// The removal of a retired scope is the live line of a layer that had that scope.
    #[test]
    fn row_22_the_removal_of_a_retired_scope_fits_it(
        settings in settings(),
        path in proptest::sample::select(&[None, Some("/"), Some("/app")][..]),
        domain in proptest::sample::select(&[None, Some(None), Some(Some("example.com"))][..]),
        partitioned in any::<Option<bool>>(),
    ) {
        let mut scope = Scope::new();
        let mut before = Settings { ..settings };
        if let Some(path) = path {
            scope = scope.path(path);
            before.path = path;
        }
        if let Some(domain) = domain {
            scope = match domain {
                Some(domain) => scope.domain(domain),
                None => scope.host_only(),
            };
            before.domain = domain;
        }
        if let Some(partitioned) = partitioned {
            scope = scope.partitioned(partitioned);
            before.partitioned = partitioned;
        }
        let (Ok(before), Ok(layer)) = (before.layer(), settings.layer()) else {
            return Err(TestCaseError::reject("refused"));
        };
        let layer = layer.retired(scope).build().unwrap();
        let mut jar = Jar::new();
        jar.visit(&before, login("old"));
        let [old] = &jar.0[..] else { panic!("{jar:?}") };
        let brought = format!("{}={}", old.name, old.value);
        jar.receive(send(&layer, &brought, login("alice")).headers());
        prop_assert_eq!(jar.0.len(), 1, "{:?}", jar);
        let live = pairs(&send(&layer, "", login("alice"))).pop().unwrap();
        prop_assert_eq!(&jar.0[0].name, live.split_once('=').unwrap().0);
    }
}

/// Headers in their order, with all their values.
fn listed(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn inner_response() -> Response<String> {
    let mut response = Response::new("body".to_owned());
    *response.status_mut() = StatusCode::IM_A_TEAPOT;
    *response.version_mut() = http::Version::HTTP_2;
    response.extensions_mut().insert(42_u64);
    let headers = response.headers_mut();
    for (name, value) in [
        (SET_COOKIE, "theme=dark; Path=/"),
        (SET_COOKIE, "__Host-session=the handler's own; Path=/; Secure"),
        (VARY, "Accept-Encoding"),
        (VARY, "accept"),
        (CONTENT_TYPE, "text/plain"),
        (CACHE_CONTROL, "max-age=60"),
        (CACHE_CONTROL, "must-revalidate"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers.append("x-opaque", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    response
}

#[track_caller]
fn assert_inner(response: &Response<String>, more: &[(&str, &str)]) {
    let inner = inner_response();
    assert_eq!(response.body(), inner.body());
    assert_eq!(response.status(), inner.status());
    assert_eq!(response.version(), inner.version());
    assert_eq!(response.extensions().get::<u64>(), Some(&42));
    let mut expected = inner.headers().clone();
    for &(name, value) in more {
        expected.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    assert_eq!(listed(response.headers()), listed(&expected));
}

#[test]
fn if_nothing_changed_the_response_is_the_inner_one() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let own = pair_of(&layer, "alice");
    for cookies in ["", "a=b", &own, "__Host-session=x"] {
        // Untouched: bit for bit.
        assert_inner(&send(&layer, cookies, |_| inner_response()), &[]);
        // A clone, `Debug`, `is_modified` and `save` are no access either.
        let response = send(&layer, cookies, |session| {
            let _ = format!("{:?}", session.clone());
            assert!(!session.is_modified());
            inner_response()
        });
        assert_inner(&response, &[]);
        // Read: caches are told.
        type Access = fn(&Session) -> Result<(), Error>;
        let accesses: [Access; 11] = [
            |session| session.get::<String>("user").map(drop),
            |session| session.contains_key("user").map(|_| ()),
            |session| session.len().map(|_| ()),
            |session| session.is_empty().map(|_| ()),
            |session| session.keys().map(drop),
            |session| session.is_new().map(|_| ()),
            |session| Ok(session.rejected()).map(|_| ()),
            |session| session.created_at().map(|_| ()),
            |session| session.authenticated_at().map(|_| ()),
            |session| session.expires_at().map(|_| ()),
            |session| session.remove("nothing"),
        ];
        for access in accesses {
            let response = send(&layer, cookies, |session| {
                access(session).unwrap();
                inner_response()
            });
            assert_inner(&response, &[("vary", "Cookie")]);
        }
    }
    // Written what is there already, or written and taken back.
    let changes: [fn(&Session); 4] = [
        |session| session.insert("user", "alice").unwrap(),
        |session| {
            session.insert("user", "bob").unwrap();
            session.insert("user", "alice").unwrap();
        },
        |session| {
            session.insert("cart", 1).unwrap();
            session.remove("cart").unwrap();
        },
        |session| {
            session.clear().unwrap();
            session.insert("user", "alice").unwrap();
        },
    ];
    for change in changes {
        let response = send(&layer, &own, |session| {
            change(session);
            assert!(!session.is_modified());
            inner_response()
        });
        assert_inner(&response, &[("vary", "Cookie")]);
    }
}

#[test]
fn row_30_the_handlers_own_headers_stay_before_ours() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let response = send(&layer, "", |session| {
        session.insert("user", "alice").unwrap();
        inner_response()
    });
    let inner = inner_response();
    for (name, ours) in [(SET_COOKIE, 1), (VARY, 1), (CACHE_CONTROL, 1), (CONTENT_TYPE, 0)] {
        let before: Vec<_> = inner.headers().get_all(&name).iter().collect();
        let mut after: Vec<_> = response.headers().get_all(&name).iter().collect();
        if name == CACHE_CONTROL {
            // But this one, so that nothing before it changes how it is read.
            after.rotate_left(1);
        }
        assert_eq!(after[..before.len()], before[..], "{name}");
        assert_eq!(after.len(), before.len() + ours, "{name}");
    }
    assert_eq!(response.status(), inner.status());
    assert_eq!(response.body(), inner.body());
    assert_eq!(response.headers().get("x-opaque"), inner.headers().get("x-opaque"));
    // Removed: the same.
    let response = send(&layer, &pair_of(&layer, "alice"), |session| {
        session.destroy().unwrap();
        inner_response()
    });
    let lines = set_cookies(response.headers());
    assert_eq!(lines[..2], set_cookies(inner.headers())[..]);
    assert!(lines[2].starts_with("__Host-session=;"));
    assert_eq!(lines.len(), 3);
}

// --- Out: a codec with a spelling of its own.

/// Another framework's cookie, to the letter.
#[derive(Clone)]
struct Spelled(Signed);

impl Codec for Spelled {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        self.0.decode(cookie)
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        self.0.encode(payload, cookie)
    }

    fn format(&self) -> Format {
        self.0.format().cookie_name("connect.sid")
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        self.0.bind(binding)
    }

    fn spelling(&self, binding: &Binding<'_>) -> Option<Spelling> {
        assert_eq!(binding.cookie_name(), "connect.sid");
        assert_eq!(binding.app(), "shop");
        let mut live = format!("; path={}", binding.path());
        if let Some(max_age) = binding.max_age() {
            live.push_str(&format!("; MAX-AGE={}", max_age.as_secs()));
        }
        live.push_str("; samesite=lax");
        for (flag, name) in [
            (binding.http_only(), "; httponly"),
            (binding.secure(), "; secure"),
            (binding.partitioned(), "; partitioned"),
        ] {
            live.push_str(if flag { name } else { "" });
        }
        if let Some(domain) = binding.domain() {
            live.push_str(&format!("; domain={domain}"));
        }
        let removal = format!("null; path={}; expires=Thu, 01 Jan 1970 00:00:00 GMT", binding.path());
        Some(Spelling::new(live, removal))
    }
}

#[test]
fn a_codecs_own_spelling_is_written_to_the_letter() {
    let layer = || SessionLayer::with_codec(Spelled(Signed::new(key()))).app("shop");
    for (layer, live) in [
        (layer(), "; path=/; MAX-AGE=1209600; samesite=lax; httponly; secure"),
        (
            layer().secure(false).path("/a"),
            "; path=/a; MAX-AGE=1209600; samesite=lax; httponly",
        ),
        (
            layer().browser_session(true).http_only(false),
            "; path=/; samesite=lax; secure",
        ),
        (
            layer().domain("example.com").partitioned(true).max_age(None),
            "; path=/; samesite=lax; httponly; secure; partitioned; domain=example.com",
        ),
    ] {
        let line = set_cookies(send(&layer, "", login("alice")).headers()).remove(0);
        let (pair, _) = line.split_once(';').unwrap();
        // No prefix: the name is the other framework's.
        assert!(pair.starts_with("connect.sid="), "{line}");
        assert_eq!(line[pair.len()..], *live);
        assert_eq!(look(&layer, pair), alice());
        let removal = set_cookies(send(&layer, pair, logout).headers()).remove(0);
        let path = if line.contains("path=/a") { "/a" } else { "/" };
        assert_eq!(
            removal,
            format!("connect.sid=null; path={path}; expires=Thu, 01 Jan 1970 00:00:00 GMT")
        );
    }
    let renamed = {
        #[derive(Clone)]
        struct Other(Spelled);
        impl Codec for Other {
            fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
                self.0.decode(cookie)
            }
            fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
                self.0.encode(payload, cookie)
            }
            fn format(&self) -> Format {
                self.0.format()
            }
            fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
                self.0.bind(binding)
            }
        }
        SessionLayer::with_codec(Other(Spelled(Signed::new(key())))).cookie_name("sid")
    };
    // A name of the user's choice, and the usual spelling where the codec has none.
    let line = set_cookies(send(&renamed, "", login("alice")).headers()).remove(0);
    assert!(
        line.starts_with("sid=") && line.contains("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age="),
        "{line}"
    );
}

// --- Too large.

#[test]
fn too_large_is_an_error_and_the_old_cookie_stays_valid() {
    let clock = Clock::new();
    let layer = SessionLayer::signed(key()).clock(clock.reader()).build().unwrap();
    let own = pair_of(&layer, "alice");
    let response = send(&layer, &own, |session| {
        session.insert("user", "x".repeat(4_000)).unwrap();
        inner_response()
    });
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.body(), "");
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    let error = response.extensions().get::<Error>().unwrap();
    let &Error::TooLarge { size, limit, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(limit, 4_096);
    assert!((5_300..5_600).contains(&size), "{size}");
    assert_eq!(look(&layer, &own), alice());
}

#[test]
fn too_large_is_what_on_error_makes_of_it() {
    let plain = SessionLayer::signed(key());
    let own = pair_of(&plain, "alice");
    let layer = plain.on_error(|error: Error, mut response: Response<String>| {
        assert!(matches!(error, Error::TooLarge { .. }));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        response.body_mut().push_str(" and a note");
        response
    });
    let response = send(&layer, &own, |session| {
        session.insert("user", "x".repeat(4_000)).unwrap();
        inner_response()
    });
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.body(), "body and a note");
    // The handler's headers are all there, and ours is not.
    assert_eq!(set_cookies(response.headers()), set_cookies(inner_response().headers()));
}

#[test]
fn asvs_3_3_5_no_line_is_ever_longer_than_browsers_keep() {
    for parts in 1..=4_usize {
        let layer = SessionLayer::signed(key()).chunked(parts).build().unwrap();
        let mut refused = false;
        for len in (2_900..3_100).chain((3_100..13_000).step_by(137)) {
            let response = send(&layer, "", login(&"x".repeat(len)));
            let pairs = pairs(&response);
            assert!(pairs.iter().all(|pair| pair.len() <= 4_096 + 1), "name, value and `=`");
            assert_eq!(response.status().is_server_error(), pairs.is_empty());
            assert!(pairs.len() <= parts);
            // Once too long, always too long.
            assert!(!refused || pairs.is_empty());
            refused |= pairs.is_empty();
            if !pairs.is_empty() {
                assert_eq!(look(&layer, &pairs.join("; ")).0.map(|user| user.len()), Some(len));
            }
        }
        assert!(refused);
    }
}

#[test]
fn what_save_reports_is_not_reported_again() {
    let layer = SessionLayer::signed(key()).build().unwrap();
    let own = pair_of(&layer, "alice");
    let response = send(&layer, &own, |session| {
        session.insert("blob", "x".repeat(4_000)).unwrap();
        assert!(matches!(poll_now(session.save()), Err(Error::TooLarge { .. })));
        session.remove("blob").unwrap();
        session.insert("small", 1).unwrap();
        ok()
    });
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(look(&layer, &pairs(&response)[0]), alice());
}

#[test]
fn stale_parts_go_with_the_next_write() {
    let layer = SessionLayer::signed(key()).chunked(4).build().unwrap();
    let mut jar = Jar::new();
    jar.visit(&layer, login(&"x".repeat(10_000)));
    assert_eq!(jar.0.len(), 4);
    jar.visit(&layer, login("alice"));
    assert_eq!(jar.0.len(), 1, "{jar:?}");
    assert_eq!(look(&layer, &jar.header("/")), alice());
}

#[test]
fn a_fallback_is_read_until_its_date_and_removed_with_the_first_write() {
    let clock = Clock::new();
    let old = SessionLayer::signed(key()).clock(clock.reader());
    let old_key = key();
    let old = {
        drop(old);
        SessionLayer::signed(old_key.clone())
            .secure(false)
            .cookie_name("sid")
            .clock(clock.reader())
            .build()
            .unwrap()
    };
    let before = pair_of(&old, "alice");
    let end = clock.now() + Duration::from_secs(3_600);
    let layer = SessionLayer::encrypted(key())
        .max_age(Duration::from_secs(7_200))
        .also_accept(Fallback::new(Signed::new(old_key)).cookie_name("sid"), Until::date(end))
        .clock(clock.reader())
        .build()
        .unwrap();
    assert_eq!(look(&layer, &before), alice());
    let response = send(&layer, &before, |session| {
        session.insert("n", 1).unwrap();
        ok()
    });
    let lines = set_cookies(response.headers());
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("sid=;") && lines[0].contains("Max-Age=0"),
        "{lines:?}"
    );
    assert_eq!(look(&layer, &pairs(&response)[1]), alice());
    // Stamped after the end, by somebody who has the old key.
    clock.set(end + Duration::from_millis(1));
    let late = pair_of(&old, "mallory");
    assert_eq!(look(&layer, &late), (None, Some(Reject::Expired)));
    let backdated: SystemTime = end;
    clock.set(backdated);
    let stamped_before = pair_of(&old, "mallory");
    clock.set(end + Duration::from_secs(7_200));
    assert_eq!(look(&layer, &stamped_before).0.as_deref(), Some("mallory"));
    clock.advance(Duration::from_millis(1));
    assert_eq!(look(&layer, &stamped_before), (None, Some(Reject::Expired)));
}

#[test]
fn row_20_a_fallback_without_the_prefix_is_not_trusted_like_one_with_it() {
    let clock = Clock::new();
    let old_key = key();
    let old = |name: &str| {
        SessionLayer::signed(old_key.clone())
            .secure(false)
            .cookie_name(name)
            .clock(clock.reader())
    };
    let new = |name: &str| {
        let before = Fallback::new(Signed::new(old_key.clone())).cookie_name(name);
        SessionLayer::encrypted(key())
            .also_accept(before, Until::forever())
            .clock(clock.reader())
    };
    let plain = old("sid").build().unwrap();
    let own = pair_of(&plain, "alice");
    clock.advance(Duration::from_secs(1));
    let planted = pair_of(&plain, "mallory");
    let both = joined(&[&planted, &own]);
    // The layer's own cookie is `__Host-session`, which nobody can plant; this one is not.
    assert_eq!(look(&new("sid"), &own), alice());
    assert_eq!(look(&new("sid"), &both), (None, Some(Reject::Ambiguous)));
    let newest = new("sid").on_duplicates(Duplicates::Newest);
    assert_eq!(look(&newest, &both).0.as_deref(), Some("mallory"));
    // Under the prefix, both are ours.
    let host = old("__Host-sid").secure(true).build().unwrap();
    let older = pair_of(&host, "before");
    clock.advance(Duration::from_secs(1));
    let newer = pair_of(&host, "alice");
    assert_eq!(look(&new("__Host-sid"), &joined(&[&newer, &older])), alice());
}

#[test]
fn a_retired_scope_that_is_the_live_one_or_is_named_twice_changes_nothing() {
    let shared = key();
    let layer = SessionLayer::encrypted(shared.clone())
        .retired(Scope::new())
        .retired(Scope::new().partitioned(true))
        .retired(Scope::new().partitioned(true))
        .build()
        .unwrap();
    let own = pair_of(&layer, "alice");
    let written = set_cookies(send(&layer, &own, login("bob")).headers());
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(written[0].contains("Partitioned") && written[0].contains("Max-Age=0"));
    assert!(!written[1].contains("Max-Age=0"));
    assert_eq!(set_cookies(send(&layer, &own, logout).headers()).len(), 2);
}
