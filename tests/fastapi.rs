//! The example beside which nobody is logged out: `examples/fastapi`, a FastAPI application and a Rust one with one secret,
//! started by their one command and driven with one cookie jar.
#![cfg(all(feature = "axum", feature = "starlette", unix))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "support/example.rs"]
mod example;
mod support;
#[path = "support/tcp.rs"]
mod tcp;

use std::{
    env,
    net::TcpStream,
    time::{Duration, SystemTime},
};

use example::{Server, free_port};
use http::{
    Request, StatusCode,
    header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use support::Jar;

const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fastapi/run");
const SECRET: &str = "a secret of the test";

/// One browser, for which a port is no other site.
struct Browser {
    client: tcp::Connector,
    jar: Jar,
}

impl Browser {
    async fn send(&mut self, port: u16, path: &str, form: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::builder().uri(format!("http://127.0.0.1:{port}{path}"));
        let cookies = self.jar.header(path);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        if form.is_some() {
            request = request
                .method("POST")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request
            .body(Full::new(Bytes::from(form.unwrap_or_default().to_owned())))
            .unwrap();
        let response = self.client.request(request).await.unwrap();
        self.jar.receive(response.headers());
        let status = response.status();
        if form.is_some() {
            assert_eq!(response.headers()[LOCATION], "/");
        } else {
            assert!(
                !response.headers().contains_key(SET_COOKIE),
                "reading alone writes nothing"
            );
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn post(&mut self, port: u16, path: &str, form: &str) {
        assert_eq!(self.send(port, path, Some(form)).await.0, StatusCode::SEE_OTHER);
    }

    /// Who is logged in, and what is in the cart.
    async fn home(&mut self, port: u16) -> (Option<String>, Vec<String>) {
        let (status, page) = self.send(port, "/", None).await;
        assert_eq!(status, StatusCode::OK);
        let between = |start: &str, end: &str| Some(page.split_once(start)?.1.split_once(end)?.0.to_owned());
        let cart = between("<ul id=\"cart\">", "</ul>").unwrap();
        let items = cart
            .split("<li>")
            .skip(1)
            .map(|item| item.trim_end_matches("</li>").to_owned());
        (between("<strong id=\"user\">", "</strong>"), items.collect())
    }
}

#[tokio::test]
async fn what_one_server_does_the_other_sees_and_phase_two_keeps_it() {
    if env::var_os("HTTP_SESSION_PYTHON").is_none() {
        let ci = env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
        assert!(!ci, "HTTP_SESSION_PYTHON is not set, and in CI nothing is left out");
        println!("left out: HTTP_SESSION_PYTHON is not set, so FastAPI is not installed; tests/run does both");
        return;
    }
    let (python, rust) = (free_port(), free_port());
    let mut run = example::command(RUN);
    run.args(["--locked", "--all-features"]).env("SESSION_SECRET", SECRET);
    run.env("PYTHON_PORT", python.to_string())
        .env("RUST_PORT", rust.to_string());
    let servers = Server::start(&mut run, "Log in");
    let mut browser = Browser {
        client: tcp::connector(),
        jar: Jar::new(),
    };
    for (one, other) in [(python, rust), (rust, python)] {
        assert_eq!(browser.home(one).await, (None, vec![]));
        browser.post(one, "/login", "user=Ada+%3CL%3E+%F0%9F%98%80").await;
        let ada = Some("Ada &lt;L&gt; 😀".to_owned());
        assert_eq!(browser.home(other).await, (ada.clone(), vec![]));
        browser.post(other, "/cart", "item=tea").await;
        browser.post(one, "/cart", "item=caf%C3%A9").await;
        browser.post(other, "/cart", "item=%22milk%22").await;
        for port in [one, other] {
            let cart = ["tea", "café", "&quot;milk&quot;"].map(str::to_owned);
            assert_eq!(browser.home(port).await, (ada.clone(), cart.to_vec()));
        }
        browser.post(other, "/cart/clear", "").await;
        assert_eq!(browser.home(one).await, (ada, vec![]));
        browser.post(other, "/logout", "").await;
        assert_eq!(browser.home(one).await, (None, vec![]));
        assert!(browser.jar.0.is_empty());
    }
    browser.post(python, "/login", "user=Ada").await;
    browser.post(python, "/cart", "item=tea").await;

    // Ctrl-C stops both.
    servers.stop("TERM");
    for port in [python, rust] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    // Phase two: the Python application is gone, and its sessions are not.
    let gone_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(1);
    let mut alone = example::command(example::build("fastapi"));
    alone.env("SESSION_SECRET", SECRET).env("RUST_PORT", rust.to_string());
    alone
        .env(
            "SESSION_KEY",
            "9c41e07f5ad2b86330fe1d7ac8945b26e9d03f187c6ab4525e80f19dc37b642a",
        )
        .env("PYTHON_GONE_AT", gone_at.as_secs().to_string());
    // The connections of before are gone.
    browser.client = tcp::connector();
    let _alone = Server::start(&mut alone, "listening");
    assert_eq!(
        browser.home(rust).await,
        (Some("Ada".to_owned()), vec!["tea".to_owned()])
    );
    browser.post(rust, "/cart", "item=milk").await;
    let names: Vec<_> = browser.jar.0.iter().map(|cookie| &*cookie.name).collect();
    assert_eq!(names, ["__Host-session"]);
    assert_eq!(
        browser.home(rust).await,
        (Some("Ada".to_owned()), vec!["tea".to_owned(), "milk".to_owned()])
    );
}
