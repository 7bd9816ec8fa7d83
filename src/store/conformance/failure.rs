//! What a store did wrong.

use std::fmt;

use crate::{
    error::Error,
    store::{Loaded, Record},
};

/// What a store did that it must not, or did not do: the step, what was tried, what was expected and what came.
///
/// `Display` and `Debug` are the same sentence, so that an `unwrap` in a test can be read. They show data of the checks only,
/// and what the store said if it failed.
#[derive(Clone)]
pub struct Failure(Box<Broken>);

#[derive(Clone)]
struct Broken {
    step: &'static str,
    what: String,
    expected: String,
    came: String,
    source: Option<Error>,
}

impl Failure {
    pub(super) fn new(step: &'static str, what: &str, expected: impl fmt::Display, came: impl fmt::Display) -> Self {
        Self(Box::new(Broken {
            step,
            what: what.to_owned(),
            expected: expected.to_string(),
            came: came.to_string(),
            source: None,
        }))
    }

    pub(super) fn error(step: &'static str, what: &str, error: Error) -> Self {
        let mut came = format!("the error {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            came = format!("{came}: {next}");
            cause = next.source();
        }
        let mut failure = Self::new(step, what, "an answer", came);
        failure.0.source = Some(error);
        failure
    }

    /// The name of the step that failed, such as `"collision"`.
    #[must_use]
    pub fn step(&self) -> &'static str {
        self.0.step
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken {
            step,
            what,
            expected,
            came,
            ..
        } = &*self.0;
        write!(f, "{step}: {what}: expected {expected}, came {came}")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|error| error as &(dyn std::error::Error + 'static))
    }
}

/// What differs between two answers, as it was expected and as it came.
pub(super) fn difference(expected: &Loaded, came: &Loaded) -> Option<(String, String)> {
    match (expected, came) {
        (Loaded::Live(expected), Loaded::Live(came)) => between(expected, came),
        _ if expected == came => None,
        _ => Some((name(expected).to_owned(), name(came).to_owned())),
    }
}

fn name(loaded: &Loaded) -> &'static str {
    match loaded {
        Loaded::Live(_) => "Live",
        Loaded::Renewed => "Renewed",
        Loaded::Missing => "Missing",
    }
}

/// The first field that differs.
fn between(expected: &Record, came: &Record) -> Option<(String, String)> {
    fn field<T: PartialEq + fmt::Debug>(name: &str, expected: &T, came: &T) -> Option<(String, String)> {
        (expected != came).then(|| (format!("{name} {expected:?}"), format!("{came:?}")))
    }
    if expected.secret != came.secret {
        return Some(("the record's secret".to_owned(), "another".to_owned()));
    }
    value(expected, came)
        .or_else(|| field("created", &expected.created, &came.created))
        .or_else(|| field("sent", &expected.sent, &came.sent))
        .or_else(|| field("seen", &expected.seen, &came.seen))
        .or_else(|| field("authenticated", &expected.authenticated, &came.authenticated))
        .or_else(|| field("max_age", &expected.max_age, &came.max_age))
        .or_else(|| field("expires", &expected.expires, &came.expires))
        .or_else(|| field("owner", &expected.owner, &came.owner))
        .or_else(|| field("label", &expected.label, &came.label))
}

/// The first value that differs.
fn value(expected: &Record, came: &Record) -> Option<(String, String)> {
    let keys = expected.values.iter().chain(came.values.iter()).map(|(key, _)| key);
    keys.map(|key| (key, expected.values.get(key), came.values.get(key)))
        .find(|(_, expected, came)| expected != came)
        .map(|(key, expected, came)| {
            let under = format!("{} under the key {}", json(expected), short(key));
            (under, json(came))
        })
}

fn json(text: Option<&str>) -> String {
    text.map_or_else(|| "nothing".to_owned(), |text| format!("the text {}", short(text)))
}

/// A text that may be long.
fn short(text: &str) -> String {
    const MOST: usize = 60;
    let start: String = text.chars().take(MOST).collect();
    if start.len() == text.len() {
        format!("{text:?}")
    } else {
        format!("{start:?}.. of {} bytes", text.len())
    }
}
