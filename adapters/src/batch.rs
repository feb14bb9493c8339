//! Calls of a blocking adapter that run together.

use std::mem;

use crate::mount::Outcome;
use crate::{CallContext, Request};

/// One of several calls that an adapter answers together: see
/// [`Adapter::call_batch`](crate::Adapter::call_batch).
#[derive(Debug)]
pub struct BatchCall {
    request: Request,
    context: CallContext,
    outcome: Option<Outcome>,
    /// Which call of the batch it is, whatever becomes of their order; none: it is nobody's.
    seat: Option<usize>,
}

impl BatchCall {
    /// This request, to be answered in this context.
    pub fn new(request: Request, context: CallContext) -> Self {
        Self {
            request,
            context,
            outcome: None,
            seat: None,
        }
    }

    pub(crate) fn at(mut self, seat: usize) -> Self {
        self.seat = Some(seat);
        self
    }

    pub(crate) fn seat(&self) -> Option<usize> {
        self.seat
    }

    /// The request, with its whole body.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The request by value; an empty one stays.
    pub fn take_request(&mut self) -> Request {
        mem::take(&mut self.request)
    }

    /// Its own deadline and cancellation. Once it [is cancelled](CallContext::is_cancelled) nobody waits for
    /// this call, but maybe for the others.
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    /// Answers it; said again, the last word counts. The client is told when the whole batch has returned,
    /// and this stands even if it panics first: what only a commit makes true is said after the commit.
    pub fn finish(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// What was answered.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    pub(crate) fn into_parts(self) -> (CallContext, Option<Outcome>) {
        (self.context, self.outcome)
    }
}
