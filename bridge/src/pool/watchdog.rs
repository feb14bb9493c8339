//! The pool's watchdog thread: runs interrupt hooks, so that neither a loop nor a worker waits for
//! them.

use super::worker::{Job, block_signals};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Where interrupts are asked for; any thread, never blocks.
pub(crate) struct Watchdog {
    requests: Sender<Arc<dyn Job>>,
}

impl Watchdog {
    /// At most `backlog` interrupts wait; a pool cannot have more calls running than threads, so
    /// more than a few per thread means that a hook itself hangs.
    pub(crate) fn new(backlog: usize) -> (Self, Receiver<Arc<dyn Job>>) {
        let (requests, receiver) = bounded(backlog);
        (Self { requests }, receiver)
    }

    /// Has the running call interrupted soon.
    pub(crate) fn interrupt(&self, job: Arc<dyn Job>) {
        match self.requests.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!("an interrupt hook hangs; a further call was not interrupted");
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the watchdog is gone; a call was not interrupted");
            }
        }
    }
}

/// The life of the watchdog thread; ends with the pool.
pub(crate) fn watch(requests: &Receiver<Arc<dyn Job>>) {
    block_signals();
    for job in requests {
        // The job goes inside as well: dropping it may drop foreign values.
        let interrupt = move || job.interrupt();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(interrupt)) {
            tracing::error!("an interrupt hook panicked");
            crate::quiet::drop_quietly(panic);
        }
    }
}
