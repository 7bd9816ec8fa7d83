//! Whose sessions there are, how many, and what ends them all: on every store, in two processes, with clocks that differ.

use std::{
    env,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use http_session::{Error, Reject, Session, SessionLayer};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    client::{ask, visit},
    places,
    stores::When,
    support::*,
    world::*,
};

const SKEW: Duration = Duration::from_secs(5);

async fn log_in(jar: &mut Jar, layer: &SessionLayer, owner: &str) {
    let response = visit(jar, layer, async |session: Session| {
        session.load().await.unwrap();
        session.insert("n", 1).unwrap();
        session.authenticated().unwrap();
        session.set_owner(owner).unwrap();
        done()
    })
    .await;
    assert_eq!(response.body(), "done");
}

async fn logged_in(layer: &SessionLayer, owner: &str) -> Jar {
    let mut jar = Jar::new();
    log_in(&mut jar, layer, owner).await;
    jar
}

/// Whose session it is; `None` if there is none.
async fn owner(layer: &SessionLayer, cookie: &str) -> Option<String> {
    let mut owner = None;
    ask(layer, cookie, async |session: Session| {
        owner = loaded(session).await.owner().unwrap();
        ok()
    })
    .await;
    owner
}

pub async fn fault_a1_owners_are_those_of_an_application(world: &World) {
    let admin = world.with(|layer| layer.app("admin"));
    let shop = world.with(|layer| layer.app("shop").max_sessions_per_owner(1));
    let cart = world.with(|layer| layer.app("shop").cookie_name("cart").tagged::<Barrier>());
    let administrator = logged_in(&admin, "1").await;
    let customer = logged_in(&shop, "1").await;
    assert_eq!(owner(&admin, &administrator.header("/")).await.as_deref(), Some("1"));
    assert_eq!(owner(&shop, &customer.header("/")).await.as_deref(), Some("1"));
    for (layer, jar) in [(&admin, &administrator), (&shop, &customer)] {
        let sessions = layer.sessions_of("1").await.unwrap();
        assert_eq!(sessions.len(), 1);
        let mut id = None;
        ask(layer, &jar.header("/"), async |session: Session| {
            id = loaded(session).await.id().unwrap();
            ok()
        })
        .await;
        assert_eq!(Some(sessions[0].id), id);
    }
    let theirs = admin.sessions_of("1").await.unwrap()[0].id;
    assert!(!shop.destroy_one("1", theirs).await.unwrap());
    // Layers of one application share its owners, whatever their cookies are called.
    assert_eq!(cart.sessions_of("1").await.unwrap().len(), 1);
    assert_eq!(cart.destroy_all("1", None).await.unwrap(), 1);
    assert_eq!(owner(&shop, &customer.header("/")).await, None);
    assert_eq!(owner(&admin, &administrator.header("/")).await.as_deref(), Some("1"));
    // No byte moves from the application's name to the owner's.
    let (short, long) = (world.with(|layer| layer.app("a")), world.with(|layer| layer.app("ab")));
    let jar = logged_in(&short, "bc").await;
    assert_eq!(long.sessions_of("c").await.unwrap(), []);
    assert_eq!(long.destroy_all("c", None).await.unwrap(), 0);
    assert_eq!(owner(&short, &jar.header("/")).await.as_deref(), Some("bc"));
    // A name comes back as it was, through every step that writes it.
    let name = "Ada \u{1F600} \"'{}*\0\n".to_owned() + &"x".repeat(1_000);
    let mut jar = logged_in(&short, &name).await;
    visit(&mut jar, &short, async |session: Session| {
        loaded(session).await.renew().unwrap();
        ok()
    })
    .await;
    assert_eq!(owner(&short, &jar.header("/")).await, Some(name.clone()));
    assert_eq!(short.sessions_of(&name).await.unwrap().len(), 1);
}

pub async fn fault_b13_owners_and_labels_have_at_most_1024_bytes(world: &World) {
    let mut jar = Jar::new();
    visit(&mut jar, &world.layer, async |session: Session| {
        for too_long in ["x".repeat(1_025), "é".repeat(513)] {
            for answer in [session.set_owner(&*too_long), session.set_label(&*too_long)] {
                let error = answer.unwrap_err();
                assert!(matches!(error, Error::Value { .. }), "{error}");
                assert!(error.to_string().contains("1024"), "{error}");
            }
        }
        session.set_owner("é".repeat(512)).unwrap();
        session.set_label("é".repeat(512)).unwrap();
        ok()
    })
    .await;
    let listed = world.layer.sessions_of(&"é".repeat(512)).await.unwrap();
    assert_eq!(listed[0].label.as_deref(), Some(&*"é".repeat(512)));
}

/// Two layers on one store whose clocks are ten seconds apart.
fn apart(world: &World, most: usize) -> [SessionLayer; 2] {
    [true, false].map(|ahead| {
        let clock = world.clock.reader();
        let clock = move || if ahead { clock() + SKEW } else { clock() - SKEW };
        world.with(|layer| layer.max_sessions_per_owner(most).clock(clock))
    })
}

pub async fn fault_f2_a_limit_holds_for_logins_at_once(world: &World) {
    for most in 1..=3 {
        let layers = apart(world, most);
        let name = format!("ada {most}");
        let barrier = Arc::new(Barrier::new(20));
        let mut logins = JoinSet::new();
        for at in 0..20 {
            let (layer, barrier, name) = (layers[at % 2].clone(), barrier.clone(), name.clone());
            logins.spawn(async move {
                let mut jar = Jar::new();
                if at % 4 < 2 {
                    // A visitor who has a session already.
                    jar = jar_of(&layer).await;
                }
                barrier.wait().await;
                log_in(&mut jar, &layer, &name).await;
                jar.header("/")
            });
        }
        let cookies = soon(logins.join_all()).await;
        let alive = alive(&layers[0], &cookies, &name).await;
        assert_eq!(alive, most, "of 20 logins at once");
        assert_eq!(layers[0].sessions_of(&name).await.unwrap().len(), most);
        // One after the other, whatever the clocks say: the last ones live.
        let mut last = Vec::new();
        for at in 0..2 * most + 2 {
            last.push(logged_in(&layers[(at + most) % 2], &name).await.header("/"));
        }
        for (at, cookie) in last.iter().rev().enumerate() {
            let expected = (at < most).then(|| name.clone());
            assert_eq!(owner(&layers[1], cookie).await, expected, "{at} before the last one");
        }
    }
}

async fn alive(layer: &SessionLayer, cookies: &[String], name: &str) -> usize {
    let mut alive = 0;
    for cookie in cookies {
        alive += usize::from(owner(layer, cookie).await.as_deref() == Some(name));
    }
    alive
}

const STORE: &str = "HTTP_SESSION_TEST_LOGINS_STORE";
const MOST: &str = "HTTP_SESSION_TEST_LOGINS_MOST";
const AHEAD: &str = "HTTP_SESSION_TEST_LOGINS_AHEAD";
const LAST: &str = "the last login";

pub async fn fault_f2_a_limit_holds_in_two_processes(world: &World) {
    let url = &world.place.url;
    if url.is_empty() {
        // One process is all there is.
        return;
    }
    for most in 1..=3 {
        let start = |ahead: bool| {
            Command::new(env::current_exe().unwrap())
                .args([
                    "the_other_process_logs_in",
                    "--exact",
                    "--nocapture",
                    "--test-threads=1",
                ])
                .env(STORE, format!("{url} {}", world.place.prefix))
                .env(MOST, most.to_string())
                .env(AHEAD, ahead.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let processes = [start(true), start(false)];
        let mut cookies = Vec::new();
        for process in processes {
            let done = tokio::task::spawn_blocking(|| process.wait_with_output().unwrap());
            let done = done.await.unwrap();
            let said = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
            let its = said.split_whitespace().filter(|word| word.starts_with("__Host-"));
            cookies.extend(its.map(str::to_owned));
        }
        assert_eq!(cookies.len(), 60);
        let name = format!("{LAST} {most}");
        let layer = world.with(|layer| layer.max_sessions_per_owner(most));
        assert_eq!(alive(&layer, &cookies, &name).await, most);
        assert_eq!(layer.sessions_of(&name).await.unwrap().len(), most);
    }
}

/// In the other process.
pub async fn other_process() {
    let (Ok(store), Ok(most), Ok(ahead)) = (env::var(STORE), env::var(MOST), env::var(AHEAD)) else {
        return;
    };
    let (url, prefix) = store.split_once(' ').unwrap();
    let store = places::connect(url, prefix).await;
    let ahead = ahead == "true";
    let clock = move || {
        let now = SystemTime::now();
        if ahead { now + SKEW } else { now - SKEW }
    };
    let name = format!("{LAST} {most}");
    let layer = SessionLayer::with_store(store)
        .store_timeout(MINUTE)
        .max_sessions_per_owner(most.parse().unwrap())
        .clock(clock)
        .build()
        .unwrap();
    let mut logins = JoinSet::new();
    for _ in 0..10 {
        let (layer, name) = (layer.clone(), name.clone());
        logins.spawn(async move {
            let mut cookies = Vec::new();
            for _ in 0..3 {
                cookies.push(logged_in(&layer, &name).await.header("/"));
            }
            cookies
        });
    }
    for cookie in logins.join_all().await.concat() {
        println!("{cookie}");
    }
}

/// A login that has begun, and whose step has not reached the store, when `end` is called. Returns
/// the jar afterwards, and the header that it made before.
async fn login_across(world: &World, step: &'static str, end: impl AsyncFnOnce()) -> (Jar, String) {
    let mut jar = if step == "create" {
        Jar::new()
    } else {
        world.jar().await
    };
    let before = jar.header("/");
    world.store.hold(step, When::Before);
    let layer = world.layer.clone();
    let login = tokio::spawn(async move {
        log_in(&mut jar, &layer, "ada").await;
        jar
    });
    soon(world.store.held()).await;
    end().await;
    world.store.open();
    (soon(login).await.unwrap(), before)
}

pub async fn fault_a6_an_end_of_all_leaves_no_login_that_was_on_its_way(world: &World) {
    let layer = &world.layer;
    let keeper = logged_in(layer, "ada").await;
    let mut kept = None;
    ask(layer, &keeper.header("/"), async |session: Session| {
        kept = loaded(session).await.id().unwrap();
        ok()
    })
    .await;
    let other = logged_in(layer, "bob").await;
    for step in ["create", "apply"] {
        let (jar, before) = login_across(world, step, async || {
            layer.destroy_all("ada", kept).await.unwrap();
        })
        .await;
        assert_eq!(jar.header("/"), before);
        if step == "apply" {
            // The visitor's session is as it was.
            world.expect(&before, 1).await;
            assert_eq!(owner(layer, &before).await, None);
        }
        assert_eq!(layer.sessions_of("ada").await.unwrap().len(), 1);
        // Logins that begin afterwards are as good as ever, in the same millisecond.
        let next = logged_in(layer, "ada").await;
        assert_eq!(owner(layer, &next.header("/")).await.as_deref(), Some("ada"));
        layer.destroy_all("ada", kept).await.unwrap();

        // And one of another owner, or one session of this one, ends nobody's login.
        let (jar, _) = login_across(world, step, async || {
            layer.destroy_all("bob", None).await.unwrap();
            assert!(!layer.destroy_one("eve", kept.unwrap()).await.unwrap());
        })
        .await;
        assert_eq!(owner(layer, &jar.header("/")).await.as_deref(), Some("ada"));
        layer.destroy_all("ada", kept).await.unwrap();
    }
    assert_eq!(owner(layer, &other.header("/")).await, None);
    // While the handler is at work.
    let mut jar = Jar::new();
    let response = visit(&mut jar, layer, async |session: Session| {
        session.authenticated().unwrap();
        session.set_owner("ada").unwrap();
        world.clock.advance(Duration::from_millis(5));
        layer.destroy_all("ada", None).await.unwrap();
        world.clock.advance(Duration::from_millis(5));
        done()
    })
    .await;
    unchanged(&response);
    assert_eq!(layer.sessions_of("ada").await.unwrap(), []);
    // The session that is to be kept is, though its user proved who they are before the others were
    // ended.
    let mut keeper = logged_in(layer, "ada").await;
    let before = keeper.header("/");
    visit(&mut keeper, layer, async |session: Session| {
        let session = loaded(session).await;
        session.authenticated().unwrap();
        session.set_owner("ada").unwrap();
        world.clock.advance(Duration::from_millis(5));
        let own = session.id().unwrap();
        layer.destroy_all("ada", own).await.unwrap();
        world.clock.advance(Duration::from_millis(5));
        session.insert("n", 7).unwrap();
        ok()
    })
    .await;
    assert_ne!(keeper.header("/"), before);
    world.expect(&keeper.header("/"), 7).await;
    world.expect_none(&before, Reject::Renewed).await;
    // So is that of a login which was saved before.
    let mut jar = Jar::new();
    visit(&mut jar, layer, async |session: Session| {
        session.authenticated().unwrap();
        session.set_owner("ada").unwrap();
        session.save().await.unwrap();
        world.clock.advance(Duration::from_millis(5));
        assert_eq!(layer.destroy_all("ada", session.id().unwrap()).await.unwrap(), 1);
        session.insert("n", 8).unwrap();
        ok()
    })
    .await;
    world.expect(&jar.header("/"), 8).await;
    layer.destroy_all("ada", None).await.unwrap();
}

pub async fn fault_a6_an_epoch_leaves_no_login_that_was_on_its_way(world: &World) {
    let layer = &world.layer;
    for step in ["create", "apply"] {
        let (jar, before) = login_across(world, step, async || {
            layer.destroy_all_begun_before(world.clock.now()).await.unwrap();
        })
        .await;
        assert_eq!(jar.header("/"), before);
        assert_eq!(layer.sessions_of("ada").await.unwrap(), []);
        let next = logged_in(layer, "ada").await;
        assert_eq!(owner(layer, &next.header("/")).await.as_deref(), Some("ada"));
        layer.destroy_all("ada", None).await.unwrap();
    }
    // The clock of the server that is asked is behind, or ahead: what is there began before now.
    world.clock.advance(MINUTE);
    let [ahead, behind] = apart(world, 100);
    for layer in [&ahead, &behind] {
        let jars = [
            logged_in(&ahead, "ada").await,
            logged_in(&behind, "bob").await,
            jar_of(&ahead).await,
            jar_of(&behind).await,
        ];
        world.clock.advance(Duration::from_millis(1));
        let now = match std::ptr::eq(layer, &ahead) {
            true => world.clock.now() + SKEW,
            false => world.clock.now() - SKEW,
        };
        layer.destroy_all_begun_before(now).await.unwrap();
        for jar in &jars {
            world.expect_none(&jar.header("/"), Reject::UnknownTicket).await;
        }
        for other in [&ahead, &behind] {
            let jar = logged_in(other, "ada").await;
            assert_eq!(
                owner(other, &jar.header("/")).await.as_deref(),
                Some("ada"),
                "afterwards"
            );
        }
        world.clock.advance(MINUTE);
    }
    // A time that is to come ends what is there, and nothing that comes.
    let jar = world.jar().await;
    let tomorrow = world.clock.now() + DAY;
    layer.destroy_all_begun_before(tomorrow).await.unwrap();
    world.expect_none(&jar.header("/"), Reject::UnknownTicket).await;
    world.clock.advance(Duration::from_millis(1));
    world.expect(&world.jar().await.header("/"), 1).await;
}

pub async fn fault_a6_while_16_clients_log_in_without_pause_an_end_leaves_nothing(world: &World) {
    for epoch in [false, true] {
        let stop = Arc::new(AtomicBool::new(false));
        let logins = Arc::new(AtomicUsize::new(0));
        let after = async |more: usize| {
            let enough = logins.load(Ordering::Relaxed) + more;
            while logins.load(Ordering::Relaxed) < enough {
                tokio::task::yield_now().await;
            }
        };
        let mut clients = JoinSet::new();
        for at in 0..16 {
            let (layers, stop, logins) = (apart(world, 1_000), stop.clone(), logins.clone());
            clients.spawn(async move {
                let mut cookies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let jar = logged_in(&layers[at % 2], "ada").await;
                    cookies.push((Instant::now(), jar.header("/")));
                    logins.fetch_add(1, Ordering::Relaxed);
                }
                cookies
            });
        }
        soon(after(50)).await;
        let called = Instant::now();
        if epoch {
            world.layer.destroy_all_begun_before(world.clock.now()).await.unwrap();
        } else {
            world.layer.destroy_all("ada", None).await.unwrap();
        }
        soon(after(30)).await;
        stop.store(true, Ordering::Relaxed);
        let cookies = soon(clients.join_all()).await.concat();
        let mut before = 0;
        for (answered, cookie) in &cookies {
            if *answered < called && !cookie.is_empty() {
                before += 1;
                assert_eq!(owner(&world.layer, cookie).await, None, "epoch: {epoch}");
            }
        }
        assert!(before > 0);
        world.layer.destroy_all("ada", None).await.unwrap();
        world.clock.advance(MINUTE);
    }
}

/// A form that was sent twice: both handlers have read the session before either writes.
pub async fn fault_a2_a_login_that_is_overtaken_by_another_one_begins_a_session_of_its_own(world: &World) {
    let layer = world.with(|layer| layer.max_sessions_per_owner(2));
    // A first login, and one of a user who is logged in already.
    for again in [false, true] {
        let mut jar = world.jar().await;
        if again {
            log_in(&mut jar, &layer, "ada").await;
        }
        let (mut first, mut second) = (jar.clone(), jar.clone());
        let response = visit(&mut second, &layer, async |session: Session| {
            let session = loaded(session).await;
            log_in(&mut first, &layer, "ada").await;
            session.insert("m", 2).unwrap();
            session.authenticated().unwrap();
            session.set_owner("ada").unwrap();
            done()
        })
        .await;
        assert_eq!((response.status().as_u16(), &**response.body()), (200, "done"));
        for jar in [&first, &second] {
            assert_eq!(owner(&layer, &jar.header("/")).await.as_deref(), Some("ada"), "{again}");
            assert_eq!(look(&layer, &jar.header("/")).await.n, Some(1));
        }
        assert_ne!(ticket(&first)[..21], ticket(&second)[..21]);
        assert_eq!(layer.sessions_of("ada").await.unwrap().len(), 2);
        layer.destroy_all("ada", None).await.unwrap();
        // A request that is no login writes nothing, and nor does a login whose session has ended.
        for ended in [false, true] {
            let mut jar = world.jar().await;
            let slow = jar.header("/");
            let response = ask(&layer, &slow, async |session: Session| {
                let session = loaded(session).await;
                if ended {
                    visit(&mut jar, &layer, async |session: Session| {
                        session.destroy().unwrap();
                        ok()
                    })
                    .await;
                    session.authenticated().unwrap();
                } else {
                    log_in(&mut jar, &layer, "ada").await;
                }
                session.insert("m", 2).unwrap();
                session.set_owner("ada").unwrap();
                done()
            })
            .await;
            unchanged(&response);
        }
        layer.destroy_all("ada", None).await.unwrap();
    }
}

pub async fn fault_a2_a_ticket_that_was_renewed_is_a_visitors_after_two_minutes(world: &World) {
    let mut jar = world.jar().await;
    let old = jar.clone();
    visit(&mut jar, &world.layer, async |session: Session| {
        loaded(session).await.authenticated().unwrap();
        ok()
    })
    .await;
    let form = async |session: Session| {
        let session = loaded(session).await;
        session.insert("csrf", "token").unwrap();
        done()
    };
    world.clock.advance(MINUTE * 2);
    let response = ask(&world.layer, &old.header("/"), form).await;
    unchanged(&response);
    world.expect_none(&old.header("/"), Reject::Renewed).await;
    world.clock.advance(Duration::from_millis(1));
    world.expect_none(&old.header("/"), Reject::UnknownTicket).await;
    // The visitor gets the form, with a session of their own, and the login goes on as any other.
    let mut visitor = old.clone();
    visit(&mut visitor, &world.layer, form).await;
    assert_ne!(ticket(&visitor)[..21], ticket(&old)[..21]);
    visit(&mut visitor, &world.layer, async |session: Session| {
        let session = loaded(session).await;
        assert_eq!(session.get::<String>("csrf").unwrap().as_deref(), Some("token"));
        session.authenticated().unwrap();
        ok()
    })
    .await;
    // A logout with the old ticket is a removal, and harms nobody.
    let mut leaving = old.clone();
    visit(&mut leaving, &world.layer, async |session: Session| {
        loaded(session).await.destroy().unwrap();
        ok()
    })
    .await;
    assert_eq!(leaving.0, []);
    world.expect(&jar.header("/"), 1).await;
}

pub async fn fault_a15_a_visitors_session_lives_for_a_day_and_a_users_longer(world: &World) {
    let layer = world.with(|layer| layer.anonymous_max_age(DAY));
    let hour = DAY / 24;
    let visitor = jar_of(&layer).await;
    let mut user = jar_of(&layer).await;
    visit(&mut user, &layer, async |session: Session| {
        loaded(session).await.authenticated().unwrap();
        ok()
    })
    .await;
    let mut owned = jar_of(&layer).await;
    let response = visit(&mut owned, &layer, async |session: Session| {
        loaded(session).await.set_owner("ada").unwrap();
        ok()
    })
    .await;
    let line = set_cookies(response.headers()).remove(0);
    assert!(line.ends_with("Max-Age=1209600"), "{line}");
    let mut asked = jar_of(&layer).await;
    visit(&mut asked, &layer, async |session: Session| {
        loaded(session).await.set_max_age(DAY * 3).unwrap();
        ok()
    })
    .await;
    world.clock.advance(DAY - hour);
    assert_eq!(look(&layer, &visitor.header("/")).await.n, Some(1));
    world.clock.advance(hour + MINUTE);
    assert_eq!(look(&layer, &visitor.header("/")).await.n, None);
    for jar in [&user, &owned, &asked] {
        assert_eq!(look(&layer, &jar.header("/")).await.n, Some(1));
    }
    world.clock.advance(DAY * 2);
    assert_eq!(look(&layer, &asked.header("/")).await.n, None);
    world.clock.advance(DAY * 10);
    for jar in [&user, &owned] {
        assert_eq!(look(&layer, &jar.header("/")).await.n, Some(1));
    }
}
