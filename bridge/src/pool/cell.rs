//! A call of a pool that somebody may await, in one allocation: link, state, work and outcome.

use super::awaited::Awaited;
use super::core::Core;
use super::here;
use super::serve::{Around, Bound, CallerSpan, Clock, Unrun, serve_in};
use super::session::Session;
use super::stopping::{Interrupter, Stoppable, Stopping};
use super::worker::{Job, Worker};
use crate::call::{
    CallCell, CallContext, Cancellation, Finished, Home, Left, Posts, Refused, Slot, settle,
};
use crate::inbox::chain::Pushed;
use crate::inbox::envelope::{Header, Shared};
use crate::quiet::drop_quietly;
use crate::visits::Tended;
use std::any::Any;
use std::sync::Arc;
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
    stopping: Stopping,
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
            stopping: Stopping::default(),
        }
    }

    fn interrupt_later(self: &Arc<Self>) {
        let call = Arc::clone(self) as Arc<dyn Stoppable>;
        self.bound.core.watchdog.interrupt(call);
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
        self.stopping.begin(
            &self.bound.kind,
            session,
            || self.is_cancelled(),
            || self.interrupt_later(),
        )
    }

    fn after(&self, session: &mut Session<S>) {
        self.stopping.end(session);
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
        worker.begins_stoppable(&self.bound, &self, self.tag, started);
        let verdict = self
            .bound
            .judge(Some(self.submitted), self.deadline, started);
        if let Err(Unrun(error)) = verdict {
            return self.finish_unrun(core, work, error, started, &mut worker.posts);
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
        if let Err(husk) = self.finish_shut_down() {
            husk.bound.core.queue.husk_removed();
        }
    }

    fn is_husk(&self) -> bool {
        self.slot.is_closed()
    }
}

impl<S, T, F> Stoppable for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: Send + 'static,
{
    fn take_interrupter(&self) -> Option<Interrupter> {
        self.stopping.take_interrupter()
    }

    fn tell_to_stop(&self) {
        self.stopping.tell();
    }
}

impl<S, T, F> Awaited<T> for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    type Input = F;

    fn core(&self) -> &Core {
        &self.bound.core
    }

    fn slot(&self) -> &Slot<F, Finished<T>, Home> {
        &self.slot
    }

    fn submitted(&self) -> Instant {
        self.submitted
    }

    fn was_left_running(self: Arc<Self>) {
        if self.bound.kind.is_interruptible() {
            self.interrupt_later();
        }
    }

    fn was_left_queued(&self) {
        self.bound.core.queue.husk_left_behind();
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
        self.give_up(expired)
    }
}

impl<S, T, F> Cancellation for Cell<S, T, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    fn is_cancelled(&self) -> bool {
        self.slot.is_closed() || self.stopping.is_told()
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
        Stoppable::tell_to_stop(&*self);
        if self.bound.kind.is_interruptible() {
            self.interrupt_later();
        }
    }
}
