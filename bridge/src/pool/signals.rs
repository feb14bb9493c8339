//! The signals that the process's own threads do not take.

use super::eintr;
use nix::sys::signal::{SigSet, Signal};

/// Blocks every signal that can be blocked, except those that a thread raises by its own fault: other
/// signals are for the thread that waits for them.
pub(crate) fn block_signals() {
    block_all_but(&[]);
}

/// As [`block_signals`], but for the one that ends a stuck call's system call.
pub(super) fn block_signals_of_a_worker() {
    block_all_but(&[eintr::SIGNAL]);
}

fn block_all_but(open: &[Signal]) {
    let mut blocked = SigSet::all();
    open.iter().for_each(|signal| blocked.remove(*signal));
    for synchronous in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGABRT,
        Signal::SIGSYS,
    ] {
        blocked.remove(synchronous);
    }
    if let Err(error) = blocked.thread_set_mask() {
        tracing::warn!(%error, "signals could not be blocked on this thread");
    }
}
