//! What a cleared session leaves to the next user, and what is set between an end and its
//! commit.

use std::{collections::BTreeMap, time::Duration};

use http_session::{Key, Reject, Session, SessionLayer, codec::Payload};

use crate::{
    client::{ask, visit},
    map_world::*,
    plain::{self, Plain, cookie, removed, sent},
    support::*,
};

/// A browser that is logged in.
async fn logged_in(world: &World) -> Jar {
    let mut jar = Jar::new();
    visit(&mut jar, &world.layer, async |session: Session| {
        session.authenticated().unwrap();
        session.set_owner("alice").unwrap();
        session.set_label("phone").unwrap();
        session.set_max_age(MINUTE * 10).unwrap();
        session.insert("user", 1).unwrap();
        ok()
    })
    .await;
    jar
}

#[tokio::test]
async fn fault_a3_who_comes_after_a_logout_has_nothing_of_who_was_there() {
    for load in [true, false] {
        let world = world();
        let mut jar = logged_in(&world).await;
        let (old, before) = (jar.clone(), world.store.record());
        world.clock.advance(MINUTE);
        visit(&mut jar, &world.layer, async |session: Session| {
            if load {
                session.load().await.unwrap();
            }
            session.clear().unwrap();
            session.insert("flash", "bye").unwrap();
            if load {
                assert_eq!(
                    (session.owner().unwrap(), session.authenticated_at().unwrap()),
                    (None, None)
                );
            }
            ok()
        })
        .await;
        let record = world.store.record();
        assert_eq!(texts(&world), [pair("flash", "\"bye\"")]);
        assert_eq!((&record.owner, &record.label), (&None, &None));
        assert_eq!((record.authenticated, record.max_age), (None, None));
        assert_eq!(
            record.expires - record.seen,
            14 * 86_400_000,
            "the layer's lifetime again"
        );
        assert_eq!(record.created, before.created, "clearing prolongs nothing");
        assert!(world.layer.sessions_of("alice").await.unwrap().is_empty());
        // A copy of the user's ticket is not good for the next one.
        assert_ne!(jar.0[0].value, old.0[0].value);
        assert_ne!(record.secret, before.secret);
        ask(&world.layer, &old.header("/"), async |session: Session| {
            session.load().await.unwrap();
            assert_eq!(session.rejected(), Some(Reject::Renewed));
            ok()
        })
        .await;
        visit(&mut jar, &world.layer, async |session: Session| {
            session.load().await.unwrap();
            assert_eq!(session.owner().unwrap(), None);
            assert_eq!(session.get::<String>("flash").unwrap().as_deref(), Some("bye"));
            ok()
        })
        .await;
    }
}

#[tokio::test]
async fn fault_a3_what_is_set_after_a_clear_counts() {
    for load in [true, false] {
        let world = world();
        let mut jar = logged_in(&world).await;
        world.clock.advance(MINUTE);
        visit(&mut jar, &world.layer, async |session: Session| {
            if load {
                session.load().await.unwrap();
            }
            // Before: it goes.
            session.set_label("before").unwrap();
            session.insert("before", 1).unwrap();
            session.clear().unwrap();
            session.authenticated().unwrap();
            session.set_owner("alice").unwrap();
            session.set_max_age(MINUTE * 10).unwrap();
            ok()
        })
        .await;
        let record = world.store.record();
        assert_eq!((record.owner.is_some(), record.label), (true, None));
        assert_eq!(world.layer.sessions_of("alice").await.unwrap().len(), 1);
        assert_eq!(record.authenticated, Some(START + 60_000));
        assert_eq!((record.max_age, record.values.iter().count()), (Some(600), 0));
        assert_eq!(jar.0.len(), 1);
        assert!(world.opens(&jar).await);
    }
}

#[test]
fn fault_a3_a_cookie_session_goes_on_under_another_id_without_login_and_lifetime() {
    let clock = Clock::new();
    let layer = SessionLayer::with_codec(Plain::new()).clock(clock.reader());
    let id = [9; 16];
    let payload = Payload::new(r#"{"user":1}"#)
        .with_id(id)
        .with_created(clock.now())
        .with_issued(clock.now())
        .with_authenticated(clock.now())
        .with_max_age(Duration::from_secs(77));
    let created = clock.now();
    clock.advance(Duration::from_secs(9));
    for save in [false, true] {
        let response = send(&layer, &cookie(&payload), |session| {
            session.clear().unwrap();
            assert_eq!(session.authenticated_at().unwrap(), None);
            if save {
                poll_now(session.save()).unwrap();
            }
            session.insert("flash", 1).unwrap();
            ok()
        });
        let next = sent(response.headers()).unwrap();
        assert_eq!(next.json(), r#"{"flash":1}"#);
        assert!(next.id().is_some_and(|next| next != id));
        assert_eq!((next.authenticated(), next.max_age()), (None, None));
        assert_eq!((next.created(), next.issued()), (Some(created), Some(clock.now())));
        // The same data, but whose it was is gone.
        let response = send(&layer, &cookie(&payload), |session| {
            session.clear().unwrap();
            session.insert("user", 1).unwrap();
            session.set_max_age(Duration::from_secs(7)).unwrap();
            ok()
        });
        let next = sent(response.headers()).unwrap();
        assert_eq!(next.max_age(), Some(Duration::from_secs(7)));
        assert!(next.authenticated().is_none() && next.id() != Some(id));
    }
}

#[tokio::test]
async fn fault_a16_a_logout_of_a_session_that_was_not_loaded_leaves_nothing() {
    let world = world();
    let mut jar = logged_in(&world).await;
    let copy = jar.clone();
    let response = visit(&mut jar, &world.layer, async |session: Session| {
        session.clear().unwrap();
        ok()
    })
    .await;
    assert_eq!((world.store.len(), jar.0.len()), (0, 0));
    assert_eq!(set_cookies(response.headers()).len(), 1);
    assert!(!world.opens(&copy).await);
}

#[tokio::test]
async fn fault_a16_several_sessions_of_one_name_end_with_a_clear_whatever_follows() {
    for (load, insert) in [(true, true), (false, true), (true, false), (false, false)] {
        let world = world_of(|layer| layer.secure(false));
        let cookies = [logged_in(&world).await.header("/"), logged_in(&world).await.header("/")].join("; ");
        assert_eq!(world.store.len(), 2);
        ask(&world.layer, &cookies, async |session: Session| {
            if load {
                session.load().await.unwrap();
                assert_eq!(session.rejected(), Some(Reject::Ambiguous));
            }
            session.clear().unwrap();
            if insert {
                session.insert("flash", 1).unwrap();
            }
            ok()
        })
        .await;
        assert_eq!(world.store.len(), usize::from(insert), "load {load}");
    }
}

#[tokio::test]
async fn fault_a17_what_is_set_between_an_end_and_its_commit_is_about_the_next_session() {
    for load in [true, false] {
        for end in [|s: &Session| s.clear(), |s: &Session| s.destroy()] {
            for save in [true, false] {
                let world = world();
                let mut jar = logged_in(&world).await;
                visit(&mut jar, &world.layer, async |session: Session| {
                    if load {
                        session.load().await.unwrap();
                    }
                    end(&session).unwrap();
                    session.set_max_age(Duration::from_secs(3600)).unwrap();
                    session.set_label("tablet").unwrap();
                    if save {
                        session.save().await.unwrap();
                        assert_eq!(world.store.len(), 0);
                        session.save().await.unwrap();
                    }
                    session.insert("n", 1).unwrap();
                    ok()
                })
                .await;
                let record = world.store.record();
                assert_eq!((record.max_age, record.label.as_deref()), (Some(3600), Some("tablet")));
                assert_eq!((record.owner, record.authenticated), (None, None));
                assert!(world.opens(&jar).await);
            }
        }
    }
}

#[test]
fn fault_a17_so_it_is_in_a_cookie() {
    let layer = SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap();
    let cookie = layer.cookie_header(&BTreeMap::from([("user", 1)])).unwrap();
    let ends: [fn(&Session); 3] = [
        |s| s.clear().unwrap(),
        |s| s.destroy().unwrap(),
        |s| s.remove("user").unwrap(),
    ];
    for end in ends {
        for save in [true, false] {
            let response = send(&layer, cookie.to_str().unwrap(), |session| {
                end(session);
                session.set_max_age(Duration::from_secs(3600)).unwrap();
                session.authenticated().unwrap();
                if save {
                    poll_now(session.save()).unwrap();
                }
                session.insert("n", 1).unwrap();
                ok()
            });
            let lines = set_cookies(response.headers());
            assert!(lines.len() == 1 && lines[0].contains("Max-Age=3600"), "{lines:?}");
            let cookie = lines[0].split(';').next().unwrap();
            send(&layer, cookie, |session| {
                assert!(session.authenticated_at().unwrap().is_some());
                ok()
            });
        }
    }
    // Alone it makes no session.
    let response = send(&layer, cookie.to_str().unwrap(), |session| {
        session.clear().unwrap();
        session.set_max_age(Duration::from_secs(3600)).unwrap();
        ok()
    });
    assert_eq!(removed(response.headers()), ["__Host-session"]);
    let _ = plain::is_removal;
}
