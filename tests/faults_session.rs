//! Faults of sessions that were found in use, each with its siblings: requests that fail, sessions
//! that are cleared, layers that stand twice on a request, waits and loops without an end, and
//! commits that are cut off.
#![cfg(feature = "tokio")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

#[path = "support/client.rs"]
mod client;
#[path = "support/events.rs"]
mod events;
#[path = "support/map_store.rs"]
mod map_store;
#[path = "support/map_world.rs"]
mod map_world;
#[path = "support/plain.rs"]
mod plain;
mod support;

#[path = "faults_session/cleared.rs"]
mod cleared;
#[path = "faults_session/failed.rs"]
mod failed;
#[path = "faults_session/late.rs"]
mod late;
#[path = "faults_session/layers.rs"]
mod layers;
#[path = "faults_session/limits.rs"]
mod limits;
#[path = "faults_session/sequences.rs"]
mod sequences;
