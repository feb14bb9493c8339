//! Calls of a pool that a worker may run together.

use super::batch::Batch;
use super::line::Line;
use super::{Pool, Session, Submission};
use std::fmt;
use std::sync::Arc;

/// How many calls run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    pub(super) calls: usize,
    pub(super) at_once: usize,
}

impl BatchLimits {
    /// Up to `calls` calls in a batch (at least 1), and one batch at a time: the next one grows while it runs.
    #[must_use]
    pub fn of(calls: usize) -> Self {
        Self {
            calls: calls.max(1),
            at_once: 1,
        }
    }

    /// So many batches may run at a time (at least 1), on as many workers. One that is stuck does not
    /// count.
    #[must_use]
    pub fn at_once(mut self, batches: usize) -> Self {
        self.at_once = batches.max(1);
        self
    }
}

/// Makes calls that are run together; cheap to clone, any thread. Made by [`Pool::batching`].
///
/// It is a handle to its pool as well: the pool ends when the last of either is dropped.
pub struct Batching<S, I, T> {
    pool: Pool<S>,
    line: Arc<Line<S, I, T>>,
}

/// What a call that runs together with others is submitted with, and where it waits.
pub struct ForBatch<'line, S, I, T> {
    pub(super) line: &'line Arc<Line<S, I, T>>,
    pub(super) input: I,
}

impl<S: 'static> Pool<S> {
    /// Calls that a worker may run together, with `run`: one transaction for many writes, one round trip for
    /// many questions. Each call keeps its own input, deadline, cancellation and outcome, and its place in
    /// the pool.
    ///
    /// A worker takes what waits, up to as many calls as the limits say, and never waits for more: a batch
    /// grows while the one before it runs. While batches of these calls follow each other, the worker's other
    /// calls have their turn in between. A call that is past its deadline when it is taken, or whose caller
    /// has left, is no part of the batch.
    ///
    /// The callers learn of the outcomes when `run` has returned. A call for which it
    /// [says](crate::BatchedCall::finish) none ends with [`CallError::Abandoned`](crate::CallError::Abandoned) or, if
    /// `run` panics, with [`CallError::Panicked`](crate::CallError::Panicked). When no session can be
    /// opened, only the oldest call ends with that error, as if it were alone.
    ///
    /// A caller that leaves while the batch runs stops nobody else's work. The session's
    /// [interrupter](crate::SessionKind::interrupter) is used when all callers have left.
    ///
    /// ```
    /// use pontoon_bridge::{Batch, BatchLimits, Pool};
    ///
    /// let pool = Pool::named("ledger").threads(2).session(|| Ok::<_, std::io::Error>(0)).build()?;
    /// // The session, a sum, stands for a database: one "transaction" for all that waits.
    /// let deposits = pool.batching(BatchLimits::of(64), |sum, batch: &mut Batch<u32, u32>| {
    ///     let mut balance = *sum.get();
    ///     let balances: Vec<_> = batch.calls().iter_mut().map(|call| {
    ///         balance += *call.input();
    ///         balance
    ///     }).collect();
    ///     *sum.get() = balance;
    ///     batch.calls().iter_mut().zip(balances).for_each(|(call, balance)| call.finish(balance));
    /// });
    /// assert_eq!(futures_lite::future::block_on(deposits.call(40).submit())?, 40);
    /// assert_eq!(futures_lite::future::block_on(deposits.call(2).submit())?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn batching<I, T>(
        &self,
        limits: BatchLimits,
        run: impl Fn(&mut Session<S>, &mut Batch<I, T>) + Send + Sync + 'static,
    ) -> Batching<S, I, T>
    where
        I: Send + 'static,
        T: Send + 'static,
    {
        Batching {
            line: Line::new(Arc::clone(&self.bound), limits, run),
            pool: self.clone(),
        }
    }
}

impl<S, I, T> Batching<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    /// Describes a call. It starts when the result is awaited or [submitted](Submission::submit).
    pub fn call(&self, input: I) -> Submission<'_, S, ForBatch<'_, S, I, T>> {
        let line = &self.line;
        Submission::new(&self.pool, ForBatch { line, input })
    }

    /// Its pool.
    #[must_use]
    pub fn pool(&self) -> &Pool<S> {
        &self.pool
    }
}

impl<S, I, T> Clone for Batching<S, I, T> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            line: Arc::clone(&self.line),
        }
    }
}

impl<S, I, T> fmt::Debug for Batching<S, I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batching")
            .field("limits", &self.line.limits)
            .finish_non_exhaustive()
    }
}

impl<S, I, T> fmt::Debug for ForBatch<'_, S, I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForBatch")
    }
}
