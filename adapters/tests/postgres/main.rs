//! The adapter `postgres` against a real PostgreSQL, which is started for the tests.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod answers;
mod config;
mod failures;
mod fixture;
mod sessions;
mod stopping;
mod streaming;
mod transactions;
mod types;
