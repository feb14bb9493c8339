//! A pool that finds its own size: what the limiter is told, and what it says.

use super::core::Core;
use super::record::Taken;
use crate::limit::{Limiter, Window};
use std::time::{Duration, Instant};

/// How often the limiter looks.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// The limiter of one pool, and what it was told last.
#[derive(Debug)]
pub(super) struct Sizing {
    limiter: Limiter,
    seen_at: Instant,
    taken: Taken,
    /// How long what ran then had run, added up.
    ages: Duration,
}

impl Sizing {
    pub(super) fn new(limiter: Limiter, now: Instant) -> Self {
        Self {
            limiter,
            seen_at: now,
            taken: Taken::default(),
            ages: Duration::ZERO,
        }
    }

    /// Tells the limiter what happened since the last time, and the pool what it says.
    pub(super) fn look(&mut self, core: &Core, now: Instant) {
        if now.saturating_duration_since(self.seen_at) < INTERVAL {
            return;
        }
        let before = self.limiter.limit();
        let window = self.window(core, now);
        let limit = self.limiter.observe(&window);
        if limit != before {
            tracing::debug!(pool = core.name(), limit, before, ?window, "another limit");
            core.set_limit(limit);
        }
    }

    fn window(&mut self, core: &Core, now: Instant) -> Window {
        let mut taken = Taken::default();
        let mut ages = Duration::ZERO;
        for record in core.counters.records() {
            taken = taken.plus(record.taken());
            // What is stuck says nothing of how many calls the backend can take, nor does what goes at
            // the pace of its reader.
            if !record.is_stuck()
                && !record.is_answered()
                && let Some(running) = record.running()
            {
                ages += record.age(&running, now);
            }
        }
        let new = taken.since(self.taken);
        // Of very short calls not all are timed.
        let served = new
            .mean()
            .saturating_mul(u32::try_from(new.completed).unwrap_or(u32::MAX));
        let window = Window {
            length: now.saturating_duration_since(self.seen_at),
            completed: new.completed,
            service: new.mean(),
            service_rms: new.root_mean_square(),
            busy: (served + ages).saturating_sub(self.ages),
            waiting: core.queue.waiting() as u64,
        };
        (self.seen_at, self.taken, self.ages) = (now, taken, ages);
        window
    }
}
