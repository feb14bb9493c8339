//! What running foreign code may ask about its call.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a running call may ask of its cell, and tell it.
pub(crate) trait Cancellation: Send + Sync {
    /// Whether the caller has left.
    fn is_cancelled(&self) -> bool;

    /// Gives the caller the outcome in `outcome`, an `Option` of the call's own type, before the work has
    /// ended. False if that cannot be; then it is still there.
    fn answer(self: Arc<Self>, _outcome: &mut dyn Any) -> bool {
        false
    }

    /// Whether the outcome was given before the work has ended.
    fn is_answered(&self) -> bool {
        false
    }

    /// Asks work that goes on after its outcome to stop.
    fn stop(self: Arc<Self>) {}
}

/// A running call's deadline and cancellation, for code that can look. Cheap to clone, any thread.
#[derive(Clone)]
pub struct CallContext {
    cancellation: Option<Arc<dyn Cancellation>>,
    deadline: Option<Instant>,
}

impl CallContext {
    pub(crate) fn new(cancellation: Arc<dyn Cancellation>, deadline: Option<Instant>) -> Self {
        Self {
            cancellation: Some(cancellation),
            deadline,
        }
    }

    /// A context that is never cancelled and has no deadline; for tests and code without a caller.
    #[must_use]
    pub fn detached() -> Self {
        Self {
            cancellation: None,
            deadline: None,
        }
    }

    /// Whether there is no caller.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.cancellation.is_none()
    }

    /// The same context with another deadline, for work that has no cell of its own (a task on the
    /// loop is cancelled by dropping it).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether the outcome is unwanted: the client left or the deadline passed. Stop early if so. The
    /// deadline is the outcome's, so it does not count any more once the call has
    /// [answered](Self::answer).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation
            .as_ref()
            .is_some_and(|call| call.is_cancelled())
            || self.is_late()
    }

    /// Whether the deadline has passed without an outcome.
    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline <= Instant::now() && !self.is_answered())
    }

    /// Gives the caller its outcome now, while the work goes on: what is left to do, such as to produce
    /// the rest of a large result, is still part of the call. It keeps its worker, its place in the pool
    /// and its session until the work returns; what the work returns is then dropped.
    ///
    /// `T` must be what the call's work returns. Such work should be told when nobody wants the rest any
    /// more, by [`stopper`](Self::stopper), and should say how it gets on: see
    /// [`pool::part_done`](crate::pool::part_done).
    ///
    /// # Errors
    ///
    /// The outcome comes back if the caller has left, if there was an outcome before, if `T` is another
    /// type, or if the call is of a kind that has one outcome at its end only (one of a
    /// [batch](crate::Pool::batching), [`submit_to`](crate::Submission::submit_to), a [`Completer`](crate::Completer)'s, a
    /// [detached](Self::detached) one).
    pub fn answer<T: Send + 'static>(&self, outcome: T) -> Result<(), T> {
        let mut outcome = Some(outcome);
        let is_given = self
            .cancellation
            .as_ref()
            .is_some_and(|call| Arc::clone(call).answer(&mut outcome));
        match outcome {
            Some(outcome) if !is_given => Err(outcome),
            _ => Ok(()),
        }
    }

    /// Whether the call has [answered](Self::answer).
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.cancellation
            .as_ref()
            .is_some_and(|call| call.is_answered())
    }

    /// What stops the work once it has [answered](Self::answer); before, dropping the
    /// [`Call`](crate::Call) does.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.cancellation.clone())
    }

    /// When the outcome becomes worthless.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long the outcome is still wanted; zero once the deadline has passed. `None` when there is no
    /// deadline, or none any more as the call has [answered](Self::answer).
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .filter(|_| !self.is_answered())
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("cancelled", &self.is_cancelled())
            .field("remaining", &self.remaining())
            .finish()
    }
}

/// Asks a call that has [answered](CallContext::answer) to stop, from any thread: its context says that it
/// is cancelled, and its session's [interrupter](crate::SessionKind::interrupter) is run. It does nothing
/// once the call has returned.
#[derive(Clone)]
pub struct Stopper(Option<Arc<dyn Cancellation>>);

impl Stopper {
    /// Asks the call to stop; never blocks.
    pub fn stop(&self) {
        if let Some(call) = &self.0 {
            Arc::clone(call).stop();
        }
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopper")
    }
}

/// Stops a running call from another thread, as `PQcancel` or `KILL QUERY` do.
///
/// It runs on one of the pool's two threads for that, never on a loop, and may block there. A session
/// whose interrupt was fired is not used again: a cancel that arrives late would hit the next call.
pub trait Interrupt: Send + Sync {
    /// How long [`interrupt`](Self::interrupt) may take; default 1 s. When it takes longer the log says
    /// so: as long as both threads hang, no other call of the pool can be interrupted. It is best to
    /// give what it waits for, such as a connection, the same limit.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Asks the session's running call to stop.
    fn interrupt(&self);
}
