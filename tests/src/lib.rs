//! What the end-to-end tests share: a server of the test's own, and a client that sends bytes.
//!
//! Every server listens on a loopback port that the system chose; every wait is bounded.

pub mod backends;
pub mod client;
pub mod documented;
pub mod fixture;
pub mod gate;
pub mod problem;
pub mod process;
pub mod vectors;
pub mod wait;

pub use wait::eventually;

use std::time::Duration;

/// Longer than anything here may take, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
