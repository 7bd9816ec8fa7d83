//! All primaries, one by one.

use ::redis::{
    Cmd, Pipeline, RedisResult, Value,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo},
    from_redis_value,
};

use super::{
    connection::{Link, Wait},
    refusal::{Task, failed},
};
use crate::error::Error;

/// A primary: its host and port in a cluster.
pub(super) type Server = Option<(String, u16)>;

impl Link {
    /// Returns the answer of each primary to a command.
    pub(super) async fn of_all(&self, cmd: Cmd) -> RedisResult<Vec<(Server, Value)>> {
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

    /// All primaries, also those that do not answer just now.
    pub(super) async fn servers(&self) -> RedisResult<Vec<Server>> {
        let Self::Cluster(cluster, _) = self else {
            return Ok(vec![None]);
        };
        let mut cmd = ::redis::cmd("CLUSTER");
        cmd.arg("SLOTS");
        // A range of slots: its first, its last, its primary (address, port, and more), its
        // replicas.
        let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
        let ranges: Vec<Vec<Value>> = from_redis_value(cluster.clone().route_command(cmd, any).await?)?;
        let mut servers = Vec::new();
        for range in ranges {
            let primary: Vec<Value> = range.into_iter().nth(2).map_or(Ok(Vec::new()), from_redis_value)?;
            let mut primary = primary.into_iter();
            let (Some(host), Some(port)) = (primary.next(), primary.next()) else {
                continue;
            };
            let host: Option<String> = from_redis_value(host)?;
            let server = Some((host.unwrap_or_default(), from_redis_value(port)?));
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        // A server that does not know its own address leaves it out; then all must answer.
        if servers.iter().flatten().any(|(host, _)| host.is_empty()) {
            let answers = self.of_all(::redis::cmd("PING")).await?;
            return Ok(answers.into_iter().map(|(server, _)| server).collect());
        }
        Ok(servers)
    }

    /// The answers of one primary to some commands.
    pub(super) async fn send_to(&self, server: &Server, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
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

    /// Waits until replicas have all that this link has changed anywhere. What many steps changed
    /// is waited for once.
    pub(super) async fn replicated(&self, wait: Option<Wait>, task: Task) -> Result<(), Error> {
        let Some(wait) = wait else {
            return Ok(());
        };
        for server in self.servers().await.map_err(failed(task))? {
            let mut pipeline = Pipeline::with_capacity(2);
            // `WAIT` is about what the server had done when this connection last asked for
            // something.
            pipeline.cmd("PING");
            pipeline.add_command(wait.cmd());
            let answers = self.send_to(&server, &pipeline).await.map_err(failed(task))?;
            wait.check(answers.into_iter().nth(1))?;
        }
        Ok(())
    }
}
