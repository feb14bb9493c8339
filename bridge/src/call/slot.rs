//! The state of one call in one atomic word, with its input, its outcome and who waits for it.
//!
//! | bit | set by | means |
//! | --- | --- | --- |
//! | `RUNNING` | the worker, once | the call was taken, with its input; it will not be skipped any more |
//! | `CLAIMED` | the completing side, once | somebody completes; everybody later is too late |
//! | `DONE` | the completing side, after `CLAIMED` | the outcome is stored and belongs to the caller |
//! | `WAITER` | the caller | the waiter is stored and belongs to the completing side once `DONE` |
//! | `CLOSED` | the caller, once | nobody waits any more; an outcome is handed back as late |
//!
//! Bits are only ever added, except that the caller takes `WAITER` back to change the waiter. Legal
//! ends: `DONE` before `CLOSED` (the caller has the outcome), `CLOSED` before `RUNNING` (the caller has
//! the input back, and it never runs), `CLOSED` before `DONE` (the outcome is dropped by the completing
//! side). Whoever sees the other's bit second acts, so each value is dropped exactly once. Input and
//! outcome share a place: the first is gone before the second comes. `models.rs` checks it with loom.

use crate::quiet::wake_quietly;
use crate::sync::UnsafeCell;
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::task::{Poll, Waker};

const RUNNING: u32 = 1;
const CLAIMED: u32 = 1 << 1;
const DONE: u32 = 1 << 2;
const WAITER: u32 = 1 << 3;
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
pub(crate) enum Closed<F, T> {
    /// It waited in the queue, and now never runs: here is its input.
    Queued(Option<F>),
    /// It runs, or is with a callback library.
    Running,
    /// The outcome was stored already.
    Done(T),
}

/// Who waits for a call: a waker, and the loop on which it is best called, if that is known.
#[derive(Debug)]
struct Waiter<H> {
    waker: Waker,
    home: Option<H>,
}

/// A loop, as far as a slot can tell two of them apart.
pub(crate) trait Home: Clone {
    fn is_same(&self, other: &Self) -> bool;
}

impl<M> Home for std::sync::Arc<M> {
    fn is_same(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other)
    }
}

/// What a completing side still owes to the caller.
#[derive(Debug)]
#[must_use = "a waiter that nobody wakes waits for ever"]
pub(crate) enum Owed<K> {
    /// Nobody waits yet, or the caller sees the outcome by itself.
    Nothing,
    /// Wake this.
    Wake(Waker),
    /// See to it that [`Slot::deliver`] is called, once, by this loop or, if it is gone, by
    /// anybody.
    Deliver(K),
}

#[derive(Debug)]
enum Content<F, T> {
    Input(F),
    Nothing,
    Outcome(T),
}

/// One call's meeting point: completing side (any thread, many tries) and caller (one at a time).
#[derive(Debug)]
pub(crate) struct Slot<F, T, H> {
    state: AtomicU32,
    content: UnsafeCell<Content<F, T>>,
    waiter: UnsafeCell<Option<Waiter<H>>>,
}

// SAFETY: `content` and `waiter` are reached by one side at a time, as the table above orders; an
// `F` moves to the worker and a `T` back to the caller, and an `H` to whoever delivers.
unsafe impl<F: Send, T: Send, H: Send> Sync for Slot<F, T, H> {}

impl<F, T, H: Home> Slot<F, T, H> {
    /// A call that waits to be [started](Self::start).
    pub(crate) fn new(input: F) -> Self {
        Self {
            state: AtomicU32::new(0),
            content: UnsafeCell::new(Content::Input(input)),
            waiter: UnsafeCell::new(None),
        }
    }

    /// A call that somebody has already: it is never skipped, only asked to stop.
    pub(crate) fn running() -> Self {
        Self {
            state: AtomicU32::new(RUNNING),
            content: UnsafeCell::new(Content::Nothing),
            waiter: UnsafeCell::new(None),
        }
    }

    /// Takes the call for running; the worker, once. `None` when the caller has left: skip it.
    pub(crate) fn start(&self) -> Option<F> {
        // Acquire: partner of the AcqRel in `close`. Nothing is published by starting.
        if self.state.fetch_or(RUNNING, Acquire) & CLOSED != 0 {
            return None;
        }
        self.take_input()
    }

    /// The input, for the side that the state names as its owner.
    fn take_input(&self) -> Option<F> {
        self.content.with_mut(|content| {
            // SAFETY: of RUNNING and CLOSED the caller's was first, so the input is its own; the
            // outcome is stored by the same side later, or never.
            match std::mem::replace(unsafe { &mut *content }, Content::Nothing) {
                Content::Input(input) => Some(input),
                Content::Nothing | Content::Outcome(_) => None,
            }
        })
    }

    /// Stores the outcome; any thread. `keep` sees the waiter's home while that cannot go away, and
    /// gives what is needed to reach it afterwards.
    pub(crate) fn complete<K>(
        &self,
        value: T,
        keep: impl FnOnce(&H) -> K,
    ) -> Result<Owed<K>, Refused<T>> {
        // Acquire: partner of the AcqRel in `close`; a claim publishes nothing.
        let before = self.state.fetch_or(CLAIMED, Acquire);
        if before & CLAIMED != 0 {
            return Err(Refused::Second(value));
        }
        if before & CLOSED != 0 {
            return Err(Refused::Late(value));
        }
        self.content.with_mut(|content| {
            // SAFETY: this side alone set CLAIMED, and the caller reads only after DONE.
            unsafe { *content = Content::Outcome(value) }
        });
        // Release half: publishes the outcome to `poll` and `close`. Acquire half: sees the waiter
        // that `poll` published when it set WAITER.
        let before = self.state.fetch_or(DONE, AcqRel);
        if before & CLOSED != 0 {
            return Err(Refused::Late(self.take_outcome()));
        }
        if before & WAITER == 0 {
            return Ok(Owed::Nothing);
        }
        Ok(self.waiter.with_mut(|waiter| {
            // SAFETY: WAITER was set when DONE was, so the caller leaves the waiter to us.
            let waiter = unsafe { &mut *waiter };
            let home = waiter.as_ref().and_then(|waiter| waiter.home.as_ref());
            match home.map(keep) {
                Some(kept) => Owed::Deliver(kept),
                None => waiter
                    .take()
                    .map_or(Owed::Nothing, |waiter| Owed::Wake(waiter.waker)),
            }
        }))
    }

    /// Wakes the waiter.
    ///
    /// # Safety
    ///
    /// Called once, and only to deliver what [`complete`](Self::complete) owed.
    pub(crate) unsafe fn deliver(&self) {
        let waiter = self.waiter.with_mut(|waiter| {
            // SAFETY: `complete` gave the right to the waiter away with `Owed::Deliver`, and the
            // caller of this has it.
            unsafe { (*waiter).take() }
        });
        if let Some(waiter) = waiter {
            wake_quietly(waiter.waker);
        }
    }

    /// Whether somebody completes or has completed; any thread.
    pub(crate) fn is_claimed(&self) -> bool {
        // Relaxed: asked by the last owner of the completing side, which made the claim itself or
        // received that fact together with the ownership; from elsewhere a hint.
        self.state.load(Relaxed) & CLAIMED != 0
    }

    /// Whether the caller has given up; any thread.
    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: a hint for code that may stop early. Whoever must not miss it orders the look
        // itself (`pool::cell`, where the interrupter is handed over).
        self.state.load(Relaxed) & CLOSED != 0
    }

    /// The caller's look: the outcome once, or the waiter is left here.
    pub(crate) fn poll(&self, waker: &Waker, home: Option<&H>) -> Poll<T> {
        // Acquire: partner of the Release half in `complete`.
        let state = self.state.load(Acquire);
        if state & DONE != 0 {
            return Poll::Ready(self.take_outcome());
        }
        if state & WAITER != 0 && self.is_in_place(waker, home) {
            // If DONE came meanwhile, it is woken.
            return Poll::Pending;
        }
        // Cloned before the look, which may be the last one for a while.
        let new = Waiter {
            waker: waker.clone(),
            home: home.cloned(),
        };
        // Acquire: partner of the Release half in `complete`.
        if self.state.load(Acquire) & DONE != 0 {
            return Poll::Ready(self.take_outcome());
        }
        let old = self.waiter.with_mut(|waiter| {
            // SAFETY: WAITER is not set, so the completing side does not touch the waiter.
            unsafe { (*waiter).replace(new) }
        });
        // Release half: publishes the waiter to `complete`. Acquire half: sees the outcome.
        let before = self.state.fetch_or(WAITER, AcqRel);
        // Foreign code: after our own is done.
        drop(old);
        if before & DONE != 0 {
            // DONE came before WAITER: nobody wakes us, but the outcome is here.
            return Poll::Ready(self.take_outcome());
        }
        Poll::Pending
    }

    /// Whether the waiter is the one already there; withdraws it if not, unless DONE came first.
    fn is_in_place(&self, waker: &Waker, home: Option<&H>) -> bool {
        // Acquire half: sees the outcome if DONE is set. Release is not needed: we withdraw.
        let before = self.state.fetch_and(!WAITER, Acquire);
        if before & DONE != 0 {
            return false;
        }
        let same = self.waiter.with_mut(|waiter| {
            // SAFETY: WAITER was withdrawn before DONE, so the waiter is ours again.
            match unsafe { &*waiter } {
                Some(waiter) => {
                    let same_home = match (&waiter.home, home) {
                        (Some(there), Some(home)) => there.is_same(home),
                        (None, None) => true,
                        _ => false,
                    };
                    same_home && waiter.waker.will_wake(waker)
                }
                None => false,
            }
        });
        // AcqRel: as where `poll` sets WAITER.
        same && self.state.fetch_or(WAITER, AcqRel) & DONE == 0
    }

    /// Gives the call up; the caller, once, and not after `poll` was ready.
    pub(crate) fn close(&self) -> Closed<F, T> {
        // Acquire half: sees the outcome if DONE is set. Release half: what the caller did before
        // it left is visible to a completing side that finds CLOSED.
        let before = self.state.fetch_or(CLOSED, AcqRel);
        if before & DONE != 0 {
            Closed::Done(self.take_outcome())
        } else if before & RUNNING != 0 {
            Closed::Running
        } else {
            Closed::Queued(self.take_input())
        }
    }

    /// The side that the state names as owner takes the outcome.
    fn take_outcome(&self) -> T {
        let content = self.content.with_mut(|content| {
            // SAFETY: callers have seen DONE (caller's side) or DONE after CLOSED (completing
            // side); in either case the other side does not touch the outcome any more.
            std::mem::replace(unsafe { &mut *content }, Content::Nothing)
        });
        match content {
            Content::Outcome(value) => value,
            Content::Input(_) | Content::Nothing => {
                unreachable!("a finished call is not polled or closed again: `Call` sees to it")
            }
        }
    }
}
