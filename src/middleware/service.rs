//! The service: puts a session into each request.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use tower_service::Service;

use super::{
    built::Built,
    error_response::{DefaultErrorResponse, ErrorResponse},
    future::{ResponseFuture, Uncommitted},
    request::{Incoming, Refused},
    settings::Place,
    tagged::InnermostTagged,
};
use crate::{
    error::Error,
    event::event,
    session::{Session, Shared},
};

/// A service with sessions, made by [`SessionLayer`](crate::SessionLayer).
#[derive(Clone)]
pub struct SessionService<S, R = DefaultErrorResponse> {
    inner: S,
    built: Result<Arc<Built>, Error>,
    place: Place,
    on_error: R,
}

impl<S, R> SessionService<S, R> {
    pub(super) fn new(inner: S, built: Result<Arc<Built>, Error>, place: Place, on_error: R) -> Self {
        Self {
            inner,
            built,
            place,
            on_error,
        }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: ErrorResponse<ResBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let session = match &self.built {
            Ok(built) => enter(built, self.place, &mut request),
            // Handlers that do not need a session work; the others are told what is wrong with the layer.
            Err(error) => {
                let refused = Arc::new(Shared::new(Refused(error.clone())));
                (self.place.insert)(request.extensions_mut(), Session::of(refused));
                None
            }
        };
        // Made before the call, so that a service that panics leaves no session that can be written.
        let uncommitted = Uncommitted::new(session);
        ResponseFuture::new(self.inner.call(request), self.on_error.clone(), uncommitted)
    }
}

/// Puts a session into the request and returns what is to be committed: nothing if a clone of the
/// layer stands further out, whose session goes on and which writes it.
fn enter<B>(built: &Arc<Built>, place: Place, request: &mut Request<B>) -> Option<Arc<Shared<Incoming>>> {
    let extensions = request.extensions();
    let visible = (place.find)(extensions);
    let plain = if place.is_tagged { extensions.get() } else { visible };
    let tagged = extensions.get().map(|InnermostTagged(session)| session);
    let mut outer = None;
    let mut is_disordered = false;
    if plain.is_some() || tagged.is_some() {
        let innermost = extensions.get().map(|InnermostPlain(session)| session);
        is_disordered = innermost.is_some();
        let plain = innermost.or(plain);
        match meet(built, visible, plain, tagged) {
            Met::Itself { session, is_visible } => {
                if !is_visible {
                    let innermost = plain.filter(|_| !place.is_tagged).cloned();
                    (place.insert)(request.extensions_mut(), session);
                    innermost.and_then(|innermost| request.extensions_mut().insert(InnermostPlain(innermost)));
                }
                return None;
            }
            Met::Others => {
                outer = if place.is_tagged {
                    tagged.cloned()
                } else {
                    plain.cloned()
                }
            }
        }
    }
    let found = built.names.find(request.headers());
    let is_connect = request.method() == Method::CONNECT;
    let shared = Arc::new(Shared::new(Incoming::new(Arc::clone(built), found, is_connect, outer)));
    let session = Session::of(shared.clone());
    if place.is_tagged {
        request.extensions_mut().insert(InnermostTagged(session.clone()));
    } else if is_disordered {
        request.extensions_mut().insert(InnermostPlain(session.clone()));
    }
    (place.insert)(request.extensions_mut(), session);
    Some(shared)
}

/// The innermost session of all layers that are not tagged, where it is not the one that handlers
/// see: a clone of a layer further out has put that one in its place.
#[derive(Clone)]
struct InnermostPlain(Session);

enum Met {
    Itself { session: Session, is_visible: bool },
    Others,
}

/// Looks at the sessions of the layers further out.
#[cold]
fn meet(built: &Arc<Built>, visible: Option<&Session>, plain: Option<&Session>, tagged: Option<&Session>) -> Met {
    let (mut named_alike, mut shadows) = (false, false);
    let all = [plain, tagged];
    for session in all.into_iter().flatten().flat_map(Session::and_outer) {
        let is_visible = visible.is_some_and(|visible| visible.is(session));
        shadows |= is_visible;
        let Some(layer) = session.layer() else {
            continue;
        };
        if layer.at == Arc::as_ptr(built).cast() {
            let session = session.clone();
            return Met::Itself { session, is_visible };
        }
        named_alike |= layer.cookie_name == built.name;
    }
    if named_alike {
        if !built.warned_of_name.swap(true, Ordering::Relaxed) {
            let error = Error::config(format!(
                "two different layers write the cookie {:?} of one request, so what one writes the other undoes: give them different \
                 names, or put clones of one layer in both places",
                built.name
            ));
            event!(ERROR, error = %error, "two session layers with one cookie name stand on one request");
        }
    } else if shadows && !built.warned_of_shadow.swap(true, Ordering::Relaxed) {
        event!(
            WARN,
            "two session layers stand on one service, so handlers see the inner one's session only: mark one of them with \
             `tagged`"
        );
    }
    Met::Others
}

impl<S: fmt::Debug, R> fmt::Debug for SessionService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
