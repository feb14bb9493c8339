//! The pool's watchdog: threads that run interrupt hooks, so that neither a loop nor a worker waits for
//! them, and the [patrol](super::patrol).

use super::worker::{Job, block_signals};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Threads that run hooks: one that hangs does not keep the others waiting.
pub(super) const HOOK_THREADS: usize = 2;

/// Where interrupts are asked for; any thread, never blocks.
pub(crate) struct Watchdog {
    requests: Sender<Arc<dyn Job>>,
    /// The patrol ends when it is gone.
    _ended: Sender<Infallible>,
}

/// What the watchdog's threads wait for.
pub(super) struct Calls {
    pub(super) interrupts: Receiver<Arc<dyn Job>>,
    pub(super) ended: Receiver<Infallible>,
}

impl Watchdog {
    /// At most `backlog` interrupts wait; a pool cannot have more calls running than threads, so
    /// more than a few per thread means that hooks themselves hang.
    pub(super) fn new(backlog: usize) -> (Self, Calls) {
        let (requests, interrupts) = bounded(backlog);
        let (alive, ended) = bounded(0);
        let watchdog = Self {
            requests,
            _ended: alive,
        };
        (watchdog, Calls { interrupts, ended })
    }

    /// Has the running call interrupted soon.
    pub(crate) fn interrupt(&self, job: Arc<dyn Job>) {
        match self.requests.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!("interrupt hooks hang; a further call was not interrupted");
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the watchdog is gone; a call was not interrupted");
            }
        }
    }
}

/// The life of a thread that runs hooks; ends with the pool.
pub(crate) fn run_hooks(requests: &Receiver<Arc<dyn Job>>) {
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
