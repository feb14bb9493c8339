//! A call of a pool that somebody may await, in one allocation: link, state, work and outcome.

use super::core::Core;
use super::here;
use super::serve::{Around, Bound, CallerSpan, Clock, Outcome, Unrun, serve_in};
use super::session::Session;
use super::worker::{Interrupter, Job, Worker};
use crate::call::{
    CallCell, CallContext, Cancellation, Closed, Finished, Home, Left, Posts, Refused, Slot, settle,
};
use crate::error::CallError;
use crate::inbox::chain::Pushed;
use crate::inbox::envelope::{Header, Shared};
use crate::quiet::drop_quietly;
use crate::visits::Tended;
use crossbeam_utils::atomic::AtomicCell;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

/// A call of a pool. The fields stand in the order in which a worker reads them.
#[repr(C)]
pub(crate) struct Cell<S, T, F> {
    header: Header<()>,
    slot: Slot<F, Finished<T>, Home>,
    submitted: Instant,
    deadline: Option<Instant>,
    tag: u64,
    bound: Arc<Bound<S>>,
    span: CallerSpan,
    /// While the work runs, for whoever takes it first: the watchdog, or the worker when it is done.
    interrupter: AtomicCell<Option<Interrupter>>,
    /// It is to stop although its caller did not leave: it is stuck, or nobody wants what it does after
    /// its outcome.
    is_told_to_stop: AtomicBool,
}

// SAFETY: `Cell` is `repr(C)`, its header comes first and is made for `Arc<Self>` in `new`; the only
// envelope of a cell is made when it completes, which it does once.
unsafe impl<S, T, F> Shared<()> for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: Send + 'static,
{
    fn open(self: Arc<Self>) {
        // SAFETY: the envelope was made to deliver what `complete` owed, and is opened once.
        unsafe { self.slot.deliver() };
        // With it may go what the pool's user gave, on a loop's thread.
        drop_quietly(self);
    }
}

impl<S, T, F> Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    pub(crate) fn new(
        bound: Arc<Bound<S>>,
        submitted: Instant,
        deadline: Option<Instant>,
        tag: u64,
        span: CallerSpan,
        work: F,
    ) -> Self {
        Self {
            header: Header::of::<Arc<Self>>(),
            slot: Slot::new(work),
            submitted,
            deadline,
            tag,
            bound,
            span,
            interrupter: AtomicCell::new(None),
            is_told_to_stop: AtomicBool::new(false),
        }
    }

    /// Gives the place back, then the outcome: whoever is woken finds room. `None` when nobody
    /// waited any more, or had an outcome before.
    fn finish(
        self: Arc<Self>,
        result: Outcome<T>,
        started: Instant,
        ended: Instant,
        posts: &mut Posts,
    ) -> Option<Pushed> {
        self.bound.core.admission.leave();
        let finished = Finished {
            result,
            started,
            ended,
        };
        match self.slot.complete(finished, |home| posts.keep(home)) {
            Ok(owed) => Some(settle(self, owed)),
            Err(Refused::Late(late)) => {
                self.bound.core.counters.late.add();
                drop_quietly(late);
                None
            }
            Err(Refused::Second(unused)) => {
                // The work answered before it ended.
                drop_quietly(unused);
                None
            }
        }
    }

    fn interrupt_later(self: &Arc<Self>) {
        let job = Arc::clone(self) as Arc<dyn Job>;
        self.bound.core.watchdog.interrupt(job);
    }
}

/// Makes the session's interrupter reachable for the watchdog while the work runs.
impl<S, T, F> Around<S> for Arc<Cell<S, T, F>>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    fn before(&self, session: &mut Session<S>) -> thread::Result<bool> {
        let make = || self.bound.kind.interrupter_of(session.get());
        let Some(interrupter) = catch_unwind(AssertUnwindSafe(make))? else {
            return Ok(false);
        };
        self.interrupter.store(Some(Box::new(interrupter)));
        // Either the watchdog, which was asked after CLOSED (or the order to stop) was set, comes to an interrupter, or it
        // came before: then the swap in this store read from the one in its `take`, and CLOSED is
        // seen here.
        if self.is_cancelled() {
            // The caller left, or the order came, before there was anything to interrupt with: ask again.
            self.interrupt_later();
        }
        Ok(true)
    }

    fn after(&self, session: &mut Session<S>) {
        let unused = self.interrupter.take();
        if unused.is_none() {
            // The watchdog took it: its cancel may still be on the way and would hit the next
            // call.
            session.discard();
        }
        drop_quietly(unused);
    }
}

impl<S, T, F> Job for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    fn run(self: Arc<Self>, core: &Core, worker: &mut Worker) {
        let Some(work) = self.slot.start() else {
            core.queue.husk_removed();
            return;
        };
        let started = worker.now();
        worker.begins_job(&self.bound, &self, self.tag, started);
        let verdict = self
            .bound
            .judge(Some(self.submitted), self.deadline, started);
        if let Err(Unrun(error)) = verdict {
            drop_quietly(work);
            core.call_was_not_run(self.submitted);
            let counter = core.counters.of_unrun(&error);
            let pushed = self.finish(Err(Box::new(error)), started, started, &mut worker.posts);
            if pushed.is_some() {
                // Otherwise the caller has left by itself, and was counted then.
                counter.add();
            }
            return;
        }
        let context = CallContext::new(Arc::clone(&self) as Arc<dyn Cancellation>, self.deadline);
        let (result, ended) = serve_in(
            &self.span,
            &self.bound,
            worker,
            (started, Clock::Read),
            &self,
            |session| work(session, &context),
        );
        drop(context);
        if self.slot.is_claimed() {
            worker.answered_call_ended(core);
        } else {
            let is_sample = worker.is_sampling(core);
            worker.call_ended(&self.bound, [started, ended], is_sample);
        }
        let pushed = self.finish(result, started, ended, &mut worker.posts);
        if pushed.is_none() {
            // Dropping what came too late is foreign code.
            worker.forget_the_time();
        }
        worker.sent(pushed.unwrap_or(Pushed::Quiet));
    }

    fn shut_down(self: Arc<Self>) {
        let Some(work) = self.slot.start() else {
            self.bound.core.queue.husk_removed();
            return;
        };
        drop_quietly(work);
        let now = Instant::now();
        self.finish(
            Err(Box::new(CallError::ShutDown)),
            now,
            now,
            &mut Posts::default(),
        );
    }

    fn is_husk(&self) -> bool {
        self.slot.is_closed()
    }

    fn take_interrupter(&self) -> Option<Interrupter> {
        // There only while the call runs: the worker takes it back when the call returns.
        self.interrupter.take()
    }

    fn tell_to_stop(&self) {
        // Relaxed: a hint for code that looks.
        self.is_told_to_stop.store(true, Relaxed);
    }
}

impl<S, T, F> CallCell<T> for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    fn poll(&self, waker: &Waker, home: Option<&Home>) -> Poll<Finished<T>> {
        self.slot.poll(waker, home)
    }

    fn hurry(&self) {
        Tended::work_was_queued(&*self.bound.core);
    }

    fn leave(self: Arc<Self>, expired: bool) -> Left<T> {
        let core = &self.bound.core;
        let closed = self.slot.close();
        if !matches!(closed, Closed::Done(_)) {
            if expired {
                core.counters.expired.add()
            } else {
                core.counters.cancelled.add()
            }
        }
        match closed {
            Closed::Done(finished) => Left::Done(finished),
            Closed::Running => {
                if self.bound.kind.is_interruptible() {
                    self.interrupt_later();
                }
                Left::Running
            }
            Closed::Queued(work) => {
                drop_quietly(work);
                core.queue.husk_left_behind();
                core.call_was_not_run(self.submitted);
                core.admission.leave();
                Left::Queued
            }
        }
    }
}

impl<S, T, F> Cancellation for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    fn is_cancelled(&self) -> bool {
        // Relaxed: a hint for code that looks.
        self.slot.is_closed() || self.is_told_to_stop.load(Relaxed)
    }

    fn answer(self: Arc<Self>, outcome: &mut dyn Any) -> bool {
        let Some(outcome) = outcome.downcast_mut::<Option<T>>() else {
            return false;
        };
        let Some(value) = outcome.take() else {
            return false;
        };
        let ended = Instant::now();
        let started = here::call_began().unwrap_or(ended);
        let finished = Finished {
            result: Ok(value),
            started,
            ended,
        };
        let mut posts = Posts::default();
        let refused = match self.slot.complete(finished, |home| posts.keep(home)) {
            Ok(owed) => {
                here::call_answered();
                settle(Arc::clone(&self), owed);
                return true;
            }
            Err(Refused::Late(late)) => {
                self.bound.core.counters.late.add();
                late
            }
            Err(Refused::Second(second)) => second,
        };
        *outcome = refused.result.ok();
        false
    }

    fn is_answered(&self) -> bool {
        self.slot.is_claimed()
    }

    fn stop(self: Arc<Self>) {
        Job::tell_to_stop(&*self);
        if self.bound.kind.is_interruptible() {
            self.interrupt_later();
        }
    }
}
