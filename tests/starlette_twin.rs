//! The example that stands in for a Starlette application: `examples/starlette_twin.rs`, over a socket.
#![cfg(all(feature = "axum", feature = "starlette", unix))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/example.rs"]
mod example;
#[path = "support/python.rs"]
mod python;
#[path = "support/starlette.rs"]
mod starlette;
mod support;
#[path = "support/tcp.rs"]
mod tcp;

use std::{path::PathBuf, process::Command, sync::OnceLock, time::SystemTime};

use example::{Server, free_port};
use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{ALLOW, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, VARY},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use python::Python;
use serde_json::{Value, json};
use starlette::{payload, sign};
use support::{Jar, set_cookies};

const SECRET: &str = "example";

/// The session's settings, with these changed.
fn session(changes: &Value) -> Value {
    let mut session = json!({
        "secret_key": SECRET, "session_cookie": "session", "max_age": 1_209_600, "path": "/",
        "same_site": "lax", "https_only": false, "domain": null, "something_new": true,
    });
    for (name, value) in changes.as_object().unwrap() {
        session[name] = value.clone();
    }
    session
}

fn app(prefix: &str, session: &Value) -> Value {
    json!({"prefix": prefix, "session": session, "name": "not looked at", "routes": [
        {"path": "/view_session", "methods": ["GET", "HEAD"], "action": "view_session", "name": null},
        {"path": "/update_session", "methods": ["POST"], "action": "update_session"},
        {"path": "/clear_session", "methods": ["POST"], "action": "clear_session"},
        {"path": "/no_session_access", "methods": ["GET"], "action": "no_session_access"},
    ]})
}

struct Twin {
    server: Server,
    port: u16,
    client: tcp::Connector,
    jar: Jar,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.headers[CONTENT_TYPE], "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    fn set_cookie(&self) -> Vec<String> {
        set_cookies(&self.headers)
    }

    fn varies(&self) -> bool {
        self.headers.get_all(VARY).iter().any(|value| value == "Cookie")
    }
}

impl Twin {
    fn start(apps: &[Value]) -> Self {
        static BINARY: OnceLock<PathBuf> = OnceLock::new();
        let port = free_port();
        let mut command = Command::new(BINARY.get_or_init(|| example::build("starlette_twin")));
        command.env("TWIN_PORT", port.to_string());
        command.env("TWIN_CONFIG", json!({"apps": apps, "version": 1}).to_string());
        Self {
            server: Server::start(&mut command, "listening"),
            port,
            client: tcp::connector(),
            jar: Jar::new(),
        }
    }

    fn with(changes: &Value) -> Self {
        Self::start(&[app("", &session(changes))])
    }

    async fn send(&mut self, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.port))
            .header(HOST, "testserver")
            .header("x-forwarded-proto", "https");
        let cookies = self.jar.header(path);
        let request = if cookies.is_empty() {
            request
        } else {
            request.header(COOKIE, cookies)
        };
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        self.jar.receive(&parts.headers);
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
        }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    async fn post(&mut self, path: &str, body: &str) -> Answer {
        self.send(Method::POST, path, body).await
    }

    /// As the client sees it.
    async fn session(&mut self) -> Value {
        self.get("/view_session").await.json()["session"].take()
    }

    /// The line that an update sends, with `V` for the value.
    async fn spelling(&mut self) -> String {
        let answer = self.post("/update_session", r#"{"some": "data"}"#).await;
        assert_eq!(answer.json(), json!({"session": {"some": "data"}}));
        let lines = answer.set_cookie();
        let value = lines[0].split_once('=').unwrap().1.split(';').next().unwrap();
        assert_eq!((lines.len(), payload(value)), (1, r#"{"some": "data"}"#.to_owned()));
        lines[0].replacen(value, "V", 1)
    }
}

#[tokio::test]
async fn the_four_actions_as_the_contract_has_them() {
    let mut twin = Twin::with(&json!({}));
    let answer = twin.get("/view_session").await;
    assert_eq!(answer.json(), json!({"session": {}}));
    assert_eq!(answer.set_cookie(), [""; 0]);

    // In the order in which they came, spelled as Python spells them.
    let before = SystemTime::now();
    let answer = twin
        .post(
            "/update_session",
            r#"{"some":"dätä","a":[1,0.5,{"😀":null}],"big":12345678901234567890123}"#,
        )
        .await;
    assert_eq!(answer.json()["session"]["some"], "dätä");
    assert!(answer.varies());
    let cookie = twin.jar.header("/");
    assert_eq!(
        answer.set_cookie(),
        [format!("{cookie}; path=/; Max-Age=1209600; httponly; samesite=lax")]
    );
    let json = r#"{"some": "d\u00e4t\u00e4", "a": [1, 0.5, {"\ud83d\ude00": null}], "big": 12345678901234567890123}"#;
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let stamps = seconds(before)..=seconds(SystemTime::now());
    assert!(
        stamps
            .clone()
            .any(|stamp| cookie == format!("session={}", sign(SECRET, json.as_bytes(), stamp))),
        "{cookie}"
    );
    if let Some(mut python) = Python::start("starlette_app.py") {
        let real = python.ask(&json!({"secret": SECRET, "now": stamps.end(), "cookie": cookie}));
        assert_eq!(real["session_text"], json);
    }

    let answer = twin.get("/view_session").await;
    assert_eq!(answer.json()["session"]["a"], json!([1, 0.5, {"😀": null}]));
    assert!(
        answer.varies() && answer.set_cookie().is_empty(),
        "only changes are written"
    );
    let answer = twin.get("/no_session_access").await;
    assert_eq!(answer.json(), json!({"status": "ok"}));
    assert!(!answer.headers.contains_key(VARY) && answer.set_cookie().is_empty());

    // Setting a value again counts, as it does there.
    assert_eq!(
        twin.post("/update_session", r#"{"some": "dätä"}"#)
            .await
            .set_cookie()
            .len(),
        1
    );

    let answer = twin.post("/clear_session", "").await;
    assert_eq!(answer.json(), json!({"session": {}}));
    assert_eq!(
        answer.set_cookie(),
        ["session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax"]
    );
    assert_eq!(twin.jar.0, []);
    assert_eq!(twin.session().await, json!({}));
    assert_eq!(
        twin.post("/clear_session", "").await.set_cookie(),
        [""; 0],
        "there is nothing to remove"
    );
}

#[tokio::test]
async fn a_cookie_that_is_none_is_an_empty_session() {
    let mut twin = Twin::with(&json!({}));
    let good = sign(SECRET, br#"{"a": 1}"#, 1_700_000_000);
    for value in ["invalid", "", "null", "a.b.c", &good, &good.replace("eyJh", "eyJi")] {
        twin.jar = Jar::new();
        twin.jar.set(&format!("session={value}; path=/"));
        let answer = twin.get("/view_session").await;
        assert_eq!(answer.json(), json!({"session": {}}), "{value}");
        assert_eq!(answer.set_cookie(), [""; 0]);
        assert_eq!(twin.post("/clear_session", "").await.set_cookie(), [""; 0]);
    }
    let answer = twin.post("/update_session", r#"{"some": "data"}"#).await;
    assert_eq!(answer.json(), json!({"session": {"some": "data"}}));
    assert_eq!(twin.session().await, json!({"some": "data"}));
    assert_eq!(twin.post("/update_session", "[]").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_line_is_spelled_as_configured() {
    for (changes, expected) in [
        (json!({}), "session=V; path=/; Max-Age=1209600; httponly; samesite=lax"),
        (
            json!({"session_cookie": "sid"}),
            "sid=V; path=/; Max-Age=1209600; httponly; samesite=lax",
        ),
        (
            json!({"max_age": 60}),
            "session=V; path=/; Max-Age=60; httponly; samesite=lax",
        ),
        (json!({"max_age": null}), "session=V; path=/; httponly; samesite=lax"),
        (
            json!({"same_site": "strict"}),
            "session=V; path=/; Max-Age=1209600; httponly; samesite=strict",
        ),
        (
            json!({"https_only": true}),
            "session=V; path=/; Max-Age=1209600; httponly; samesite=lax; secure",
        ),
        (
            json!({"https_only": true, "same_site": "none"}),
            "session=V; path=/; Max-Age=1209600; httponly; samesite=none; secure",
        ),
        (
            json!({"https_only": true, "partitioned": true}),
            "session=V; path=/; Max-Age=1209600; httponly; samesite=lax; secure; partitioned",
        ),
        (
            json!({"same_site": "none", "domain": "example.com"}),
            "session=V; path=/; Max-Age=1209600; httponly; samesite=none; domain=example.com",
        ),
        (
            json!({"domain": ".example.com"}),
            "session=V; path=/; Max-Age=1209600; httponly; samesite=lax; domain=.example.com",
        ),
        (
            json!({"domain": "testserver", "https_only": true, "path": "/", "max_age": null, "same_site": "strict"}),
            "session=V; path=/; httponly; samesite=strict; secure; domain=testserver",
        ),
    ] {
        let mut twin = Twin::with(&changes);
        assert_eq!(twin.spelling().await, expected);
        assert_eq!(twin.session().await, json!({"some": "data"}));
        let removed = twin.post("/clear_session", "").await.set_cookie();
        let (live, flags) = (
            expected.split("; httponly").next().unwrap(),
            expected.split("; httponly").nth(1).unwrap(),
        );
        let start = live.split("; Max-Age").next().unwrap().replace("=V;", "=null;");
        assert_eq!(
            removed,
            [format!(
                "{start}; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly{flags}"
            )]
        );
    }
}

#[tokio::test]
async fn a_negative_max_age_is_sent_and_refused_at_once() {
    let mut twin = Twin::with(&json!({"max_age": -1}));
    let answer = twin.post("/update_session", r#"{"some": "data"}"#).await;
    let line = answer.set_cookie().remove(0);
    assert!(line.ends_with("; path=/; Max-Age=-1; httponly; samesite=lax"), "{line}");
    assert_eq!(twin.jar.0, [], "a browser does not keep it");
    twin.jar.set(line.split(';').next().unwrap());
    assert_eq!(twin.session().await, json!({}), "and if one did, it would be of no use");

    let mut twin = Twin::with(&json!({"max_age": 0}));
    let line = twin
        .post("/update_session", r#"{"some": "data"}"#)
        .await
        .set_cookie()
        .remove(0);
    assert!(line.ends_with("; path=/; Max-Age=0; httponly; samesite=lax"), "{line}");
}

#[tokio::test]
async fn several_apps_each_with_its_own_prefix_path_and_session() {
    let second = session(&json!({"path": "/second_app", "secret_key": "another"}));
    let mut twin = Twin::start(&[
        app("/plain", &Value::Null),
        app("", &session(&json!({}))),
        app("/second_app", &second),
        json!({"prefix": "/empty", "session": null, "routes": []}),
    ]);
    let answer = twin.post("/second_app/update_session", r#"{"where": "second"}"#).await;
    let line = answer.set_cookie().remove(0);
    assert!(
        line.ends_with("; path=/second_app; Max-Age=1209600; httponly; samesite=lax"),
        "{line}"
    );
    assert_eq!(
        twin.session().await,
        json!({}),
        "the first app does not get that cookie"
    );
    twin.post("/update_session", r#"{"where": "first"}"#).await;
    assert_eq!(twin.session().await, json!({"where": "first"}));
    // The second gets both, and one of them is its own.
    assert_eq!(
        twin.jar.header("/second_app/view_session").matches("session=").count(),
        2
    );
    let answer = twin.get("/second_app/view_session").await;
    assert_eq!(answer.json(), json!({"session": {"where": "second"}}));
    twin.post("/second_app/clear_session", "").await;
    assert_eq!(twin.session().await, json!({"where": "first"}));

    assert_eq!(
        twin.get("/plain/no_session_access").await.json(),
        json!({"status": "ok"})
    );
    assert_eq!(
        twin.get("/plain/view_session").await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(twin.get("/empty/view_session").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn other_paths_and_methods() {
    let mut twin = Twin::with(&json!({}));
    for path in [
        "/",
        "/view_session/",
        "/View_session",
        "/second_app/view_session",
        "/view_session/x",
    ] {
        assert_eq!(twin.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(twin.get("/view_session?a=b").await.status, StatusCode::OK);
    for (method, path) in [
        (Method::POST, "/view_session"),
        (Method::GET, "/update_session"),
        (Method::PUT, "/clear_session"),
    ] {
        let answer = twin.send(method, path, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(answer.headers.contains_key(ALLOW) && !answer.headers.contains_key(SET_COOKIE));
    }
    twin.post("/update_session", r#"{"a": 1}"#).await;
    for path in ["/view_session", "/no_session_access"] {
        let answer = twin.send(Method::HEAD, path, "").await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, ""), "{path}");
        assert_eq!(answer.varies(), path == "/view_session");
    }
    assert_eq!(
        twin.send(Method::HEAD, "/update_session", "").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn sigterm_ends_it() {
    let mut twin = Twin::with(&json!({}));
    // A connection that is kept open does not keep it up.
    twin.session().await;
    assert!(twin.server.stop("TERM").success());
}
