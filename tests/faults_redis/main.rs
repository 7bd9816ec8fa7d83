//! What once went wrong with sessions in Redis: names begin with the number of the fault.
#![cfg(all(feature = "redis", feature = "test-util"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/redis_proxy.rs"]
mod redis_proxy;
#[path = "../support/redis_server.rs"]
mod redis_server;
#[path = "../support/sessions.rs"]
mod sessions;

mod ends;
mod index;
mod logins;
mod oldest;
mod rights;
mod steps;

use http_session::store::{OwnerId, RedisStore};
use redis_server::Server;

async fn store(server: &Server) -> RedisStore {
    RedisStore::connect(&server.url()).await.unwrap()
}

/// What is known of an owner's sessions.
fn key_of(owner: &OwnerId) -> String {
    format!("session:owner:{owner}")
}

/// How many sessions that leads to.
fn held(server: &Server, owner: &OwnerId) -> usize {
    let fields: Vec<String> = redis::from_redis_value(server.ask(&["HKEYS", &key_of(owner)])).unwrap();
    fields.iter().filter(|field| field.len() == 64).count()
}

/// An error with all its causes.
fn said(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
