//! smoke
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]
mod support;
use http_session::{Key, SessionLayer};
use support::*;

#[test]
fn visits() {
    let layer = SessionLayer::encrypted(Key::generate().unwrap()).build().unwrap();
    let mut jar = Jar::new();
    for n in 1..5_u64 {
        jar.visit(&layer, |session| {
            assert_eq!(session.get::<u64>("visits").unwrap().unwrap_or(0) + 1, n);
            session.insert("visits", n).unwrap();
            ok()
        });
    }
}
