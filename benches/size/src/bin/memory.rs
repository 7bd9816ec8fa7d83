//! The server of the front page, with sessions in its memory.

use axum::{Router, routing::get};
use http_session::{Error, Session, SessionLayer, store::MemoryStore};

async fn handler(session: Session) -> Result<String, Error> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(format!("visit {visits}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::with_store(MemoryStore::new()).build()?;
    let app = Router::new().route("/", get(handler)).layer(sessions);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
