//! Counts calls and their latencies while they run, for as little as possible.
//!
//! Each thread that ends calls has a [`Meter`] of its own: it alone writes there, with plain loads
//! and stores, and [`Counts::take`] adds all of them up from any thread at any time. So nothing has
//! to be opened, closed or drained around the time that is measured. `libuv/peer.c` does the same.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Each power of two has 64 buckets: a latency is at most 1.6 % more than it was.
const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
/// Up to 137 s; what takes longer counts as that.
const BUCKETS: usize = 32 * SUB;

static METERS: Mutex<Vec<&'static Meter>> = Mutex::new(Vec::new());

thread_local! {
    static METER: &'static Meter = Meter::register();
}

/// One thread's figures, on cache lines of their own.
#[repr(align(128))]
struct Meter {
    calls: AtomicU64,
    latencies: [AtomicU64; BUCKETS],
}

impl Meter {
    /// Leaked: the process ends with its run.
    fn register() -> &'static Self {
        let meter = Box::leak(Box::new(Self {
            calls: AtomicU64::new(0),
            latencies: [const { AtomicU64::new(0) }; BUCKETS],
        }));
        let mut meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        meters.push(meter);
        meter
    }
}

/// Only its own thread writes. Relaxed: a count orders nothing.
fn increment(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// Measures the calls of one place in flight, which follow each other.
#[derive(Debug)]
pub(crate) struct Watch {
    sample_every: u32,
    until_sample: u32,
    began: Instant,
}

impl Watch {
    /// Samples one call of `sample_every`. The places take turns, so that they do not all sample at
    /// the same time.
    pub(crate) fn new(place: usize, sample_every: u32) -> Self {
        Self {
            sample_every,
            until_sample: place as u32 % sample_every,
            began: Instant::now(),
        }
    }

    /// Before each call. If every call is sampled the clock was read at the end of the last one.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if self.sample_every > 1 && self.until_sample == 0 {
            self.began = Instant::now();
        }
    }

    /// After each call, on the thread that awaited it.
    #[inline]
    pub(crate) fn end(&mut self) {
        METER.with(|meter| {
            increment(&meter.calls);
            if self.until_sample == 0 {
                let now = Instant::now();
                let ns = now.duration_since(self.began).as_nanos() as u64;
                increment(&meter.latencies[bucket(ns)]);
                self.began = now;
                self.until_sample = self.sample_every;
            }
            self.until_sample -= 1;
        });
    }
}

/// All meters at one moment.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    latencies: Vec<u64>,
}

impl Counts {
    pub(crate) fn take() -> Self {
        let mut counts = Self {
            calls: 0,
            latencies: vec![0; BUCKETS],
        };
        for meter in &*METERS.lock().unwrap_or_else(PoisonError::into_inner) {
            counts.calls += meter.calls.load(Relaxed);
            for (sum, latency) in counts.latencies.iter_mut().zip(&meter.latencies) {
                *sum += latency.load(Relaxed);
            }
        }
        counts
    }

    /// How many latencies of which length, in ns, came since `before`.
    pub(crate) fn latencies_since(&self, before: &Self) -> Vec<(u64, u64)> {
        let pairs = self.latencies.iter().zip(&before.latencies).enumerate();
        pairs
            .map(|(index, (now, then))| (bucket_ns(index), now - then))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

fn bucket(ns: u64) -> usize {
    let bits = u64::BITS - (ns | 1).leading_zeros();
    let exponent = bits.saturating_sub(SUB_BITS + 1);
    let index = exponent as usize * SUB + (ns >> exponent) as usize;
    index.min(BUCKETS - 1)
}

/// The longest latency in a bucket.
fn bucket_ns(index: usize) -> u64 {
    let exponent = (index / SUB).saturating_sub(1);
    let sub = (index - exponent * SUB) as u64;
    ((sub + 1) << exponent) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_latencies_within_two_percent_and_no_bucket_is_missing() {
        assert_eq!((bucket(0), bucket_ns(0)), (0, 0));
        for index in 1..BUCKETS {
            let longest = bucket_ns(index);
            let shortest = bucket_ns(index - 1) + 1;
            assert_eq!((bucket(shortest), bucket(longest)), (index, index));
            assert!((longest - shortest) as f64 <= shortest as f64 / 60.0);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn every_call_counts_and_one_of_four_is_timed() {
        let before = Counts::take();
        let mut watch = Watch::new(0, 4);
        for _ in 0..8 {
            watch.begin();
            watch.end();
        }
        let after = Counts::take();
        assert_eq!(after.calls - before.calls, 8);
        let timed = after.latencies_since(&before);
        assert_eq!(timed.iter().map(|(_, count)| count).sum::<u64>(), 2);
    }
}
