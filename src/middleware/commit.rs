//! The end of a request: what the session asks for, and what the response leaves with.
//!
//! Nothing here knows the response's body, so there is one of each for all services.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header::SET_COOKIE};

use super::{
    caching,
    request::{Cookies, Incoming},
};
use crate::{
    error::Error,
    event::event,
    session::{Action, End, Job, Sealed, Shared},
};

/// How a response goes on.
pub(super) enum Answer {
    /// It may leave.
    Ready,
    /// The session could not be committed.
    Failed(Box<Failed>),
    /// A store is to be heard first.
    Waiting(Job),
}

/// Why an error response takes the place of the handler's.
pub(super) struct Failed {
    pub(super) error: Error,
    /// What was saved before stands all the same.
    pub(super) saved: Vec<HeaderValue>,
}

/// The end of a request: what is left to do, if anything.
pub(super) fn answer(session: &Arc<Shared<Incoming>>, status: StatusCode, headers: &mut HeaderMap) -> Answer {
    let built = &session.source.built;
    let end = End {
        failed: status.is_server_error() && !built.keeps_on_server_error,
        uncached: status == StatusCode::SWITCHING_PROTOCOLS || session.source.is_connect,
    };
    let Some(store) = &built.store else {
        return commit(session, end, headers);
    };
    if !session.close(end) {
        if !end.uncached {
            session.source.release();
        }
        return Answer::Ready;
    }
    if end.failed && session.loses_changes() {
        not_kept();
    }
    // A mere refresh is not worth an uncacheable page; the next one will do.
    let refresh = !end.failed && !caching::is_public(headers);
    match store.answered(session.clone(), end.failed, refresh) {
        Some(job) => Answer::Waiting(job),
        None => heard(session, Ok(()), headers).map_or(Answer::Ready, Answer::Failed),
    }
}

/// The store was heard.
pub(super) fn heard(
    session: &Shared<Incoming>,
    committed: Result<(), Error>,
    headers: &mut HeaderMap,
) -> Option<Box<Failed>> {
    let saved = session.source.release().saved;
    match committed {
        Ok(()) => {}
        // The answer is good; there is only nothing to keep it in. No cookie: the client may have a newer one.
        Err(error @ Error::Gone) => event!(INFO, error = %error, "changes of a session were dropped"),
        Err(error) => return Some(failed(error, saved)),
    }
    finish(session, saved, false, headers);
    None
}

/// What was saved and what caches are told goes with the response.
pub(super) fn finish(session: &Shared<Incoming>, saved: Vec<HeaderValue>, mut sent: bool, headers: &mut HeaderMap) {
    for line in saved {
        headers.append(SET_COOKIE, line);
        sent = true;
    }
    caching::tell(headers, sent, &session.source.built.warned_of_public);
}

fn commit(session: &Arc<Shared<Incoming>>, end: End, headers: &mut HeaderMap) -> Answer {
    let built = &session.source.built;
    let Sealed {
        accessed,
        dropped,
        action,
    } = session.seal(end);
    if dropped {
        not_kept();
    }
    if !accessed {
        // Without another handle all of it goes in a moment anyway.
        if Arc::strong_count(session) > 1 && !end.uncached {
            session.source.release();
        }
        return Answer::Ready;
    }
    let cookies = session.source.release();
    let action = match action {
        // A mere refresh is not worth an uncacheable page; the next one will do.
        Ok(Action::Refresh(_)) if caching::is_public(headers) => Ok(Action::Keep),
        action => action,
    };
    // What was saved stands until something newer is sent.
    let Cookies { found, mut saved } = cookies;
    let mut sent = false;
    let send = &mut |line| {
        headers.append(SET_COOKIE, line);
        sent = true;
    };
    match action {
        Ok(Action::Keep) => {}
        Ok(Action::Remove) => {
            built.remove(&found, send);
            saved.clear();
        }
        Ok(Action::Write(payload)) => match built.write(&payload, &found, send) {
            Ok(()) => saved.clear(),
            Err(error) => return Answer::Failed(failed(error, saved)),
        },
        Ok(Action::Refresh(payload)) => match built.write(&payload, &found, send) {
            Ok(()) => saved.clear(),
            Err(error) => event!(WARN, error = %error, "a session could not be prolonged"),
        },
        Err(error) => return Answer::Failed(failed(error, saved)),
    }
    finish(session, saved, sent, headers);
    Answer::Ready
}

#[cold]
fn not_kept() {
    event!(
        DEBUG,
        "changes of a session were dropped, since the response is a server error: call `save` for what is to stay all the same, \
         or set `keep_on_server_error` on the layer"
    );
}

fn failed(error: Error, saved: Vec<HeaderValue>) -> Box<Failed> {
    event!(ERROR, error = %error, "the session could not be committed");
    Box::new(Failed { error, saved })
}
