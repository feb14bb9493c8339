//! The circuit breaker of a pool: whether what is behind its library works, and if not, calls are
//! refused at the door until a few of them have shown that it does again.
//!
//! While it is closed, a call reads two words that are hardly ever written: one at the door, one before
//! it runs. Calls that succeed are counted on their worker's own cache line. The [machine](machine) that
//! decides is behind a lock, which is taken when something fails, when a call comes to a door that is not
//! closed, and once a second for the counts.

mod machine;

pub use machine::BreakerState;

pub(super) use machine::{Ended, Episode};

use self::machine::{MARK_EVERY, Machine, Succeeded, Transition};
use super::core::Core;
use crate::error::{SubmitError, whole_seconds};
use crate::quiet::run_quietly;
use crate::stats::{Counter, nanos};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The breaker of one pool.
#[derive(Debug)]
pub(super) struct Breaker {
    is_on: bool,
    /// From when all its times count.
    started: Instant,
    /// When the next call may be let in, at least 1; 0 = at any time.
    next_call_ns: AtomicU64,
    /// The episode's number × 4, and its state.
    episode: AtomicU64,
    next_mark_ns: AtomicU64,
    /// Nothing foreign runs under the lock.
    machine: Mutex<Machine>,
    /// How often it has opened.
    pub(super) opened: Counter,
}

impl Breaker {
    pub(super) fn new(is_on: bool, started: Instant) -> Self {
        Self {
            is_on,
            started,
            next_call_ns: AtomicU64::new(0),
            episode: AtomicU64::new(0),
            next_mark_ns: AtomicU64::new(if is_on { 0 } else { u64::MAX }),
            machine: Mutex::new(Machine::new()),
            opened: Counter::default(),
        }
    }

    /// What the calls that begin now are to name when they end.
    pub(super) fn episode(&self) -> Episode {
        // Relaxed: a call that begins while the state changes may count for either. A call that was
        // let in as a probe comes to its worker through the queue, which orders it after the change.
        let word = self.episode.load(Relaxed);
        Episode {
            number: word >> 2,
            state: match word & 3 {
                0 => BreakerState::Closed,
                1 => BreakerState::Open,
                _ => BreakerState::HalfOpen,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // Nothing under the lock panics half-way.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the machine, and what is seen of it without the lock.
    fn change<T>(&self, change: impl FnOnce(&mut Machine, Duration) -> T) -> T {
        let now = self.started.elapsed();
        let mut machine = self.lock();
        let changed = change(&mut machine, now);
        let Episode { number, state } = machine.episode();
        let state = match state {
            BreakerState::Closed => 0,
            BreakerState::Open => 1,
            BreakerState::HalfOpen => 2,
        };
        let next_call_ns = machine.next_call_at().map_or(0, |at| nanos(at).max(1));
        // Relaxed, Relaxed: as in `episode`; written under the lock only.
        self.episode.store(number << 2 | state, Relaxed);
        self.next_call_ns.store(next_call_ns, Relaxed);
        changed
    }
}

impl Core {
    /// Whether the breaker lets a call in now; if it does, and the call is not sent after all, it must be
    /// told so by [`call_was_not_sent`](Self::call_was_not_sent).
    pub(super) fn pass_breaker(&self) -> Result<(), SubmitError> {
        // Relaxed: as in `Breaker::episode`.
        let next_call_ns = self.breaker.next_call_ns.load(Relaxed);
        if next_call_ns == 0 {
            return Ok(());
        }
        let now_ns = nanos(self.breaker.started.elapsed());
        if now_ns < next_call_ns {
            return Err(self.broken(Duration::from_nanos(next_call_ns - now_ns)));
        }
        match self.breaker.change(Machine::admit) {
            Ok(transition) => {
                self.tell(transition);
                Ok(())
            }
            Err(wait) => Err(self.broken(wait)),
        }
    }

    fn broken(&self, wait: Duration) -> SubmitError {
        SubmitError::BackendDown {
            pool: self.name.clone(),
            retry_after: whole_seconds(wait),
        }
    }

    /// A call that the breaker let in was refused elsewhere.
    pub(super) fn call_was_not_sent(&self) {
        // Relaxed: as in `Breaker::episode`.
        if self.breaker.next_call_ns.load(Relaxed) != 0 {
            self.breaker.change(Machine::unsent);
        }
    }

    /// A call that was let in was not run: its caller left, or it had waited for too long.
    pub(super) fn call_was_not_run(&self, submitted: Instant) {
        // Relaxed: as in `Breaker::episode`.
        if self.breaker.next_call_ns.load(Relaxed) != 0 {
            let submitted = submitted.saturating_duration_since(self.breaker.started);
            self.breaker
                .change(|machine, now| machine.unrun(submitted, now));
        }
    }

    /// Something ended that began in `episode`. Calls that succeed need not be told while the breaker is
    /// closed.
    pub(super) fn backend_answered(&self, episode: Episode, ended: Ended) {
        if !self.breaker.is_on {
            return;
        }
        let succeeded = Succeeded {
            calls: self.counters.succeeded(),
            opens: self.counters.sessions_opened.get(),
        };
        let transition = self
            .breaker
            .change(|machine, now| machine.ended(episode, ended, now, succeeded, fastrand::f64()));
        self.tell(transition);
    }

    /// Notes now and then how many calls have succeeded, so that there is something to compare failures
    /// with.
    pub(super) fn mark_successes(&self, now: Instant) {
        let now = now.saturating_duration_since(self.breaker.started);
        // Relaxed, Relaxed: a hint; the machine looks again under its lock.
        if nanos(now) < self.breaker.next_mark_ns.load(Relaxed) {
            return;
        }
        let next = nanos(now.saturating_add(MARK_EVERY));
        self.breaker.next_mark_ns.store(next, Relaxed);
        let succeeded = self.counters.succeeded();
        self.breaker.lock().mark(now, succeeded);
    }

    /// Writes a change of state into the log. Whoever listens there may panic, which must cost neither
    /// a call nor a loop.
    fn tell(&self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        if let Transition::Opened { .. } = transition {
            self.breaker.opened.add();
        }
        let pool = self.name();
        let log = || match transition {
            Transition::Opened { reason, open_for } => tracing::warn!(
                pool, %reason, open_for_ms = nanos(open_for) / 1_000_000,
                "the breaker opens: calls are refused until the backend is tried again"
            ),
            Transition::HalfOpened => tracing::info!(
                pool,
                "the breaker is half open: one call at a time tries the backend"
            ),
            Transition::Closed => {
                tracing::info!(pool, "the breaker closes: the backend answers again");
            }
        };
        run_quietly(log);
    }
}
