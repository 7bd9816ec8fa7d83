//! The pages. `format!` reads the templates when it is compiled, and looks for places to fill in them only, never in what users
//! wrote.

use std::time::{Duration, SystemTime};

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
    response::{Html, IntoResponse, Response},
};
use http_session::{Error, Session};

use super::{PASSWORD, devices::Devices};

pub(super) fn login_page(session: &Session, devices: &Devices, title: &str, reason: &str) -> Result<Response, Error> {
    let content = format!(
        include_str!("login.html"),
        title = title,
        reason = reason,
        password = PASSWORD
    );
    page(session, devices, title, &content)
}

pub(super) fn page(session: &Session, devices: &Devices, title: &str, content: &str) -> Result<Response, Error> {
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
        kept = match devices {
            None => "All of it is in the cookie, encrypted. The server keeps nothing but its key.",
            Some(_) => "The server keeps all of it. The cookie is no more than a ticket.",
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

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

pub(super) fn when(time: Option<SystemTime>) -> String {
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
