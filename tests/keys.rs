//! Keys and their rotation, seen from the wire: which key signs, which are accepted, and that nobody is logged out on the
//! way from one to the next.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[cfg(feature = "tracing")]
#[path = "support/events.rs"]
mod events;
mod support;

use std::{
    env,
    ffi::OsString,
    process::Command,
    time::{Duration, SystemTime},
};

use http_session::{Error, Key, KeyRing, Reject, SessionLayer};
use support::*;

const HOUR: Duration = Duration::from_secs(3600);

fn key() -> Key {
    Key::generate().unwrap()
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(START)
}

/// Servers with this ring, one for each format.
fn servers(ring: impl Into<KeyRing>, clock: &Clock) -> [SessionLayer; 2] {
    let ring = ring.into();
    [SessionLayer::signed(ring.clone()), SessionLayer::encrypted(ring)]
        .map(|layer| layer.clock(clock.reader()).build().unwrap())
}

/// A user's next click: the visit's number, as the session has it.
fn click(jar: &mut Jar, server: &SessionLayer) -> Result<u64, Reject> {
    let mut result = Ok(0);
    jar.visit(server, |session| {
        result = match session.rejected() {
            Some(reason) => Err(reason),
            None => Ok(session.get::<u64>("visits").unwrap().unwrap_or(0) + 1),
        };
        session.insert("visits", result.unwrap_or(1)).unwrap();
        ok()
    });
    result
}

/// A user's first click.
#[track_caller]
fn begin(server: &SessionLayer) -> Jar {
    let mut jar = Jar::new();
    assert_eq!(click(&mut jar, server), Ok(1));
    jar
}

/// Why a server that knows this ring only would not take what the browser has.
fn rejected(jar: &Jar, ring: &Key, clock: &Clock, format: usize) -> Option<Reject> {
    let mut rejected = None;
    send(&servers(ring.clone(), clock)[format], &jar.header("/"), |session| {
        rejected = session.rejected();
        ok()
    });
    rejected
}

#[test]
fn row_13_the_first_key_signs_and_an_old_cookie_is_reissued_with_it() {
    let clock = Clock::new();
    let (old, new) = (key(), key());
    for format in 0..2 {
        let before = &servers(old.clone(), &clock)[format];
        let after = &servers(KeyRing::new(new.clone()).accept(old.clone()), &clock)[format];
        // A new session needs the new key alone.
        let jar = begin(after);
        assert_eq!(rejected(&jar, &new, &clock, format), None);
        assert_eq!(rejected(&jar, &old, &clock, format), Some(Reject::UnknownKey));
        // An old one is read, and a mere read leaves it alone.
        let mut jar = begin(before);
        let response = jar.visit(after, |session| {
            assert_eq!(session.get::<u64>("visits").unwrap(), Some(1));
            ok()
        });
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        assert_eq!(rejected(&jar, &new, &clock, format), Some(Reject::UnknownKey));
        // The next write is with the new key.
        assert_eq!(click(&mut jar, after), Ok(2));
        assert_eq!(rejected(&jar, &new, &clock, format), None);
        assert_eq!(rejected(&jar, &old, &clock, format), Some(Reject::UnknownKey));
    }
}

#[test]
fn row_13_a_refresh_is_signed_with_the_new_key_too() {
    let clock = Clock::new();
    let (old, new) = (key(), key());
    let layer = |ring: KeyRing| SessionLayer::encrypted(ring).rolling(true).clock(clock.reader());
    let mut jar = begin(&layer(old.clone().into()));
    clock.advance(Duration::from_secs(43_200));
    let response = jar.visit(&layer(KeyRing::new(new.clone()).accept(old)), |session| {
        assert_eq!(session.get::<u64>("visits").unwrap(), Some(1));
        ok()
    });
    assert_eq!(set_cookies(response.headers()).len(), 1);
    assert_eq!(rejected(&jar, &new, &clock, 1), None);
}

/// All ways in which six clicks can fall on two servers.
fn every_order(mut each: impl FnMut(&[usize])) {
    for way in 0..1 << 6 {
        let order: Vec<usize> = (0..6).map(|click| way >> click & 1).collect();
        each(&order);
    }
}

#[test]
fn a_half_deployed_pair_of_servers_in_each_order() {
    let clock = Clock::new();
    let (old, new) = (key(), key());
    let only_old = || KeyRing::new(old.clone());
    let both_old_signs = || KeyRing::new(old.clone()).accept(new.clone());
    let both_new_signs = || KeyRing::new(new.clone()).accept(old.clone());
    let only_new = || KeyRing::new(new.clone());
    let scheduled = || KeyRing::new(old.clone()).sign_from(new.clone(), start() + HOUR);
    // Half of the fleet has taken each step, and the other half has not.
    let deploys = [
        [only_old(), both_old_signs()],
        [both_old_signs(), both_new_signs()],
        [both_new_signs(), only_new()],
        [only_old(), scheduled()],
        [both_old_signs(), scheduled()],
        [scheduled(), both_new_signs()],
    ];
    for (number, [first, second]) in deploys.iter().enumerate() {
        for format in 0..2 {
            let pair = [first, second].map(|ring| servers(ring.clone(), &clock)[format].clone());
            every_order(|order| {
                let mut jar = Jar::new();
                for (at, &server) in order.iter().enumerate() {
                    let click = click(&mut jar, &pair[server]);
                    assert_eq!(click, Ok(at as u64 + 1), "deploy {number}, {order:?}");
                }
            });
        }
    }
}

#[test]
fn both_steps_at_once_would_log_users_out_and_the_reason_says_why() {
    let clock = Clock::new();
    let (old, new) = (key(), key());
    for format in 0..2 {
        let behind = &servers(old.clone(), &clock)[format];
        let ahead = &servers(KeyRing::new(new.clone()).accept(old.clone()), &clock)[format];
        let mut jar = begin(behind);
        assert_eq!(click(&mut jar, ahead), Ok(2));
        assert_eq!(click(&mut jar, behind), Err(Reject::UnknownKey));
        // Emptied, not stuck: what the rejected cookie was replaced by is good.
        assert_eq!(click(&mut jar, behind), Ok(2));
    }
}

#[test]
fn sign_from_does_both_steps_in_one_deploy() {
    let clock = Clock::new();
    let (old, new) = (key(), key());
    let at = start() + HOUR;
    for format in 0..2 {
        clock.set(start());
        let server = &servers(KeyRing::new(old.clone()).sign_from(new.clone(), at), &clock)[format];
        let signer = |jar: &Jar| -> &str {
            match [&old, &new].map(|key| rejected(jar, key, &clock, format)) {
                [None, Some(Reject::UnknownKey)] => "old",
                [Some(Reject::UnknownKey), None] => "new",
                other => panic!("{other:?}"),
            }
        };
        let mut jar = begin(server);
        assert_eq!(signer(&jar), "old");
        // The new key is accepted before its time: another server's clock may be ahead.
        let mut early = begin(&servers(new.clone(), &clock)[format]);
        assert_eq!(click(&mut early, server), Ok(2));
        assert_eq!(signer(&early), "old");

        clock.set(at - Duration::from_millis(1));
        assert_eq!(click(&mut jar, server), Ok(2));
        assert_eq!(signer(&jar), "old");
        clock.set(at);
        assert_eq!(click(&mut jar, server), Ok(3));
        assert_eq!(signer(&jar), "new");
        // What the old key signed is still accepted afterwards.
        let mut late = begin(&servers(old.clone(), &clock)[format]);
        assert_eq!(click(&mut late, server), Ok(2));
        assert_eq!(signer(&late), "new");
    }
}

#[test]
fn of_several_scheduled_keys_the_latest_that_has_begun_signs() {
    let clock = Clock::new();
    let keys: [Key; 4] = std::array::from_fn(|_| key());
    // Named in another order than they begin.
    let ring = KeyRing::new(keys[0].clone())
        .sign_from(keys[2].clone(), start() + 2 * HOUR)
        .sign_from(keys[1].clone(), start() + HOUR)
        .accept(key())
        .sign_from(keys[3].clone(), start() + 3 * HOUR);
    for format in 0..2 {
        let server = &servers(ring.clone(), &clock)[format];
        for (hours, expected) in (0..).zip(&keys) {
            clock.set(start() + HOUR * hours);
            let jar = begin(server);
            for key in &keys {
                let signed = rejected(&jar, key, &clock, format).is_none();
                assert_eq!(signed, std::ptr::eq(key, expected), "after {hours} hours");
            }
        }
    }
    // One whose time is long past signs at once.
    clock.set(start());
    let past = KeyRing::new(keys[0].clone()).sign_from(keys[1].clone(), SystemTime::UNIX_EPOCH);
    let jar = begin(&servers(past, &clock)[0]);
    assert_eq!(rejected(&jar, &keys[1], &clock, 0), None);
}

#[test]
fn a_key_that_was_dropped_opens_nothing() {
    let clock = Clock::new();
    let (leaked, new) = (key(), key());
    for format in 0..2 {
        let mut jar = begin(&servers(leaked.clone(), &clock)[format]);
        let server = &servers(new.clone(), &clock)[format];
        let response = jar.visit(server, |session| {
            assert!(session.is_empty().unwrap() && session.is_new().unwrap());
            assert_eq!(session.rejected(), Some(Reject::UnknownKey));
            ok()
        });
        // It may be good on another server of a half-deployed fleet, so nobody removes it unasked.
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        assert_eq!(click(&mut jar, server), Err(Reject::UnknownKey));
        assert_eq!(click(&mut jar, server), Ok(2));
    }
}

#[cfg(feature = "tracing")]
#[test]
fn an_unknown_key_is_a_warning_and_a_bad_signature_is_not() {
    events::listen();
    let clock = Clock::new();
    let (ours, other) = (key(), key());
    for format in 0..2 {
        let jar = begin(&servers(ours.clone(), &clock)[format]);
        events::heard();
        assert_eq!(rejected(&jar, &other, &clock, format), Some(Reject::UnknownKey));
        let warnings = events::warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("signed with an unknown key"), "{warnings:?}");
        assert!(!warnings[0].contains(&jar.0[0].value[..12]), "{warnings:?}");
        assert_eq!(rejected(&jar, &ours, &clock, 1 - format), Some(Reject::BadSignature));
        assert_eq!(events::warnings(), [""; 0]);
    }
}

#[test]
fn the_same_key_twice_is_refused_when_the_layer_is_built() {
    let (a, b) = (key(), key());
    let rings = [
        KeyRing::new(a.clone()).accept(a.clone()),
        KeyRing::new(a.clone()).accept(b.clone()).accept(b.clone()),
        KeyRing::new(a.clone()).sign_from(a.clone(), start()),
        KeyRing::new(a).accept(b.clone()).sign_from(b, start()),
    ];
    for ring in rings {
        for layer in [
            SessionLayer::signed(ring.clone()),
            SessionLayer::encrypted(ring.clone()),
        ] {
            let error = layer.build().unwrap_err();
            assert!(matches!(error, Error::Key { .. }), "{error:?}");
            assert!(error.to_string().contains("twice"), "{error}");
        }
    }
}

/// Runs in a process of its own, since a test may not change the environment that others read.
#[test]
fn keys_from_the_environment() {
    const CHILD: &str = "HTTP_SESSION_TEST_OF_ENVIRONMENT";
    let texts: Vec<String> = (0..3).map(|_| random_hex()).collect();
    let [a, b, c] = [0, 1, 2].map(|at| texts[at].as_str());
    if env::var_os(CHILD).is_some() {
        return in_the_child();
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child
        .args(["--exact", "keys_from_the_environment", "--nocapture"])
        .env(CHILD, "1");
    for (name, text) in [
        ("ONE", a.to_owned()),
        ("SPACED", format!(" {a}\n")),
        ("A", a.to_owned()),
        ("B", b.to_owned()),
        ("C", c.to_owned()),
        ("LIST", format!("{a},hex:{b} ,\n {c}\n")),
        ("SHORT", a[..62].to_owned()),
        ("PASSWORD", "correct-horse".to_owned()),
        ("TRAILING", format!("{a},{b},")),
        ("SHORT_SECOND", format!("{a},{}", &b[..62])),
        ("TWICE", format!("{a},{a}")),
        ("EMPTY", String::new()),
        ("BLANK", " \n".to_owned()),
        ("CONSTANT", "ab".repeat(32)),
    ] {
        child.env(format!("TEST_KEY_{name}"), text);
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        child.env("TEST_KEY_NOT_UTF8", OsString::from_vec(b"secret\xff".to_vec()));
    }
    #[cfg(not(unix))]
    child.env("TEST_KEY_NOT_UTF8", OsString::new());
    let output = child.env_remove("TEST_KEY_NOT_SET").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn in_the_child() {
    let clock = Clock::new();
    let key = |name: &str| Key::from_env(&format!("TEST_KEY_{name}"));
    let ring = |name: &str| KeyRing::from_env(&format!("TEST_KEY_{name}"));
    let text = |name: &str| env::var(format!("TEST_KEY_{name}")).unwrap();
    let keys = ["A", "B", "C"].map(|name| text(name).parse::<Key>().unwrap());

    for good in [
        key("ONE").unwrap().into(),
        ring("ONE").unwrap(),
        ring("SPACED").unwrap(),
        key("SPACED").unwrap().into(),
    ] {
        let jar = begin(&servers(good, &clock)[0]);
        assert_eq!(rejected(&jar, &keys[0], &clock, 0), None);
    }
    // The first signs, all are accepted.
    let server = &servers(ring("LIST").unwrap(), &clock)[1];
    for key in &keys {
        let mut jar = begin(&servers(key.clone(), &clock)[1]);
        assert_eq!(click(&mut jar, server), Ok(2));
        assert_eq!(rejected(&jar, &keys[0], &clock, 1), None);
    }
    assert!(SessionLayer::encrypted(ring("TWICE").unwrap()).build().is_err());

    let how_to = "make one with `openssl rand -hex 32`";
    for (name, of_ring, reason) in [
        (
            "NOT_SET",
            false,
            "the environment variable TEST_KEY_NOT_SET is not set; ",
        ),
        ("EMPTY", false, "the environment variable TEST_KEY_EMPTY is empty; "),
        ("BLANK", false, "the environment variable TEST_KEY_BLANK is empty; "),
        ("SHORT", false, "in the environment variable TEST_KEY_SHORT, "),
        (
            "PASSWORD",
            false,
            "in the environment variable TEST_KEY_PASSWORD, it is not hexadecimal of 64 digits and not ",
        ),
        (
            "CONSTANT",
            false,
            "in the environment variable TEST_KEY_CONSTANT, it is a pattern and not random, ",
        ),
        #[cfg(unix)]
        (
            "NOT_UTF8",
            false,
            "the environment variable TEST_KEY_NOT_UTF8 is not UTF-8; ",
        ),
        (
            "TRAILING",
            true,
            "in the environment variable TEST_KEY_TRAILING, key 3 of 3: it has 0 bytes and at least 32 are needed; ",
        ),
        (
            "SHORT_SECOND",
            true,
            "in the environment variable TEST_KEY_SHORT_SECOND, key 2 of 2: ",
        ),
    ] {
        let mut errors = vec![ring(name).unwrap_err()];
        // A list is no key.
        errors.extend(key(name).err().filter(|_| !of_ring));
        assert_eq!(errors.len(), 1 + usize::from(!of_ring));
        for error in errors {
            assert!(matches!(error, Error::Key { .. }), "{error:?}");
            let message = error.to_string();
            let expected = format!("the session key cannot be used: {reason}");
            assert!(message.starts_with(&expected), "{message:?} and not {expected:?}");
            assert!(message.ends_with(how_to), "{message}");
            assert!(!message.contains("secret") && !message.contains("horse"), "{message}");
            if let Ok(text) = env::var(format!("TEST_KEY_{name}")) {
                assert!(text.trim().is_empty() || !message.contains(text.trim()), "{message}");
            }
        }
    }
    assert!(key("LIST").is_err() && key("TRAILING").is_err());
}

fn random_hex() -> String {
    let bytes: [u8; 32] = ring::rand::generate(&ring::rand::SystemRandom::new()).unwrap().expose();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
