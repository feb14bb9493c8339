//! Counters and histograms: queue wait, service, wake delay, loop lag.

use hdrhistogram::Histogram;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A statistic that any thread adds to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, count: u64) {
        // Relaxed: a statistic.
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        // Relaxed: a statistic.
        self.0.load(Relaxed)
    }
}

/// The duration in nanoseconds; what is longer than 584 years is as long as that.
pub(crate) fn nanos(duration: Duration) -> u64 {
    // Without the division that `as_nanos` needs for its 128 bits: this is on the path of each call.
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos()))
}

/// A distribution of durations, to 1 % from a microsecond to an hour.
pub struct Durations(Histogram<u64>);

impl Durations {
    const MIN_NS: u64 = 1_000;
    const MAX_NS: u64 = 3_600_000_000_000;

    /// An empty distribution.
    ///
    /// # Panics
    ///
    /// Never: the bounds are constants that the histogram accepts.
    #[must_use]
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(Self::MIN_NS, Self::MAX_NS, 2);
        Self(histogram.expect("constant bounds that the histogram accepts"))
    }

    /// Adds one value; beyond an hour it counts as an hour.
    pub fn record(&mut self, value: Duration) {
        self.0.saturating_record(nanos(value));
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value below which the given share (0.0 to 1.0) lies; zero when there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The largest value.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durations")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Durations;
    use std::time::Duration;

    #[test]
    fn quantiles_are_right_to_one_percent() {
        let mut durations = Durations::new();
        (1..=1000).for_each(|ms| durations.record(Duration::from_millis(ms)));
        durations.record(Duration::from_secs(100_000));
        let p50 = durations.quantile(0.5).as_secs_f64();
        assert!((p50 - 0.5).abs() < 0.01, "{p50}");
        assert_eq!(durations.count(), 1001);
        assert!(durations.max() >= Duration::from_secs(3590));
    }
}
