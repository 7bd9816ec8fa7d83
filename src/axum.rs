//! Extractors for axum, through axum-core only.

use std::fmt;

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{Error, Session, Tagged};

/// Why an extractor has no session to give: no layer was added, or a [`Tagged`] one is asked for without its tag.
///
/// As a response it is a 500 whose body says what to do.
#[derive(Clone, Debug)]
pub struct SessionRejection {
    // Room for what a session that must be fetched can fail with.
    _private: (),
}

impl SessionRejection {
    const MISSING: Self = Self { _private: () };
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "This request has no session. Add `.layer(SessionLayer::encrypted(key))` to the router after this route; for a \
             tagged session, extract `Tagged<M>` with the tag that its layer was given.",
        )
    }
}

impl std::error::Error for SessionRejection {}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get().cloned().ok_or(SessionRejection::MISSING)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get().cloned())
    }
}

impl<S: Sync, M: 'static> FromRequestParts<S> for Tagged<M> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get().cloned().ok_or(SessionRejection::MISSING)
    }
}

impl<S: Sync, M: 'static> OptionalFromRequestParts<S> for Tagged<M> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get().cloned())
    }
}

/// So that handlers can use `?`: a 500 that tells the client nothing. The error is in the response's extensions.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
