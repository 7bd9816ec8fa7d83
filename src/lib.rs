//! HTTP sessions.
