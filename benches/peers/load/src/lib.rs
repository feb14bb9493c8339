//! What the benchmarks over HTTP load servers with, and the tables that come of it.

pub mod client;
pub mod loops;
pub mod table;
pub mod tally;

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Nanoseconds of a clock that all processes of the machine share.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}
