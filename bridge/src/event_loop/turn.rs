//! One turn of a loop, and its end: what runs, how long it may, when the loop sleeps.

use super::letter::Letter;
use super::local::Local;
use super::{LoopStats, SOURCES_PER_POLL};
use crate::quiet::{drop_quietly, wake_quietly};
use crate::stats::Durations;
use std::collections::VecDeque;
use std::io::Result;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
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
/// No sleep is longer. Nothing depends on it while the wake fd works; if a library has closed it, what
/// was sent is found all the same. Tests that have it fail some thousand times wait for less.
const LONGEST_SLEEP: Duration = if cfg!(feature = "fault-points") {
    Duration::from_millis(20)
} else {
    Duration::from_secs(1)
};
/// Nor than this while the wake fd cannot be written.
const LONGEST_MUTE_SLEEP: Duration = Duration::from_millis(10);
/// How long a loop that ends waits for threads that are waking one of its tasks just now.
const LAST_WAKES: Duration = Duration::from_secs(1);

impl Local {
    /// The first turn of a `block_on` begins.
    pub(super) fn begin(&self) {
        let now = Instant::now();
        self.polled.set(now);
        self.clock.set(now);
        // A task whose panic ended the last `block_on` is not polled any more.
        self.polling.set(ptr::null());
    }

    /// Polls tasks that are due, but not those that become due meanwhile without end.
    pub(super) fn run_ready(&self) {
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
    pub(super) fn run_posted(&self) {
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
    pub(super) fn wait(&self, main_is_due: bool) {
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
            self.sleep_limit()
        } else {
            Some(Duration::ZERO)
        };
        if timeout != Some(Duration::ZERO) {
            self.sleeps.set(self.sleeps.get() + 1);
        }
        self.driver.turn(timeout)
    }

    /// How long the loop may sleep now.
    fn sleep_limit(&self) -> Option<Duration> {
        let longest = if self.shared().mailbox().is_mute() {
            LONGEST_MUTE_SLEEP
        } else {
            LONGEST_SLEEP
        };
        let until_timer = self.timers.until_next(Instant::now());
        Some(until_timer.map_or(longest, |until| until.min(longest)))
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

    pub(super) fn stats(&self) -> LoopStats {
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
    pub(super) fn end(&self) {
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
