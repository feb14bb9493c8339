//! What each worker says of itself, on cache lines of its own: it is written around every call, and
//! read by the watchdog and by whoever wants to know what runs.

use crate::stats::nanos;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

/// One worker's record. Only the worker writes it, but for `is_stuck`.
#[derive(Debug)]
pub(super) struct Record {
    /// The pool's start, from which `since_ns` counts.
    epoch: Instant,
    /// Since when foreign code has the thread, or had it a little earlier: the clock is not read for each
    /// short call; 0 = it does not.
    since_ns: AtomicU64,
    /// How often foreign code got the thread, or got on with a result in parts: tells one call, or part,
    /// from the next.
    number: AtomicU64,
    /// What the call is at: a [`Stage`].
    stage: AtomicU8,
    /// The kind of the session that the call runs in; 0 = it is no call, but sessions are closed.
    kind: AtomicU64,
    /// The caller's own number for the call; 0 = none was given.
    tag: AtomicU64,
    /// Calls that ran to their end.
    completed: AtomicU64,
    /// Those of them that succeeded, as far as the backend is concerned.
    succeeded: AtomicU64,
    /// Those of them whose service time was taken.
    timed: AtomicU64,
    /// Their service times, added up.
    service_ns: AtomicU64,
    /// The squares of their service times, added up; the unit is 1,024 ns squared. It may wrap.
    service_squares: AtomicU64,
    sessions: AtomicUsize,
    /// The operating system's number for the thread; 0 = it has not begun.
    thread_id: AtomicI32,
    /// The watchdog counts this worker as stuck.
    is_stuck: AtomicBool,
}

/// Service times are squared in units of 2^10 ns, so that the sum has room for years of seconds.
const SQUARED_UNIT_SHIFT: u32 = 10;

/// What calls took, added up. The sums may wrap: only differences mean something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) completed: u64,
    pub(super) timed: u64,
    pub(super) service_ns: u64,
    service_squares: u64,
}

impl Taken {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            completed: self.completed.wrapping_add(other.completed),
            timed: self.timed.wrapping_add(other.timed),
            service_ns: self.service_ns.wrapping_add(other.service_ns),
            service_squares: self.service_squares.wrapping_add(other.service_squares),
        }
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            completed: self.completed.wrapping_sub(before.completed),
            timed: self.timed.wrapping_sub(before.timed),
            service_ns: self.service_ns.wrapping_sub(before.service_ns),
            service_squares: self.service_squares.wrapping_sub(before.service_squares),
        }
    }

    /// The mean service time; zero if none was taken.
    pub(super) fn mean(self) -> Duration {
        Duration::from_nanos(self.service_ns.checked_div(self.timed).unwrap_or(0))
    }

    /// The root of the mean square of the service times; zero if none was taken.
    pub(super) fn root_mean_square(self) -> Duration {
        let mean_square = self.service_squares.checked_div(self.timed).unwrap_or(0);
        Duration::from_nanos(mean_square.isqrt() << SQUARED_UNIT_SHIFT)
    }
}

/// What a call is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// Its outcome.
    Outcome,
    /// What it does after its outcome.
    Rest,
    /// It waits for whoever reads that.
    Waiting,
}

/// What foreign code has a worker's thread for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) kind: u64,
    pub(super) tag: Option<u64>,
    number: u64,
    since_ns: u64,
}

impl Record {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            since_ns: AtomicU64::new(0),
            number: AtomicU64::new(0),
            stage: AtomicU8::new(Stage::Outcome as u8),
            kind: AtomicU64::new(0),
            tag: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            timed: AtomicU64::new(0),
            service_ns: AtomicU64::new(0),
            service_squares: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
            thread_id: AtomicI32::new(0),
            is_stuck: AtomicBool::new(false),
        }
    }

    pub(super) fn thread_began(&self, thread_id: i32) {
        // Relaxed: a statistic with one writer, as all that follows but `is_stuck`.
        self.thread_id.store(thread_id, Relaxed);
    }

    /// The OS's number for the worker's thread; `None` before it began.
    pub(super) fn thread_id(&self) -> Option<i32> {
        // Relaxed: as above.
        Some(self.thread_id.load(Relaxed)).filter(|id| *id != 0)
    }

    /// A moment as `begins` takes it.
    pub(super) fn since_ns(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch)).max(1)
    }

    /// Foreign code gets the thread, for a call of `kind`, or with 0 to close sessions.
    pub(super) fn begins(&self, kind: u64, tag: u64, since_ns: u64) {
        // Relaxed, all of them: published by the store below.
        self.number.store(self.number.load(Relaxed) + 1, Relaxed);
        self.kind.store(kind, Relaxed);
        self.tag.store(tag, Relaxed);
        // Release: partner of the Acquire in `running`.
        self.since_ns.store(since_ns, Release);
    }

    /// Foreign code has given the thread back. True if it was counted as stuck meanwhile.
    pub(super) fn returns(&self) -> bool {
        // Relaxed: as above.
        self.since_ns.store(0, Relaxed);
        // Relaxed: the watchdog comes by again and sees what this look was too early for.
        self.is_stuck.load(Relaxed)
    }

    /// What foreign code has the thread for now.
    pub(super) fn running(&self) -> Option<Running> {
        // Acquire: partner of the Release in `begins`. If the next call begins meanwhile the answer is a
        // mixture of two calls; at the next look it has another number then.
        let since_ns = self.since_ns.load(Acquire);
        (since_ns != 0).then(|| Running {
            // Relaxed, all of them: ordered by the Acquire.
            number: self.number.load(Relaxed),
            kind: self.kind.load(Relaxed),
            tag: Some(self.tag.load(Relaxed)).filter(|tag| *tag != 0),
            since_ns,
        })
    }

    /// When the call that runs began, or a little earlier; `None` between two calls.
    pub(super) fn began(&self) -> Option<Instant> {
        // Relaxed: asked by the worker itself.
        let since_ns = self.since_ns.load(Relaxed);
        (since_ns != 0).then(|| self.epoch + Duration::from_nanos(since_ns))
    }

    /// The call has given its outcome and goes on, or has done a further part.
    pub(super) fn goes_on(&self) {
        self.set_stage(Stage::Rest);
        // Relaxed, Relaxed: as above. The patrol begins to count anew.
        self.number.store(self.number.load(Relaxed) + 1, Relaxed);
    }

    /// The call waits for whoever reads what it does after its outcome.
    pub(super) fn waits(&self) {
        self.set_stage(Stage::Waiting);
    }

    /// A call that went on after its outcome has ended.
    pub(super) fn has_ended(&self) {
        self.set_stage(Stage::Outcome);
    }

    fn set_stage(&self, stage: Stage) {
        // Relaxed: as above.
        self.stage.store(stage as u8, Relaxed);
    }

    /// Whether the call goes on after its outcome.
    pub(super) fn is_answered(&self) -> bool {
        // Relaxed: a hint.
        self.stage.load(Relaxed) != Stage::Outcome as u8
    }

    /// Whether the call waits for its reader, and not for its library.
    pub(super) fn is_waiting(&self) -> bool {
        // Relaxed: a hint.
        self.stage.load(Relaxed) == Stage::Waiting as u8
    }

    /// How long it has run.
    pub(super) fn age(&self, running: &Running, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
            .saturating_sub(Duration::from_nanos(running.since_ns))
    }

    /// Counts the worker as stuck, or no longer; whether that is news. Under the lock of whoever
    /// counts.
    pub(super) fn set_stuck(&self, is_stuck: bool) -> bool {
        // Relaxed, Relaxed: written under a lock only.
        let before = self.is_stuck.load(Relaxed);
        self.is_stuck.store(is_stuck, Relaxed);
        before != is_stuck
    }

    pub(super) fn is_stuck(&self) -> bool {
        // Relaxed: a hint.
        self.is_stuck.load(Relaxed)
    }

    pub(super) fn call_completed(&self) {
        // Relaxed, Relaxed: as above.
        self.completed
            .store(self.completed.load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn call_succeeded(&self) {
        // Relaxed, Relaxed: as above.
        self.succeeded
            .store(self.succeeded.load(Relaxed) + 1, Relaxed);
    }

    /// Notes what a call took.
    pub(super) fn call_took(&self, service: Duration) {
        let nanos = nanos(service);
        let root = nanos >> SQUARED_UNIT_SHIFT;
        let add = |sum: &AtomicU64, value: u64| {
            // Relaxed, Relaxed: as above.
            sum.store(sum.load(Relaxed).wrapping_add(value), Relaxed);
        };
        add(&self.timed, 1);
        add(&self.service_ns, nanos);
        add(&self.service_squares, root.saturating_mul(root));
    }

    /// What all calls took so far.
    pub(super) fn taken(&self) -> Taken {
        // Relaxed, all of them: as above.
        Taken {
            completed: self.completed.load(Relaxed),
            timed: self.timed.load(Relaxed),
            service_ns: self.service_ns.load(Relaxed),
            service_squares: self.service_squares.load(Relaxed),
        }
    }

    pub(super) fn completed(&self) -> u64 {
        // Relaxed: as above.
        self.completed.load(Relaxed)
    }

    pub(super) fn succeeded(&self) -> u64 {
        // Relaxed: as above.
        self.succeeded.load(Relaxed)
    }

    pub(super) fn sessions_open(&self, count: usize) {
        // Relaxed: as above.
        self.sessions.store(count, Relaxed);
    }

    pub(super) fn sessions(&self) -> usize {
        // Relaxed: as above.
        self.sessions.load(Relaxed)
    }
}
