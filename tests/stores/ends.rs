//! What ends a session, and what does not.

use base64_simd::URL_SAFE_NO_PAD;
use http_session::{Error, Reject, Session};

use crate::{
    client::{ask, visit},
    dump::holds,
    support::*,
    world::*,
};

pub async fn row_3_a_destroyed_session_never_loads(world: &World) {
    for deed in [
        (|session: &Session| session.destroy().unwrap()) as fn(&Session),
        |session| session.clear().unwrap(),
        |session| {
            session.destroy().unwrap();
            session.insert("n", 2).unwrap();
        },
    ] {
        for look in [false, true] {
            let mut jar = world.jar().await;
            let old = jar.header("/");
            visit(&mut jar, &world.layer, async |session: Session| {
                if look {
                    session.load().await.unwrap();
                }
                deed(&session);
                ok()
            })
            .await;
            assert!(jar.0.is_empty() || ticket(&jar)[..21] != old[15..36], "another session");
            world.expect_none(&old, Reject::UnknownTicket).await;
            // Twice is no error.
            let response = ask(&world.layer, &old, async |session: Session| {
                session.destroy().unwrap();
                done()
            })
            .await;
            unchanged(&response);
        }
    }
    // A session without keys is a session.
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        loaded(session).await.remove("n").unwrap();
        ok()
    })
    .await;
    let seen = world.look(&jar.header("/")).await;
    assert_eq!((seen.keys, seen.rejected), (0, None));
}

pub async fn row_4_a_request_that_is_slower_than_a_logout_brings_nothing_back(world: &World) {
    for deed in [
        (|session: &Session| session.insert("n", EVIL).unwrap()) as fn(&Session),
        |session| session.remove("n").unwrap(),
        |session| session.authenticated().unwrap(),
        |session| session.set_owner("eve").unwrap(),
        |session| session.destroy().unwrap(),
    ] {
        let mut jar = world.jar().await;
        let slow = jar.header("/");
        world.store.asked();
        let response = ask(&world.layer, &slow, async |session: Session| {
            // Load A, destroy B, save A.
            let session = loaded(session).await;
            assert_eq!(session.get("n").unwrap(), Some(1));
            visit(&mut jar, &world.layer, async |session: Session| {
                session.destroy().unwrap();
                ok()
            })
            .await;
            deed(&session);
            done()
        })
        .await;
        unchanged(&response);
        let steps = world.store.asked();
        assert_eq!(steps[..2], ["load", "delete"]);
        // A login asks whether it was overtaken.
        let asks = ["begin_login", "load"];
        let rest: Vec<&str> = steps[2..].iter().copied().filter(|step| !asks.contains(step)).collect();
        assert!(rest.len() == 1 && rest != ["create"], "{steps:?}");
        world.expect_none(&slow, Reject::UnknownTicket).await;
        assert_eq!(jar.0, []);
    }
    let dump = world.dump().await;
    assert!(!holds(&dump, EVIL.as_bytes()));
    assert_eq!(world.layer.sessions_of("eve").await.unwrap(), []);
    // The handler that asks is told, and so is each later write.
    let mut jar = world.jar().await;
    let slow = jar.header("/");
    let response = ask(&world.layer, &slow, async |session: Session| {
        let session = loaded(session).await;
        visit(&mut jar, &world.layer, async |session: Session| {
            session.destroy().unwrap();
            session.insert("n", 2).unwrap();
            ok()
        })
        .await;
        let updated = session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).await;
        assert!(matches!(updated, Err(Error::Gone)));
        session.insert("n", EVIL).unwrap();
        assert!(matches!(session.save().await, Err(Error::Gone)));
        session.insert("n", EVIL).unwrap();
        done()
    })
    .await;
    unchanged(&response);
    world.expect_none(&slow, Reject::UnknownTicket).await;
    world.expect(&jar.header("/"), 2).await;
}

async fn login(world: &World, owner: &str) -> Jar {
    let mut jar = world.jar().await;
    visit(&mut jar, &world.layer, async |session: Session| {
        session.load().await.unwrap();
        session.authenticated().unwrap();
        session.set_owner(owner).unwrap();
        ok()
    })
    .await;
    jar
}

pub async fn row_25_a_changed_password_ends_the_other_sessions(world: &World) {
    let mut own = login(world, "ada").await;
    let others = [login(world, "ada").await, login(world, "ada").await];
    let strangers = [
        login(world, "ad").await,
        login(world, "ada ").await,
        login(world, "ADA").await,
    ];
    assert_eq!(world.layer.sessions_of("ada").await.unwrap().len(), 3);
    let slow = others[0].header("/");
    let response = ask(&world.layer, &slow, async |slow: Session| {
        let slow = loaded(slow).await;
        visit(&mut own, &world.layer, async |session: Session| {
            let session = loaded(session).await;
            let id = session.id().unwrap();
            assert_eq!(world.layer.destroy_all("ada", id).await.unwrap(), 2);
            session.renew().unwrap();
            ok()
        })
        .await;
        slow.insert("n", 666).unwrap();
        done()
    })
    .await;
    unchanged(&response);
    for other in &others {
        world.expect_none(&other.header("/"), Reject::UnknownTicket).await;
    }
    world.expect(&own.header("/"), 1).await;
    for stranger in &strangers {
        world.expect(&stranger.header("/"), 1).await;
    }
    let left = world.layer.sessions_of("ada").await.unwrap();
    assert_eq!(left.len(), 1);
    // Somebody else's session cannot be ended under this name.
    assert!(!world.layer.destroy_one("eve", left[0].id).await.unwrap());
    world.expect(&own.header("/"), 1).await;
    assert!(world.layer.destroy_one("ada", left[0].id).await.unwrap());
    world.expect_none(&own.header("/"), Reject::UnknownTicket).await;
}

pub async fn row_25_an_epoch_ends_everybodys_sessions(world: &World) {
    let before = [world.jar().await, login(world, "ada").await];
    let mut again = world.jar().await;
    world.clock.advance(MINUTE);
    let epoch = world.clock.now();
    let after = login(world, "bob").await;
    visit(&mut again, &world.layer, async |session: Session| {
        loaded(session).await.authenticated().unwrap();
        ok()
    })
    .await;
    assert_eq!(world.layer.destroy_all_begun_before(epoch).await.unwrap(), 2);
    for jar in &before {
        world.expect_none(&jar.header("/"), Reject::UnknownTicket).await;
    }
    for jar in [&after, &again] {
        world.expect(&jar.header("/"), 1).await;
    }
}

pub async fn row_32_a_forged_ticket_ends_nothing(world: &World) {
    let jar = login(world, "ada").await;
    let good = jar.header("/");
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(ticket(&jar)).unwrap();
    let before = world.dump().await;
    // The selector is right, the secret is not.
    for at in [16, 31, 47] {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let forged = format!("__Host-session={}", URL_SAFE_NO_PAD.encode_to_string(forged));
        for deed in [
            (|session: &Session| session.destroy().unwrap()) as fn(&Session),
            |session| session.clear().unwrap(),
            |session| {
                session.destroy().unwrap();
                session.renew().unwrap();
            },
        ] {
            for look in [false, true] {
                let response = ask(&world.layer, &forged, async |session: Session| {
                    if look {
                        session.load().await.unwrap();
                        assert!(session.is_empty().unwrap());
                    }
                    deed(&session);
                    done()
                })
                .await;
                // At most the forged cookie goes.
                let lines = set_cookies(response.headers());
                assert!(
                    lines.iter().all(|line| line.starts_with("__Host-session=;")),
                    "{lines:?}"
                );
            }
        }
    }
    assert_eq!(world.dump().await, before);
    // Somebody with a made-up secret is a visitor, whose write begins a session of its own.
    let mut forger = Jar::new();
    let mut forged = bytes.clone();
    forged[47] ^= 1;
    let forged = URL_SAFE_NO_PAD.encode_to_string(forged);
    forger.set(&format!("__Host-session={forged}; Path=/; Secure"));
    visit(&mut forger, &world.layer, async |session: Session| {
        session.insert("n", 666).unwrap();
        ok()
    })
    .await;
    assert_ne!(ticket(&forger)[..21], forged[..21]);
    world.expect(&forger.header("/"), 666).await;
    world.expect(&good, 1).await;
    assert_eq!(world.layer.sessions_of("ada").await.unwrap().len(), 1);
}

pub async fn row_36_an_expired_session_never_loads_before_it_is_cleaned_up(world: &World) {
    let layer = world.with(|layer| layer.max_age(DAY));
    let mut jar = jar_of(&layer).await;
    visit(&mut jar, &layer, async |session: Session| {
        let session = loaded(session).await;
        session.set_owner("ada").unwrap();
        session.insert("fruit", "apple").unwrap();
        ok()
    })
    .await;
    let cookie = jar.header("/");
    let response = ask(&layer, &cookie, async |session: Session| {
        let session = loaded(session).await;
        world.clock.advance(DAY + MINUTE * 2);
        // It ended while this request was at work.
        session.insert("n", EVIL).unwrap();
        done()
    })
    .await;
    unchanged(&response);
    let dump = world.dump().await;
    assert!(
        dump.starts_with(b"MemoryStore") || holds(&dump, b"apple"),
        "it was cleaned up"
    );
    assert!(!holds(&dump, EVIL.as_bytes()));
    world.expect_none(&cookie, Reject::UnknownTicket).await;
    assert_eq!(layer.sessions_of("ada").await.unwrap(), []);
    world.store.asked();
    let response = ask(&layer, &cookie, async |session: Session| {
        session.destroy().unwrap();
        done()
    })
    .await;
    unchanged(&response);
    // A write is a session of its own.
    visit(&mut jar, &layer, async |session: Session| {
        session.insert("n", 2).unwrap();
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["delete", "load", "create"]);
    assert_ne!(jar.header("/"), cookie);
    world.expect(&jar.header("/"), 2).await;
    world.expect_none(&cookie, Reject::UnknownTicket).await;
}
