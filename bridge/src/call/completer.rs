//! The `Send` handle that finishes a call from any thread, once.

use super::{
    Call, CallCell, CallContext, Cancellation, Closed, Finished, Home, Left, Posts, Refused, Slot,
    settle,
};
use crate::error::CallError;
use crate::inbox::envelope::{Header, Shared};
use crate::quiet::drop_quietly;
use std::any::Any;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

/// Makes a call and the handle that completes it, for libraries that call back by themselves.
pub fn call<T: Send + 'static>() -> (Call<T>, Completer<T>) {
    let submitted = Instant::now();
    let cell = Arc::new(Cell {
        header: Header::of::<Arc<Cell<T>>>(),
        slot: Slot::running(),
        submitted,
    });
    (
        Call::pending(cell.clone(), submitted, None),
        Completer {
            cell,
            held: Mutex::new(None),
        },
    )
}

#[repr(C)]
struct Cell<T> {
    header: Header<()>,
    slot: Slot<(), Finished<T>, Home>,
    submitted: Instant,
}

// SAFETY: `Cell` is `repr(C)`, its header comes first and is made for `Arc<Self>` in `call`; the only
// envelope of a cell is made by the one completion that the slot takes.
unsafe impl<T: Send> Shared<()> for Cell<T> {
    fn open(self: Arc<Self>) {
        // SAFETY: the envelope was made to deliver what `complete` owed, and is opened once.
        unsafe { self.slot.deliver() };
    }
}

impl<T: Send> CallCell<T> for Cell<T> {
    fn poll(&self, waker: &Waker, home: Option<&Home>) -> Poll<Finished<T>> {
        self.slot.poll(waker, home)
    }

    fn leave(self: Arc<Self>, _expired: bool) -> Left<T> {
        match self.slot.close() {
            Closed::Done(finished) => Left::Done(finished),
            Closed::Running | Closed::Queued(_) => Left::Running,
        }
    }
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
        let finished = Finished {
            result: result.map_err(Box::new),
            started: self.cell.submitted,
            ended: Instant::now(),
        };
        let mut posts = Posts::default();
        let completed = self.cell.slot.complete(finished, |home| posts.keep(home));
        let (counter, value) = match completed {
            Ok(owed) => {
                settle(Arc::clone(&self.cell), owed);
                return true;
            }
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
