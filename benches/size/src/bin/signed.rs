//! The server of the front page, with signed cookies.

use axum::{Router, routing::get};
use http_session::{Error, Key, Session, SessionLayer};

async fn handler(session: Session) -> Result<String, Error> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(format!("visit {visits}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::signed(Key::from_env("SESSION_KEY")?).build()?;
    let app = Router::new().route("/", get(handler)).layer(sessions);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
