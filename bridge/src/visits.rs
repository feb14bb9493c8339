//! How a loop looks after the pools that it submits to, so that a wake is sent once per turn and only
//! where it is worth its cost, and so that none is ever missing.
//!
//! A submission wakes no worker by itself while its loop is awake: the loop *tends* the pool, that is,
//! it [looks](Tended::look) at the end of each turn and, before it sleeps, [leaves](Visits::leave)
//! with a last look. [`EventLoop`](crate::EventLoop) does so, and on bare `mio` the
//! [`Inbox`](crate::Inbox) does.

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

/// In a turn that submits more than this, workers are woken before its end.
const SUBMISSIONS_PER_LOOK: u32 = 32;

/// A pool as the loop that tends it sees it.
pub(crate) trait Tended: Send + Sync {
    /// From now on this loop looks again before it sleeps. If all workers sleep one is woken now: the
    /// end of the turn would send that wake anyway.
    fn tend(&self);
    /// Wakes a worker if that is worth its cost by now.
    fn look(&self, progress: &mut Progress, now: Option<Instant>);
    /// The last look: this loop looks no more.
    fn leave(&self);
    /// Sees to it that a worker comes for what was queued; for who does not look again.
    fn work_was_queued(&self);
    /// What its workers leave to the loop.
    fn crowding(&self) -> Crowding;
}

/// How busy a pool keeps the CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Crowding {
    /// There is a CPU for a loop that looks again before it sleeps.
    Room,
    /// As many workers are awake as there are CPUs.
    Full,
    /// Besides, short calls wait: a loop that sleeps now is woken again by the very next of them, and
    /// takes the CPU from the worker that does the rest.
    Swamped,
}

/// What a loop saw of a pool when it last looked.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Calls that had ended.
    pub(crate) ended: u64,
    /// Since when that number has stood still while calls waited.
    pub(crate) since: Option<Instant>,
}

struct Visit {
    pool: Arc<dyn Tended>,
    progress: Progress,
    submissions: u32,
}

/// The pools that a loop has submitted to since it last slept.
#[derive(Default)]
pub(crate) struct Visits(Vec<Visit>);

impl Visits {
    /// Notes a submission that is in the pool's queue by now.
    pub(crate) fn submitted<P: Tended + 'static>(&mut self, pool: &Arc<P>) {
        let known = |visit: &&mut Visit| ptr::addr_eq(Arc::as_ptr(&visit.pool), Arc::as_ptr(pool));
        let Some(visit) = self.0.iter_mut().find(known) else {
            pool.tend();
            self.0.push(Visit {
                pool: Arc::clone(pool) as Arc<dyn Tended>,
                progress: Progress::default(),
                submissions: 1,
            });
            return;
        };
        visit.submissions = visit.submissions.wrapping_add(1);
        if visit.submissions.is_multiple_of(SUBMISSIONS_PER_LOOK) {
            visit.pool.look(&mut visit.progress, None);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at each pool, at the end of a turn.
    pub(crate) fn turn_ended(&mut self, now: Instant) {
        for visit in &mut self.0 {
            visit.pool.look(&mut visit.progress, Some(now));
        }
    }

    /// How busy the busiest of the pools keeps the CPUs.
    pub(crate) fn crowding(&self) -> Crowding {
        let crowding = |visit: &Visit| visit.pool.crowding();
        self.0.iter().map(crowding).max().unwrap_or(Crowding::Room)
    }

    /// Takes a last look at each pool; before the loop sleeps or ends.
    pub(crate) fn leave(&mut self) {
        for visit in self.0.drain(..) {
            visit.pool.leave();
        }
    }
}

impl Drop for Visits {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Visits").field(&self.0.len()).finish()
    }
}
