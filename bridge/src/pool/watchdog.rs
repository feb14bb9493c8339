//! The pool's watchdog: threads that run interrupt hooks, so that neither a loop nor a worker waits for
//! them, and the [patrol](super::patrol).

use super::signals::block_signals;
use super::stopping::Stoppable;
use crate::quiet::drop_quietly;
use crate::stats::nanos;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Threads that run hooks: one that hangs does not keep the others waiting.
pub(super) const HOOK_THREADS: usize = 2;

/// Where interrupts are asked for; any thread, never blocks.
pub(crate) struct Watchdog {
    requests: Sender<Arc<dyn Stoppable>>,
    interrupts: Receiver<Arc<dyn Stoppable>>,
    hooks: Arc<[Hook; HOOK_THREADS]>,
    /// The patrol ends when it is gone.
    _ended: Sender<Infallible>,
}

impl Watchdog {
    /// At most `backlog` interrupts wait; a pool cannot have more calls running than threads, so
    /// more than a few per thread means that hooks themselves hang. With it comes what the patrol
    /// waits for.
    pub(super) fn new(backlog: usize, epoch: Instant) -> (Self, Receiver<Infallible>) {
        let (requests, interrupts) = bounded(backlog);
        let (alive, ended) = bounded(0);
        let watchdog = Self {
            requests,
            interrupts,
            hooks: Arc::new(std::array::from_fn(|_| Hook::new(epoch))),
            _ended: alive,
        };
        (watchdog, ended)
    }

    /// The life of hook thread `index`; it ends with the pool.
    pub(super) fn hook_thread(&self, index: usize) -> impl FnOnce() + Send + 'static {
        let (interrupts, hooks) = (self.interrupts.clone(), Arc::clone(&self.hooks));
        move || run_hooks(&interrupts, &hooks[index])
    }

    /// Has what runs interrupted soon.
    pub(crate) fn interrupt(&self, what: Arc<dyn Stoppable>) {
        if let Err(refused) = self.requests.try_send(what) {
            tracing::warn!("interrupt hooks hang; a further call was not interrupted");
            // It may be the last owner of what the pool's user gave.
            drop_quietly(refused);
        }
    }

    /// The hooks that run now.
    pub(super) fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.hooks.iter()
    }
}

/// What one thread for hooks says of itself.
#[derive(Debug)]
pub(super) struct Hook {
    /// From which `due_ns` counts.
    epoch: Instant,
    /// When the hook that runs should have returned; 0 = none runs.
    due_ns: AtomicU64,
}

impl Hook {
    fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            due_ns: AtomicU64::new(0),
        }
    }

    /// The time at which a hook that runs should have returned, if that is over. It also tells one
    /// hook from the next.
    pub(super) fn overdue_ns(&self, now: Instant) -> Option<u64> {
        // Relaxed: a hint.
        let due_ns = self.due_ns.load(Relaxed);
        let now_ns = nanos(now.saturating_duration_since(self.epoch));
        (due_ns != 0 && due_ns < now_ns).then_some(due_ns)
    }

    /// Stops it, if there is still something to stop.
    fn run(&self, what: &dyn Stoppable) {
        let Some(interrupter) = what.take_interrupter() else {
            return;
        };
        let due = self
            .epoch
            .elapsed()
            .saturating_add(interrupter.time_limit());
        let due_ns = nanos(due);
        // Relaxed: as above.
        self.due_ns.store(due_ns.max(1), Relaxed);
        interrupter.interrupt();
    }
}

fn run_hooks(requests: &Receiver<Arc<dyn Stoppable>>, hook: &Hook) {
    block_signals();
    for what in requests {
        // It goes inside as well: dropping it may drop foreign values.
        let interrupt = move || hook.run(&*what);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(interrupt)) {
            tracing::error!("an interrupt hook panicked");
            drop_quietly(panic);
        }
        // Relaxed: as above.
        hook.due_ns.store(0, Relaxed);
    }
}
