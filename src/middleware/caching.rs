//! What caches are told about a response that depends on a session (RFC 9111, RFC 9213).

use std::sync::atomic::{AtomicBool, Ordering};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, VARY},
};

use crate::event::event;

const COOKIE: HeaderValue = HeaderValue::from_static("Cookie");
const PRIVATE: HeaderValue = HeaderValue::from_static("private");
const PRIVATE_COOKIE: HeaderValue = HeaderValue::from_static("private, no-cache=\"Set-Cookie\"");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// The end of the names by which RFC 9213 addresses one kind of cache.
const TARGETED: &str = "cdn-cache-control";

/// What the handler's headers say to caches, in one look at all of them.
#[derive(Default)]
struct Said {
    varies_by_cookie: bool,
    cache_control: bool,
    no_store: bool,
    /// Another layer on the same service has been here.
    private_cookie: bool,
    /// Shared caches are asked to keep the response.
    public: bool,
    /// And so is one kind of cache only, in a header of its own.
    targeted: bool,
}

impl Said {
    fn by(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            if *name == VARY {
                said.varies_by_cookie |= value.to_str().is_ok_and(names_cookie);
            } else if *name == CACHE_CONTROL {
                said.cache_control = true;
                said.private_cookie |= *value == PRIVATE_COOKIE;
                let Ok(value) = value.to_str() else {
                    // A cache may read what we cannot.
                    said.public = true;
                    continue;
                };
                for directive in split(value) {
                    said.no_store |= directive.eq_ignore_ascii_case("no-store");
                    said.public |= is_for_shared_caches(directive);
                }
            } else if is_targeted(name) && !forbids(value) {
                said.public = true;
                said.targeted = true;
            }
        }
        said
    }
}

/// The session was used: `cookie_sent` says whether the response sets a cookie.
pub(super) fn tell(headers: &mut HeaderMap, cookie_sent: bool, warned: &AtomicBool) {
    let said = Said::by(headers);
    if !said.varies_by_cookie {
        headers.append(VARY, COOKIE);
    }
    if !cookie_sent {
        if !said.cache_control {
            headers.insert(CACHE_CONTROL, PRIVATE);
        }
        return;
    }
    if said.targeted {
        restrict_targeted(headers);
    }
    if said.public {
        withdraw_public(headers);
        if !warned.swap(true, Ordering::Relaxed) {
            event!(
                WARN,
                "a response that was marked as public sets a session cookie: it was made private, or a cache would hand one \
                 user's session to others"
            );
        }
    }
    if !said.private_cookie && !said.no_store {
        headers.append(CACHE_CONTROL, PRIVATE_COOKIE);
    }
}

/// Whether the handler asked shared caches to keep the response.
pub(super) fn is_public(headers: &HeaderMap) -> bool {
    Said::by(headers).public
}

/// Whether the header is for one kind of cache only.
fn is_targeted(name: &HeaderName) -> bool {
    *name == SURROGATE_CONTROL || name.as_str().ends_with(TARGETED)
}

fn forbids(targeted: &HeaderValue) -> bool {
    let forbids = |directive: &str| {
        ["private", "no-store"]
            .iter()
            .any(|word| directive.eq_ignore_ascii_case(word))
    };
    targeted.to_str().is_ok_and(|value| split(value).any(forbids))
}

/// Of a `Vary`.
fn names_cookie(value: &str) -> bool {
    value
        .split(',')
        .map(str::trim)
        .any(|name| name == "*" || name.eq_ignore_ascii_case("cookie"))
}

fn is_for_shared_caches(directive: &str) -> bool {
    let name = directive.split('=').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("public") || name.eq_ignore_ascii_case("s-maxage")
}

fn directives(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(split)
}

/// Splits at commas that are not in quotes.
fn split(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |char| {
            quoted ^= char == '"' && !escaped;
            escaped = char == '\\' && quoted && !escaped;
            char == ',' && !quoted
        })
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
}

/// Takes back what invites shared caches; all other directives stay.
fn withdraw_public(headers: &mut HeaderMap) {
    let kept: Vec<&str> = directives(headers)
        .filter(|directive| !is_for_shared_caches(directive))
        .collect();
    // Made of parts of a header value.
    let kept = HeaderValue::try_from(kept.join(", "))
        .ok()
        .filter(|kept| !kept.is_empty());
    headers.remove(CACHE_CONTROL);
    if let Some(kept) = kept {
        headers.insert(CACHE_CONTROL, kept);
    }
}

/// Headers for one kind of cache go before `Cache-Control`, so they must say the same.
fn restrict_targeted(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        // The name first: it says no at once, and the value may be a long cookie.
        if !is_targeted(name) || forbids(value) {
            continue;
        }
        if *name == SURROGATE_CONTROL {
            *value = NO_STORE;
        } else {
            *value = PRIVATE;
        }
    }
}
