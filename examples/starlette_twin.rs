//! A server that stands in for a Starlette application with `SessionMiddleware`: same cookies, same `Set-Cookie` lines. What
//! it serves is in its environment:
//!
//! ```sh
//! export TWIN_PORT=8000 TWIN_CONFIG='{"apps": [{"prefix": "", "session": {"secret_key": "example",
//!     "session_cookie": "session", "max_age": 1209600, "path": "/", "same_site": "lax", "https_only": false, "domain": null},
//!     "routes": [{"path": "/view_session", "methods": ["GET"], "action": "view_session"},
//!                {"path": "/update_session", "methods": ["POST"], "action": "update_session"}]}]}'
//! cargo run --example starlette_twin --features starlette
//! curl -i -d '{"some": "data"}' http://localhost:8000/update_session
//! ```
//!
//! The actions are `view_session`, `update_session`, `clear_session` and `no_session_access`. SIGTERM stops it.

use std::{collections::BTreeMap, env, error::Error as StdError, sync::Arc};

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{Method, StatusCode, header::ALLOW},
    response::{IntoResponse, Response},
};
use http_session::{
    Duplicates, Error, Reject, SameSite, Session, SessionLayer,
    codec::{Binding, Codec, Format, Incoming, Outgoing, Payload, Spelling, Starlette},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    tracing_subscriber::fmt::init();
    let config: Config = serde_json::from_str(&env::var("TWIN_CONFIG")?)?;
    let apps = config
        .apps
        .into_iter()
        .map(App::new)
        .collect::<Result<Vec<_>, Error>>()?;
    let server = Router::new().fallback(dispatch).with_state(Arc::new(apps));

    let port = env::var("TWIN_PORT")?.parse::<u16>()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, server) => Ok(served?),
        () = told_to_stop() => Ok(()),
    }
}

#[cfg(unix)]
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(error) => eprintln!("SIGTERM is not heard: {error}"),
    }
}

#[cfg(not(unix))]
async fn told_to_stop() {
    std::future::pending().await
}

// --- The configuration.

#[derive(Deserialize)]
struct Config {
    apps: Vec<AppConfig>,
}

#[derive(Deserialize)]
struct AppConfig {
    prefix: String,
    session: Option<Middleware>,
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    path: String,
    methods: Vec<String>,
    action: Action,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    ViewSession,
    UpdateSession,
    ClearSession,
    NoSessionAccess,
}

/// The arguments of `SessionMiddleware`.
#[derive(Deserialize)]
struct Middleware {
    secret_key: String,
    session_cookie: String,
    max_age: Option<i64>,
    path: String,
    same_site: String,
    https_only: bool,
    domain: Option<String>,
    #[serde(default)]
    partitioned: bool,
}

impl Middleware {
    fn layer(&self) -> Result<SessionLayer, Error> {
        // Both are the same machine, so the stamp needs no allowance for clocks.
        let mut codec = Starlette::new(&*self.secret_key).backdate(0);
        if let Some(seconds) = self.max_age {
            codec = codec.max_age(seconds);
        }
        let layer = match (&*self.same_site, self.https_only) {
            ("lax", _) => SessionLayer::with_codec(codec),
            ("strict", _) => SessionLayer::with_codec(codec).same_site(SameSite::Strict),
            ("none", true) => SessionLayer::with_codec(codec).same_site(SameSite::None),
            ("none", false) => SessionLayer::with_codec(InsecureNone(codec, self.max_age)),
            (other, _) => return Err(Error::config(format!("{other:?} is no `same_site`"))),
        };
        let mut layer = layer
            .cookie_name(&self.session_cookie)
            .path(&self.path)
            .secure(self.https_only)
            .partitioned(self.partitioned)
            // The last one counts there, which a browser with two cookies has set last.
            .on_duplicates(Duplicates::Newest);
        if self.max_age.is_none() {
            layer = layer.max_age(None);
        }
        if let Some(domain) = &self.domain {
            layer = layer.domain(domain);
        }
        layer.build()
    }
}

/// `samesite=none` without `secure`, which no browser keeps and the layer refuses: so it spells the cookie without telling it.
#[derive(Clone)]
struct InsecureNone(Starlette, Option<i64>);

impl Codec for InsecureNone {
    fn spelling(&self, binding: &Binding<'_>) -> Option<Spelling> {
        let path = binding.path();
        let max_age = self.1.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let domain = binding
            .domain()
            .map(|domain| format!("; domain={domain}"))
            .unwrap_or_default();
        Some(Spelling::new(
            format!("; path={path}{max_age}; httponly; samesite=none{domain}"),
            format!("null; path={path}; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=none{domain}"),
        ))
    }

    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        self.0.decode(cookie)
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        self.0.encode(payload, cookie)
    }

    fn format(&self) -> Format {
        self.0.format()
    }

    fn bind(&mut self, binding: &Binding<'_>) -> Result<(), Error> {
        self.0.bind(binding)
    }
}

// --- The server.

struct App {
    /// Whole paths.
    routes: Vec<Route>,
    service: Router,
}

impl App {
    fn new(config: AppConfig) -> Result<Self, Error> {
        let mut service = Router::new().fallback(act);
        if let Some(session) = &config.session {
            service = service.layer(session.layer()?);
        }
        let mut routes = config.routes;
        for route in &mut routes {
            route.path.insert_str(0, &config.prefix);
        }
        Ok(Self { routes, service })
    }
}

impl Route {
    fn allows(&self, method: &Method) -> bool {
        let allows = |method: &str| self.methods.iter().any(|allowed| allowed == method);
        allows(method.as_str()) || (method == Method::HEAD && allows("GET"))
    }
}

async fn dispatch(State(apps): State<Arc<Vec<App>>>, mut request: Request) -> Response {
    let path = request.uri().path();
    let mut allowed = Vec::new();
    for app in &*apps {
        for route in app.routes.iter().filter(|route| route.path == path) {
            if route.allows(request.method()) {
                request.extensions_mut().insert(route.action);
                let Ok(response) = app.service.clone().oneshot(request).await;
                return response;
            }
            allowed.extend(route.methods.iter().map(String::as_str));
        }
    }
    match allowed.is_empty() {
        true => StatusCode::NOT_FOUND.into_response(),
        false => (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allowed.join(", "))]).into_response(),
    }
}

#[derive(Serialize)]
struct View {
    session: Box<RawValue>,
}

async fn act(Extension(action): Extension<Action>, session: Option<Session>, body: Bytes) -> Result<Response, Error> {
    if let Action::NoSessionAccess = action {
        return Ok(Json(BTreeMap::from([("status", "ok")])).into_response());
    }
    let Some(session) = session else {
        // As in Starlette: "SessionMiddleware must be installed to access request.session".
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    };
    match action {
        Action::UpdateSession => {
            let Ok(members) = serde_json::from_slice::<Members>(&body) else {
                return Ok((StatusCode::BAD_REQUEST, "the body is not a JSON object").into_response());
            };
            for (key, value) in members.0 {
                session.insert(&key, value)?;
            }
            // There, a value set to what it already was is written again.
            session.renew()?;
        }
        // There, a cookie that was not valid is not removed.
        Action::ClearSession if !session.is_new()? => session.clear()?,
        _ => {}
    }
    let session = session.to_map()?;
    Ok(Json(View { session }).into_response())
}

/// The members of an object in their order.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}
