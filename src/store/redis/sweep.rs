//! What looks at every session, or at every server.

use ::redis::{
    Cmd, Pipeline, RedisResult, Value,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo},
    from_redis_value,
};

use super::{
    RedisStore,
    connection::{Link, first},
    script::{SWEEP, number},
};
use crate::error::Error;

/// A primary: its host and port in a cluster.
type Server = Option<(String, u16)>;

impl Link {
    /// What each primary answers to a command.
    async fn of_all(&self, cmd: Cmd) -> RedisResult<Vec<(Server, Value)>> {
        let Self::Cluster(cluster, _) = self else {
            return Ok(vec![(None, self.command(cmd).await?)]);
        };
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::Special)));
        let answers: Vec<(String, Value)> = from_redis_value(cluster.clone().route_command(cmd, all).await?)?;
        let server = |address: &str| {
            let (host, port) = address.rsplit_once(':')?;
            Some((host.to_owned(), port.parse().ok()?))
        };
        Ok(answers
            .into_iter()
            .map(|(address, answer)| (server(&address), answer))
            .collect())
    }

    /// The answers of one primary to some commands.
    async fn send_to(&self, server: &Server, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        match (self, server) {
            (Self::Cluster(cluster, _), Some((host, port))) => {
                let mut cluster: ClusterConnection = cluster.clone();
                let (host, port) = (host.clone(), *port);
                let count = pipeline.len();
                cluster
                    .route_pipeline(
                        pipeline.clone(),
                        0,
                        count,
                        SingleNodeRoutingInfo::ByAddress { host, port },
                    )
                    .await
            }
            _ => self.send(pipeline).await,
        }
    }

    /// Refuses a server that deletes sessions when its memory is full.
    pub(super) async fn refuse_eviction(&self) -> Result<(), Error> {
        // Not CONFIG GET, which managed servers forbid.
        let mut cmd = ::redis::cmd("INFO");
        cmd.arg("memory");
        for (_, info) in self.of_all(cmd).await.map_err(Error::store)? {
            let info: String = from_redis_value(info).map_err(Error::store)?;
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

impl RedisStore {
    pub(super) async fn end_begun_before(&self, epoch: u64) -> Result<u64, Error> {
        let mut ended = 0;
        // A failover or a move of slots may hide keys from a pass, so the last one finds none.
        loop {
            let found = self.pass(epoch).await?;
            if found == 0 {
                return Ok(ended);
            }
            ended += found;
        }
    }

    /// Looks at every session once.
    async fn pass(&self, epoch: u64) -> Result<u64, Error> {
        let mut found = 0;
        for (server, _) in self.link.of_all(::redis::cmd("PING")).await.map_err(Error::store)? {
            let mut cursor = "0".to_owned();
            loop {
                let keys: Vec<Vec<u8>>;
                (cursor, keys) = self.scan(&server, &cursor).await?;
                found += self.sweep(&server, &keys, epoch).await?;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(found)
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
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline
            .cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(1000);
        let mut answers = self
            .link
            .send_to(server, &pipeline)
            .await
            .map_err(Error::store)?
            .into_iter();
        let page: (String, Vec<Vec<u8>>) =
            from_redis_value(first(&mut answers).map_err(Error::store)?).map_err(Error::store)?;
        Ok(page)
    }

    async fn sweep(&self, server: &Server, keys: &[Vec<u8>], epoch: u64) -> Result<u64, Error> {
        let mut pipeline = Pipeline::with_capacity(keys.len() + 1);
        pipeline.add_command(SWEEP.load());
        let args = [number(epoch)];
        for key in keys.iter().filter(|key| self.is_record(key)) {
            pipeline.add_command(SWEEP.by_hash(key, &args));
        }
        if pipeline.len() == 1 {
            return Ok(0);
        }
        let mut answers = self
            .link
            .send_to(server, &pipeline)
            .await
            .map_err(Error::store)?
            .into_iter();
        first(&mut answers).map_err(Error::store)?;
        let mut found = 0;
        for _ in 1..pipeline.len() {
            let one: u64 = from_redis_value(first(&mut answers).map_err(Error::store)?).map_err(Error::store)?;
            found += one;
        }
        Ok(found)
    }
}
