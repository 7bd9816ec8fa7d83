//! A server with three handlers and three services that are not handlers. Each first one has a session, and by feature:
//! `handlers`, the other two handlers; `services`, the other two services; `types`, four more types of values. With `bodies`
//! the services' responses have three types of bodies instead of one.

use std::convert::Infallible;

use axum::{Router, body::Body, extract::Request, response::Response, routing::get};
use http_session::{Error, Key, Session, SessionLayer};
use tower::{Layer, service_fn};

#[cfg(not(feature = "bodies"))]
type Fifth = Body;
#[cfg(not(feature = "bodies"))]
type Sixth = Body;
#[cfg(feature = "bodies")]
type Fifth = String;
#[cfg(feature = "bodies")]
type Sixth = Box<String>;

async fn first(session: Session) -> Result<String, Error> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    #[cfg(feature = "types")]
    {
        let name = session.get::<String>("name")?.unwrap_or_default();
        let small = session.get::<u8>("small")?.unwrap_or(0);
        let ratio = session.get::<f64>("ratio")?.unwrap_or(0.0);
        let items = session.get::<Vec<String>>("items")?.unwrap_or_default();
        return Ok(format!(
            "visit {visits} of {name}, {small} {ratio} {}\n",
            items.join(" ")
        ));
    }
    #[cfg(not(feature = "types"))]
    Ok(format!("visit {visits}\n"))
}

#[cfg(feature = "handlers")]
async fn second(session: Session) -> Result<String, Error> {
    let clicks = session.get::<u64>("clicks")?.unwrap_or(0) + 2;
    session.insert("clicks", clicks)?;
    Ok(format!("click {clicks}\n"))
}

#[cfg(feature = "handlers")]
async fn third(session: Session) -> Result<String, Error> {
    let pages = session.get::<u64>("pages")?.unwrap_or(0) + 3;
    session.insert("pages", pages)?;
    Ok(format!("page {pages}\n"))
}

#[cfg(not(feature = "handlers"))]
async fn second() -> Result<String, Error> {
    let clicks = std::process::id() + 2;
    Ok(format!("click {clicks}\n"))
}

#[cfg(not(feature = "handlers"))]
async fn third() -> Result<String, Error> {
    let pages = std::process::id() + 3;
    Ok(format!("page {pages}\n"))
}

async fn fourth(request: Request) -> Result<Response, Infallible> {
    Ok(Response::new(Body::from(format!("fourth {}", request.uri()))))
}

async fn fifth(request: Request) -> Result<Response<Fifth>, Infallible> {
    Ok(Response::new(Fifth::from(format!("fifth {}", request.uri()))))
}

async fn sixth(request: Request) -> Result<Response<Sixth>, Infallible> {
    Ok(Response::new(Sixth::from(format!("sixth {}", request.uri()))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::signed(Key::from_env("SESSION_KEY")?).build()?;
    // Without the feature, a layer that adds nothing.
    #[cfg(feature = "services")]
    let more = sessions.clone();
    #[cfg(not(feature = "services"))]
    let more = tower::layer::util::Identity::new();
    let services = Router::new()
        .route_service("/fourth", sessions.layer(service_fn(fourth)))
        .route_service("/fifth", more.layer(service_fn(fifth)))
        .route_service("/sixth", more.layer(service_fn(sixth)));
    let app = Router::new()
        .route("/", get(first))
        .route("/second", get(second))
        .route("/third", get(third))
        .layer(sessions)
        .merge(services);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
