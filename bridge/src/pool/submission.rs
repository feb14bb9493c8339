//! A call that is described but not yet submitted.

use super::batching::ForBatch;
use super::cell::Cell;
use super::core::Core;
use super::errand::Errand;
use super::member::{Cargo, Member};
use super::serve::CallerSpan;
use super::worker::Job;
use super::{Pool, Session};
use crate::admission::Typical;
use crate::call::{Call, CallContext, Expiry};
use crate::error::{CallError, SubmitError};
use crate::event_loop;
use crate::inbox::Inbox;
use crate::visits::Tended;
use std::fmt;
use std::future::IntoFuture;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of the short calls that nobody times, one in so many is timed from its submission.
const CALLS_PER_TIMED_WAIT: u64 = 16;

/// A call before it is submitted; await it, or [`submit`](Self::submit) it for a [`Call`] to keep.
#[must_use = "nothing runs until it is awaited or submitted"]
pub struct Submission<'pool, S, F> {
    pool: &'pool Pool<S>,
    work: F,
    deadline: Option<Instant>,
    tag: u64,
}

impl<'pool, S: 'static, F> Submission<'pool, S, F> {
    pub(super) fn new(pool: &'pool Pool<S>, work: F) -> Self {
        Self {
            pool,
            work,
            deadline: None,
            tag: 0,
        }
    }

    /// Ends the call after `limit` from now with
    /// [`DeadlineExceeded`](crate::CallError::DeadlineExceeded), whether it waits or runs. The
    /// earlier of two deadlines holds.
    pub fn deadline(self, limit: Duration) -> Self {
        match Instant::now().checked_add(limit) {
            Some(deadline) => self.deadline_at(deadline),
            // Beyond the end of time: as good as none.
            None => self,
        }
    }

    /// A number of the caller's own, such as a request's, by which the log and
    /// [`Pool::running`](crate::Pool::running) name the call; 0, the default, is none.
    pub fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// As [`deadline`](Self::deadline), at a point in time: a request's deadline counts from its
    /// arrival, not from the moment of the call.
    pub fn deadline_at(mut self, deadline: Instant) -> Self {
        self.deadline = Some(
            self.deadline
                .map_or(deadline, |earlier| earlier.min(deadline)),
        );
        self
    }
}

/// What a call takes along through the door.
struct Entrance {
    span: CallerSpan,
    here: Option<Rc<event_loop::Local>>,
    submitted: Instant,
}

impl<S: 'static, F> Submission<'_, S, F> {
    /// Takes a place for a call that somebody awaits. A wait of up to `fine_wait` is no sign of overload.
    #[inline]
    fn enter(&self, fine_wait: Duration) -> Result<Entrance, SubmitError> {
        let core = self.pool.core();
        // A subscriber's panic must not cost a place.
        let span = CallerSpan::current();
        let here = event_loop::try_current();
        let submitted = match &here {
            // The loop's clock may be a task or two behind, which must not look like a wait.
            Some(here) if !core.admission.is_overloaded() => here.now(),
            _ => Instant::now(),
        };
        let time_left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(submitted));
        core.enter(time_left, &self.pool.bound.typical, fine_wait)?;
        Ok(Entrance {
            span,
            here,
            submitted,
        })
    }
}

impl<S, T, F> Submission<'_, S, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    /// Submits the call. It is under way from now on; when the pool is full or shutting down, or its
    /// breaker is open, the returned call is refused already.
    pub fn submit(self) -> Call<T> {
        let core = self.pool.core();
        let Entrance {
            span,
            here,
            submitted,
        } = match self.enter(Duration::ZERO) {
            Ok(entrance) => entrance,
            Err(refused) => return Call::refused(refused),
        };
        let bound = Arc::clone(&self.pool.bound);
        let cell = Arc::new(Cell::new(
            bound,
            submitted,
            self.deadline,
            self.tag,
            span,
            self.work,
        ));
        core.queue_up(Arc::clone(&cell) as Arc<dyn Job>);
        core.see_to_queue(here);
        Call::pending(cell, submitted, self.deadline.map(Expiry::new))
    }

    /// Submits the call; its outcome becomes a message of `inbox`. For loops without futures: no
    /// task, no waker, one allocation.
    ///
    /// `then` runs on the thread that [drains](Inbox::drain) the inbox, with the call's result, and
    /// makes the message; when the inbox is gone it is dropped unrun. The call cannot be cancelled,
    /// and a deadline ends it only while it waits in the queue. The pool bounds the calls inside it, not
    /// the outcomes in the inbox: drain it as you submit.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] when the pool is full or shutting down, or its breaker is open; then `then` is dropped unrun.
    ///
    /// ```
    /// use mio::{Events, Interest, Poll, Token};
    /// use pontoon_bridge::{Pool, inbox};
    ///
    /// let pool = Pool::named("sums").threads(2).build()?;
    /// let mut poll = Poll::new()?;
    /// let (mut inbox, _sender) = inbox::<(&str, u32)>()?;
    /// poll.registry().register(&mut inbox, Token(0), Interest::READABLE)?;
    ///
    /// let name = "answer";
    /// pool.call(|()| 6 * 7).submit_to(&inbox, move |result| (name, result.unwrap_or(0)))?;
    ///
    /// let mut events = Events::with_capacity(16);
    /// let mut got = Vec::new();
    /// while got.is_empty() {
    ///     poll.poll(&mut events, None)?;
    ///     inbox.drain(256, |message| got.push(message));
    /// }
    /// assert_eq!(got, [("answer", 42)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit_to<M, N>(self, inbox: &Inbox<M>, then: N) -> Result<(), SubmitError>
    where
        M: Send + 'static,
        N: FnOnce(Result<T, CallError>) -> M + Send + 'static,
    {
        let core = self.pool.core();
        let span = CallerSpan::current();
        let asked = self.deadline.map(|_| Instant::now());
        let time_left = self
            .deadline
            .zip(asked)
            .map(|(deadline, now)| deadline.saturating_duration_since(now));
        let earlier = core.enter(time_left, &self.pool.bound.typical, Duration::ZERO)?;
        // Of short calls, whose queue hardly ever stands, one stands for several.
        let is_timed = || core.takes_long() || earlier.is_multiple_of(CALLS_PER_TIMED_WAIT);
        let submitted = asked.or_else(|| is_timed().then(Instant::now));
        let bound = Arc::clone(&self.pool.bound);
        let outlet = inbox.outlet();
        let times = (submitted, self.deadline);
        let errand = Errand::new(bound, times, self.tag, self.work, outlet, then, span);
        core.queue_up(Arc::new(errand));
        inbox.look_after(core);
        Ok(())
    }
}

impl<S, I, T> Submission<'_, S, ForBatch<'_, S, I, T>>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    /// Submits the call. It is under way from now on; when the pool is full or shutting down, or its
    /// breaker is open, the returned call is refused already.
    pub fn submit(self) -> Call<T> {
        let core = self.pool.core();
        let Entrance {
            span,
            here,
            submitted,
        } = match self.enter(self.pool.bound.fine_wait_in_line()) {
            Ok(entrance) => entrance,
            Err(refused) => return Call::refused(refused),
        };
        let ForBatch { line, input } = self.work;
        let cargo = Cargo { input, span };
        let times = (submitted, self.deadline);
        let member = Arc::new(Member::new(Arc::clone(line), times, self.tag, cargo));
        if line.add(Arc::clone(&member)) {
            core.see_to_queue(here);
        }
        Call::pending(member, submitted, self.deadline.map(Expiry::new))
    }
}

impl Core {
    /// Something was queued: sees to it that a worker comes for it.
    fn see_to_queue(self: &Arc<Self>, here: Option<Rc<event_loop::Local>>) {
        match here {
            Some(here) => here.look_after(self),
            None => self.work_was_queued(),
        }
    }

    /// Takes a place, or says why there is none; how many calls were let in before.
    fn enter(
        &self,
        time_left: Option<Duration>,
        typical: &Typical,
        fine_wait: Duration,
    ) -> Result<u64, SubmitError> {
        let refused = if self.is_shutting_down() {
            SubmitError::ShuttingDown {
                pool: self.name.clone(),
            }
        } else if let Err(broken) = self.pass_breaker() {
            broken
        } else {
            match self.admission.enter(time_left, typical, fine_wait) {
                Ok(earlier) => return Ok(earlier),
                Err(refusal) => {
                    self.call_was_not_sent();
                    self.refused(refusal)
                }
            }
        };
        self.counters.refused.add();
        Err(refused)
    }
}

impl<S, T, F> IntoFuture for Submission<'_, S, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    type Output = Result<T, CallError>;
    type IntoFuture = Call<T>;

    fn into_future(self) -> Call<T> {
        self.submit()
    }
}

impl<S, I, T> IntoFuture for Submission<'_, S, ForBatch<'_, S, I, T>>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T, CallError>;
    type IntoFuture = Call<T>;

    fn into_future(self) -> Call<T> {
        self.submit()
    }
}

impl<S, F> fmt::Debug for Submission<'_, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
