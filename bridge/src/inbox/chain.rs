//! The wake protocol on one atomic word, and nothing else: no fd, no executor, no allocation.
//!
//! ```text
//!                 push: wake owed                     push
//!        ┌───────────────────────────────┐        ┌───────┐
//!        │                               ▼        ▼       │
//!    ┌───────┐   arm (before sleep)   ┌─────────────┐     │
//!    │ Armed │ ◀──────────┐           │  Non-empty  │ ────┘
//!    └───────┘            │           └─────────────┘
//!        │            ┌───────┐   push       ▲  │
//!        └──────────▶ │ Empty │ ─────────────┘  │
//!          take       └───────┘ ◀───────────────┘
//!                                      take
//! ```
//!
//! The word is null (Empty), the ARMED mark, the CLOSED mark (for good), or the newest node. Any
//! thread pushes; one thread, the consumer, arms, takes and closes. Every change is a
//! read-modify-write of this one word, so all threads agree on their order: a push comes before the
//! arm (which then fails, and the consumer does not sleep) or after it (and owes the wake). There is
//! no third case, which is why no wake is lost. `models.rs` checks it with loom.

use crate::sync::atomic::AtomicPtr;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// Something that can be a node of a [`Chain`] without being moved.
///
/// # Safety
///
/// - `into_raw` gives up ownership and returns a pointer that stays valid until `from_raw` takes
///   it back; it is at least 4-aligned and non-null.
/// - Between the two, `set_next` and `next` reach one pointer-sized place inside the node that
///   nothing else uses.
/// - A node may be taken back on another thread than it was given up on.
pub(crate) unsafe trait Node: Sized + Send {
    fn into_raw(self) -> NonNull<()>;
    /// # Safety
    ///
    /// `raw` came from `into_raw` of the same type and is taken back once.
    unsafe fn from_raw(raw: NonNull<()>) -> Self;
    /// # Safety
    ///
    /// `raw` came from `into_raw`, was not taken back, and no other thread can reach it.
    unsafe fn set_next(raw: NonNull<()>, next: *mut ());
    /// # Safety
    ///
    /// As for `set_next`.
    unsafe fn next(raw: NonNull<()>) -> *mut ();
}

const EMPTY: *mut () = ptr::null_mut();
const ARMED: *mut () = ptr::without_provenance_mut(1);
const CLOSED: *mut () = ptr::without_provenance_mut(2);

/// What a push owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The consumer runs, or somebody else owes the wake.
    Quiet,
    /// The consumer sleeps: this thread must ring the wake fd, once.
    WakeOwed,
}

/// The producers' side of the list: one atomic word.
#[derive(Debug)]
pub(crate) struct Chain<N: Node> {
    head: AtomicPtr<()>,
    nodes: PhantomData<fn(N) -> N>,
}

impl<N: Node> Chain<N> {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicPtr::new(EMPTY),
            nodes: PhantomData,
        }
    }

    /// Adds a node; any thread.
    ///
    /// # Errors
    ///
    /// Gives the node back when the consumer has closed the chain.
    pub(crate) fn push(&self, node: N) -> Result<Pushed, N> {
        let raw = node.into_raw();
        // Relaxed: only a first guess; the compare-exchange below decides. CLOSED is never left,
        // so seeing it late or early changes nothing.
        let mut head = self.head.load(Relaxed);
        loop {
            if head == CLOSED {
                // SAFETY: `raw` was made above and never published (Node's contract).
                return Err(unsafe { N::from_raw(raw) });
            }
            let next = if head == ARMED { EMPTY } else { head };
            // SAFETY: `raw` is not published yet, so this thread alone reaches it.
            unsafe { N::set_next(raw, next) };
            // Release: publishes the node's content and `next` to the Acquire swap in `take`.
            // Earlier pushers' nodes are published by the release sequence, since every change
            // of the word is a read-modify-write. Relaxed on failure: the value is only a guess.
            match self
                .head
                .compare_exchange_weak(head, raw.as_ptr(), Release, Relaxed)
            {
                Ok(ARMED) => return Ok(Pushed::WakeOwed),
                Ok(_) => return Ok(Pushed::Quiet),
                Err(now) => head = now,
            }
        }
    }

    /// Says that the consumer is about to sleep; the consumer only. False when something is here:
    /// take it instead of sleeping.
    pub(crate) fn arm(&self) -> bool {
        #[cfg(pontoon_canary)]
        {
            // The canary: a protocol broken on purpose (look, then store). The models must fail.
            // Relaxed, Relaxed: wrong on purpose.
            let empty = self.head.load(Relaxed).is_null();
            if empty {
                // Relaxed: wrong on purpose, this tramples a node pushed in between.
                self.head.store(ARMED, Relaxed);
            }
            return empty;
        }
        // Relaxed, Relaxed: nothing is published by arming; the order of the changes of this one
        // word against the compare-exchange in `push` is all that counts.
        #[cfg(not(pontoon_canary))]
        match self.head.compare_exchange(EMPTY, ARMED, Relaxed, Relaxed) {
            Ok(_) => true,
            // Armed already, by an earlier call that nobody answered.
            Err(head) => head == ARMED,
        }
    }

    /// Whether something is here, as far as this thread sees; the consumer only.
    pub(crate) fn is_waiting(&self) -> bool {
        // Relaxed: a look; `take` has the Acquire.
        let head = self.head.load(Relaxed);
        head != EMPTY && head != ARMED && head != CLOSED
    }

    /// Takes all that is here, oldest first, and disarms; the consumer only.
    pub(crate) fn take(&self) -> Taken<N> {
        // Relaxed: a first look, so that an idle turn costs no write to a shared cache line. Only
        // the consumer closes, so CLOSED is not missed here and stays for good.
        let head = self.head.load(Relaxed);
        if head == EMPTY || head == CLOSED {
            return Taken::empty();
        }
        // Acquire: partner of the Release in `push`; makes every taken node's content visible.
        Taken::reversed(self.head.swap(EMPTY, Acquire))
    }

    /// Refuses all further pushes and takes what is here; the consumer only.
    pub(crate) fn close(&self) -> Taken<N> {
        // Acquire: as in `take`.
        Taken::reversed(self.head.swap(CLOSED, Acquire))
    }
}

impl<N: Node> Drop for Chain<N> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// Nodes that were taken, oldest first; drops those that were not asked for.
#[derive(Debug)]
pub(crate) struct Taken<N: Node> {
    first: *mut (),
    nodes: PhantomData<N>,
}

// SAFETY: `Taken` owns its nodes, and `Node` requires `Send`.
unsafe impl<N: Node> Send for Taken<N> {}

impl<N: Node> Taken<N> {
    pub(crate) const fn empty() -> Self {
        Self {
            first: EMPTY,
            nodes: PhantomData,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Turns the newest-first list that starts at `head` round.
    fn reversed(head: *mut ()) -> Self {
        let mut newest_first = if head == ARMED || head == CLOSED {
            EMPTY
        } else {
            head
        };
        let mut first = EMPTY;
        while let Some(node) = NonNull::new(newest_first) {
            // SAFETY: the swap made this list ours alone, and each node was given by `into_raw`.
            newest_first = unsafe { N::next(node) };
            // SAFETY: as above.
            unsafe { N::set_next(node, first) };
            first = node.as_ptr();
        }
        Self {
            first,
            nodes: PhantomData,
        }
    }
}

impl<N: Node> Iterator for Taken<N> {
    type Item = N;

    fn next(&mut self) -> Option<N> {
        let node = NonNull::new(self.first)?;
        // SAFETY: the list from `first` on is ours alone.
        self.first = unsafe { N::next(node) };
        // SAFETY: `node` left the list just now, so it is taken back once.
        Some(unsafe { N::from_raw(node) })
    }
}

impl<N: Node> Default for Taken<N> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<N: Node> Drop for Taken<N> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
