//! One thread, one `mio::Poll`: tasks, readiness, timers, posted closures, the inbox.
//!
//! ```text
//!           ┌──────────────────────────── one turn ───────────────────────────┐
//!  ready tasks → posted closures → arm the inbox → poll → inbox → I/O → timers → …
//!           └─ bounded ─┘            (only if nothing is left to do)  └ bounded ┘
//! ```
//!
//! Everything here is `!Send` and belongs to the loop's thread, except [`LoopHandle`]. The work of a
//! turn is bounded, so that sockets, timers and the inbox each get their share; how long turns take is
//! recorded as the loop's lag.
//!
//! ```
//! use pontoon_bridge::event_loop::{self, EventLoop};
//! use std::time::Duration;
//!
//! let event_loop = EventLoop::new()?;
//! let sum = event_loop.block_on(async {
//!     let task = event_loop::spawn(async {
//!         event_loop::sleep(Duration::from_millis(5)).await;
//!         40
//!     });
//!     task.await + 2
//! });
//! assert_eq!(sum, 42);
//! # Ok::<(), std::io::Error>(())
//! ```

mod async_fd;
mod io;
mod letter;
mod local;
mod main_waker;
mod net;
mod shared;
mod task;
mod timer;
mod turn;
mod wheel;

pub use async_fd::AsyncFd;
pub use io::Direction;
pub(crate) use local::try_current;
pub use mio::Interest;
pub use net::{TcpListener, TcpStream, UnixListener, UnixStream};
pub(crate) use shared::Shared;
pub use shared::{LoopGone, LoopHandle};
pub use task::Task;
pub(crate) use timer::Alarm;
pub use timer::{TimedOut, Timer, sleep, timeout};

use crate::spin::Spin;
pub(crate) use local::Local;
use local::{Entered, Posted};
use main_waker::MainWaker;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::Result;
use std::pin::pin;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Ready sources that a task may use each time it is polled, before the others have their turn.
const SOURCES_PER_POLL: u32 = 128;

/// An event loop; it lives on the thread that made it.
#[derive(Debug)]
pub struct EventLoop {
    local: Rc<Local>,
}

/// What a loop has done.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoopStats {
    /// Turns so far.
    pub turns: u64,
    /// Turns in which it slept.
    pub sleeps: u64,
    /// Writes to its wake fd by other threads: at most one per sleep.
    pub wake_writes: u64,
    /// Tasks alive.
    pub tasks: usize,
    /// Timers pending.
    pub timers: usize,
    /// Lag: how long events may have waited because the loop was busy. Quantiles, maximum.
    pub lag_p50: Duration,
    /// See `lag_p50`.
    pub lag_p99: Duration,
    /// See `lag_p50`.
    pub lag_max: Duration,
}

impl EventLoop {
    /// Makes a loop on this thread.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left for the poll and the wake fd.
    pub fn new() -> Result<Self> {
        Self::with_spin(Spin::default())
    }

    /// As [`new`](Self::new), with a limit on how long the loop may look again before it sleeps.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_spin(spin: Spin) -> Result<Self> {
        Ok(Self {
            local: Rc::new(Local::new(spin)?),
        })
    }

    /// Reaches the loop from other threads.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.local.shared())
    }

    /// Starts a task; it runs while [`block_on`](Self::block_on) does.
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        task::spawn(&self.local, future)
    }

    /// Runs the loop until `future` is ready. Tasks that are left stay, for the next `block_on`.
    ///
    /// # Panics
    ///
    /// With `future`'s own panic; when called inside a running loop; and when polling the OS for
    /// events fails, which only a bug or a closed poll fd makes happen.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            local::try_current().is_none(),
            "a loop runs on this thread already: use `spawn`"
        );
        let _entered = Entered::new(&self.local);
        let woken = Arc::new(MainWaker::new(self.handle()));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        self.local.begin();
        loop {
            self.local.budget.set(SOURCES_PER_POLL);
            if woken.take() {
                self.local.polling.set(waker.data());
                let polled = future.as_mut().poll(&mut context);
                self.local.polling.set(ptr::null());
                if let Poll::Ready(output) = polled {
                    return output;
                }
            }
            self.local.run_ready();
            self.local.run_posted();
            self.local.wait(woken.is_set());
        }
    }

    /// What the loop has done so far.
    #[must_use]
    pub fn stats(&self) -> LoopStats {
        self.local.stats()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        let _entered = Entered::new(&self.local);
        self.local.end();
    }
}

/// Whether this thread runs an event loop now, and so must not block.
#[must_use]
pub fn is_here() -> bool {
    local::try_current().is_some()
}

/// Starts a task on the current loop.
///
/// # Panics
///
/// Outside an event loop.
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    task::spawn(&local::current(), future)
}

/// Reaches the current loop from other threads.
///
/// # Panics
///
/// Outside an event loop.
#[must_use]
pub fn handle() -> LoopHandle {
    LoopHandle::new(local::current().shared())
}

/// Runs `f` later in this turn of the current loop, after the tasks that are due.
///
/// # Panics
///
/// Outside an event loop.
pub fn post(f: impl FnOnce() + 'static) {
    push(&local::current().posted, Box::new(f));
}

/// Runs `f` in the next turn of the current loop, after it has looked at sockets and timers.
///
/// # Panics
///
/// Outside an event loop.
pub fn post_next(f: impl FnOnce() + 'static) {
    push(&local::current().posted_next, Box::new(f));
}

fn push(queue: &RefCell<VecDeque<Posted>>, posted: Posted) {
    queue.borrow_mut().push_back(posted);
}

/// Lets the other due tasks, sockets and timers of the current loop have their turn first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The time at which the current loop last looked at the clock: when this turn began, or a few tasks
/// ago. For events that came in this turn it is the better estimate of their arrival, and it costs
/// nothing.
///
/// # Panics
///
/// Outside an event loop.
#[must_use]
pub fn now() -> Instant {
    local::current().now()
}

/// What the current loop has done so far.
///
/// # Panics
///
/// Outside an event loop.
#[must_use]
pub fn stats() -> LoopStats {
    local::current().stats()
}

#[cfg(test)]
mod tests;
