//! Deletes expired sessions in the background, for as long as somebody wants it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::SqlStore;
use crate::{error::Error, event::event, store::Store as _};

/// The longest time between two sweeps: a year. Timers cannot count much longer.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Deletes expired sessions in the background until it is dropped; [`SqlStore::sweep_every`] makes it.
#[derive(Debug)]
#[must_use = "expired sessions are deleted until this is dropped, and `let _ = ..` drops it at once: keep it in a variable"]
pub struct Sweeper {
    task: JoinHandle<()>,
    has_swept: Arc<AtomicBool>,
}

impl Sweeper {
    pub(super) fn start(store: SqlStore, period: Duration) -> Result<Self, Error> {
        if period.is_zero() {
            return Err(Error::config(
                "the time between two sweeps must not be zero: ten minutes will do",
            ));
        }
        let runtime = Handle::try_current().map_err(|_| {
            Error::config("sessions are swept on a Tokio runtime: call `sweep_every` where one is running")
        })?;
        let has_swept = Arc::new(AtomicBool::new(false));
        let task = runtime.spawn(sweep(store, period.min(LONGEST), has_swept.clone()));
        Ok(Self { task, has_swept })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.task.abort();
        // `must_use` does not see `let _ = ..`, which is the usual way to get here so soon.
        if !self.has_swept.load(Ordering::Relaxed) {
            event!(
                WARN,
                "a sweeper was dropped before its first sweep, so it will delete no expired sessions: keep it in a variable, \
                 since `let _ = ..` drops it at once"
            );
        }
    }
}

async fn sweep(store: SqlStore, period: Duration, has_swept: Arc<AtomicBool>) {
    let mut ticks = interval(period);
    // After a long sweep there is a pause all the same.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        if let Err(error) = store.delete_expired(now).await {
            event!(ERROR, error = %error, "expired sessions could not be deleted; the next sweep tries again");
        }
        has_swept.store(true, Ordering::Relaxed);
    }
}
