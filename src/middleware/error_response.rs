//! What the client gets when the session could not be committed.

use http::{Response, StatusCode};

use crate::error::Error;

/// Makes the response of a request whose session could not be committed.
///
/// Every closure `FnMut(Error, Response<B>) -> Response<B>` is one; see
/// [`SessionLayer::on_error`](crate::SessionLayer::on_error). It is cloned for each request.
pub trait ErrorResponse<B>: Clone {
    /// Makes a response of the error and of what the handler answered.
    fn error_response(&mut self, error: Error, response: Response<B>) -> Response<B>;
}

/// Answers 500, or 503 for a store that failed, with an empty body: the default. The [`Error`] is in the response's extensions, for other layers to see.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DefaultErrorResponse;

impl<B: Default> ErrorResponse<B> for DefaultErrorResponse {
    fn error_response(&mut self, error: Error, _: Response<B>) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = match error {
            Error::Store { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        response.extensions_mut().insert(error);
        response
    }
}

impl<F, B> ErrorResponse<B> for F
where
    F: FnMut(Error, Response<B>) -> Response<B> + Clone,
{
    fn error_response(&mut self, error: Error, response: Response<B>) -> Response<B> {
        self(error, response)
    }
}
