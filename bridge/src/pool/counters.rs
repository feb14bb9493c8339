//! What a pool counts: rare things in one place, frequent ones on each worker's own cache lines.

use crate::error::CallError;
use crate::stats::Counter;
use crossbeam_utils::CachePadded;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

/// What a pool has done so far.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) refused: Counter,
    pub(super) shed: Counter,
    pub(super) panicked: Counter,
    pub(super) expired: Counter,
    pub(super) cancelled: Counter,
    pub(super) late: Counter,
    pub(super) sessions_opened: Counter,
    workers: Vec<CachePadded<Gauges>>,
}

/// What one worker says of itself, on cache lines of its own: it is written around every call.
#[derive(Default)]
struct Gauges {
    sessions: AtomicUsize,
    busy: AtomicBool,
    /// Calls that ran to their end.
    completed: AtomicU64,
}

impl Counters {
    pub(super) fn new(threads: usize) -> Self {
        let workers = (0..threads).map(|_| CachePadded::default()).collect();
        Self {
            workers,
            ..Self::default()
        }
    }

    /// Where a call is counted that a worker did not run.
    pub(super) fn of_unrun(&self, error: &CallError) -> &Counter {
        match error {
            CallError::Rejected(_) => &self.shed,
            _ => &self.expired,
        }
    }

    /// Notes how many sessions a worker keeps.
    pub(super) fn sessions_open(&self, worker: usize, count: usize) {
        // Relaxed: a statistic with one writer.
        self.workers[worker].sessions.store(count, Relaxed);
    }

    pub(super) fn sessions(&self) -> usize {
        let sessions = |worker: &CachePadded<Gauges>| {
            // Relaxed: a statistic.
            worker.sessions.load(Relaxed)
        };
        self.workers.iter().map(sessions).sum()
    }

    /// Notes that foreign code runs on a worker, or no longer does.
    pub(super) fn set_busy(&self, worker: usize, busy: bool) {
        // Relaxed: a statistic with one writer.
        self.workers[worker].busy.store(busy, Relaxed);
    }

    /// Workers that run foreign code now.
    pub(super) fn busy(&self) -> usize {
        let busy = |worker: &&CachePadded<Gauges>| {
            // Relaxed: a statistic.
            worker.busy.load(Relaxed)
        };
        self.workers.iter().filter(busy).count()
    }

    /// Notes a call that ran to its end.
    pub(super) fn call_completed(&self, worker: usize) {
        let completed = &self.workers[worker].completed;
        // Relaxed, Relaxed: a statistic with one writer.
        completed.store(completed.load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn completed(&self) -> u64 {
        let completed = |worker: &CachePadded<Gauges>| {
            // Relaxed: a statistic.
            worker.completed.load(Relaxed)
        };
        self.workers.iter().map(completed).sum()
    }
}
