//! Joining the parts of long sessions: parts of several sessions in any order and number, cut, mixed and repeated.
#![no_main]

use std::sync::LazyLock;

use http_session::SessionLayer;
use http_session_fuzz::{Genuine, key, now, read, write};
use libfuzzer_sys::fuzz_target;

static LAYERS: LazyLock<Vec<(SessionLayer, Genuine)>> = LazyLock::new(|| {
    [
        SessionLayer::signed(key()).chunked(4),
        SessionLayer::encrypted(key())
            .chunked(4)
            .secure(false)
            .cookie_name("id"),
    ]
    .map(|layer| {
        let layer = layer.clock(now).build().expect("it is good");
        // Of one part, of two with lengths that are the same and that are not, of three and of four.
        let texts = [
            filled("a", 10),
            filled("b", 4000),
            filled("c", 4000),
            filled("d", 4003),
            filled("e", 7000),
            filled("f", 11_000),
        ];
        let genuine = Genuine::new(&layer, texts);
        (layer, genuine)
    })
    .into()
});

fn filled(with: &str, times: usize) -> String {
    format!("{{\"k\":\"{}\"}}", with.repeat(times))
}

fuzz_target!(|input: &[u8]| {
    let Some((which, recipe)) = input.split_first() else {
        return;
    };
    let (layer, genuine) = &LAYERS[usize::from(*which) % LAYERS.len()];
    let lines = genuine.cook(recipe);
    let seen = read(layer, &lines);
    if let Ok(text) = &seen {
        assert!(genuine.texts.contains(text), "{text}");
    }
    // A whole session alone is always found; what else is there depends on the names.
    if let [1, what, _] = recipe
        && what % 6 == 0
    {
        assert!(seen.is_ok());
    }
    write(layer, &lines, &seen, |text| text);
});
