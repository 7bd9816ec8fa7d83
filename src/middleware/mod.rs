//! When things happen: the layer, the service, and what the response leaves with.

mod accept;
mod alarms;
mod built;
mod caching;
mod commit;
mod error_response;
mod future;
mod layer;
mod lines;
mod open;
mod owners;
mod request;
mod runtime;
mod service;
mod settings;
mod stored;
mod tagged;
mod tickets;

pub use self::{
    accept::{Duplicates, Fallback, Until},
    error_response::{DefaultErrorResponse, ErrorResponse},
    future::ResponseFuture,
    layer::SessionLayer,
    service::SessionService,
    tagged::Tagged,
};
