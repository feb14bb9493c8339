//! A call that is described but not yet submitted.

use super::worker::{Cell, Job};
use super::{Core, Pool, Session};
use crate::call::{Call, CallContext, Expiry};
use crate::error::SubmitError;
use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A call before it is submitted; await it, or [`submit`](Self::submit) it for a [`Call`] to keep.
#[must_use = "nothing runs until it is awaited or submitted"]
pub struct Submission<'pool, S, F> {
    pool: &'pool Pool<S>,
    work: F,
    deadline: Option<Instant>,
}

impl<'pool, S: 'static, F> Submission<'pool, S, F> {
    pub(super) fn new(pool: &'pool Pool<S>, work: F) -> Self {
        Self {
            pool,
            work,
            deadline: None,
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

impl<S, T, F> Submission<'_, S, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    /// Submits the call. It is under way from now on; when the pool is full or shutting down the
    /// returned call is refused already.
    pub fn submit(self) -> Call<T> {
        let core = self.pool.core();
        if let Err(refused) = enter(core) {
            core.counters.refused.add();
            return Call::refused(refused);
        }
        core.counters.submitted.add();
        let kind = Arc::clone(&self.pool.kind);
        let cell = Arc::new(Cell::new(Arc::clone(core), kind, self.deadline, self.work));
        core.queue_up(Arc::clone(&cell) as Arc<dyn Job>);
        Call::pending(cell, self.deadline.map(Expiry::new))
    }
}

fn enter(core: &Core) -> Result<(), SubmitError> {
    if core.is_shutting_down() {
        return Err(SubmitError::ShuttingDown {
            pool: core.name.clone(),
        });
    }
    core.admission
        .enter()
        .map_err(|in_flight| SubmitError::QueueFull {
            pool: core.name.clone(),
            in_flight,
            retry_after: core.admission.retry_after(),
        })
}

impl<S, T, F> IntoFuture for Submission<'_, S, F>
where
    S: 'static,
    T: Send + 'static,
    F: FnOnce(&mut Session<S>, &CallContext) -> T + Send + 'static,
{
    type Output = Result<T, crate::CallError>;
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
