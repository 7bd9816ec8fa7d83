//! The rights and settings that a server must have before it is given sessions.

use ::redis::{Cmd, Pipeline, Value, from_redis_value};

use super::{
    connection::{Link, first},
    refusal::{self, Refusal, failed},
    strange,
};
use crate::error::Error;

const TASK: &str = "say what its user may do";

/// A key that nobody has: what is asked of it changes nothing.
const KEY: &str = "session:-rights-of-this-user-";

/// The commands of the store and its scripts, in a form that changes nothing.
const OF_A_KEY: [&[&str]; 17] = [
    &["HGETALL", KEY],
    &["HMGET", KEY, "f"],
    &["HGET", KEY, "f"],
    &["HKEYS", KEY],
    // With a field too many.
    &["HSET", KEY, "f", "v", "f"],
    &["HDEL", KEY, "f"],
    &["EXISTS", KEY],
    &["DEL", KEY],
    &["PEXPIRE", KEY, "1"],
    &["PEXPIREAT", KEY, "1"],
    &["HEXISTS", KEY, "f"],
    &["HLEN", KEY],
    &["EVAL", "return 1", "1", KEY],
    &["EVALSHA", "0000000000000000000000000000000000000000", "1", KEY],
    &["TIME"],
    &["SCAN", "0", "COUNT", "1"],
    &["PING"],
];

/// So many of them name a key.
const WITH_KEY: usize = 14;

impl Link {
    /// Refuses a user who lacks a right, before a login finds out.
    pub(super) async fn refuse_missing_rights(&self) -> Result<(), Error> {
        let pipeline = |commands: &[&[&str]]| {
            let mut pipeline = Pipeline::with_capacity(commands.len());
            for command in commands {
                let mut cmd = Cmd::new();
                cmd.arg(command);
                pipeline.add_command(cmd);
            }
            pipeline
        };
        let (with_key, without) = OF_A_KEY.split_at(WITH_KEY);
        let mut answers = self.send(&pipeline(with_key)).await.map_err(failed(TASK))?;
        if let Some(server) = self.servers().await.map_err(failed(TASK))?.first() {
            answers.extend(self.send_to(server, &pipeline(without)).await.map_err(failed(TASK))?);
        }
        let missing: Vec<String> = OF_A_KEY
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| is_missing(answer))
            .map(|(command, _)| format!("`{}`", command[0]))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::config(format!(
            "the user of Redis may not call {}: grant it with `ACL SETUSER`, for all keys with the store's prefix; the \
             documentation of `RedisStore` lists all that is needed",
            missing.join(", ")
        )))
    }

    /// Refuses a server that deletes sessions when its memory is full.
    pub(super) async fn refuse_eviction(&self) -> Result<(), Error> {
        // Not CONFIG GET, which managed servers forbid.
        let mut cmd = ::redis::cmd("INFO");
        cmd.arg("memory");
        let answers = match self.of_all(cmd).await {
            Err(error) if refusal::of(&error) == Refusal::Forbidden => {
                return Err(Error::config(
                    "the user of Redis may not call `INFO`, so it is not known whether the server logs users out when its memory \
                     is full: grant `+info`, or see yourself that it has `maxmemory-policy noeviction` and connect with \
                     `RedisStore::connect_evicting` (`cluster_evicting`)",
                ));
            }
            answers => answers.map_err(failed("say how much memory it may use"))?,
        };
        for (_, info) in answers {
            let info: String = from_redis_value(info).map_err(|_| strange())?;
            let setting = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let limited = setting("maxmemory").is_none_or(|bytes| bytes != "0");
            let policy = setting("maxmemory_policy").unwrap_or("unknown");
            if limited && policy != "noeviction" {
                return Err(Error::config(format!(
                    "Redis has `maxmemory-policy {policy}`, so it logs users out when its memory is full: set \
                     `maxmemory-policy noeviction`, so that it refuses new data instead, or accept it with \
                     `RedisStore::connect_evicting`"
                )));
            }
        }
        Ok(())
    }
}

/// Tells whether the user may not call the command. That it may not do so for this key says nothing
/// about others.
fn is_missing(answer: &Value) -> bool {
    refusal::of_answer(answer) == Some(Refusal::Forbidden)
        && matches!(
            first(&mut std::iter::once(answer.clone())),
            Err(error) if error.detail().is_some_and(|detail| detail.contains(" to run the "))
        )
}
