//! What the layer adds to a request whose handler is not done yet.

use std::{
    convert::Infallible,
    future::{Future, pending},
    mem::{size_of, size_of_val},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use http::{HeaderMap, Request, Response};
use http_session::{DefaultErrorResponse, Key, ResponseFuture, Session, SessionLayer, store::MemoryStore};
use tower::{Layer, Service};

use crate::support::{SESSIONS, drive, headers, read, request, write};

type Held = Pin<Box<dyn Future<Output = Result<Response<()>, Infallible>> + Send>>;

/// What a handler does before it waits for ever.
#[derive(Clone, Copy)]
enum Deed {
    Nothing,
    Read,
    Write,
    /// Sets all keys of this JSON and answers.
    Begin(&'static str),
}

/// Keeps the request, does something with its session if there is one, and then waits.
#[derive(Clone)]
struct Waits(Deed);

impl Service<Request<()>> for Waits {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Held;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Held {
        let deed = self.0;
        Box::pin(async move {
            let session = request.extensions().get::<Session>().cloned();
            if let Some(session) = &session {
                match deed {
                    Deed::Nothing => {}
                    Deed::Read => {
                        session.load().await.unwrap();
                        read(session);
                    }
                    Deed::Write => {
                        session.load().await.unwrap();
                        write(session);
                    }
                    Deed::Begin(json) => {
                        let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
                        for (key, value) in data {
                            session.insert(&key, value).unwrap();
                        }
                        return Ok(Response::new(()));
                    }
                }
            }
            let never = pending().await;
            drop((session, request));
            never
        })
    }
}

/// Heap bytes that are held once the handler waits.
fn held<S>(service: &mut S, request: Request<()>) -> i64
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(None);
    let info = measure(|| {
        future.set(Some(service.call(request)));
        let future = future.as_mut().as_pin_mut().unwrap();
        assert!(future.poll(&mut context).is_pending());
    });
    info.bytes_current
}

/// What the layer adds to that.
fn added(layer: &SessionLayer, headers: &HeaderMap, deed: Deed) -> i64 {
    let mut with = layer.layer(Waits(deed));
    // The first request of a process pays for what is made once.
    held(&mut with, request(headers));
    held(&mut with, request(headers)) - held(&mut Waits(deed), request(headers))
}

/// The headers of a browser that has this session.
fn known(layer: &SessionLayer, json: &'static str) -> HeaderMap {
    let response = drive(&mut layer.layer(Waits(Deed::Begin(json))), request(&headers(None)));
    let line = response.headers()["set-cookie"].to_str().unwrap();
    headers(line.split(';').next())
}

pub fn table() {
    let layers = [
        SessionLayer::signed(Key::generate().unwrap()),
        SessionLayer::encrypted(Key::generate().unwrap()),
        SessionLayer::with_store(MemoryStore::new()),
    ]
    .map(|layer| layer.build().unwrap());
    let [small, large] = SESSIONS.map(|(_, json)| layers.each_ref().map(|layer| known(layer, json)));
    let none = [(); 3].map(|()| headers(None));

    println!("| heap bytes of a request that is under way | `signed` | `encrypted` | `MemoryStore` |");
    println!("|---|--:|--:|--:|");
    for (case, headers, deed) in [
        ("anonymous, untouched", &none, Deed::Nothing),
        ("known, untouched", &small, Deed::Nothing),
        ("small, read", &small, Deed::Read),
        ("small, written", &small, Deed::Write),
        ("large, read", &large, Deed::Read),
        ("large, written", &large, Deed::Write),
    ] {
        print!("| {case} |");
        for (layer, headers) in layers.iter().zip(headers) {
            print!(" {} |", added(layer, headers, deed));
        }
        println!();
    }

    let mut request = Request::new(());
    let map = measure(|| assert!(request.extensions_mut().insert([0_usize; 2]).is_none()));
    println!(
        "\nOf each, the request's map of extensions, if it was empty: {}",
        map.bytes_current
    );

    let session = Session::new();
    let load = size_of_val(&session.load());
    println!("The future of `Session::load`, while a handler awaits it: {load}");
    println!(
        "The response's future is larger by {} without a body, by {} with axum's",
        future::<()>(),
        future::<axum::body::Body>()
    );
}

/// What the layer's future takes beside the handler's.
fn future<B>() -> usize {
    size_of::<ResponseFuture<Held, B, DefaultErrorResponse>>() - size_of::<Held>()
}
