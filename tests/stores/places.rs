//! Where the stores of this file's tests are: servers that all tests share, with a part of its own for each test.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

#[cfg(feature = "sqlite")]
use crate::daemon::Folder;
#[cfg(feature = "redis")]
use crate::redis_server;
#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::sql_servers::{self, Kind as Engine};
use crate::{map_store::MapStore, stores::Any};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Map,
    #[cfg(feature = "memory")]
    Memory,
    #[cfg(feature = "sqlite")]
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    MariaDb,
    #[cfg(feature = "redis")]
    Redis,
    #[cfg(feature = "redis")]
    Cluster,
}

/// A part of a server, or a file, that is one test's own.
pub struct Place {
    pub kind: Kind,
    /// How another process finds it; empty if none can.
    pub url: String,
    pub prefix: String,
    #[cfg(feature = "sqlite")]
    _folder: Option<Folder>,
}

impl Place {
    /// `None`: the server is not installed.
    pub async fn new(kind: Kind) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("t{}_", COUNT.fetch_add(1, Ordering::Relaxed));
        #[cfg(feature = "sqlite")]
        let mut folder = None;
        let url = match kind {
            Kind::Map => String::new(),
            #[cfg(feature = "memory")]
            Kind::Memory => String::new(),
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {
                let path = folder.insert(Folder::new("stores")).path().join("sessions.db");
                format!("sqlite:{}", path.display())
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres => database::<0>(Engine::Postgres).await?,
            #[cfg(feature = "mysql")]
            Kind::MariaDb => database::<1>(Engine::MariaDb).await?,
            #[cfg(feature = "redis")]
            Kind::Redis => redis()?.url(),
            #[cfg(feature = "redis")]
            Kind::Cluster => cluster()?.urls().join(","),
        };
        Some(Self {
            kind,
            url,
            prefix,
            #[cfg(feature = "sqlite")]
            _folder: folder,
        })
    }

    pub async fn store(&self) -> Any {
        match self.kind {
            Kind::Map => Any::Map(MapStore::new()),
            #[cfg(feature = "memory")]
            Kind::Memory => Any::Memory(http_session::store::MemoryStore::new()),
            #[allow(unreachable_patterns)]
            _ => connect(&self.url, &self.prefix).await,
        }
    }
}

/// The store at a place, from any process.
pub async fn connect(url: &str, prefix: &str) -> Any {
    match url.split(':').next().unwrap() {
        #[cfg(feature = "redis")]
        "redis" => {
            use http_session::store::RedisStore;
            let store = if url.contains(',') {
                RedisStore::cluster(url.split(',')).await
            } else {
                RedisStore::connect(url).await
            };
            Any::Redis(store.unwrap().key_prefix(prefix))
        }
        #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
        "sqlite" | "postgres" | "mysql" => {
            let store = http_session::store::SqlStore::connect(url).await.unwrap();
            let store = store.table_prefix(prefix).unwrap();
            store.migrate().await.unwrap();
            Any::Sql(store)
        }
        other => panic!("{prefix} {other}"),
    }
}

#[cfg(feature = "redis")]
pub fn redis() -> Option<&'static redis_server::Server> {
    use std::sync::LazyLock;
    static SERVER: LazyLock<Option<(redis_server::Server, Guard)>> = LazyLock::new(|| {
        let server = redis_server::Server::start(&["--appendonly", "no"])?;
        let guard = guard_redis(std::slice::from_ref(&server));
        Some((server, guard))
    });
    SERVER.as_ref().map(|(server, _)| server)
}

#[cfg(feature = "redis")]
pub fn cluster() -> Option<&'static redis_server::Cluster> {
    use std::sync::LazyLock;
    static CLUSTER: LazyLock<Option<(redis_server::Cluster, Guard)>> = LazyLock::new(|| {
        let cluster = redis_server::Cluster::start()?;
        let guard = guard_redis(&cluster.servers);
        Some((cluster, guard))
    });
    CLUSTER.as_ref().map(|(cluster, _)| cluster)
}

#[cfg(feature = "redis")]
fn guard_redis(servers: &[redis_server::Server]) -> Guard {
    let (mut ids, mut folders) = (Vec::new(), Vec::new());
    for server in servers {
        let info: String = ::redis::from_redis_value(server.ask(&["INFO", "server"])).unwrap();
        let id = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        ids.push(id.unwrap().trim().to_owned());
        let folder: Vec<String> = ::redis::from_redis_value(server.ask(&["CONFIG", "GET", "dir"])).unwrap();
        folders.push(folder[1].clone());
    }
    Guard::new(&ids, &folders.iter().map(Path::new).collect::<Vec<_>>())
}

/// The URL of a database that all tests share.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn database<const SLOT: usize>(engine: Engine) -> Option<String> {
    use tokio::sync::OnceCell;
    type Shared = Option<(sql_servers::Server, Guard, String)>;
    static SERVERS: [OnceCell<Shared>; 2] = [const { OnceCell::const_new() }; 2];
    let server = SERVERS[SLOT]
        .get_or_init(|| async {
            let server = sql_servers::Server::new(engine)?;
            let folder = server.log().parent().unwrap().to_owned();
            let file = match engine {
                Engine::Postgres => folder.join("data/postmaster.pid"),
                Engine::MariaDb => folder.join("pid"),
            };
            crate::daemon::until("the file with the process id", || {
                file.metadata().is_ok_and(|file| file.len() > 0)
            });
            let text = std::fs::read_to_string(file).unwrap();
            let id = text.lines().next().unwrap().trim().to_owned();
            let guard = Guard::new(&[id], &[&folder]);
            let url = server.url().await;
            Some((server, guard, url))
        })
        .await;
    server.as_ref().map(|(_, _, url)| url.clone())
}

/// Ends servers with this process, however it ends: what is in a static is never dropped.
#[allow(dead_code)]
pub struct Guard(io::Result<Child>);

#[allow(dead_code)]
impl Guard {
    fn new(ids: &[String], folders: &[&Path]) -> Self {
        let mut command = Command::new("sh");
        // What it reads ends when this process does.
        let script = "read -r _; kill -9 $0; for try in 1 2 3 4 5 6 7 8 9; do sleep 0.3; rm -rf \"$@\" && exit; done";
        command
            .args(["-c", script, &ids.join(" ")])
            .args(folders)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the tests.
            .process_group(0);
        Self(command.spawn())
    }
}
