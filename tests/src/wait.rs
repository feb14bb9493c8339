//! Waiting for what happens elsewhere, without sleeping for a guessed time.

use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Polls until `condition` holds.
///
/// # Panics
///
/// When it does not within [`PATIENCE`]; the message has `what`.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(what, || condition().then_some(()));
}

/// Polls until `look` finds something.
///
/// # Panics
///
/// When it does not within [`PATIENCE`]; the message has `what`.
pub fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        // Only the pace of looking; nothing depends on it.
        thread::sleep(Duration::from_millis(2));
    }
}
