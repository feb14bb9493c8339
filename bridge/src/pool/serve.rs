//! Foreign code in a worker's session: what it panics with does not get out.

use super::core::Core;
use super::eintr;
use super::session::{Session, SessionKind};
use super::worker::Worker;
use crate::admission::{Typical, Unwanted};
use crate::error::{CallError, panic_message};
use crate::quiet::drop_quietly;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// A session kind in one pool: what each call needs of both.
pub(crate) struct Bound<S> {
    pub(crate) core: Arc<Core>,
    pub(crate) kind: SessionKind<S>,
    /// What its calls take.
    pub(crate) typical: Typical,
}

impl<S: 'static> Bound<S> {
    pub(crate) fn new(core: Arc<Core>, kind: SessionKind<S>) -> Self {
        let known = kind.known();
        if known.takes_eintr
            && let Err(error) = eintr::install()
        {
            let pool = core.name();
            tracing::warn!(pool, %error, "another handler of SIGURG is in the way: the system calls of \
                stuck calls are not ended");
        }
        core.kinds.add(known);
        Self {
            core,
            kind,
            typical: Typical::default(),
        }
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
        verdict.map_err(|unwanted| match unwanted {
            Unwanted::Expired => Unrun(CallError::DeadlineExceeded { running: false }),
            Unwanted::Refused(refusal) => Unrun(CallError::Rejected(core.refused(refusal))),
        })
    }
}

impl<S> Drop for Bound<S> {
    fn drop(&mut self) {
        self.core.kinds.remove(self.kind.id);
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

/// Runs the foreign code; how it ended, and when, if anybody wants to know.
fn serve<S: 'static, T>(
    bound: &Bound<S>,
    worker: &mut Worker,
    clock: Clock,
    around: &impl Around<S>,
    work: impl FnOnce(&mut Session<S>) -> T,
) -> (Result<T, CallError>, Instant) {
    let core = &*bound.core;
    let sessions = &mut worker.sessions;
    let opening = catch_unwind(AssertUnwindSafe(|| sessions.take(&bound.kind)));
    let opened = sessions.take_opened();
    if opened > 0 {
        core.counters.sessions_opened.add_many(opened);
    }
    let mut session = match opening {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => {
            drop_quietly(work);
            return (Err(CallError::SessionFailed(error)), Instant::now());
        }
        Err(panic) => {
            drop_quietly(work);
            return (Err(panicked(core, panic)), Instant::now());
        }
    };
    let has_after = match around.before(&mut session) {
        Ok(has_after) => has_after,
        Err(panic) => {
            // One by one: two panics at once would end the process.
            drop_quietly(work);
            drop_quietly(session);
            return (Err(panicked(core, panic)), Instant::now());
        }
    };
    let result = catch_unwind(AssertUnwindSafe(|| work(&mut session)));
    if has_after {
        around.after(&mut session);
    }
    let ended = clock.now();
    let result = match result {
        Ok(value) => {
            worker.closed_a_session = !sessions.put(&bound.kind, session, ended);
            Ok(value)
        }
        Err(panic) => {
            worker.closed_a_session = true;
            drop_quietly(session);
            Err(panicked(core, panic))
        }
    };
    (result, ended)
}

fn panicked(core: &Core, panic: Box<dyn Any + Send>) -> CallError {
    core.counters.panicked.add();
    let message = panic_message(&*panic);
    drop_quietly(panic);
    tracing::error!(pool = core.name(), %message, "foreign code panicked");
    CallError::Panicked { message }
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
}

/// As [`serve`], in the caller's span. `serve` lets no panic of the library out; one of a log
/// subscriber must not cost the call its outcome either.
pub(super) fn serve_in<S: 'static, T>(
    span: &CallerSpan,
    bound: &Bound<S>,
    worker: &mut Worker,
    clock: Clock,
    around: &impl Around<S>,
    work: impl FnOnce(&mut Session<S>) -> T,
) -> (Result<T, CallError>, Instant) {
    catch_unwind(AssertUnwindSafe(|| {
        let _in_the_request = span.0.as_ref().map(|span| span.enter());
        serve(bound, worker, clock, around, work)
    }))
    .unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        drop_quietly(panic);
        (Err(CallError::Panicked { message }), Instant::now())
    })
}
