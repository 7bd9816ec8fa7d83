//! `SqlStore` where connections, servers and databases are not as one would wish them.
#![cfg(all(
    feature = "test-util",
    any(feature = "sqlite", feature = "postgres", feature = "mysql")
))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/sql_servers.rs"]
mod sql_servers;
#[path = "../support/sql_suite.rs"]
mod sql_suite;

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod connections;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod ends;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod kinds;
#[cfg(feature = "postgres")]
mod pooler;
mod settings;
#[cfg(feature = "sqlite")]
mod sqlite;
