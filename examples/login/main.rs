//! A login, from the form to the logout: everything a session is for, on one page.
//!
//! ```text
//! cargo run --example login        # then open http://localhost:3000
//! cargo run --example login --features sqlite -- --store sqlite
//! ```
//!
//! By default the session is in an encrypted cookie, so there is no database and nothing to set up. With `--store sqlite` it
//! is in a file, and with `--store memory` (feature `memory`) in this process: then the page lists the user's devices and
//! logs them out. These environment variables change something; none is needed:
//!
//! | variable | by default | |
//! |---|---|---|
//! | `PORT` | 3000 | 0 takes any free port |
//! | `SESSION_KEY` | a new key each time | for cookies: one key, or several with commas between them: the first writes, all are accepted |
//! | `DATABASE` | login.db | the file of `--store sqlite` |
//! | `SECURE` | 1 | 0: also over plain HTTP to another host than localhost, and in Safari |
//! | `SAME_SITE` | lax | `none`: also inside pages of other sites |
//! | `PARTITIONED` | | 1: another session inside each site that embeds this one; 0: no longer |
//! | `CHUNKED` | 1 | over how many cookies a long session may be split, up to 4 |
//! | `FAREWELL` | | 1: a message after the logout, in a session that is nobody's |
//! | `RECENT_SECONDS` | 300 | for how long a login is good for the page that asks for a recent one |

mod devices;
mod html;

use std::{any::Any, env, error::Error as StdError, time::Duration};

use axum::{
    Form, Router,
    extract::{Request, State},
    http::{
        HeaderMap, Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    middleware::{Next, from_fn, map_response},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http_session::{Error, Key, KeyRing, SameSite, Scope, Session, SessionLayer};
use serde::Deserialize;

use self::{
    devices::Devices,
    html::{escape, login_page, page},
};

/// A real application has a table of password hashes, and limits how often one can try.
const USERS: [(&str, &str); 2] = [("ada", "Ada Lovelace"), ("grace", "Grace Hopper")];
const PASSWORD: &str = "correct horse";

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    // Shows the events of the session layer, such as a cookie that was rejected.
    tracing_subscriber::fmt::init();

    let store = store_asked_for()?;
    // What comes with the store has to live as long as the server.
    let (layer, _kept) = open(store.as_deref()).await?;
    let layer = with_settings(layer)?;
    let devices: Devices = store.map(|_| layer.clone());

    let app = Router::new()
        .route("/", get(home))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/notes", post(add_note))
        .route("/notes/clear", post(clear_notes))
        .route("/codes", get(codes))
        .route("/devices/end", post(devices::end))
        .route("/devices/end-others", post(devices::end_others))
        .route("/style.css", get(style))
        .layer(layer.on_error(|error, _| not_kept(&error)))
        .layer(map_response(back_to_the_start))
        .layer(from_fn(refuse_forged_forms))
        .with_state(devices);

    let port = env::var("PORT").unwrap_or("3000".into()).parse::<u16>()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://localhost:{}", listener.local_addr()?.port());
    Ok(axum::serve(listener, app).await?)
}

/// `--store NAME`.
fn store_asked_for() -> Result<Option<String>, Box<dyn StdError>> {
    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(None),
        (Some("--store"), Some(name), None) => Ok(Some(name)),
        _ => Err("usage: login [--store memory | --store sqlite]".into()),
    }
}

/// The session layer, and what belongs to its store. `SessionLayer::encrypted(keys).build()` is enough for a start.
async fn open(store: Option<&str>) -> Result<(SessionLayer, Box<dyn Any>), Box<dyn StdError>> {
    match store {
        None if env::var_os("SESSION_KEY").is_some() => {
            Ok((SessionLayer::encrypted(KeyRing::from_env("SESSION_KEY")?), Box::new(())))
        }
        None => {
            println!("sessions end with this process; to keep them: export SESSION_KEY=$(openssl rand -hex 32)");
            Ok((SessionLayer::encrypted(Key::generate()?), Box::new(())))
        }
        #[cfg(feature = "memory")]
        Some("memory") => {
            let store = http_session::store::MemoryStore::new();
            Ok((SessionLayer::with_store(store), Box::new(())))
        }
        #[cfg(feature = "sqlite")]
        Some("sqlite") => {
            let file = env::var("DATABASE").unwrap_or("login.db".into());
            let store = http_session::store::SqlStore::sqlite(file).await?;
            store.migrate().await?;
            let sweeper = store.sweep_every(Duration::from_secs(600))?;
            Ok((SessionLayer::with_store(store), Box::new(sweeper)))
        }
        Some(_) => {
            Err("a store is memory or sqlite, and needs the feature of its name: cargo run --example login --features sqlite,memory".into())
        }
    }
}

fn with_settings(mut layer: SessionLayer) -> Result<SessionLayer, Box<dyn StdError>> {
    let is = |variable, value: &str| env::var(variable).is_ok_and(|text| text == value);
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

async fn home(State(devices): State<Devices>, session: Session) -> Result<Response, Error> {
    let Some(user) = session.get::<String>("user")? else {
        // Nothing is written here, so a visitor who only looks gets no cookie.
        return login_page(&session, &devices, "Log in", "There are two demo users.");
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
        devices = devices::list(&devices, &session).await?,
    );
    page(&session, &devices, "Home", &content)
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn login(
    State(devices): State<Devices>,
    session: Session,
    headers: HeaderMap,
    Form(form): Form<Login>,
) -> Result<Redirect, Error> {
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
    if devices.is_some() {
        // So that the user finds it in the list, and knows which one it is.
        session.set_owner(&form.user)?;
        session.set_label(devices::label(&headers))?;
    }
    session.insert("flash", "You are logged in.")?;
    Ok(Redirect::to(&next))
}

/// A POST, like everything that changes something: links and images of other sites are GETs.
async fn logout(session: Session) -> Result<Redirect, Error> {
    if env::var("FAREWELL").is_ok_and(|text| text == "1") {
        // Nothing of the user stays: neither data nor owner nor login, and the ticket is another one.
        session.clear()?;
        session.insert("flash", "You are logged out.")?;
    } else {
        session.destroy()?;
    }
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
async fn codes(State(devices): State<Devices>, session: Session) -> Result<Response, Error> {
    let seconds = env::var("RECENT_SECONDS").ok().and_then(|text| text.parse().ok());
    let recent = Duration::from_secs(seconds.unwrap_or(300));
    let last = session.authenticated_at()?;
    if !last.is_some_and(|at| at.elapsed().is_ok_and(|ago| ago < recent)) {
        // Kept here and not in the form, where anybody could name any page of any site.
        session.insert("next", "/codes")?;
        return login_page(
            &session,
            &devices,
            "Is it still you?",
            "Your recovery codes need a recent login.",
        );
    }
    page(&session, &devices, "Recovery codes", include_str!("codes.html"))
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
        Error::Store { .. } => {
            return (StatusCode::SERVICE_UNAVAILABLE, "Please try again in a moment.").into_response();
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Html(include_str!("not_kept.html"))).into_response()
}

/// Another device ended this session while the request was at work. Nothing of it came back, so all there is to show is the
/// login form. By default it is an empty 409.
async fn back_to_the_start(response: Response) -> Response {
    match response.extensions().get() {
        Some(Error::Gone) => Redirect::to("/").into_response(),
        _ => response,
    }
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

fn name_of(user: &str) -> Option<&'static str> {
    USERS.iter().find(|(id, _)| *id == user).map(|(_, name)| *name)
}
