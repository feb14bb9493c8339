//! What a running server shares: between its loops, and on each loop between its connections.

use slab::Slab;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::bounded::Bounded;
use crate::listener::AcceptorEnd;
use crate::site::LoopSite;
use crate::swap::Ready;

/// Whom loops serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Public,
    /// Probes, which are no news for the access log.
    Admin,
}

/// What all loops share for as long as the server runs; what a reload replaces is the
/// [`Site`](crate::site::Site).
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) role: Role,
    pub(crate) connections: Arc<Bounded>,
    /// Tasks per loop, counted from the moment they are on their way to it.
    per_loop: Vec<AtomicUsize>,
    /// Loops that a panic has ended. They have the fewest tasks, and serve nobody.
    gone: Vec<AtomicBool>,
    next_request: AtomicU64,
}

impl Shared {
    pub(crate) fn new(role: Role, max_connections: usize, loops: usize) -> Self {
        Self {
            role,
            connections: Arc::new(Bounded::new(max_connections)),
            per_loop: (0..loops).map(|_| AtomicUsize::new(0)).collect(),
            gone: (0..loops).map(|_| AtomicBool::new(false)).collect(),
            next_request: AtomicU64::new(1),
        }
    }

    pub(crate) fn next_request_id(&self) -> u64 {
        // Relaxed: only uniqueness counts.
        self.next_request.fetch_add(1, Relaxed)
    }

    pub(crate) fn on_loop(&self, index: usize) -> usize {
        // Relaxed: who accepts is the only one to count up, and tells of the drain by posting it.
        self.per_loop[index].load(Relaxed)
    }

    /// Sends a task on its way to the loop with the fewest; `None` when all loops are gone.
    pub(crate) fn arrive_anywhere(self: &Arc<Self>) -> Option<Arrival> {
        // Relaxed: who accepts is the only one to ask and to tell.
        let is_there = |index: &usize| !self.gone[*index].load(Relaxed);
        (0..self.per_loop.len())
            .filter(is_there)
            .min_by_key(|index| self.on_loop(*index))
            .map(|index| self.arrive(index))
    }

    /// Sends nothing to a loop any more.
    pub(crate) fn leave_out(&self, index: usize) {
        // Relaxed: as in `arrive_anywhere`.
        self.gone[index].store(true, Relaxed);
    }

    fn arrive(self: &Arc<Self>, index: usize) -> Arrival {
        // Relaxed: as in `on_loop`.
        self.per_loop[index].fetch_add(1, Relaxed);
        Arrival {
            shared: Arc::clone(self),
            index,
        }
    }
}

/// A task that is on its way to a loop, or there; counted until it is dropped.
///
/// Counting begins before the task travels: so the next connection of a burst goes to another loop,
/// and a loop that drains does not end while a connection that was accepted is in its inbox.
#[derive(Debug)]
pub(crate) struct Arrival {
    shared: Arc<Shared>,
    index: usize,
}

impl Arrival {
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        // Relaxed: as in `Shared::on_loop`.
        self.shared.per_loop[self.index].fetch_sub(1, Relaxed);
    }
}

/// The end of a loop.
#[derive(Debug, Clone, Copy)]
struct Drain {
    since: Instant,
    until: Instant,
}

/// What the connections of one loop share.
pub(crate) struct LoopApp {
    pub(crate) shared: Arc<Shared>,
    index: usize,
    site: RefCell<Rc<LoopSite>>,
    /// What a reload has made ready here.
    pub(crate) ready: Ready,
    /// The end of the task that accepts here, if one does.
    pub(crate) acceptor: RefCell<Option<Rc<AcceptorEnd>>>,
    /// The tasks of the loop's connections and its acceptor, to be told of the drain.
    tasks: RefCell<Slab<Option<Waker>>>,
    draining: Cell<Option<Drain>>,
    main: RefCell<Option<Waker>>,
    /// Connections refused so far, and when the log was last told.
    refused: Cell<u64>,
    refusal_warned: Cell<Option<Instant>>,
}

impl LoopApp {
    pub(crate) fn new(shared: &Arc<Shared>, index: usize, site: LoopSite) -> Self {
        Self {
            shared: Arc::clone(shared),
            index,
            site: RefCell::new(Rc::new(site)),
            ready: Ready::default(),
            acceptor: RefCell::default(),
            tasks: RefCell::default(),
            draining: Cell::new(None),
            main: RefCell::default(),
            refused: Cell::new(0),
            refusal_warned: Cell::new(None),
        }
    }

    /// What is served now. A request takes what is there when it arrives, and finishes on it.
    pub(crate) fn site(&self) -> Rc<LoopSite> {
        Rc::clone(&self.site.borrow())
    }

    /// Serves this from the next request on; gives what was served before.
    pub(crate) fn replace_site(&self, site: Rc<LoopSite>) -> Rc<LoopSite> {
        self.site.replace(site)
    }

    /// Since when the loop drains.
    pub(crate) fn draining_since(&self) -> Option<Instant> {
        self.draining.get().map(|drain| drain.since)
    }

    /// When the loop ends, whatever is still open.
    pub(crate) fn draining_until(&self) -> Option<Instant> {
        self.draining.get().map(|drain| drain.until)
    }

    /// Ends connections as soon as they have answered what they read, and by `until` in any case.
    pub(crate) fn drain(&self, until: Instant) {
        let since = Instant::now();
        self.draining.set(Some(Drain { since, until }));
        let tasks: Vec<_> = self
            .tasks
            .borrow()
            .iter()
            .filter_map(|(_, w)| w.clone())
            .collect();
        tasks.into_iter().for_each(Waker::wake);
        self.wake_main();
    }

    /// Enters a task of this loop's own that keeps it alive while it drains.
    pub(crate) fn enter(self: &Rc<Self>) -> LiveTask {
        self.enter_arrived(self.shared.arrive(self.index))
    }

    /// Enters a task that has arrived.
    pub(crate) fn enter_arrived(self: &Rc<Self>, arrival: Arrival) -> LiveTask {
        LiveTask {
            key: self.tasks.borrow_mut().insert(None),
            app: Rc::clone(self),
            arrival: Some(arrival),
        }
    }

    /// Ready when the loop drains and all its tasks have ended, also those on their way.
    pub(crate) fn poll_drained(&self, context: &Context<'_>) -> Poll<()> {
        if self.draining.get().is_some() && self.shared.on_loop(self.index) == 0 {
            return Poll::Ready(());
        }
        *self.main.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn live_tasks(&self) -> usize {
        self.shared.on_loop(self.index)
    }

    /// Tells the log that connections are refused, once a second.
    pub(crate) fn warn_of_refusal(&self) {
        let refused = self.refused.get() + 1;
        self.refused.set(refused);
        let warned = self.refusal_warned.get();
        if warned.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.refusal_warned.set(Some(Instant::now()));
            let max = self.shared.connections.max();
            match self.shared.role {
                Role::Public => tracing::warn!(
                    refused,
                    max,
                    "connections are refused: raise `max_connections`"
                ),
                Role::Admin => tracing::warn!(
                    refused,
                    max,
                    "connections to the admin listener are refused: who holds so many?"
                ),
            }
        }
    }

    fn wake_main(&self) {
        let main = self.main.borrow_mut().take();
        if let Some(main) = main {
            main.wake();
        }
    }
}

/// A task that keeps its loop alive; see [`LoopApp::enter`].
pub(crate) struct LiveTask {
    key: usize,
    app: Rc<LoopApp>,
    /// Always there, but while it is dropped.
    arrival: Option<Arrival>,
}

impl LiveTask {
    /// Has the task woken when the drain begins.
    pub(crate) fn watch_drain(&self, context: &Context<'_>) {
        let mut tasks = self.app.tasks.borrow_mut();
        let place = &mut tasks[self.key];
        if !place
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *place = Some(context.waker().clone());
        }
    }
}

impl Drop for LiveTask {
    fn drop(&mut self) {
        // Before the main task looks at the count.
        drop(self.arrival.take());
        let waker = self.app.tasks.borrow_mut().remove(self.key);
        drop(waker);
        self.app.wake_main();
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<LoopApp>>> = const { RefCell::new(None) };
}

/// What the connections of this thread's loop share.
pub(crate) fn current() -> Option<Rc<LoopApp>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Makes it what [`current`] gives on this thread.
pub(crate) fn set_current(app: Option<Rc<LoopApp>>) {
    CURRENT.set(app);
}

/// How a loop thread learns that it is to stop, and by when.
pub(crate) fn drain_here(until: Instant) {
    if let Some(app) = current() {
        app.drain(until);
    }
}
