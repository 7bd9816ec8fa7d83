//! Events, with two bodies, so that no call site needs a `cfg`.
//!
//! No field ever holds a cookie's value, a key, an id or session data.

#[cfg(feature = "tracing")]
macro_rules! event {
    // A log tells why: the sentence of the error, and what the store said.
    ($level:ident, error = %$error:expr, $($rest:tt)+) => {
        ::tracing::event!(target: "http_session", ::tracing::Level::$level, error = %$error.logged(), $($rest)+)
    };
    ($level:ident, $($rest:tt)+) => {
        ::tracing::event!(target: "http_session", ::tracing::Level::$level, $($rest)+)
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($level:ident, $($field:ident = %$value:expr,)* $text:literal) => {{
        $(let _ = &$value;)*
        let _ = $text;
    }};
}

pub(crate) use event;
