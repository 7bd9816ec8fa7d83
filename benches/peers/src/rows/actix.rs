//! Another framework, so it has a bare row of its own: its requests cost more, and this crate cannot stand there.

use std::{
    future::Future,
    hint::black_box,
    time::{Duration, Instant},
};

use actix_session::{
    Session, SessionExt, SessionMiddleware,
    config::{CookieContentSecurity, PersistentSession},
    storage::CookieSessionStore,
};
use actix_web::{
    Error, HttpResponse,
    cookie::{Key, SameSite, time},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, fn_service},
    http::header as actix_header,
    test::TestRequest,
};
use http::{HeaderMap, HeaderValue};

use super::{Contender, NAME, TWO_WEEKS};
use crate::{
    allocations::{self, Allocations},
    handlers::{CSRF, Task, USER},
    runner::{BATCH, Runner, finish},
};

pub struct Bare;

impl Contender for Bare {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        (task == Task::Nothing).then(|| {
            let service = fn_service(|request: ServiceRequest| async move { answer(request) });
            actix(finish_factory(service))
        })
    }
}

pub struct Actix(Key);

impl Actix {
    pub fn new() -> Self {
        Self(Key::generate())
    }
}

impl Contender for Actix {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        let ttl = time::Duration::try_from(TWO_WEEKS).expect("two weeks");
        let middleware = SessionMiddleware::builder(CookieSessionStore::default(), self.0.clone())
            .cookie_name(NAME.into())
            .cookie_secure(true)
            .cookie_same_site(SameSite::Lax)
            .cookie_content_security(CookieContentSecurity::Signed)
            .session_lifecycle(PersistentSession::default().session_ttl(ttl))
            .build();
        let service = fn_service(move |request: ServiceRequest| async move {
            if task != Task::Nothing {
                handle(task, &request.get_session());
            }
            answer(request)
        });
        let service = finish(middleware.new_transform(finish_factory(service))).expect("a service");
        Some(actix(service))
    }
}

fn handle(task: Task, session: &Session) {
    let get = |key| session.get::<u64>(key).expect("a number");
    match task {
        Task::Nothing => {}
        Task::Read => {
            assert!(black_box(session.get::<String>("user")).expect("text").is_some());
            assert!(black_box(get("visits")).is_some());
        }
        Task::Write => {
            let visits = get("visits").unwrap_or(0);
            session.insert("visits", visits + 1).expect("a session");
        }
        Task::Create => {
            session.insert("user", USER).expect("a session");
            session.insert("visits", 1).expect("a session");
            session.insert("csrf", CSRF).expect("a session");
        }
        Task::Reject => assert!(black_box(get("visits")).is_none()),
        Task::Seed(size) => {
            for (key, value) in size.map() {
                session.insert(key, value).expect("a session");
            }
        }
        Task::Verify => {
            assert_eq!(session.get::<String>("user").expect("text").as_deref(), Some(USER));
            assert_eq!(get("visits"), Some(18));
        }
    }
}

fn answer(request: ServiceRequest) -> Result<ServiceResponse, Error> {
    Ok(request.into_response(HttpResponse::Ok().finish()))
}

fn finish_factory<F, S>(factory: F) -> S
where
    F: actix_web::dev::ServiceFactory<ServiceRequest, Config = (), Service = S, InitError = ()>,
{
    finish(factory.new_service(())).expect("a service")
}

fn actix<S, B>(service: S) -> Box<dyn Runner>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
{
    Box::new(Direct {
        service,
        requests: Vec::with_capacity(BATCH),
    })
}

struct Direct<S> {
    service: S,
    requests: Vec<ServiceRequest>,
}

impl<S, B> Runner for Direct<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    fn batch(&mut self, headers: &HeaderMap) -> Duration {
        let template = convert(headers);
        self.requests.extend((0..BATCH).map(|_| request(&template)));
        let start = Instant::now();
        for request in self.requests.drain(..) {
            black_box(done(self.service.call(request)));
        }
        start.elapsed()
    }

    fn once(&mut self, headers: &HeaderMap) -> (Vec<HeaderValue>, Allocations) {
        let request = request(&convert(headers));
        let (response, allocations) = allocations::count(|| done(self.service.call(request)));
        let lines = response.headers().get_all(actix_header::SET_COOKIE);
        let lines = lines
            .map(|line| HeaderValue::from_bytes(line.as_bytes()).expect("a value"))
            .collect();
        (lines, allocations)
    }
}

fn done<T>(future: impl Future<Output = Result<T, Error>>) -> T {
    finish(future).expect("a response")
}

/// The same header lines in this framework's types, as shared slices too.
fn convert(headers: &HeaderMap) -> Vec<(actix_header::HeaderName, actix_header::HeaderValue)> {
    let line = |(name, value): (&http::HeaderName, &HeaderValue)| {
        let name = actix_header::HeaderName::from_bytes(name.as_str().as_bytes()).expect("a name");
        let bytes = bytes::Bytes::copy_from_slice(value.as_bytes());
        (
            name,
            actix_header::HeaderValue::from_maybe_shared(bytes).expect("a value"),
        )
    };
    headers.iter().map(line).collect()
}

fn request(headers: &[(actix_header::HeaderName, actix_header::HeaderValue)]) -> ServiceRequest {
    headers
        .iter()
        .cloned()
        .fold(TestRequest::default(), TestRequest::append_header)
        .to_srv_request()
}
