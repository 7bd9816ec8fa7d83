//! What a test's own thread logs.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::{cell::RefCell, io, sync::Once};

use tracing_subscriber::{filter::LevelFilter, util::SubscriberInitExt as _};

thread_local! {
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Begins to listen, and forgets what this thread logged before.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // One listener for all threads, writing to each thread's own log: one for each thread would race for the
        // process-wide cache of which events are wanted.
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .without_time()
            .with_writer(|| Log)
            .init();
        // Fills that cache anew: other threads may have come to an event while there was no listener yet.
        drop(tracing_subscriber::fmt().finish().set_default());
    });
    LOG.take();
}

/// The lines of this crate since the last call, each as `LEVEL http_session: text fields`.
pub fn heard() -> Vec<String> {
    let log = String::from_utf8(LOG.take()).unwrap();
    log.lines()
        .map(str::trim)
        .filter(|line| line.contains(" http_session: "))
        .map(str::to_owned)
        .collect()
}

/// The lines since the last call that are more than information.
pub fn warnings() -> Vec<String> {
    let mut lines = heard();
    lines.retain(|line| line.starts_with("WARN") || line.starts_with("ERROR"));
    lines
}

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
