//! The few bridge types that the adapters stand on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Finishes one call, from any thread.
#[derive(Debug)]
pub struct Completer<T> {
    outcome: Mutex<Option<mpsc::Sender<T>>>,
    call: CallContext,
}

impl<T> Completer<T> {
    /// A completer and the place where its value arrives (closed without one: abandoned).
    pub fn channel(call: CallContext) -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel();
        let outcome = Mutex::new(Some(sender));
        (Self { outcome, call }, receiver)
    }

    /// Gives the call its value. False when it has an outcome already.
    pub fn complete(&self, value: T) -> bool {
        let sender = self
            .outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        sender.is_some_and(|sender| sender.send(value).is_ok())
    }

    /// Whether nobody waits for the value any more.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }
}

/// What a running call may ask about itself.
#[derive(Clone, Debug)]
pub struct CallContext {
    cancelled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl CallContext {
    /// A context that belongs to no call: never cancelled, no deadline.
    pub fn detached() -> Self {
        Self::with_flag(Arc::default(), None)
    }

    /// A context that is cancelled when the flag is set.
    pub fn with_flag(cancelled: Arc<AtomicBool>, deadline: Option<Instant>) -> Self {
        Self {
            cancelled,
            deadline,
        }
    }

    /// Whether the call was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// How much time is left, if there is a deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The deadline, if there is one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// Stops a running call from another thread.
pub trait Interrupt: Send + Sync {
    /// Asks the running call to stop.
    fn interrupt(&self);
}
