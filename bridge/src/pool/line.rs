//! Calls that wait to be run together: group commit for any library.
//!
//! A line stands in its pool's queue as one entry, its *token*, however many calls wait in it. The worker
//! that takes the token takes as many calls as a batch may have, runs them, and then puts the token back
//! if more have come. Nothing waits for a batch to fill up: it grows by itself while the one before it runs,
//! since only so many batches of a line run at once, usually one.
//!
//! | who | what it does under the lock | the token goes into the queue |
//! | --- | --- | --- |
//! | submitter | adds a call | if it is not there, and one more batch may run |
//! | worker, with the token | takes the line's turn | |
//! | worker, with its first session | takes more calls | if some are left, and one more batch may run |
//! | worker, at the end | gives the turn back | if some are left |
//! | patrol | a worker is stuck: gives its turn back | if some are left |
//!
//! So a call in a line has a token in the queue, or a turn that somebody gives back. Whoever takes a token
//! out of the queue runs it or, at the pool's end, clears the line.
//!
//! The token goes to the *end* of the queue: a line that never runs dry takes turns with all other calls of
//! its pool, which keep their order and wait for one batch at most for each worker, as for any call.

use super::awaited::Awaited;
use super::batch::Batch;
use super::batching::BatchLimits;
use super::core::Core;
use super::lines::AnyLine;
use super::member::Member;
use super::outing::Outing;
use super::serve::Bound;
use super::session::Session;
use super::stopping::Stoppable;
use super::worker::{Job, Worker};
use crate::quiet::drop_quietly;
use crate::visits::Tended;
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many calls whose callers left may stay behind in any line.
const HUSKS_MIN: usize = 64;

/// Runs a batch.
type Work<S, I, T> = Box<dyn Fn(&mut Session<S>, &mut Batch<I, T>) + Send + Sync>;

/// A call that waits.
type Waiting<S, I, T> = Arc<Member<S, I, T>>;

/// The calls of one [`Batching`](super::Batching).
pub(super) struct Line<S, I, T> {
    pub(super) bound: Arc<Bound<S>>,
    pub(super) limits: BatchLimits,
    pub(super) work: Work<S, I, T>,
    /// Held for a few instructions for each call that is added or taken; nothing foreign runs or is dropped under it.
    state: Mutex<State<S, I, T>>,
}

struct State<S, I, T> {
    /// The oldest first.
    waiting: VecDeque<Waiting<S, I, T>>,
    /// How many of them have been left by their callers, about.
    husks: usize,
    /// The line stands in its pool's queue.
    has_token: bool,
    /// The workers that run a batch of it, and are not stuck.
    running: Vec<usize>,
}

impl<S, I, T> State<S, I, T> {
    /// Whether the line must be put into the queue; it counts as being there from now on.
    fn needs_token(&mut self, limits: BatchLimits) -> bool {
        let needs =
            !self.waiting.is_empty() && !self.has_token && self.running.len() < limits.at_once;
        self.has_token |= needs;
        needs
    }
}

impl<S, I, T> Line<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    pub(super) fn new(
        bound: Arc<Bound<S>>,
        limits: BatchLimits,
        work: impl Fn(&mut Session<S>, &mut Batch<I, T>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let line = Arc::new(Self {
            bound,
            limits,
            work: Box::new(work),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                husks: 0,
                has_token: false,
                running: Vec::with_capacity(limits.at_once.min(HUSKS_MIN)),
            }),
        });
        let known: Arc<dyn AnyLine> = Arc::clone(&line) as _;
        line.bound.core.lines.add(Arc::downgrade(&known));
        line
    }

    fn lock(&self) -> MutexGuard<'_, State<S, I, T>> {
        // Nothing under the lock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn core(&self) -> &Core {
        &self.bound.core
    }

    /// Adds a call that was let in. True if the line was put into the queue: the caller must then see
    /// to it that a worker comes for it.
    pub(super) fn add(self: &Arc<Self>, call: Waiting<S, I, T>) -> bool {
        let mut state = self.lock();
        state.waiting.push_back(call);
        let needs_token = state.needs_token(self.limits);
        drop(state);
        if needs_token {
            self.queue_up();
        } else if self.core().ending.nobody_comes() {
            self.core().clear();
        }
        needs_token
    }

    /// Puts the token into the queue.
    fn queue_up(self: &Arc<Self>) {
        self.core().queue_up(Arc::clone(self) as Arc<dyn Job>);
    }

    /// A worker has taken the token. `None` if nothing waits after all.
    pub(super) fn begin(self: &Arc<Self>, worker: usize) -> Option<Turn<'_, S, I, T>> {
        let mut state = self.lock();
        state.has_token = false;
        if state.waiting.is_empty() {
            return None;
        }
        state.running.push(worker);
        Some(Turn { line: self, worker })
    }

    /// Up to `count` calls, the oldest first, some of which may have been left by their callers; none only if
    /// none wait.
    pub(super) fn take(&self, count: usize) -> Vec<Waiting<S, I, T>> {
        let mut state = self.lock();
        let count = count.min(state.waiting.len());
        let taken: Vec<_> = state.waiting.drain(..count).collect();
        let husks = taken.iter().filter(|call| call.is_left()).count();
        state.husks = state.husks.saturating_sub(husks);
        taken
    }

    /// Calls have been taken. What is left is for another worker, if one more batch may run.
    pub(super) fn pass_on(self: &Arc<Self>) {
        let needs_token = self.lock().needs_token(self.limits);
        if needs_token {
            self.queue_up();
            Tended::work_was_queued(self.core());
        }
    }

    /// The caller of a call that waits has left. Calls that were left are swept out when they are as many as
    /// the others, so memory is bounded even if no worker ever comes.
    pub(super) fn husk_left_behind(&self) {
        let mut state = self.lock();
        state.husks += 1;
        if state.husks <= HUSKS_MIN.max(state.waiting.len() / 2) {
            return;
        }
        let (husks, waiting) = mem::take(&mut state.waiting)
            .into_iter()
            .partition(|call| call.is_left());
        state.waiting = waiting;
        state.husks = 0;
        drop(state);
        let husks: VecDeque<_> = husks;
        husks.into_iter().for_each(drop_quietly);
    }

    /// Has a batch interrupted soon, if its sessions can be.
    pub(super) fn interrupt(&self, outing: Arc<Outing>) {
        if self.bound.kind.is_interruptible() {
            self.core().watchdog.interrupt(outing as Arc<dyn Stoppable>);
        }
    }

    /// A worker's turn is over, or it is stuck. `comes_back` says that it looks into the queue right after.
    fn end(self: &Arc<Self>, worker: usize, comes_back: bool) {
        let mut state = self.lock();
        let Some(at) = state.running.iter().position(|running| *running == worker) else {
            return;
        };
        state.running.swap_remove(at);
        let needs_token = state.needs_token(self.limits);
        drop(state);
        if !needs_token {
            return;
        }
        let core = self.core();
        // Then this worker takes it, unless another call comes first. Whoever brings that sees to it that
        // a worker comes, which sees to the rest of the queue.
        let is_ours = comes_back && core.queue.is_empty();
        self.queue_up();
        if !is_ours {
            Tended::work_was_queued(core);
        }
    }
}

/// The right of a worker to run a batch, until it is dropped.
pub(super) struct Turn<'a, S: 'static, I: Send + 'static, T: Send + 'static> {
    line: &'a Arc<Line<S, I, T>>,
    worker: usize,
}

impl<S, I, T> Turn<'_, S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    /// Gives it back. `comes_back` says that the worker looks into the queue right after.
    pub(super) fn end(self, comes_back: bool) {
        self.line.end(self.worker, comes_back);
    }
}

impl<S, I, T> Drop for Turn<'_, S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    fn drop(&mut self) {
        // Nothing is left to do if it was given back.
        self.line.end(self.worker, false);
    }
}

impl<S, I, T> AnyLine for Line<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    fn clear(&self) {
        let waiting = mem::take(&mut self.lock().waiting);
        for call in waiting {
            if let Err(husk) = call.finish_shut_down() {
                drop_quietly(husk);
            }
        }
    }

    fn worker_is_stuck(self: Arc<Self>, worker: usize) {
        self.end(worker, false);
        drop_quietly(self);
    }
}

impl<S, I, T> Job for Line<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    fn run(self: Arc<Self>, core: &Core, worker: &mut Worker) {
        super::together::run(&self, core, worker);
    }

    fn shut_down(self: Arc<Self>) {
        self.lock().has_token = false;
        self.clear();
    }

    fn is_husk(&self) -> bool {
        false
    }
}
