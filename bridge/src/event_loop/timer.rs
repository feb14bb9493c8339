//! Timers of a loop: one-shot, periodic, cancellable, re-armable. Local to the loop's thread.

use super::local::{self, Local, LoopId};
use super::wheel;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The longest a timer may be set for; longer ones fire then.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// A place in a loop's wheel. It may travel to other threads, but only its loop's thread can do
/// anything with it; if it is dropped elsewhere its entry stays until it is due and then wakes a
/// task that has no use for it.
#[derive(Debug)]
pub(crate) struct Alarm {
    loop_id: LoopId,
    due: Instant,
    key: Option<wheel::Key>,
    /// The wheel has it under another time than `due`.
    misfiled: bool,
}

impl Alarm {
    /// `None` when this thread is not in an event loop.
    pub(crate) fn at(due: Instant) -> Option<Self> {
        let loop_id = local::try_current()?.id();
        Some(Self {
            loop_id,
            due,
            key: None,
            misfiled: false,
        })
    }

    /// The loop it belongs to, if that runs on this thread.
    fn home(&self) -> Option<Rc<Local>> {
        local::try_current().filter(|local| local.id() == self.loop_id)
    }

    /// Whether this thread is the one that can fire it.
    pub(crate) fn is_home(&self) -> bool {
        self.home().is_some()
    }

    /// Sets it anew. Away from its loop (before or after `block_on`) it leaves the wheel as it is,
    /// and the next poll files it.
    fn rearm(&mut self, due: Instant) {
        self.due = due;
        match (self.key, self.home()) {
            (Some(key), Some(local)) if !local.timers.rearm(key, due) => self.key = None,
            (Some(_), None) => self.misfiled = true,
            _ => {}
        }
    }

    fn forget(&mut self) {
        if let (Some(key), Some(local)) = (self.key.take(), self.home()) {
            drop(local.timers.cancel(key));
        }
    }

    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.due <= Instant::now() {
            self.forget();
            return Poll::Ready(());
        }
        if let Some(local) = self.home() {
            if std::mem::take(&mut self.misfiled) {
                self.rearm(self.due);
            }
            let waiting = self
                .key
                .is_some_and(|key| local.timers.set_waker(key, context.waker()));
            if !waiting {
                self.key = Some(local.timers.insert(self.due, context.waker().clone()));
            }
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.forget();
    }
}

/// A timer of the loop on whose thread it was made. Awaiting it waits for it; dropping it cancels
/// it. It never fires early, and at most about a millisecond late on an idle loop.
#[derive(Debug)]
pub struct Timer {
    alarm: Alarm,
    period: Option<Duration>,
    not_send: PhantomData<*const ()>,
}

impl Timer {
    /// Fires once, after `delay`.
    ///
    /// # Panics
    ///
    /// Outside an event loop.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self::at(Instant::now() + delay.min(FAR))
    }

    /// Fires once, at `due`; at once if that has passed.
    ///
    /// # Panics
    ///
    /// Outside an event loop.
    #[must_use]
    pub fn at(due: Instant) -> Self {
        let alarm = Alarm::at(due).expect("a timer needs an event loop: make it in a task of one");
        Self {
            alarm,
            period: None,
            not_send: PhantomData,
        }
    }

    /// Fires after each `period`; see [`tick`](Self::tick).
    ///
    /// # Panics
    ///
    /// Outside an event loop, and when `period` is zero.
    #[must_use]
    pub fn every(period: Duration) -> Self {
        assert!(
            !period.is_zero(),
            "a periodic timer needs a period above zero"
        );
        let mut timer = Self::after(period);
        timer.period = Some(period);
        timer
    }

    /// Sets the timer anew, to fire `delay` from now, whether it was pending, fired or cancelled.
    pub fn rearm(&mut self, delay: Duration) {
        self.rearm_at(Instant::now() + delay.min(FAR));
    }

    /// As [`rearm`](Self::rearm), at a point in time.
    pub fn rearm_at(&mut self, due: Instant) {
        self.alarm.rearm(due);
    }

    /// Cancels the timer: whoever awaits it waits until it is [re-armed](Self::rearm).
    pub fn cancel(&mut self) {
        self.alarm.rearm(Instant::now() + FAR);
    }

    /// When it fires next.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.alarm.due
    }

    /// Waits for the next firing of a periodic timer. Firings that were missed because the loop or
    /// the caller was late are skipped, not made up for.
    pub async fn tick(&mut self) {
        (&mut *self).await;
        if let Some(period) = self.period {
            let late = self.due().elapsed().as_nanos();
            let missed = u32::try_from(late / period.as_nanos()).unwrap_or(u32::MAX);
            self.alarm
                .rearm(self.due() + period.saturating_mul(missed) + period);
        }
    }
}

impl Future for Timer {
    type Output = ();

    /// # Panics
    ///
    /// When it is not due and polled by anything but its own loop: nothing would ever wake the
    /// task.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let fired = self.alarm.poll(context);
        assert!(
            fired.is_ready() || self.alarm.is_home(),
            "a timer is polled by the loop that it was made on, and this is another place"
        );
        fired
    }
}

/// Waits for `delay` on the current loop.
///
/// # Panics
///
/// Outside an event loop.
pub async fn sleep(delay: Duration) {
    Timer::after(delay).await;
}

/// What [`timeout`] gives when the time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {0:?}")]
pub struct TimedOut(pub Duration);

/// Runs `future` for at most `limit`; then drops it.
///
/// # Errors
///
/// [`TimedOut`] when the limit passed first.
///
/// # Panics
///
/// Outside an event loop.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, TimedOut> {
    let mut future = std::pin::pin!(future);
    let mut timer = Timer::after(limit);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut timer)
            .poll(context)
            .map(|()| Err(TimedOut(limit)))
    })
    .await
}

/// A loop's pending timers: a wheel of milliseconds since the loop began.
pub(super) struct Timers {
    wheel: std::cell::RefCell<wheel::Wheel<Waker>>,
    start: Instant,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self {
            wheel: wheel::Wheel::new().into(),
            start: Instant::now(),
        }
    }

    /// The first tick that is not before `due`: a timer never fires early.
    fn tick_of(&self, due: Instant) -> u64 {
        let since_start = due.saturating_duration_since(self.start);
        let whole = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX);
        let is_between = !since_start.subsec_nanos().is_multiple_of(1_000_000);
        whole.saturating_add(u64::from(is_between))
    }

    /// The last tick that has begun by `now`.
    fn tick_at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    fn insert(&self, due: Instant, waker: Waker) -> wheel::Key {
        self.wheel.borrow_mut().insert(self.tick_of(due), waker)
    }

    fn cancel(&self, key: wheel::Key) -> Option<Waker> {
        self.wheel.borrow_mut().cancel(key)
    }

    fn rearm(&self, key: wheel::Key, due: Instant) -> bool {
        self.wheel.borrow_mut().rearm(key, self.tick_of(due))
    }

    /// Makes `waker` the one to be woken; false when the timer is not pending any more.
    fn set_waker(&self, key: wheel::Key, waker: &Waker) -> bool {
        match self.wheel.borrow_mut().get_mut(key) {
            None => return false,
            Some(slot) if slot.will_wake(waker) => return true,
            Some(_) => {}
        }
        // Cloning and dropping a waker is foreign code and may reach a timer: not while the wheel
        // is borrowed.
        let mut waker = waker.clone();
        if let Some(slot) = self.wheel.borrow_mut().get_mut(key) {
            std::mem::swap(slot, &mut waker);
        }
        drop(waker);
        true
    }

    /// How long the loop may sleep for the timers' sake.
    pub(super) fn until_next(&self, now: Instant) -> Option<Duration> {
        let tick = self.wheel.borrow().next_due_tick()?;
        // Beyond the end of time nobody waits for it.
        let due = self.start.checked_add(Duration::from_millis(tick))?;
        Some(due.saturating_duration_since(now))
    }

    /// Collects the wakers of at most `limit` due timers; true if more are due.
    pub(super) fn expire(&self, now: Instant, limit: usize, due: &mut Vec<Waker>) -> bool {
        let tick = self.tick_at(now);
        self.wheel.borrow_mut().advance(tick, limit, due)
    }

    pub(super) fn pending(&self) -> usize {
        self.wheel.borrow().len()
    }
}
