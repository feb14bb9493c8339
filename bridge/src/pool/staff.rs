//! How many workers of a pool may take calls: as many as it is set to, and one more for each that is
//! stuck, as far as there are spare ones.

use super::core::Core;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The numbers behind it.
#[derive(Debug)]
pub(super) struct Staff {
    /// Spare workers.
    pub(super) max_stuck: usize,
    /// How many calls may run, without those that are stuck. Its lock also protects each worker's
    /// mark; nothing foreign runs under it.
    limit: Mutex<usize>,
    /// Workers that are marked.
    stuck: AtomicUsize,
}

impl Staff {
    pub(super) fn new(limit: usize, max_stuck: usize) -> Self {
        Self {
            max_stuck,
            limit: Mutex::new(limit),
            stuck: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls may run now, without those that are stuck.
    pub(super) fn limit(&self) -> usize {
        *self.lock()
    }

    /// Workers whose call runs for longer than it should.
    pub(super) fn stuck(&self) -> usize {
        // Relaxed: written under the lock; readers take it for a hint.
        self.stuck.load(Relaxed)
    }
}

impl Core {
    /// Counts a worker as stuck: a spare one comes in for it, if there is one left.
    pub(super) fn is_stuck(&self, worker: usize) {
        self.mark(worker, true);
        self.lines.worker_is_stuck(worker);
    }

    /// A worker's call has returned after all.
    pub(super) fn came_back(&self, worker: usize) {
        self.mark(worker, false);
    }

    /// From now on so many calls may run, beside those that are stuck.
    pub(super) fn set_limit(&self, limit: usize) {
        let mut current = self.staff.lock();
        *current = limit;
        self.apply(limit, self.staff.stuck());
    }

    fn mark(&self, worker: usize, is_stuck: bool) {
        let limit = self.staff.lock();
        if !self.counters.of(worker).set_stuck(is_stuck) {
            return;
        }
        let before = self.staff.stuck();
        let stuck = if is_stuck { before + 1 } else { before - 1 };
        // Relaxed: as in `Staff::stuck`.
        self.staff.stuck.store(stuck, Relaxed);
        self.apply(*limit, stuck);
    }

    /// Under the lock.
    fn apply(&self, limit: usize, stuck: usize) {
        // Where the limit is below the number of threads, the others can come in as well.
        let waiting = self.threads - limit + self.staff.max_stuck;
        let spare = stuck.min(waiting);
        let workers = limit + spare;
        // The bound does not follow a limit that is tried for a moment.
        let most = self.threads + spare.min(self.staff.max_stuck);
        self.admission.resize(workers, stuck, most);
        self.reserve.allow(workers);
    }
}
