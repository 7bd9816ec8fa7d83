//! The end of a request: what the session asks for, and what the response leaves with.

use http::{Response, header::SET_COOKIE};

use super::{caching, error_response::ErrorResponse, request::Incoming};
use crate::{
    event::event,
    session::{Action, Sealed, Shared},
};

pub(super) fn commit<B, R: ErrorResponse<B>>(
    session: &Shared<Incoming>,
    mut response: Response<B>,
    on_error: &mut R,
) -> Response<B> {
    let built = &session.source.built;
    let discard = built.discard_on_server_error && response.status().is_server_error();
    let Sealed { accessed, action } = session.seal(discard);
    let cookies = session.source.release();
    if !accessed {
        return response;
    }
    let action = match action {
        // A mere refresh is not worth an uncacheable page; the next one will do.
        Ok(Action::Refresh(_)) if caching::is_public(response.headers()) => Ok(Action::Keep),
        action => action,
    };
    // What was saved stands until something newer is sent.
    let mut lines = cookies.saved;
    let mut sent = false;
    let send = |line| {
        response.headers_mut().append(SET_COOKIE, line);
        sent = true;
    };
    let failure = match action {
        Ok(Action::Keep) => None,
        Ok(Action::Remove) => {
            built.remove(&cookies.found, send);
            lines.clear();
            None
        }
        Ok(Action::Write(payload)) => match built.write(&payload, &cookies.found, send) {
            Ok(()) => {
                lines.clear();
                None
            }
            Err(error) => Some(error),
        },
        Ok(Action::Refresh(payload)) => {
            match built.write(&payload, &cookies.found, send) {
                Ok(()) => lines.clear(),
                Err(error) => event!(WARN, error = %error, "a session could not be prolonged"),
            }
            None
        }
        Err(error) => Some(error),
    };
    if let Some(error) = failure {
        event!(ERROR, error = %error, "the session could not be committed");
        response = on_error.error_response(error, response);
    }
    for line in lines {
        response.headers_mut().append(SET_COOKIE, line);
        sent = true;
    }
    caching::tell(response.headers_mut(), sent, &built.warned_of_public);
    response
}
