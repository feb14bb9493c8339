//! A call of a pool whose outcome goes into an [`Inbox`](crate::Inbox). Nobody awaits or cancels it,
//! so it has one owner at a time, the queue, the worker, the inbox, and needs no state of its own.

use super::core::Core;
use super::serve::{Bound, CallerSpan, Clock, Outcome, Plain, Unrun, serve_in};
use super::session::Session;
use super::worker::{Job, Worker};
use crate::call::{CallContext, Posts};
use crate::error::CallError;
use crate::inbox::Mailbox;
use crate::inbox::chain::Pushed;
use crate::inbox::envelope::{Envelope, Header, Shared};
use crate::quiet::drop_quietly;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Where an errand's outcome goes.
type Outlet<M> = Arc<Mailbox<Envelope<M>>>;

enum Content<F, T, N> {
    Work(F, N),
    Outcome(Outcome<T>, N),
    Gone,
}

/// A call whose outcome becomes a message of an inbox.
#[repr(C)]
pub(crate) struct Errand<S, T, M, F, N> {
    header: Header<M>,
    /// Never locked: the one owner reaches it directly. The mutex says that there is but one.
    content: Mutex<Content<F, T, N>>,
    /// Unless nobody looked at the clock.
    submitted: Option<Instant>,
    deadline: Option<Instant>,
    tag: u64,
    bound: Arc<Bound<S>>,
    outlet: Outlet<M>,
    span: CallerSpan,
}

impl<S, T, M, F, N> Errand<S, T, M, F, N> {
    pub(crate) fn new(
        bound: Arc<Bound<S>>,
        (submitted, deadline): (Option<Instant>, Option<Instant>),
        tag: u64,
        work: F,
        outlet: Outlet<M>,
        then: N,
        span: CallerSpan,
    ) -> Self
    where
        Self: Shared<M>,
    {
        Self {
            header: Header::of::<Arc<Self>>(),
            content: Mutex::new(Content::Work(work, then)),
            submitted,
            deadline,
            tag,
            bound,
            outlet,
            span,
        }
    }

    fn take(self: &mut Arc<Self>) -> Content<F, T, N> {
        std::mem::replace(self.content(), Content::Gone)
    }

    fn content(self: &mut Arc<Self>) -> &mut Content<F, T, N> {
        Arc::get_mut(self)
            .expect("an errand is never cloned: it moves from owner to owner")
            .content
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: `Errand` is `repr(C)`, its header comes first and is made for `Arc<Self>` in `new`; the only
// envelope of an errand is made when it has run, which it does once.
unsafe impl<S, T, M, F, N> Shared<M> for Errand<S, T, M, F, N>
where
    S: 'static,
    T: Send,
    M: Send,
    F: Send,
    N: FnOnce(Result<T, CallError>) -> M + Send,
{
    fn open(mut self: Arc<Self>) -> M {
        match self.take() {
            Content::Outcome(result, then) => then(result.map_err(|error| *error)),
            Content::Work(..) | Content::Gone => unreachable!("it was sent with its outcome"),
        }
    }
}

impl<S, T, M, F, N> Errand<S, T, M, F, N>
where
    S: 'static,
    T: Send + 'static,
    M: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
    N: FnOnce(Result<T, CallError>) -> M + Send + 'static,
{
    /// Gives the place back, then sends the outcome.
    fn finish(
        mut self: Arc<Self>,
        core: &Core,
        result: Outcome<T>,
        then: N,
        posts: &mut Posts,
    ) -> Pushed {
        core.admission.leave();
        *self.content() = Content::Outcome(result, then);
        let outlet = posts.keep(&self.outlet);
        match outlet.push(Envelope::new(self)) {
            Ok(pushed) => pushed,
            Err(unwanted) => {
                core.counters.late.add();
                drop_quietly(unwanted);
                Pushed::Quiet
            }
        }
    }
}

impl<S, T, M, F, N> Job for Errand<S, T, M, F, N>
where
    S: 'static,
    T: Send + 'static,
    M: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
    N: FnOnce(Result<T, CallError>) -> M + Send + 'static,
{
    fn run(mut self: Arc<Self>, core: &Core, worker: &mut Worker) {
        let Content::Work(work, then) = self.take() else {
            unreachable!("it is run once")
        };
        // Nobody asks how long it took, but the pool must learn it: from those that are timed from their
        // submission.
        let is_timed = self.submitted.is_some();
        let started = if is_timed {
            worker.now()
        } else {
            worker.roughly_now()
        };
        worker.begins(&self.bound, self.tag, started);
        let verdict = self.bound.judge(self.submitted, self.deadline, started);
        if let Err(Unrun(error)) = verdict {
            drop_quietly(work);
            if let Some(submitted) = self.submitted {
                core.call_was_not_run(submitted);
            }
            core.counters.of_unrun(&error).add();
            let pushed = self.finish(core, Err(Box::new(error)), then, &mut worker.posts);
            return worker.sent(pushed);
        }
        let context = CallContext::detached().with_deadline(self.deadline);
        let clock = if is_timed {
            Clock::Read
        } else {
            Clock::Stopped(started)
        };
        let work = |session: &mut Session<S>| work(session, &context);
        let (result, ended) = serve_in(
            &self.span,
            &self.bound,
            worker,
            (started, clock),
            &Plain,
            work,
        );
        if is_timed {
            worker.call_ended(&self.bound, [started, ended], true);
        } else {
            worker.untimed_call_ended(core);
        }
        let pushed = self.finish(core, result, then, &mut worker.posts);
        worker.sent(pushed);
    }

    fn shut_down(mut self: Arc<Self>) {
        let Content::Work(work, then) = self.take() else {
            unreachable!("what is run is not in the queue")
        };
        drop_quietly(work);
        let core = Arc::clone(&self.bound.core);
        self.finish(
            &core,
            Err(Box::new(CallError::ShutDown)),
            then,
            &mut Posts::default(),
        );
    }

    fn is_husk(&self) -> bool {
        false
    }
}
