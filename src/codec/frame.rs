//! The native frame, in bytes. Numbers are big endian, times are milliseconds, `max_age` is seconds.
//!
//! ```text
//! head = type 1 | key id 4 | frame length 3
//! meta = flags 1 (0) | created 6 | issued 6 | authenticated 6 (0: never) | max_age 4 (0: the layer's) | id 16
//! ```

use base64_simd::URL_SAFE_NO_PAD;

use super::Format;
use crate::{
    error::{Error, Reject},
    session::Meta,
};

/// The native formats carry everything.
pub(super) const FORMAT: Format = Format {
    cookie_name: None,
    companions: &[],
    id: true,
    created: true,
    issued: true,
    authenticated: true,
    max_age: true,
    chunks: true,
    whole_seconds: false,
    no_repeats: true,
    foreign_max_age: None,
};

pub(super) const HEAD: usize = 8;
pub(super) const META: usize = 39;

/// The whole groups of base64 that hold the head.
const HEAD_TEXT: usize = 12;

const MAX_FRAME: usize = (1 << 24) - 1;

pub(super) type KeyId = [u8; 4];

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Signed = 1,
    Encrypted = 2,
}

pub(super) fn head(kind: Kind, id: KeyId, len: usize) -> Result<[u8; HEAD], Error> {
    let too_large = Error::TooLarge {
        size: len,
        limit: MAX_FRAME,
    };
    let len = u32::try_from(len)
        .ok()
        .filter(|&len| len as usize <= MAX_FRAME)
        .ok_or(too_large)?;
    let mut head = [0; HEAD];
    head[0] = kind as u8;
    head[1..5].copy_from_slice(&id);
    head[5..].copy_from_slice(&len.to_be_bytes()[1..]);
    Ok(head)
}

pub(super) fn meta(meta: &Meta) -> [u8; META] {
    let time = |at: Option<u64>| at.unwrap_or(0).to_be_bytes();
    let mut bytes = [0; META];
    bytes[1..7].copy_from_slice(&time(meta.created)[2..]);
    bytes[7..13].copy_from_slice(&time(meta.issued)[2..]);
    bytes[13..19].copy_from_slice(&time(meta.authenticated)[2..]);
    bytes[19..23].copy_from_slice(&meta.max_age.unwrap_or(0).to_be_bytes());
    bytes[23..].copy_from_slice(&meta.id.unwrap_or_default());
    bytes
}

/// Only for bytes that are authentic.
pub(super) fn read_meta(bytes: &[u8]) -> Result<Meta, Reject> {
    let bytes: &[u8; META] = bytes.try_into().map_err(|_| Reject::Malformed)?;
    if bytes[0] != 0 {
        return Err(Reject::Malformed);
    }
    let number = |range: std::ops::Range<usize>| bytes[range].iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[23..]);
    Ok(Meta {
        id: Some(id),
        created: Some(number(1..7)),
        issued: Some(number(7..13)),
        authenticated: Some(number(13..19)).filter(|&at| at != 0),
        max_age: u32::try_from(number(19..23)).ok().filter(|&seconds| seconds != 0),
        is_owned: false,
    })
}

/// A cookie's text as a frame of at least `least` bytes, and the id of the key that it names.
pub(super) fn read(text: &[u8], least: usize) -> Result<(Vec<u8>, KeyId), Reject> {
    // The decoder refuses padding, other characters, and unused bits that are not zero.
    let frame = URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| Reject::Malformed)?;
    if frame.len() < least || len_of(&frame) != Some(frame.len()) {
        return Err(Reject::Malformed);
    }
    let id = [frame[1], frame[2], frame[3], frame[4]];
    Ok((frame, id))
}

pub(super) fn write(frame: &[u8], out: &mut String) {
    URL_SAFE_NO_PAD.encode_append(frame, out);
}

/// How long the text is of which this is the beginning.
pub(super) fn text_len(start: &[u8]) -> Option<usize> {
    let head = URL_SAFE_NO_PAD.decode_to_vec(start.get(..HEAD_TEXT)?).ok()?;
    Some(URL_SAFE_NO_PAD.encoded_length(len_of(&head)?))
}

fn len_of(frame: &[u8]) -> Option<usize> {
    let len = frame.get(5..HEAD)?;
    Some(len.iter().fold(0, |len, &byte| len << 8 | usize::from(byte)))
}
