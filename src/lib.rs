#![cfg_attr(feature = "axum", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "axum"),
    doc = "HTTP sessions as tower middleware; the front page needs the feature `axum`."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

#[cfg(feature = "axum")]
mod axum;
pub mod codec;
mod cookie;
mod error;
mod event;
mod key;
mod middleware;
mod session;
pub mod store;

#[cfg(feature = "axum")]
pub use self::axum::SessionRejection;
pub use self::{
    cookie::Scope,
    error::{Cause, Error, Reject},
    key::{Key, KeyRing},
    middleware::{
        DefaultErrorResponse, Duplicates, ErrorResponse, Fallback, ResponseFuture, SessionLayer, SessionService,
        Tagged, Until,
    },
    session::{ParseSessionIdError, Session, SessionId},
};
pub use ::cookie::SameSite;
