//! Text and headers: finding cookies in a request, writing them to a response. Nothing here knows what a session is.

mod attributes;
mod chunk;
mod read;
mod write;

pub use self::attributes::Scope;
pub(crate) use self::{
    attributes::{Attributes, is_name},
    chunk::{Chunks, MAX_PARTS},
    read::{Found, Names},
    write::{is_cookie_text, line},
};
