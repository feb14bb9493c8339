//! What other threads may reach of a loop: its inbox and its wake fd.

use super::letter::Letter;
use super::task::{Link, schedule};
use crate::inbox::Mailbox;
use crate::inbox::envelope::Envelope;
use std::future::Future;
use std::io;
use std::sync::Arc;

/// The part of a loop that is `Send`.
#[derive(Debug)]
pub(crate) struct Shared {
    mailbox: Mailbox<Letter>,
}

impl Shared {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            mailbox: Mailbox::new()?,
        })
    }

    pub(super) fn mailbox(&self) -> &Mailbox<Letter> {
        &self.mailbox
    }

    /// Has the loop open a finished call, which wakes whoever waits for it; any thread.
    ///
    /// # Errors
    ///
    /// Gives it back when the loop is gone.
    pub(crate) fn deliver(&self, call: Envelope<()>) -> Result<(), Envelope<()>> {
        match self.mailbox.push(Letter::Call(call)) {
            Err(Letter::Call(call)) => Err(call),
            // What comes back is what was pushed.
            Ok(()) | Err(Letter::Task(_)) => Ok(()),
        }
    }
}

/// The loop has ended; what was posted to it was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event loop has ended, so nothing can be posted to it any more")]
pub struct LoopGone;

/// Reaches a loop from any thread: `Send`, cheap to clone, and harmless once the loop is gone.
#[derive(Debug, Clone)]
pub struct LoopHandle {
    shared: Arc<Shared>,
}

impl LoopHandle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
        }
    }

    /// Runs `f` on the loop's thread, soon. Wakes the loop if it sleeps.
    ///
    /// # Errors
    ///
    /// [`LoopGone`] when the loop has ended; `f` is dropped on this thread.
    pub fn post(&self, f: impl FnOnce() + Send + 'static) -> Result<(), LoopGone> {
        let (due, task) = async_task::Builder::new()
            .propagate_panic(true)
            .metadata(Link::send())
            .spawn(|_| async move { f() }, schedule(&self.shared));
        task.detach();
        self.shared
            .mailbox
            .push(Letter::Task(due))
            .map_err(|_husk| LoopGone)
    }

    /// Spawns a task on the loop's thread: `make` travels, the future that it makes stays there
    /// and need not be `Send`.
    ///
    /// # Errors
    ///
    /// [`LoopGone`] when the loop has ended; `make` is dropped on this thread.
    pub fn spawn<F>(&self, make: impl FnOnce() -> F + Send + 'static) -> Result<(), LoopGone>
    where
        F: Future<Output = ()> + 'static,
    {
        self.post(move || super::spawn(make()).detach())
    }
}
