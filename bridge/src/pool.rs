//! A named, bounded pool of workers: the only place where foreign code may block.
//!
//! One pool is one bulkhead: when its library hangs, its own calls wait, are refused or run into
//! their deadlines, and nobody else notices. All threads are made at start, so running out of them is
//! a clear error then and never a surprise later; what comes and goes is the [session](SessionKind).
//!
//! ```
//! use pontoon_bridge::Pool;
//! use std::time::Duration;
//!
//! let pool = Pool::named("sums").threads(2).max_queue(16).build()?;
//! let call = pool.call(|()| 6 * 7).deadline(Duration::from_secs(5));
//! assert_eq!(futures_lite::future::block_on(call.submit())?, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod cell;
pub(crate) mod claimant;
pub(crate) mod ending;
mod errand;
pub(crate) mod idle;
mod queue;
mod serve;
mod session;
mod submission;
mod watchdog;
mod worker;

pub use builder::PoolBuilder;
pub use session::{Session, SessionKind};
pub use submission::Submission;
pub(crate) use worker::block_signals;

use crate::admission::Admission;
use crate::call::CallContext;
use crate::spin::{Spin, cpus, learn_wake_cost, wake_cost};
use crate::stats::Counter;
use crate::visits::{Crowding, Progress, Tended};
use crossbeam_utils::CachePadded;
use ending::Ending;
use idle::Idle;
use queue::Queue;
use serve::Bound;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use watchdog::Watchdog;
use worker::Job;

/// What workers, callers and handles share.
pub(crate) struct Core {
    name: String,
    threads: usize,
    session_idle: Duration,
    spin: Spin,
    started: Instant,
    /// When a worker was last woken, since `started`.
    woken_at_ns: AtomicU64,
    pub(crate) admission: Admission,
    queue: Queue,
    idle: CachePadded<Idle>,
    watchdog: Watchdog,
    ending: CachePadded<Ending>,
    /// Protects nothing but the moment between a look at `ending` and the wait for a change of it;
    /// nothing foreign runs under it.
    waiting: Mutex<()>,
    worker_ended: Condvar,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    refused: Counter,
    panicked: Counter,
    expired: Counter,
    cancelled: Counter,
    late: Counter,
    sessions_opened: Counter,
    workers: Vec<CachePadded<Gauges>>,
}

/// What one worker says of itself, on cache lines of its own: it is written around every call.
#[derive(Default)]
struct Gauges {
    sessions: AtomicUsize,
    busy: AtomicBool,
    /// Calls that ran to their end.
    completed: AtomicU64,
}

impl Counters {
    fn new(threads: usize) -> Self {
        let workers = (0..threads).map(|_| CachePadded::default()).collect();
        Self {
            workers,
            ..Self::default()
        }
    }

    /// Notes how many sessions a worker keeps.
    fn sessions_open(&self, worker: usize, count: usize) {
        // Relaxed: a statistic with one writer.
        self.workers[worker].sessions.store(count, Relaxed);
    }

    fn sessions(&self) -> usize {
        let sessions = |worker: &CachePadded<Gauges>| {
            // Relaxed: a statistic.
            worker.sessions.load(Relaxed)
        };
        self.workers.iter().map(sessions).sum()
    }

    /// Notes that foreign code runs on a worker, or no longer does.
    fn set_busy(&self, worker: usize, busy: bool) {
        // Relaxed: a statistic with one writer.
        self.workers[worker].busy.store(busy, Relaxed);
    }

    /// Workers that run foreign code now.
    fn busy(&self) -> usize {
        let busy = |worker: &&CachePadded<Gauges>| {
            // Relaxed: a statistic.
            worker.busy.load(Relaxed)
        };
        self.workers.iter().filter(busy).count()
    }

    /// Notes a call that ran to its end.
    fn call_completed(&self, worker: usize) {
        let completed = &self.workers[worker].completed;
        // Relaxed, Relaxed: a statistic with one writer.
        completed.store(completed.load(Relaxed) + 1, Relaxed);
    }

    fn completed(&self) -> u64 {
        let completed = |worker: &CachePadded<Gauges>| {
            // Relaxed: a statistic.
            worker.completed.load(Relaxed)
        };
        self.workers.iter().map(completed).sum()
    }
}

impl Core {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn is_shutting_down(&self) -> bool {
        self.ending.has_begun()
    }

    /// Lets no more calls in. Workers finish what is queued and end.
    fn begin_shutdown(&self) {
        self.ending.begin();
        self.idle.wake_all();
    }

    /// Adds a call that was let in. Whoever does must then see to it that a worker comes for it:
    /// by [`work_was_queued`](Self::work_was_queued), or by tending the pool.
    fn queue_up(&self, job: Arc<dyn Job>) {
        self.queue.add(job);
        if self.ending.nobody_comes() {
            self.queue.clear();
        }
    }

    /// Workers that do not stand idle.
    fn awake(&self) -> usize {
        self.threads.saturating_sub(self.idle.count())
    }

    /// Notes when a worker was last woken.
    fn is_waking(&self) {
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
    fn was_woken(&self) {
        let since_start = nanos(self.started.elapsed());
        // Relaxed: as in `is_waking`.
        let woken_at = self.woken_at_ns.load(Relaxed);
        learn_wake_cost(Duration::from_nanos(since_start.saturating_sub(woken_at)));
    }

    /// Whether serving what waits takes longer than waking one more worker does.
    fn is_backlogged(&self) -> bool {
        let Some(service) = self.admission.service() else {
            return true;
        };
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        service.saturating_mul(waiting) >= wake_cost()
    }

    fn worker_ended(&self) {
        if self.ending.worker_ended() {
            self.queue.clear();
        }
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.worker_ended.notify_all();
    }

    /// Waits for the workers to end, for at most `limit`; how many are still with foreign code. A
    /// worker that has not ended for want of a CPU is not one of them.
    fn wait_for_workers(&self, limit: Duration) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (_waiting, _) = self
            .worker_ended
            .wait_timeout_while(waiting, limit, |()| self.ending.workers() > 0)
            .unwrap_or_else(PoisonError::into_inner);
        self.counters.busy().min(self.ending.workers())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Tended for Core {
    fn tend(&self) {
        self.idle.tend();
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
        if !(self.is_asleep() || self.is_backlogged() || stands_still()) {
            return;
        }
        if is_searching {
            self.idle.wake_another(|| self.is_waking());
        } else {
            self.idle.work_was_queued(|| self.is_waking());
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

    fn is_asleep(&self) -> bool {
        self.awake() == 0
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

/// What a pool has done and what it does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Worker threads.
    pub threads: usize,
    /// Workers that sleep.
    pub idle: usize,
    /// Calls inside: running or waiting.
    pub in_flight: usize,
    /// Calls let in.
    pub submitted: u64,
    /// Calls refused at the door.
    pub refused: u64,
    /// Calls that ran to their end, also by panicking, also when nobody waited any more.
    pub completed: u64,
    /// Calls that panicked.
    pub panicked: u64,
    /// Calls whose deadline passed, waiting or running.
    pub expired: u64,
    /// Calls whose caller left, waiting or running.
    pub cancelled: u64,
    /// Outcomes that nobody waited for any more.
    pub late: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions open now.
    pub sessions: usize,
}

/// How a pool's shutdown went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownReport {
    /// The pool.
    pub pool: String,
    /// Workers whose call had not returned when the limit was reached; their threads are left
    /// behind and end when the call returns or the process does.
    pub still_running: usize,
}

/// The handle that ends the pool when the last clone of it goes.
struct Owner {
    core: Arc<Core>,
    /// Owns the OS threads. Its own queue is never on the path of a call.
    _threads: Mutex<threadpool::ThreadPool>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.begin_shutdown();
    }
}

/// A handle to a pool, with one kind of session; cheap to clone, any thread. See the
/// [module](self).
///
/// When the last handle is dropped the workers finish what is queued and end.
pub struct Pool<S = ()> {
    owner: Arc<Owner>,
    bound: Arc<Bound<S>>,
}

impl Pool {
    /// Starts to describe a pool. `name` appears in errors, logs and thread names.
    pub fn named(name: impl Into<String>) -> PoolBuilder {
        PoolBuilder::new(name.into())
    }
}

impl<S: 'static> Pool<S> {
    /// The same workers and the same bounds with sessions of another kind.
    #[must_use]
    pub fn with_sessions<S2: 'static>(&self, kind: SessionKind<S2>) -> Pool<S2> {
        Pool {
            owner: Arc::clone(&self.owner),
            bound: Arc::new(Bound {
                core: Arc::clone(self.core()),
                kind,
            }),
        }
    }

    /// Describes a call that runs `work` in a worker's session. It starts when the result is
    /// awaited or [submitted](Submission::submit).
    pub fn call<T, F>(
        &self,
        work: F,
    ) -> Submission<'_, S, impl FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        self.call_with(move |session, _| work(session.get()))
    }

    /// As [`call`](Self::call), for work that looks at its deadline or judges its session.
    pub fn call_with<T, F>(&self, work: F) -> Submission<'_, S, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
    {
        Submission::new(self, work)
    }

    /// The pool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core().name
    }

    /// What it has done and does.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let core = self.core();
        let counters = &core.counters;
        PoolStats {
            threads: core.threads,
            idle: core.idle.count(),
            in_flight: core.admission.in_flight(),
            submitted: core.admission.entered(),
            refused: counters.refused.get(),
            completed: counters.completed(),
            panicked: counters.panicked.get(),
            expired: counters.expired.get(),
            cancelled: counters.cancelled.get(),
            late: counters.late.get(),
            sessions_opened: counters.sessions_opened.get(),
            sessions: counters.sessions(),
        }
    }

    /// Lets no more calls in and returns at once. What is queued still runs.
    pub fn begin_shutdown(&self) {
        self.core().begin_shutdown();
    }

    /// Lets no more calls in, runs what is queued, and waits for it for at most `limit`: never for
    /// a call that hangs. What is queued then ends with
    /// [`CallError::ShutDown`](crate::CallError::ShutDown).
    ///
    /// It blocks: do not call it on a loop's thread.
    #[must_use = "the report names what is still stuck"]
    pub fn shutdown(&self, limit: Duration) -> ShutdownReport {
        let core = self.core();
        core.begin_shutdown();
        let still_running = core.wait_for_workers(limit);
        core.ending.give_up();
        core.queue.clear();
        ShutdownReport {
            pool: core.name.clone(),
            still_running,
        }
    }

    fn core(&self) -> &Arc<Core> {
        &self.owner.core
    }
}

impl<S> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Self {
            owner: Arc::clone(&self.owner),
            bound: Arc::clone(&self.bound),
        }
    }
}

impl<S> fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = &self.owner.core;
        f.debug_struct("Pool")
            .field("name", &core.name)
            .field("threads", &core.threads)
            .field("in_flight", &core.admission.in_flight())
            .field("queued", &core.queue.len())
            .finish_non_exhaustive()
    }
}
