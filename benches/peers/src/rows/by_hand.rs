//! What people write who have signed cookies and no session layer: the session as a JSON object in a cookie.
//!
//! As lazy as can be: a handler that does not ask for the session does not pay for it.

use std::{convert::Infallible, sync::LazyLock};

use axum_core::response::IntoResponse;
use axum_extra::extract::cookie::SignedCookieJar;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::{Cookie, CookieJar, Key, SameSite, time};
use http::{
    HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use serde_json::{Map, Value};
use tower::layer::util::Identity;
use tower_cookies::{CookieManagerLayer, Cookies};

use super::{Contender, NAME, TWO_WEEKS};
use crate::{
    handlers::{Answer, CSRF, Response, Task, USER},
    request::Request,
    runner::{Runner, tower},
};

static KEY: LazyLock<Key> = LazyLock::new(Key::generate);

/// A signed value stands in the cookie as it is, and JSON may not.
fn to_text(session: &Map<String, Value>) -> String {
    URL_SAFE_NO_PAD.encode(to_json(session))
}

fn from_text(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn to_json(session: &Map<String, Value>) -> String {
    serde_json::to_string(session).expect("JSON")
}

fn cookie(value: String) -> Cookie<'static> {
    Cookie::build((NAME, value))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(time::Duration::try_from(TWO_WEEKS).expect("two weeks"))
        .build()
}

/// What the handler does with the session, and whether it must be written.
fn handle(task: Task, session: Option<Map<String, Value>>) -> Option<Map<String, Value>> {
    let user = |session: &Map<String, Value>| session.get("user").and_then(Value::as_str).map(str::to_owned);
    let visits = |session: &Map<String, Value>| session.get("visits").and_then(Value::as_u64);
    match task {
        Task::Nothing => None,
        Task::Read => {
            let session = session.expect("a session");
            assert!(std::hint::black_box(user(&session)).is_some());
            assert!(std::hint::black_box(visits(&session)).is_some());
            None
        }
        Task::Write => {
            let mut session = session.unwrap_or_default();
            let visits = visits(&session).unwrap_or(0);
            session.insert("visits".into(), (visits + 1).into());
            Some(session)
        }
        Task::Create => {
            let mut session = session.unwrap_or_default();
            session.insert("user".into(), USER.into());
            session.insert("visits".into(), 1.into());
            session.insert("csrf".into(), CSRF.into());
            Some(session)
        }
        Task::Reject => {
            assert!(session.is_none());
            None
        }
        Task::Seed(size) => Some(size.map()),
        Task::Verify => {
            let session = session.expect("a session");
            assert_eq!((user(&session).as_deref(), visits(&session)), (Some(USER), Some(18)));
            None
        }
    }
}

pub struct TowerCookies {
    private: bool,
}

impl TowerCookies {
    pub fn signed() -> Self {
        Self { private: false }
    }

    pub fn private() -> Self {
        Self { private: true }
    }
}

impl Contender for TowerCookies {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        let layer = CookieManagerLayer::new();
        Some(match (task, self.private) {
            (Task::Nothing, _) => tower(&layer, |request: Request| async move {
                drop(request);
                crate::handlers::answer()
            }),
            (task, false) => tower(&layer, move |request: Request| async move {
                let cookies: &Cookies = request.extensions().get().expect("cookies");
                let cookies = cookies.signed(&KEY);
                let session = cookies.get(NAME).and_then(|cookie| from_text(cookie.value()));
                if let Some(session) = handle(task, session) {
                    cookies.add(cookie(to_text(&session)));
                }
                crate::handlers::answer()
            }),
            // It encodes for itself.
            (task, true) => tower(&layer, move |request: Request| async move {
                let cookies: &Cookies = request.extensions().get().expect("cookies");
                let cookies = cookies.private(&KEY);
                let session = cookies
                    .get(NAME)
                    .and_then(|cookie| serde_json::from_str(cookie.value()).ok());
                if let Some(session) = handle(task, session) {
                    cookies.add(cookie(to_json(&session)));
                }
                crate::handlers::answer()
            }),
        })
    }
}

/// There is no layer, so a handler that does not ask is a bare one.
pub struct AxumExtra;

impl Contender for AxumExtra {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        (task != Task::Nothing).then(|| {
            tower(&Identity::new(), move |request: Request| async move {
                let jar = SignedCookieJar::from_headers(request.headers(), KEY.clone());
                let session = jar.get(NAME).and_then(|cookie| from_text(cookie.value()));
                Ok::<_, Infallible>(match handle(task, session) {
                    Some(session) => (jar.add(cookie(to_text(&session))), ()).into_response(),
                    None => ().into_response(),
                })
            })
        })
    }
}

pub struct Jar;

impl Contender for Jar {
    fn runner(&self, task: Task) -> Option<Box<dyn Runner>> {
        (task != Task::Nothing).then(|| {
            tower(&Identity::new(), move |request: Request| async move {
                let mut jar = CookieJar::new();
                let lines = request
                    .headers()
                    .get_all(COOKIE)
                    .iter()
                    .filter_map(|line| line.to_str().ok());
                for cookie in lines.flat_map(Cookie::split_parse).flatten() {
                    jar.add_original(cookie.into_owned());
                }
                let session = jar.signed(&KEY).get(NAME).and_then(|cookie| from_text(cookie.value()));
                let mut response = Response::default();
                if let Some(session) = handle(task, session) {
                    jar.signed_mut(&KEY).add(cookie(to_text(&session)));
                    for cookie in jar.delta() {
                        let line = HeaderValue::try_from(cookie.to_string()).expect("a header");
                        response.headers_mut().append(SET_COOKIE, line);
                    }
                }
                Answer::Ok(response)
            })
        })
    }
}
