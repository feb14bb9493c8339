//! The door of a pool: how many calls may be inside, and when to come again.

use crossbeam_utils::CachePadded;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

/// The least and the most that `Retry-After` says.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Weight of the newest call in the learnt service time: 1/8, as TCP's smoothed round trip.
const SERVICE_SHIFT: u32 = 3;

/// An exact bound on the calls inside a pool, running or waiting.
///
/// A call holds its place until the foreign code has really returned, also when its caller gave up
/// long ago (honest capacity); a call that is cancelled while it waits gives it back at once.
///
/// What is inside is the difference of two counts that only grow: submitters write one and workers
/// the other, on cache lines of their own, and a submitter looks at the workers' count only when the
/// last look does not let it in.
#[derive(Debug)]
pub(crate) struct Admission {
    places: u64,
    threads: usize,
    door: CachePadded<Door>,
    /// Calls that have left.
    left: CachePadded<AtomicU64>,
    /// Smoothed service time in nanoseconds; 0 = nothing learnt yet.
    service_ns: CachePadded<AtomicU64>,
}

/// The submitters' side.
#[derive(Debug, Default)]
struct Door {
    /// Calls that were let in.
    entered: AtomicU64,
    /// How many had left when somebody last looked; never more than have left now.
    left_seen: AtomicU64,
}

impl Admission {
    pub(crate) fn new(threads: usize, max_queue: usize) -> Self {
        Self {
            places: threads.saturating_add(max_queue) as u64,
            threads,
            door: CachePadded::default(),
            left: CachePadded::default(),
            service_ns: CachePadded::default(),
        }
    }

    /// Takes a place, or says how many calls are inside.
    ///
    /// The number never passes `places`, not even for an instant: `left` only grows, so what is
    /// inside is at most `entered` less any earlier look at it, and `entered` is changed only if it
    /// is still what was tested. A refusal is right as well: `entered` only grows too.
    pub(crate) fn enter(&self) -> Result<(), usize> {
        // Relaxed: tested by the compare-exchange below.
        let mut entered = self.door.entered.load(Relaxed);
        loop {
            // Acquire: partner of the Release store below, so that the look is not newer than
            // what this thread may rely on.
            let seen = self.door.left_seen.load(Acquire);
            if entered.saturating_sub(seen) >= self.places {
                // Acquire: partner of the Release in `leave`.
                let left = self.left.load(Acquire);
                // Release: as above.
                self.door.left_seen.store(left, Release);
                // `entered` may be out of date by now; then the exchange fails.
                let inside = entered.saturating_sub(left);
                if inside >= self.places {
                    return Err(usize::try_from(inside).unwrap_or(usize::MAX));
                }
            }
            // Relaxed, Relaxed: entering publishes nothing; the queue publishes the call.
            match self
                .door
                .entered
                .compare_exchange_weak(entered, entered + 1, Relaxed, Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => entered = now,
            }
        }
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        // Release: partner of the Acquire in `enter`: what the call did is over for whoever gets
        // its place.
        self.left.fetch_add(1, Release);
    }

    /// Calls let in so far.
    pub(crate) fn entered(&self) -> u64 {
        // Relaxed: a statistic.
        self.door.entered.load(Relaxed)
    }

    /// Calls that have left so far.
    pub(crate) fn left(&self) -> u64 {
        // Relaxed: a statistic, or a hint.
        self.left.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        // In this order it is never below zero.
        let left = self.left();
        usize::try_from(self.entered().saturating_sub(left)).unwrap_or(usize::MAX)
    }

    /// Learns from a finished call, or from one that stands for several.
    pub(crate) fn learn(&self, service: Duration) {
        let sample = u64::try_from(service.as_nanos()).unwrap_or(u64::MAX).max(1);
        // Relaxed, Relaxed: an estimate; a lost update is one sample less.
        let old = self.service_ns.load(Relaxed);
        let new = if old == 0 {
            sample
        } else {
            old - (old >> SERVICE_SHIFT) + (sample >> SERVICE_SHIFT)
        };
        // Relaxed: as above.
        self.service_ns.store(new.max(1), Relaxed);
    }

    /// What a call takes, as learnt; `None` when nothing is known.
    pub(crate) fn service(&self) -> Option<Duration> {
        // Relaxed: an estimate.
        match self.service_ns.load(Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// When what waits now will probably have been served: waiting × service time / threads.
    pub(crate) fn retry_after(&self) -> Duration {
        let waiting = self.in_flight().saturating_sub(self.threads) as u64 + 1;
        // Relaxed: an estimate.
        let per_call = self.service_ns.load(Relaxed);
        let drain = Duration::from_nanos(per_call.saturating_mul(waiting) / self.threads as u64);
        let whole_seconds = drain.as_secs() + u64::from(drain.subsec_nanos() > 0);
        Duration::from_secs(whole_seconds).clamp(RETRY_MIN, RETRY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Admission;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::time::Duration;

    #[test]
    fn the_bound_is_exact_under_races() {
        let admission = Admission::new(2, 5);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        if admission.enter().is_ok() {
                            // SeqCst: a test's own count.
                            assert!(inside.fetch_add(1, SeqCst) < 7);
                            // SeqCst: as above.
                            inside.fetch_sub(1, SeqCst);
                            admission.leave();
                        }
                    }
                });
            }
        });
        assert_eq!(admission.in_flight(), 0);
        assert_eq!((0..10).filter(|_| admission.enter().is_ok()).count(), 7);
        assert_eq!(admission.enter(), Err(7));
    }

    #[test]
    fn retry_after_follows_the_drain_rate() {
        let admission = Admission::new(2, 100);
        assert_eq!(admission.retry_after(), Duration::from_secs(1));
        (0..100).for_each(|_| admission.learn(Duration::from_millis(500)));
        (0..42).for_each(|_| admission.enter().unwrap());
        // 40 wait and one more would: 41 calls × 0.5 s on 2 threads.
        assert_eq!(admission.retry_after(), Duration::from_secs(11));
        (0..100).for_each(|_| admission.learn(Duration::from_secs(3600)));
        assert_eq!(admission.retry_after(), Duration::from_secs(60));
    }
}
