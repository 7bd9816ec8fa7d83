//! Sessions that are authentic and that this side cannot represent.

use std::time::Duration;

use http_session::{
    Error, Fallback, Key, Reject, Session, SessionLayer, Until, codec,
    codec::{Codec, Format, Incoming, Outgoing, Payload},
    store::MemoryStore,
};

use crate::{
    SECRET,
    client::ask,
    plain::{Plain, planted},
    starlette::sign,
    support::{Clock, START, ok, poll_now, send, set_cookies},
};

fn python(clock: &Clock) -> SessionLayer {
    SessionLayer::starlette(SECRET).clock(clock.reader())
}

fn cookie(payload: &[u8]) -> String {
    format!("session={}", sign(SECRET, payload, START / 1000))
}

/// Every way to write.
type Write = fn(&Session) -> Result<(), Error>;

fn writes() -> Vec<(&'static str, Write)> {
    vec![
        ("insert", |session| session.insert("rust", 1)),
        ("remove", |session| session.remove("user")),
        ("renew", Session::renew),
        ("authenticated", Session::authenticated),
        ("get_or_insert_with", |session| {
            session.get_or_insert_with("n", || 1).map(drop)
        }),
        ("update", |session| {
            poll_now(session.update("n", |n: Option<u8>| n.unwrap_or(0))).map(drop)
        }),
    ]
}

#[test]
fn fault_f17_a_session_that_only_others_can_read_is_not_destroyed_by_the_way() {
    let clock = Clock::new();
    for payload in [
        &br#"{"x": NaN, "user": "ada"}"#[..],
        br#"{"x": Infinity, "user": "ada"}"#,
        br#"{"x": -Infinity, "user": "ada"}"#,
        br#"{"user": "ada", "deep": [{"a": [1, NaN]}]}"#,
        b"\xef\xbb\xbf{\"user\": \"ada\"}",
        b"{\0\"\0a\0\"\0:\0\x31\0}\0",
        b"{\"a\": \"\xed\xa0\xbd\"}",
    ] {
        let shown = payload.escape_ascii().to_string();
        let own = python(&clock).build().unwrap();
        let moved = SessionLayer::encrypted(Key::generate().unwrap())
            .clock(clock.reader())
            .also_accept(codec::Starlette::new(SECRET), Until::forever())
            .build()
            .unwrap();
        for layer in [&own, &moved] {
            for (what, write) in writes() {
                let response = send(layer, &cookie(payload), |session| {
                    assert!(session.is_empty().unwrap() && session.is_new().unwrap());
                    assert_eq!(session.rejected(), Some(Reject::Unreadable), "{shown}");
                    assert!(matches!(write(session), Err(Error::Unreadable)), "{what}: {shown}");
                    assert_eq!(session.take::<u8>("n").unwrap(), None);
                    assert!(!session.is_modified());
                    ok()
                });
                assert_eq!(set_cookies(response.headers()), [""; 0], "{what}: {shown}");
            }
            for end in [Session::clear, Session::destroy] {
                let removed = send(layer, &cookie(payload), |session| {
                    end(session).unwrap();
                    ok()
                });
                assert!(
                    set_cookies(removed.headers()).iter().any(|line| line.contains("1970")),
                    "{shown}"
                );
                let replaced = send(layer, &cookie(payload), |session| {
                    end(session).unwrap();
                    for (what, write) in writes() {
                        assert!(write(session).is_ok(), "{what}: {shown}");
                    }
                    poll_now(session.save()).unwrap();
                    session.insert("more", 2).unwrap();
                    assert_eq!(session.rejected(), Some(Reject::Unreadable));
                    ok()
                });
                assert!(!set_cookies(replaced.headers()).is_empty(), "{shown}");
            }
        }
    }
}

#[test]
fn fault_f17_what_has_expired_is_nothing_to_be_careful_with() {
    let clock = Clock::new();
    let layer = python(&clock).max_age(Duration::from_secs(60)).build().unwrap();
    clock.advance(Duration::from_secs(61));
    for payload in [&br#"{"x": NaN}"#[..], b"\xef\xbb\xbf{}"] {
        let response = send(&layer, &cookie(payload), |session| {
            session.insert("rust", 1).unwrap();
            assert_eq!(session.rejected(), Some(Reject::Expired));
            ok()
        });
        assert_eq!(set_cookies(response.headers()).len(), 1);
    }
}

#[test]
fn fault_f17_what_nobody_can_read_or_is_not_authentic_is_replaced() {
    let clock = Clock::new();
    let layer = python(&clock).build().unwrap();
    let forged = cookie(br#"{"x": NaN}"#).replace("session=", "session=e");
    for (cookies, reason) in [
        (cookie(b"[]"), Reject::Malformed),
        (cookie(br#"{"a": }"#), Reject::Malformed),
        (cookie(br#"{"a": nan}"#), Reject::Malformed),
        (forged, Reject::BadSignature),
    ] {
        let response = send(&layer, &cookies, |session| {
            session.insert("rust", 1).unwrap();
            assert_eq!(session.rejected(), Some(reason), "{cookies}");
            ok()
        });
        assert_eq!(set_cookies(response.headers()).len(), 1);
    }
}

#[test]
fn fault_f17_every_codec_and_a_codec_that_says_so_itself() {
    /// Reads nothing and knows that it was authentic.
    #[derive(Clone)]
    struct Opaque;
    impl Codec for Opaque {
        fn format(&self) -> Format {
            Format::new().carries_issued()
        }
        fn encode(&self, _: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
            cookie.push_str("x");
            Ok(())
        }
        fn decode(&self, _: &Incoming<'_>) -> Result<Payload, Reject> {
            Ok(Payload::unreadable().with_issued(Clock::new().now()))
        }
    }
    let clock = Clock::new();
    let text = planted("{\"x\":NaN}", &clock);
    for layer in [SessionLayer::with_codec(Opaque), SessionLayer::with_codec(Plain::new())] {
        let layer = layer.clock(clock.reader()).build().unwrap();
        send(&layer, &text, |session| {
            assert!(matches!(session.insert("n", 1), Err(Error::Unreadable)));
            assert_eq!(session.rejected(), Some(Reject::Unreadable));
            ok()
        });
    }
}

#[tokio::test]
async fn fault_f17_on_the_way_into_a_store() {
    let clock = Clock::new();
    let layer = SessionLayer::with_store(MemoryStore::new())
        .clock(clock.reader())
        .also_accept(Fallback::new(codec::Starlette::new(SECRET)), Until::forever())
        .build()
        .unwrap();
    let cookies = cookie(br#"{"x": NaN, "user": "ada"}"#);
    let response = ask(&layer, &cookies, async |session| {
        session.load().await.unwrap();
        assert!(matches!(session.insert("n", 1), Err(Error::Unreadable)));
        assert!(matches!(
            session.update("n", |_: Option<u8>| 1).await,
            Err(Error::Unreadable)
        ));
        assert!(matches!(session.set_owner("ada"), Err(Error::Unreadable)));
        assert!(matches!(session.set_label("phone"), Err(Error::Unreadable)));
        session.save().await.unwrap();
        ok()
    })
    .await;
    assert_eq!(set_cookies(response.headers()), [""; 0]);
    let response = ask(&layer, &cookies, async |session| {
        session.destroy().unwrap();
        session.update("n", |_: Option<u8>| 1).await.unwrap();
        ok()
    })
    .await;
    let lines = set_cookies(response.headers());
    assert!(
        lines.iter().any(|line| line.starts_with("__Host-session=")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("session=;")), "{lines:?}");
}

#[test]
fn fault_f17_what_looks_difficult_and_is_not_passes_as_it_came() {
    let clock = Clock::new();
    let layer = python(&clock).build().unwrap();
    for payload in [
        r#"{"\ud800": 1}"#,
        r#"{"a": "\udfff"}"#,
        r#"{"a": 1e999}"#,
        &format!(r#"{{"a": {}}}"#, "9".repeat(1500)),
        &format!(r#"{{"d": {}1{}}}"#, "[".repeat(900), "]".repeat(900)),
    ] {
        let response = send(&layer, &cookie(payload.as_bytes()), |session| {
            session.insert("rust", 1).unwrap();
            assert_eq!(session.rejected(), None, "{payload:.30}");
            ok()
        });
        let lines = set_cookies(response.headers());
        let value = lines[0].split_once('=').unwrap().1.split(';').next().unwrap();
        let expected = format!("{}, \"rust\": 1}}", &payload[..payload.len() - 1]);
        assert_eq!(crate::starlette::payload(value), expected);
    }
}
