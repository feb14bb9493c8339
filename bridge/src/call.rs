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
mod slot;

pub use completer::{Completer, CompleterStats, call};
pub(crate) use context::Cancellation;
pub use context::{CallContext, Interrupt};
pub(crate) use deadline::{Clock, Expiry, wake_quietly};
pub(crate) use slot::{ClosedWhile, Refused, Slot};

use crate::error::{CallError, SubmitError};
use crate::pool::drop_quietly;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Where a call's time went. All zero for a call that was refused.
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
    pub(crate) result: Result<T, CallError>,
    pub(crate) queue: Duration,
    pub(crate) service: Duration,
    pub(crate) at: Instant,
}

/// What a [`Call`] needs of the cell that it shares with the completing side.
pub(crate) trait CallCell<T>: Send + Sync {
    fn slot(&self) -> &Slot<Finished<T>>;
    /// Called once after the caller closed a call that was queued or running.
    fn caller_left(self: Arc<Self>, closed_while: ClosedWhile, expired: bool);
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
    expiry: Option<Expiry>,
    timings: Timings,
}

impl<T> Call<T> {
    pub(crate) fn pending(cell: Arc<dyn CallCell<T>>, expiry: Option<Expiry>) -> Self {
        Self {
            state: State::Pending(cell),
            expiry,
            timings: Timings::default(),
        }
    }

    pub(crate) fn refused(error: SubmitError) -> Self {
        Self {
            state: State::Refused(error),
            expiry: None,
            timings: Timings::default(),
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
        self.timings
    }

    fn finish(&mut self, finished: Finished<T>) -> Result<T, CallError> {
        self.state = State::Finished;
        self.expiry = None;
        self.timings = Timings {
            queue: finished.queue,
            service: finished.service,
            wake: finished.at.elapsed(),
        };
        finished.result
    }

    /// Closes the cell; what was already there wins over the reason for closing.
    fn close(&mut self, cell: &Arc<dyn CallCell<T>>, expired: bool) -> Result<Finished<T>, bool> {
        self.state = State::Finished;
        let (closed_while, outcome) = cell.slot().close();
        if let Some(finished) = outcome {
            return Ok(finished);
        }
        let running = closed_while == ClosedWhile::Running;
        Arc::clone(cell).caller_left(closed_while, expired);
        Err(running)
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, CallError>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let call = &mut *self;
        let cell = match &call.state {
            State::Pending(cell) => Arc::clone(cell),
            State::Refused(_) => {
                let State::Refused(error) = std::mem::replace(&mut call.state, State::Finished)
                else {
                    unreachable!("matched above")
                };
                return Poll::Ready(Err(CallError::Rejected(error)));
            }
            State::Finished => panic!("a call was polled after it had ended"),
        };
        if let Poll::Ready(finished) = cell.slot().poll(context) {
            return Poll::Ready(call.finish(finished));
        }
        let expired = call
            .expiry
            .as_mut()
            .is_some_and(|expiry| expiry.poll(context).is_ready());
        if !expired {
            return Poll::Pending;
        }
        call.expiry = None;
        Poll::Ready(match call.close(&cell, true) {
            Ok(finished) => call.finish(finished),
            Err(running) => Err(CallError::DeadlineExceeded { running }),
        })
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        if let State::Pending(cell) = &self.state {
            let cell = Arc::clone(cell);
            // An outcome that nobody waits for is dropped here, on the caller's thread. Its panic
            // would end the task's loop, or the process if the task is being dropped.
            drop_quietly(self.close(&cell, false));
        }
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
