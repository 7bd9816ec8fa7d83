//! The way to one server or to a cluster, and back to it after it was away.

use std::{
    borrow::Cow,
    error::Error as StdError,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::{Duration, Instant},
};

use ::redis::{
    Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
    io::tcp::TcpSettings,
};

use super::{
    refusal::{self, OPEN, Refusal, Task, failed},
    script::{Keys, Lua},
};
use crate::error::Error;

/// Longer than the layer waits (5 s unless it is told otherwise): the layer gives up, not the driver.
const ANSWER: Duration = Duration::from_secs(15);

/// How long a server may take to let us in.
const CONNECT: Duration = Duration::from_secs(3);

/// Nobody gives up a request sooner than this because of a dead connection.
const SUSPICIOUS: Duration = Duration::from_secs(2);

/// In milliseconds: a connection whose server was demoted is read from for so long at most.
const PRIMARY: u64 = 1_000;

/// So many commands are on their way in a cluster at the same time, for one call.
pub(super) const TOGETHER: usize = 100;

/// How many replicas must have a change, and how long they may take.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub(super) replicas: u32,
    pub(super) timeout: Duration,
}

/// The way to the data. A clone is the same way.
#[derive(Clone)]
pub(super) enum Link {
    Single(Arc<Single>),
    Cluster(ClusterConnection, Arc<ClusterClient>),
}

impl Link {
    pub(super) async fn connect(url: &str) -> Result<Self, Error> {
        let info = url.into_connection_info().map_err(|error| address(&error))?;
        let client = Client::open(info.set_tcp_settings(tcp())).map_err(|error| address(&error))?;
        let manager = ConnectionManager::new_with_config(client.clone(), Single::config())
            .await
            .map_err(failed(OPEN))?;
        Ok(Self::Single(Arc::new(Single::new(client, manager))))
    }

    pub(super) async fn cluster(urls: Vec<String>) -> Result<Self, Error> {
        let client = ClusterClient::builder(urls)
            .connection_timeout(CONNECT)
            .response_timeout(ANSWER)
            // A step is sent again until the cluster has a new primary, at least for as long as the layer waits.
            .retries(40)
            .min_retry_wait(20)
            .max_retry_wait(500)
            .tcp_settings(tcp())
            .build()
            .map_err(|error| address(&error))?;
        let connection = client.get_async_connection().await.map_err(failed(OPEN))?;
        Ok(Self::Cluster(connection, Arc::new(client)))
    }

    /// Another connection for what may hold one up.
    pub(super) fn another(&self) -> RedisResult<Self> {
        Ok(match self {
            Self::Single(single) => Self::Single(Arc::new(Single::new(single.client.clone(), single.lazy()?))),
            Self::Cluster(_, client) => {
                let connection = client.get_pending_async_connection_with_config(ClusterConfig::new());
                Self::Cluster(connection, client.clone())
            }
        })
    }

    /// The answers to some commands, which are about one key (or, in a cluster, about keys of one slot).
    pub(super) async fn send(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Self::Single(single) => single.send(pipeline).await,
            Self::Cluster(cluster, _) => {
                let mut cluster = cluster.clone();
                cluster.req_packed_commands(pipeline, 0, pipeline.len()).await
            }
        }
    }

    /// The answers to commands about keys that may lie anywhere, which are asked for at the same
    /// time: on one server in one go, while in a cluster each may go to another server.
    pub(super) async fn send_each(&self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        if let Self::Single(single) = self {
            let mut pipeline = Pipeline::with_capacity(commands.len());
            for cmd in commands {
                pipeline.add_command(cmd);
            }
            return single.send(&pipeline).await;
        }
        let mut all = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let answers = together(commands.by_ref().take(TOGETHER).map(|cmd| self.command(cmd))).await;
            for answer in answers {
                all.push(answer?);
            }
        }
        Ok(all)
    }

    /// Returns a question that a read sends along now and then, so that it is refused by a server
    /// that was a primary and is a replica now: such a server answers reads, and may know of no
    /// logout since. Nobody has the key, so that nothing is changed.
    pub(super) fn ask_for_primary(&self, key: impl FnOnce() -> Vec<u8>) -> Option<Cmd> {
        let Self::Single(single) = self else {
            return None;
        };
        single.asks_for_primary().then(|| {
            let mut cmd = ::redis::cmd("DEL");
            cmd.arg(key());
            cmd
        })
    }

    pub(super) async fn command(&self, cmd: Cmd) -> RedisResult<Value> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(cmd);
        first(&mut self.send(&pipeline).await?.into_iter())
    }

    /// Takes a step, and waits for the replicas if that is asked for.
    pub(super) async fn step(
        &self,
        lua: &Lua,
        keys: Keys<'_>,
        args: &[Cow<'_, [u8]>],
        wait: Option<Wait>,
        task: Task,
    ) -> Result<Value, Error> {
        let (mut answer, mut acknowledged) = self.written(lua.by_hash(keys, args), wait, task).await?;
        let is_unknown = |error: &RedisError| refusal::of(error) == Refusal::NoScript;
        if answer.as_ref().is_err_and(is_unknown) {
            (answer, acknowledged) = self.written(lua.by_text(keys, args), wait, task).await?;
        }
        let answer = answer.map_err(failed(task))?;
        match wait {
            Some(wait) => wait.check(acknowledged).map(|()| answer),
            None => Ok(answer),
        }
    }

    async fn written(
        &self,
        cmd: Cmd,
        wait: Option<Wait>,
        task: Task,
    ) -> Result<(RedisResult<Value>, Option<Value>), Error> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(cmd);
        if let Some(wait) = wait {
            pipeline.add_command(wait.cmd());
        }
        let mut answers = self.send(&pipeline).await.map_err(failed(task))?.into_iter();
        Ok((first(&mut answers), answers.next()))
    }
}

impl Wait {
    pub(super) fn cmd(self) -> Cmd {
        // 0 would be for ever.
        let timeout = self.timeout.as_millis().clamp(1, u128::from(u32::MAX));
        let mut cmd = ::redis::cmd("WAIT");
        cmd.arg(self.replicas).arg(timeout.to_string());
        cmd
    }

    /// Looks at the answer to `WAIT`.
    pub(super) fn check(self, answer: Option<Value>) -> Result<(), Error> {
        let acknowledged = match answer {
            Some(Value::Int(replicas)) => replicas,
            Some(Value::ServerError(error)) => return Err(failed("wait for replicas")(error.into())),
            _ => 0,
        };
        if acknowledged < i64::from(self.replicas) {
            return Err(Error::store(TooFewReplicas {
                acknowledged,
                wanted: self.replicas,
            }));
        }
        Ok(())
    }
}

/// Not the URL itself, which may hold a password.
fn address(error: &RedisError) -> Error {
    let what_to_do = if error.to_string().contains("TLS") {
        "turn on the feature `tokio-rustls-comp` or `tokio-native-tls-comp` of the crate `redis` in your Cargo.toml"
    } else {
        "write it as `redis://[user:password@]host[:port][/database]`, `rediss://..` or `unix:///path`"
    };
    Error::config(format!(
        "the URL of the Redis server cannot be used: {what_to_do} ({error})"
    ))
}

/// The next answer, or what went wrong with it.
pub(super) fn first(answers: &mut impl Iterator<Item = Value>) -> RedisResult<Value> {
    match answers.next() {
        Some(Value::ServerError(error)) => Err(error.into()),
        Some(value) => Ok(value),
        None => Err((ErrorKind::Client, "no answer to a command").into()),
    }
}

/// The answers of futures that are at work at the same time.
pub(super) async fn together<F: Future + Send>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut answers: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut done = true;
        for (future, answer) in all.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(ready) => *answer = Some(ready),
                    Poll::Pending => done = false,
                }
            }
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// Small commands go at once instead of waiting for each other, and a peer that vanished is noticed.
fn tcp() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(ANSWER);
    settings
}

/// One server. All requests share a connection.
pub(super) struct Single {
    client: Client,
    /// A connection, and how many there were before it.
    current: RwLock<(u64, ConnectionManager)>,
    start: Instant,
    /// In milliseconds after the start: when a read last asked whether this is a primary.
    asked: AtomicU64,
}

impl Single {
    fn new(client: Client, manager: ConnectionManager) -> Self {
        Self {
            client,
            current: RwLock::new((0, manager)),
            start: Instant::now(),
            asked: AtomicU64::new(0),
        }
    }

    fn asks_for_primary(&self) -> bool {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.asked.load(Relaxed);
        now.saturating_sub(last) >= PRIMARY && self.asked.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    /// One attempt to connect for each request that needs one, and requests at the same time share it: the request that comes
    /// after the server is back finds it.
    fn config() -> ConnectionManagerConfig {
        ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER))
            .set_pipeline_buffer_size(1000)
    }

    fn lazy(&self) -> RedisResult<ConnectionManager> {
        ConnectionManager::new_lazy_with_config(self.client.clone(), Self::config())
    }

    fn current(&self) -> (u64, ConnectionManager) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the next request make a connection of its own, unless somebody has seen to that.
    fn replace(&self, count: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 == count
            && let Ok(manager) = self.lazy()
        {
            *current = (count + 1, manager);
        }
    }

    async fn send(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut again = true;
        loop {
            let (count, mut manager) = self.current();
            let watch = Watch {
                single: self,
                count,
                start: Instant::now(),
            };
            let result = manager.req_packed_commands(pipeline, 0, pipeline.len()).await;
            let took = watch.done();
            match &result {
                // After a failover behind one address, what we are connected to may be a replica now.
                Ok(answers) if again && answers.iter().any(refusal::is_elsewhere) => self.replace(count),
                // It hangs.
                Err(error) if error.is_timeout() && took >= CONNECT => {
                    self.replace(count);
                    return result;
                }
                // The connection was lost since the last request, or that one could not make one; the manager is at it by now.
                // What was sent may have been carried out, and scripts know a step that they have taken.
                Err(error) if again && error.is_io_error() => {}
                _ => return result,
            }
            again = false;
        }
    }
}

/// A request that is given up after some time may have hung on a dead connection: the next one gets another.
struct Watch<'a> {
    single: &'a Single,
    count: u64,
    start: Instant,
}

impl Watch<'_> {
    fn done(self) -> Duration {
        let took = self.start.elapsed();
        std::mem::forget(self);
        took
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.start.elapsed() >= SUSPICIOUS {
            self.single.replace(self.count);
        }
    }
}

/// Fewer replicas than asked for have a change.
#[derive(Debug)]
struct TooFewReplicas {
    acknowledged: i64,
    wanted: u32,
}

impl fmt::Display for TooFewReplicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} replicas of Redis acknowledged a change in time, and {} were to; the primary has made it: see why the others \
             are away or slow",
            self.acknowledged, self.wanted
        )
    }
}

impl StdError for TooFewReplicas {}
