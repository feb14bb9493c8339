//! The state of one call in one atomic word, with the outcome and the waiting task's waker.
//!
//! | bit | set by | means |
//! | --- | --- | --- |
//! | `RUNNING` | the worker, once | the call was taken; it will not be skipped any more |
//! | `CLAIMED` | the completing side, once | somebody completes; everybody later is too late |
//! | `DONE` | the completing side, after `CLAIMED` | the outcome is stored and belongs to the caller |
//! | `WAKER` | the caller | the waker is stored and belongs to the completing side once `DONE` |
//! | `CLOSED` | the caller, once | nobody waits any more; an outcome is handed back as late |
//!
//! Bits are only ever added, except that the caller takes `WAKER` back to change the waker. Legal
//! ends: `DONE` before `CLOSED` (the caller has the outcome), `CLOSED` before `RUNNING` (never run),
//! `CLOSED` before `DONE` (the outcome is dropped by the completing side). Whoever sees the other's
//! bit second acts, so each value is dropped exactly once. `models.rs` checks it with loom.

use super::deadline::wake_quietly;
use crate::sync::UnsafeCell;
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::task::{Context, Poll, Waker};

const RUNNING: u32 = 1;
const CLAIMED: u32 = 1 << 1;
const DONE: u32 = 1 << 2;
const WAKER: u32 = 1 << 3;
const CLOSED: u32 = 1 << 4;

/// Why a value was not taken by [`Slot::complete`]; the value comes back to be dropped.
#[derive(Debug)]
pub(crate) enum Refused<T> {
    /// Another completion came first.
    Second(T),
    /// The caller has given up.
    Late(T),
}

/// What the call was doing when its caller [closed](Slot::close) it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClosedWhile {
    /// It waited in the queue, and now never runs.
    Queued,
    /// It runs, or is with a callback library.
    Running,
    /// The outcome was stored already.
    Done,
}

/// One call's meeting point: completing side (any thread, many tries) and caller (one at a time).
#[derive(Debug)]
pub(crate) struct Slot<T> {
    state: AtomicU32,
    outcome: UnsafeCell<Option<T>>,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: `outcome` and `waker` are reached by one side at a time, as the table above orders; a
// `T` moves from the completing thread to the caller's, hence `T: Send`.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU32::new(0),
            outcome: UnsafeCell::new(None),
            waker: UnsafeCell::new(None),
        }
    }

    /// Takes the call for running; the worker, once. False when the caller has left: skip it.
    pub(crate) fn start(&self) -> bool {
        // Acquire: partner of the AcqRel in `close`. Nothing is published by starting.
        self.state.fetch_or(RUNNING, Acquire) & CLOSED == 0
    }

    /// Stores the outcome and wakes the caller; any thread.
    pub(crate) fn complete(&self, value: T) -> Result<(), Refused<T>> {
        // Acquire: partner of the AcqRel in `close`; a claim publishes nothing.
        let before = self.state.fetch_or(CLAIMED, Acquire);
        if before & CLAIMED != 0 {
            return Err(Refused::Second(value));
        }
        if before & CLOSED != 0 {
            return Err(Refused::Late(value));
        }
        self.outcome.with_mut(|outcome| {
            // SAFETY: this side alone set CLAIMED, and the caller reads only after DONE.
            unsafe { *outcome = Some(value) }
        });
        // Release half: publishes the outcome to `poll` and `close`. Acquire half: sees the waker
        // that `poll` published when it set WAKER.
        let before = self.state.fetch_or(DONE, AcqRel);
        if before & CLOSED != 0 {
            let value = self.take_outcome();
            return Err(Refused::Late(value));
        }
        if before & WAKER != 0 {
            let waker = self.waker.with_mut(|waker| {
                // SAFETY: WAKER was set when DONE was, so the caller leaves the waker to us.
                unsafe { (*waker).take() }
            });
            if let Some(waker) = waker {
                wake_quietly(waker);
            }
        }
        Ok(())
    }

    /// Whether somebody completes or has completed; any thread.
    pub(crate) fn is_claimed(&self) -> bool {
        // Relaxed: asked by the last owner of the completing side, which made the claim itself or
        // received that fact together with the ownership.
        self.state.load(Relaxed) & CLAIMED != 0
    }

    /// Whether the caller has given up; any thread.
    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: a hint for code that may stop early; nothing is read on the strength of it.
        self.state.load(Relaxed) & CLOSED != 0
    }

    /// The caller's look: the outcome once, or the waker is left here.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<T> {
        // Acquire: partner of the Release half in `complete`.
        let state = self.state.load(Acquire);
        if state & DONE != 0 {
            return Poll::Ready(self.take_outcome());
        }
        if state & WAKER != 0 && self.take_waker_back(context).is_none() {
            // The same waker is in place. If DONE came meanwhile, it is woken.
            return Poll::Pending;
        }
        // Acquire: partner of the Release half in `complete`.
        if self.state.load(Acquire) & DONE != 0 {
            return Poll::Ready(self.take_outcome());
        }
        self.waker.with_mut(|waker| {
            // SAFETY: WAKER is not set, so the completing side does not touch the waker.
            unsafe { *waker = Some(context.waker().clone()) }
        });
        // Release half: publishes the waker to `complete`. Acquire half: sees the outcome.
        if self.state.fetch_or(WAKER, AcqRel) & DONE != 0 {
            // DONE came before WAKER: nobody wakes us, but the outcome is here.
            return Poll::Ready(self.take_outcome());
        }
        Poll::Pending
    }

    /// Withdraws the stored waker unless it is the same as `context`'s (then `None`).
    fn take_waker_back(&self, context: &Context<'_>) -> Option<()> {
        // Acquire half: sees the outcome if DONE is set. Release is not needed: we withdraw.
        let before = self.state.fetch_and(!WAKER, Acquire);
        if before & DONE != 0 {
            return Some(());
        }
        let same = self.waker.with_mut(|waker| {
            // SAFETY: WAKER was withdrawn before DONE, so the waker is ours again.
            unsafe {
                (*waker)
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(context.waker()))
            }
        });
        // AcqRel: as where `poll` sets WAKER.
        if same && self.state.fetch_or(WAKER, AcqRel) & DONE == 0 {
            return None;
        }
        Some(())
    }

    /// Gives the call up; the caller, once, and not after `poll` was ready.
    pub(crate) fn close(&self) -> (ClosedWhile, Option<T>) {
        // Acquire half: sees the outcome if DONE is set. Release half: what the caller did before
        // it left is visible to a completing side that finds CLOSED.
        let before = self.state.fetch_or(CLOSED, AcqRel);
        if before & DONE != 0 {
            (ClosedWhile::Done, Some(self.take_outcome()))
        } else if before & RUNNING != 0 {
            (ClosedWhile::Running, None)
        } else {
            (ClosedWhile::Queued, None)
        }
    }

    /// The side that the state names as owner takes the outcome.
    fn take_outcome(&self) -> T {
        let value = self.outcome.with_mut(|outcome| {
            // SAFETY: callers have seen DONE (caller's side) or DONE after CLOSED (completing
            // side); in either case the other side does not touch the outcome any more.
            unsafe { (*outcome).take() }
        });
        value.expect("a finished call is not polled or closed again: `Call` keeps track of it")
    }
}
