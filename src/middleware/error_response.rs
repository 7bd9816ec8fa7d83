//! What the client gets when the session could not be committed.

use http::{Response, StatusCode};

use crate::error::Error;

impl Error {
    /// The status of a response that says no more than this error, for
    /// [`on_error`](crate::SessionLayer::on_error) and for handlers. The axum response of an
    /// `Error` has it, too.
    ///
    /// | status | errors | meaning |
    /// |---|---|---|
    /// | 503 | [`Store`](Self::Store) | the store is away, and the same request may succeed later |
    /// | 409 | [`Gone`](Self::Gone), [`Contended`](Self::Contended) | another request ended or changed the session |
    /// | 409 | [`Unreadable`](Self::Unreadable) | only other software can read the session |
    /// | 422 | [`Value`](Self::Value) | the request asks to keep what cannot be kept, and nothing is out of order |
    /// | 500 | the others | the program or its settings are to be changed; [`TooLarge`](Self::TooLarge) is one: it keeps too much |
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Store { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Gone | Self::Contended { .. } | Self::Unreadable => StatusCode::CONFLICT,
            Self::Value { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Makes the response of a request whose session could not be committed.
///
/// Every closure `FnMut(Error, Response<B>) -> Response<B>` is one; see
/// [`SessionLayer::on_error`](crate::SessionLayer::on_error), and
/// [`SessionLayer::error_response`](crate::SessionLayer::error_response) for types. It is cloned
/// for each request.
///
/// The default one needs a body that is `Default`. axum's is; a layer such as `TraceLayer` makes it
/// another one:
///
/// ```compile_fail,E0277
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use http_session::{Key, SessionLayer};
/// use tower::{Layer as _, Service, service_fn};
///
/// struct NoDefault;
///
/// let layer = SessionLayer::encrypted(Key::generate().unwrap());
/// let mut service = layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(NoDefault))));
/// let _ = Service::call(&mut service, Request::new(()));
/// ```
///
/// `.on_error(|_, response| response)` before `.layer` lets it compile, as does the session layer
/// inside of the other one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot make the session layer's error response with the body `{B}`",
    label = "no error response with this body",
    note = "the session layer's default makes an empty body, so the body must be `Default`: add `.on_error(|error, response| ..)` \
            to the session layer, or put the session layer inside of the layer that changes the body"
)]
pub trait ErrorResponse<B>: Clone {
    /// Makes a response of the error and of what the handler answered.
    fn error_response(&mut self, error: Error, response: Response<B>) -> Response<B>;
}

/// Answers with [`Error::status`] and an empty body: the default. The [`Error`] is in the
/// response's extensions, for other layers to see.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DefaultErrorResponse;

// So that the compiler says that there is no error response, with the way out, and not only that a
// body lacks `Default`.
#[diagnostic::do_not_recommend]
impl<B: Default> ErrorResponse<B> for DefaultErrorResponse {
    fn error_response(&mut self, error: Error, _: Response<B>) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = error.status();
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
