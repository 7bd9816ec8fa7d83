//! The end of a request: what the session asks for, and what the response leaves with.

use std::sync::Arc;

use http::{Response, header::SET_COOKIE};

use super::{caching, error_response::ErrorResponse, request::Incoming};
use crate::{
    error::Error,
    event::event,
    session::{Action, Job, Sealed, Shared, Source},
};

/// How a response goes on.
pub(super) enum Answer<B> {
    /// It may leave.
    Ready(Response<B>),
    /// A store is to be heard first.
    Waiting(Response<B>, Job),
}

/// The end of a request whose session is in a store: what is left to do, if anything.
pub(super) fn answer<B, R: ErrorResponse<B>>(
    session: &Arc<Shared<Incoming>>,
    response: Response<B>,
    on_error: &mut R,
) -> Answer<B> {
    let built = &session.source.built;
    if built.store.is_none() {
        return Answer::Ready(commit(session, response, on_error));
    }
    if !session.close() {
        session.source.release();
        return Answer::Ready(response);
    }
    let discard = built.discard_on_server_error && response.status().is_server_error();
    // A mere refresh is not worth an uncacheable page; the next one will do.
    let refresh = !discard && !caching::is_public(response.headers());
    let sharing: Arc<Shared<dyn Source>> = session.clone();
    match sharing.answered(discard, refresh) {
        Some(job) => Answer::Waiting(response, job),
        None => Answer::Ready(finish(session, response, Ok(()), on_error)),
    }
}

/// The store was heard.
pub(super) fn finish<B, R: ErrorResponse<B>>(
    session: &Shared<Incoming>,
    mut response: Response<B>,
    committed: Result<(), Error>,
    on_error: &mut R,
) -> Response<B> {
    let built = &session.source.built;
    let lines = session.source.release().saved;
    match committed {
        Ok(()) => {}
        // The answer is good; there is only nothing to keep it in. No cookie: the client may have a newer one.
        Err(error @ Error::Gone) => event!(INFO, error = %error, "changes of a session were dropped"),
        Err(error) => {
            event!(ERROR, error = %error, "the session could not be committed");
            response = on_error.error_response(error, response);
        }
    }
    let sent = !lines.is_empty();
    for line in lines {
        response.headers_mut().append(SET_COOKIE, line);
    }
    caching::tell(response.headers_mut(), sent, &built.warned_of_public);
    response
}

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
