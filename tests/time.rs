//! Time: every limit is the server's own, from times that the client cannot change, and holds to the millisecond.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/plain.rs"]
mod plain;
mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use http_session::{
    Error, Key, Reject, Session, SessionLayer,
    codec::{Format, Payload},
};
use plain::{ID, Plain, cookie, millis, planted, sent};
use proptest::prelude::*;
use support::*;

const MS: Duration = Duration::from_millis(1);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn plain() -> (SessionLayer, Clock) {
    let clock = Clock::new();
    (SessionLayer::with_codec(Plain::new()).clock(clock.reader()), clock)
}

/// Layers of the formats of this crate.
fn natives(clock: &Clock) -> [SessionLayer; 2] {
    let key = || Key::generate().unwrap();
    [
        SessionLayer::signed(key()).clock(clock.reader()),
        SessionLayer::encrypted(key()).clock(clock.reader()),
    ]
}

/// What a cookie is taken for now: `None` is a good one.
fn verdict<R>(layer: &SessionLayer<R>, cookie: &str) -> Option<Reject>
where
    R: http_session::ErrorResponse<String> + Clone,
{
    let mut verdict = None;
    let response = send(layer, cookie, |session| {
        verdict = session.rejected();
        assert_eq!(session.is_new().unwrap(), verdict.is_some());
        assert_eq!(session.is_empty().unwrap(), verdict.is_some());
        ok()
    });
    if verdict.is_some() {
        assert!(set_cookies(response.headers()).is_empty(), "answered by reading alone");
    }
    verdict
}

/// Writes something new into the session, and returns the `Cookie` header that a browser then has.
fn write(layer: &SessionLayer, cookie: &str, also: impl FnOnce(&Session)) -> String {
    let response = send(layer, cookie, |session| {
        poll_now(session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1)).unwrap();
        also(session);
        ok()
    });
    let line = &set_cookies(response.headers())[0];
    line.split(';').next().unwrap().to_owned()
}

type Use = fn(&Session);

/// Uses the session, and changes nothing.
fn read(session: &Session) {
    session.len().unwrap();
}

/// `Max-Age` in the one line that is sent.
fn max_age(headers: &HeaderMap) -> Option<u64> {
    let lines = set_cookies(headers);
    let [line] = &lines[..] else {
        panic!("one line: {lines:?}");
    };
    let value = line.split("; ").find_map(|part| part.strip_prefix("Max-Age="))?;
    Some(value.parse().unwrap())
}

// --- The age of a cookie.

#[test]
fn row_23_max_age_ends_with_its_last_millisecond_whatever_the_browser_keeps() {
    let clock = Clock::new();
    for layer in natives(&clock) {
        let layer = layer.max_age(secs(100));
        let cookie = write(&layer, "", |_| ());
        let written = clock.now();
        for (after, wanted) in [
            (Duration::ZERO, None),
            (secs(99), None),
            (secs(100) - MS, None),
            (secs(100), None),
            (secs(100) + MS, Some(Reject::Expired)),
            (secs(101), Some(Reject::Expired)),
            (secs(86_400 * 365), Some(Reject::Expired)),
        ] {
            clock.set(written + after);
            assert_eq!(verdict(&layer, &cookie), wanted, "{after:?}");
        }
        // Counted from the last write.
        clock.set(written + secs(100));
        let newer = write(&layer, &cookie, |_| ());
        clock.set(written + secs(200));
        assert_eq!(verdict(&layer, &newer), None);
        assert_eq!(verdict(&layer, &cookie), Some(Reject::Expired));
        clock.set(written + secs(200) + MS);
        assert_eq!(verdict(&layer, &newer), Some(Reject::Expired));
    }
}

#[test]
fn row_39_another_max_age_applies_to_the_cookies_that_are_out() {
    let clock = Clock::new();
    for layer in natives(&clock) {
        let (day, hour) = (layer.clone().max_age(secs(86_400)), layer.max_age(secs(3_600)));
        let written = clock.now();
        let cookie = write(&day, "", |_| ());
        clock.set(written + secs(3_600));
        assert_eq!(verdict(&hour, &cookie), None);
        clock.set(written + secs(3_600) + MS);
        assert_eq!(verdict(&hour, &cookie), Some(Reject::Expired));
        assert_eq!(verdict(&day, &cookie), None);
        assert_eq!(verdict(&hour.clone().max_age(None), &cookie), None);
        // Also where an absolute lifetime is new, or lower.
        let limited = day.clone().absolute_lifetime(secs(3_600));
        assert_eq!(verdict(&limited, &cookie), Some(Reject::Expired));
        assert_eq!(verdict(&limited.absolute_lifetime(secs(3_601)), &cookie), None);
    }
}

#[test]
fn the_line_tells_the_browser_whole_seconds() {
    let (layer, _) = plain();
    for (age, told) in [
        (secs(1), 1),
        (secs(1_209_600), 1_209_600),
        (Duration::from_millis(1_999), 1),
        (Duration::MAX, u64::MAX / 1000),
    ] {
        let response = send(&layer.clone().max_age(age).anonymous_max_age(None), "", |session| {
            session.insert("a", 1).unwrap();
            ok()
        });
        assert_eq!(max_age(response.headers()), Some(told));
    }
    let response = send(&layer, "", |session| {
        session.insert("a", 1).unwrap();
        ok()
    });
    assert_eq!(max_age(response.headers()), Some(86_400), "by default, for visitors");
    let response = send(&layer, "", |session| {
        session.insert("a", 1).unwrap();
        session.authenticated().unwrap();
        ok()
    });
    assert_eq!(max_age(response.headers()), Some(14 * 86_400), "by default, for users");
}

#[test]
fn without_max_age_a_session_is_good_for_ever() {
    let clock = Clock::new();
    for layer in natives(&clock) {
        let layer = layer.max_age(None).anonymous_max_age(None);
        let response = send(&layer, "", |session| {
            session.insert("a", 1).unwrap();
            ok()
        });
        assert_eq!(max_age(response.headers()), None);
        let line = &set_cookies(response.headers())[0];
        assert!(!line.to_ascii_lowercase().contains("expires"), "{line}");
        let cookie = line.split(';').next().unwrap();
        let began = clock.now();
        clock.advance(secs(1_000 * 365 * 86_400));
        send(&layer, cookie, |session| {
            assert_eq!(session.get::<u8>("a").unwrap(), Some(1));
            assert_eq!(session.expires_at().unwrap(), None);
            ok()
        });
        // With nothing but the absolute lifetime, that is what the browser is told.
        let layer = layer.absolute_lifetime(secs(500));
        clock.set(began);
        let response = send(&layer, "", |session| {
            session.insert("a", 1).unwrap();
            ok()
        });
        assert_eq!(max_age(response.headers()), Some(500));
    }
}

#[test]
fn a_browser_session_has_no_max_age_and_the_server_ends_it_all_the_same() {
    let clock = Clock::new();
    for layer in natives(&clock) {
        let layer = layer
            .max_age(secs(50))
            .absolute_lifetime(secs(150))
            .browser_session(true);
        let response = send(&layer, "", |session| {
            session.insert("a", 1).unwrap();
            ok()
        });
        let line = &set_cookies(response.headers())[0];
        assert!(!line.contains("Max-Age") && !line.contains("Expires"), "{line}");
        let cookie = line.split(';').next().unwrap();
        clock.advance(secs(50));
        assert_eq!(verdict(&layer, cookie), None);
        clock.advance(MS);
        assert_eq!(verdict(&layer, cookie), Some(Reject::Expired));
    }
}

#[test]
fn row_23_a_minute_of_another_clock_running_ahead_is_forgiven_and_no_more() {
    let clock = Clock::new();
    let wanted = [
        (secs(59), None),
        (secs(60), None),
        (secs(60) + MS, Some(Reject::NotYetValid)),
        (secs(61), Some(Reject::NotYetValid)),
        (secs(86_400), Some(Reject::NotYetValid)),
    ];
    let here = clock.now();
    for layer in natives(&clock) {
        for (ahead, wanted) in wanted {
            clock.set(here + ahead);
            let cookie = write(&layer, "", |_| ());
            clock.set(here);
            assert_eq!(verdict(&layer, &cookie), wanted, "{ahead:?}");
            // It is replaced by a write, since nobody could write otherwise.
            let next = write(&layer, &cookie, |_| ());
            assert_eq!(verdict(&layer, &next), None);
        }
    }
    // Each of the three times counts.
    let (layer, clock) = plain();
    let here = clock.now();
    for (ahead, wanted) in wanted {
        let there = here + ahead;
        for payload in [
            Payload::new(r#"{"a":1}"#).with_created(there).with_issued(here),
            Payload::new(r#"{"a":1}"#).with_created(here).with_issued(there),
            Payload::new(r#"{"a":1}"#)
                .with_created(here)
                .with_issued(here)
                .with_authenticated(there),
        ] {
            assert_eq!(verdict(&layer, &cookie(&payload)), wanted, "{ahead:?}");
        }
    }
}

#[test]
fn of_two_writes_the_later_is_the_newer_even_if_the_clock_was_set_back() {
    let (layer, clock) = plain();
    let steps = [0, 0, 0, -30_000_i64, 0, 10, -20_000, 60_000, 1, 0];
    let mut header = String::new();
    let mut last = None;
    for step in steps {
        clock.set(SystemTime::UNIX_EPOCH + Duration::from_millis(millis(clock.now()).saturating_add_signed(step)));
        let response = send(&layer, &header, |session| {
            poll_now(session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1)).unwrap();
            ok()
        });
        let payload = sent(response.headers()).unwrap();
        assert!(payload.issued() > last, "{:?} > {last:?}", payload.issued());
        last = payload.issued();
        header = cookie(&payload);
    }
    assert_eq!(last, Some(clock.now().max(last.unwrap())));
    // So that both cookies at once, in any order, are the newer one: with and without a prefix.
    let clock = Clock::new();
    for layer in natives(&clock)
        .into_iter()
        .flat_map(|layer| [layer.clone(), layer.path("/app")])
    {
        let first = write(&layer, "", |_| ());
        clock.set(clock.now() - secs(20));
        let second = write(&layer, &first, |_| ());
        let third = write(&layer, &second, |_| ());
        for header in [
            format!("{first}; {second}; {third}"),
            format!("{third}; {second}; {first}"),
            format!("{second}; {third}; {first}"),
        ] {
            send(&layer, &header, |session| {
                assert_eq!(session.get::<u64>("n").unwrap(), Some(3));
                ok()
            });
        }
    }
}

// --- A session's own age.

#[test]
fn a_session_may_have_an_age_of_its_own_within_the_limit() {
    let clock = Clock::new();
    let began = clock.now();
    for layer in natives(&clock) {
        let layer = layer.max_age(secs(100)).max_age_limit(secs(1_000));
        for (asked, got) in [
            (secs(1), 1),
            (secs(50), 50),
            (secs(999), 999),
            (secs(1_000), 1_000),
            (Duration::from_millis(1_000_999), 1_000),
            (Duration::ZERO, 1),
            (MS, 1),
            (Duration::from_millis(2_999), 2),
        ] {
            clock.set(began);
            let response = send(&layer, "", |session| {
                session.insert("n", 1).unwrap();
                session.set_max_age(asked).unwrap();
                ok()
            });
            assert_eq!(max_age(response.headers()), Some(got), "{asked:?}");
            let line = &set_cookies(response.headers())[0];
            let cookie = line.split(';').next().unwrap();
            clock.set(began + secs(got));
            assert_eq!(verdict(&layer, cookie), None, "{asked:?}");
            // It stays with the session.
            let next = write(&layer, cookie, |_| ());
            clock.set(began + secs(got) + MS);
            assert_eq!(verdict(&layer, cookie), Some(Reject::Expired), "{asked:?}");
            clock.set(began + secs(2 * got));
            assert_eq!(verdict(&layer, &next), None, "{asked:?}");
            clock.set(began + secs(2 * got) + MS);
            assert_eq!(verdict(&layer, &next), Some(Reject::Expired), "{asked:?}");
        }
        // More is no shorter lifetime than was asked for, but an error.
        for asked in [secs(1_001), Duration::MAX] {
            let response = send(&layer, "", |session| {
                session.insert("n", 1).unwrap();
                let error = session.set_max_age(asked).unwrap_err().to_string();
                assert!(error.contains("`max_age_limit`") && error.contains("1000s"), "{error}");
                ok()
            });
            assert_eq!(max_age(response.headers()), Some(100));
        }
        clock.set(began);
        let cookie = write(&layer, "", |session| session.set_max_age(secs(800)).unwrap());
        // The limit is looked at when the cookie is read, too; by default it is the layer's age.
        for (limit, lower) in [
            (secs(300), layer.clone().max_age_limit(secs(300))),
            (secs(90), natives_like(&layer, secs(90))),
        ] {
            clock.set(began + limit);
            assert_eq!(verdict(&lower, &cookie), None);
            clock.set(began + limit + MS);
            assert_eq!(verdict(&lower, &cookie), Some(Reject::Expired));
        }
        clock.set(began);
    }
}

/// The same layer whose limit is its age.
fn natives_like(layer: &SessionLayer, age: Duration) -> SessionLayer {
    layer.clone().max_age(age).max_age_limit(age)
}

#[test]
fn by_default_the_limit_is_the_layers_age() {
    let (layer, _) = plain();
    for (layer, limit) in [
        (layer.clone().max_age(secs(100)), Some(100)),
        (layer.clone(), Some(14 * 86_400)),
        (layer.max_age(None), None),
    ] {
        let response = send(&layer, "", |session| {
            session.insert("n", 1).unwrap();
            let longest = limit.map_or(Duration::MAX, secs);
            session.set_max_age(longest).unwrap();
            if limit.is_some() {
                session.set_max_age(longest + secs(1)).unwrap_err();
            }
            ok()
        });
        // A second more stands for the layer's.
        let told = limit.unwrap_or((u32::MAX - 1).into());
        assert_eq!(max_age(response.headers()), Some(told));
        assert_eq!(sent(response.headers()).unwrap().max_age(), Some(secs(told)));
    }
}

#[test]
fn the_same_age_once_more_is_no_change_and_another_is_one() {
    let (layer, clock) = plain();
    let payload = Payload::new(r#"{"a":1}"#)
        .with_id(ID)
        .with_created(clock.now())
        .with_issued(clock.now())
        .with_max_age(secs(60));
    let set = |age: Duration| {
        let response = send(&layer, &cookie(&payload), |session| {
            session.set_max_age(age).unwrap();
            assert_eq!(session.is_modified(), age.as_secs() != 60);
            ok()
        });
        sent(response.headers()).and_then(|payload| payload.max_age())
    };
    assert_eq!(set(secs(60)), None);
    assert_eq!(set(Duration::from_millis(60_999)), None);
    assert_eq!(set(secs(61)), Some(secs(61)));
}

#[test]
fn an_age_that_the_format_cannot_carry_is_refused() {
    let clock = Clock::new();
    let format = Format::new().carries_issued();
    let layer = SessionLayer::with_codec(Plain::carrying(format)).clock(clock.reader());
    let response = send(&layer, "", |session| {
        session.insert("a", 1).unwrap();
        assert!(matches!(session.set_max_age(secs(1)), Err(Error::Config { .. })));
        ok()
    });
    assert_eq!(sent(response.headers()).unwrap().max_age(), None);
    let codec = |format: Format| SessionLayer::with_codec(Plain::carrying(format));
    for (layer, word) in [
        (codec(format).max_age_limit(secs(86_400 * 30)), "max_age_limit"),
        (codec(format).absolute_lifetime(secs(1)), "absolute_lifetime"),
        (codec(Format::new()), "max_age(None)"),
    ] {
        let error = layer.build().unwrap_err();
        assert!(
            matches!(error, Error::Config { .. }) && error.to_string().contains(word),
            "{error}"
        );
    }
    assert!(codec(Format::new()).max_age(None).build().is_ok());
}

// --- Use.

/// Visits once a second, and returns in which seconds a cookie was sent.
fn visits(layer: &SessionLayer, clock: &Clock, seconds: u64, handler: fn(&Session)) -> Vec<u64> {
    let mut jar = Jar::new();
    jar.visit(layer, |session| {
        session.insert("n", 0).unwrap();
        ok()
    });
    (1..=seconds)
        .filter(|_| {
            clock.advance(secs(1));
            let response = jar.visit(layer, |session| {
                handler(session);
                ok()
            });
            !set_cookies(response.headers()).is_empty()
        })
        .collect()
}

#[test]
fn rule_6_use_prolongs_a_rolling_session_and_few_responses_carry_a_cookie() {
    let clock = Clock::new();
    let reads: fn(&Session) = |session| assert_eq!(session.get::<u64>("n").unwrap(), Some(0));
    for layer in natives(&clock) {
        let layer = layer.max_age(secs(100)).rolling(true);
        let every = |n: usize| (n as u64..=100).step_by(n).collect::<Vec<_>>();
        // By default a tenth of the age.
        assert_eq!(visits(&layer, &clock, 100, reads), every(10));
        for interval in [1, 7, 30, 99] {
            let layer = layer.clone().refresh_interval(secs(interval as u64));
            assert_eq!(visits(&layer, &clock, 100, reads), every(interval));
        }
        let always = layer.clone().refresh_interval(Duration::ZERO);
        assert_eq!(visits(&always, &clock, 100, reads), every(1));
        assert_eq!(visits(&layer.clone().rolling(false), &clock, 100, reads), [0; 0]);
        // Any access is a use; an untouched request is none.
        assert_eq!(visits(&layer, &clock, 100, read), every(10));
        assert_eq!(
            visits(&layer, &clock, 100, |session| session.remove("x").unwrap()),
            every(10)
        );
        assert_eq!(visits(&layer, &clock, 100, |_| ()), [0; 0]);
        assert_eq!(
            visits(&layer, &clock, 100, |session| assert!(!session.is_modified())),
            [0; 0]
        );
        // Twice in one millisecond is once.
        let cookie = write(&always, "", |_| ());
        assert_eq!(verdict(&always, &cookie), None);
    }
}

#[test]
fn rule_6_a_rolling_session_lives_as_long_as_it_is_used_and_no_longer() {
    let clock = Clock::new();
    for layer in natives(&clock) {
        let layer = layer.max_age(secs(100)).rolling(true);
        let mut jar = Jar::new();
        let began = clock.now();
        jar.visit(&layer, |session| {
            session.insert("n", 0).unwrap();
            ok()
        });
        for _ in 0..50 {
            clock.advance(secs(90));
            jar.visit(&layer, |session| {
                assert_eq!(session.get::<u64>("n").unwrap(), Some(0));
                assert_eq!(session.created_at().unwrap(), Some(began));
                ok()
            });
        }
        // A use within the tenth writes nothing, so it prolongs nothing either.
        clock.advance(secs(10) - MS);
        let response = jar.visit(&layer, |session| {
            session.len().unwrap();
            ok()
        });
        assert!(set_cookies(response.headers()).is_empty());
        clock.advance(secs(90) + MS);
        assert_eq!(verdict(&layer, &jar.header("/")), None);
        // Untouched requests prolong nothing.
        let cookie = jar.header("/");
        for _ in 0..100 {
            let response = send(&layer, &cookie, |_| ok());
            assert!(response.headers().is_empty());
        }
        clock.advance(MS);
        assert_eq!(verdict(&layer, &cookie), Some(Reject::Expired));
    }
}

#[test]
fn a_refresh_keeps_everything_but_the_time_of_issue() {
    let (layer, clock) = plain();
    let layer = layer.max_age(secs(1_000)).rolling(true);
    let payload = Payload::new(r#" {"a" : 1.0} "#)
        .with_id(ID)
        .with_created(clock.now())
        .with_issued(clock.now())
        .with_authenticated(clock.now())
        .with_max_age(secs(100));
    let began = clock.now();
    // A tenth of the session's own age.
    clock.advance(secs(10) - MS);
    let response = send(&layer, &cookie(&payload), |session| {
        session.len().unwrap();
        ok()
    });
    assert!(sent(response.headers()).is_none());
    clock.advance(MS);
    let response = send(&layer, &cookie(&payload), |session| {
        session.len().unwrap();
        assert!(!session.is_modified());
        ok()
    });
    let next = sent(response.headers()).unwrap();
    assert_eq!(next.json(), r#" {"a" : 1.0} "#);
    assert_eq!((next.id(), next.created()), (Some(ID), Some(began)));
    assert_eq!((next.authenticated(), next.max_age()), (Some(began), Some(secs(100))));
    assert_eq!(next.issued(), Some(clock.now()));
    assert_eq!(max_age(response.headers()), Some(100));
}

#[test]
fn a_refresh_is_no_write_so_it_neither_fails_nor_revives() {
    let (layer, clock) = plain();
    let layer = layer.max_age(secs(100)).rolling(true);
    let cookie_now = planted(r#"{"a":1}"#, &clock);
    clock.advance(secs(50));
    let failing = Plain::new().fails_if(|| true);
    let failing = SessionLayer::with_codec(failing)
        .max_age(secs(100))
        .rolling(true)
        .clock(clock.reader());
    let response = send(&failing, &cookie_now, |session| {
        assert_eq!(session.get::<u8>("a").unwrap(), Some(1));
        ok()
    });
    assert_eq!(response.status(), 200);
    assert!(set_cookies(response.headers()).is_empty());
    // What was destroyed or never was is not refreshed.
    for (header, handler) in [(&*cookie_now, (|s| s.destroy().unwrap()) as fn(&Session)), ("", read)] {
        let response = send(&layer, header, |session| {
            handler(session);
            ok()
        });
        assert!(sent(response.headers()).is_none());
    }
}

#[test]
fn a_session_saved_and_then_refreshed_sets_one_cookie() {
    let (layer, clock) = plain();
    let layer = layer.max_age(secs(100)).rolling(true);
    let response = send(&layer, "", |session| {
        session.insert("a", 1).unwrap();
        poll_now(session.save()).unwrap();
        // A handler that takes its time.
        clock.advance(secs(20));
        ok()
    });
    let payload = sent(response.headers()).unwrap();
    assert_eq!(payload.issued(), Some(clock.now()));
}

// --- The absolute end.

#[test]
fn row_39_nothing_but_a_proof_of_identity_prolongs_the_absolute_lifetime() {
    let clock = Clock::new();
    for layer in natives(&clock) {
        let layer = layer
            .max_age(secs(100))
            .max_age_limit(secs(10_000))
            .rolling(true)
            .absolute_lifetime(secs(250));
        let prolongs: [(Use, bool); 5] = [
            (read, false),
            (|s| s.insert("n", 7).unwrap(), false),
            (|s| s.renew().unwrap(), false),
            (|s| s.set_max_age(secs(10_000)).unwrap(), false),
            (|s| s.authenticated().unwrap(), true),
        ];
        for (deed, anew) in prolongs {
            let began = clock.now();
            let mut jar = Jar::new();
            jar.visit(&layer, |session| {
                session.insert("n", 0).unwrap();
                ok()
            });
            for _ in 0..2 {
                clock.advance(secs(90));
                jar.visit(&layer, |session| {
                    session.len().unwrap();
                    ok()
                });
            }
            clock.set(began + secs(200));
            jar.visit(&layer, |session| {
                assert_eq!(session.created_at().unwrap(), Some(began));
                deed(session);
                ok()
            });
            clock.set(began + secs(250));
            assert_eq!(verdict(&layer, &jar.header("/")), None);
            clock.set(began + secs(250) + MS);
            let wanted = (!anew).then_some(Reject::Expired);
            assert_eq!(verdict(&layer, &jar.header("/")), wanted);
            // From the proof on, it is as long as from the beginning.
            if anew {
                for at in [280, 360, 440] {
                    clock.set(began + secs(at));
                    jar.visit(&layer, |session| {
                        session.len().unwrap();
                        assert_eq!(session.authenticated_at().unwrap(), Some(began + secs(200)));
                        ok()
                    });
                }
                clock.set(began + secs(450));
                assert_eq!(verdict(&layer, &jar.header("/")), None);
                clock.set(began + secs(450) + MS);
                assert_eq!(verdict(&layer, &jar.header("/")), Some(Reject::Expired));
            }
        }
    }
}

#[test]
fn the_browser_is_never_told_more_than_what_is_left() {
    let (layer, clock) = plain();
    let layer = layer.max_age(secs(100)).absolute_lifetime(secs(250));
    let began = clock.now();
    let mut header = planted(r#"{"n":0}"#, &clock);
    for (at, told) in [
        (secs(0), 100),
        (secs(100), 100),
        (secs(150), 100),
        (secs(150) + MS, 99),
        (secs(249), 1),
    ] {
        clock.set(began + at);
        let response = send(&layer, &header, |session| {
            session.insert("n", at.as_millis()).unwrap();
            session.insert("m", 0).unwrap();
            assert_eq!(session.created_at().unwrap(), Some(began));
            ok()
        });
        assert_eq!(max_age(response.headers()), Some(told));
        header = cookie(&sent(response.headers()).unwrap());
    }
    // Close to the end a refresh gains nothing, and is not sent.
    let rolling = layer.rolling(true);
    let planted = cookie(
        &Payload::new(r#"{"n":0}"#)
            .with_id(ID)
            .with_created(began)
            .with_issued(began + secs(150)),
    );
    for at in [170, 250] {
        clock.set(began + secs(at));
        let response = send(&rolling, &planted, |session| {
            session.len().unwrap();
            ok()
        });
        assert!(sent(response.headers()).is_none());
    }
}

#[test]
fn expires_at_is_the_last_moment_at_which_the_session_is_accepted() {
    let (layer, clock) = plain();
    let layer = layer
        .max_age(secs(100))
        .max_age_limit(secs(400))
        .absolute_lifetime(secs(250));
    let began = clock.now();
    for (own, proved, issued, end) in [
        (None, None, 0, 100),
        (None, None, 200, 250),
        (Some(300), None, 0, 250),
        (Some(300), Some(200), 200, 450),
        (Some(20), Some(200), 200, 220),
        (Some(9_999), Some(200), 200, 450),
    ] {
        clock.set(began + secs(issued));
        let mut payload = Payload::new(r#"{"n":0}"#)
            .with_created(began)
            .with_issued(began + secs(issued));
        if let Some(seconds) = own {
            payload = payload.with_max_age(secs(seconds));
        }
        if let Some(seconds) = proved {
            payload = payload.with_authenticated(began + secs(seconds));
        }
        send(&layer, &cookie(&payload), |session| {
            assert_eq!(session.expires_at().unwrap(), Some(began + secs(end)));
            ok()
        });
        clock.set(began + secs(end));
        assert_eq!(verdict(&layer, &cookie(&payload)), None);
        clock.set(began + secs(end) + MS);
        assert_eq!(verdict(&layer, &cookie(&payload)), Some(Reject::Expired));
    }
}

// --- Extremes.

#[test]
fn row_29_extreme_durations_and_clocks_neither_panic_nor_wrap() {
    let epoch = SystemTime::UNIX_EPOCH;
    let last = Duration::from_millis((1 << 48) - 1);
    let clocks: Vec<SystemTime> = [
        epoch.checked_sub(secs(1 << 40)),
        epoch.checked_sub(MS),
        Some(epoch),
        epoch.checked_add(MS),
        epoch.checked_add(secs(1_700_000_000)),
        // The last second of the year 9999, and the first that four digits cannot tell.
        epoch.checked_add(secs(253_402_300_799)),
        epoch.checked_add(secs(253_402_300_800)),
        // The last moment of the format, in the year 10889, and what lies beyond.
        epoch.checked_add(last - MS),
        epoch.checked_add(last),
        epoch.checked_add(last + MS),
        epoch.checked_add(secs(1 << 45)),
        epoch.checked_add(secs(i64::MAX as u64 / 2)),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(clocks.len() >= 10);
    let ages = [secs(1), secs(86_400), secs(1 << 40), secs(u64::MAX), Duration::MAX];
    let now = Arc::new(Mutex::new(epoch));
    let layers = || {
        let key = || Key::generate().unwrap();
        [
            SessionLayer::signed(key()),
            SessionLayer::encrypted(key()),
            SessionLayer::with_codec(Plain::new()),
        ]
        .map(|layer| {
            let now = now.clone();
            layer.clock(move || *now.lock().unwrap())
        })
    };
    for age in ages {
        for layer in layers() {
            let layer = layer
                .max_age(age)
                .max_age_limit(Duration::MAX)
                .absolute_lifetime(Duration::MAX)
                .rolling(true)
                .refresh_interval(Duration::ZERO)
                .build()
                .unwrap();
            for &at in &clocks {
                *now.lock().unwrap() = at;
                let mut header = String::new();
                for n in 1..=4_u64 {
                    let written = write(&layer, &header, |session| {
                        assert_eq!(session.get::<u64>("n").unwrap(), Some(n), "{age:?} at {at:?}");
                        match n {
                            2 => session.set_max_age(Duration::MAX).unwrap(),
                            3 => session.authenticated().unwrap(),
                            _ => session.renew().unwrap(),
                        }
                        session.expires_at().unwrap();
                        session.created_at().unwrap();
                    });
                    header = written;
                }
                // A clock that jumps makes a session too old or too new, and nothing else.
                for &other in &clocks {
                    *now.lock().unwrap() = other;
                    let response = send(&layer, &header, |session| {
                        let wanted = [None, Some(Reject::Expired), Some(Reject::NotYetValid)];
                        assert!(wanted.contains(&session.rejected()), "{:?}", session.rejected());
                        if other == at {
                            assert_eq!(session.rejected(), None);
                            assert_eq!(session.get::<u64>("n").unwrap(), Some(4));
                        }
                        session.expires_at().unwrap();
                        ok()
                    });
                    assert_eq!(response.status(), 200);
                }
            }
        }
    }
}

#[test]
fn row_29_lifetimes_that_end_every_session_at_once_are_refused() {
    let (layer, _) = plain();
    for refused in [
        layer.clone().max_age(Duration::ZERO),
        layer.clone().max_age(Duration::from_millis(999)),
        layer.clone().absolute_lifetime(Duration::ZERO),
        layer.clone().max_age(secs(2)).max_age_limit(secs(1)),
        layer.clone().max_age(None).max_age_limit(secs(1)),
        layer.clone().max_age(None).rolling(true),
        layer.clone().max_age(secs(10)).rolling(true).refresh_interval(secs(10)),
        layer
            .clone()
            .max_age(Duration::MAX)
            .rolling(true)
            .refresh_interval(Duration::MAX),
    ] {
        assert!(matches!(refused.build(), Err(Error::Config { .. })));
    }
    assert!(layer.max_age(secs(1)).absolute_lifetime(secs(1)).build().is_ok());
}

// --- All of it together.

#[derive(Clone, Debug)]
enum Deed {
    Untouched,
    Read,
    Write,
    Renew,
    Authenticate,
    SetMaxAge(u64),
    Destroy,
}

/// What the browser has, as a page of arithmetic.
#[derive(Clone, Copy, Debug)]
struct Model {
    created: u64,
    issued: u64,
    authenticated: Option<u64>,
    own: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    max_age: u64,
    limit: u64,
    absolute: Option<u64>,
    rolling: bool,
    interval: Option<u64>,
}

impl Limits {
    fn age(self, model: Model) -> u64 {
        model.own.map_or(self.max_age, |own| (own * 1000).min(self.limit))
    }

    fn deadline(self, model: Model) -> u64 {
        let from = model.created.max(model.authenticated.unwrap_or(0));
        self.absolute.map_or(u64::MAX, |absolute| from + absolute)
    }

    fn end(self, model: Model) -> u64 {
        (model.issued + self.age(model)).min(self.deadline(model))
    }

    fn is_due(self, model: Model, now: u64) -> bool {
        let interval = self.interval.unwrap_or(self.age(model) / 10);
        let gains = self.deadline(model) > model.issued + self.age(model);
        self.rolling && gains && now > model.issued && now - model.issued >= interval
    }
}

fn deeds() -> impl Strategy<Value = Vec<(u64, Deed)>> {
    let deed = prop_oneof![
        1 => Just(Deed::Untouched),
        4 => Just(Deed::Read),
        2 => Just(Deed::Write),
        1 => Just(Deed::Renew),
        1 => Just(Deed::Authenticate),
        1 => (0_u64..40).prop_map(Deed::SetMaxAge),
        1 => Just(Deed::Destroy),
    ];
    let pause = prop_oneof![Just(0), 0_u64..3_000, (0_u64..12).prop_map(|seconds| seconds * 1_000)];
    prop::collection::vec((pause, deed), 1..40)
}

fn limits() -> impl Strategy<Value = Limits> {
    (
        1_u64..30,
        0_u64..20,
        prop::option::of(1_u64..60),
        any::<bool>(),
        prop::option::of(0_u64..1_000),
    )
        .prop_map(|(age, more, absolute, rolling, interval)| Limits {
            max_age: age * 1_000,
            limit: (age + more) * 1_000,
            absolute: absolute.map(|seconds| seconds * 1_000),
            rolling,
            interval,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn every_limit_at_once_is_what_the_arithmetic_says(limits in limits(), deeds in deeds()) {
        let (layer, clock) = plain();
        let ms = Duration::from_millis;
        let mut layer = layer
            .max_age(ms(limits.max_age))
            .max_age_limit(ms(limits.limit))
            .rolling(limits.rolling);
        if let Some(absolute) = limits.absolute {
            layer = layer.absolute_lifetime(ms(absolute));
        }
        // An interval below a second is always shorter than the age.
        if let Some(interval) = limits.interval {
            layer = layer.refresh_interval(ms(interval));
        }
        let mut header = String::new();
        let mut model: Option<Model> = None;
        let mut n = 0_u64;
        for (pause, deed) in deeds {
            clock.advance(ms(pause));
            let now = millis(clock.now());
            let known = model.filter(|model| now <= limits.end(*model));
            let response = send(&layer, &header, |session| {
                if !matches!(deed, Deed::Untouched) {
                    assert_eq!(session.rejected().is_some(), model.is_some() && known.is_none());
                    assert_eq!(session.is_new().unwrap(), known.is_none());
                    assert_eq!(session.expires_at().unwrap().map(millis), known.map(|known| limits.end(known)));
                    assert_eq!(session.created_at().unwrap().map(millis), known.map(|known| known.created));
                }
                match deed {
                    Deed::Untouched => {}
                    Deed::Read => drop(session.get::<u64>("n").unwrap()),
                    Deed::Write => {
                        n += 1;
                        session.insert("n", n).unwrap();
                    }
                    Deed::Renew => session.renew().unwrap(),
                    Deed::Authenticate => session.authenticated().unwrap(),
                    Deed::SetMaxAge(seconds) => {
                        let set = session.set_max_age(secs(seconds));
                        assert_eq!(set.is_ok(), seconds.max(1) <= limits.limit / 1_000);
                    }
                    Deed::Destroy => session.destroy().unwrap(),
                }
                ok()
            });
            let reissued = |known: Model| Model { issued: now.max(known.issued + 1), ..known };
            let refreshed = |known: Model| limits.is_due(known, now).then(|| reissued(known));
            let wanted = match (deed, known) {
                (Deed::Untouched, _) => None,
                (Deed::Destroy, _) => {
                    prop_assert_eq!(plain::removed(response.headers()).len(), usize::from(model.is_some()));
                    header.clear();
                    model = None;
                    continue;
                }
                (Deed::Write, None) => Some(Model { created: now, issued: now, authenticated: None, own: None }),
                (_, None) => None,
                (Deed::Read, Some(known)) => refreshed(known),
                (Deed::Write | Deed::Renew, Some(known)) => Some(reissued(known)),
                (Deed::Authenticate, Some(known)) => Some(Model { authenticated: Some(now), ..reissued(known) }),
                (Deed::SetMaxAge(seconds), Some(known)) => {
                    let own = Some(seconds.max(1));
                    if own == known.own || own > Some(limits.limit / 1_000) {
                        refreshed(known)
                    } else {
                        Some(Model { own, ..reissued(known) })
                    }
                }
            };
            let got = sent(response.headers());
            prop_assert_eq!(got.is_some(), wanted.is_some());
            if let (Some(got), Some(wanted)) = (got, wanted) {
                prop_assert_eq!(got.created().map(millis), Some(wanted.created));
                prop_assert_eq!(got.issued().map(millis), Some(wanted.issued));
                prop_assert_eq!(got.authenticated().map(millis), wanted.authenticated);
                prop_assert_eq!(got.max_age().map(|age| age.as_secs()), wanted.own);
                let left = limits.end(wanted).saturating_sub(wanted.issued) / 1_000;
                prop_assert_eq!(max_age(response.headers()), Some(left));
                header = cookie(&got);
                model = Some(wanted);
            }
        }
    }
}

#[test]
fn a_made_cookie_header_is_as_old_as_the_clock_says() {
    let clock = Clock::new();
    for layer in natives(&clock) {
        let layer = layer.max_age(secs(100));
        let header = layer.cookie_header(&BTreeMap::from([("n", 1)])).unwrap();
        clock.advance(secs(100));
        assert_eq!(verdict(&layer, header.to_str().unwrap()), None);
        clock.advance(MS);
        assert_eq!(verdict(&layer, header.to_str().unwrap()), Some(Reject::Expired));
    }
}
