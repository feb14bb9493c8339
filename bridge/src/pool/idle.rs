//! The hand-over between submitters and idle workers: who wakes whom, and how nobody is missed.
//!
//! Idle workers stand on a stack, so the most recently idle one is woken first and few stay hot. At
//! most one worker *searches*: it was woken and has not found its call yet, or it has run out of work
//! and looks again for a moment before it stands idle. While one does, submitters wake nobody, and
//! the searcher, once it has found a call, wakes the next one if more is queued (chained wake).
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
//! does. [`Claimant`](super::claimant::Claimant) is the worker's column.
//!
//! Whoever wakes a searcher, or relies on one, and does not look again says so in the same word, so that
//! the searcher, which takes the oldest call and not the one that it was woken for, does not leave the
//! rest to a loop that never promised anything.
//!
//! A loop that submits has a third way: it *tends* the pool, and wakes nobody until its turn ends.
//! While a loop tends it, a searcher that nobody else relies on may leave short calls in the queue
//! without waking the next worker, because the loop looks again before it sleeps:
//!
//! | searcher | loop |
//! | --- | --- |
//! | 1. stop searching | 1. stop tending |
//! | 2. fence | 2. fence |
//! | 3. nobody tends and more is queued → wake one | 3. nobody searches and more is queued → wake one |
//!
//! Again one of the two sees the other. `models.rs` checks all three columns with loom.

use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicUsize, fence};
use std::thread::Thread;

/// Set in `summary` while somebody who does not look again relies on whoever searches.
const RELIED: usize = 2;
/// Set in `summary` when a worker begins to search, cleared when one ends; the rest counts idle workers.
/// Whoever finds it set may rely on the worker that set it last: that one has not ended yet.
const SEARCHING: usize = 1;
const ONE_IDLE: usize = 4;

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
    /// Protects the stack, and with it the count in `summary`; held for a few instructions, never
    /// across foreign code.
    stack: Mutex<Vec<(usize, W)>>,
    /// `ONE_IDLE` × idle workers + `SEARCHING` + `RELIED`: what submitters look at without the lock.
    summary: AtomicUsize,
    /// Loops that tend this pool.
    tending: AtomicUsize,
}

impl<W: Unpark> Idle<W> {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            stack: Mutex::new(Vec::with_capacity(workers)),
            summary: AtomicUsize::new(0),
            tending: AtomicUsize::new(0),
        }
    }

    fn stack(&self) -> impl std::ops::DerefMut<Target = Vec<(usize, W)>> + '_ {
        // The lock cannot be poisoned in a way that matters: nothing under it panics half-way.
        match self.stack.lock() {
            Ok(stack) => stack,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// After something was queued by somebody who does not look again: wakes one worker if one is idle
    /// and none searches, and tells the one that searches then that it is relied on. `waking` is
    /// called just before a wake.
    pub(crate) fn work_was_queued(&self, waking: impl FnOnce()) {
        // SeqCst fence: partner of the ones in `stand_idle` and `found_work`.
        fence(SeqCst);
        // Relaxed: ordered by the fence.
        let summary = self.summary.load(Relaxed);
        let is_told = summary & (SEARCHING | RELIED) == SEARCHING | RELIED;
        if summary >= ONE_IDLE && !is_told {
            self.wake_one(SEARCHING | RELIED, waking);
        }
    }

    /// For a loop that tends, and so looks again: wakes one worker if one is idle and none searches.
    pub(crate) fn wake_idle(&self, waking: impl FnOnce()) {
        self.wake_one(SEARCHING, waking);
    }

    /// As [`wake_idle`](Self::wake_idle), also if one searches: it was woken long ago and has not
    /// come, for want of a CPU.
    pub(crate) fn wake_another(&self, waking: impl FnOnce()) {
        // Relaxed: the searcher that was relied on looks into the queue when it comes; there are
        // two now, and the mark stands for whoever set it last.
        self.summary.fetch_and(!SEARCHING, Relaxed);
        self.wake_one(SEARCHING, waking);
    }

    fn wake_one(&self, marks: usize, waking: impl FnOnce()) {
        let mut stack = self.stack();
        if stack.is_empty() {
            return;
        }
        // One operation: whoever began to search in between is told that it is relied on.
        // Relaxed: readers without the lock are ordered by their fences.
        if self.summary.fetch_or(marks, Relaxed) & SEARCHING != 0 {
            return;
        }
        let woken = stack.pop();
        // Relaxed: the count is changed only under the lock.
        self.summary.fetch_sub(ONE_IDLE, Relaxed);
        drop(stack);
        if let Some((_, thread)) = woken {
            waking();
            thread.unpark();
        }
    }

    /// Whether a worker searches, as far as this thread sees.
    pub(crate) fn is_searching(&self) -> bool {
        // Relaxed: a hint.
        self.summary.load(Relaxed) & SEARCHING != 0
    }

    /// A worker that ran out of work searches for a moment before it stands idle; false when
    /// another one does already.
    pub(crate) fn begin_search(&self) -> bool {
        // Relaxed: whoever relies on this searcher is ordered by the fences of `stand_idle` and
        // `found_work`, by one of which the search ends.
        self.summary.fetch_or(SEARCHING, Relaxed) & SEARCHING == 0
    }

    /// A worker that found nothing stands idle. It must look at the queue once more before it
    /// parks, and [`step_off`](Self::step_off) if it finds something.
    ///
    /// True if somebody relied on its search, as in [`found_work`](Self::found_work).
    pub(crate) fn stand_idle(&self, worker: usize, thread: W, was_searching: bool) -> bool {
        let mut stack = self.stack();
        stack.push((worker, thread));
        // Relaxed, here and below: as in `wake_one`. In this order nobody sees the worker neither
        // idle nor searching.
        self.summary.fetch_add(ONE_IDLE, Relaxed);
        let was_relied_on = was_searching && self.end_search();
        drop(stack);
        // SeqCst fence: partner of the one in `work_was_queued`.
        fence(SeqCst);
        was_relied_on
    }

    fn end_search(&self) -> bool {
        // Relaxed: the caller fences.
        let before = self.summary.fetch_and(!(SEARCHING | RELIED), Relaxed);
        before & RELIED != 0
    }

    /// Takes the worker off the stack. False when it was popped meanwhile: it is the searcher now.
    pub(crate) fn step_off(&self, worker: usize) -> bool {
        let mut stack = self.stack();
        let Some(at) = stack.iter().rposition(|(idle, _)| *idle == worker) else {
            return false;
        };
        stack.remove(at);
        // Relaxed: the count is changed only under the lock.
        self.summary.fetch_sub(ONE_IDLE, Relaxed);
        true
    }

    /// Whether the worker is still on the stack, that is, whether its unpark was spurious.
    pub(crate) fn is_idle(&self, worker: usize) -> bool {
        self.stack().iter().any(|(idle, _)| *idle == worker)
    }

    /// The searcher found its call. It must then see to it that more calls in the queue have
    /// somebody who comes for them: a worker that it wakes or, if nobody relied on its search (then
    /// this is false), a loop that tends.
    pub(crate) fn found_work(&self) -> bool {
        let was_relied_on = self.end_search();
        // SeqCst fence: partner of the ones in `work_was_queued` and `leave`.
        fence(SeqCst);
        was_relied_on
    }

    /// A loop tends this pool from now on.
    pub(crate) fn tend(&self) {
        // Relaxed: a searcher that does not see it yet wakes one worker more.
        self.tending.fetch_add(1, Relaxed);
    }

    /// Whether a loop looks again before it sleeps; asked after [`found_work`](Self::found_work).
    pub(crate) fn is_tended(&self) -> bool {
        // Relaxed: ordered by the fence in `found_work`.
        self.tending.load(Relaxed) > 0
    }

    /// A loop tends this pool no longer. If anything is queued it must then call
    /// [`work_was_queued`](Self::work_was_queued).
    pub(crate) fn leave(&self) {
        // Relaxed: ordered by the fence.
        self.tending.fetch_sub(1, Relaxed);
        // SeqCst fence: partner of the one in `found_work`.
        fence(SeqCst);
    }

    /// Wakes everybody, for shutdown.
    pub(crate) fn wake_all(&self) {
        let mut stack = self.stack();
        let workers = std::mem::take(&mut *stack);
        // Relaxed: workers that wake now look at the shutdown flag before anything else.
        self.summary.fetch_sub(workers.len() * ONE_IDLE, Relaxed);
        drop(stack);
        workers.into_iter().for_each(|(_, thread)| thread.unpark());
    }

    /// Workers that stand idle now.
    pub(crate) fn count(&self) -> usize {
        // Relaxed: a statistic, or a hint.
        self.summary.load(Relaxed) / ONE_IDLE
    }
}
