//! The layer and its service as a tower stack meets them: readiness, errors, failed commits, several layers on one service,
//! and what comes too late.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value)]

#[path = "support/events.rs"]
mod events;
mod support;

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Ready, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::mpsc,
    task::{Context, Poll, Waker},
    thread,
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE, VARY},
};
use http_session::{Error, Key, Scope, Session, SessionLayer, Tagged};
use support::*;
use tower::{Layer, Service, ServiceExt, service_fn};

fn layer() -> SessionLayer {
    SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap()
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// More than a cookie holds.
fn too_much() -> String {
    "x".repeat(5_000)
}

fn session_of<B>(request: &Request<B>) -> Session {
    request.extensions().get::<Session>().unwrap().clone()
}

/// The `Cookie` header of a client whose session has `key` = `value`.
fn client<R>(layer: &SessionLayer<R>, value: u64) -> HeaderValue {
    layer
        .cookie_header(&std::collections::BTreeMap::from([("key", value)]))
        .unwrap()
}

#[track_caller]
fn assert_too_late(result: Result<(), Error>) {
    assert!(matches!(result, Err(Error::HeadersSent)), "{result:?}");
}

// --- Readiness, and whose service it is.

/// Ready for one call after the second poll; neither `Clone` nor `Send` nor `'static`.
struct OnceReady<'a> {
    polls: &'a Cell<u32>,
    ready: bool,
    _local: Rc<()>,
}

impl<'a> OnceReady<'a> {
    fn new(polls: &'a Cell<u32>) -> Self {
        Self {
            polls,
            ready: false,
            _local: Rc::new(()),
        }
    }
}

impl Service<Request<()>> for OnceReady<'_> {
    type Response = Response<String>;
    type Error = &'static str;
    type Future = Ready<Result<Response<String>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.polls.set(self.polls.get() + 1);
        match self.polls.get() {
            1 => Poll::Pending,
            2 => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err("worn out")),
        }
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(self.ready, "called without being ready");
        self.ready = false;
        ready(match session_of(&request).insert("key", 1) {
            Ok(()) => Ok(ok()),
            Err(_) => Err("no session"),
        })
    }
}

#[test]
fn readiness_is_the_inner_service_s_own() {
    events::listen();
    let polls = Cell::new(0);
    let mut service = layer().layer(OnceReady::new(&polls));
    assert_eq!(polls.get(), 0, "nothing is polled before it must be");
    assert_eq!(service.poll_ready(&mut context()), Poll::Pending);
    assert_eq!(service.poll_ready(&mut context()), Poll::Ready(Ok(())));
    let response = poll_now(service.call(Request::new(()))).unwrap();
    assert_eq!(set_cookies(response.headers()).len(), 1);
    assert_eq!(polls.get(), 2, "a call polls nothing");
    assert_eq!(service.poll_ready(&mut context()), Poll::Ready(Err("worn out")));
}

#[test]
fn the_inner_service_can_be_seen_changed_and_taken_back() {
    events::listen();
    let polls = Cell::new(0);
    let mut service = layer().layer(OnceReady::new(&polls));
    assert!(!service.get_ref().ready);
    service.get_mut().ready = true;
    assert!(poll_now(service.call(Request::new(()))).is_ok());
    let inner = service.into_inner();
    assert!(!inner.ready && std::ptr::eq(inner.polls, &polls));
}

#[test]
fn a_clone_of_the_service_has_the_same_layer() {
    events::listen();
    let service = layer().layer(service_fn(|request: Request<()>| {
        let session = session_of(&request);
        let n = session.get::<u64>("n").unwrap().unwrap_or(0) + 1;
        session.insert("n", n).unwrap();
        ready(Ok::<_, Infallible>(Response::new(n.to_string())))
    }));
    let mut jar = Jar::new();
    for n in 1..4 {
        let request = Request::get("/").header(COOKIE, jar.header("/"));
        let response = poll_now(service.clone().oneshot(request.body(()).unwrap())).unwrap();
        assert_eq!(response.body(), &n.to_string());
        jar.receive(response.headers());
    }
}

#[test]
fn requests_and_responses_pass_through_whole() {
    events::listen();
    #[derive(Clone, PartialEq, Debug)]
    struct Mark(u8);

    let layer = layer();
    let cookie = client(&layer, 1);
    let inner = service_fn(|request: Request<Vec<u8>>| {
        let (parts, body) = request.into_parts();
        assert_eq!((parts.method, parts.uri.path()), (Method::PUT, "/path"));
        assert_eq!(parts.version, Version::HTTP_2);
        assert_eq!(parts.extensions.get(), Some(&Mark(1)));
        assert_eq!(parts.headers.get_all(COOKIE).iter().count(), 2);
        assert_eq!(parts.headers["x-in"], "in");
        let response = Response::builder()
            .status(StatusCode::IM_A_TEAPOT)
            .version(Version::HTTP_2)
            .header("x-out", "out")
            .header(SET_COOKIE, "other=1; Path=/")
            .extension(Mark(2))
            .body(body);
        ready(Ok::<_, Infallible>(response.unwrap()))
    });
    let request = Request::put("/path")
        .version(Version::HTTP_2)
        .header(COOKIE, &cookie)
        .header(COOKIE, "other=0")
        .header("x-in", "in")
        .extension(Mark(1))
        .body(vec![1, 2, 3])
        .unwrap();
    let response = poll_now(layer.layer(inner).oneshot(request)).unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.extensions().get(), Some(&Mark(2)));
    // Nobody asked for the session, so there is not a header more.
    let mut expected = HeaderMap::new();
    expected.insert("x-out", HeaderValue::from_static("out"));
    expected.insert(SET_COOKIE, HeaderValue::from_static("other=1; Path=/"));
    assert_eq!(response.headers(), &expected);
    assert_eq!(response.body(), &[1, 2, 3]);
}

#[test]
fn cookies_of_the_handler_stay_beside_the_session_s() {
    events::listen();
    let response = send(&layer(), "", |session| {
        session.insert("key", 1).unwrap();
        let mut response = ok();
        response
            .headers_mut()
            .insert(SET_COOKIE, HeaderValue::from_static("theme=dark"));
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
        response
    });
    let lines = set_cookies(response.headers());
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "theme=dark");
    assert!(lines[1].starts_with("__Host-session="), "{lines:?}");
    let vary: Vec<_> = response.headers().get_all(VARY).iter().collect();
    assert_eq!(vary, ["Accept", "Cookie"]);
}

#[test]
fn requests_at_the_same_time_have_sessions_of_their_own() {
    events::listen();
    let layer = layer();
    let gate = Cell::new(false);
    let gate = &gate;
    let mut service = layer.layer(service_fn(move |request: Request<u64>| async move {
        let session = session_of(&request);
        let key: u64 = session.get("key").unwrap().unwrap();
        std::future::poll_fn(|_| if gate.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        session.insert("key", key + *request.body()).unwrap();
        Ok::<_, Infallible>(ok())
    }));
    let request = |key, add| Request::get("/").header(COOKIE, client(&layer, key)).body(add).unwrap();
    let mut one = pin!(service.call(request(100, 1)));
    let mut two = pin!(service.call(request(200, 2)));
    assert!(one.as_mut().poll(&mut context()).is_pending());
    assert!(two.as_mut().poll(&mut context()).is_pending());
    gate.set(true);
    for (response, expected) in [(poll_now(two), 202), (poll_now(one), 101)] {
        let mut jar = Jar::new();
        jar.receive(response.unwrap().headers());
        jar.visit(&layer, |session| {
            assert_eq!(session.get::<u64>("key").unwrap(), Some(expected));
            ok()
        });
    }
}

// --- Errors of the service.

#[test]
fn rule_21_an_inner_error_passes_through_and_nothing_is_saved() {
    events::listen();
    let layer = layer();
    let kept = RefCell::new(None);
    let service = layer.layer(service_fn(async |request: Request<()>| {
        let session = session_of(&request);
        session.insert("key", 2).unwrap();
        kept.replace(Some(session));
        Err::<Response<String>, _>("the service failed")
    }));
    let request = Request::get("/").header(COOKIE, client(&layer, 1)).body(()).unwrap();
    assert_eq!(poll_now(service.oneshot(request)).unwrap_err(), "the service failed");
    let session = kept.take().unwrap();
    assert_too_late(session.insert("key", 3));
    assert_too_late(poll_now(session.save()));
    assert_eq!(session.get::<u64>("key").unwrap(), Some(2));
    assert_eq!(events::heard(), [""; 0], "the error is the service's to tell");
}

#[test]
fn a_panic_of_the_service_ends_the_session_with_it() {
    events::listen();
    let kept = RefCell::new(Vec::new());
    let keep = |request: &Request<()>| {
        let session = session_of(request);
        session.insert("key", 1).unwrap();
        kept.borrow_mut().push(session);
    };
    // Once in the future, once in `call` itself.
    let asynchronous = service_fn(|request: Request<()>| {
        keep(&request);
        async move {
            if request.uri() == "/" {
                panic!("in the future");
            }
            Ok::<_, Infallible>(ok())
        }
    });
    let synchronous = service_fn(|request: Request<()>| -> Ready<Result<Response<String>, Infallible>> {
        keep(&request);
        panic!("in the call")
    });
    let layer = layer();
    let outcomes = [
        catch_unwind(AssertUnwindSafe(|| {
            poll_now(layer.layer(asynchronous).oneshot(Request::new(())))
        })),
        catch_unwind(AssertUnwindSafe(|| {
            poll_now(layer.layer(synchronous).oneshot(Request::new(())))
        })),
    ];
    assert!(outcomes.iter().all(Result::is_err));
    let kept = kept.take();
    assert_eq!(kept.len(), 2);
    for session in kept {
        assert_too_late(session.insert("key", 2));
    }
}

// --- Failed commits.

#[test]
fn rule_08_a_failed_commit_is_a_500_the_old_cookie_stays_and_one_event_says_so() {
    events::listen();
    let layer = layer();
    let cookie = client(&layer, 1);
    let response = send(&layer, cookie.to_str().unwrap(), |session| {
        session.insert("much", too_much()).unwrap();
        Response::builder()
            .header(CONTENT_TYPE, "text/plain")
            .body("secrets of the handler".to_owned())
            .unwrap()
    });
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.body(), "");
    assert!(!response.headers().contains_key(CONTENT_TYPE));
    assert!(!response.headers().contains_key(SET_COOKIE));
    assert_eq!(response.headers()[CACHE_CONTROL], "private");
    assert_eq!(response.headers()[VARY], "Cookie");
    let error = response.extensions().get::<Error>().unwrap();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size: 5_000..,
                limit: 4_096,
                ..
            }
        ),
        "{error}"
    );
    if cfg!(feature = "tracing") {
        let warnings = events::warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with("ERROR") && warnings[0].contains("could not be committed"),
            "{warnings:?}"
        );
        assert!(!warnings[0].contains("xxxx"), "data in the log: {warnings:?}");
    }
    // The client still has what it had.
    send(&layer, cookie.to_str().unwrap(), |session| {
        assert_eq!(session.get::<u64>("key").unwrap(), Some(1));
        assert!(!session.contains_key("much").unwrap());
        ok()
    });
}

#[test]
fn on_error_is_called_once_with_the_handler_s_response() {
    events::listen();
    thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
    let layer = layer().on_error(|error, mut response: Response<String>| {
        assert!(matches!(error, Error::TooLarge { .. }));
        CALLS.set(CALLS.get() + 1);
        *response.status_mut() = StatusCode::INSUFFICIENT_STORAGE;
        response.body_mut().push_str(", and kept");
        response
    });
    let response = send(&layer, "", |session| {
        session.insert("much", too_much()).unwrap();
        Response::builder()
            .status(StatusCode::CREATED)
            .header("x-from", "handler")
            .body("said".to_owned())
            .unwrap()
    });
    assert_eq!(CALLS.get(), 1);
    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(response.headers()["x-from"], "handler");
    assert_eq!(response.body(), "said, and kept");
    assert!(!response.headers().contains_key(SET_COOKIE));
    if cfg!(feature = "tracing") {
        assert_eq!(events::warnings().len(), 1);
    }
    // And not at all while everything is well.
    let response = send(&layer, "", |session| {
        session.insert("key", 1).unwrap();
        ok()
    });
    assert_eq!((CALLS.get(), response.status()), (1, StatusCode::OK));
    assert_eq!(events::warnings(), [""; 0]);
}

#[test]
fn a_closure_that_makes_error_responses_needs_no_types() {
    events::listen();
    let layer = layer().on_error(|error, response| {
        let reason = error.to_string();
        response.map(|_: String| format!("sorry: {reason}"))
    });
    let response = send(&layer, "", |session| {
        session.insert("much", too_much()).unwrap();
        ok()
    });
    assert!(
        response.body().starts_with("sorry: the session cookie would take 6"),
        "{response:?}"
    );
}

#[test]
fn rule_17_an_error_that_the_handler_saw_is_not_told_again() {
    events::listen();
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let layer = layer().on_error(move |_, response: Response<String>| {
        counted.set(counted.get() + 1);
        response
    });
    let response = send(&layer, "", |session| {
        session.insert("much", too_much()).unwrap();
        assert!(matches!(poll_now(session.save()), Err(Error::TooLarge { .. })));
        session.remove("much").unwrap();
        session.insert("little", 1).unwrap();
        ok()
    });
    assert_eq!(calls.get(), 0);
    assert_eq!(events::warnings(), [""; 0]);
    assert_eq!(set_cookies(response.headers()).len(), 1);
}

#[test]
fn what_was_saved_leaves_even_with_an_error_response() {
    events::listen();
    let layer = layer();
    let mut jar = Jar::new();
    let response = jar.visit(&layer, |session| {
        session.insert("key", 1).unwrap();
        poll_now(session.save()).unwrap();
        session.insert("much", too_much()).unwrap();
        ok()
    });
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        response.headers()[CACHE_CONTROL],
        "private, no-cache=\"Set-Cookie\"",
        "a cookie is sent"
    );
    jar.visit(&layer, |session| {
        assert_eq!(session.keys().unwrap(), ["key"]);
        ok()
    });
}

// --- Layers that cannot be built.

#[test]
fn a_layer_that_cannot_be_built_says_why_wherever_it_is_used() {
    events::listen();
    let broken = || SessionLayer::encrypted(Key::generate().unwrap()).domain("not a domain");
    let reason = broken().build().unwrap_err().to_string();
    let response = send(&broken(), "__Host-session=x", |session| {
        let errors = [
            session.get::<u64>("key").unwrap_err(),
            session.insert("key", 1).unwrap_err(),
            session.clear().unwrap_err(),
            session.renew().unwrap_err(),
            session.is_empty().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.to_string(), reason);
        }
        assert_eq!(session.rejected(), None);
        ok()
    });
    assert_eq!(response.status(), StatusCode::OK, "who needs no session goes on");
    assert!(response.headers().is_empty(), "{response:?}");
    if cfg!(feature = "tracing") {
        let warnings = events::warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("ERROR") && warnings[0].contains(&reason));
    }
}

#[test]
fn a_tagged_layer_that_cannot_be_built_answers_under_its_tag_and_no_other() {
    events::listen();
    struct Cart;
    let broken = SessionLayer::encrypted(Key::generate().unwrap())
        .path("no slash")
        .tagged::<Cart>();
    let inner = broken.layer(service_fn(|request: Request<()>| {
        let cart = request.extensions().get::<Tagged<Cart>>().expect("the tagged session");
        assert!(matches!(cart.insert("tea", 1), Err(Error::Config { .. })));
        session_of(&request).insert("key", 1).unwrap();
        ready(Ok::<_, Infallible>(ok()))
    }));
    let response = poll_now(layer().layer(inner).oneshot(Request::new(()))).unwrap();
    assert_eq!(set_cookies(response.headers()).len(), 1);
}

// --- Several layers on one service.

#[test]
fn tagged_layers_stand_beside_each_other() {
    events::listen();
    struct Cart;
    struct Prefs;

    let key = || Key::generate().unwrap();
    let carts = SessionLayer::signed(key()).cookie_name("cart").tagged::<Cart>();
    let prefs = SessionLayer::encrypted(key())
        .cookie_name("prefs")
        .tagged::<Prefs>()
        .build()
        .unwrap();
    let login = layer();
    type Handler<'a> = &'a dyn Fn(&Session, &Tagged<Cart>, &Tagged<Prefs>);
    let visit = |jar: &mut Jar, handler: Handler<'_>| {
        let inner = service_fn(|request: Request<()>| {
            let all = request.extensions();
            handler(
                all.get::<Session>().unwrap(),
                all.get::<Tagged<Cart>>().unwrap(),
                all.get::<Tagged<Prefs>>().unwrap(),
            );
            ready(Ok::<_, Infallible>(ok()))
        });
        let stack = prefs.layer(login.layer(carts.layer(inner)));
        let request = Request::get("/").header(COOKIE, jar.header("/")).body(()).unwrap();
        let response = poll_now(stack.oneshot(request)).unwrap();
        jar.receive(response.headers());
        response
    };

    let mut jar = Jar::new();
    let response = visit(&mut jar, &|login, cart, prefs| {
        login.insert("user", 7).unwrap();
        cart.insert("tea", 2).unwrap();
        prefs.insert("theme", "dark").unwrap();
    });
    let mut names: Vec<_> = jar.0.iter().map(|cookie| cookie.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["__Host-cart", "__Host-prefs", "__Host-session"]);
    assert_eq!(set_cookies(response.headers()).len(), 3);
    let values = |name| response.headers().get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(values(VARY), ["Cookie"], "once for all layers");
    assert_eq!(
        values(CACHE_CONTROL),
        ["private, no-cache=\"Set-Cookie\""],
        "once for all layers"
    );

    // Only what changed is written, and each reads its own.
    let response = visit(&mut jar, &|login, cart, prefs| {
        assert_eq!(login.keys().unwrap(), ["user"]);
        assert_eq!(cart.keys().unwrap(), ["tea"]);
        assert_eq!(prefs.get::<String>("theme").unwrap().as_deref(), Some("dark"));
        cart.clone().into_inner().insert("tea", 3).unwrap();
    });
    let lines = set_cookies(response.headers());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("__Host-cart="), "{lines:?}");

    // One session ends, the others do not.
    visit(&mut jar, &|login, _, _| login.destroy().unwrap());
    visit(&mut jar, &|login, cart, prefs| {
        assert!(login.is_new().unwrap());
        assert_eq!(cart.get::<u64>("tea").unwrap(), Some(3));
        assert!(!prefs.is_new().unwrap());
    });
    assert_eq!(events::warnings(), [""; 0]);
}

#[test]
fn of_two_untagged_layers_the_inner_shadows_with_one_warning() {
    events::listen();
    let outer = SessionLayer::encrypted(Key::generate().unwrap()).cookie_name("outer");
    let inner = SessionLayer::encrypted(Key::generate().unwrap()).cookie_name("inner");
    let service = outer.layer(inner.layer(service_fn(|request: Request<()>| {
        let session = session_of(&request);
        assert_eq!(session.get::<u64>("key").unwrap(), Some(2), "the inner one's");
        session.insert("key", 3).unwrap();
        ready(Ok::<_, Infallible>(ok()))
    })));
    for _ in 0..3 {
        let request = Request::get("/")
            .header(COOKIE, client(&outer, 1))
            .header(COOKIE, client(&inner, 2))
            .body(())
            .unwrap();
        let response = poll_now(service.clone().oneshot(request)).unwrap();
        let lines = set_cookies(response.headers());
        assert_eq!(lines.len(), 1, "the outer one's cookie is left alone: {lines:?}");
        assert!(lines[0].starts_with("__Host-inner="));
    }
    if cfg!(feature = "tracing") {
        let warnings = events::warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("WARN") && warnings[0].contains("`tagged`"));
    }
}

#[test]
fn the_same_tag_twice_shadows_with_one_warning() {
    events::listen();
    struct Cart;
    let tagged = |name: &str| {
        SessionLayer::encrypted(Key::generate().unwrap())
            .cookie_name(name)
            .tagged::<Cart>()
    };
    let service = tagged("outer").layer(tagged("inner").layer(service_fn(|request: Request<()>| {
        let cart = request.extensions().get::<Tagged<Cart>>().unwrap();
        assert!(request.extensions().get::<Session>().is_none());
        cart.insert("tea", 1).unwrap();
        ready(Ok::<_, Infallible>(ok()))
    })));
    for _ in 0..2 {
        let response = poll_now(service.clone().oneshot(Request::new(()))).unwrap();
        assert!(set_cookies(response.headers())[0].starts_with("__Host-inner="));
    }
    if cfg!(feature = "tracing") {
        assert_eq!(events::warnings().len(), 1);
    }
}

#[test]
fn a_tag_can_be_given_before_or_after_other_settings() {
    events::listen();
    struct Cart;
    let layer = SessionLayer::encrypted(Key::generate().unwrap())
        .tagged::<Cart>()
        .cookie_name("cart")
        .retired(Scope::new().path("/old"));
    let service = layer.layer(service_fn(|request: Request<()>| {
        let cart = request.extensions().get::<Tagged<Cart>>().unwrap();
        cart.insert("tea", 1).unwrap();
        ready(Ok::<_, Infallible>(ok()))
    }));
    let response = poll_now(service.oneshot(Request::new(()))).unwrap();
    assert!(set_cookies(response.headers())[0].starts_with("__Host-cart="));
}

// --- One type, whatever it does.

#[test]
fn a_layer_is_a_field_and_chosen_at_run_time() {
    events::listen();
    struct App {
        sessions: SessionLayer,
    }
    impl App {
        fn new(readable: bool) -> Self {
            let key: Key = "uqBW55vUqRPp3NHK5jDLb04Qlk9ZsUvqrHWkFNGTgFM=".parse().unwrap();
            let sessions = if readable {
                SessionLayer::signed(key)
            } else {
                SessionLayer::encrypted(key)
            };
            Self { sessions }
        }
    }
    let apps = [App::new(true), App::new(false)];
    let readable = |line: &str| {
        let value = line.split(['=', ';']).nth(1).unwrap().to_owned();
        let frame = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(value).unwrap();
        frame.windows(8).any(|window| window == b"{\"key\":1")
    };
    for (app, expected) in apps.iter().zip([true, false]) {
        let response = send(&app.sessions, "", |session| {
            session.insert("key", 1).unwrap();
            ok()
        });
        assert_eq!(readable(&set_cookies(response.headers())[0]), expected);
    }
    // The same key and name, and yet neither takes the other's cookies.
    for (from, to) in [(0, 1), (1, 0)] {
        let cookie = client(&apps[from].sessions, 1);
        send(&apps[to].sessions, cookie.to_str().unwrap(), |session| {
            assert!(session.is_new().unwrap());
            assert!(session.rejected().is_some());
            ok()
        });
    }
}

// --- Too late.

#[test]
fn rule_23_a_handle_that_outlives_the_response_reads_and_does_not_write() {
    events::listen();
    let layer = layer();
    let cookie = client(&layer, 1);
    let mut kept = None;
    let mut jar = Jar::new();
    let response = send(&layer, cookie.to_str().unwrap(), |session| {
        session.insert("more", "data").unwrap();
        kept = Some(session.clone());
        ok()
    });
    jar.receive(response.headers());
    let session = kept.unwrap();
    // On another thread, as a handle that was leaked is.
    thread::spawn(move || {
        assert_too_late(session.insert("key", 2));
        assert_too_late(session.remove("key"));
        assert_too_late(session.take::<u64>("key").map(drop));
        assert_too_late(session.clear());
        assert_too_late(session.destroy());
        assert_too_late(session.renew());
        assert_too_late(session.authenticated());
        assert_too_late(session.set_max_age(std::time::Duration::from_secs(60)));
        assert_too_late(session.get_or_insert_with("new", || 1).map(drop));
        assert_too_late(poll_now(session.update("key", |key: Option<u64>| key.unwrap() + 1)).map(drop));
        assert_too_late(poll_now(session.save()));
        // As it was committed.
        assert_eq!(session.get::<u64>("key").unwrap(), Some(1));
        assert_eq!(session.get::<String>("more").unwrap().as_deref(), Some("data"));
        assert_eq!(session.get_or_insert_with("key", || 5).unwrap(), 1);
        assert_eq!(session.len().unwrap(), 2);
        assert!(!session.is_new().unwrap());
    })
    .join()
    .unwrap();
    jar.visit(&layer, |session| {
        assert_eq!(session.get::<u64>("key").unwrap(), Some(1));
        assert_eq!(session.get::<String>("more").unwrap().as_deref(), Some("data"));
        ok()
    });
    assert_eq!(events::warnings(), [""; 0]);
}

#[test]
fn rule_23_a_session_that_was_not_read_in_time_cannot_be_read_later() {
    events::listen();
    let layer = layer();
    let cookie = client(&layer, 1);
    let mut kept = None;
    let response = send(&layer, cookie.to_str().unwrap(), |session| {
        kept = Some(session.clone());
        ok()
    });
    // No cache was told that the response depends on a cookie, so nothing may be shown.
    assert!(response.headers().is_empty());
    let session = kept.unwrap();
    assert_too_late(session.get::<u64>("key").map(drop));
    assert_too_late(session.is_empty().map(drop));
    assert_too_late(session.insert("key", 2));
    assert_eq!(session.rejected(), None);
    assert!(!session.is_modified());
}

#[test]
fn rule_23_a_dropped_response_future_ends_the_session() {
    events::listen();
    let layer = layer();
    for poll_it in [false, true] {
        let kept = RefCell::new(None);
        let mut service = layer.layer(service_fn(|request: Request<()>| {
            let session = session_of(&request);
            session.insert("key", 2).unwrap();
            kept.replace(Some(session));
            pending::<Result<Response<String>, Infallible>>()
        }));
        let request = Request::get("/").header(COOKIE, client(&layer, 1)).body(()).unwrap();
        let mut response = Box::pin(service.call(request));
        if poll_it {
            assert!(response.as_mut().poll(&mut context()).is_pending());
        }
        let session = kept.take().unwrap();
        session.insert("key", 3).unwrap();
        drop(response);
        assert_too_late(session.insert("key", 4));
        assert_too_late(poll_now(session.save()));
        assert_eq!(session.get::<u64>("key").unwrap(), Some(3));
    }
    assert_eq!(events::warnings(), [""; 0]);
}

#[test]
fn rule_23_what_is_written_before_the_handler_answers_is_in_the_response() {
    events::listen();
    let layer = layer();
    let steps = Cell::new(0);
    let mut jar = Jar::new();
    let mut service = layer.layer(service_fn(async |request: Request<()>| {
        let session = session_of(&request);
        session.insert("before", 1).unwrap();
        std::future::poll_fn(|_| {
            steps.set(steps.get() + 1);
            if steps.get() < 3 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        session.insert("after", 2).unwrap();
        Ok::<_, Infallible>(ok())
    }));
    let mut response = pin!(service.call(Request::new(())));
    assert!(response.as_mut().poll(&mut context()).is_pending());
    assert!(response.as_mut().poll(&mut context()).is_pending());
    jar.receive(poll_now(response).unwrap().headers());
    jar.visit(&layer, |session| {
        assert_eq!(session.keys().unwrap(), ["before", "after"]);
        ok()
    });
}

#[test]
fn rule_23_a_write_that_was_accepted_is_in_the_response() {
    events::listen();
    let layer = layer();
    for round in 0..200 {
        let mut writer = None;
        let mut jar = Jar::new();
        let response = send(&layer, "", |session| {
            let session = session.clone();
            let (begun, has_begun) = mpsc::channel();
            // Writes until it is told that it is too late, while the response is on its way.
            writer = Some(thread::spawn(move || {
                let mut last = 0;
                loop {
                    match session.insert("n", last + 1) {
                        Ok(()) => last += 1,
                        Err(Error::HeadersSent) => return last,
                        Err(error) => panic!("{error}"),
                    }
                    if round % 2 == 0 {
                        match poll_now(session.save()) {
                            Ok(()) | Err(Error::HeadersSent) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    begun.send(()).ok();
                }
            }));
            has_begun.recv().unwrap();
            ok()
        });
        let last: u64 = writer.unwrap().join().unwrap();
        assert_eq!(set_cookies(response.headers()).len(), 1);
        jar.receive(response.headers());
        jar.visit(&layer, |session| {
            assert_eq!(session.get::<u64>("n").unwrap(), Some(last), "round {round}");
            ok()
        });
    }
}
