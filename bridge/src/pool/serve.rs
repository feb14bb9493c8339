//! Foreign code in a worker's session: what it panics with does not get out.

use super::breaker::{BreakerState, Ended, Episode};
use super::core::Core;
use super::eintr;
use super::opening::Opening;
use super::session::{Session, SessionKind};
use super::worker::Worker;
use crate::admission::{Typical, Unwanted};
use crate::error::{CallError, panic_message};
use crate::quiet::drop_quietly;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A session kind in one pool: what each call needs of both.
pub(crate) struct Bound<S> {
    pub(crate) core: Arc<Core>,
    pub(crate) kind: SessionKind<S>,
    /// What its calls take.
    pub(crate) typical: Typical,
    pub(super) opening: Arc<Opening>,
}

impl<S: 'static> Bound<S> {
    pub(crate) fn new(core: Arc<Core>, kind: SessionKind<S>) -> Arc<Self> {
        let mut known = kind.known();
        if known.takes_eintr
            && let Err(error) = eintr::install()
        {
            known.takes_eintr = false;
            let pool = core.name();
            tracing::warn!(pool, %error, "another handler of SIGURG is in the way: the system calls of \
                stuck calls are not ended");
        }
        core.kinds.add(known);
        let bound = Arc::new(Self {
            core,
            kind,
            typical: Typical::default(),
            opening: Arc::default(),
        });
        bound.core.keep_warm(&bound);
        bound
    }

    /// Whether a call that is taken `now` is worth running; how it ends if not.
    pub(super) fn judge(
        &self,
        submitted: Option<Instant>,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<(), Unrun> {
        let core = &*self.core;
        let verdict = core
            .admission
            .judge(submitted, deadline, now, &self.typical);
        verdict.map_err(|unwanted| self.unrun(unwanted))
    }

    /// As [`judge`](Self::judge), for a call that may have had to wait for a batch before its own to end.
    pub(super) fn judge_of_line(
        &self,
        submitted: Instant,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<(), Unrun> {
        let fine_wait = self.fine_wait_in_line();
        let times = (Some(submitted), deadline);
        let verdict = self
            .core
            .admission
            .judge_with(times, now, &self.typical, fine_wait);
        verdict.map_err(|unwanted| self.unrun(unwanted))
    }

    /// How long a call may wait for a batch without being a sign of overload: for the one before its own to
    /// end, and for as long again.
    pub(super) fn fine_wait_in_line(&self) -> Duration {
        self.typical.get().saturating_mul(2)
    }

    fn unrun(&self, unwanted: Unwanted) -> Unrun {
        Unrun(match unwanted {
            Unwanted::Expired => CallError::DeadlineExceeded { running: false },
            Unwanted::Refused(refusal) => CallError::Rejected(self.core.refused(refusal)),
        })
    }
}

impl<S> Drop for Bound<S> {
    fn drop(&mut self) {
        self.core.kinds.remove(self.kind.id);
    }
}

/// Whoever may make calls of a kind. When the last of them is gone, its sessions are closed.
pub(super) struct Callers<S>(pub(super) Arc<Bound<S>>);

impl<S> Drop for Callers<S> {
    fn drop(&mut self) {
        self.0.opening.orphan();
        self.0.core.look_at_sessions();
    }
}

/// How a call ends that a worker did not run.
pub(super) struct Unrun(pub(super) CallError);

/// What a call does around its work, in the session that it runs in.
pub(super) trait Around<S> {
    /// Before the work; whether [`after`](Self::after) has anything to do. An error is a panic of
    /// foreign code; then the work does not run.
    fn before(&self, _session: &mut Session<S>) -> thread::Result<bool> {
        Ok(false)
    }

    /// After the work, however it ended.
    fn after(&self, _session: &mut Session<S>) {}
}

/// Nothing is done around it.
pub(super) struct Plain;

impl<S> Around<S> for Plain {}

/// How a call ended, and when, if anybody wants to know; and what that says of the backend, if anything.
pub(super) type Served<T> = (Outcome<T>, Instant, Option<Ended>);

/// A call's outcome on its way: an error is rare, and boxed so that it does not make every outcome large.
pub(super) type Outcome<T> = Result<T, Box<CallError>>;

/// Runs the foreign code.
fn serve<S: 'static, T>(
    bound: &Arc<Bound<S>>,
    worker: &mut Worker,
    (began, clock): (Instant, Clock),
    around: &impl Around<S>,
    work: impl FnOnce(&mut Session<S>) -> T,
) -> Served<T> {
    let core = &*bound.core;
    let mut session = match worker.sessions.take(bound, began) {
        Ok(session) => session,
        Err(error) => {
            drop_quietly(work);
            worker.was_not_tried = matches!(error, CallError::BackingOff { .. });
            // A failure was told by whoever asked the backend; a panic says nothing of it.
            let has_panicked = matches!(error, CallError::Panicked { .. });
            let verdict = has_panicked.then_some(Ended::NoMatter);
            return (Err(Box::new(error)), Instant::now(), verdict);
        }
    };
    let has_after = match around.before(&mut session) {
        Ok(has_after) => has_after,
        Err(panic) => {
            // One by one: two panics at once would end the process.
            drop_quietly(work);
            worker.sessions.close_soon(session);
            let panicked = Err(panicked(core, panic));
            return (panicked, Instant::now(), Some(Ended::NoMatter));
        }
    };
    let result = catch_unwind(AssertUnwindSafe(|| work(&mut session)));
    if has_after {
        around.after(&mut session);
    }
    let ended = clock.now();
    let said = session.take_said();
    let (result, verdict) = match result {
        Ok(value) => {
            worker.sessions.put(bound, session, ended);
            (Ok(value), Ended::CallSucceeded)
        }
        Err(panic) => {
            worker.sessions.close_soon(session);
            (Err(panicked(core, panic)), Ended::NoMatter)
        }
    };
    (result, ended, Some(said.unwrap_or(verdict)))
}

/// Counts a call by what its end says of the backend, and tells the breaker what it must know.
pub(super) fn count(core: &Core, worker: &Worker, episode: Episode, verdict: Option<Ended>) {
    let is_probe = episode.state == BreakerState::HalfOpen;
    let Some(verdict) = verdict else { return };
    match verdict {
        Ended::CallSucceeded => worker.call_succeeded(core),
        Ended::CallFailed => core.counters.backend_failed.add(),
        _ => {}
    }
    if is_probe || verdict == Ended::CallFailed {
        core.backend_answered(episode, verdict);
    }
}

/// Counts a panic of a call's foreign code, and logs it.
fn panicked(core: &Core, panic: Box<dyn Any + Send>) -> Box<CallError> {
    core.counters.panicked.add();
    Box::new(CallError::Panicked {
        message: panic_logged(core, panic),
    })
}

/// Logs a panic of foreign code; what it says.
pub(super) fn panic_logged(core: &Core, panic: Box<dyn Any + Send>) -> String {
    let message = panic_message(&*panic);
    drop_quietly(panic);
    tracing::error!(pool = core.name(), %message, "foreign code panicked");
    message
}

/// How a call's end is timed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    Read,
    /// Nobody wants to know, so this will do.
    Stopped(Instant),
}

impl Clock {
    fn now(self) -> Instant {
        match self {
            Self::Read => Instant::now(),
            Self::Stopped(at) => at,
        }
    }
}

/// The span in which a call was submitted. Most have none, and then it is but one word.
pub(super) struct CallerSpan(Option<Box<tracing::Span>>);

impl CallerSpan {
    pub(super) fn current() -> Self {
        // Without a subscriber there is no span, and asking for it is not free.
        if !tracing::dispatcher::has_been_set() {
            return Self(None);
        }
        let span = tracing::Span::current();
        Self((!span.is_none()).then(|| Box::new(span)))
    }

    /// That of what belongs to no caller.
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn enter(&self) -> Option<tracing::span::Entered<'_>> {
        self.0.as_ref().map(|span| span.enter())
    }
}

/// As [`serve`], in the caller's span, and counted.
pub(super) fn serve_in<S: 'static, T>(
    span: &CallerSpan,
    bound: &Arc<Bound<S>>,
    worker: &mut Worker,
    time: (Instant, Clock),
    around: &impl Around<S>,
    work: impl FnOnce(&mut Session<S>) -> T,
) -> (Outcome<T>, Instant) {
    let core = &*bound.core;
    let episode = core.breaker.episode();
    let (result, ended, verdict) = serve_guarded(span, bound, worker, time, around, work);
    count(core, worker, episode, verdict);
    (result, ended)
}

/// As [`serve`], in the caller's span. `serve` lets no panic of the library out; one of a log subscriber must
/// not cost the call its outcome either.
pub(super) fn serve_guarded<S: 'static, T>(
    span: &CallerSpan,
    bound: &Arc<Bound<S>>,
    worker: &mut Worker,
    time: (Instant, Clock),
    around: &impl Around<S>,
    work: impl FnOnce(&mut Session<S>) -> T,
) -> Served<T> {
    let served = catch_unwind(AssertUnwindSafe(|| {
        let _in_the_request = span.enter();
        serve(bound, worker, time, around, work)
    }));
    served.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        drop_quietly(panic);
        let panicked = Err(Box::new(CallError::Panicked { message }));
        (panicked, Instant::now(), Some(Ended::NoMatter))
    })
}
