//! What only the loop's own thread touches; no locks, no atomics.

use super::io::Driver;
use super::letter::Letter;
use super::shared::Shared;
use super::task::Due;
use super::timer::Timers;
use crate::inbox::chain::Taken;
use crate::spin::{Patience, Spin};
use crate::stats::Durations;
use crate::visits::{Tended, Visits};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::Instant;

pub(super) type Posted = Box<dyn FnOnce()>;

/// Distinguishes the loops of a process, also those that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoopId(u64);

/// The loop's own state.
pub(crate) struct Local {
    id: LoopId,
    shared: Arc<Shared>,
    pub(super) driver: Driver,
    pub(super) timers: Timers,
    /// Tasks to be polled, oldest wake first.
    pub(super) ready: RefCell<VecDeque<Due>>,
    /// Taken from the inbox, not yet opened.
    pub(super) rest: RefCell<Taken<Letter>>,
    /// To be run later in this turn.
    pub(super) posted: RefCell<VecDeque<Posted>>,
    /// To be run in the next turn.
    pub(super) posted_next: RefCell<VecDeque<Posted>>,
    /// The wakers of all tasks whose futures live.
    pub(super) tasks: RefCell<Slab<Option<Waker>>>,
    /// How often the task that runs now may still use a source that is ready.
    pub(super) budget: Cell<u32>,
    /// The pools that tasks have submitted to since the loop last slept.
    pub(super) visits: RefCell<Visits>,
    pub(super) patience: RefCell<Patience>,
    /// When the OS was last asked for events.
    pub(super) polled: Cell<Instant>,
    /// When somebody last looked at the clock: in this turn, and not many tasks ago.
    pub(super) clock: Cell<Instant>,
    /// What the wakers of the task point to that is polled now; null between tasks.
    pub(super) polling: Cell<*const ()>,
    pub(super) lag: RefCell<Durations>,
    pub(super) turns: Cell<u64>,
    pub(super) sleeps: Cell<u64>,
}

impl Local {
    pub(super) fn new(spin: Spin) -> io::Result<Self> {
        let now = Instant::now();
        let shared = Arc::new(Shared::new()?);
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            // Relaxed: only uniqueness counts.
            id: LoopId(NEXT_ID.fetch_add(1, Relaxed)),
            driver: Driver::new(shared.mailbox().wake_fd())?,
            shared,
            timers: Timers::new(),
            ready: RefCell::default(),
            rest: RefCell::new(Taken::empty()),
            posted: RefCell::default(),
            posted_next: RefCell::default(),
            tasks: RefCell::default(),
            budget: Cell::new(0),
            visits: RefCell::default(),
            patience: Patience::of_a_loop(spin).into(),
            polled: Cell::new(now),
            clock: Cell::new(now),
            polling: Cell::new(ptr::null()),
            lag: RefCell::default(),
            turns: Cell::new(0),
            sleeps: Cell::new(0),
        })
    }

    pub(super) fn id(&self) -> LoopId {
        self.id
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether `waker` wakes the task that this loop polls now, and nothing in between: not one of
    /// another executor that happens to run on this thread, and goes on where it likes.
    pub(crate) fn is_polling(&self, waker: &Waker) -> bool {
        waker.data() == self.polling.get() && !self.polling.get().is_null()
    }

    /// The time, at most a few tasks old: reading the clock for each would show.
    pub(crate) fn now(&self) -> Instant {
        self.clock.get()
    }

    /// Notes a call that this loop's thread has submitted: the loop looks after the pool while it
    /// is awake.
    pub(crate) fn look_after<P: Tended + 'static>(&self, pool: &Arc<P>) {
        self.visits.borrow_mut().submitted(pool);
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("tasks", &self.tasks.borrow().len())
            .field("timers", &self.timers.pending())
            .finish_non_exhaustive()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// The loop that runs on this thread now.
pub(crate) fn try_current() -> Option<Rc<Local>> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// The loop that runs on this thread now.
///
/// # Panics
///
/// When there is none.
pub(super) fn current() -> Rc<Local> {
    try_current().expect("no event loop runs on this thread: call this from a task of a loop")
}

/// Puts a due task straight into the ready queue if `shared`'s loop runs on this thread; gives it
/// back otherwise.
pub(super) fn push_if_current(shared: &Arc<Shared>, due: Due) -> Option<Due> {
    let mut due = Some(due);
    // A thread that ends has no current loop any more; then the inbox takes it.
    let _ = CURRENT.try_with(|current| {
        if let Some(local) = current.borrow().as_ref()
            && Arc::ptr_eq(local.shared(), shared)
            && let Some(due) = due.take()
        {
            local.ready.borrow_mut().push_back(due);
        }
    });
    due
}

/// While it lives, `local` is this thread's loop.
pub(super) struct Entered(Option<Rc<Local>>);

impl Entered {
    pub(super) fn new(local: &Rc<Local>) -> Self {
        // A thread that ends may have no place for it any more (a loop kept in a thread-local);
        // wakes then go through the inbox.
        let enter = |current: &RefCell<_>| current.replace(Some(Rc::clone(local)));
        Self(CURRENT.try_with(enter).ok().flatten())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        let ended = CURRENT.try_with(|current| current.replace(before));
        if let Ok(Some(local)) = ended {
            // This loop looks no more.
            local.visits.borrow_mut().leave();
        }
    }
}
