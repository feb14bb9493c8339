//! How long nearly all calls of one location take.

use crate::stats::nanos;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// One call in this many takes longer than what is learnt.
const ONE_IN: u64 = 10;
/// A call that takes longer moves the estimate up by this part of it, the others down by a
/// [`ONE_IN`]th of that.
const STEP: u64 = 8;

/// The time within which nine of ten calls end, learnt as they do.
///
/// It takes one word and no sorting: an estimate that goes up for each call that takes longer and down
/// for each that does not rests where a tenth of the calls are longer (stochastic approximation of a
/// quantile, Robbins and Monro 1951, in its "frugal" form of Ma, Muthukrishnan and Sandler 2013). Steps are
/// parts of the estimate, so a backend that becomes ten times slower is known after some twenty calls.
#[derive(Debug, Default)]
pub(crate) struct Typical {
    /// In nanoseconds; 0 = nothing learnt yet.
    estimate_ns: AtomicU64,
}

impl Typical {
    /// Learns from a call that has returned.
    pub(crate) fn learn(&self, service: Duration) {
        let sample = nanos(service).max(1);
        // Relaxed, Relaxed: an estimate; a lost update is one sample less.
        let old = self.estimate_ns.load(Relaxed);
        let new = if old == 0 {
            sample
        } else if sample > old {
            old.saturating_add(old / STEP + 1)
        } else {
            old - old / (STEP * (ONE_IN - 1))
        };
        self.estimate_ns.store(new, Relaxed);
    }

    /// A call was not run because calls take so long; nobody knows whether that is still true.
    pub(crate) fn forget_a_little(&self) {
        // Relaxed, Relaxed: as above.
        let old = self.estimate_ns.load(Relaxed);
        self.estimate_ns.store(old - old / STEP / 2, Relaxed);
    }

    /// What was learnt; zero when nothing is known.
    pub(crate) fn get(&self) -> Duration {
        // Relaxed: an estimate.
        Duration::from_nanos(self.estimate_ns.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::Typical;
    use std::time::Duration;

    /// Learns from `calls` calls, of which every `long_every`th takes 100 ms and the others 1 ms.
    fn learn(typical: &Typical, calls: u32, long_every: u32) {
        for call in 1..=calls {
            let is_long = call % long_every == 0;
            typical.learn(Duration::from_millis(if is_long { 100 } else { 1 }));
        }
    }

    #[test]
    fn it_lies_above_nearly_all_calls_and_below_the_rare_ones() {
        let typical = Typical::default();
        assert_eq!(typical.get(), Duration::ZERO, "nothing is known at first");
        learn(&typical, 10_000, 50);
        let rare = typical.get();
        assert!(
            rare > Duration::from_micros(900) && rare < Duration::from_millis(10),
            "{rare:?}"
        );
        learn(&typical, 10_000, 3);
        assert!(
            typical.get() > Duration::from_millis(80),
            "{:?}",
            typical.get()
        );
    }

    #[test]
    fn it_follows_a_backend_that_becomes_slow_and_quick_again() {
        let typical = Typical::default();
        learn(&typical, 100, u32::MAX);
        (0..40).for_each(|_| typical.learn(Duration::from_millis(10)));
        assert!(
            typical.get() > Duration::from_millis(9),
            "{:?}",
            typical.get()
        );
        learn(&typical, 400, u32::MAX);
        assert!(
            typical.get() < Duration::from_millis(2),
            "{:?}",
            typical.get()
        );
    }
}
