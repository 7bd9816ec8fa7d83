//! What sessions hold in memory: for a request that is under way, and in `MemoryStore` for each that lives.
//!
//! ```sh
//! cargo bench --features memory --bench memory                        # up to a million sessions
//! cargo bench --features memory --bench memory -- --sessions 100000   # fewer
//! ```
//!
//! Heap bytes are what was asked of the allocator, counted, and do not depend on the machine. Resident memory is what Linux
//! says of a process of its own for each row. A small session is 3 keys in 91 bytes of JSON, a large one 25 keys in 1,941 bytes.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod support;

#[path = "memory/in_flight.rs"]
mod in_flight;
#[path = "memory/live.rs"]
mod live;
#[allow(dead_code, reason = "CPU time is for the stores")]
#[path = "stores/processes.rs"]
mod processes;

use std::env;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        let number = arguments.get(at + 1).and_then(|text| text.parse().ok());
        Some(number.unwrap_or_else(|| panic!("{name} needs a number")))
    };
    // `cargo test` only wants to see that it works.
    let most = if arguments.iter().any(|argument| argument == "--bench") {
        1_000_000
    } else {
        1_000
    };
    let sessions = number("--sessions").unwrap_or(most);
    if let Some(kind) = number("--resident") {
        live::child(kind, sessions);
        return;
    }
    in_flight::table();
    live::table(sessions);
}
