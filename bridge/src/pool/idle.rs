//! The hand-over between submitters and idle workers: who wakes whom, and how nobody is missed.
//!
//! Idle workers stand on a stack, so the most recently idle one is woken first and few stay hot. At
//! most one worker *searches* (was woken and has not found its call yet); while one does, submitters
//! wake nobody, and the searcher, once it has found a call, wakes the next one if more is queued
//! (chained wake).
//!
//! The claim protocol, which tokio#8056 and its kin got wrong:
//!
//! | submitter | worker |
//! | --- | --- |
//! | 1. put the call into the queue | 1. stand on the stack; stop searching |
//! | 2. fence | 2. fence |
//! | 3. nobody idle, or one searches → done; else pop one, wake it | 3. look at the queue again; if anything is there, step off and take it |
//!
//! Both fences are sequentially consistent, so either the submitter sees the worker on the stack or
//! the worker sees the call. A submitter that relies on a searcher is safe for the same reason: the
//! searcher stops searching, fences, and looks again. If it then finds something, it was relied on
//! for all that is there, not just for the one call it takes: it wakes the next worker as a searcher
//! does. [`Claimant`] is the worker's column; `models.rs` checks both with loom.

use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicUsize, fence};
use std::thread::Thread;

/// Set in `summary` while a worker searches; the rest counts idle workers.
const SEARCHING: usize = 1;
const ONE_IDLE: usize = 2;

/// How a sleeping worker is woken: its thread, or the models' stand-in for one.
pub(crate) trait Unpark: Clone {
    fn unpark(&self);
}

impl Unpark for Thread {
    fn unpark(&self) {
        Thread::unpark(self);
    }
}

/// The idle workers of one pool.
#[derive(Debug)]
pub(crate) struct Idle<W: Unpark = Thread> {
    /// Protects the stack and every change of `summary`; held for a few instructions, never
    /// across foreign code.
    stack: Mutex<Vec<(usize, W)>>,
    /// `ONE_IDLE` × idle workers + `SEARCHING`: what submitters look at without the lock.
    summary: AtomicUsize,
}

impl<W: Unpark> Idle<W> {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            stack: Mutex::new(Vec::with_capacity(workers)),
            summary: AtomicUsize::new(0),
        }
    }

    fn stack(&self) -> impl std::ops::DerefMut<Target = Vec<(usize, W)>> + '_ {
        // The lock cannot be poisoned in a way that matters: nothing under it panics half-way.
        match self.stack.lock() {
            Ok(stack) => stack,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// After something was queued: wakes one worker if one is idle and none searches.
    pub(crate) fn work_was_queued(&self) {
        // SeqCst fence: partner of the ones in `stand_idle` and `found_work`.
        fence(SeqCst);
        // Relaxed: ordered by the fence.
        let summary = self.summary.load(Relaxed);
        if summary & SEARCHING == 0 && summary >= ONE_IDLE {
            self.wake_one();
        }
    }

    fn wake_one(&self) {
        let mut stack = self.stack();
        // Relaxed: changed only under the lock.
        let summary = self.summary.load(Relaxed);
        if summary & SEARCHING != 0 {
            return;
        }
        if let Some((_, thread)) = stack.pop() {
            // Relaxed: under the lock; readers without it are ordered by their fences.
            self.summary.store(summary - ONE_IDLE + SEARCHING, Relaxed);
            drop(stack);
            thread.unpark();
        }
    }

    /// A worker that found nothing stands idle. It must look at the queue once more before it
    /// parks, and [`step_off`](Self::step_off) if it finds something.
    pub(crate) fn stand_idle(&self, worker: usize, thread: W, was_searching: bool) {
        let mut stack = self.stack();
        stack.push((worker, thread));
        // Relaxed: changed only under the lock.
        let summary = self.summary.load(Relaxed) + ONE_IDLE;
        let summary = if was_searching {
            summary & !SEARCHING
        } else {
            summary
        };
        // Relaxed: as in `wake_one`.
        self.summary.store(summary, Relaxed);
        drop(stack);
        // SeqCst fence: partner of the one in `work_was_queued`.
        fence(SeqCst);
    }

    /// Takes the worker off the stack. False when it was popped meanwhile: it is the searcher now.
    pub(crate) fn step_off(&self, worker: usize) -> bool {
        let mut stack = self.stack();
        let Some(at) = stack.iter().rposition(|(idle, _)| *idle == worker) else {
            return false;
        };
        stack.remove(at);
        // Relaxed, Relaxed: changed only under the lock.
        self.summary
            .store(self.summary.load(Relaxed) - ONE_IDLE, Relaxed);
        true
    }

    /// Whether the worker is still on the stack, that is, whether its unpark was spurious.
    pub(crate) fn is_idle(&self, worker: usize) -> bool {
        self.stack().iter().any(|(idle, _)| *idle == worker)
    }

    /// The searcher found its call. It must then call
    /// [`work_was_queued`](Self::work_was_queued) if more is queued.
    pub(crate) fn found_work(&self) {
        let stack = self.stack();
        // Relaxed, Relaxed: changed only under the lock.
        self.summary
            .store(self.summary.load(Relaxed) & !SEARCHING, Relaxed);
        drop(stack);
        // SeqCst fence: partner of the one in `work_was_queued`.
        fence(SeqCst);
    }

    /// Wakes everybody, for shutdown.
    pub(crate) fn wake_all(&self) {
        let workers = std::mem::take(&mut *self.stack());
        // Relaxed: workers that wake now look at the shutdown flag before anything else.
        self.summary.store(0, Relaxed);
        workers.into_iter().for_each(|(_, thread)| thread.unpark());
    }

    /// Workers that stand idle now.
    pub(crate) fn count(&self) -> usize {
        // Relaxed: a statistic.
        self.summary.load(Relaxed) / ONE_IDLE
    }
}

/// Where a worker's calls come from, as the claim protocol sees it.
pub(crate) trait Waiting {
    type Job;
    fn take(&self) -> Option<Self::Job>;
    fn is_empty(&self) -> bool;
    /// Whether the pool ends once this is empty.
    fn is_ending(&self) -> bool;
}

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next<J> {
    /// Run this.
    Run(J),
    /// Park until [`Idle::is_idle`] is false, then say so with [`Claimant::was_woken`].
    Sleep,
    /// Nothing more will come.
    End,
}

/// What others rely on this worker for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Nothing,
    /// It was woken to search, and `SEARCHING` is set on its behalf.
    Searching,
    /// It stopped searching, or was idle, while calls came in whose submitters relied on that.
    Chaining,
}

/// A worker's side of the claim protocol.
#[derive(Debug)]
pub(crate) struct Claimant<'idle, W: Unpark> {
    idle: &'idle Idle<W>,
    worker: usize,
    handle: W,
    duty: Duty,
}

impl<'idle, W: Unpark> Claimant<'idle, W> {
    pub(crate) fn new(idle: &'idle Idle<W>, worker: usize, handle: W) -> Self {
        Self {
            idle,
            worker,
            handle,
            duty: Duty::Nothing,
        }
    }

    /// Takes the next call, or puts the worker on the stack.
    pub(crate) fn next<Q: Waiting>(&mut self, waiting: &Q) -> Next<Q::Job> {
        loop {
            // Before the look into the queue: what was queued before the end began is run.
            let ending = waiting.is_ending();
            if let Some(job) = waiting.take() {
                self.pass_on(waiting);
                return Next::Run(job);
            }
            if ending {
                return Next::End;
            }
            let was_searching = self.duty == Duty::Searching;
            self.duty = Duty::Nothing;
            self.idle
                .stand_idle(self.worker, self.handle.clone(), was_searching);
            if waiting.is_empty() && !waiting.is_ending() {
                return Next::Sleep;
            }
            self.duty = if self.idle.step_off(self.worker) {
                Duty::Chaining
            } else {
                Duty::Searching
            };
        }
    }

    /// The worker was popped from the stack, and so searches.
    pub(crate) fn was_woken(&mut self) {
        self.duty = Duty::Searching;
    }

    /// Having taken a call, hands the duty on if there is more.
    fn pass_on(&mut self, waiting: &impl Waiting) {
        match std::mem::replace(&mut self.duty, Duty::Nothing) {
            Duty::Nothing => return,
            Duty::Searching => self.idle.found_work(),
            Duty::Chaining => {}
        }
        if !waiting.is_empty() {
            self.idle.work_was_queued();
        }
    }
}
