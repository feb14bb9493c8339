//! When a waiting call gives up: a timer of the loop that polls it, or of the process's clock
//! thread when some other executor does.

use crate::event_loop;
use crate::quiet::wake_quietly;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

/// A deadline that wakes the task which waits for it.
#[derive(Debug)]
pub(crate) struct Expiry {
    at: Instant,
    alarm: Option<Alarm>,
}

#[derive(Debug)]
enum Alarm {
    Loop(event_loop::Alarm),
    Clock(ClockEntry),
}

impl Expiry {
    pub(crate) fn new(at: Instant) -> Self {
        Self { at, alarm: None }
    }

    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Ready once the deadline has passed. The alarm is set on the first look, so a call that
    /// finishes at once costs none.
    ///
    /// `is_own` says that the waker is one of the loop that runs on this thread; otherwise that
    /// loop's timers may not turn before the deadline.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, is_own: bool) -> Poll<()> {
        if matches!(&self.alarm, Some(Alarm::Loop(alarm)) if !is_own || !alarm.is_home()) {
            // The call has moved since.
            self.alarm = None;
        }
        let at = self.at;
        match self.alarm.get_or_insert_with(|| Alarm::new(at, is_own)) {
            Alarm::Loop(alarm) => alarm.poll(context),
            Alarm::Clock(entry) => entry.poll(context),
        }
    }
}

impl Alarm {
    fn new(at: Instant, is_own: bool) -> Self {
        let of_loop = is_own.then(|| event_loop::Alarm::at(at)).flatten();
        of_loop.map_or(Self::Clock(ClockEntry { at, id: None }), Self::Loop)
    }
}

/// The process's clock thread, for calls that other executors await.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Protects the alarms only; wakers are called after it is released.
    alarms: Mutex<Alarms>,
    earlier: Condvar,
}

#[derive(Debug, Default)]
struct Alarms {
    by_time: BTreeMap<(Instant, u64), Waker>,
    next_id: u64,
}

impl Clock {
    /// The clock, started on first use. Pools ask for it when they are built, so that a refused
    /// thread shows at start.
    ///
    /// # Errors
    ///
    /// When the OS refuses the thread.
    pub(crate) fn get() -> io::Result<&'static Self> {
        static CLOCK: Clock = Clock {
            alarms: Mutex::new(Alarms {
                by_time: BTreeMap::new(),
                next_id: 0,
            }),
            earlier: Condvar::new(),
        };
        static STARTED: OnceLock<()> = OnceLock::new();
        if STARTED.get().is_none() {
            static STARTING: Mutex<()> = Mutex::new(());
            let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
            if STARTED.get().is_none() {
                fault_point!(ThreadStart);
                thread::Builder::new()
                    .name("pontoon-clock".to_owned())
                    .spawn(|| CLOCK.run())?;
                STARTED.get_or_init(|| ());
            }
        }
        Ok(&CLOCK)
    }

    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        crate::pool::block_signals();
        let mut due = Vec::new();
        let mut alarms = self.alarms();
        loop {
            let now = Instant::now();
            while let Some(entry) = alarms.by_time.first_entry() {
                if entry.key().0 > now {
                    break;
                }
                due.push(entry.remove());
            }
            if !due.is_empty() {
                drop(alarms);
                due.drain(..).for_each(wake_quietly);
                alarms = self.alarms();
                continue;
            }
            let next = alarms.by_time.first_key_value().map(|((at, _), _)| *at);
            alarms = match next {
                Some(at) => {
                    let wait = at.saturating_duration_since(now);
                    self.earlier
                        .wait_timeout(alarms, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .earlier
                    .wait(alarms)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// One task's place in the clock's list; leaves it when dropped.
#[derive(Debug)]
struct ClockEntry {
    at: Instant,
    id: Option<u64>,
}

impl ClockEntry {
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.at <= Instant::now() {
            return Poll::Ready(());
        }
        let clock = match Clock::get() {
            Ok(clock) => clock,
            Err(error) => {
                tracing::error!(%error, "no clock thread: a deadline cannot be held, so it ends now");
                return Poll::Ready(());
            }
        };
        // Cloning and dropping wakers is the executor's code: not under the lock.
        let waker = context.waker().clone();
        let mut alarms = clock.alarms();
        let id = *self.id.get_or_insert_with(|| {
            alarms.next_id += 1;
            alarms.next_id
        });
        let replaced = alarms.by_time.insert((self.at, id), waker);
        let is_first = alarms
            .by_time
            .first_key_value()
            .is_some_and(|(key, _)| key.1 == id);
        drop(alarms);
        drop(replaced);
        if is_first {
            clock.earlier.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for ClockEntry {
    fn drop(&mut self) {
        if let (Some(id), Ok(clock)) = (self.id, Clock::get()) {
            let waker = clock.alarms().by_time.remove(&(self.at, id));
            drop(waker);
        }
    }
}
