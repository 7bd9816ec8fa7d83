//! The stores, each at a place of its own.

use http_session::{
    SessionLayer,
    store::{MemoryStore, RedisStore, SqlStore},
};

use crate::{
    daemon::Folder,
    databases, processes,
    redis_server::{Cluster, Server},
};

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Memory,
    Sqlite,
    Postgres,
    MariaDb,
    Redis,
    Cluster,
}

/// A store, and what stands behind it.
pub struct Place {
    pub layer: SessionLayer,
    pub behind: Behind,
}

/// Dropped, it is stopped and removed.
pub enum Behind {
    Nothing,
    File(Folder),
    Database(databases::Server),
    Redis(Vec<Server>),
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Memory,
        Self::Sqlite,
        Self::Postgres,
        Self::MariaDb,
        Self::Redis,
        Self::Cluster,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::Redis => "redis",
            Self::Cluster => "cluster",
        }
    }

    /// `None`: the server is not installed, which is printed.
    pub async fn start(self) -> Option<Place> {
        let (layer, behind) = match self {
            Self::Memory => {
                let store = MemoryStore::new().max_sessions(4 << 20).max_bytes(16 << 30);
                (SessionLayer::with_store(store), Behind::Nothing)
            }
            Self::Sqlite => {
                let folder = Folder::new("bench-sqlite");
                let store = SqlStore::sqlite(folder.path().join("sessions.db")).await.unwrap();
                (migrated(store).await, Behind::File(folder))
            }
            Self::Postgres => database(databases::Server::postgres()?).await,
            Self::MariaDb => database(databases::Server::mariadb()?).await,
            Self::Redis => {
                // The log is never made shorter: its length says what was written to it.
                let server = Server::start(&["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"])?;
                let store = RedisStore::connect(&server.url()).await.unwrap();
                (SessionLayer::with_store(store), Behind::Redis(vec![server]))
            }
            Self::Cluster => {
                let cluster = Cluster::start()?;
                cluster.until_replicated();
                let store = RedisStore::cluster(cluster.urls()).await.unwrap();
                (SessionLayer::with_store(store), Behind::Redis(cluster.servers))
            }
        };
        let layer = layer.build().unwrap();
        Some(Place { layer, behind })
    }
}

async fn database(server: databases::Server) -> (SessionLayer, Behind) {
    let store = SqlStore::connect(&server.url).await.unwrap();
    (migrated(store).await, Behind::Database(server))
}

async fn migrated(store: SqlStore) -> SessionLayer {
    store.migrate().await.unwrap();
    SessionLayer::with_store(store)
}

impl Behind {
    /// All server processes.
    pub fn processes(&self) -> Vec<u32> {
        match self {
            Self::Nothing | Self::File(_) => Vec::new(),
            Self::Database(server) => processes::family(server.process()),
            Self::Redis(servers) => servers
                .iter()
                .map(|server| number(server, "server", "process_id") as u32)
                .collect(),
        }
    }
}

/// A number that a server says of itself.
pub fn number(server: &Server, section: &str, name: &str) -> u64 {
    let info: String = redis::from_redis_value(server.ask(&["INFO", section])).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}
