//! What the end-to-end tests share: a server of the test's own, and a client that sends bytes.
//!
//! Every server listens on a loopback port that the system chose; every wait is bounded.

pub mod client;
pub mod fixture;
pub mod gate;
pub mod process;

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here may take, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often [`eventually`] looks.
const LOOK: Duration = Duration::from_millis(1);

/// Waits until `is_so`, which says what is waited for.
///
/// # Panics
///
/// When it is not so after [`PATIENCE`].
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not in {PATIENCE:?}: {what}");
        thread::sleep(LOOK);
    }
}
