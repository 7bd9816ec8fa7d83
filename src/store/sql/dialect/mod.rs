//! The engines, each in its own file.

#[cfg(feature = "mysql")]
pub(super) mod mysql;
#[cfg(feature = "postgres")]
pub(super) mod postgres;
#[cfg(feature = "postgres")]
mod sent;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;
