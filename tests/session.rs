//! The session's life: its first write, its identity, saving, its end, and what comes too late.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/plain.rs"]
mod plain;
mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Response, StatusCode};
use http_session::{Error, Fallback, Key, Reject, Scope, Session, SessionLayer, Until, codec, codec::Payload};
use plain::{ID, NAME, Plain, cookie, planted, read, removed, sent, sent_json};
use serde::Serialize;
use support::*;

fn layer() -> (SessionLayer, Clock) {
    let clock = Clock::new();
    (plain_layer(Plain::new(), &clock), clock)
}

fn plain_layer(codec: Plain, clock: &Clock) -> SessionLayer {
    SessionLayer::with_codec(codec).clock(clock.reader())
}

/// What a response says of the session of a client that had exactly this JSON.
fn after(json: &str, handler: impl FnOnce(&Session)) -> Response<String> {
    let (layer, clock) = layer();
    send(&layer, &planted(json, &clock), |session| {
        handler(session);
        ok()
    })
}

fn keep<T>(result: Result<T, Error>) -> T {
    result.unwrap()
}

/// What a handler does with a client's session.
type Deed = fn(&Session);

// --- A session's life.

#[test]
fn a_session_gets_an_id_and_its_times_when_it_is_first_written() {
    let (layer, clock) = layer();
    let mut jar = Jar::new();
    jar.visit(&layer, |session| {
        assert!(keep(session.is_new()));
        assert_eq!(keep(session.created_at()), None);
        assert_eq!(keep(session.authenticated_at()), None);
        assert_eq!(keep(session.expires_at()), None);
        keep(session.insert("a", 1));
        ok()
    });
    let first = read(&jar.0[0].value).unwrap();
    assert_eq!(
        (first.created(), first.issued()),
        (Some(clock.now()), Some(clock.now()))
    );
    assert_eq!((first.authenticated(), first.max_age()), (None, None));
    let began = clock.now();
    clock.advance(Duration::from_secs(5));
    jar.visit(&layer, |session| {
        assert!(!keep(session.is_new()));
        assert_eq!(session.rejected(), None);
        assert_eq!(keep(session.created_at()), Some(began));
        keep(session.insert("a", 2));
        ok()
    });
    let second = read(&jar.0[0].value).unwrap();
    assert_eq!(second.id(), first.id(), "stable until it is renewed");
    assert_eq!((second.created(), second.issued()), (Some(began), Some(clock.now())));
    let other = sent(
        send(&layer, "", |s| {
            keep(s.insert("a", 1));
            ok()
        })
        .headers(),
    )
    .unwrap();
    assert!(other.id() != first.id() && other.id().is_some());
}

#[test]
fn row_2_renew_makes_a_fresh_id_and_keeps_data_and_birth() {
    let (layer, clock) = layer();
    let began = clock.now();
    let header = planted(r#"{"user" : 1}"#, &clock);
    clock.advance(Duration::from_secs(9));
    let response = send(&layer, &header, |session| {
        keep(session.renew());
        assert!(session.is_modified());
        assert_eq!(keep(session.created_at()), Some(began));
        ok()
    });
    let payload = sent(response.headers()).unwrap();
    assert_eq!(payload.json(), r#"{"user" : 1}"#);
    assert!(payload.id().is_some_and(|id| id != ID));
    assert_eq!(payload.created(), Some(began));
    assert_eq!(payload.issued(), Some(clock.now()));
    assert_eq!(payload.authenticated(), None);
    // Each time another one.
    let mut ids = vec![ID];
    let mut header = header;
    for _ in 0..20 {
        let response = send(&layer, &header, |session| {
            keep(session.renew());
            keep(session.renew());
            ok()
        });
        let payload = sent(response.headers()).unwrap();
        assert!(!ids.contains(&payload.id().unwrap()));
        ids.push(payload.id().unwrap());
        header = cookie(&payload);
    }
}

#[test]
fn authenticated_renews_and_tells_when() {
    let (layer, clock) = layer();
    let began = clock.now();
    let header = planted(r#"{"user":1}"#, &clock);
    clock.advance(Duration::from_millis(9_001));
    let response = send(&layer, &header, |session| {
        keep(session.authenticated());
        assert_eq!(keep(session.authenticated_at()), Some(clock.now()));
        ok()
    });
    let first = sent(response.headers()).unwrap();
    assert!(first.id().is_some_and(|id| id != ID));
    assert_eq!(
        (first.created(), first.authenticated()),
        (Some(began), Some(clock.now()))
    );
    let proved = clock.now();
    clock.advance(Duration::from_secs(60));
    let response = send(&layer, &cookie(&first), |session| {
        assert_eq!(keep(session.authenticated_at()), Some(proved));
        keep(session.renew());
        ok()
    });
    let second = sent(response.headers()).unwrap();
    assert!(second.id() != first.id());
    assert_eq!(second.authenticated(), Some(proved), "a renewal is no proof");
}

#[test]
fn an_empty_session_is_not_written_whatever_its_identity() {
    let (layer, _) = layer();
    let response = send(&layer, "", |session| {
        keep(session.renew());
        keep(session.authenticated());
        keep(session.set_max_age(Duration::from_secs(9)));
        keep(session.destroy());
        keep(session.clear());
        assert!(!session.is_modified(), "there is nothing to remove");
        keep(poll_now(session.save()));
        ok()
    });
    assert_eq!(set_cookies(response.headers()), [""; 0]);
}

#[test]
fn rule_4_destroy_removes_the_cookie_and_an_insert_afterwards_is_a_new_session() {
    let (layer, clock) = layer();
    let payload = Payload::new(r#"{"user":1}"#)
        .with_id(ID)
        .with_created(clock.now())
        .with_issued(clock.now())
        .with_authenticated(clock.now())
        .with_max_age(Duration::from_secs(77));
    clock.advance(Duration::from_secs(9));
    let response = send(&layer, &cookie(&payload), |session| {
        keep(session.destroy());
        assert!(session.is_modified());
        assert_eq!(keep(session.get::<u8>("user")), None);
        assert_eq!((keep(session.len()), keep(session.is_empty())), (0, true));
        assert!(keep(session.is_new()));
        assert_eq!(keep(session.created_at()), None);
        assert_eq!(keep(session.authenticated_at()), None);
        assert_eq!(keep(session.expires_at()), None);
        ok()
    });
    assert_eq!(removed(response.headers()), [NAME]);
    assert_eq!(set_cookies(response.headers()).len(), 1);

    let response = send(&layer, &cookie(&payload), |session| {
        keep(session.insert("user", 2));
        keep(session.destroy());
        keep(session.insert("user", 1));
        ok()
    });
    let next = sent(response.headers()).unwrap();
    assert_eq!(removed(response.headers()), [""; 0]);
    assert_eq!(next.json(), r#"{"user":1}"#);
    assert!(next.id().is_some_and(|id| id != ID));
    assert_eq!(next.created(), Some(clock.now()));
    assert_eq!((next.authenticated(), next.max_age()), (None, None));
}

#[test]
fn rule_4_an_emptied_session_is_removed() {
    let gone: &[(&str, Deed)] = &[
        ("the last key removed", |s| {
            keep(s.remove("a"));
        }),
        ("taken", |s| {
            keep(s.take::<u8>("a"));
        }),
        ("cleared", |s| keep(s.clear())),
        ("cleared after a write", |s| {
            keep(s.insert("b", 1));
            keep(s.clear());
        }),
        ("cleared, set and unset", |s| {
            keep(s.clear());
            keep(s.insert("b", 1));
            keep(s.remove("b"));
        }),
        ("renewed and emptied", |s| {
            keep(s.renew());
            keep(s.remove("a"));
        }),
        ("destroyed, set and unset", |s| {
            keep(s.destroy());
            keep(s.insert("a", 1));
            keep(s.remove("a"));
        }),
    ];
    for (what, deed) in gone {
        let response = after(r#"{"a":1}"#, |session| {
            deed(session);
            assert!(session.is_modified(), "{what}");
        });
        assert_eq!(removed(response.headers()), [NAME], "{what}");
        assert_eq!(set_cookies(response.headers()).len(), 1, "{what}");
    }
    // A session that came empty is nobody's change, until somebody ends it.
    let response = after("{}", |session| assert!(keep(session.is_empty())));
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    let response = after("{}", |session| keep(session.clear()));
    assert_eq!(removed(response.headers()), [NAME]);
    // Cleared and set to something else goes on under another id.
    let response = after(r#"{"a":1}"#, |session| {
        keep(session.clear());
        keep(session.insert("b", 2));
    });
    let payload = sent(response.headers()).unwrap();
    assert_eq!(payload.json(), r#"{"b":2}"#);
    assert!(payload.id().is_some_and(|id| id != ID));
}

#[test]
fn rule_5_a_bad_cookie_is_an_empty_session_that_stays_until_somebody_writes_or_ends_it() {
    let (layer, clock) = layer();
    let expired = Payload::new(r#"{"a":1}"#)
        .with_id(ID)
        .with_created(clock.now() - Duration::from_secs(15 * 86_400))
        .with_issued(clock.now() - Duration::from_secs(15 * 86_400));
    let cases = [
        (format!("{NAME}=garbage"), Reject::Malformed),
        (format!("{NAME}="), Reject::Malformed),
        (format!("{NAME}=00000013.nope"), Reject::BadSignature),
        (cookie(&expired), Reject::Expired),
    ];
    for (header, reason) in cases {
        let response = send(&layer, &header, |session| {
            assert_eq!(session.rejected(), Some(reason));
            assert!(keep(session.is_empty()) && keep(session.is_new()));
            assert_eq!(keep(session.get::<u8>("a")), None);
            assert!(!session.is_modified());
            ok()
        });
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(set_cookies(response.headers()), [""; 0], "not removed by reading");
        // Nor by a write that came to nothing.
        let response = send(&layer, &header, |session| {
            keep(session.insert("a", 1));
            keep(session.remove("a"));
            keep(session.renew());
            ok()
        });
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        let response = send(&layer, &header, |session| {
            keep(session.insert("b", 1));
            assert_eq!(session.rejected(), Some(reason), "still worth telling");
            ok()
        });
        let payload = sent(response.headers()).unwrap();
        assert_eq!(payload.json(), r#"{"b":1}"#);
        assert!(payload.id() != Some(ID), "nothing of a rejected cookie is adopted");
        assert_eq!(payload.created(), Some(clock.now()));
        for end in [Session::clear, Session::destroy] {
            let response = send(&layer, &header, |session| {
                keep(end(session));
                assert!(session.is_modified());
                ok()
            });
            assert_eq!(removed(response.headers()), [NAME]);
            for line in set_cookies(response.headers()) {
                assert!(!line.contains("garbage") && !line.contains("nope"), "echoed");
            }
        }
    }
}

#[test]
fn a_cookie_from_the_future_is_replaced_but_not_removed_by_clear() {
    let (layer, clock) = layer();
    let future = planted(r#"{"a":1}"#, &{
        let ahead = Clock::new();
        ahead.advance(Duration::from_millis(60_001));
        ahead
    });
    let response = send(&layer, &future, |session| {
        assert_eq!(session.rejected(), Some(Reject::NotYetValid));
        assert!(keep(session.is_empty()));
        keep(session.clear());
        assert!(!session.is_modified());
        ok()
    });
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    let response = send(&layer, &future, |session| {
        keep(session.clear());
        keep(session.insert("b", 1));
        ok()
    });
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"b":1}"#);
    // An explicit end is an end, also with a clear after it.
    for deed in [(|s| keep(s.destroy())) as Deed, |s| {
        keep(s.destroy());
        keep(s.clear());
    }] {
        let response = send(&layer, &future, |session| {
            deed(session);
            ok()
        });
        assert_eq!(removed(response.headers()), [NAME]);
    }
    drop(clock);
}

// --- Saving.

#[test]
fn save_commits_now_and_a_later_change_is_committed_again() {
    let (layer, clock) = layer();
    let began = clock.now();
    let response = send(&layer, "", |session| {
        keep(session.insert("a", 1));
        keep(poll_now(session.save()));
        assert!(!session.is_modified() && !keep(session.is_new()));
        assert_eq!(keep(session.created_at()), Some(began));
        clock.advance(Duration::from_secs(3));
        keep(session.insert("b", 2));
        assert!(session.is_modified());
        ok()
    });
    // Only the newer of the two is sent.
    let payload = sent(response.headers()).unwrap();
    assert_eq!(payload.json(), r#"{"a":1,"b":2}"#);
    assert_eq!((payload.created(), payload.issued()), (Some(began), Some(clock.now())));
    // Compared with what was saved, not with what came.
    let response = after(r#"{"a":1}"#, |session| {
        keep(session.insert("a", 2));
        keep(poll_now(session.save()));
        keep(session.insert("a", 1));
        assert!(session.is_modified());
    });
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"a":1}"#);
    // Nothing later: what was saved goes out as it is.
    let response = after(r#"{"a":1}"#, |session| {
        keep(session.insert("a", 2));
        keep(poll_now(session.save()));
        keep(poll_now(session.save()));
        keep(session.insert("a", 2));
    });
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"a":2}"#);
    // The id and the birth are settled by the first save.
    let seen = Mutex::new(None);
    let response = send(&layer, "", |session| {
        keep(session.insert("a", 1));
        keep(poll_now(session.save()));
        *seen.lock().unwrap() = keep(session.created_at());
        clock.advance(Duration::from_secs(3));
        keep(session.insert("a", 2));
        ok()
    });
    assert_eq!(sent(response.headers()).unwrap().created(), *seen.lock().unwrap());
}

#[test]
fn what_was_saved_and_then_ended_is_not_sent() {
    let ends: &[(&str, Deed)] = &[
        ("destroyed", |s| keep(s.destroy())),
        ("cleared", |s| keep(s.clear())),
        ("emptied", |s| keep(s.remove("a"))),
        ("destroyed and saved", |s| {
            keep(s.destroy());
            keep(poll_now(s.save()));
        }),
        ("emptied and saved", |s| {
            keep(s.remove("a"));
            keep(poll_now(s.save()));
        }),
    ];
    for (what, end) in ends {
        let (layer, clock) = layer();
        // A client without a cookie: there is nothing to remove, and nothing may be set.
        let response = send(&layer, "", |session| {
            keep(session.insert("a", 1));
            keep(poll_now(session.save()));
            end(session);
            assert!(keep(session.is_empty()));
            ok()
        });
        assert_eq!(set_cookies(response.headers()), [""; 0], "{what}");
        // A client with one: it is removed, and nothing is set.
        let response = send(&layer, &planted(r#"{"a":0}"#, &clock), |session| {
            keep(session.insert("a", 1));
            keep(poll_now(session.save()));
            end(session);
            ok()
        });
        assert_eq!(set_cookies(response.headers()).len(), 1, "{what}");
        assert_eq!(removed(response.headers()), [NAME], "{what}");
    }
}

#[test]
fn a_saved_removal_is_sent_unless_something_follows_it() {
    let response = after(r#"{"a":1}"#, |session| {
        keep(session.destroy());
        keep(poll_now(session.save()));
        assert!(!session.is_modified());
    });
    assert_eq!(removed(response.headers()), [NAME]);
    let response = after(r#"{"a":1}"#, |session| {
        keep(session.destroy());
        keep(poll_now(session.save()));
        keep(session.insert("a", 1));
        keep(poll_now(session.save()));
    });
    assert_eq!(removed(response.headers()), [""; 0]);
    let payload = sent(response.headers()).unwrap();
    assert!(payload.json() == r#"{"a":1}"# && payload.id() != Some(ID));
}

#[test]
fn what_was_saved_is_sent_even_if_the_later_commit_fails() {
    let (layer, clock) = layer();
    let response = send(&layer, &planted(r#"{"a":1}"#, &clock), |session| {
        keep(session.insert("a", 2));
        keep(poll_now(session.save()));
        keep(session.insert("big", "x".repeat(4096)));
        ok()
    });
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(matches!(response.extensions().get(), Some(Error::TooLarge { .. })));
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"a":2}"#);
    // Also a removal.
    let response = send(&layer, &planted(r#"{"a":1}"#, &clock), |session| {
        keep(session.destroy());
        keep(poll_now(session.save()));
        keep(session.insert("big", "x".repeat(4096)));
        ok()
    });
    assert_eq!(removed(response.headers()), [NAME]);
    assert_eq!(set_cookies(response.headers()).len(), 1);
}

#[test]
fn a_save_that_fails_commits_nothing_and_may_be_mended() {
    let (layer, clock) = layer();
    let response = send(&layer, &planted(r#"{"a":1}"#, &clock), |session| {
        keep(session.insert("a", 2));
        keep(session.insert("big", "x".repeat(4096)));
        let error = poll_now(session.save()).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }));
        assert!(session.is_modified(), "nothing was taken out of what is pending");
        keep(session.remove("big"));
        ok()
    });
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"a":2}"#);
}

#[test]
fn row_35_an_error_in_the_middle_leaves_the_client_with_the_old_session() {
    let clock = Clock::new();
    let fails = Arc::new(AtomicBool::new(false));
    let codec = Plain::new().fails_if({
        let fails = fails.clone();
        move || fails.load(Ordering::SeqCst)
    });
    let layer = plain_layer(codec, &clock);
    let mut jar = Jar::new();
    jar.set(&format!("{}; Path=/; Secure", planted(r#"{"a":1}"#, &clock)));
    let before = jar.clone();
    fails.store(true, Ordering::SeqCst);
    for deed in [
        (|s| keep(s.insert("a", 2))) as Deed,
        |s| keep(s.renew()),
        |s| keep(s.authenticated()),
        |s| {
            keep(s.destroy());
            keep(s.insert("a", 2));
        },
        |s| {
            keep(s.insert("a", 2));
            assert!(matches!(poll_now(s.save()), Err(Error::Codec { .. })));
        },
    ] {
        let response = jar.visit(&layer, |session| {
            deed(session);
            let mut response = ok();
            response.headers_mut().insert("x-handler", "1".parse().unwrap());
            *response.body_mut() = "done".to_owned();
            response
        });
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.body(), "", "nothing of the handler's answer");
        assert!(!response.headers().contains_key("x-handler"));
        assert!(matches!(response.extensions().get(), Some(Error::Codec { .. })));
        assert_eq!(jar.0, before.0);
    }
    fails.store(false, Ordering::SeqCst);
    jar.visit(&layer, |session| {
        assert_eq!(keep(session.get::<u8>("a")), Some(1));
        keep(session.insert("a", 2));
        ok()
    });
    assert!(jar.0 != before.0);
}

#[test]
fn rule_21_a_failed_request_keeps_only_ends_and_what_was_saved() {
    let clock = Clock::new();
    let drops = plain_layer(Plain::new(), &clock);
    let keeps = drops.clone().keep_on_server_error();
    let answer = |layer: &SessionLayer, status: u16, deed: Deed| {
        send(layer, &planted(r#"{"a":1}"#, &clock), |session| {
            deed(session);
            Response::builder().status(status).body("kept".to_owned()).unwrap()
        })
    };
    let insert: Deed = |s| keep(s.insert("a", 2));
    for status in [200, 304, 404, 499, 500, 503, 599] {
        let response = answer(&keeps, status, insert);
        assert_eq!(sent_json(response.headers()).as_deref(), Some(r#"{"a":2}"#), "{status}");
        let response = answer(&drops, status, insert);
        let kept = status < 500;
        assert_eq!(sent_json(response.headers()).is_some(), kept, "{status}");
        assert_eq!((response.status().as_u16(), response.body().as_str()), (status, "kept"));
    }
    // What would fail is not looked at any more.
    let response = answer(&drops, 500, |s| keep(s.insert("big", "x".repeat(4096))));
    assert!(response.extensions().get::<Error>().is_none() && set_cookies(response.headers()).is_empty());
    let response = answer(&drops, 500, |s| keep(s.destroy()));
    assert_eq!(removed(response.headers()), [NAME]);
    // What was saved stays, and only that.
    let response = answer(&drops, 500, |s| {
        keep(s.insert("a", 2));
        keep(poll_now(s.save()));
        keep(s.insert("a", 3));
    });
    assert_eq!(sent_json(response.headers()).as_deref(), Some(r#"{"a":2}"#));
    let response = answer(&drops, 500, |s| {
        keep(s.destroy());
        keep(poll_now(s.save()));
        keep(s.insert("a", 3));
    });
    assert_eq!(removed(response.headers()), [NAME]);
    assert_eq!(sent_json(response.headers()), None);
}

// --- Too late.

/// What every write of a session answers, but for `save`, which is the last.
fn writes(session: &Session) -> Vec<(&'static str, Result<(), Error>)> {
    vec![
        ("insert", session.insert("a", 9)),
        ("insert the same", session.insert("a", 1)),
        ("remove", session.remove("a")),
        ("take", session.take::<u8>("a").map(drop)),
        ("clear", session.clear()),
        ("get_or_insert_with", session.get_or_insert_with("b", || 1).map(drop)),
        (
            "update",
            poll_now(session.update("a", |a: Option<u8>| a.unwrap_or(0) + 1)).map(drop),
        ),
        ("renew", session.renew()),
        ("authenticated", session.authenticated()),
        ("destroy", session.destroy()),
        ("set_max_age", session.set_max_age(Duration::from_secs(1))),
        ("save", poll_now(session.save())),
    ]
}

#[test]
fn rule_23_after_the_head_every_write_is_an_error_and_reads_go_on() {
    let (layer, clock) = layer();
    let mut leaked = None;
    let response = send(&layer, &planted(r#"{"a":1}"#, &clock), |session| {
        keep(session.insert("c", 3));
        leaked = Some(session.clone());
        ok()
    });
    assert_eq!(sent_json(response.headers()).unwrap(), r#"{"a":1,"c":3}"#);
    let session = leaked.unwrap();
    for (what, result) in writes(&session) {
        assert!(matches!(result, Err(Error::HeadersSent)), "{what}: {result:?}");
    }
    assert_eq!(keep(session.get::<u8>("a")), Some(1));
    assert_eq!(keep(session.keys()), ["a", "c"]);
    assert_eq!((keep(session.len()), keep(session.is_empty())), (2, false));
    assert!(keep(session.contains_key("a")));
    assert_eq!(keep(session.take::<u8>("missing")), None);
    assert_eq!(keep(session.get_or_insert_with("a", || 7)), 1);
    assert_eq!(keep(session.created_at()), Some(clock.now()));
    assert!(keep(session.expires_at()).is_some());
    assert_eq!(session.rejected(), None);
    keep(poll_now(session.load()));
    keep(session.to_map::<BTreeMap<String, u8>>());
}

#[test]
fn rule_23_a_session_first_read_after_the_head_is_an_error_since_no_cache_was_told() {
    let (layer, clock) = layer();
    let mut leaked = None;
    let response = send(&layer, &planted(r#"{"a":1}"#, &clock), |session| {
        leaked = Some(session.clone());
        ok()
    });
    assert!(response.headers().is_empty(), "untouched");
    let session = leaked.unwrap();
    let reads: [(&str, Result<(), Error>); 10] = [
        ("get", session.get::<u8>("a").map(drop)),
        ("take", session.take::<u8>("a").map(drop)),
        ("contains_key", session.contains_key("a").map(drop)),
        ("len", session.len().map(drop)),
        ("is_empty", session.is_empty().map(drop)),
        ("keys", session.keys().map(drop)),
        ("to_map", session.to_map::<BTreeMap<String, u8>>().map(drop)),
        ("is_new", session.is_new().map(drop)),
        ("created_at", session.created_at().map(drop)),
        ("expires_at", session.expires_at().map(drop)),
    ];
    for (what, result) in reads.into_iter().chain(writes(&session)) {
        assert!(matches!(result, Err(Error::HeadersSent)), "{what}: {result:?}");
    }
    assert_eq!(session.rejected(), None);
    assert!(!session.is_modified());
}

#[test]
fn rule_23_a_request_that_ended_without_a_response_takes_no_writes() {
    use std::convert::Infallible;

    use http::{Request, header::COOKIE};
    use tower::{Layer, Service, service_fn};

    let (layer, clock) = layer();
    let request = || {
        Request::builder()
            .header(COOKIE, planted(r#"{"a":1}"#, &clock))
            .body(())
            .unwrap()
    };
    let check = |session: Session| {
        for (what, result) in writes(&session) {
            assert!(matches!(result, Err(Error::HeadersSent)), "{what}: {result:?}");
        }
        assert_eq!(keep(session.get::<u8>("a")), Some(2), "reads go on");
    };
    let take = |request: &Request<()>| {
        let session = request.extensions().get::<Session>().unwrap().clone();
        keep(session.insert("a", 2));
        session
    };
    // The service failed.
    let leaked = Mutex::new(None);
    let mut service = layer.layer(service_fn(|request: Request<()>| {
        *leaked.lock().unwrap() = Some(take(&request));
        async { Err::<Response<String>, _>("broken") }
    }));
    assert_eq!(poll_now(service.call(request())).unwrap_err(), "broken");
    check(leaked.lock().unwrap().take().unwrap());
    // The client hung up, before the first poll and after it.
    for polled in [false, true] {
        let mut service = layer.layer(service_fn(|request: Request<()>| {
            *leaked.lock().unwrap() = Some(take(&request));
            async {
                std::future::pending::<()>().await;
                Ok::<Response<String>, Infallible>(ok())
            }
        }));
        let mut future = Box::pin(service.call(request()));
        if polled {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        let session = leaked.lock().unwrap().take().unwrap();
        keep(session.insert("a", 2));
        drop(future);
        check(session);
    }
    // The service panicked.
    let mut service = layer.layer(service_fn(|request: Request<()>| {
        *leaked.lock().unwrap() = Some(take(&request));
        async { panic!("as told") }
    }));
    let mut future = Box::pin(async {
        service
            .call(request())
            .await
            .map(|_: Response<String>| Infallible::clone)
    });
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _: std::task::Poll<Result<_, Infallible>> = future.as_mut().poll(&mut context);
    }));
    assert!(outcome.is_err());
    drop(future);
    check(leaked.lock().unwrap().take().unwrap());
}

// --- Without a layer, and for tests.

#[test]
fn a_session_needs_no_layer() {
    for session in [Session::new(), Session::default()] {
        assert!(keep(session.is_new()) && keep(session.is_empty()) && !session.is_modified());
        keep(session.insert("a", 1));
        assert_eq!(keep(session.clone().get::<u8>("a")), Some(1));
        assert!(session.is_modified());
        keep(session.renew());
        assert_eq!(keep(session.authenticated_at()), None);
        keep(session.authenticated());
        assert!(keep(session.authenticated_at()).is_some());
        keep(session.set_max_age(Duration::MAX));
        assert_eq!(keep(session.expires_at()), None);
        assert_eq!(session.rejected(), None);
        keep(poll_now(session.save()));
        assert!(!session.is_modified() && keep(session.created_at()).is_some());
        assert_eq!(keep(session.get::<u8>("a")), Some(1));
        keep(session.destroy());
        assert!(keep(session.is_empty()));
        assert_eq!(keep(session.authenticated_at()), None);
        keep(poll_now(session.load()));
    }
}

#[test]
fn a_cookie_header_is_a_client_that_has_a_session_already() {
    #[derive(Serialize)]
    struct User {
        id: u32,
        roles: Vec<&'static str>,
    }
    let clock = Clock::new();
    let key = || Key::generate().unwrap();
    for layer in [
        SessionLayer::encrypted(key()).clock(clock.reader()),
        SessionLayer::signed(key()).cookie_name("id").clock(clock.reader()),
        SessionLayer::with_codec(Plain::new())
            .domain("example.com")
            .clock(clock.reader()),
        SessionLayer::encrypted(key()).chunked(3).clock(clock.reader()),
    ] {
        let data = User {
            id: 42,
            roles: vec!["admin"],
        };
        let header = layer.cookie_header(&data).unwrap();
        assert!(header.is_sensitive());
        let response = send(&layer, header.to_str().unwrap(), |session| {
            assert_eq!(session.rejected(), None);
            assert!(!keep(session.is_new()));
            assert_eq!(keep(session.get::<u32>("id")), Some(42));
            assert_eq!(keep(session.get::<Vec<String>>("roles")).unwrap(), ["admin"]);
            assert_eq!(keep(session.created_at()), Some(clock.now()));
            assert_eq!(keep(session.authenticated_at()), None);
            ok()
        });
        assert_eq!(set_cookies(response.headers()), [""; 0]);
        for error in [
            layer.cookie_header(&1).unwrap_err(),
            layer.cookie_header("text").unwrap_err(),
            layer.cookie_header(&[1, 2]).unwrap_err(),
            layer.cookie_header(&()).unwrap_err(),
            layer.cookie_header(&None::<User>).unwrap_err(),
            layer.cookie_header(&BTreeMap::from([(vec![1], 1)])).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Serialize { .. }), "{error}");
        }
    }
    // Each is a session of its own, and an empty one is valid too.
    let layer = plain_layer(Plain::new(), &clock);
    let id = || {
        let header = layer.cookie_header(&BTreeMap::<String, u8>::new()).unwrap();
        let header = header.to_str().unwrap();
        read(header.split_once('=').unwrap().1).unwrap().id().unwrap()
    };
    assert!(id() != id());
    // A layer that cannot be built says why.
    let broken = SessionLayer::encrypted(key()).cookie_name("a b");
    let error = broken.cookie_header(&BTreeMap::from([("a", 1)])).unwrap_err();
    assert!(matches!(error, Error::Config { .. }));
}

#[test]
fn every_method_of_a_broken_layers_session_tells_the_reason() {
    let layer = SessionLayer::encrypted(Key::generate().unwrap()).cookie_name("a b");
    let mut leaked = None;
    let response = send(&layer, "", |session| {
        leaked = Some(session.clone());
        ok()
    });
    assert!(response.headers().is_empty());
    let session = leaked.unwrap();
    for (what, result) in writes(&session) {
        // Nothing can have changed, so there is nothing to save.
        if what != "save" {
            assert!(matches!(result, Err(Error::Config { .. })), "{what}: {result:?}");
        }
    }
    assert!(matches!(session.get::<u8>("a"), Err(Error::Config { .. })));
    assert_eq!(session.rejected(), None);
}

#[test]
fn row_31_debug_shows_neither_data_nor_ids_nor_keys() {
    let key_text = "hex:9f1c8e4bd07a63e25c18f7a90d3be641758c2fa9e06d1b43c7952e80fa4d6b13";
    let key: Key = key_text.parse().unwrap();
    let clock = Clock::new();
    let layer = SessionLayer::signed(key.clone())
        .also_accept(
            Fallback::new(codec::Encrypted::new(key.clone())).cookie_name("old"),
            Until::forever(),
        )
        .clock(clock.reader());
    let mut texts = vec![
        format!("{layer:?}"),
        format!(
            "{:?}",
            Fallback::new(codec::Signed::new(key.clone()))
                .app("shop")
                .scope(Scope::new().path("/p"))
        ),
        format!("{:?}", Until::date(clock.now())),
        format!("{:?}", codec::Signed::new(key)),
    ];
    let header = layer.cookie_header(&BTreeMap::from([("user", "alice")])).unwrap();
    let header = header.to_str().unwrap().to_owned();
    send(&layer, &header, |session| {
        keep(session.insert("card", "4711"));
        texts.push(format!("{session:?}"));
        texts.push(format!("{:#?}", session.clone()));
        ok()
    });
    let value = header.split_once('=').unwrap().1;
    for text in &texts {
        for secret in ["alice", "4711", "9f1c8e", "user", "card", &value[..20]] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(
        texts[1].contains("shop") && texts[1].contains("/p"),
        "what is no secret is shown: {}",
        texts[1]
    );
}

#[test]
fn what_is_set_after_a_clear_belongs_to_nobody_who_was_authenticated() {
    let layer = SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap();
    let mut jar = Jar::new();
    jar.visit(&layer, |session| {
        session.insert("user", 1).unwrap();
        session.authenticated().unwrap();
        ok()
    });
    jar.visit(&layer, |session| {
        assert!(session.authenticated_at().unwrap().is_some());
        session.clear().unwrap();
        session.insert("flash", "logged out").unwrap();
        ok()
    });
    jar.visit(&layer, |session| {
        assert_eq!(session.authenticated_at().unwrap(), None);
        assert_eq!(session.keys().unwrap(), ["flash"]);
        ok()
    });
}
