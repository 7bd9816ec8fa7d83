//! "Your devices": the sessions of one user, and how to end them. It needs a store, since nobody can end a session that is
//! in a cookie somewhere.

use axum::{
    Form,
    extract::State,
    http::{HeaderMap, header::USER_AGENT},
    response::Redirect,
};
use http_session::{Error, Session, SessionLayer};
use serde::Deserialize;

use super::html::{escape, when};

/// The layer, if it has a store.
pub(super) type Devices = Option<SessionLayer>;

/// What the user knows a device by: a few words, and never the whole header.
pub(super) fn label(headers: &HeaderMap) -> String {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or("");
    let first = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(part, _)| agent.contains(part));
        found.map(|(_, name)| *name)
    };
    // Browsers name others to be taken for them, so the order matters.
    let browsers = [
        ("Edg", "Edge"),
        ("Firefox", "Firefox"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
    ];
    let systems = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let browser = first(&browsers).unwrap_or("Some browser");
    first(&systems).map_or(browser.to_owned(), |system| format!("{browser} on {system}"))
}

pub(super) async fn list(devices: &Devices, session: &Session) -> Result<String, Error> {
    let (Some(layer), Some(owner)) = (devices, session.owner()?) else {
        return Ok(include_str!("no_devices.html").to_owned());
    };
    let this = session.id()?;
    let sessions = layer.sessions_of(&owner).await?;
    let mut items = String::new();
    for device in &sessions {
        let label = escape(device.label.as_deref().unwrap_or("Some device"));
        items += &format!(
            include_str!("device.html"),
            label = label,
            created = when(Some(device.created)),
            seen = when(Some(device.seen)),
            end = if Some(device.id) == this {
                "<span class=\"small\">this device</span>".to_owned()
            } else {
                format!(include_str!("end.html"), id = device.id, label = label)
            },
        );
    }
    let others = if sessions.len() > 1 {
        include_str!("end_others.html")
    } else {
        ""
    };
    Ok(format!(include_str!("devices.html"), others = others, items = items))
}

#[derive(Deserialize)]
pub(super) struct End {
    id: String,
}

/// The id comes from a form, so it may be anything: text that is none is refused by `parse`, and that of somebody else's
/// session ends nothing.
pub(super) async fn end(
    State(devices): State<Devices>,
    session: Session,
    Form(form): Form<End>,
) -> Result<Redirect, Error> {
    if let (Some(layer), Some(owner), Ok(id)) = (devices, session.owner()?, form.id.parse()) {
        let ended = layer.destroy_one(&owner, id).await?;
        let message = if ended {
            "That device is logged out."
        } else {
            "That device was not logged in."
        };
        session.insert("flash", message)?;
    }
    Ok(Redirect::to("/"))
}

/// A changed password should do this as well.
pub(super) async fn end_others(State(devices): State<Devices>, session: Session) -> Result<Redirect, Error> {
    if let (Some(layer), Some(owner)) = (devices, session.owner()?) {
        let ended = layer.destroy_all(&owner, session.id()?).await?;
        session.insert("flash", format!("Logged out on other devices: {ended}."))?;
    }
    Ok(Redirect::to("/"))
}
