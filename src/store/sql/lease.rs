//! A connection of a pool to a server, for one step.

use std::{
    future::Future,
    ops::DerefMut as _,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, Database, Pool, pool::PoolConnection};
use tokio::{runtime::Handle, time::timeout};

use super::{
    engine::Result,
    error::{Failure, Outcome},
};

/// The driver's answer, for as long as a connection is borrowed.
pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'a>>;

/// A database with a server of its own.
pub(super) trait Served: Database {
    /// Tells from an error how the one statement that it answers came out.
    fn outcome(error: &sqlx::Error) -> Outcome;

    /// Ends a transaction that nobody will commit.
    fn roll_back(connection: &mut Self::Connection) -> Answer<'_, ()>;
}

/// The work that is left before a connection goes back to its pool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing.
    Clean,
    /// A transaction is open.
    Begun,
    /// It is closed: a lock is held that belongs to the connection.
    #[cfg(feature = "mysql")]
    Locked,
    /// It is closed: an answer is still to come, or the server does not work through it.
    Unusable,
}

/// A connection that goes back to its pool as clean as it came: nobody can inherit an open
/// transaction or an answer that is still to come. One that is dead or refuses to write is closed.
///
/// A caller who loses interest costs nobody a connection: the statement that is under way comes to
/// its end in the background, a transaction is rolled back there, and the connection goes back.
/// There are never more of these tasks than the pool has connections, and a server that is silent
/// for [`PATIENCE_AFTER`] keeps no place in the pool: the connection is closed then.
pub(super) struct Lease<DB: Served> {
    /// There until it is dropped.
    connection: Option<PoolConnection<DB>>,
    state: State,
    doubt: Doubt,
}

impl<DB: Served> Lease<DB> {
    pub(super) async fn new(pool: &Pool<DB>, doubt: &Doubt) -> Result<Self> {
        // At most as often as there may be old connections.
        for _ in 0..pool.options().get_max_connections() {
            let lease = Self::any(pool, doubt).await?;
            if !doubt.is_cast() {
                return Ok(lease);
            }
            let asked = lease.run(|connection| Box::pin(connection.ping()));
            if let Ok((lease, Ok(()))) = timeout(MOMENT, asked).await {
                return Ok(lease);
            }
        }
        Self::any(pool, doubt).await
    }

    async fn any(pool: &Pool<DB>, doubt: &Doubt) -> Result<Self> {
        Ok(Self {
            connection: Some(pool.acquire().await?),
            state: State::Clean,
            doubt: doubt.clone(),
        })
    }

    /// A transaction has begun on it.
    pub(super) fn begun(&mut self) {
        self.state = State::Begun;
    }

    /// The transaction is over, or the lock given back.
    pub(super) fn ended(&mut self) {
        if self.is_usable() {
            self.state = State::Clean;
        }
    }

    /// Tells whether the server works through it.
    pub(super) fn is_usable(&self) -> bool {
        self.state != State::Unusable
    }

    /// It holds something that only its end gives back.
    #[cfg(feature = "mysql")]
    pub(super) fn locked(&mut self) {
        self.state = State::Locked;
    }

    /// Runs one statement, to its end even if nobody waits for it.
    pub(super) async fn run<T: Send + 'static>(
        mut self,
        statement: impl for<'c> FnOnce(&'c mut DB::Connection) -> Answer<'c, T> + Send + 'static,
    ) -> (Self, Result<T>) {
        let before = std::mem::replace(&mut self.state, State::Unusable);
        Finishing(Some(Box::pin(async move {
            let done = match self.connection.as_mut() {
                Some(connection) => statement(connection.deref_mut()).await,
                None => Err(sqlx::Error::PoolClosed),
            };
            let done = done.map_err(|cause| {
                let outcome = DB::outcome(&cause);
                Failure::new(cause, outcome)
            });
            // An answer was read to its end, unless the connection is why there is none.
            let sound = match &done {
                Ok(_) => true,
                Err(Failure { cause, outcome }) => {
                    matches!(outcome, Outcome::GivenUp | Outcome::Final) && matches!(cause, sqlx::Error::Database(_))
                }
            };
            if sound {
                self.state = before;
            } else {
                self.doubt.cast();
            }
            (self, done)
        })))
        .await
    }
}

/// Whether a connection of the pool broke a short time ago. Those that are left may be broken as
/// well, so each is asked before it has to do anything, and only the first step meets a dead one.
#[derive(Clone, Default)]
pub(super) struct Doubt(Arc<Mutex<Option<Instant>>>);

impl Doubt {
    fn cast(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_cast(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < DOUBT)
    }
}

impl<DB: Served> Drop for Lease<DB> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            // Nothing can be sent from here; the end of the connection says it all.
            drop(connection.detach());
            return;
        };
        match self.state {
            State::Clean => {}
            #[cfg(feature = "mysql")]
            State::Locked => connection.close_on_drop(),
            State::Unusable => connection.close_on_drop(),
            State::Begun => {
                runtime.spawn(async move {
                    let done = timeout(PATIENCE_AFTER, DB::roll_back(&mut connection)).await;
                    if !matches!(done, Ok(Ok(()))) {
                        connection.close_on_drop();
                    }
                });
            }
        }
    }
}

/// A statement under way. If it is dropped before its end, it goes on in the background.
struct Finishing<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Future for Finishing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(statement) = self.0.as_mut() else {
            return Poll::Pending;
        };
        let done = std::task::ready!(statement.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for Finishing<T> {
    fn drop(&mut self) {
        if let (Some(statement), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            // Its lease is dropped with it, one way or the other.
            runtime.spawn(async move { drop(timeout(PATIENCE_AFTER, statement).await) });
        }
    }
}

/// For so long all connections are asked after one broke.
const DOUBT: Duration = Duration::from_secs(5);

/// How long a step waits for a connection, one that is to be made included.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a statement may go on that nobody waits for.
const PATIENCE_AFTER: Duration = Duration::from_secs(1);

/// A connection that was in use a moment ago is taken to be there still; asking it each time would double the round trips.
const MOMENT: Duration = Duration::from_secs(1);

/// The settings of a pool that the store makes itself.
pub(super) fn options<DB: Database>() -> sqlx::pool::PoolOptions<DB> {
    sqlx::pool::PoolOptions::new()
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .before_acquire(|connection: &mut DB::Connection, about| {
            Box::pin(async move {
                if about.idle_for <= MOMENT {
                    return Ok(true);
                }
                // A server that vanished without a word answers nothing.
                match timeout(MOMENT, connection.ping()).await {
                    Ok(answer) => answer.map(|()| true),
                    Err(_) => Ok(false),
                }
            })
        })
}
