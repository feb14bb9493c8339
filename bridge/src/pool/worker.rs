//! The worker thread: takes calls, runs foreign code, sleeps when there is none.

use super::Core;
use super::idle::{Claimant, Next, Waiting};
use super::session::{Session, SessionKind, Sessions, drop_quietly};
use crate::call::{
    CallCell, CallContext, Cancellation, ClosedWhile, Finished, Interrupt, Refused, Slot,
};
use crate::error::{CallError, panic_message};
use nix::sys::signal::{SigSet, Signal};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// A call as its worker sees it.
pub(crate) trait Job: Send + Sync {
    fn run(self: Arc<Self>, sessions: &mut Sessions);
    /// Ends the call with `ShutDown` unless its caller has left.
    fn shut_down(&self);
    /// Whether its caller left while it waited.
    fn is_husk(&self) -> bool;
    /// The caller of this running call left: stop it, on the watchdog's thread.
    fn interrupt(&self);
}

/// A call of a pool: state, work and outcome in one allocation.
pub(crate) struct Cell<S, T, F> {
    slot: Slot<Finished<T>>,
    /// Protects the hand-over of the work to the worker or to a caller who leaves; no foreign code
    /// runs under it.
    work: Mutex<Option<F>>,
    /// Protects the hand-over of the interrupter between worker and watchdog; no foreign code runs
    /// under it.
    interrupter: Mutex<Option<Arc<dyn Interrupt>>>,
    core: Arc<Core>,
    kind: Arc<SessionKind<S>>,
    submitted: Instant,
    deadline: Option<Instant>,
    span: tracing::Span,
}

impl<S, T, F> Cell<S, T, F> {
    /// The work, with the lock released: dropping or running it is foreign code.
    fn take_work(&self) -> Option<F> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.take()
    }
}

impl<S, T, F> Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    pub(crate) fn new(
        core: Arc<Core>,
        kind: Arc<SessionKind<S>>,
        deadline: Option<Instant>,
        work: F,
    ) -> Self {
        Self {
            slot: Slot::new(),
            work: Mutex::new(Some(work)),
            interrupter: Mutex::new(None),
            core,
            kind,
            submitted: Instant::now(),
            deadline,
            span: tracing::Span::current(),
        }
    }

    /// Gives the place back, then the outcome: whoever is woken finds room. False when nobody
    /// waited any more.
    fn finish(&self, result: Result<T, CallError>, started: Instant, at: Instant) -> bool {
        let queue = started.saturating_duration_since(self.submitted);
        let service = at.saturating_duration_since(started);
        self.core.admission.leave();
        let finished = Finished {
            result,
            queue,
            service,
            at,
        };
        if let Err(Refused::Late(late) | Refused::Second(late)) = self.slot.complete(finished) {
            self.core.counters.late.add();
            drop_quietly(late);
            return false;
        }
        true
    }

    /// Runs the foreign code; what it panics with does not get out.
    fn serve(self: &Arc<Self>, work: F, sessions: &mut Sessions) -> Result<T, CallError> {
        let opening = catch_unwind(AssertUnwindSafe(|| sessions.take(&self.kind)));
        self.core
            .counters
            .sessions_opened
            .add_many(sessions.take_opened());
        let mut session = match opening {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => {
                drop_quietly(work);
                return Err(CallError::SessionFailed(error));
            }
            Err(panic) => {
                drop_quietly(work);
                return Err(self.panicked(panic));
            }
        };
        let interruptible = match self.publish_interrupter(&mut session) {
            Ok(interruptible) => interruptible,
            Err(panic) => {
                // One by one: two panics at once would end the process.
                drop_quietly(work);
                drop_quietly(session);
                return Err(self.panicked(panic));
            }
        };
        let context = CallContext::new(Arc::clone(self) as Arc<dyn Cancellation>, self.deadline);
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut session, &context)));
        if interruptible {
            let unused = self.take_interrupter();
            if unused.is_none() {
                // The watchdog took it: its cancel may still be on the way and would hit the next
                // call.
                session.discard();
            }
            drop_quietly(unused);
        }
        match result {
            Ok(value) => {
                sessions.put(&self.kind, session);
                Ok(value)
            }
            Err(panic) => {
                drop_quietly(session);
                Err(self.panicked(panic))
            }
        }
    }

    /// Makes the session's interrupter reachable for the watchdog.
    fn publish_interrupter(self: &Arc<Self>, session: &mut Session<S>) -> thread::Result<bool> {
        let make = || self.kind.interrupter_of(session.get());
        let Some(interrupter) = catch_unwind(AssertUnwindSafe(make))? else {
            return Ok(false);
        };
        *self
            .interrupter
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(interrupter);
        if self.slot.is_closed() {
            // The caller left before there was anything to interrupt with: ask the watchdog again.
            self.core
                .watchdog
                .interrupt(Arc::clone(self) as Arc<dyn Job>);
        }
        Ok(true)
    }

    fn take_interrupter(&self) -> Option<Arc<dyn Interrupt>> {
        self.interrupter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn panicked(&self, panic: Box<dyn Any + Send>) -> CallError {
        self.core.counters.panicked.add();
        let message = panic_message(&*panic);
        drop_quietly(panic);
        tracing::error!(pool = self.core.name(), %message, "foreign code panicked");
        CallError::Panicked { message }
    }
}

impl<S, T, F> Job for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    fn run(self: Arc<Self>, sessions: &mut Sessions) {
        if !self.slot.start() {
            self.core.queue.husk_removed();
            return;
        }
        let started = Instant::now();
        let Some(work) = self.take_work() else { return };
        if self.deadline.is_some_and(|deadline| deadline <= started) {
            drop_quietly(work);
            let late = Err(CallError::DeadlineExceeded { running: false });
            if self.finish(late, started, Instant::now()) {
                // Otherwise the caller has seen it by itself, and counted it.
                self.core.counters.expired.add();
            }
            return;
        }
        // `serve` lets no panic of the library out; one of a log subscriber must not cost the call
        // its outcome either.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _in_the_request = self.span.enter();
            self.serve(work, sessions)
        }))
        .unwrap_or_else(|panic| {
            let message = panic_message(&*panic);
            drop_quietly(panic);
            Err(CallError::Panicked { message })
        });
        self.core.counters.completed.add();
        let ended = Instant::now();
        let service = ended.saturating_duration_since(started);
        self.core.admission.learn(service);
        self.finish(result, started, ended);
    }

    fn shut_down(&self) {
        if !self.slot.start() {
            self.core.queue.husk_removed();
            return;
        }
        drop_quietly(self.take_work());
        let now = Instant::now();
        self.finish(Err(CallError::ShutDown), now, now);
    }

    fn is_husk(&self) -> bool {
        self.slot.is_closed()
    }

    fn interrupt(&self) {
        // Taken only while the call runs: the worker takes it back when the call returns.
        if let Some(interrupter) = self.take_interrupter() {
            interrupter.interrupt();
        }
    }
}

impl<S, T, F> CallCell<T> for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    fn slot(&self) -> &Slot<Finished<T>> {
        &self.slot
    }

    fn caller_left(self: Arc<Self>, closed_while: ClosedWhile, expired: bool) {
        let counters = &self.core.counters;
        if expired {
            counters.expired.add()
        } else {
            counters.cancelled.add()
        }
        if closed_while == ClosedWhile::Queued {
            drop_quietly(self.take_work());
            self.core.queue.husk_left_behind();
            self.core.admission.leave();
        } else if self.kind.is_interruptible() {
            let core = Arc::clone(&self.core);
            core.watchdog.interrupt(self);
        }
    }
}

impl<S, T, F> Cancellation for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: Send + 'static,
{
    fn is_cancelled(&self) -> bool {
        self.slot.is_closed()
    }
}

impl Waiting for Core {
    type Job = Arc<dyn Job>;

    fn take(&self) -> Option<Arc<dyn Job>> {
        self.queue.take()
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn is_ending(&self) -> bool {
        self.is_shutting_down()
    }
}

/// After so many calls a worker puts its signal mask right, and looks whether a session that it has
/// not used has idled too long.
const CALLS_PER_TIDYING: u32 = 256;

/// The life of worker `index` of a pool.
pub(crate) fn work(core: &Arc<Core>, index: usize) {
    block_signals();
    let mut claimant = Claimant::new(&core.idle, index, thread::current());
    let mut sessions = Sessions::new(core.session_idle);
    let mut calls = 0_u32;
    loop {
        match claimant.next(&**core) {
            Next::Run(job) => {
                core.counters.set_busy(index, true);
                // A panic that got here would end the thread, and with it a worker for good.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.run(&mut sessions))) {
                    drop_quietly(panic);
                }
                calls = calls.wrapping_add(1);
                if calls.is_multiple_of(CALLS_PER_TIDYING) {
                    sessions.close_idle(Instant::now());
                    // Foreign code may have changed the mask. A system call each time would show.
                    block_signals();
                }
                core.counters.set_busy(index, false);
                core.counters.sessions_open(index, sessions.len());
            }
            Next::Sleep => {
                if sleep(core, index, &mut sessions) {
                    claimant.was_woken();
                }
            }
            Next::End => break,
        }
    }
    core.counters.set_busy(index, true);
    sessions.close_all();
    core.counters.set_busy(index, false);
    core.counters.sessions_open(index, 0);
    core.worker_ended();
}

/// Parks until somebody wakes this worker, closing sessions that idle too long meanwhile. True
/// when it was woken and so searches; false when it stepped off by itself.
fn sleep(core: &Core, index: usize, sessions: &mut Sessions) -> bool {
    let close_time = sessions.close_time();
    loop {
        match close_time {
            Some(at) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
            None => thread::park(),
        }
        if !core.idle.is_idle(index) {
            return true;
        }
        let now = Instant::now();
        if close_time.is_some_and(|at| at <= now) {
            // Closing is foreign code and may take its time: not while we look idle.
            if !core.idle.step_off(index) {
                return true;
            }
            core.counters.set_busy(index, true);
            sessions.close_idle(now);
            block_signals();
            core.counters.set_busy(index, false);
            core.counters.sessions_open(index, sessions.len());
            return false;
        }
    }
}

/// Blocks every signal that can be blocked, except those that a thread raises by its own fault:
/// signals are for the thread that waits for them.
pub(crate) fn block_signals() {
    let mut blocked = SigSet::all();
    for synchronous in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGABRT,
        Signal::SIGSYS,
    ] {
        blocked.remove(synchronous);
    }
    if let Err(error) = blocked.thread_set_mask() {
        tracing::warn!(%error, "signals could not be blocked on this thread");
    }
}
