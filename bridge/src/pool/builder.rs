//! A pool's settings, and the making of its threads.

mod threads;

use super::breaker::Breaker;
use super::core::Core;
use super::counters::Counters;
use super::kinds::Kinds;
use super::lines::Lines;
use super::patrol::patrol;
use super::reserve::Reserve;
use super::serve::Bound;
use super::session::SessionKind;
use super::sessions::SessionLimits;
use super::sizing::Sizing;
use super::staff::Staff;
use super::warm::Warm;
use super::watchdog::{HOOK_THREADS, Watchdog};
use super::worker::work;
use super::{Owner, Pool};
use crate::admission::{Admission, CoDel};
use crate::call::Clock;
use crate::error::{BoxError, BuildError};
use crate::limit::Limiter;
use crate::pool::ending::Ending;
use crate::pool::idle::Idle;
use crate::pool::queue::Queue;
use crate::spin::Spin;
use std::panic::catch_unwind;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Describes a [`Pool`]; made by [`Pool::named`].
#[derive(Debug)]
pub struct PoolBuilder<S = ()> {
    name: String,
    threads: usize,
    /// The least calls that may run at once, if the pool finds its own size; `threads` is the most.
    threads_min: Option<usize>,
    max_queue: usize,
    sessions: SessionLimits,
    has_breaker: bool,
    stack_bytes: usize,
    spin: Spin,
    codel: Option<CoDel>,
    stuck_after: Duration,
    max_stuck: Option<usize>,
    interrupts_stuck: bool,
    kind: SessionKind<S>,
}

impl PoolBuilder {
    /// Worker threads unless said otherwise.
    pub const DEFAULT_THREADS: usize = 8;
    /// Waiting calls unless said otherwise.
    pub const DEFAULT_MAX_QUEUE: usize = 256;
    /// How long a session may idle unless said otherwise.
    pub const DEFAULT_SESSION_IDLE: Duration = Duration::from_secs(60);
    /// How long a session may idle before it is checked unless said otherwise.
    pub const DEFAULT_SESSION_CHECK_AFTER: Duration = Duration::from_secs(1);
    /// A worker's stack unless said otherwise.
    pub const DEFAULT_STACK_BYTES: usize = 2 << 20;
    /// How long a call may run before it counts as stuck unless said otherwise.
    pub const DEFAULT_STUCK_AFTER: Duration = Duration::from_secs(10);
    /// More threads than this is a mistake.
    pub const MAX_THREADS: usize = 4096;

    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            threads: Self::DEFAULT_THREADS,
            threads_min: None,
            max_queue: Self::DEFAULT_MAX_QUEUE,
            sessions: SessionLimits {
                idle: Self::DEFAULT_SESSION_IDLE,
                check_after: Self::DEFAULT_SESSION_CHECK_AFTER,
                max_age: Duration::MAX,
                max_uses: u64::MAX,
                min: 0,
            },
            has_breaker: true,
            stack_bytes: Self::DEFAULT_STACK_BYTES,
            spin: Spin::default(),
            codel: Some(CoDel::default()),
            stuck_after: Self::DEFAULT_STUCK_AFTER,
            max_stuck: None,
            interrupts_stuck: false,
            kind: SessionKind::new(|| Ok::<_, BoxError>(())),
        }
    }
}

impl<S: 'static> PoolBuilder<S> {
    /// How many calls run at once, each on a thread of its own; 1 to
    /// [`MAX_THREADS`](PoolBuilder::MAX_THREADS), default 8. Beside a stuck call another one may run: see
    /// [`max_stuck`](Self::max_stuck).
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self.threads_min = None;
        self
    }

    /// The pool finds out by itself how many calls should run at once, from `min` to `max`: as many as get
    /// more done, and no more. It makes `max` threads; a [`Limiter`](crate::Limiter) says how many of
    /// them take calls. `docs/concurrency-limit.md` shows how it fares.
    #[must_use]
    pub fn threads_auto(mut self, min: usize, max: usize) -> Self {
        self.threads = max;
        self.threads_min = Some(min);
        self
    }

    /// How many calls may wait while all threads are busy; default 256. With 0 a call is let in
    /// only while a thread is free.
    #[must_use]
    pub fn max_queue(mut self, max_queue: usize) -> Self {
        self.max_queue = max_queue;
        self
    }

    /// How long a session may idle before its worker closes it; default 60 s.
    #[must_use]
    pub fn session_idle(mut self, session_idle: Duration) -> Self {
        self.sessions.idle = session_idle;
        self
    }

    /// A session that has idled for this long is [checked](SessionKind::check) before it is used again;
    /// default 1 s. With zero every call has its session checked.
    #[must_use]
    pub fn session_check_after(mut self, session_check_after: Duration) -> Self {
        self.sessions.check_after = session_check_after;
        self
    }

    /// A session that is this old is replaced by a new one; default: never. Each is replaced up to a tenth
    /// earlier, at random, so that sessions that were opened together are not replaced together. A call
    /// that runs is not disturbed.
    #[must_use]
    pub fn session_max_age(mut self, session_max_age: Duration) -> Self {
        self.sessions.max_age = session_max_age;
        self
    }

    /// A session in which so many calls have run is replaced by a new one; default: never.
    #[must_use]
    pub fn session_max_uses(mut self, session_max_uses: u64) -> Self {
        self.sessions.max_uses = session_max_uses;
        self
    }

    /// So many sessions are kept open although nobody may need them; default 0, at most one for each of the
    /// [`threads`](Self::threads). They are opened in the background from the start on, not closed for
    /// idling but checked instead, and replaced when they go. If that fails it is tried again, as
    /// [`SessionKind::new`] says, and no call waits for it; as long as none of a kind is open, one worker
    /// only is kept from calls by that.
    ///
    /// The number is for each kind of session that the pool serves, so a pool with three locations keeps
    /// three times as many. The workers that are woken first have them.
    #[must_use]
    pub fn sessions_min(mut self, sessions_min: usize) -> Self {
        self.sessions.min = sessions_min;
        self
    }

    /// Whether calls are refused at once, with [`BackendDown`](crate::SubmitError::BackendDown), while
    /// what is behind the library is down; default: yes.
    ///
    /// The breaker opens when five sessions in a row could not be opened, none was, and no call has
    /// succeeded meanwhile, or when half of at least 20 calls in ten seconds
    /// [say](crate::Session::backend_failed) that the backend failed them. It refuses calls for one to two
    /// seconds, then lets one at a time find out, and closes when two have succeeded. If one fails it
    /// opens for up to twice as long as before, at most 30 s. Calls that wait already are not refused.
    ///
    /// A pool has one breaker, so its locations should have one backend.
    #[must_use]
    pub fn breaker(mut self, has_breaker: bool) -> Self {
        self.has_breaker = has_breaker;
        self
    }

    /// The stack of each worker, in bytes; default 2 MiB.
    #[must_use]
    pub fn stack_bytes(mut self, stack_bytes: usize) -> Self {
        self.stack_bytes = stack_bytes;
        self
    }

    /// How long a worker that has run out of work may look again before it sleeps; default
    /// [`Spin::Auto`]. On a machine with one CPU it is always off.
    #[must_use]
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// When the pool counts as overloaded and refuses what waits too long; `None`: it lets calls wait as
    /// long as their deadlines allow. Default: a target of 5 ms and an interval of 100 ms.
    #[must_use]
    pub fn codel(mut self, codel: impl Into<Option<CoDel>>) -> Self {
        self.codel = codel.into();
        self
    }

    /// A call that runs for longer than this is stuck: the log says where its thread is, and a spare
    /// worker comes in for it; default 10 s. It ends no call by itself.
    #[must_use]
    pub fn stuck_after(mut self, stuck_after: Duration) -> Self {
        self.stuck_after = stuck_after;
        self
    }

    /// How many stuck calls are replaced by a spare worker; default: as many as there are
    /// [`threads`](Self::threads), but none for a single one, which often means that the library must not be
    /// called twice at once. The spare threads are made at start and sleep until then. With 0 stuck calls are
    /// noted only.
    #[must_use]
    pub fn max_stuck(mut self, max_stuck: usize) -> Self {
        self.max_stuck = Some(max_stuck);
        self
    }

    /// Tells a stuck call to stop although its caller still waits: its
    /// [context](crate::CallContext::is_cancelled) says so, and its session's
    /// [interrupter](SessionKind::interrupter) is called. Default: no; then it is told when its caller
    /// leaves or its deadline passes, and not before.
    #[must_use]
    pub fn interrupt_stuck(mut self, interrupt: bool) -> Self {
        self.interrupts_stuck = interrupt;
        self
    }

    /// Gives each worker a session, opened on that worker on first use. It never leaves its thread
    /// and so need not be `Send`.
    #[must_use]
    pub fn session<S2: 'static, E: Into<BoxError>>(
        self,
        open: impl Fn() -> Result<S2, E> + Send + Sync + 'static,
    ) -> PoolBuilder<S2> {
        self.session_kind(SessionKind::new(open))
    }

    /// As [`session`](Self::session), with checks and interrupts.
    #[must_use]
    pub fn session_kind<S2: 'static>(self, kind: SessionKind<S2>) -> PoolBuilder<S2> {
        PoolBuilder {
            name: self.name,
            threads: self.threads,
            threads_min: self.threads_min,
            max_queue: self.max_queue,
            sessions: self.sessions,
            has_breaker: self.has_breaker,
            stack_bytes: self.stack_bytes,
            spin: self.spin,
            codel: self.codel,
            stuck_after: self.stuck_after,
            max_stuck: self.max_stuck,
            interrupts_stuck: self.interrupts_stuck,
            kind,
        }
    }

    /// Workers that come in for stuck ones.
    fn spare(&self) -> usize {
        let room = PoolBuilder::MAX_THREADS.saturating_sub(self.threads);
        let by_default = if self.threads == 1 { 0 } else { self.threads };
        self.max_stuck.unwrap_or(by_default.min(room))
    }

    /// Workers, spare workers, and the watchdog's threads.
    fn all_threads(&self) -> usize {
        self.threads + self.spare() + HOOK_THREADS + 1
    }

    fn invalid(&self, problem: String) -> BuildError {
        BuildError::Invalid {
            pool: self.name.clone(),
            problem,
        }
    }

    fn refused(&self, limit: String) -> BuildError {
        BuildError::ThreadRefused {
            pool: self.name.clone(),
            threads: self.threads,
            spare: self.spare(),
            limit,
        }
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.name.is_empty() || self.name.contains('\0') {
            return Err(self.invalid("a pool needs a name without NUL bytes".to_owned()));
        }
        if !(1..=PoolBuilder::MAX_THREADS).contains(&self.threads) {
            let max = PoolBuilder::MAX_THREADS;
            return Err(self.invalid(format!("threads = {}: give 1 to {max}", self.threads)));
        }
        if let Spin::For(limit) = self.spin
            && limit > Spin::MAX
        {
            let max = Spin::MAX;
            return Err(self.invalid(format!("spin for {limit:?}: give at most {max:?}")));
        }
        if let Some(min) = self.threads_min
            && !(1..=self.threads).contains(&min)
        {
            let max = self.threads;
            return Err(self.invalid(format!(
                "threads from {min} to {max}: give 1 to {max} for the least"
            )));
        }
        if self.threads.saturating_add(self.spare()) > PoolBuilder::MAX_THREADS {
            let (threads, spare, max) = (self.threads, self.spare(), PoolBuilder::MAX_THREADS);
            return Err(self.invalid(format!(
                "threads = {threads} and max_stuck = {spare}: give at most {max} together"
            )));
        }
        if self.sessions.min > self.threads {
            let (min, threads) = (self.sessions.min, self.threads);
            return Err(self.invalid(format!(
                "sessions_min = {min}: there are {threads} threads with one session of a kind each"
            )));
        }
        if self.sessions.max_uses == 0 || self.sessions.max_age.is_zero() {
            return Err(self.invalid(
                "session_max_uses and session_max_age must be more than 0: no session could be used"
                    .to_owned(),
            ));
        }
        if self.stuck_after.is_zero() {
            return Err(self.invalid("stuck_after = 0: every call would be stuck".to_owned()));
        }
        match threads::limit_below(self.all_threads()) {
            Some(limit) => Err(self.refused(limit)),
            None => Ok(()),
        }
    }

    /// Makes the pool and all its threads.
    ///
    /// # Errors
    ///
    /// [`BuildError::Invalid`] when a setting makes no sense, [`BuildError::ThreadRefused`] when
    /// the OS does not give the threads.
    pub fn build(self) -> Result<Pool<S>, BuildError> {
        self.check()?;
        Clock::get().map_err(|error| self.refused(format!("the OS refused one: {error}")))?;
        let workers = self.threads + self.spare();
        let threads = self.make_threads()?;
        let started = Instant::now();
        let (watchdog, ended) = Watchdog::new(4 * workers, started);
        let limiter = self.threads_min.map(|min| Limiter::new(min, self.threads));
        let at_start = limiter.as_ref().map_or(self.threads, Limiter::limit);
        let admission = Admission::new(self.threads, self.max_queue, self.codel);
        admission.resize(at_start, 0, self.threads);
        let current = || (0..workers).map(|_| Mutex::new(None)).collect();
        let core = Arc::new(Core {
            threads: self.threads,
            threads_at_start: at_start,
            is_sized: limiter.is_some(),
            sessions: self.sessions,
            warm: Warm::default(),
            breaker: Breaker::new(self.has_breaker, started).into(),
            spin: self.spin,
            started,
            woken_at_ns: AtomicU64::new(0),
            admission,
            queue: Queue::new(self.max_queue),
            idle: Idle::new(workers).into(),
            reserve: Reserve::new(at_start).into(),
            staff: Staff::new(at_start, self.spare()),
            kinds: Kinds::default(),
            lines: Lines::default(),
            current: self.interrupts_stuck.then(current),
            watchdog,
            ending: Ending::new(workers).into(),
            waiting: Mutex::new(()),
            worker_ended: Condvar::new(),
            counters: Counters::new(workers, started),
            name: self.name,
        });
        for index in 0..HOOK_THREADS {
            threads.execute(core.watchdog.hook_thread(index));
        }
        let (watched, stuck_after) = (Arc::downgrade(&core), self.stuck_after);
        let sizing = limiter.map(|limiter| Sizing::new(limiter, started));
        threads.execute(move || patrol(&watched, stuck_after, sizing, &ended));
        for index in 0..workers {
            let core = Arc::clone(&core);
            threads.execute(move || work(&core, index));
        }
        let bound = Bound::new(Arc::clone(&core), self.kind);
        let owner = Arc::new(Owner {
            core,
            _threads: Mutex::new(threads),
        });
        Ok(Pool::new(owner, bound))
    }

    /// `threadpool` makes all its threads at once and panics when the OS refuses one.
    fn make_threads(&self) -> Result<threadpool::ThreadPool, BuildError> {
        #[cfg(feature = "fault-points")]
        crate::faults::check(crate::faults::Point::ThreadStart)
            .map_err(|error| self.refused(error.to_string()))?;
        let builder = threadpool::Builder::new()
            .num_threads(self.all_threads())
            .thread_name(self.name.clone())
            .thread_stack_size(self.stack_bytes);
        catch_unwind(move || builder.build()).map_err(|panic| {
            drop(panic);
            self.refused(format!("the OS refused one ({})", threads::limits()))
        })
    }
}
