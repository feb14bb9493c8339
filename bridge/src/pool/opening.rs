//! The opening of sessions of one kind in one pool, by all its workers: who may, and how many there are.

use super::backoff::{Backoff, CEILING_MAX, Try};
use super::breaker::{BreakerState, Ended};
use super::serve::{Bound, panic_logged};
use super::session::Session;
use crate::error::{CallError, describe, whole_seconds};
use crate::quiet::{drop_quietly, run_quietly};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the workers of a pool share about one kind of session.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// Nobody makes calls of this kind any more.
    is_orphaned: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    backoff: Backoff,
    /// Why the last try failed, for calls that are not even tried.
    last_error: Option<Arc<str>>,
    /// Sessions that are open.
    open: usize,
    /// Sessions that are being opened to be kept warm.
    warming: usize,
    /// None is opened for warmth before this: `open` has panicked, or sessions do not last.
    not_warm_before: Option<Instant>,
}

/// Why a session is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Call,
    Warmth,
}

/// What a session that was opened tells of its kind.
struct News {
    /// The tries before it had failed.
    is_back: bool,
    /// None is open beside it.
    is_first: bool,
}

impl Opening {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics half-way, and nothing foreign runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a session may be opened for warmth, if there are fewer than `min`.
    pub(super) fn cold_at(&self, min: usize, now: Instant) -> Option<Instant> {
        self.lock()
            .cold_at(min, now)
            .filter(|_| !self.is_orphaned())
    }

    /// Leave to open a session for warmth, if there are fewer than `min` and it is time.
    pub(super) fn begin_warming(&self, min: usize, now: Instant) -> Option<Try> {
        let mut state = self.lock();
        if self.is_orphaned() || state.cold_at(min, now)? > now {
            return None;
        }
        let leave = state.backoff.begin(now).ok()?;
        state.warming += 1;
        Some(leave)
    }

    /// Takes one session out of the count, unless it is one of those to be kept; whether it did.
    pub(super) fn leave_if_spare(&self, min: usize) -> bool {
        let mut state = self.lock();
        let is_spare = self.is_orphaned() || state.open > min;
        if is_spare {
            state.open -= 1;
        }
        is_spare
    }

    fn leave(&self) {
        self.lock().open -= 1;
    }

    fn come_back(&self) {
        self.lock().open += 1;
    }

    /// None is opened for warmth before this.
    pub(super) fn put_off_warming(&self, until: Instant) {
        let mut state = self.lock();
        state.not_warm_before = state.not_warm_before.max(Some(until));
    }

    /// No session of this kind is of use any more.
    pub(super) fn orphan(&self) {
        // Relaxed: whoever says so wakes the workers that sleep, by a lock that a worker takes before it
        // looks here and sleeps.
        self.is_orphaned.store(true, Relaxed);
    }

    pub(super) fn is_orphaned(&self) -> bool {
        // Relaxed: as in `orphan`.
        self.is_orphaned.load(Relaxed)
    }

    /// Leave to open a session for a call, or the error that the call gets instead. A call that finds
    /// out for the breaker does not wait: the breaker has done so.
    fn begin(&self, pool: &str, is_probe: bool) -> Result<Try, CallError> {
        let mut state = self.lock();
        let now = Instant::now();
        let leave = if is_probe {
            state.backoff.begin_probe(now)
        } else {
            state.backoff.begin(now)
        };
        leave.map_err(|wait| CallError::BackingOff {
            pool: pool.to_owned(),
            last_error: state.last_error.clone().unwrap_or_default(),
            retry_after: whole_seconds(wait),
        })
    }

    /// What it changes.
    fn succeeded(&self, leave: Try, why: For) -> News {
        let mut state = self.lock();
        state.warming -= usize::from(why == For::Warmth);
        state.open += 1;
        state.last_error = None;
        state.not_warm_before = None;
        News {
            is_back: state.backoff.succeeded(leave),
            is_first: state.open == 1,
        }
    }

    /// Whether the tries before it had not failed.
    fn failed(&self, leave: Try, why: For, error: Arc<str>) -> bool {
        let mut state = self.lock();
        state.warming -= usize::from(why == For::Warmth);
        state.last_error = Some(error);
        let is_first = !state.backoff.is_failing();
        let now = Instant::now();
        state.backoff.failed(leave, now, fastrand::f64());
        is_first
    }

    /// A panic costs the one call whose session it was: others may try at once. Only if the backend
    /// is down already it counts as one more failure, and what nobody waits for is put off.
    fn panicked(&self, leave: Try, why: For) {
        let mut state = self.lock();
        let now = Instant::now();
        if why == For::Warmth {
            state.warming -= 1;
            state.not_warm_before = Some(now + CEILING_MAX);
        }
        if state.backoff.is_failing() {
            state.backoff.failed(leave, now, fastrand::f64());
        } else {
            state.backoff.gave_up(leave);
        }
    }
}

impl State {
    fn cold_at(&self, min: usize, now: Instant) -> Option<Instant> {
        // While none is open, nobody knows whether one can be: one worker finds out, and the others are
        // there for calls.
        let is_being_tried = self.open == 0 && self.warming > 0;
        let is_warm = is_being_tried || self.open + self.warming >= min;
        let next_at = || {
            self.backoff
                .next_at(now)
                .max(self.not_warm_before.unwrap_or(now))
        };
        (!is_warm).then(next_at)
    }
}

/// A session's place in the count of its kind, until it is dropped.
pub(super) struct Counted<S> {
    pub(super) bound: Arc<Bound<S>>,
    counts: bool,
}

impl<S> Counted<S> {
    /// Gives the place up, unless the session is one of those to be kept; whether it did.
    pub(super) fn leave_if_spare(&mut self) -> bool {
        let min = self.bound.core.sessions.min;
        if self.counts && self.bound.opening.leave_if_spare(min) {
            self.counts = false;
        }
        !self.counts
    }

    /// Gives the place up.
    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.counts) {
            self.bound.opening.leave();
        }
    }

    /// Takes a place again.
    pub(super) fn come_back(&mut self) {
        if !std::mem::replace(&mut self.counts, true) {
            self.bound.opening.come_back();
        }
    }
}

impl<S> Drop for Counted<S> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Opens a session for a call.
pub(super) fn open<S: 'static>(bound: &Arc<Bound<S>>) -> Result<Box<Session<S>>, CallError> {
    let core = &*bound.core;
    let is_probe = core.breaker.episode().state == BreakerState::HalfOpen;
    let leave = bound.opening.begin(core.name(), is_probe)?;
    open_with(bound, leave, For::Call)
}

/// Opens a session that no call has asked for. What goes wrong is in the log.
pub(super) fn open_for_warmth<S: 'static>(
    bound: &Arc<Bound<S>>,
    leave: Try,
) -> Option<Box<Session<S>>> {
    open_with(bound, leave, For::Warmth)
        .map_err(drop_quietly)
        .ok()
}

fn open_with<S: 'static>(
    bound: &Arc<Bound<S>>,
    leave: Try,
    why: For,
) -> Result<Box<Session<S>>, CallError> {
    let core = &*bound.core;
    let episode = core.breaker.episode();
    match catch_unwind(AssertUnwindSafe(|| bound.kind.open())) {
        Ok(Ok(inner)) => {
            let News { is_back, is_first } = bound.opening.succeeded(leave, why);
            let counted = Counted {
                bound: Arc::clone(bound),
                counts: true,
            };
            core.counters.sessions_opened.add();
            if is_back {
                let log = || tracing::info!(pool = core.name(), "sessions can be opened again");
                run_quietly(log);
            }
            if (is_back || is_first) && core.sessions.min > 1 {
                core.look_at_sessions();
            }
            let expires_at = core.sessions.expiry(Instant::now(), fastrand::f64());
            Ok(Box::new(Session::new(inner, counted, expires_at)))
        }
        Ok(Err(error)) => {
            let text = describe(&*error);
            core.counters.sessions_failed.add();
            // Sessions of the kind may work although no more of them can be had.
            if why == For::Call {
                core.backend_answered(episode, Ended::OpenFailed);
            }
            if bound.opening.failed(leave, why, text.as_str().into()) && why == For::Warmth {
                tracing::warn!(pool = core.name(), error = %text, "no session can be opened to be \
                    kept warm; it is tried again until one can");
            }
            Err(CallError::SessionFailed(error))
        }
        Err(panic) => {
            bound.opening.panicked(leave, why);
            let message = panic_logged(core, panic);
            if why == For::Call {
                core.counters.panicked.add();
            }
            Err(CallError::Panicked { message })
        }
    }
}
