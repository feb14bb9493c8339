//! What a wire knows of a body that is produced while it is sent.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::Instant;

/// One for each connection; it sends one response at a time.
#[derive(Debug, Default)]
pub(crate) struct Streaming {
    /// When the body must have ended.
    until: Cell<Option<Instant>>,
    /// It has not.
    is_overdue: Cell<bool>,
    /// What was given to hyper has gone into the socket.
    is_flushed: Cell<bool>,
    /// The body has failed, and waits for that.
    waits_for_flush: Cell<bool>,
    /// The connection ends with a reset: its end would look like that of the body.
    is_reset: Cell<bool>,
}

impl Streaming {
    /// A body begins, and must have ended at `until`.
    pub(crate) fn begin(&self, until: Option<Instant>) {
        self.until.set(until);
        self.is_flushed.set(false);
    }

    /// The request is over.
    pub(crate) fn end(&self) {
        self.until.set(None);
    }

    /// When the body that is being sent must have ended.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until.get()
    }

    /// The body's time is up.
    pub(crate) fn set_overdue(&self) {
        self.is_overdue.set(true);
    }

    pub(crate) fn is_overdue(&self) -> bool {
        self.is_overdue.get()
    }

    /// A part of the body has gone into hyper.
    pub(crate) fn part_taken(&self) {
        self.is_flushed.set(false);
    }

    /// hyper has written all that it had.
    pub(crate) fn flushed(&self, context: &Context<'_>) {
        self.is_flushed.set(true);
        if self.waits_for_flush.take() {
            context.waker().wake_by_ref();
        }
    }

    /// Ready once hyper has written all that it had.
    pub(crate) fn poll_flushed(&self) -> Poll<()> {
        if self.is_flushed.get() {
            return Poll::Ready(());
        }
        self.waits_for_flush.set(true);
        Poll::Pending
    }

    pub(crate) fn set_reset(&self) {
        self.is_reset.set(true);
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.is_reset.get()
    }
}
