//! Calls that a worker has taken together, as the foreign code sees them.

use super::breaker::Ended;
use super::member::Cargo;
use super::serve::CallerSpan;
use crate::call::CallContext;
use std::fmt;

/// Calls that run together: at least one, the oldest first. See [`Pool::batching`](crate::Pool::batching).
#[derive(Debug)]
pub struct Batch<I, T> {
    calls: Vec<BatchedCall<I, T>>,
}

/// One call of a [`Batch`], with its own input, context and outcome.
pub struct BatchedCall<I, T> {
    pub(super) input: I,
    pub(super) context: CallContext,
    tag: u64,
    /// Which of the batch's calls it is, whatever becomes of their order.
    pub(super) seat: usize,
    pub(super) span: CallerSpan,
    pub(super) outcome: Option<T>,
    /// What it says of the backend, if it is not what its end says.
    pub(super) said: Option<Ended>,
}

impl<I, T> Batch<I, T> {
    pub(super) fn of(first: BatchedCall<I, T>) -> Self {
        Self { calls: vec![first] }
    }

    pub(super) fn add(&mut self, mut call: BatchedCall<I, T>) {
        call.seat = self.calls.len();
        self.calls.push(call);
    }

    /// The calls as they were taken: foreign code may have put them into another order.
    pub(super) fn into_calls(mut self) -> Vec<BatchedCall<I, T>> {
        self.calls.sort_by_key(|call| call.seat);
        self.calls
    }

    /// The calls, the oldest first; never none. They may be put into another order.
    pub fn calls(&mut self) -> &mut [BatchedCall<I, T>] {
        &mut self.calls
    }
}

impl<I, T> BatchedCall<I, T> {
    pub(super) fn new(cargo: Cargo<I>, context: CallContext, tag: u64) -> Self {
        Self {
            input: cargo.input,
            context,
            tag,
            seat: 0,
            span: cargo.span,
            outcome: None,
            said: None,
        }
    }

    /// What it was submitted with. It is dropped just before its caller learns of the outcome.
    pub fn input(&mut self) -> &mut I {
        &mut self.input
    }

    /// Its own deadline and cancellation: work for it alone is of no use once it
    /// [is cancelled](CallContext::is_cancelled). The others of the batch may still be wanted.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    /// The [number](crate::Submission::tag) that its caller gave it.
    #[must_use]
    pub fn tag(&self) -> Option<u64> {
        Some(self.tag).filter(|tag| *tag != 0)
    }

    /// Says how it ended; said again, the last word counts. Its caller is told when the batch has
    /// returned, and it stands even if the batch panics after this: what only a commit makes true is said
    /// after the commit.
    pub fn finish(&mut self, outcome: T) {
        self.outcome = Some(outcome);
    }

    /// What was said of how it ended.
    #[must_use]
    pub fn outcome(&self) -> Option<&T> {
        self.outcome.as_ref()
    }

    /// As [`Session::backend_failed`](crate::Session::backend_failed), for this call alone.
    pub fn backend_failed(&mut self) {
        self.said = Some(Ended::CallFailed);
    }

    /// As [`Session::backend_unknown`](crate::Session::backend_unknown), for this call alone.
    pub fn backend_unknown(&mut self) {
        self.said = Some(Ended::NoMatter);
    }

    /// Runs what is done for this call alone in the span that it was submitted in. The batch as a whole
    /// runs in none.
    pub fn in_span<R>(&self, run: impl FnOnce() -> R) -> R {
        let _in_the_request = self.span.enter();
        run()
    }
}

impl<I, T> fmt::Debug for BatchedCall<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchedCall")
            .field("tag", &self.tag)
            .field("context", &self.context)
            .field("is_finished", &self.outcome.is_some())
            .finish_non_exhaustive()
    }
}
