//! `Set-Cookie` lines.

use std::fmt::Write as _;

use http::HeaderValue;

use crate::error::Error;

/// Finishes a line that holds `name=value`.
pub(crate) fn line(mut line: String, attributes: &str, max_age: Option<u64>) -> Result<HeaderValue, Error> {
    line.push_str(attributes);
    if let Some(seconds) = max_age {
        // Writing to a string does not fail.
        let _ = write!(line, "; Max-Age={seconds}");
    }
    let mut value = HeaderValue::try_from(line).map_err(Error::codec)?;
    // Kept out of logs, and out of the compression state that HTTP/2 shares between requests (RFC 7541, section 7.1.3).
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 6265, section 4.1.1, `cookie-octet`.
pub(crate) fn is_cookie_text(value: &str) -> bool {
    // Not `all`: to look at every byte is faster than to stop at the first wrong one.
    value.bytes().fold(true, |is_text, byte| {
        is_text & matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
    })
}
