//! The signed format: any text, any frame, and authentic frames of any content.
#![no_main]

use std::sync::LazyLock;

use http_session::SessionLayer;
use http_session_fuzz::{
    key,
    native::{Kind, run},
    now,
};
use libfuzzer_sys::fuzz_target;

static LAYER: LazyLock<SessionLayer> =
    LazyLock::new(|| SessionLayer::signed(key()).clock(now).build().expect("it is good"));

fuzz_target!(|input: &[u8]| run(Kind::Signed, &LAYER, input));
