//! What a cookie is called and what is said about it: defaults, prefixes, what may not go together.

use ::cookie::{Cookie, SameSite};

use crate::error::Error;

const HOST: &str = "__Host-";
const SECURE: &str = "__Secure-";
/// The newer ones, which promise `HttpOnly` besides what `__Secure-` and `__Host-` do.
const HTTP: &str = "__Http-";
const HOST_HTTP: &str = "__Host-Http-";

/// Browsers ignore a longer attribute (RFC 6265bis, section 5.6).
const MAX_PATH: usize = 1024;

/// Far more than any name needs, and it leaves room for the value.
const MAX_NAME: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Attributes {
    /// As the user named it.
    pub(crate) name: String,
    /// Whether the strongest prefix is put before the name.
    pub(crate) prefixed: bool,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: SameSite,
    pub(crate) partitioned: bool,
}

impl Attributes {
    /// The name on the wire: with the strongest prefix that the attributes allow (RFC 6265bis, section 4.1.3).
    pub(crate) fn full_name(&self) -> String {
        if !self.prefixed || [SECURE, HOST, HTTP].iter().any(|prefix| has_prefix(&self.name, prefix)) {
            return self.name.clone();
        }
        let prefix = match (self.secure, self.path == "/" && self.domain.is_none()) {
            (true, true) => HOST,
            (true, false) => SECURE,
            (false, _) => "",
        };
        format!("{prefix}{}", self.name)
    }

    pub(crate) fn is_host(&self) -> bool {
        self.full_name().starts_with(HOST)
    }

    /// What no browser would keep as it was meant is refused here.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |reason: String| Err(Error::config(reason));
        let name = &self.name;
        if !is_name(name) {
            return refuse(format!(
                "the cookie name {name:?} is not a token: use letters, digits, `-` and `_` (RFC 6265bis, section 4.1.1)"
            ));
        }
        if name.len() > MAX_NAME {
            return refuse(format!(
                "the cookie name is {} bytes long and {MAX_NAME} is the most: it takes room from the value",
                name.len()
            ));
        }
        self.check_scope()?;
        if !self.secure && self.same_site == SameSite::None {
            return refuse("`SameSite=None` needs `Secure`, or browsers drop the cookie: keep `secure` on".into());
        }
        if has_prefix(name, HOST)
            && !(name.starts_with(HOST) && self.secure && self.path == "/" && self.domain.is_none())
        {
            return refuse(format!(
                "the cookie name {name:?} promises `Secure`, `Path=/` and no `Domain`: set these, or leave the prefix to \
                 the layer"
            ));
        }
        if has_prefix(name, SECURE) && !(name.starts_with(SECURE) && self.secure) {
            return refuse(format!(
                "the cookie name {name:?} promises `Secure`: set it, or leave the prefix to the layer"
            ));
        }
        // A name that begins with `Http-` has one of these on the wire, once the layer has put its own prefix before it.
        let full = self.full_name();
        if let Some(prefix) = [HTTP, HOST_HTTP].iter().find(|prefix| has_prefix(&full, prefix))
            && !(full.starts_with(prefix) && self.secure && self.http_only)
        {
            return refuse(format!(
                "the cookie name {full:?} promises `Secure` and `HttpOnly`, and browsers drop the cookie without them: set these, or \
                 take a name that does not begin with `Http-`"
            ));
        }
        Ok(())
    }

    /// The part of [`check`](Self::check) that does not depend on the name.
    pub(crate) fn check_scope(&self) -> Result<(), Error> {
        let refuse = |reason: String| Err(Error::config(reason));
        if self.path.len() > MAX_PATH {
            return refuse(format!(
                "the path is {} bytes long and browsers ignore more than {MAX_PATH}",
                self.path.len()
            ));
        }
        if !self.path.starts_with('/') || !self.path.bytes().all(is_attribute_text) {
            return refuse(format!(
                "the path {:?} must begin with `/` and may not hold `;` or control characters",
                self.path
            ));
        }
        if let Some(domain) = &self.domain
            && !is_domain(domain)
        {
            return refuse(format!(
                "the domain {domain:?} is not a host name: write it without scheme and port, and international ones in \
                 punycode; to use the host that answers, set none"
            ));
        }
        if !self.secure && self.partitioned {
            return refuse("`Partitioned` needs `Secure`, or browsers drop the cookie: keep `secure` on".into());
        }
        Ok(())
    }

    /// Puts the cookie where its name says that it was set.
    pub(crate) fn where_promised(mut self) -> Self {
        if has_prefix(&self.name, HOST) {
            self.path = "/".into();
            self.domain = None;
        }
        self
    }

    /// What follows `name=value`, without the lifetime.
    pub(crate) fn live(&self) -> String {
        let mut cookie = Cookie::build(("", ""))
            .path(&*self.path)
            .secure(self.secure)
            .http_only(self.http_only)
            .same_site(self.same_site)
            .partitioned(self.partitioned);
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(&**domain);
        }
        let line = cookie.build().to_string();
        line.strip_prefix('=').unwrap_or(&line).to_owned()
    }

    /// What follows `name=` to remove the cookie: the same attributes, or the browser would look for another one.
    pub(crate) fn removal(&self) -> String {
        format!("{}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT", self.live())
    }

    pub(crate) fn with(&self, scope: &Scope) -> Self {
        let mut attributes = self.clone();
        if let Some(path) = &scope.path {
            attributes.path.clone_from(path);
        }
        if let Some(domain) = &scope.domain {
            attributes.domain.clone_from(domain);
        }
        if let Some(partitioned) = scope.partitioned {
            attributes.partitioned = partitioned;
        }
        attributes
    }
}

/// Where a browser keeps a cookie: its domain, its path and whether it is partitioned.
///
/// Cookies of one name in two scopes are two cookies, and a browser sends both. After a change of scope, name the old one with
/// [`SessionLayer::retired`](crate::SessionLayer::retired). What is not set here is as in the layer.
///
/// ```
/// use http_session::Scope;
///
/// let before_partitioned = Scope::new().partitioned(false);
/// let shared_with_subdomains = Scope::new().domain("example.com");
/// let one_path = Scope::new().path("/app");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Scope {
    path: Option<String>,
    domain: Option<Option<String>>,
    partitioned: Option<bool>,
}

impl Scope {
    /// The scope of the layer's own cookie.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another `Path`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Another `Domain`.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(Some(domain.into()));
        self
    }

    /// No `Domain`: only the host that set the cookie.
    pub fn host_only(mut self) -> Self {
        self.domain = Some(None);
        self
    }

    /// Other places where a cookie may be whose scope is said so far and no further: for the host alone, and for all paths.
    pub(crate) fn guesses(&self) -> Vec<Self> {
        let mut guesses = Vec::new();
        if self.domain.is_none() {
            guesses.push(self.clone().host_only());
        }
        if self.path.is_none() {
            guesses.extend(guesses.first().map(|scope| scope.clone().path("/")));
            guesses.push(self.clone().path("/"));
        }
        guesses
    }

    /// With or without `Partitioned`.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = Some(partitioned);
        self
    }
}

/// Browsers compare prefixes without regard to case.
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_attribute_text(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b';'
}

fn is_domain(domain: &str) -> bool {
    // A leading dot means nothing and is still common.
    let host = domain.strip_prefix('.').unwrap_or(domain);
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}
