//! What requests cost the store.

use http_session::{Reject, Session};

use crate::{
    client::{ask, visit},
    support::*,
    world::*,
};

pub async fn row_26_what_is_no_ticket_never_reaches_the_store(world: &World) {
    let good = world.jar().await;
    let good = ticket(&good);
    assert_eq!(world.store.asked(), ["create"]);
    for bad in [
        "",
        "x",
        "../../../../etc/passwd",
        "*",
        "%00",
        "session:1",
        &good[1..],
        &format!("{good}A"),
        &format!("{good}="),
        &format!("{}=", &good[1..]),
        &format!("\"\"{good}\"\""),
        &format!("\"{good}"),
        &good.replace(|char: char| char.is_alphanumeric(), "+"),
        &"%41".repeat(32),
        &"{\"n\":1}".repeat(10)[..64],
        &"0' OR '1'='1' -- ".repeat(4)[..64],
        &"A".repeat(4_000),
    ] {
        for deed in [
            (|_| ()) as fn(&Session),
            |session| session.clear().unwrap(),
            |session| session.destroy().unwrap(),
        ] {
            ask(
                &world.layer,
                &format!("__Host-session={bad}"),
                async |session: Session| {
                    session.load().await.unwrap();
                    assert_eq!(session.rejected(), Some(Reject::Malformed), "{bad}");
                    assert!(session.is_empty().unwrap());
                    deed(&session);
                    ok()
                },
            )
            .await;
        }
    }
    assert_eq!(world.store.asked(), [""; 0]);
    world.expect(&format!("__Host-session={good}"), 1).await;
}

pub async fn row_27_visitors_who_only_look_ask_and_fill_nothing(world: &World) {
    let before = world.dump().await;
    for _ in 0..1_000 {
        let response = ask(&world.layer, "other=1", async |session: Session| {
            session.load().await.unwrap();
            assert_eq!(session.get::<u64>("n").unwrap(), None);
            ok()
        })
        .await;
        assert_eq!(set_cookies(response.headers()), [""; 0]);
    }
    assert_eq!(world.store.asked(), [""; 0]);
    let mut random = Random(27);
    for _ in 0..100 {
        let bogus: Vec<u8> = (0..48).map(|_| random.next() as u8).collect();
        let bogus = base64_simd::URL_SAFE_NO_PAD.encode_to_string(bogus);
        world
            .expect_none(&format!("__Host-session={bogus}"), Reject::UnknownTicket)
            .await;
        assert_eq!(world.store.asked(), ["load"]);
    }
    assert_eq!(world.dump().await, before);
}

pub async fn rule_1_each_request_takes_as_many_steps_as_it_needs(world: &World) {
    let World { layer, store, .. } = world;
    let mut jar = Jar::new();
    macro_rules! takes {
        ($steps:expr, $session:ident => $handler:expr) => {
            visit(&mut jar, layer, async |$session: Session| {
                $handler;
                ok()
            })
            .await;
            assert_eq!(store.asked(), $steps);
        };
    }
    let nothing = [""; 0];
    takes!(nothing, session => drop(session));
    takes!(nothing, session => loaded(session).await.renew().unwrap());
    takes!(["create"], session => loaded(session).await.insert("n", 1).unwrap());
    takes!(nothing, session => drop(session));
    takes!(["load"], session => assert_eq!(loaded(session).await.get("n").unwrap(), Some(1)));
    takes!(["load"], session => {
        let (one, two) = (loaded(session.clone()), loaded(session));
        let (one, two) = tokio::join!(one, two);
        one.insert("n", 1).unwrap();
        two.remove("none").unwrap();
    });
    takes!(["load", "apply"], session => loaded(session).await.insert("n", 2).unwrap());
    takes!(["load", "apply"], session => session.insert("n", 3).unwrap());
    takes!(["load", "apply"], session => {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        session.insert("m", 1).unwrap();
    });
    // Only a login with an owner asks once more.
    takes!(["load", "begin_login", "apply"], session => {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        session.set_owner("ada").unwrap();
        session.set_label("a phone").unwrap();
        session.insert("m", "x".repeat(10_000)).unwrap();
        session.remove("n").unwrap();
    });
    takes!(["load", "apply"], session => {
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).await.unwrap();
    });
    takes!(["load", "apply"], session => {
        let session = loaded(session).await;
        session.insert("n", 4).unwrap();
        session.save().await.unwrap();
        session.save().await.unwrap();
    });
    // A logout is one step, whether somebody looked or not.
    takes!(["delete"], session => session.destroy().unwrap());
    takes!(nothing, session => assert!(loaded(session).await.is_empty().unwrap()));
    assert_eq!(jar.0, []);
}

pub async fn rule_6_a_use_prolongs_at_most_once_in_an_interval(world: &World) {
    let layer = world.with(|layer| layer.max_age(DAY * 10).rolling(true).refresh_interval(DAY));
    let mut jar = jar_of(&layer).await;
    world.store.asked();
    let mut refreshes = 0;
    // Four uses a day, for a month.
    for _ in 0..120 {
        world.clock.advance(DAY / 4);
        let response = visit(&mut jar, &layer, async |session: Session| {
            assert_eq!(loaded(session).await.get("n").unwrap(), Some(1));
            ok()
        })
        .await;
        let steps = world.store.asked();
        let sent = set_cookies(response.headers()).len();
        match sent {
            0 => assert_eq!(steps, ["load"]),
            _ => assert_eq!((steps, sent), (vec!["load", "apply"], 1)),
        }
        refreshes += sent;
        // Nobody looked: not a use.
        let response = visit(&mut jar, &layer, async |_: Session| ok()).await;
        assert!(response.headers().is_empty());
        assert_eq!(world.store.asked(), [""; 0]);
    }
    assert!((24..=30).contains(&refreshes), "{refreshes}");
    world.clock.advance(DAY * 10 + MINUTE);
    world.expect_none(&jar.header("/"), Reject::UnknownTicket).await;
}
