//! Sessions with hyper alone, without a framework: any tower service can have them, and hyper serves any tower service.
//!
//! ```sh
//! SESSION_KEY=$(openssl rand -hex 32) cargo run --example hyper
//! ```
//!
//! Open <http://localhost:3000/> and reload; <http://localhost:3000/forget> begins anew.

use std::{convert::Infallible, error::Error};

use http_body_util::Full;
use http_session::{Key, Session, SessionLayer};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

/// The layer has put the session into the request's extensions. Cloning it copies nothing: it is a handle.
fn page(request: &Request<Incoming>) -> Result<String, Box<dyn Error>> {
    let session: &Session = request.extensions().get().ok_or("the session layer is missing")?;
    if request.uri().path() == "/forget" {
        session.destroy()?;
        return Ok("We never met.\n".to_owned());
    }
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(format!("This is visit {visits}.\n"))
}

async fn handle(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match page(&request) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => {
            eprintln!("{}: {error}", request.uri());
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = SessionLayer::encrypted(Key::from_env("SESSION_KEY")?).build()?;
    let service = ServiceBuilder::new().layer(sessions).service(service_fn(handle));

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
