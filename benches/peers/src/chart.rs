//! The chart of the front page, as SVG. It names no peers; `docs/performance.md` says who A, B and C are.

use std::fmt::Write as _;

use crate::{
    handlers::Case,
    measure::Results,
    request::Size,
    rows::{ACTIX, AEAD, AXUM_SESSION, COOKIES_SIGNED, ENCRYPTED, HMAC, SESSIONS, SIGNED, STORE_PRIVATE, STORE_SIGNED},
};

const PANELS: [(Case, &str); 3] = [
    (Case::Known, "The handler does not touch the session"),
    (Case::Read, "The handler reads two keys"),
    (Case::Write, "The handler writes one key"),
];

/// Row, label, and the floor of ours.
const BARS: [(&str, &str, Option<&str>); 8] = [
    (SIGNED, "this crate, signed cookie", Some(HMAC)),
    (ENCRYPTED, "this crate, encrypted cookie", Some(AEAD)),
    (COOKIES_SIGNED, "signed cookie, by hand", None),
    (SESSIONS, "layer A, store in memory", None),
    (STORE_SIGNED, "layer A, signed cookie", None),
    (STORE_PRIVATE, "layer A, encrypted cookie", None),
    (AXUM_SESSION, "layer B, store in memory", None),
    (ACTIX, "layer C, signed cookie", None),
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 210.0;
/// Room for the numbers behind the bars.
const RIGHT: f64 = 70.0;
const LINE: f64 = 20.0;
const BAR: f64 = 13.0;
const HEADING: f64 = 40.0;
const PANEL: f64 = HEADING + BARS.len() as f64 * LINE;
const TOP: f64 = 34.0;
const FOOT: f64 = 44.0;

const STYLE: &str = "
text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.heading { font-weight: 600 }
.number, .note { font-size: 12px; fill: #59636e }
.ours { fill: #0969da }
.other { fill: #afb8c1 }
.floor { stroke: #1f2328; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .number, .note { fill: #9198a1 }
  .ours { fill: #4493f8 }
  .other { fill: #656c76 }
  .floor { stroke: #f0f6fc }
}
";

pub fn draw(results: &Results) -> String {
    let ns = |row, case| results.ns(row, Size::Small, case).unwrap_or(0.0);
    let longest = PANELS
        .iter()
        .flat_map(|&(case, _)| BARS.iter().map(move |&(row, ..)| ns(row, case)))
        .fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / longest;
    let height = TOP + PANELS.len() as f64 * PANEL + FOOT;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">Time per request with a session of 3 keys</title>\n<style>{STYLE}</style>\n"
    );
    // Writing to a string does not fail.
    let mut put = |line: String| _ = writeln!(svg, "{line}");
    put(text(
        0.0,
        18.0,
        "title",
        "Time per request, session of 3 keys (less is better)",
    ));
    for (number, (case, heading)) in PANELS.iter().enumerate() {
        let top = TOP + number as f64 * PANEL;
        put(text(0.0, top + HEADING - 14.0, "heading", heading));
        for (line, &(row, label, floor)) in BARS.iter().enumerate() {
            let y = top + HEADING + line as f64 * LINE;
            let class = if floor.is_some() { "ours" } else { "other" };
            let time = ns(row, *case);
            let width = time * scale;
            put(text(0.0, y + 11.0, "label", label));
            put(format!(
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>"
            ));
            let mut end = LEFT + width;
            if let Some(floor) = floor {
                let x = LEFT + ns(floor, *case) * scale;
                let (from, to) = (y - 2.0, y + BAR + 2.0);
                put(format!(
                    "<line class=\"floor\" x1=\"{x:.1}\" y1=\"{from}\" x2=\"{x:.1}\" y2=\"{to}\"/>"
                ));
                end = end.max(x);
            }
            put(text(end + 6.0, y + 11.0, "number", &format!("{:.2} µs", time / 1000.0)));
        }
    }
    let y = height - FOOT + 26.0;
    put(format!(
        "<line class=\"floor\" x1=\"1\" y1=\"{}\" x2=\"1\" y2=\"{}\"/>",
        y - 13.0,
        y + 4.0
    ));
    let note = "the arithmetic alone: one allocation to hand the session over, one MAC, one base64, the JSON that is asked for";
    put(text(10.0, y, "note", note));
    svg.push_str("</svg>\n");
    svg
}

fn text(x: f64, y: f64, class: &str, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>")
}
