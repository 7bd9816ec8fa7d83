//! Extractors for axum, through axum-core only.

use std::fmt;

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{Error, Session, Tagged, event::event};

/// Why an extractor has no session to give: no layer was added, a [`Tagged`] one is asked for without its tag, or a stored
/// session could not be fetched.
///
/// As a response it is a 500 whose body says what to do about a layer that is missing, or a 503 with an empty body for a
/// session that could not be fetched; the [`Error`] is in the response's extensions then, and the client keeps its cookie.
#[derive(Clone, Debug)]
pub struct SessionRejection {
    /// `None`: there is no session at all.
    error: Option<Error>,
}

impl SessionRejection {
    const MISSING: Self = Self { error: None };
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            None => f.write_str(
                "This request has no session. Add `.layer(SessionLayer::encrypted(key))` to the router after this route; for \
                 a tagged session, extract `Tagged<M>` with the tag that its layer was given.",
            ),
            Some(error) => write!(f, "the session could not be fetched: {error}"),
        }
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        let Some(error) = self.error else {
            return (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response();
        };
        let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
        response.extensions_mut().insert(error);
        response
    }
}

/// Fetches a stored session, so that handlers can read it.
async fn loaded(session: &Session) -> Result<(), SessionRejection> {
    match session.load().await {
        // A layer that was never built tells each method, as without this extractor.
        Ok(()) | Err(Error::Config { .. } | Error::Key { .. }) => Ok(()),
        Err(error) => {
            event!(ERROR, error = %error, "a session could not be fetched");
            Err(SessionRejection { error: Some(error) })
        }
    }
}

/// Fetches a stored session.
impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let session: Self = parts.extensions.get().cloned().ok_or(SessionRejection::MISSING)?;
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
        let tagged: Self = parts.extensions.get().cloned().ok_or(SessionRejection::MISSING)?;
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

/// So that handlers can use `?`: a 503 for a store that failed, a 409 for a session that another
/// request ended or changed, or that only other software can read, and a 500 for everything else. It
/// tells the client nothing more; the error is in the response's extensions.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Store { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Gone | Self::Contended { .. } | Self::Unreadable => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // Whoever returns it has nobody else to tell.
        if status.is_server_error() {
            event!(ERROR, error = %self, "a request failed because of its session");
        } else {
            event!(INFO, error = %self, "a request came too late for its session");
        }
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
