//! Names, ages and keys.

use std::time::Duration;

use http_session::{Error, Fallback, Key, KeyRing, Reject, SessionLayer, Until, codec, store::MemoryStore};

use crate::{
    SECRET,
    client::visit,
    key, log_in, logged_in, look,
    starlette::sign,
    support::{Clock, Jar, START, ok},
};

#[test]
fn fault_a14_an_applications_name_has_one_limit() {
    let long = |len: usize| "a".repeat(len);
    let layers: [fn() -> SessionLayer; 4] = [
        || SessionLayer::signed(key()),
        || SessionLayer::encrypted(key()),
        || SessionLayer::starlette("s"),
        || SessionLayer::with_store(MemoryStore::new()),
    ];
    for layer in layers {
        assert!(layer().app(long(65_535)).build().is_ok());
        let error = layer().app(long(65_536)).build().unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
        let fallback = |len| {
            Fallback::new(codec::Starlette::new("s"))
                .cookie_name("old")
                .app(long(len))
        };
        assert!(layer().also_accept(fallback(65_535), Until::forever()).build().is_ok());
        assert!(layer().also_accept(fallback(65_536), Until::forever()).build().is_err());
        let before = SessionLayer::starlette("s").cookie_name("old").app(long(65_536));
        assert!(layer().also_accept(before, Until::forever()).build().is_err());
    }
}

#[tokio::test]
async fn fault_a19_a_stamp_from_the_future_does_not_outlive_its_format() {
    let clock = Clock::new();
    // Hours and days ahead, above what 48 bits of milliseconds hold, and the last that the format can say.
    for stamp in [
        START / 1000 + 7200,
        START / 1000 + 864_000,
        1 << 48,
        (1 << 58) - 1,
        u64::MAX,
    ] {
        let cookies = format!("session={}", sign(SECRET, br#"{"user": "ada"}"#, stamp));
        for layer in [
            SessionLayer::encrypted(key()),
            SessionLayer::signed(key()).absolute_lifetime(Duration::from_secs(3600)),
            SessionLayer::with_store(MemoryStore::new()),
            SessionLayer::starlette(SECRET).cookie_name("new"),
        ] {
            let layer = layer
                .max_age(None)
                .clock(clock.reader())
                .also_accept(codec::Starlette::new(SECRET), Until::forever())
                .build()
                .unwrap();
            let mut jar = Jar::new();
            jar.set(&format!("{cookies}; path=/"));
            visit(&mut jar, &layer, async |session| {
                session.load().await.unwrap();
                assert_eq!(
                    session.get::<String>("user").unwrap().as_deref(),
                    Some("ada"),
                    "{stamp}"
                );
                session.insert("n", 1).unwrap();
                session.save().await.unwrap();
                if let Some(created) = session.created_at().unwrap() {
                    assert!(created <= clock.now(), "{stamp}");
                }
                ok()
            })
            .await;
            assert_eq!(jar.0.len(), 1, "{stamp}");
            visit(&mut jar, &layer, async |session| {
                session.load().await.unwrap();
                assert_eq!(session.rejected(), None, "{stamp}");
                assert_eq!(session.get::<u8>("n").unwrap(), Some(1), "{stamp}");
                ok()
            })
            .await;
        }
        // The format itself goes on as it did.
        let own = SessionLayer::starlette(SECRET)
            .max_age(None)
            .clock(clock.reader())
            .build()
            .unwrap();
        let mut jar = Jar::new();
        jar.set(&format!("{cookies}; path=/"));
        jar.visit(&own, |session| {
            session.insert("n", 1).unwrap();
            ok()
        });
        assert_eq!(look(&own, &jar.header("/")), logged_in(), "{stamp}");
        // With a `max_age` it is refused, there as here.
        let strict = SessionLayer::starlette(SECRET).clock(clock.reader()).build().unwrap();
        assert_eq!(look(&strict, &cookies), (None, Some(Reject::NotYetValid)), "{stamp}");
    }
}

#[test]
fn fault_a23_the_interval_is_compared_with_the_age_that_counts() {
    let hour = Duration::from_secs(3600);
    let starlette = |seconds| {
        SessionLayer::with_codec(codec::Starlette::new("s").max_age(seconds))
            .secure(false)
            .rolling(true)
    };
    // The codec's own age is shorter than the layer's fourteen days, and longer than none.
    assert!(starlette(3600).refresh_interval(hour).build().is_err());
    assert!(starlette(3600).refresh_interval(hour / 2).build().is_ok());
    assert!(
        starlette(86_400)
            .max_age(hour)
            .refresh_interval(hour * 2)
            .build()
            .is_ok()
    );
    assert!(starlette(3600).max_age(None).refresh_interval(hour / 2).build().is_ok());
    assert!(
        SessionLayer::encrypted(key())
            .rolling(true)
            .refresh_interval(hour * 24 * 14)
            .build()
            .is_err()
    );
    assert!(
        SessionLayer::encrypted(key())
            .rolling(true)
            .max_age(None)
            .build()
            .is_err()
    );
}

#[test]
fn fault_a23_a_session_with_a_shorter_age_of_its_own_does_not_end_in_use() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key())
        .rolling(true)
        .refresh_interval(Duration::from_secs(86_400))
        .clock(clock.reader())
        .build()
        .unwrap();
    let mut jar = Jar::new();
    jar.visit(&layer, |session| {
        log_in(session);
        session.set_max_age(Duration::from_secs(3600)).unwrap();
        ok()
    });
    for _ in 0..10 {
        clock.advance(Duration::from_secs(1800));
        jar.visit(&layer, |session| {
            assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("ada"));
            ok()
        });
    }
}

#[test]
fn a_key_of_hex_digits_has_sixty_four_of_them() {
    let digits = "9c41e07f5ad2b86330fe1d7ac8945b26e9d03f187c6ab4525e80f19dc37b642a";
    assert!(digits.parse::<Key>().is_ok());
    let long = format!("{digits}{}", digits.chars().rev().collect::<String>());
    for text in [
        &digits[..63],
        &digits[..43],
        &digits[..44],
        &long[..65],
        &long[..66],
        &long,
        &long.to_uppercase(),
        "a",
    ] {
        let error = text.parse::<Key>().unwrap_err().to_string();
        assert!(
            error.contains(&format!("it has {} hexadecimal digits", text.len())),
            "{error}"
        );
        assert!(!error.contains(text) || text.len() < 2, "it does not show the key");
    }
    // Said so, it is a key of 64 bytes; and base64 is still base64.
    assert!(format!("hex:{long}").parse::<Key>().is_ok());
    assert!("nEHgf1rSuGMw/h16yJRbJunQPxh8arRSXoDxncN7ZCo=".parse::<Key>().is_ok());
}

#[test]
fn a_key_signs_from_its_time_on_and_not_before() {
    let (clock, old, new) = (Clock::new(), key(), key());
    let at = clock.now() + Duration::from_secs(10);
    for encrypted in [false, true] {
        let make = |ring: KeyRing| {
            let layer = if encrypted {
                SessionLayer::encrypted(ring)
            } else {
                SessionLayer::signed(ring)
            };
            layer.clock(clock.reader()).build().unwrap()
        };
        let ring = KeyRing::new(old.clone()).sign_from(new.clone(), at);
        let (layer, only_old) = (make(ring), make(KeyRing::new(old.clone())));
        // Another server's clock is ahead, so the next cookie is stamped later than now: no session's time runs backwards.
        let mut jar = Jar::new();
        clock.advance(Duration::from_secs(50));
        jar.visit(&only_old, |session| {
            log_in(session);
            ok()
        });
        clock.set(at - Duration::from_secs(5));
        jar.visit(&layer, |session| {
            session.insert("n", 1).unwrap();
            ok()
        });
        assert_eq!(
            look(&only_old, &jar.header("/")),
            logged_in(),
            "the new key's time has not come"
        );
        clock.set(at);
        jar.visit(&layer, |session| {
            session.insert("n", 2).unwrap();
            ok()
        });
        assert_eq!(look(&only_old, &jar.header("/")), (None, Some(Reject::UnknownKey)));
        assert_eq!(look(&layer, &jar.header("/")), logged_in());
    }
}
