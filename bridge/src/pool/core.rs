//! What a pool's workers, callers and handles share, and when its loops wake a worker.

use super::breaker::Breaker;
use super::counters::Counters;
use super::ending::Ending;
use super::idle::Idle;
use super::kinds::Kinds;
use super::lines::Lines;
use super::queue::Queue;
use super::record::{Record, Running};
use super::reserve::Reserve;
use super::running::RunningCall;
use super::sessions::SessionLimits;
use super::staff::Staff;
use super::stopping::Stoppable;
use super::warm::Warm;
use super::watchdog::Watchdog;
use super::worker::Job;
use crate::admission::{Admission, Refusal};
use crate::error::SubmitError;
use crate::quiet::drop_quietly;
use crate::spin::{Spin, cpus, learn_wake_cost, wake_cost};
use crate::stats::nanos;
use crate::visits::{Crowding, Progress, Tended};
use crossbeam_utils::CachePadded;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// A call that takes at least this long is learnt from by itself; of shorter ones, one stands for several.
pub(super) const LONG_CALL: Duration = Duration::from_micros(10);

/// What a worker runs.
type Current = Mutex<Option<Arc<dyn Stoppable>>>;

/// What workers, callers and handles share.
pub(crate) struct Core {
    pub(super) name: String,
    /// Workers, without the spare ones.
    pub(super) threads: usize,
    /// Workers that take calls from the start; the others stand by.
    pub(super) threads_at_start: usize,
    /// The pool finds its own size, and needs to know what each call takes.
    pub(super) is_sized: bool,
    pub(super) sessions: SessionLimits,
    pub(super) warm: Warm,
    pub(super) breaker: CachePadded<Breaker>,
    pub(super) spin: Spin,
    pub(super) started: Instant,
    /// When a worker was last woken, since `started`.
    pub(super) woken_at_ns: AtomicU64,
    pub(super) admission: Admission,
    pub(super) queue: Queue,
    pub(super) idle: CachePadded<Idle>,
    pub(super) reserve: CachePadded<Reserve<Thread>>,
    pub(super) staff: Staff,
    pub(super) kinds: Kinds,
    pub(super) lines: Lines,
    /// The call that each worker runs, if stuck ones are to be told to stop. Locked for a clone or a
    /// store.
    pub(super) current: Option<Vec<Current>>,
    pub(super) watchdog: Watchdog,
    pub(super) ending: CachePadded<Ending>,
    /// Protects nothing but the moment between a look at `ending` and the wait for a change of it;
    /// nothing foreign runs under it.
    pub(super) waiting: Mutex<()>,
    pub(super) worker_ended: Condvar,
    pub(super) counters: Counters,
}

impl Core {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.ending.has_begun()
    }

    /// Lets no more calls in. Workers finish what is queued and end.
    pub(super) fn begin_shutdown(&self) {
        self.ending.begin();
        self.idle.wake_all();
        self.reserve.end();
    }

    /// What the caller is told of a refusal.
    pub(super) fn refused(&self, refusal: Refusal) -> SubmitError {
        let pool = self.name.clone();
        let retry_after = self.admission.retry_after();
        match refusal {
            Refusal::Full { inside } => SubmitError::QueueFull {
                pool,
                in_flight: inside,
                retry_after,
            },
            Refusal::TooLate { wait } => SubmitError::WouldBeLate {
                pool,
                wait,
                retry_after,
            },
            Refusal::Overloaded { wait } => SubmitError::Overloaded {
                pool,
                wait,
                retry_after,
            },
        }
    }

    /// Whether calls take so long that each is timed.
    pub(super) fn takes_long(&self) -> bool {
        self.admission.service().is_none_or(|of| of >= LONG_CALL)
    }

    /// Adds a call that was let in. Whoever does must then see to it that a worker comes for it:
    /// by [`work_was_queued`](Self::work_was_queued), or by tending the pool.
    pub(super) fn queue_up(&self, job: Arc<dyn Job>) {
        self.queue.add(job);
        if self.ending.nobody_comes() {
            self.clear();
        }
    }

    /// Ends everything that waits with `ShutDown`.
    pub(super) fn clear(&self) {
        self.queue.clear();
        self.lines.clear();
    }

    /// Workers that do not stand idle, and are not stuck.
    pub(super) fn awake(&self) -> usize {
        let out = self.idle.count() + self.staff.stuck();
        self.reserve.active().saturating_sub(out)
    }

    /// The location whose call runs.
    pub(super) fn location_of(&self, running: &Running) -> Option<Arc<str>> {
        self.kinds.get(running.kind)?.label
    }

    /// Makes a call reachable for as long as a worker runs it, or no longer.
    pub(super) fn set_current(
        &self,
        worker: usize,
        what: impl FnOnce() -> Option<Arc<dyn Stoppable>>,
    ) {
        if let Some(current) = &self.current {
            let mut current = current[worker]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *current, what());
            drop(current);
            // It may be the last owner of what the caller gave.
            drop_quietly(before);
        }
    }

    /// Tells a worker's call to stop, if the pool does that.
    pub(super) fn tell_to_stop(&self, worker: usize, running: &Running) {
        let Some(current) = &self.current else { return };
        let current = current[worker]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let what = current.clone();
        drop(current);
        // A call is put there before the record says that it runs, and taken away after, so this one
        // is meant if the record has not changed.
        if let Some(what) = what
            && self.counters.of(worker).running().as_ref() == Some(running)
        {
            what.tell_to_stop();
            self.watchdog.interrupt(what);
        }
    }

    /// What runs now.
    pub(super) fn running_calls(&self) -> Vec<RunningCall> {
        let now = Instant::now();
        let call = |record: &Record| {
            let running = record.running()?;
            Some(RunningCall {
                location: self.location_of(&running),
                tag: running.tag,
                age: record.age(&running, now),
                thread_id: record.thread_id()?,
                is_stuck: record.is_stuck(),
            })
        };
        self.counters.records().filter_map(call).collect()
    }

    /// Notes when a worker was last woken.
    pub(super) fn is_waking(&self) {
        let since_start = nanos(self.started.elapsed());
        // Relaxed: a measurement; the wake itself orders it before the worker's look.
        self.woken_at_ns.store(since_start, Relaxed);
    }

    /// Whether the worker that was woken last should be here by now, and waits for a CPU instead. The
    /// next one may find one sooner.
    fn searcher_is_overdue(&self, now: Instant) -> bool {
        // Relaxed: as in `is_waking`.
        let woken_at = Duration::from_nanos(self.woken_at_ns.load(Relaxed));
        let since_start = now.saturating_duration_since(self.started);
        since_start.saturating_sub(woken_at) > wake_cost() * 2
    }

    /// Learns what a wake costs, from a worker that has just been woken.
    pub(super) fn was_woken(&self) {
        let since_start = nanos(self.started.elapsed());
        // Relaxed: as in `is_waking`.
        let woken_at = self.woken_at_ns.load(Relaxed);
        learn_wake_cost(Duration::from_nanos(since_start.saturating_sub(woken_at)));
    }

    /// Whether serving what waits takes longer than waking one more worker does.
    pub(super) fn is_backlogged(&self) -> bool {
        let Some(service) = self.admission.service() else {
            return true;
        };
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        service.saturating_mul(waiting) >= wake_cost()
    }

    pub(super) fn worker_ended(&self) {
        if self.ending.worker_ended() {
            self.clear();
        }
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.worker_ended.notify_all();
    }

    /// Waits for the workers to end, for at most `limit`; how many are still with foreign code. A
    /// worker that has not ended for want of a CPU is not one of them.
    pub(super) fn wait_for_workers(&self, limit: Duration) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (_waiting, _) = self
            .worker_ended
            .wait_timeout_while(waiting, limit, |()| self.ending.workers() > 0)
            .unwrap_or_else(PoisonError::into_inner);
        self.counters.busy().min(self.ending.workers())
    }
}

impl Tended for Core {
    fn tend(&self) {
        self.idle.tend();
        if self.awake() == 0 {
            self.idle.wake_idle(|| self.is_waking());
        }
    }

    fn look(&self, progress: &mut Progress, now: Option<Instant>) {
        if self.idle.count() == 0 || self.queue.is_empty() {
            progress.since = None;
            return;
        }
        let is_searching = self.idle.is_searching();
        if is_searching && !now.is_some_and(|now| self.searcher_is_overdue(now)) {
            return;
        }
        let ended = self.admission.left();
        if progress.since.is_none() || progress.ended != ended {
            *progress = Progress { ended, since: now };
        }
        // A call of a short kind that hangs: the estimate says that the others are soon served.
        let stands_still = || {
            let (Some(since), Some(now)) = (progress.since, now) else {
                return false;
            };
            now.saturating_duration_since(since) >= wake_cost()
        };
        if !(self.awake() == 0 || self.is_backlogged() || stands_still()) {
            return;
        }
        if is_searching {
            self.idle.wake_another(|| self.is_waking());
        } else {
            self.idle.wake_idle(|| self.is_waking());
        }
    }

    fn leave(&self) {
        self.idle.leave();
        if !self.queue.is_empty() {
            Tended::work_was_queued(self);
        }
    }

    fn work_was_queued(&self) {
        self.idle.work_was_queued(|| self.is_waking());
    }

    fn crowding(&self) -> Crowding {
        if self.awake() < cpus() {
            return Crowding::Room;
        }
        let is_short = self.admission.service().is_some_and(|of| of < wake_cost());
        if is_short && !self.queue.is_empty() {
            Crowding::Swamped
        } else {
            Crowding::Full
        }
    }
}
