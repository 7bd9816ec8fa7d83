//! Who gets which session.

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use http::Request;
use http_session::{
    Error, Reject, Session,
    store::{Loaded, Store as _},
};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::{
    client::{ask, visit},
    dump::holds,
    support::*,
    world::*,
};

pub async fn row_1_an_unknown_ticket_is_never_adopted(world: &World) {
    let planted = URL_SAFE_NO_PAD.encode_to_string([5; 48]);
    let cookie = format!("__Host-session={planted}");
    let mut jar = Jar::new();
    jar.set(&format!("{cookie}; Path=/; Secure"));
    visit(&mut jar, &world.layer, async |session: Session| {
        session.insert("n", 1).unwrap();
        ok()
    })
    .await;
    assert_eq!(world.store.asked(), ["load", "create"]);
    // Another selector and another secret.
    assert_ne!(ticket(&jar)[..21], planted[..21]);
    assert_ne!(ticket(&jar)[22..], planted[22..]);
    world.expect_none(&cookie, Reject::UnknownTicket).await;
    world.expect(&jar.header("/"), 1).await;
}

pub async fn row_2_after_renew_the_old_ticket_reads_empty_and_the_data_stays(world: &World) {
    let mut jar = world.jar().await;
    // A login, and a privilege that is taken away again.
    for (step, deed) in [
        (|session: &Session| session.authenticated().unwrap()) as fn(&Session),
        |session| {
            session.remove("admin").unwrap();
            session.renew().unwrap();
        },
    ]
    .into_iter()
    .enumerate()
    {
        let old = jar.clone();
        let mut created = None;
        visit(&mut jar, &world.layer, async |session: Session| {
            let session = loaded(session).await;
            created = session.created_at().unwrap();
            session.insert("step", step).unwrap();
            deed(&session);
            ok()
        })
        .await;
        assert_ne!(ticket(&jar), ticket(&old));
        world.expect_none(&old.header("/"), Reject::Renewed).await;
        world.expect(&jar.header("/"), 1).await;
        world.clock.advance(MINUTE);
        visit(&mut jar, &world.layer, async |session: Session| {
            let session = loaded(session).await;
            assert_eq!(session.get("step").unwrap(), Some(step));
            assert_eq!(session.created_at().unwrap(), created, "renewal is no new life");
            session.insert("admin", true).unwrap();
            ok()
        })
        .await;
    }
}

const OWNER: &str = "ada.lovelace@example.com";

pub async fn row_5_a_stolen_store_opens_no_session(world: &World) {
    let mut jar = Jar::new();
    let mut tickets = Vec::new();
    for round in 0..3 {
        visit(&mut jar, &world.layer, async |session: Session| {
            let session = loaded(session).await;
            session.insert("fruit", format!("apple-{round}")).unwrap();
            session.set_owner(OWNER).unwrap();
            session.set_label("a phone").unwrap();
            session.renew().unwrap();
            ok()
        })
        .await;
        tickets.push(ticket(&jar).to_owned());
    }
    let mut id = None;
    ask(&world.layer, &jar.header("/"), async |session: Session| {
        id = loaded(session).await.id().unwrap();
        ok()
    })
    .await;
    let dump = world.dump().await;
    // Of the memory of this very process there is only what is printed.
    if dump.starts_with(b"MemoryStore") {
        for hidden in ["apple", OWNER, "a phone"] {
            assert!(!holds(&dump, hidden.as_bytes()), "{hidden}");
        }
    } else {
        // It is the right place that is looked at.
        for kept in ["apple-2", "a phone"] {
            assert!(holds(&dump, kept.as_bytes()), "{kept}");
        }
        // Whose sessions these are is not said.
        assert!(!holds(&dump, OWNER.as_bytes()) && !holds(&dump, STANDARD.encode_to_string(OWNER).as_bytes()));
        assert!(holds(&dump, id.unwrap().as_bytes()));
    }
    for text in tickets {
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(&text).unwrap();
        let (selector, secret) = bytes.split_at(16);
        for (what, bytes) in [
            ("the cookie", text.as_bytes()),
            ("the ticket", &bytes),
            ("the selector", selector),
            ("the secret", secret),
            ("half of the selector", &selector[..8]),
            ("half of the secret", &secret[16..]),
        ] {
            assert!(!holds(&dump, bytes), "{what} is in the store");
        }
    }
    // What is in the store is no ticket.
    let mut forged = id.unwrap().as_bytes().to_vec();
    forged.truncate(16);
    forged.extend(id.unwrap().as_bytes());
    let forged = URL_SAFE_NO_PAD.encode_to_string(forged);
    world
        .expect_none(&format!("__Host-session={forged}"), Reject::UnknownTicket)
        .await;
}

pub async fn row_7_a_collision_takes_nobodys_session(world: &World) {
    let write = async |session: Session| {
        session.insert("n", 1).unwrap();
        ok()
    };
    world.store.collide(2);
    let mut jar = Jar::new();
    visit(&mut jar, &world.layer, write).await;
    assert_eq!(world.store.asked(), ["create", "create", "create"]);
    world.expect(&jar.header("/"), 1).await;
    let planted = world.store.planted();
    let now = world
        .clock
        .now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    let Loaded::Live(other) = world.store.load(&planted, now).await.unwrap() else {
        panic!("it was somebody's");
    };
    let values: Vec<_> = other.values.iter().collect();
    assert_eq!(values, [("whose", "\"another's\"")]);
    // A random source that repeats itself is one that failed.
    world.store.collide(100);
    let response = ask(&world.layer, "", write).await;
    assert!(matches!(response.extensions().get::<Error>(), Some(Error::Random)));
    assert_eq!(set_cookies(response.headers()), [""; 0]);
}

pub async fn row_16_a_ticket_is_worth_nothing_in_another_layer(world: &World) {
    let shop = world.with(|layer| layer.cookie_name("shop"));
    let admin = world.with(|layer| layer.cookie_name("admin"));
    let other = world.with(|layer| layer.cookie_name("shop").app("other"));
    let jar = jar_of(&shop).await;
    let good = ticket(&jar).to_owned();
    for (layer, name) in [(&admin, "__Host-admin"), (&other, "__Host-shop")] {
        let cookie = format!("{name}={good}");
        let seen = look(layer, &cookie).await;
        assert_eq!((seen.n, seen.rejected), (None, Some(Reject::UnknownTicket)));
        let response = ask(layer, &cookie, async |session: Session| {
            session.destroy().unwrap();
            done()
        })
        .await;
        unchanged(&response);
        // What it writes is a session of its own.
        ask(layer, &cookie, async |session: Session| {
            session.insert("n", EVIL).unwrap();
            ok()
        })
        .await;
    }
    assert_eq!(look(&shop, &jar.header("/")).await.n, Some(1));
}

pub async fn row_37_the_old_ticket_harms_the_new_one_in_no_way(world: &World) {
    let mut jar = world.jar().await;
    let old = jar.header("/");
    visit(&mut jar, &world.layer, async |session: Session| {
        loaded(session).await.authenticated().unwrap();
        ok()
    })
    .await;
    let before = world.dump().await;
    for deed in [
        (|session: &Session| session.insert("n", EVIL).unwrap()) as fn(&Session),
        |session| session.destroy().unwrap(),
        |session| session.clear().unwrap(),
        |session| {
            session.destroy().unwrap();
            session.insert("n", EVIL).unwrap();
        },
        |session| session.set_owner("eve").unwrap(),
        |session| session.remove("n").unwrap(),
    ] {
        for look in [false, true] {
            let response = ask(&world.layer, &old, async |session: Session| {
                if look {
                    session.load().await.unwrap();
                    assert_eq!(session.rejected(), Some(Reject::Renewed));
                }
                deed(&session);
                done()
            })
            .await;
            unchanged(&response);
        }
    }
    assert_eq!(world.dump().await, before);
    world.expect(&jar.header("/"), 1).await;
}

pub async fn row_38_a_session_is_bound_to_no_header(world: &World) {
    let cookie = world.jar().await.header("/");
    world.store.asked();
    for (agent, address) in [
        ("Mozilla/5.0 (Firefox)", "192.0.2.11"),
        ("curl/8", "198.51.100.23"),
        ("", "2001:db8::77"),
    ] {
        let request = Request::builder()
            .header("cookie", &cookie)
            .header("user-agent", agent)
            .header("x-forwarded-for", address)
            .header("x-real-ip", address)
            .header("forwarded", format!("for={address}"));
        let handler = service_fn(async |request: Request<()>| {
            let session = loaded(request.extensions().get::<Session>().unwrap().clone()).await;
            assert_eq!((session.get("n").unwrap(), session.rejected()), (Some(1), None));
            session.insert("last", "visit").unwrap();
            session.remove("last").unwrap();
            session
                .insert("seen", session.get::<u64>("seen").unwrap().unwrap_or(0) + 1)
                .unwrap();
            Ok::<_, std::convert::Infallible>(done())
        });
        let response = world
            .layer
            .layer(handler)
            .oneshot(request.body(()).unwrap())
            .await
            .unwrap();
        unchanged(&response);
        assert_eq!(world.store.asked(), ["load", "apply"]);
    }
    let dump = world.dump().await;
    for header in [
        "Mozilla",
        "Firefox",
        "curl/8",
        "192.0.2.11",
        "198.51.100.23",
        "2001:db8",
    ] {
        assert!(!holds(&dump, header.as_bytes()), "{header}");
    }
}

pub async fn rule_19_a_slow_request_across_a_renewal_writes_nothing(world: &World) {
    let mut jar = world.jar().await;
    let slow = jar.header("/");
    let response = ask(&world.layer, &slow, async |session: Session| {
        let session = loaded(session).await;
        visit(&mut jar, &world.layer, async |session: Session| {
            let session = loaded(session).await;
            session.authenticated().unwrap();
            session.insert("user", "ada").unwrap();
            ok()
        })
        .await;
        session.insert("n", EVIL).unwrap();
        assert!(matches!(session.save().await, Err(Error::Gone)));
        assert!(session.is_empty().unwrap());
        session.insert("n", EVIL).unwrap();
        let updated = session.update("m", |m: Option<u64>| m.unwrap_or(0) + 1).await;
        assert!(matches!(updated, Err(Error::Gone)));
        done()
    })
    .await;
    unchanged(&response);
    world.expect(&jar.header("/"), 1).await;
    world.expect_none(&slow, Reject::Renewed).await;
}
