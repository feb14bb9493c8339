//! Which workers may take calls, and which stand in reserve.
//!
//! All threads of a pool are made at start. How many of them may be *active*, that is, take calls,
//! changes: a stuck call brings in a spare worker, and its return sends one back; a pool that finds its
//! own size has more or fewer. A worker leaves only between two calls, when it has no duty to
//! anybody; if calls wait then, it sees to it that another worker comes for them.

use super::idle::Unpark;
use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;

/// The workers of one pool that may not take calls now.
#[derive(Debug)]
pub(crate) struct Reserve<W: Unpark> {
    /// Protects both counts, and who stands in reserve; held for a few instructions, never across
    /// foreign code.
    waiting: Mutex<Waiting<W>>,
    /// Workers that are not in reserve.
    active: AtomicUsize,
    /// How many of them there may be.
    allowed: AtomicUsize,
}

/// What a worker in reserve is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Wait on; its unpark was spurious.
    Stay,
    /// Take calls.
    Come,
    /// The pool is over.
    End,
}

#[derive(Debug)]
struct Waiting<W> {
    workers: Vec<(usize, W)>,
    is_ending: bool,
}

impl<W: Unpark> Reserve<W> {
    /// For `active` workers that may take calls at once; the others [stand by](Self::stand_by).
    pub(crate) fn new(active: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                workers: Vec::new(),
                is_ending: false,
            }),
            active: AtomicUsize::new(active),
            allowed: AtomicUsize::new(active),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<W>> {
        // Nothing under the lock panics half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Workers that may take calls, asleep or not.
    pub(crate) fn active(&self) -> usize {
        // Relaxed: a hint; whoever decides by it looks again under the lock.
        self.active.load(Relaxed)
    }

    /// Whether a worker should leave. Cheap: asked after every call.
    pub(crate) fn is_overstaffed(&self) -> bool {
        // Relaxed: as above.
        self.active.load(Relaxed) > self.allowed.load(Relaxed)
    }

    /// A worker that has ended its call leaves, if there are still more than there may be. If so (true)
    /// it must wait until it gets [another order](Self::order) than to stay.
    pub(crate) fn retire(&self, worker: usize, handle: W) -> bool {
        let mut waiting = self.lock();
        if !self.is_overstaffed() {
            return false;
        }
        // Relaxed: changed only under the lock.
        self.active.fetch_sub(1, Relaxed);
        waiting.workers.push((worker, handle));
        true
    }

    /// A spare worker begins its life. If nobody needs it (true) it must wait until it gets
    /// [another order](Self::order) than to stay.
    pub(crate) fn stand_by(&self, worker: usize, handle: W) -> bool {
        let mut waiting = self.lock();
        // Relaxed, Relaxed: changed only under the lock.
        if self.active.load(Relaxed) < self.allowed.load(Relaxed) {
            self.active.fetch_add(1, Relaxed);
            return false;
        }
        waiting.workers.push((worker, handle));
        true
    }

    /// What a worker that left is to do.
    pub(crate) fn order(&self, worker: usize) -> Order {
        let waiting = self.lock();
        match waiting.workers.iter().any(|(other, _)| *other == worker) {
            false => Order::Come,
            true if waiting.is_ending => Order::End,
            true => Order::Stay,
        }
    }

    /// From now on so many workers may take calls: calls in who is missing. Who is too many leaves
    /// by itself after its call.
    pub(crate) fn allow(&self, workers: usize) {
        let mut waiting = self.lock();
        if waiting.is_ending {
            return;
        }
        // Relaxed: changed only under the lock.
        self.allowed.store(workers, Relaxed);
        // Relaxed: as above.
        let missing = workers.saturating_sub(self.active.load(Relaxed));
        // The one that left last comes first: its stack is the warmest.
        let rest = waiting.workers.len().saturating_sub(missing);
        let called = waiting.workers.split_off(rest);
        // Relaxed: as above.
        self.active.fetch_add(called.len(), Relaxed);
        drop(waiting);
        called.into_iter().for_each(|(_, thread)| thread.unpark());
    }

    /// The pool ends. Who stands in reserve ends at once: what is queued is for the others.
    pub(crate) fn end(&self) {
        let mut waiting = self.lock();
        waiting.is_ending = true;
        let reserve: Vec<W> = waiting.workers.iter().map(|(_, w)| w.clone()).collect();
        drop(waiting);
        reserve.iter().for_each(W::unpark);
    }
}
