//! What caches are told, and what a log is told.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CACHE_CONTROL};
use http_session::SessionLayer;

use crate::{
    events, key, log_in, look,
    support::{Clock, Jar, ok, send},
};

/// What a response says that sets these headers, and a session cookie or not.
fn told(said: &[(&str, &[u8])], sends: bool) -> HeaderMap {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let response = send(&layer, "", |session| {
        if sends {
            log_in(session);
        } else {
            assert!(session.is_empty().unwrap());
        }
        let mut response = Response::new(String::new());
        for (name, value) in said {
            let name: HeaderName = name.parse().unwrap();
            response
                .headers_mut()
                .append(name, HeaderValue::from_bytes(value).unwrap());
        }
        response
    });
    response.headers().clone()
}

/// All of `Cache-Control` as a cache joins it.
fn joined(headers: &HeaderMap) -> Vec<u8> {
    let lines: Vec<_> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    lines.join(&b", "[..])
}

const OURS: &str = "private, no-cache=\"Set-Cookie\"";

#[test]
fn fault_a11_no_store_stays_whatever_stands_beside_it() {
    for said in [
        &b"no-store, x=\"\xe9\""[..],
        b"x=\"\xe9\", no-store",
        b"No-Store, x=\"unbalanced",
        b"x=\"unbalanced, no-store",
        b"\xffno-store",
        b"no-store, public, \xe9",
    ] {
        let headers = told(&[("cache-control", said)], true);
        let all = String::from_utf8(joined(&headers)).expect("nothing that a cache may read otherwise");
        let shown = said.escape_ascii();
        assert!(all.starts_with(OURS), "{shown}: {all}");
        assert!(
            all.contains("no-store") && !all.contains("public") && !all.contains("unbalanced"),
            "{shown}: {all}"
        );
    }
}

#[test]
fn fault_a21_private_comes_first_and_nothing_swallows_it() {
    for (said, expected) in [
        (&["max-age=60"][..], "max-age=60"),
        (&["max-age=60", "ext=\"a, b\""], "max-age=60, ext=\"a, b\""),
        (&["ext=\"a"], ""),
        (&["max-age=60", "ext=\"a"], "max-age=60"),
        (&["ext=\"a\\\"", "max-age=60"], "max-age=60"),
        (&["public, ext=\"a"], ""),
        (&[""], ""),
        (&[" , ,"], ""),
    ] {
        let said: Vec<_> = said.iter().map(|said| ("cache-control", said.as_bytes())).collect();
        let all = String::from_utf8(joined(&told(&said, true))).unwrap();
        let expected = if expected.is_empty() {
            OURS.to_owned()
        } else {
            format!("{OURS}, {expected}")
        };
        assert_eq!(all, expected, "{said:?}");
    }
    // Looked at only: a header that says nothing is none.
    for said in [&b""[..], b" ", b",", b" , ,"] {
        let headers = told(&[("cache-control", said)], false);
        assert!(joined(&headers).starts_with(b"private"), "{}", said.escape_ascii());
    }
    assert_eq!(joined(&told(&[("cache-control", b"max-age=60")], false)), b"max-age=60");
    assert_eq!(joined(&told(&[("cache-control", b"no-store")], true)), b"no-store");
}

#[test]
fn fault_a21_headers_for_one_kind_of_cache_say_the_same() {
    for (name, value, expected) in [
        ("cdn-cache-control", &b"max-age=60"[..], "private"),
        ("cloudflare-cdn-cache-control", b"max-age=60", "private"),
        ("akamai-cache-control", b"max-age=60", "no-store"),
        ("x-litespeed-cache-control", b"public, max-age=60", "no-store"),
        ("surrogate-control", b"max-age=60", "no-store"),
        ("edge-control", b"cache-maxage=60m", "no-store"),
        ("x-accel-expires", b"60", "0"),
        ("x-accel-expires", b"0", "0"),
        ("cdn-cache-control", b"no-store", "no-store"),
        ("akamai-cache-control", b"Private", "Private"),
        ("cdn-cache-control", b"max-age=60, x=\"private", "private"),
        ("cdn-cache-control", b"public, private", "private"),
        ("cdn-cache-control", b"private, \xe9", "private"),
        ("x-cache", b"max-age=60", "max-age=60"),
    ] {
        let headers = told(&[(name, value)], true);
        assert_eq!(headers[name], expected, "{name}: {}", value.escape_ascii());
        assert_eq!(
            told(&[(name, value)], false)[name].as_bytes(),
            value,
            "without a cookie it is the handler's"
        );
    }
}

/// A cookie under a key of its own.
fn foreign() -> String {
    let mut jar = Jar::new();
    jar.visit(&SessionLayer::encrypted(key()), |session| {
        log_in(session);
        ok()
    });
    jar.header("/")
}

#[test]
fn fault_a12_a_stranger_writes_one_warning_an_hour_for_a_key() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key()).clock(clock.reader()).build().unwrap();
    let (one, other) = (foreign(), foreign());
    events::listen();
    let warnings = |cookies: &str, times: usize| {
        (0..times).for_each(|_| assert_eq!(look(&layer, cookies).0, None));
        events::heard()
            .into_iter()
            .partition::<Vec<_>, _>(|line| line.starts_with("WARN"))
    };
    let (loud, quiet) = warnings(&one, 50);
    assert_eq!((loud.len(), quiet.len()), (1, 49), "{loud:?}");
    assert!(
        loud[0].contains("signed with an unknown key") && quiet[0].starts_with("DEBUG"),
        "{loud:?}"
    );
    assert_eq!(warnings(&other, 1).0.len(), 1, "another key is another alarm");
    clock.advance(Duration::from_secs(3599));
    assert_eq!(warnings(&one, 1).0.len(), 0);
    clock.advance(Duration::from_secs(1));
    let (loud, _) = warnings(&one, 2);
    assert_eq!(loud.len(), 1);
    assert!(loud[0].contains("50 more"), "it says how often it was silent: {loud:?}");
    clock.set(clock.now() - Duration::from_secs(86_400));
    assert_eq!(warnings(&one, 1).0.len(), 1, "a clock that was set back");
}

#[test]
fn fault_a12_nor_do_many_keys_nor_other_warnings() {
    let clock = Clock::new();
    let layer = SessionLayer::signed(key()).clock(clock.reader()).build().unwrap();
    events::listen();
    for id in 0..500_u32 {
        let mut frame = vec![1];
        frame.extend_from_slice(&id.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 100]);
        frame.resize(100, 7);
        let value = base64_simd::URL_SAFE_NO_PAD.encode_to_string(&frame);
        look(&layer, &format!("__Host-session={value}"));
    }
    let loud = events::warnings();
    assert!(loud.len() <= 20, "{}", loud.len());

    let layer = SessionLayer::signed(key())
        .secure(false)
        .clock(clock.reader())
        .build()
        .unwrap();
    let two = [1, 2].map(|user| {
        layer
            .cookie_header(&std::collections::BTreeMap::from([("user", user)]))
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    });
    events::listen();
    for _ in 0..20 {
        send(&layer, &two.join("; "), |session| {
            assert!(session.is_empty().unwrap());
            ok()
        });
    }
    assert_eq!(
        events::warnings().len(),
        1,
        "anybody can send two sessions of their own"
    );
}
