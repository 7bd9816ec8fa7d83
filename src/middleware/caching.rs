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
const NEVER: HeaderValue = HeaderValue::from_static("0");

/// Headers for one kind of cache whose names do not say so: the one before RFC 9213, and those of
/// Akamai and nginx.
const OTHERS: [&str; 3] = ["surrogate-control", "edge-control", X_ACCEL_EXPIRES];

/// Takes a number of seconds and no directives.
const X_ACCEL_EXPIRES: &str = "x-accel-expires";

/// The end of the names by which RFC 9213 addresses one kind of cache.
const TARGETED: &str = "-cache-control";

/// The same for a kind of cache that is known to honour `private`.
const CDN: &str = "cdn-cache-control";

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
                said.private_cookie |= *value == PRIVATE_COOKIE;
                let value = value.as_bytes();
                // A cache may read what we cannot.
                said.public |= !is_clear(value);
                for directive in split(value) {
                    said.cache_control = true;
                    said.no_store |= is_clear(value) && directive.eq_ignore_ascii_case(b"no-store");
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
        put_first(headers, PRIVATE_COOKIE);
    }
}

/// Whether the handler asked shared caches to keep the response.
pub(super) fn is_public(headers: &HeaderMap) -> bool {
    Said::by(headers).public
}

/// Whether the header is for one kind of cache only.
fn is_targeted(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with(TARGETED) || OTHERS.contains(&name)
}

fn forbids(targeted: &HeaderValue) -> bool {
    let value = targeted.as_bytes();
    let forbids = |directive: &[u8]| {
        ["private", "no-store"]
            .iter()
            .any(|word| directive.eq_ignore_ascii_case(word.as_bytes()))
    };
    // Of seconds: not at all.
    is_clear(value) && (split(value).any(forbids) && !split(value).any(is_for_shared_caches) || value == b"0")
}

/// Of a `Vary`.
fn names_cookie(value: &str) -> bool {
    value
        .split(',')
        .map(str::trim)
        .any(|name| name == "*" || name.eq_ignore_ascii_case("cookie"))
}

fn is_for_shared_caches(directive: &[u8]) -> bool {
    let name = directive
        .split(|&byte| byte == b'=')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage")
}

/// Tells whether all caches read the value alike: printable ASCII, and no quote without its other
/// one.
fn is_clear(value: &[u8]) -> bool {
    let mut quotes = Quotes::default();
    value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) && {
        value.iter().for_each(|&byte| quotes.pass(byte));
        !quotes.open
    }
}

/// Whether it stands in quotes what comes next.
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    fn pass(&mut self, byte: u8) {
        self.open ^= byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && self.open && !self.escaped;
    }
}

/// Splits at commas that are not in quotes.
fn split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quotes = Quotes::default();
    value
        .split(move |&byte| {
            quotes.pass(byte);
            byte == b',' && !quotes.open
        })
        .map(<[u8]>::trim_ascii)
        .filter(|directive| !directive.is_empty())
}

/// Tells whether `no-store` may be meant, wherever it stands.
fn may_say_no_store(value: &[u8]) -> bool {
    const WORD: &[u8] = b"no-store";
    value.windows(WORD.len()).any(|part| part.eq_ignore_ascii_case(WORD))
}

/// Takes back what invites shared caches; all other directives stay. Of a value that not all caches
/// read alike nothing stays but, in doubt, `no-store`.
fn withdraw_public(headers: &mut HeaderMap) {
    let mut kept: Vec<&[u8]> = Vec::new();
    for value in headers.get_all(CACHE_CONTROL).iter().map(HeaderValue::as_bytes) {
        if is_clear(value) {
            kept.extend(split(value).filter(|directive| !is_for_shared_caches(directive)));
        } else if may_say_no_store(value) {
            kept.push(b"no-store");
        }
    }
    // Made of parts of a header value.
    let kept = HeaderValue::from_bytes(&kept.join(&b", "[..]))
        .ok()
        .filter(|kept| !kept.is_empty());
    headers.remove(CACHE_CONTROL);
    if let Some(kept) = kept {
        headers.insert(CACHE_CONTROL, kept);
    }
}

/// Puts a line before all others of `Cache-Control`, so that nothing in these can change how it is
/// read.
fn put_first(headers: &mut HeaderMap, line: HeaderValue) {
    let others: Vec<HeaderValue> = headers.get_all(CACHE_CONTROL).iter().cloned().collect();
    headers.insert(CACHE_CONTROL, line);
    // One without a directive says nothing.
    for other in others
        .into_iter()
        .filter(|other| split(other.as_bytes()).next().is_some())
    {
        headers.append(CACHE_CONTROL, other);
    }
}

/// Headers for one kind of cache go before `Cache-Control`, so they must say the same.
fn restrict_targeted(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        // The name first: it says no at once, and the value may be a long cookie.
        if !is_targeted(name) || forbids(value) {
            continue;
        }
        *value = if *name == X_ACCEL_EXPIRES {
            NEVER
        } else if name.as_str().ends_with(CDN) {
            PRIVATE
        } else {
            NO_STORE
        };
    }
}
