//! The routes of `app.py` in Rust, with the same sessions. `examples/fastapi/run` starts both; the guide is beside it, in
//! `README.md`.
//!
//! | variable | |
//! |---|---|
//! | `SESSION_SECRET` | the `secret_key` of the FastAPI application |
//! | `RUST_PORT`, `PYTHON_PORT` | where this one listens, and where the other one does |
//! | `SESSION_KEY` | set once the last Python route is gone: sessions move into encrypted cookies |
//! | `PYTHON_GONE_AT` | when that was, in seconds (`date +%s`) |

use std::{
    env,
    error::Error as StdError,
    time::{Duration, SystemTime},
};

use axum::{
    Form, Router,
    response::{Html, Redirect},
    routing::{get, post},
};
use http_session::{Error, Key, Session, SessionLayer, Until};
use serde::Deserialize;

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    tracing_subscriber::fmt::init();
    let app = Router::new()
        .route("/", get(page))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/cart", post(add))
        .route("/cart/clear", post(empty))
        .layer(sessions()?);
    let port = env::var("RUST_PORT")?.parse::<u16>()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://localhost:{port}");
    Ok(axum::serve(listener, app).await?)
}

fn sessions() -> Result<SessionLayer, Box<dyn StdError>> {
    let secret = env::var("SESSION_SECRET")?;
    // What `SessionMiddleware` was given in `app.py`.
    let before = SessionLayer::starlette(secret);
    let layer = match env::var("PYTHON_GONE_AT") {
        // While a Python route is left: what it reads and writes.
        Err(_) => before,
        // After that: what it wrote is read, and written as one's own.
        Ok(gone_at) => {
            let gone_at = SystemTime::UNIX_EPOCH + Duration::from_secs(gone_at.parse()?);
            SessionLayer::encrypted(Key::from_env("SESSION_KEY")?).also_accept(before, Until::date(gone_at))
        }
    };
    Ok(layer.build()?)
}

async fn page(session: Session) -> Result<Html<String>, Error> {
    let user: Option<String> = session.get("user")?;
    let cart: Vec<String> = session.get("cart")?.unwrap_or_default();
    Ok(Html(format!(
        include_str!("page.html"),
        server = "Rust, with axum",
        other_port = env::var("PYTHON_PORT").unwrap_or_default(),
        account = match user {
            Some(user) => format!(include_str!("logout.html"), user = escape(&user)),
            None => include_str!("login.html").to_owned(),
        },
        cart = cart
            .iter()
            .map(|item| format!("<li>{}</li>", escape(item)))
            .collect::<String>(),
    )))
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

async fn login(session: Session, Form(login): Form<Login>) -> Result<Redirect, Error> {
    // A real application asks for a password.
    session.insert("user", login.user)?;
    Ok(Redirect::to("/"))
}

async fn logout(session: Session) -> Result<Redirect, Error> {
    session.clear()?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct Cart {
    item: String,
}

async fn add(session: Session, Form(Cart { item }): Form<Cart>) -> Result<Redirect, Error> {
    session
        .update("cart", |cart: Option<Vec<String>>| {
            let mut cart = cart.unwrap_or_default();
            cart.push(item.clone());
            cart
        })
        .await?;
    Ok(Redirect::to("/"))
}

async fn empty(session: Session) -> Result<Redirect, Error> {
    session.remove("cart")?;
    Ok(Redirect::to("/"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}
