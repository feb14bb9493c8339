//! Whether a queue stands: CoDel, as servers use it.
//!
//! CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012; RFC 8289) tells a queue that
//! takes up a burst from one that only adds delay: in the second, nobody waits for less than `target`
//! for a whole `interval`. The rule for servers is folly's and Facebook's ("Fail at Scale", ACM Queue
//! 2015): while the queue stands, what has waited for more than twice the target is not run.

use crate::stats::nanos;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

/// Overload is over when in each of so many intervals, one after the other, somebody waited for at most a
/// [`FINE_PART`] of the target.
///
/// While calls are refused, those that are let in wait for little more than the target, by our own doing.
/// A loop that is late for once, a call that takes long and makes all look long, workers that come for
/// their next calls all at once: and somebody waits for less. That says little about the load, and the
/// queue would fill to its end before it is known to stand again. RFC 8289 remembers as well: it goes on near
/// where it was when a queue stands again soon.
const FINE_IN_A_ROW: u32 = 8;
const FINE_PART: u64 = 4;

/// When a pool counts as overloaded, and what it then refuses.
///
/// In every `interval` the shortest time that a call waited for a worker is noted. When that was more
/// than `target`, the queue does no good: it only makes everybody late. From then on
/// calls that waited for more than twice the target are refused unrun, and those that would wait for
/// more than one and a half times the target are refused at the door, until the shortest wait was
/// at most a quarter of the target in eight intervals in a row, or nobody came for one.
///
/// The target is never less than what a call of the pool takes on average, and the interval never less
/// than four targets: behind a call of a second, a wait of 5 ms says nothing (RFC 8289 asks for the
/// same, section 3.2: one packet's time).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoDel {
    /// The longest wait that is fine if it lasts.
    pub target: Duration,
    /// For how long the wait must stay above the target.
    pub interval: Duration,
}

impl CoDel {
    /// 5 ms, as in RFC 8289 and folly.
    pub const DEFAULT_TARGET: Duration = Duration::from_millis(5);
    /// 100 ms, as in RFC 8289 and folly.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);
}

impl Default for CoDel {
    fn default() -> Self {
        Self {
            target: Self::DEFAULT_TARGET,
            interval: Self::DEFAULT_INTERVAL,
        }
    }
}

/// What is shared by the workers that take calls; read by each, written a few times an interval.
#[derive(Debug)]
pub(super) struct Standing {
    target_ns: u64,
    interval_ns: u64,
    epoch: Instant,
    /// When the interval began, in nanoseconds since `epoch`, plus one; 0 = none has.
    interval_start_ns: AtomicU64,
    /// The shortest wait seen in this interval.
    shortest_ns: AtomicU64,
    is_overloaded: AtomicBool,
    /// Intervals since the queue last stood for one.
    fine_in_a_row: AtomicU32,
}

impl Standing {
    pub(super) fn new(settings: CoDel, epoch: Instant) -> Self {
        Self {
            target_ns: nanos(settings.target).max(1),
            interval_ns: nanos(settings.interval).max(1),
            epoch,
            interval_start_ns: AtomicU64::new(0),
            shortest_ns: AtomicU64::new(0),
            is_overloaded: AtomicBool::new(false),
            fine_in_a_row: AtomicU32::new(0),
        }
    }

    /// Notes the wait of a call that is taken `now`; whether it waited for too long. `service` is what
    /// calls of the pool take on average.
    pub(super) fn has_waited_too_long(
        &self,
        waited: Duration,
        now: Instant,
        service_ns: u64,
    ) -> bool {
        let now_ns = nanos(now.saturating_duration_since(self.epoch)).saturating_add(1);
        let waited_ns = nanos(waited);
        let target_ns = self.target_ns.max(service_ns);
        // Relaxed, here and below: a control loop; a look that is a little out of date does no harm,
        // and nothing is published by it.
        let start_ns = self.interval_start_ns.load(Relaxed);
        let interval_ns = self.interval_ns(target_ns);
        let length_ns = now_ns.saturating_sub(start_ns);
        if start_ns == 0 || length_ns >= interval_ns {
            // What nobody has looked at for an interval has no queue that stands.
            let is_known = start_ns != 0 && length_ns < interval_ns.saturating_mul(2);
            self.begin_interval(start_ns, now_ns, waited_ns, is_known.then_some(target_ns));
        } else if waited_ns < self.shortest_ns.load(Relaxed) {
            // Relaxed: as above. A store that overwrites a smaller one is mended by the next call.
            self.shortest_ns.store(waited_ns, Relaxed);
        }
        waited_ns > target_ns.saturating_mul(2) && self.is_overloaded()
    }

    /// Begins an interval, and judges the one before by the target, if anything is known of it.
    fn begin_interval(&self, before_ns: u64, now_ns: u64, waited_ns: u64, target_ns: Option<u64>) {
        let begun = self
            .interval_start_ns
            // Relaxed, Relaxed: as above; of several workers one begins the interval.
            .compare_exchange(before_ns, now_ns, Relaxed, Relaxed);
        if begun.is_err() {
            return;
        }
        let was_overloaded = self.is_overloaded();
        let fine_part = if was_overloaded { FINE_PART } else { 1 };
        // Relaxed: as above.
        let shortest_ns = self.shortest_ns.load(Relaxed);
        let stands = target_ns.is_some_and(|target_ns| shortest_ns > target_ns / fine_part);
        let fine_in_a_row = match stands {
            true => 0,
            // Relaxed: as above.
            false => self.fine_in_a_row.load(Relaxed).saturating_add(1),
        };
        let is_known = target_ns.is_some();
        let lasts = is_known && was_overloaded && fine_in_a_row < FINE_IN_A_ROW;
        // Relaxed, Relaxed, Relaxed: as above.
        self.fine_in_a_row.store(fine_in_a_row, Relaxed);
        self.is_overloaded.store(stands || lasts, Relaxed);
        self.shortest_ns.store(waited_ns, Relaxed);
    }

    /// By what calls take now: a slow phase that is over must not make for a long interval.
    fn interval_ns(&self, target_ns: u64) -> u64 {
        self.interval_ns.max(target_ns.saturating_mul(4))
    }

    /// A worker found nothing to do: whoever comes next does not wait.
    pub(super) fn queue_was_empty(&self) {
        // Relaxed: as above.
        if self.shortest_ns.load(Relaxed) != 0 {
            // Relaxed: as above.
            self.shortest_ns.store(0, Relaxed);
        }
    }

    /// Whether a call that would wait for so long is refused at the door. If no worker has taken
    /// anything for two intervals, nobody knows whether the queue stands still.
    pub(super) fn refuses(&self, wait_ns: u64, service_ns: u64, now: impl Fn() -> Instant) -> bool {
        if !self.is_overloaded() || wait_ns <= self.longest_wait_ns(service_ns) {
            return false;
        }
        let now_ns = nanos(now().saturating_duration_since(self.epoch));
        // Relaxed: as above.
        let length_ns = now_ns.saturating_sub(self.interval_start_ns.load(Relaxed));
        length_ns
            < self
                .interval_ns(self.target_ns.max(service_ns))
                .saturating_mul(2)
    }

    /// Whether the queue has stood for an interval.
    pub(super) fn is_overloaded(&self) -> bool {
        // Relaxed: as above.
        self.is_overloaded.load(Relaxed)
    }

    /// The longest wait that is worth its place in a queue that stands. Less than what is refused at
    /// the take, as the wait is an estimate and a refusal at the door is the faster one.
    fn longest_wait_ns(&self, service_ns: u64) -> u64 {
        self.target_ns.max(service_ns).saturating_mul(3) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::{CoDel, Standing};
    use std::time::{Duration, Instant};

    /// Takes a call every millisecond of `[from, to)` that has waited for `waited_ms`; how many were
    /// refused.
    fn take(
        standing: &Standing,
        epoch: Instant,
        [from, to]: [u64; 2],
        waited_ms: u64,
        service_ns: u64,
    ) -> usize {
        (from..to)
            .filter(|at| {
                let (waited, now) = (Duration::from_millis(waited_ms), Duration::from_millis(*at));
                standing.has_waited_too_long(waited, epoch + now, service_ns)
            })
            .count()
    }

    #[test]
    fn a_burst_is_let_through_and_a_queue_that_stands_is_not() {
        let epoch = Instant::now();
        let standing = Standing::new(CoDel::default(), epoch);
        assert_eq!(take(&standing, epoch, [0, 50], 80, 0), 0, "a burst");
        assert_eq!(take(&standing, epoch, [50, 51], 1, 0), 0, "which was over");
        assert_eq!(take(&standing, epoch, [51, 199], 80, 0), 0, "another one");
        assert!(!standing.is_overloaded());
        assert_eq!(take(&standing, epoch, [200, 300], 80, 0), 100, "it stood");
        assert_eq!(take(&standing, epoch, [300, 400], 9, 0), 0, "not too long");
        assert!(standing.is_overloaded(), "9 ms are above the target");
        assert_eq!(take(&standing, epoch, [400, 501], 1, 0), 0);
        assert!(standing.is_overloaded(), "one fine interval says little");
        assert_eq!(take(&standing, epoch, [501, 600], 80, 0), 99);
        assert_eq!(take(&standing, epoch, [600, 1_700], 4, 0), 0);
        assert!(standing.is_overloaded(), "4 ms may be our own doing");
        assert_eq!(take(&standing, epoch, [1_700, 2_701], 1, 0), 0);
        assert!(!standing.is_overloaded(), "eight in a row");
        assert_eq!(take(&standing, epoch, [2_701, 2_790], 80, 0), 0, "a burst");
    }

    #[test]
    fn where_calls_take_long_a_wait_of_one_call_is_no_standing_queue() {
        let epoch = Instant::now();
        let standing = Standing::new(CoDel::default(), epoch);
        let service_ns = 200_000_000;
        assert_eq!(take(&standing, epoch, [0, 5_000], 190, service_ns), 0);
        assert!(!standing.is_overloaded());
        assert!(take(&standing, epoch, [5_000, 8_000], 500, service_ns) > 1_000);
        assert_eq!(standing.longest_wait_ns(service_ns), 300_000_000);
        assert_eq!(standing.longest_wait_ns(0), 7_500_000);
    }

    #[test]
    fn what_was_before_a_quiet_night_is_forgotten() {
        let epoch = Instant::now();
        let standing = Standing::new(CoDel::default(), epoch);
        assert!(take(&standing, epoch, [0, 1_000], 80, 0) > 0);
        let morning = 8 * 3_600_000;
        assert_eq!(take(&standing, epoch, [morning, morning + 90], 80, 0), 0);
    }

    #[test]
    fn a_queue_that_was_empty_does_not_stand() {
        let epoch = Instant::now();
        let standing = Standing::new(CoDel::default(), epoch);
        assert!(take(&standing, epoch, [1, 1_000], 80, 0) > 0);
        assert!(standing.is_overloaded());
        for interval in 10..20 {
            let from = interval * 100;
            take(&standing, epoch, [from, from + 1], 80, 0);
            standing.queue_was_empty();
        }
        assert!(!standing.is_overloaded());
    }

    #[test]
    fn the_door_refuses_nobody_for_what_was_before_a_quiet_night() {
        let epoch = Instant::now();
        let standing = Standing::new(CoDel::default(), epoch);
        assert!(take(&standing, epoch, [1, 1_000], 80, 0) > 0);
        let refuses = |at, wait| standing.refuses(wait, 0, || epoch + Duration::from_millis(at));
        let (short, long) = (7_000_000, 8_000_000);
        assert!(refuses(1_001, long) && !refuses(1_001, short));
        assert!(!refuses(1_000 + 8 * 3_600_000, long));
    }

    #[test]
    fn an_interval_of_a_slow_phase_ends_with_it() {
        let epoch = Instant::now();
        let standing = Standing::new(CoDel::default(), epoch);
        let slow_ns = 30_000_000_000;
        take(&standing, epoch, [1, 2], 80, slow_ns);
        assert!(
            take(&standing, epoch, [2, 500], 80, 0) > 300,
            "judged after 100 ms"
        );
    }
}
