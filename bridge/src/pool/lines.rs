//! The [lines](super::line) of one pool, for whoever has to reach what waits in all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::quiet::drop_quietly;

/// A line of calls, whatever they are like.
pub(super) trait AnyLine: Send + Sync {
    /// Ends what waits in it with `ShutDown`.
    fn clear(&self);
    /// A worker does not return. If it runs a batch of this line, another one may run beside it.
    fn worker_is_stuck(self: Arc<Self>, worker: usize);
}

/// All lines of a pool that are still in use.
#[derive(Default)]
pub(super) struct Lines(Mutex<Vec<Weak<dyn AnyLine>>>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn AnyLine>>> {
        // Nothing under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, line: Weak<dyn AnyLine>) {
        let mut lines = self.lock();
        lines.retain(|line| line.strong_count() > 0);
        lines.push(line);
    }

    fn for_each(&self, act: impl Fn(Arc<dyn AnyLine>)) {
        // What they hold is foreign: nothing is dropped under the lock.
        let lines = self.lock().clone();
        for line in lines.iter().filter_map(Weak::upgrade) {
            act(line);
        }
    }

    /// Ends what waits in any of them with `ShutDown`.
    pub(super) fn clear(&self) {
        self.for_each(|line| {
            line.clear();
            drop_quietly(line);
        });
    }

    /// As [`AnyLine::worker_is_stuck`].
    pub(super) fn worker_is_stuck(&self, worker: usize) {
        self.for_each(|line| line.worker_is_stuck(worker));
    }
}
