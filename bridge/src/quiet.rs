//! Foreign code that runs where a panic must not get out: drops and wakers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Drops what belongs to a library, and keeps the panic in if that panics.
///
/// Dropping is foreign code too, be it a session, a call's input or its outcome: it may panic.
pub fn drop_quietly<T>(value: T) {
    if !std::mem::needs_drop::<T>() {
        return;
    }
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // Even the panic's own payload may panic when it is dropped; then it is leaked.
        std::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(panic))));
        tracing::error!("dropping a session, or a value of foreign code, panicked");
    }
}

/// Runs what may panic although it is not foreign code itself, as whoever listens to the log may; `None`
/// if it did.
pub(crate) fn run_quietly<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(panic) => {
            drop_quietly(panic);
            None
        }
    }
}

/// A waker is code of whatever executor awaits the call; its panic must not end a thread that all
/// other calls need.
pub(crate) fn wake_quietly(waker: Waker) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        tracing::error!("a waker panicked: its executor may miss the end of a call");
        drop_quietly(panic);
    }
}
