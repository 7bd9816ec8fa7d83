//! What the ratios should be, at most and at least.

use crate::{
    handlers::Case::{self, Anonymous, Create, Forged, Known, Read, Write},
    measure::Results,
    request::Size::{self, Large, Small},
    rows::*,
};

enum Target {
    /// Ours, the floor, and how many times the floor's time ours may take.
    Floor(&'static str, &'static str, f64),
    /// A peer, ours, and how many times our time it should take.
    Peer(&'static str, &'static str, f64),
    Allocations(&'static str, u64),
}

use Target::{Allocations, Floor, Peer};

pub fn print(results: &Results) {
    println!("| session | case | what | measured | target | |");
    println!("|---|---|---|--:|--:|---|");
    for (size, case, target) in targets() {
        let ns = |row| results.ns(row, size, case);
        let (what, measured, limit, met) = match target {
            Floor(ours, floor, limit) => {
                let (Some(ours_ns), Some(floor_ns)) = (ns(ours), ns(floor)) else {
                    continue;
                };
                let ratio = ours_ns / floor_ns;
                let what = format!("{ours} / {floor}");
                (what, format!("{ratio:.2}"), format!("<= {limit}"), ratio <= limit)
            }
            Peer(peer, ours, limit) => {
                let (Some(peer_ns), Some(ours_ns)) = (ns(peer), ns(ours)) else {
                    continue;
                };
                let ratio = peer_ns / ours_ns;
                let what = format!("{peer} / {ours}");
                (what, format!("{ratio:.2}"), format!(">= {limit}"), ratio >= limit)
            }
            Allocations(ours, limit) => {
                let Some(measured) = results.get(ours, size, case) else {
                    continue;
                };
                let count = measured.allocations.count;
                let what = format!("{ours}, allocations");
                (what, count.to_string(), format!("<= {limit}"), count <= limit)
            }
        };
        let verdict = if met { "" } else { "missed" };
        println!(
            "| {} | {} | {what} | {measured} | {limit} | {verdict} |",
            size.name(),
            case.name()
        );
    }
}

fn targets() -> Vec<(Size, Case, Target)> {
    let mut targets = Vec::new();
    for (size, case) in [(Small, Anonymous), (Small, Known), (Large, Known)] {
        for ours in [SIGNED, ENCRYPTED] {
            targets.push((size, case, Floor(ours, HMAC, 1.15)));
            targets.push((size, case, Allocations(ours, 4)));
        }
        targets.push((size, case, Peer(SESSIONS, SIGNED, 3.3)));
        targets.push((size, case, Peer(COOKIES_SIGNED, SIGNED, 1.0)));
    }
    targets.extend([
        (Small, Read, Floor(SIGNED, HMAC, 1.35)),
        (Large, Read, Floor(SIGNED, HMAC, 1.25)),
        (Small, Read, Allocations(SIGNED, 8)),
        (Large, Read, Allocations(SIGNED, 8)),
        (Small, Read, Peer(STORE_SIGNED, SIGNED, 4.0)),
        (Large, Read, Peer(STORE_SIGNED, SIGNED, 4.0)),
        (Small, Read, Peer(COOKIES_SIGNED, SIGNED, 2.3)),
        (Large, Read, Peer(COOKIES_SIGNED, SIGNED, 2.3)),
        (Small, Read, Floor(ENCRYPTED, AEAD, 1.45)),
        (Large, Read, Floor(ENCRYPTED, AEAD, 1.25)),
        (Small, Read, Peer(STORE_PRIVATE, ENCRYPTED, 4.0)),
        (Large, Read, Peer(STORE_PRIVATE, ENCRYPTED, 6.0)),
    ]);
    for size in Size::ALL {
        targets.extend([
            (size, Write, Floor(SIGNED, HMAC, 1.3)),
            (size, Write, Floor(ENCRYPTED, AEAD, 1.45)),
            (size, Write, Peer(STORE_SIGNED, SIGNED, 4.0)),
            (size, Write, Peer(STORE_PRIVATE, ENCRYPTED, 4.0)),
            (size, Write, Peer(COOKIES_SIGNED, SIGNED, 2.3)),
            (size, Write, Peer(COOKIES_PRIVATE, ENCRYPTED, 2.3)),
        ]);
    }
    for (ours, floor, store, by_hand) in [
        (SIGNED, HMAC, STORE_SIGNED, COOKIES_SIGNED),
        (ENCRYPTED, AEAD, STORE_PRIVATE, COOKIES_PRIVATE),
    ] {
        targets.extend([
            (Small, Create, Floor(ours, floor, 1.4)),
            (Small, Create, Peer(store, ours, 3.0)),
            (Small, Create, Peer(by_hand, ours, 1.2)),
            (Small, Forged, Floor(ours, floor, 1.2)),
            (Large, Forged, Floor(ours, floor, 1.2)),
            (Small, Forged, Peer(store, ours, 4.0)),
            (Large, Forged, Peer(store, ours, 3.0)),
        ]);
    }
    for size in Size::ALL {
        for case in [Read, Write] {
            targets.push((size, case, Floor(STARLETTE, STARLETTE_FLOOR, 1.0)));
            targets.push((size, case, Floor(MEMORY, MEMORY_FLOOR, 1.6)));
            targets.push((size, case, Peer(SESSIONS, MEMORY, 3.0)));
        }
    }
    targets
}
