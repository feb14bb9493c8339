//! What running foreign code may ask about its call.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether the caller has left.
pub(crate) trait Cancellation: Send + Sync {
    fn is_cancelled(&self) -> bool;
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

    /// The same context with another deadline, for work that has no cell of its own (a task on the
    /// loop is cancelled by dropping it).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether the outcome is unwanted: the client left or the deadline passed. Stop early if so.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation
            .as_ref()
            .is_some_and(|call| call.is_cancelled())
            || self
                .deadline
                .is_some_and(|deadline| deadline <= Instant::now())
    }

    /// When the outcome becomes worthless.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long the outcome is still wanted; zero once the deadline has passed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
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
