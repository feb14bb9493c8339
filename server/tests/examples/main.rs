//! The programs in `examples/` do what they say, and the pages name all of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod bridge;
mod http;
mod pages;
mod servers;

/// Longer than anything here may take, even on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
