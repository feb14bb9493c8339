//! A count that never passes its limit, and the places in it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

/// A count that never passes its limit.
#[derive(Debug)]
pub(crate) struct Bounded {
    count: AtomicUsize,
    /// A reload may change it.
    max: AtomicUsize,
}

impl Bounded {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
        }
    }

    /// A place, until it is dropped; `None` when all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<BoundedPlace> {
        let max = self.max();
        // AcqRel, Relaxed: one operation tests and steps, so the bound is exact; the count orders
        // nothing else.
        self.count
            .fetch_update(AcqRel, Relaxed, |count| (count < max).then_some(count + 1))
            .ok()
            .map(|_| BoundedPlace(Arc::clone(self)))
    }

    pub(crate) fn count(&self) -> usize {
        // Relaxed: a statistic.
        self.count.load(Relaxed)
    }

    pub(crate) fn max(&self) -> usize {
        // Relaxed: a number of its own; who enters may see a change a moment later.
        self.max.load(Relaxed)
    }

    /// Changes the limit. Who is in stays in; a lower one holds once enough have left.
    pub(crate) fn set_max(&self, max: usize) {
        // Relaxed: as in `max`.
        self.max.store(max, Relaxed);
    }
}

/// A place in a [`Bounded`] count.
#[derive(Debug)]
pub(crate) struct BoundedPlace(Arc<Bounded>);

impl Drop for BoundedPlace {
    fn drop(&mut self) {
        // AcqRel: partner of the one in `enter`.
        self.0.count.fetch_sub(1, AcqRel);
    }
}
