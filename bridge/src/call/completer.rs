//! The `Send` handle that finishes a call from any thread, once.

use super::{Call, CallCell, CallContext, ClosedWhile, Finished, Refused, Slot};
use crate::call::context::Cancellation;
use crate::error::CallError;
use crate::pool::drop_quietly;
use std::any::Any;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Makes a call and the handle that completes it, for libraries that call back by themselves.
pub fn call<T: Send + 'static>() -> (Call<T>, Completer<T>) {
    let cell = Arc::new(Cell {
        slot: Slot::new(),
        submitted: Instant::now(),
    });
    // A callback library has the call from the start: it is never skipped, only asked to stop.
    cell.slot.start();
    (
        Call::pending(cell.clone(), None),
        Completer {
            cell,
            held: Mutex::new(None),
        },
    )
}

struct Cell<T> {
    slot: Slot<Finished<T>>,
    submitted: Instant,
}

impl<T: Send> CallCell<T> for Cell<T> {
    fn slot(&self) -> &Slot<Finished<T>> {
        &self.slot
    }

    fn caller_left(self: Arc<Self>, _: ClosedWhile, _: bool) {}
}

impl<T: Send> Cancellation for Cell<T> {
    fn is_cancelled(&self) -> bool {
        self.slot.is_closed()
    }
}

/// Completions that changed nothing, over the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompleterStats {
    /// A library called back again after it had called back.
    pub repeated: u64,
    /// A library called back after the caller had left or its deadline had passed.
    pub late: u64,
}

static REPEATED: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicU64 = AtomicU64::new(0);

impl CompleterStats {
    /// The counts so far.
    #[must_use]
    pub fn read() -> Self {
        // Relaxed: statistics.
        Self {
            repeated: REPEATED.load(Relaxed),
            late: LATE.load(Relaxed),
        }
    }
}

/// Finishes one [`Call`], from any thread, once.
///
/// Foreign code is hostile by accident, so every misuse has a defined result: completing again is a
/// counted no-op, completing late drops the value, and dropping the completer without completing
/// ends the call with [`CallError::Abandoned`].
pub struct Completer<T: Send + 'static> {
    cell: Arc<Cell<T>>,
    /// What the call occupies until the library has called back or let go of it. The lock protects
    /// only the taking; what was taken is dropped outside of it.
    held: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<T: Send + 'static> Completer<T> {
    /// Gives the outcome and wakes whoever awaits the call. Never blocks.
    ///
    /// False when the value came second or late; it is dropped and counted in
    /// [`CompleterStats`].
    pub fn complete(&self, value: T) -> bool {
        self.finish(Ok(value))
    }

    /// Keeps `held` until the library has called back or let go of the completer, for instance a
    /// place in a limit: until then it still has the call, whoever has given up on it.
    #[must_use]
    pub fn holding(self, held: impl Send + 'static) -> Self {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(held));
        self
    }

    fn let_go(&self) {
        let held = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // We may be in a foreign callback: a panic must not get there.
        drop_quietly(held);
    }

    /// Whether nobody waits any more: the client left or the deadline passed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cell.slot.is_closed()
    }

    /// What adapters hand to code that may look whether it should stop.
    #[must_use]
    pub fn context(&self, deadline: Option<Instant>) -> CallContext {
        CallContext::new(self.cell.clone(), deadline)
    }

    fn finish(&self, result: Result<T, CallError>) -> bool {
        // The place first: whoever is woken finds room.
        self.let_go();
        let at = Instant::now();
        let service = at.saturating_duration_since(self.cell.submitted);
        let finished = Finished {
            result,
            queue: Duration::ZERO,
            service,
            at,
        };
        let (counter, value) = match self.cell.slot.complete(finished) {
            Ok(()) => return true,
            Err(Refused::Second(value)) => (&REPEATED, value),
            Err(Refused::Late(value)) => (&LATE, value),
        };
        // Relaxed: a statistic.
        counter.fetch_add(1, Relaxed);
        // We may be in a foreign callback: a panic must not get there.
        drop_quietly(value);
        false
    }
}

impl<T: Send + 'static> Drop for Completer<T> {
    fn drop(&mut self) {
        if !self.cell.slot.is_claimed() {
            self.finish(Err(CallError::Abandoned));
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Completer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completer")
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
