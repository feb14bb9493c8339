//! One unit of foreign work, from submission to its one outcome.
//!
//! A [`Call`] is a plain [`Future`]: it can be awaited on Pontoon's loop, in tokio, in smol, or on
//! no executor at all. Its other end is a worker of a [`Pool`](crate::Pool) or, for libraries that
//! call back from threads of their own, a [`Completer`]:
//!
//! ```
//! let (call, completer) = pontoon_bridge::call::<u32>();
//! std::thread::spawn(move || completer.complete(42));
//! assert_eq!(futures_lite::future::block_on(call).unwrap(), 42);
//! ```

mod completer;
mod context;
mod deadline;
mod home;
mod slot;

pub use completer::{Completer, CompleterStats, call};
pub(crate) use context::Cancellation;
pub use context::{CallContext, Interrupt, Stopper};
pub(crate) use deadline::{Clock, Expiry};
pub(crate) use home::{Home, Posts, settle};
#[cfg(all(test, pontoon_loom))]
pub(crate) use slot::Owed;
pub(crate) use slot::{Closed, Refused, Slot};

use crate::error::{CallError, SubmitError};
use crate::event_loop;
use crate::quiet::drop_quietly;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Where a call's time went. All zero for a call that was refused or has not finished. On Pontoon's loop
/// the moments of submission and return are those at which its turn looked at the clock last, at most a
/// few tasks earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From submission to the start of the foreign code (opening a session counts as service).
    pub queue: Duration,
    /// The foreign code itself.
    pub service: Duration,
    /// From its end to the moment the waiting task saw the outcome.
    pub wake: Duration,
}

/// An outcome on its way home.
#[derive(Debug)]
pub(crate) struct Finished<T> {
    /// An error is rare, and boxed so that it does not make every call large.
    pub(crate) result: Result<T, Box<CallError>>,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
}

/// How a caller left its call.
#[derive(Debug)]
pub(crate) enum Left<T> {
    /// It waited in the queue, and never runs.
    Queued,
    /// A worker or a callback library has it, and is asked to stop.
    Running,
    /// Too late: here is the outcome.
    Done(Finished<T>),
}

/// What a [`Call`] needs of the cell that it shares with the completing side.
pub(crate) trait CallCell<T>: Send + Sync {
    /// The outcome, or the waiter is left there: `waker`, to be called on the loop `home` if there
    /// is one.
    fn poll(&self, waker: &Waker, home: Option<&Home>) -> Poll<Finished<T>>;
    /// The loop that submitted the call may not come to the end of its turn before the call ends:
    /// sees to it that a worker comes for it.
    fn hurry(&self) {}
    /// The caller gives up, because its deadline has passed or it was dropped; once, and not after
    /// `poll` was ready.
    fn leave(self: Arc<Self>, expired: bool) -> Left<T>;
}

enum State<T> {
    Pending(Arc<dyn CallCell<T>>),
    Refused(SubmitError),
    Finished,
}

/// A call under way: a future with one outcome. See the [module](self).
///
/// Dropping it cancels the call: if it is still queued it never runs, if it runs it is asked to stop
/// (see [`CallContext::is_cancelled`] and [`Interrupt`]) and its outcome is counted and dropped.
#[must_use = "dropping a call cancels it"]
pub struct Call<T> {
    state: State<T>,
    submitted: Option<Instant>,
    expiry: Option<Expiry>,
    times: Option<Times>,
}

/// When the foreign code began and ended, and when the waiting task saw the outcome.
#[derive(Clone, Copy)]
struct Times {
    started: Instant,
    ended: Instant,
    seen: Instant,
}

impl<T> Call<T> {
    pub(crate) fn pending(
        cell: Arc<dyn CallCell<T>>,
        submitted: Instant,
        expiry: Option<Expiry>,
    ) -> Self {
        Self {
            state: State::Pending(cell),
            submitted: Some(submitted),
            expiry,
            times: None,
        }
    }

    pub(crate) fn refused(error: SubmitError) -> Self {
        Self {
            state: State::Refused(error),
            submitted: None,
            expiry: None,
            times: None,
        }
    }

    /// Ends the call at `deadline` with [`CallError::DeadlineExceeded`], whatever the library does.
    /// The earlier of two deadlines holds.
    pub fn deadline_at(mut self, deadline: Instant) -> Self {
        let earlier = self
            .expiry
            .as_ref()
            .map_or(deadline, |expiry| deadline.min(expiry.at()));
        if matches!(self.state, State::Pending(_)) {
            self.expiry = Some(Expiry::new(earlier));
        }
        self
    }

    /// Where the time went; known once the call is finished.
    #[must_use]
    pub fn timings(&self) -> Timings {
        let Some(times) = self.times else {
            return Timings::default();
        };
        let submitted = self.submitted.unwrap_or(times.started);
        Timings {
            queue: times.started.saturating_duration_since(submitted),
            service: times.ended.saturating_duration_since(times.started),
            wake: times.seen.saturating_duration_since(times.ended),
        }
    }

    /// Keeps the times; `seen` is when the waiting task saw the outcome.
    fn finish(&mut self, finished: Finished<T>, seen: Instant) -> Result<T, CallError> {
        self.state = State::Finished;
        self.expiry = None;
        self.times = Some(Times {
            started: finished.started,
            ended: finished.ended,
            seen,
        });
        finished.result.map_err(|error| *error)
    }

    /// Gives the call up, if it is pending.
    fn leave(&mut self, expired: bool) -> Option<Left<T>> {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Pending(cell) => Some(cell.leave(expired)),
            State::Refused(_) | State::Finished => None,
        }
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, CallError>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let call = &mut *self;
        let State::Pending(cell) = &call.state else {
            return match std::mem::replace(&mut call.state, State::Finished) {
                State::Refused(error) => Poll::Ready(Err(CallError::Rejected(error))),
                _ => panic!("a call was polled after it had ended"),
            };
        };
        // Only the loop's own tasks have a home. Any other waker belongs to an executor that may go on
        // elsewhere, or that blocks this very loop until the call has ended.
        let here = event_loop::try_current();
        let own = here
            .as_ref()
            .filter(|here| here.is_polling(context.waker()));
        let home = own.map(|here| here.shared());
        if here.is_some() && home.is_none() {
            cell.hurry();
        }
        if let Poll::Ready(finished) = cell.poll(context.waker(), home) {
            let now = here.as_ref().map_or_else(Instant::now, |here| here.now());
            return Poll::Ready(call.finish(finished, now));
        }
        let expired = call
            .expiry
            .as_mut()
            .is_some_and(|expiry| expiry.poll(context, own.is_some()).is_ready());
        if !expired {
            return Poll::Pending;
        }
        call.expiry = None;
        Poll::Ready(match call.leave(true) {
            Some(Left::Done(finished)) => call.finish(finished, Instant::now()),
            left => Err(CallError::DeadlineExceeded {
                running: matches!(left, Some(Left::Running)),
            }),
        })
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        // An outcome that nobody waits for is dropped here, on the caller's thread. Its panic
        // would end the task's loop, or the process if the task is being dropped.
        drop_quietly(self.leave(false));
    }
}

impl<T> Unpin for Call<T> {}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Pending(_) => "pending",
            State::Refused(_) => "refused",
            State::Finished => "finished",
        };
        f.debug_struct("Call")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
