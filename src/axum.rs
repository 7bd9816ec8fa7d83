//! Extractors for axum, through axum-core only.

use std::fmt;

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{Error, Session, Tagged, event::event};

/// Why an extractor has no session to give: no layer has seen the request, the session has another
/// tag than the one that is asked for, or a stored session could not be fetched.
///
/// As a response it is a 500 whose body says what to do about the layers; or, for a session that
/// could not be fetched, [`Error::status`] with an empty body, and the [`Error`] is in the
/// response's extensions. The client keeps its cookie.
///
/// It and [`Error`] become each other with `?`, so an extractor of yours needs no error type of its
/// own:
///
/// ```
/// use axum::{extract::FromRequestParts, http::request::Parts};
/// use http_session::{Session, SessionRejection};
///
/// /// The id of the visitor's user, or 0.
/// struct UserId(u64);
///
/// impl<S: Send + Sync> FromRequestParts<S> for UserId {
///     type Rejection = SessionRejection; // `Error` would do as well
///
///     async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionRejection> {
///         let session = <Session as FromRequestParts<S>>::from_request_parts(parts, state).await?;
///         Ok(Self(session.get("user")?.unwrap_or(0)))
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SessionRejection(Why);

#[derive(Clone, Debug)]
enum Why {
    /// No layer has put a session into this request.
    NoSession,
    /// `Session` is asked for, and there are only tagged ones.
    OnlyTagged,
    /// `Tagged<M>` is asked for, and there is only one without a tag.
    Untagged,
    /// `Tagged<M>` is asked for, and there are only other tags.
    OtherTag,
    /// A stored session could not be fetched.
    NotFetched(Error),
    /// An error of a typed extractor.
    Error(Error),
}

impl SessionRejection {
    /// Of a request that has no `Session`.
    fn no_session(parts: &Parts) -> Self {
        Self(if Tagged::<()>::is_any_in(&parts.extensions) {
            Why::OnlyTagged
        } else {
            Why::NoSession
        })
    }

    /// Of a request that has no `Tagged<M>`.
    fn no_tagged(parts: &Parts) -> Self {
        Self(if Tagged::<()>::is_any_in(&parts.extensions) {
            Why::OtherTag
        } else if parts.extensions.get::<Session>().is_some() {
            Why::Untagged
        } else {
            Why::NoSession
        })
    }

    /// Returns the status of its response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            Why::NotFetched(error) | Why::Error(error) => error.status(),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the body of its response: what to do about the layers, or nothing, because an
    /// [`Error`] is not for the client.
    #[must_use]
    pub fn body_text(&self) -> String {
        self.advice().unwrap_or_default().to_owned()
    }

    /// Returns the error, or `None` if the layers are at fault.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match &self.0 {
            Why::NotFetched(error) | Why::Error(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the error; a layer that is missing becomes [`Error::Config`].
    #[must_use]
    pub fn into_error(self) -> Error {
        match self.0 {
            Why::NotFetched(error) | Why::Error(error) => error,
            _ => Error::config(self.body_text()),
        }
    }

    fn advice(&self) -> Option<&'static str> {
        Some(match &self.0 {
            Why::NoSession => {
                "this request has no session, because no session layer has seen it before this extractor: on a router, add \
                 `.layer(SessionLayer::encrypted(key))` after this route; if this is a middleware (`from_fn`) or an extractor of \
                 one, add the session layer after it, since the layer that is added last runs first"
            }
            Why::OnlyTagged => {
                "this request has no session without a tag, and has one with a tag: extract `Tagged<M>` with the type that its \
                 layer was given, or take `.tagged::<M>()` from the layer"
            }
            Why::Untagged => {
                "this request has a session, and it has no tag: extract `Session`, or give its layer the tag with \
                 `.tagged::<M>()`"
            }
            Why::OtherTag => {
                "this request has no session with this tag, and has one with another: extract `Tagged<M>` with the type that \
                 its layer was given, or add a layer with this tag"
            }
            Why::NotFetched(_) | Why::Error(_) => return None,
        })
    }
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, self.advice()) {
            (Why::NotFetched(error) | Why::Error(error), _) => error.fmt(f),
            (_, advice) => f.write_str(advice.unwrap_or_default()),
        }
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            // Its own sentence is this one's.
            Why::NotFetched(error) | Why::Error(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for SessionRejection {
    fn from(error: Error) -> Self {
        Self(Why::Error(error))
    }
}

impl From<SessionRejection> for Error {
    fn from(rejection: SessionRejection) -> Self {
        rejection.into_error()
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self.0 {
            Why::NotFetched(error) => {
                event!(ERROR, error = %error, "a session could not be fetched");
                response(error)
            }
            Why::Error(error) => error.into_response(),
            _ => {
                event!(ERROR, reason = %self, "a handler asked for a session that its request does not have");
                (self.status(), self.body_text()).into_response()
            }
        }
    }
}

/// Fetches a stored session, so that handlers can read it.
async fn loaded(session: &Session) -> Result<(), SessionRejection> {
    match session.load().await {
        // A layer that was never built tells each method, as without this extractor.
        Ok(()) | Err(Error::Config { .. } | Error::Key { .. }) => Ok(()),
        // Its response is the event.
        Err(error) => Err(SessionRejection(Why::NotFetched(error))),
    }
}

/// Fetches a stored session.
impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let session: Option<Self> = parts.extensions.get().cloned();
        let session = session.ok_or_else(|| SessionRejection::no_session(parts))?;
        loaded(&session).await?;
        Ok(session)
    }
}

/// `None` without the layer, and never because a store is down.
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        let session: Option<Self> = parts.extensions.get().cloned();
        if let Some(session) = &session {
            loaded(session).await?;
        }
        Ok(session)
    }
}

impl<S: Sync, M: 'static> FromRequestParts<S> for Tagged<M> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let tagged: Option<Self> = parts.extensions.get().cloned();
        let tagged = tagged.ok_or_else(|| SessionRejection::no_tagged(parts))?;
        loaded(&tagged).await?;
        Ok(tagged)
    }
}

impl<S: Sync, M: 'static> OptionalFromRequestParts<S> for Tagged<M> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        let tagged: Option<Self> = parts.extensions.get().cloned();
        if let Some(tagged) = &tagged {
            loaded(tagged).await?;
        }
        Ok(tagged)
    }
}

/// So that handlers can use `?`: the response has [`Error::status`] and an empty body. It tells the
/// client nothing more; the error is in the response's extensions.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        // A handler that returns the error has nobody else to tell.
        if status.is_server_error() {
            event!(ERROR, error = %self, "a request failed because of its session");
        } else if matches!(self, Self::Value { .. }) {
            event!(WARN, error = %self, "a request asked to keep what a session cannot keep");
        } else {
            event!(INFO, error = %self, "a request could not keep what it changed in its session");
        }
        response(self)
    }
}

/// Tells the client the status only, and other layers all.
fn response(error: Error) -> Response {
    let mut response = error.status().into_response();
    response.extensions_mut().insert(error);
    response
}
