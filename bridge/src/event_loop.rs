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

use crate::quiet::{drop_quietly, wake_quietly};
use crate::spin::Spin;
use crate::stats::Durations;
use letter::Letter;
pub(crate) use local::Local;
use local::{Entered, Posted};
use main_waker::MainWaker;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::Result;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Tasks polled per turn before sockets and timers are looked at again.
const TASKS_PER_TURN: usize = 512;
/// Messages moved from the inbox to the ready tasks per turn.
const INBOX_PER_TURN: usize = 512;
/// Timers fired per turn.
const TIMERS_PER_TURN: usize = 512;
/// Tasks polled between two looks at the clock.
const TASKS_PER_CLOCK: usize = 16;
/// While calls come home turn after turn, the OS is asked for events only so often.
const POLL_INTERVAL: Duration = Duration::from_micros(20);
/// Posted closures run per turn.
const POSTED_PER_TURN: usize = 512;
/// Ready sources that a task may use each time it is polled, before the others have their turn.
const SOURCES_PER_POLL: u32 = 128;
/// How long a loop that ends waits for threads that are waking one of its tasks just now.
const LAST_WAKES: Duration = Duration::from_secs(1);

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

impl Local {
    /// The first turn of a `block_on` begins.
    fn begin(&self) {
        let now = Instant::now();
        self.polled.set(now);
        self.clock.set(now);
        // A task whose panic ended the last `block_on` is not polled any more.
        self.polling.set(ptr::null());
    }

    /// Polls tasks that are due, but not those that become due meanwhile without end.
    fn run_ready(&self) {
        for polled in 1..=TASKS_PER_TURN {
            let Some(due) = self.ready.borrow_mut().pop_front() else {
                return;
            };
            self.budget.set(SOURCES_PER_POLL);
            self.polling.set(due.metadata().waker());
            due.run();
            self.polling.set(ptr::null());
            if polled.is_multiple_of(TASKS_PER_CLOCK) {
                let now = Instant::now();
                self.clock.set(now);
                self.visits.borrow_mut().turn_ended(now);
            }
        }
    }

    /// Runs what was posted for later in this turn.
    fn run_posted(&self) {
        for _ in 0..POSTED_PER_TURN {
            let Some(posted) = self.posted.borrow_mut().pop_front() else {
                return;
            };
            // A panic in it must not end the loop; the panic hook has reported it.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(posted)) {
                drop_quietly(panic);
            }
        }
    }

    /// Whether anything can be done without an event.
    fn has_work(&self) -> bool {
        !self.ready.borrow().is_empty()
            || !self.rest.borrow().is_empty()
            || !self.posted.borrow().is_empty()
            || !self.posted_next.borrow().is_empty()
    }

    /// Ends a turn, after a sleep if there is nothing to do, and collects what has happened.
    fn wait(&self, main_is_due: bool) {
        let now = Instant::now();
        self.turns.set(self.turns.get() + 1);
        self.visits.borrow_mut().turn_ended(now);
        let is_busy = main_is_due || self.has_work();
        let came = is_busy || self.shared().mailbox().chain().is_waiting();
        let unpolled = now.saturating_duration_since(self.polled.get());
        let (polled, began) = if came && !is_busy && unpolled < POLL_INTERVAL {
            // Calls come home as fast as they are made: the OS can wait a moment.
            self.take_inbox();
            (Ok(true), now)
        } else {
            self.lag.borrow_mut().record(unpolled);
            let polled = self.poll(came, now);
            self.take_inbox();
            let began = Instant::now();
            self.polled.set(began);
            (polled, began)
        };
        self.clock.set(began);
        self.fire_timers(began);
        self.posted
            .borrow_mut()
            .append(&mut self.posted_next.borrow_mut());
        if let Err(error) = polled {
            panic!("the event loop cannot wait for events any more: {error}");
        }
    }

    /// Asks the OS for events; looks again or sleeps until there are any if nothing else is to be
    /// done.
    fn poll(&self, came: bool, now: Instant) -> Result<bool> {
        if came {
            return self.driver.turn(Some(Duration::ZERO));
        }
        if self.look_again(now) {
            return Ok(true);
        }
        // The last look comes before the inbox is armed: it may wake a worker, whose call then
        // finds this loop asleep or still awake, and both are right.
        self.visits.borrow_mut().leave();
        let timeout = if self.shared().mailbox().chain().arm() {
            self.timers.until_next(Instant::now())
        } else {
            Some(Duration::ZERO)
        };
        if timeout != Some(Duration::ZERO) {
            self.sleeps.set(self.sleeps.get() + 1);
        }
        self.driver.turn(timeout)
    }

    /// Whether something comes, if that is worth waiting for; no longer than the next timer.
    fn look_again(&self, now: Instant) -> bool {
        let chain = self.shared().mailbox().chain();
        let crowding = self.visits.borrow().crowding();
        let limit = self.timers.until_next(now);
        // An error of the poll shows again in the next one.
        let events = || self.driver.turn(Some(Duration::ZERO)).unwrap_or(false);
        self.patience
            .borrow_mut()
            .wait(crowding, limit, || chain.is_waiting(), events)
    }

    /// Takes what other threads sent, bounded; this disarms the inbox.
    fn take_inbox(&self) {
        self.shared().mailbox().wake_fd().acknowledge_edge();
        for _ in 0..INBOX_PER_TURN {
            let mut rest = self.rest.borrow_mut();
            if rest.is_empty() {
                *rest = self.shared().mailbox().chain().take();
            }
            let letter = rest.next();
            drop(rest);
            match letter {
                Some(Letter::Task(due)) => self.ready.borrow_mut().push_back(due),
                Some(Letter::Call(call)) => call.open(),
                None => return,
            }
        }
    }

    fn fire_timers(&self, now: Instant) {
        let mut due = Vec::new();
        let more = self.timers.expire(now, TIMERS_PER_TURN, &mut due);
        due.into_iter().for_each(wake_quietly);
        if more {
            // Come back at once: `until_next` gives zero while timers are due.
            debug_assert!(
                self.timers
                    .until_next(now)
                    .is_some_and(|wait| wait.is_zero())
            );
        }
    }

    fn stats(&self) -> LoopStats {
        let lag: &Durations = &self.lag.borrow();
        LoopStats {
            turns: self.turns.get(),
            sleeps: self.sleeps.get(),
            wake_writes: self.shared().mailbox().rings(),
            tasks: self.tasks.borrow().len(),
            timers: self.timers.pending(),
            lag_p50: lag.quantile(0.5),
            lag_p99: lag.quantile(0.99),
            lag_max: lag.max(),
        }
    }

    /// Drops every task's future on this thread, then refuses what other threads still send.
    fn end(&self) {
        self.drop_posted();
        let until = Instant::now() + LAST_WAKES;
        while !self.tasks.borrow().is_empty() && Instant::now() < until {
            let wakers: Vec<_> = self
                .tasks
                .borrow()
                .iter()
                .filter_map(|(_, waker)| waker.clone())
                .collect();
            wakers.into_iter().for_each(wake_quietly);
            self.drop_due();
            self.drop_posted();
            // A task that another thread is waking just now arrives in the inbox any moment.
            if !self.tasks.borrow().is_empty() {
                thread::yield_now();
            }
        }
        open_calls(self.shared().mailbox().chain().close());
        self.drop_due();
        self.drop_posted();
    }

    /// Drops what was posted. What is dropped may post again, so nothing is borrowed meanwhile; a
    /// value that posts for ever does so a bounded number of times.
    fn drop_posted(&self) {
        for _ in 0..POSTED_PER_TURN {
            let posted = self.posted.take();
            let posted_next = self.posted_next.take();
            if posted.is_empty() && posted_next.is_empty() {
                return;
            }
            drop((posted, posted_next));
        }
    }

    /// Drops due tasks and with them their futures; a bounded number of times, should one's drop
    /// spawn others for ever.
    fn drop_due(&self) {
        for _ in 0..TASKS_PER_TURN {
            let due: VecDeque<_> = std::mem::take(&mut *self.ready.borrow_mut());
            let rest = self.rest.take();
            let taken = self.shared().mailbox().chain().take();
            if due.is_empty() && rest.is_empty() && taken.is_empty() {
                return;
            }
            // Dropping a due task drops its future, which may wake or spawn others.
            drop(due);
            open_calls(rest.chain(taken));
        }
    }
}

/// Drops the tasks among the letters of a loop that ends, and opens its finished calls: whoever waits
/// for them may have moved elsewhere.
fn open_calls(letters: impl Iterator<Item = Letter>) {
    for letter in letters {
        match letter {
            Letter::Task(due) => drop(due),
            Letter::Call(call) => call.open(),
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        let _entered = Entered::new(&self.local);
        self.local.end();
    }
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
