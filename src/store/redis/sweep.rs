//! Work that looks at every session.

use std::{error::Error as StdError, fmt};

use ::redis::{Cmd, Pipeline, Value, from_redis_value};

use super::{
    RedisStore,
    connection::first,
    refusal::{self, Refusal, Task, failed},
    script::{Args, END_ALL, SWEEP, number},
    servers::Server,
    strange,
};
use crate::{error::Error, event::event, store::Epoch};

const TASK: Task = "end all sessions";

/// So many keys are looked at in one go.
const PAGE: u32 = 1_000;

/// At most so many passes: it is for the servers of those who began to refuse what comes late
/// without end.
const PASSES: u32 = 10;

/// After so many pages in a row that failed a server is left for the next call.
const HOPELESS: u32 = 3;

/// The outcome of one pass over all keys.
#[derive(Default)]
struct Pass {
    found: u64,
    /// Keys that are named like a session's and hold something else.
    strange: u64,
    failed: u64,
    /// The first error.
    source: Option<Error>,
}

impl Pass {
    fn fail(&mut self, error: Error) {
        self.failed += 1;
        self.source.get_or_insert(error);
    }
}

impl RedisStore {
    pub(super) async fn end_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        let key = [self.ends_key()];
        let before = [number(epoch.before)];
        self.writes.step(&END_ALL, &key, &before, None, TASK).await?;
        let args = vec![number(epoch.before), epoch.after.map_or_else(Default::default, number)];
        let mut ended = 0;
        // A failover or a move of slots may hide keys from a pass, so the last one finds none.
        for _ in 0..PASSES {
            let pass = self.pass(&args).await?;
            ended += pass.found;
            if pass.found > 0 && pass.source.is_none() {
                continue;
            }
            if pass.strange > 0 {
                event!(
                    WARN,
                    "keys in Redis are named like sessions and hold something else: they were passed over when all sessions ended"
                );
            }
            if let Some(source) = pass.source {
                let failed = pass.failed;
                return Err(Error::store(Unfinished { ended, failed, source }));
            }
            break;
        }
        self.writes.replicated(self.wait, TASK).await?;
        Ok(ended)
    }

    /// Looks at every session once. What fails is in the way of nothing else.
    async fn pass(&self, args: &Args<'_>) -> Result<Pass, Error> {
        let mut pass = Pass::default();
        for server in self.writes.servers().await.map_err(failed(TASK))? {
            let (mut cursor, mut in_vain) = ("0".to_owned(), 0);
            loop {
                let page = match self.scan(&server, &cursor).await {
                    Ok(page) => page,
                    Err(error) => {
                        pass.fail(error);
                        in_vain += 1;
                        if in_vain == HOPELESS {
                            break;
                        }
                        continue;
                    }
                };
                let keys;
                (cursor, keys) = page;
                if let Err(error) = self.sweep(&server, &keys, args, &mut pass).await {
                    pass.fail(error);
                    in_vain += 1;
                } else {
                    in_vain = 0;
                }
                if cursor == "0" || in_vain == HOPELESS {
                    break;
                }
            }
        }
        Ok(pass)
    }

    async fn scan(&self, server: &Server, cursor: &str) -> Result<(String, Vec<Vec<u8>>), Error> {
        let mut pattern = String::new();
        for letter in self.prefix.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('*');
        let mut cmd = ::redis::cmd("SCAN");
        cmd.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
        let mut answers = self.ask_server(server, [cmd]).await?.into_iter();
        let page = first(&mut answers).map_err(failed(TASK))?;
        from_redis_value(page).map_err(|_| strange())
    }

    async fn sweep(&self, server: &Server, keys: &[Vec<u8>], args: &Args<'_>, pass: &mut Pass) -> Result<(), Error> {
        let keys: Vec<[Vec<u8>; 1]> = keys
            .iter()
            .filter(|key| self.is_record(key))
            .map(|key| [key.clone()])
            .collect();
        let Some((one, others)) = keys.split_first() else {
            return Ok(());
        };
        // The first one by its text, which the server keeps.
        let all = [SWEEP.by_text(one, args)]
            .into_iter()
            .chain(others.iter().map(|key| SWEEP.by_hash(key, args)));
        for answer in self.ask_server(server, all).await? {
            match answer {
                Value::Int(-1) => pass.strange += 1,
                Value::Int(found @ 0..) => pass.found += found as u64,
                // Another type, from a server whose scripts cannot catch that.
                answer if refusal::of_answer(&answer) == Some(Refusal::Foreign) => pass.strange += 1,
                Value::ServerError(error) => pass.fail(failed(TASK)(error.into())),
                _ => pass.fail(strange()),
            }
        }
        Ok(())
    }

    async fn ask_server(&self, server: &Server, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Value>, Error> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        self.writes.send_to(server, &pipeline).await.map_err(failed(TASK))
    }
}

/// Some sessions that were to end may not have.
struct Unfinished {
    ended: u64,
    failed: u64,
    source: Error,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, failed, .. } = self;
        write!(
            f,
            "Redis ended {ended} sessions of all and failed {failed} times on the way: end them once more when the cause of this \
             error is gone"
        )
    }
}

/// As `Display`: a derived one would repeat the cause.
impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Unfinished {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // Not the error itself: its sentence stands before this one.
        self.source.source()
    }
}
