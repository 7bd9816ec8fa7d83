//! A login, from the form to the logout: everything a session is for, on one page.
//!
//! ```text
//! cargo run --example login        # then open http://localhost:3000
//! ```
//!
//! The session is in an encrypted cookie, so there is no database and nothing to set up. These environment variables change
//! something; none is needed:
//!
//! | variable | by default | |
//! |---|---|---|
//! | `PORT` | 3000 | 0 takes any free port |
//! | `SESSION_KEY` | a new key each time | one key, or several with commas between them: the first writes, all are accepted |
//! | `SECURE` | 1 | 0: also over plain HTTP to another host than localhost, and in Safari |
//! | `SAME_SITE` | lax | `none`: also inside pages of other sites |
//! | `PARTITIONED` | | 1: another session inside each site that embeds this one; 0: no longer |
//! | `CHUNKED` | 1 | over how many cookies a long session may be split, up to 4 |
//! | `RECENT_SECONDS` | 300 | for how long a login is good for the page that asks for a recent one |

use std::{
    env,
    error::Error as StdError,
    time::{Duration, SystemTime},
};

use axum::{
    Form, Router,
    extract::Request,
    http::{
        Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http_session::{Error, Key, KeyRing, SameSite, Scope, Session, SessionLayer};
use serde::Deserialize;

/// A real application has a table of password hashes, and limits how often one can try.
const USERS: [(&str, &str); 2] = [("ada", "Ada Lovelace"), ("grace", "Grace Hopper")];
const PASSWORD: &str = "correct horse";

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    // Shows the events of the session layer, such as a cookie that was rejected.
    tracing_subscriber::fmt::init();

    let app = Router::new()
        .route("/", get(home))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/notes", post(add_note))
        .route("/notes/clear", post(clear_notes))
        .route("/codes", get(codes))
        .route("/style.css", get(style))
        .layer(sessions()?.on_error(|error, _| not_kept(&error)))
        .layer(from_fn(refuse_forged_forms));

    let port = env::var("PORT").unwrap_or("3000".into()).parse::<u16>()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://localhost:{}", listener.local_addr()?.port());
    Ok(axum::serve(listener, app).await?)
}

/// The session layer. `SessionLayer::encrypted(keys).build()` is enough for a start.
fn sessions() -> Result<SessionLayer, Box<dyn StdError>> {
    let keys = if env::var_os("SESSION_KEY").is_some() {
        KeyRing::from_env("SESSION_KEY")?
    } else {
        println!("sessions end with this process; to keep them: export SESSION_KEY=$(openssl rand -hex 32)");
        Key::generate()?.into()
    };
    let is = |variable, value: &str| env::var(variable).is_ok_and(|text| text == value);
    let mut layer = SessionLayer::encrypted(keys);
    if is("SECURE", "0") {
        layer = layer.secure(false);
    }
    if is("SAME_SITE", "none") {
        layer = layer.same_site(SameSite::None);
    }
    // Cookies from before the change are kept elsewhere in the browser: without their scope, a logout would not remove them.
    if is("PARTITIONED", "1") {
        layer = layer.partitioned(true).retired(Scope::new().partitioned(false));
    } else if is("PARTITIONED", "0") {
        layer = layer.retired(Scope::new().partitioned(true));
    }
    if let Ok(cookies) = env::var("CHUNKED") {
        layer = layer.chunked(cookies.parse()?);
    }
    Ok(layer.build()?)
}

async fn home(session: Session) -> Result<Response, Error> {
    let Some(user) = session.get::<String>("user")? else {
        // Nothing is written here, so a visitor who only looks gets no cookie.
        return login_page(&session, "Log in", "There are two demo users.");
    };
    // A write like this goes out with each response. Where that is too much: `rolling` keeps a session alive by itself.
    let visits = session
        .update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)
        .await?;
    let notes: Vec<String> = session.get("notes")?.unwrap_or_default();
    let items: String = notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
    let content = format!(
        include_str!("home.html"),
        name = escape(name_of(&user).unwrap_or("you")),
        visits = visits,
        notes = if items.is_empty() {
            "<li class=\"none\">No notes yet.</li>"
        } else {
            &items
        },
    );
    page(&session, "Home", &content)
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn login(session: Session, Form(form): Form<Login>) -> Result<Redirect, Error> {
    if name_of(&form.user).is_none() || form.password != PASSWORD {
        // A message for the next page: written here, taken there.
        session.insert("flash", "That user and password do not go together.")?;
        return Ok(Redirect::to("/"));
    }
    let next: String = session.take("next")?.unwrap_or("/".into());
    if session.get::<String>("user")?.is_some_and(|user| user != form.user) {
        // What the last user left behind is not for this one.
        session.destroy()?;
    }
    // A new identity, so that a session which somebody planted or saw before is not the one that is logged in now.
    session.authenticated()?;
    session.insert("user", &form.user)?;
    session.insert("flash", "You are logged in.")?;
    Ok(Redirect::to(&next))
}

/// A POST, like everything that changes something: links and images of other sites are GETs.
async fn logout(session: Session) -> Result<Redirect, Error> {
    session.destroy()?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct Note {
    text: String,
}

async fn add_note(session: Session, Form(note): Form<Note>) -> Result<Redirect, Error> {
    if session.contains_key("user")? && !note.text.trim().is_empty() {
        session
            .update("notes", |notes: Option<Vec<String>>| {
                let mut notes = notes.unwrap_or_default();
                notes.push(note.text.trim().to_owned());
                notes
            })
            .await?;
        session.insert("flash", "The note is in the session.")?;
    }
    Ok(Redirect::to("/"))
}

async fn clear_notes(session: Session) -> Result<Redirect, Error> {
    session.remove("notes")?;
    Ok(Redirect::to("/"))
}

/// Something that a session left open in a library should not give away.
async fn codes(session: Session) -> Result<Response, Error> {
    let seconds = env::var("RECENT_SECONDS").ok().and_then(|text| text.parse().ok());
    let recent = Duration::from_secs(seconds.unwrap_or(300));
    let last = session.authenticated_at()?;
    if !last.is_some_and(|at| at.elapsed().is_ok_and(|ago| ago < recent)) {
        // Kept here and not in the form, where anybody could name any page of any site.
        session.insert("next", "/codes")?;
        return login_page(&session, "Is it still you?", "Your recovery codes need a recent login.");
    }
    page(&session, "Recovery codes", include_str!("codes.html"))
}

/// Never touches the session, so it costs nothing, and caches may keep it for everybody.
async fn style() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/css"), (CACHE_CONTROL, "public, max-age=60")];
    (headers, include_str!("style.css"))
}

/// What a session too long for its cookies becomes; the browser keeps the one it has. By default it is an empty 500.
fn not_kept(error: &Error) -> Response {
    let status = match error {
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Html(include_str!("not_kept.html"))).into_response()
}

/// Against requests that another site makes in the user's name (CSRF). `SameSite=Lax` keeps the cookie out of them. This
/// also refuses those that need no cookie (a login as somebody else), those of sibling domains, and all of them with
/// `SAME_SITE=none`. It is outside of the session layer: what is refused here does not touch a session.
async fn refuse_forged_forms(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site").map(|site| site.as_bytes());
    if request.method() == Method::POST && matches!(site, Some(b"cross-site" | b"same-site")) {
        return (StatusCode::FORBIDDEN, "This form belongs to another site.").into_response();
    }
    next.run(request).await
}

// --- HTML. `format!` reads the templates when it is compiled, and looks for places to fill in them only, never in what users
// wrote.

fn login_page(session: &Session, title: &str, reason: &str) -> Result<Response, Error> {
    let content = format!(
        include_str!("login.html"),
        title = title,
        reason = reason,
        password = PASSWORD
    );
    page(session, title, &content)
}

fn page(session: &Session, title: &str, content: &str) -> Result<Response, Error> {
    let flash = session.take::<String>("flash")?.unwrap_or_default();
    let html = format!(
        include_str!("page.html"),
        title = title,
        flash = escape(&flash),
        content = content,
        is_new = if session.is_new()? { "yes" } else { "no" },
        created = when(session.created_at()?),
        authenticated = when(session.authenticated_at()?),
        expires = when(session.expires_at()?),
        keys = match session.keys()? {
            keys if keys.is_empty() => "none".into(),
            keys => escape(&keys.join(", ")),
        },
    );
    let headers = [
        // The layer already keeps this page out of shared caches. `no-store` keeps it out of the browser's own, where the
        // back button would find it after the logout.
        (CACHE_CONTROL, "no-store"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'",
        ),
    ];
    Ok((headers, Html(html)).into_response())
}

fn name_of(user: &str) -> Option<&'static str> {
    USERS.iter().find(|(id, _)| *id == user).map(|(_, name)| *name)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn when(time: Option<SystemTime>) -> String {
    let span = |span: Duration| match span.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min", seconds / 60),
        seconds @ ..86_400 => format!("{} h", seconds / 3600),
        // To the nearest: two weeks are 14 days for their first half.
        seconds => format!("{} days", (seconds + 43_200) / 86_400),
    };
    match time.map(|time| SystemTime::now().duration_since(time)) {
        Some(Ok(ago)) if ago.as_secs() == 0 => "just now".into(),
        Some(Ok(ago)) => format!("{} ago", span(ago)),
        Some(Err(ahead)) => format!("in {}", span(ahead.duration())),
        None => "-".into(),
    }
}
