//! The door of a pool: how many calls may be inside, and when to come again.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicU64, AtomicUsize};
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
#[derive(Debug)]
pub(crate) struct Admission {
    places: usize,
    threads: usize,
    in_flight: AtomicUsize,
    /// Smoothed service time in nanoseconds; 0 = nothing learnt yet.
    service_ns: AtomicU64,
}

impl Admission {
    pub(crate) fn new(threads: usize, max_queue: usize) -> Self {
        Self {
            places: threads.saturating_add(max_queue),
            threads,
            in_flight: AtomicUsize::new(0),
            service_ns: AtomicU64::new(0),
        }
    }

    /// Takes a place, or says how many calls are inside.
    pub(crate) fn enter(&self) -> Result<(), usize> {
        // AcqRel: partner of the one in `leave`; the number never passes `places`, not even for
        // an instant, because the test and the step are one operation. Relaxed on failure.
        self.in_flight
            .fetch_update(AcqRel, Relaxed, |inside| {
                (inside < self.places).then_some(inside + 1)
            })
            .map(drop)
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        // AcqRel: partner of the one in `enter`.
        self.in_flight.fetch_sub(1, AcqRel);
    }

    pub(crate) fn in_flight(&self) -> usize {
        // Relaxed: a statistic.
        self.in_flight.load(Relaxed)
    }

    /// Learns from a finished call.
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
