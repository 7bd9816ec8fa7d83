//! A server with signed cookies whose one handler does not look at its session.

use axum::{Router, routing::get};
use http_session::{Key, SessionLayer};

async fn handler() -> String {
    let visits = std::process::id();
    format!("visit {visits}\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::signed(Key::from_env("SESSION_KEY")?).build()?;
    let app = Router::new().route("/", get(handler)).layer(sessions);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
