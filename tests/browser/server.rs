//! A server for the browser tests that does things no example should: it fails on purpose, and its
//! clock can be put forward.
//!
//! | variable | |
//! |---|---|
//! | `PORT` | 0 takes any free port |
//! | `SESSION_KEY` | for cookies: the one key |
//! | `STORE` | `cookie`, or `memory` or `sqlite` (in the file `DATABASE`) |
//! | `BROWSER_SESSION` | 1: sessions end with the browser, or 30 days after "remember me" |
//!
//! Its login form keeps a token in the session, as a guard against forged requests does. Its logout
//! leaves a message.

use std::{
    env,
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Form, Router,
    extract::Path,
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http_session::{Error, Fallback, Key, Session, SessionLayer, Until, codec, store};
use serde::Deserialize;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    tracing_subscriber::fmt::init();
    // Seconds by which the clock is ahead.
    let ahead = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&ahead);
    let layer = open()
        .await?
        .max_age_limit(30 * DAY)
        .browser_session(env::var("BROWSER_SESSION").is_ok_and(|text| text == "1"))
        .clock(move || SystemTime::now() + Duration::from_secs(clock.load(Ordering::Relaxed)))
        .build()?;

    let put_forward = move |Path(seconds): Path<u64>| async move {
        ahead.fetch_add(seconds, Ordering::Relaxed);
    };
    let app = Router::new()
        .route("/login", get(login_form).post(login))
        .route("/login/fails", post(login_fails))
        .route("/logout", post(logout))
        .route("/logout/destroyed", post(logout_destroyed))
        .route("/logout/cleared", post(logout_cleared))
        .fallback(get(home))
        .layer(layer)
        .route("/clock/{seconds}", post(put_forward));

    let port = env::var("PORT")?.parse::<u16>()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://localhost:{}", listener.local_addr()?.port());
    Ok(axum::serve(listener, app).await?)
}

async fn open() -> Result<SessionLayer, Box<dyn StdError>> {
    Ok(match env::var("STORE")?.as_str() {
        "memory" => SessionLayer::with_store(store::MemoryStore::new()),
        "sqlite" => {
            let store = store::SqlStore::sqlite(env::var("DATABASE")?).await?;
            store.migrate().await?;
            SessionLayer::with_store(store)
        }
        _ => {
            let key: Key = env::var("SESSION_KEY")?.parse()?;
            // The sessions of an older program, under a name that everybody may set.
            let older = Fallback::new(codec::Signed::new(key.clone())).cookie_name("older");
            SessionLayer::encrypted(key).also_accept(older, Until::forever())
        }
    })
}

async fn home(session: Session) -> Result<Html<String>, Error> {
    let user: Option<String> = session.get("user")?;
    let message: Option<String> = session.take("_flash")?;
    Ok(Html(format!(
        "<!doctype html><title>Home</title><h1>{}</h1><p id=message>{}</p><p id=owner>{}</p><p id=since>{}</p>
         <form method=post action=/logout><button>Log out</button></form>
         <form method=post action=/logout/destroyed><button>Log out by destroy, and fail</button></form>
         <form method=post action=/logout/cleared><button>Log out by clear, and fail</button></form>
         <aside></aside>",
        user.map_or("Nobody".to_owned(), |user| format!("Hello, {user}")),
        message.unwrap_or_default(),
        session.owner()?.unwrap_or_default(),
        session.authenticated_at()?.map_or("never", |_| "some time"),
    )))
}

async fn login_form(session: Session) -> Result<Html<String>, Error> {
    static TOKENS: AtomicU64 = AtomicU64::new(1);
    let token = session.get_or_insert_with("token", || TOKENS.fetch_add(1, Ordering::Relaxed))?;
    Ok(Html(format!(
        "<!doctype html><title>Log in</title><h1>Log in</h1>
         <form method=post action=/login>
           <input type=hidden name=token value={token}>
           <label>User <input name=user required></label>
           <label><input type=checkbox name=remember value=yes> Remember me</label>
           <button>Log in</button>
           <button formaction=/login/fails>Log in, and fail</button>
         </form>
         <aside></aside>",
    )))
}

#[derive(Deserialize)]
struct Login {
    token: u64,
    user: String,
    remember: Option<String>,
}

async fn login(session: Session, Form(form): Form<Login>) -> Result<Response, Error> {
    if session.take("token")? != Some(form.token) {
        return Ok((StatusCode::FORBIDDEN, Html("<h1>The form is too old</h1>")).into_response());
    }
    begin(&session, &form)?;
    Ok(Redirect::to("/").into_response())
}

/// A user is logged in, and then something else goes wrong.
async fn login_fails(session: Session, Form(form): Form<Login>) -> Result<Redirect, Response> {
    begin(&session, &form).map_err(IntoResponse::into_response)?;
    Err(failed())
}

fn begin(session: &Session, form: &Login) -> Result<(), Error> {
    session.authenticated()?;
    session.insert("user", &form.user)?;
    if env::var("STORE").is_ok_and(|store| store != "cookie") {
        session.set_owner(&form.user)?;
    }
    if form.remember.is_some() {
        session.set_max_age(30 * DAY)?;
    }
    Ok(())
}

async fn logout(session: Session) -> Result<Redirect, Error> {
    session.clear()?;
    session.insert("_flash", "You are logged out.")?;
    Ok(Redirect::to("/"))
}

async fn logout_destroyed(session: Session) -> Result<Response, Error> {
    session.destroy()?;
    Ok(failed())
}

async fn logout_cleared(session: Session) -> Result<Response, Error> {
    session.clear()?;
    Ok(failed())
}

fn failed() -> Response {
    let page = Html("<!doctype html><h1>Something went wrong</h1>");
    (StatusCode::INTERNAL_SERVER_ERROR, page).into_response()
}
