//! The adapter against a real Redis server, which each test starts for itself.
//!
//! Where there is no `redis-server` the tests say so and do nothing.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod answers;
mod failures;
mod login;
mod many;
mod rig;
mod server;
mod stopping;
#[cfg(feature = "redis-tls")]
mod tls;
