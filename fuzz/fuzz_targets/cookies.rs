//! Reading cookies: lines of any bytes between and around genuine pieces, on layers that differ in what they look for.
#![no_main]

use std::sync::LazyLock;

use http_session::{Duplicates, Fallback, Scope, SessionLayer, Until, codec};
use http_session_fuzz::{Genuine, key, now, read, write};
use libfuzzer_sys::fuzz_target;

static LAYERS: LazyLock<Vec<(SessionLayer, Genuine)>> = LazyLock::new(|| {
    let old = || Fallback::new(codec::Signed::new(key())).app("old");
    [
        SessionLayer::signed(key()),
        SessionLayer::encrypted(key()).secure(false).cookie_name("id"),
        SessionLayer::encrypted(key())
            .domain("example.com")
            .on_duplicates(Duplicates::Newest),
        SessionLayer::encrypted(key())
            .also_accept(old(), Until::forever())
            .also_accept(
                old().cookie_name("sid").scope(Scope::new().path("/app")),
                Until::date(now()),
            )
            .retired(Scope::new().domain("example.com")),
        SessionLayer::signed(key()).chunked(4).partitioned(true).rolling(true),
        SessionLayer::starlette("a secret for tests"),
    ]
    .map(|layer| {
        let layer = layer.clock(now).build().expect("it is good");
        let genuine = Genuine::new(
            &layer,
            ["{\"user\":1}", "{\"user\":2,\"a\":[]}", "{\"new\":\"value\"}"].map(str::to_owned),
        );
        (layer, genuine)
    })
    .into()
});

fuzz_target!(|input: &[u8]| {
    let Some((which, recipe)) = input.split_first() else {
        return;
    };
    let (layer, genuine) = &LAYERS[usize::from(*which) % LAYERS.len()];
    let lines = genuine.cook(recipe);
    let seen = read(layer, &lines);
    if let Ok(text) = &seen {
        assert!(
            genuine.texts.contains(&text.replace(": ", ":").replace(", ", ",")),
            "{text}"
        );
    }
    write(layer, &lines, &seen, |text| text);
});
