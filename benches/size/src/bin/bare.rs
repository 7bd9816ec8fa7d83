//! A server without sessions.

use axum::{Router, routing::get};

async fn handler() -> String {
    let visits = std::process::id();
    format!("visit {visits}\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new().route("/", get(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
