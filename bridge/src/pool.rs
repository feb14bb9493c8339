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

mod awaited;
mod backoff;
mod batch;
mod batching;
mod breaker;
mod builder;
mod cell;
pub(crate) mod claimant;
mod core;
mod counters;
mod eintr;
pub(crate) mod ending;
mod errand;
mod here;
pub(crate) mod idle;
mod kinds;
mod line;
mod lines;
mod member;
mod opening;
mod outing;
mod patrol;
mod queue;
mod record;
pub(crate) mod reserve;
mod running;
mod serve;
mod session;
mod sessions;
mod signals;
mod sizing;
mod staff;
mod stopping;
mod submission;
mod together;
mod warm;
mod watchdog;
mod whereabouts;
mod worker;

pub use batch::{Batch, BatchedCall};
pub use batching::{BatchLimits, Batching, ForBatch};
pub use breaker::BreakerState;
pub use builder::PoolBuilder;
pub use here::{part_done, wait_for_reader};
pub use running::RunningCall;
pub use session::{Session, SessionKind};
pub(crate) use signals::block_signals;
pub use submission::Submission;

use self::core::Core;
use crate::call::CallContext;
use serve::{Bound, Callers};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a pool has done and what it does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Worker threads, without the spare ones.
    pub threads: usize,
    /// How many calls may run at once now, beside stuck ones: as many as there are threads, or fewer if
    /// the pool [finds its own size](PoolBuilder::threads_auto).
    pub limit: usize,
    /// Spare workers: how many stuck calls are replaced at most.
    pub max_stuck: usize,
    /// Calls that run for longer than they should. As many spare workers serve for them, as far as
    /// there are any.
    pub stuck: usize,
    /// Workers whose thread foreign code has now, stuck ones included.
    pub running: usize,
    /// Workers that sleep.
    pub idle: usize,
    /// Calls inside: running or waiting.
    pub in_flight: usize,
    /// Calls let in.
    pub submitted: u64,
    /// Calls refused at the door.
    pub refused: u64,
    /// Calls that a worker refused to run: they had waited too long, had less time left than a call
    /// takes, or needed a session when none could be opened a moment ago.
    pub shed: u64,
    /// Whether calls wait in a queue that does not get shorter; see [`CoDel`](crate::CoDel).
    pub is_overloaded: bool,
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
    /// Calls that the backend failed, by what they [say](Session::backend_failed).
    pub backend_failed: u64,
    /// Whether the backend is believed to work; see [`PoolBuilder::breaker`].
    pub breaker: BreakerState,
    /// How often the breaker has opened.
    pub breaker_opened: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions that could not be opened.
    pub sessions_failed: u64,
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
    /// Those calls, as far as foreign code still had them when the report was made.
    pub calls: Vec<RunningCall>,
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
    _callers: Arc<Callers<S>>,
}

impl Pool {
    /// Starts to describe a pool. `name` appears in errors, logs and thread names.
    pub fn named(name: impl Into<String>) -> PoolBuilder {
        PoolBuilder::new(name.into())
    }
}

impl<S: 'static> Pool<S> {
    fn new(owner: Arc<Owner>, bound: Arc<Bound<S>>) -> Self {
        Self {
            owner,
            _callers: Arc::new(Callers(Arc::clone(&bound))),
            bound,
        }
    }

    /// The same workers and the same bounds with sessions of another kind.
    #[must_use]
    pub fn with_sessions<S2: 'static>(&self, kind: SessionKind<S2>) -> Pool<S2> {
        let bound = Bound::new(Arc::clone(self.core()), kind);
        Pool::new(Arc::clone(&self.owner), bound)
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

    /// Whether calls on both handles run on the same workers, whatever their sessions.
    #[must_use]
    pub fn shares_workers_with<S2>(&self, other: &Pool<S2>) -> bool {
        Arc::ptr_eq(&self.owner, &other.owner)
    }

    /// How many calls may be inside, running and waiting together.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.core().admission.places()
    }

    /// What it has done and does.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let core = self.core();
        let counters = &core.counters;
        PoolStats {
            threads: core.threads,
            limit: core.staff.limit(),
            max_stuck: core.staff.max_stuck,
            stuck: core.staff.stuck(),
            running: counters.busy(),
            idle: core.idle.count(),
            in_flight: core.admission.in_flight(),
            submitted: core.admission.entered(),
            refused: counters.refused.get(),
            shed: counters.shed.get(),
            is_overloaded: core.admission.is_overloaded(),
            completed: counters.completed(),
            panicked: counters.panicked.get(),
            expired: counters.expired.get(),
            cancelled: counters.cancelled.get(),
            late: counters.late.get(),
            backend_failed: counters.backend_failed.get(),
            breaker: core.breaker.episode().state,
            breaker_opened: core.breaker.opened.get(),
            sessions_opened: counters.sessions_opened.get(),
            sessions_failed: counters.sessions_failed.get(),
            sessions: counters.sessions(),
        }
    }

    /// What runs on its workers now, in no order.
    #[must_use]
    pub fn running(&self) -> Vec<RunningCall> {
        self.core().running_calls()
    }

    /// Whether it lets no more calls in.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.core().is_shutting_down()
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
        core.clear();
        let calls = match still_running {
            0 => Vec::new(),
            _ => core.running_calls(),
        };
        ShutdownReport {
            pool: core.name.clone(),
            still_running,
            calls,
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
            _callers: Arc::clone(&self._callers),
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
