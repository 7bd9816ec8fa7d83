//! The process that is asked: one thread, HTTP/1.1 with keep-alive.

use std::{convert::Infallible, error::Error, io::Read as _};

use http::{Request, Response, header::SET_COOKIE};
use http_body_util::Full;
use http_session::{Key, Session, SessionLayer, store::MemoryStore};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, runtime};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::{
    case::{Case, Deed, Sessions},
    support::SESSIONS,
};

/// Serves until standard input ends, so that it does not outlive who started it. Says its port, and the cookie of a session
/// that it knows.
pub fn run(case: Case) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let key = Key::generate().unwrap();
    let layer = match case.sessions {
        // The bare service is sent a cookie all the same: its requests have to be as long.
        Sessions::Bare | Sessions::Signed => SessionLayer::signed(key),
        Sessions::Encrypted => SessionLayer::encrypted(key),
        Sessions::Memory => SessionLayer::with_store(MemoryStore::new()),
    };
    let layer = layer.build().unwrap();
    let is_stored = case.sessions == Sessions::Memory;
    let handler = service_fn(move |request| handle(request, case.deed, is_stored));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cookie = begin(&layer).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{} {cookie}", listener.local_addr().unwrap().port());
        match case.sessions {
            Sessions::Bare => serve(listener, handler).await,
            _ => serve(listener, layer.layer(handler)).await,
        }
    });
}

async fn serve<S>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Future: Send> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(service.clone());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A client that hangs up is an error here.
        tokio::spawn(async move { drop(connection.await) });
    }
}

async fn handle(request: Request<Incoming>, deed: Deed, is_stored: bool) -> Result<Response<Full<Bytes>>, Infallible> {
    let Some(session) = request.extensions().get::<Session>() else {
        return Ok(answer("bare", 0));
    };
    if is_stored && matches!(deed, Deed::Read | Deed::Write) {
        session.load().await.unwrap();
    }
    Ok(match deed {
        Deed::Anonymous | Deed::Untouched => answer("none", 0),
        Deed::Read => {
            let user = session.get::<String>("user").unwrap().unwrap();
            answer(&user, session.get("visits").unwrap().unwrap())
        }
        Deed::Write => {
            let visits = session.get::<u64>("visits").unwrap().unwrap() + 1;
            session.insert("visits", visits).unwrap();
            answer("next", visits)
        }
    })
}

/// 13 bytes that say what the handler found: four characters and a number. Each case makes its body this way.
fn answer(who: &str, visits: u64) -> Response<Full<Bytes>> {
    Response::new(Full::from(body(who, visits)))
}

pub fn body(who: &str, visits: u64) -> String {
    format!("{who:.4}{visits:>9}")
}

/// The cookie of a new small session.
async fn begin(layer: &SessionLayer) -> String {
    let service = layer.layer(service_fn(async |request: Request<()>| {
        let session: &Session = request.extensions().get().unwrap();
        let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(SESSIONS[0].1).unwrap();
        for (key, value) in data {
            session.insert(&key, value).unwrap();
        }
        Ok::<_, Infallible>(Response::new(()))
    }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    let line = response.headers()[SET_COOKIE].to_str().unwrap();
    line.split(';').next().unwrap().to_owned()
}
