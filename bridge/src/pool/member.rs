//! A call that is run together with others, in one allocation: link, state, input and outcome.

use super::awaited::Awaited;
use super::batch::BatchedCall;
use super::core::Core;
use super::line::Line;
use super::outing::Outing;
use super::serve::{CallerSpan, Unrun};
use crate::call::{CallCell, CallContext, Cancellation, Finished, Home, Left, Posts, Slot};
use crate::inbox::envelope::{Header, Shared};
use crate::quiet::drop_quietly;
use crate::visits::Tended;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

/// What a call is submitted with.
pub(super) struct Cargo<I> {
    pub(super) input: I,
    pub(super) span: CallerSpan,
}

/// Whether a call goes with a batch.
enum Seat {
    /// It waits for one.
    Waits,
    In(Arc<Outing>),
    /// Its caller has left after a worker took it.
    Left,
}

/// A call in a [`Line`].
#[repr(C)]
pub(super) struct Member<S, I, T> {
    header: Header<()>,
    slot: Slot<Cargo<I>, Finished<T>, Home>,
    submitted: Instant,
    deadline: Option<Instant>,
    pub(super) tag: u64,
    line: Arc<Line<S, I, T>>,
    /// Locked for a look or a change, by the worker and by a caller that leaves.
    seat: Mutex<Seat>,
}

// SAFETY: `Member` is `repr(C)`, its header comes first and is made for `Arc<Self>` in `new`; the only
// envelope of a member is made when it completes, which it does once.
unsafe impl<S, I, T> Shared<()> for Member<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    fn open(self: Arc<Self>) {
        // SAFETY: the envelope was made to deliver what `complete` owed, and is opened once.
        unsafe { self.slot.deliver() };
        // With it may go what the pool's user gave, on a loop's thread.
        drop_quietly(self);
    }
}

impl<S, I, T> Member<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    pub(super) fn new(
        line: Arc<Line<S, I, T>>,
        (submitted, deadline): (Instant, Option<Instant>),
        tag: u64,
        cargo: Cargo<I>,
    ) -> Self {
        Self {
            header: Header::of::<Arc<Self>>(),
            slot: Slot::new(cargo),
            submitted,
            deadline,
            tag,
            line,
            seat: Mutex::new(Seat::Waits),
        }
    }

    /// Whether its caller has left.
    pub(super) fn is_left(&self) -> bool {
        self.slot.is_closed()
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        // Nothing under the lock panics half-way.
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the call for running, `now`. If that is of no use any more, or its caller has left, it ends
    /// here instead.
    pub(super) fn board(
        self: &Arc<Self>,
        now: Instant,
        outing: &Arc<Outing>,
        posts: &mut Posts,
    ) -> Option<BatchedCall<I, T>> {
        let cargo = self.slot.start()?;
        let verdict = self
            .line
            .bound
            .judge_of_line(self.submitted, self.deadline, now);
        if let Err(Unrun(error)) = verdict {
            Arc::clone(self).finish_unrun(self.core(), cargo, error, now, posts);
            return None;
        }
        let mut seat = self.seat();
        if matches!(*seat, Seat::Waits) {
            outing.joined();
            *seat = Seat::In(Arc::clone(outing));
        }
        drop(seat);
        let context = CallContext::new(Arc::clone(self) as Arc<dyn Cancellation>, self.deadline);
        Some(BatchedCall::new(cargo, context, self.tag))
    }
}

impl<S, I, T> Awaited<T> for Member<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    type Input = Cargo<I>;

    fn core(&self) -> &Core {
        &self.line.bound.core
    }

    fn slot(&self) -> &Slot<Cargo<I>, Finished<T>, Home> {
        &self.slot
    }

    fn submitted(&self) -> Instant {
        self.submitted
    }

    fn was_left_running(self: Arc<Self>) {
        let before = mem::replace(&mut *self.seat(), Seat::Left);
        if let Seat::In(outing) = before
            && outing.was_left()
        {
            self.line.interrupt(outing);
        }
    }

    fn was_left_queued(&self) {
        self.line.husk_left_behind();
    }
}

impl<S, I, T> CallCell<T> for Member<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    fn poll(&self, waker: &Waker, home: Option<&Home>) -> Poll<Finished<T>> {
        self.slot.poll(waker, home)
    }

    fn hurry(&self) {
        Tended::work_was_queued(self.core());
    }

    fn leave(self: Arc<Self>, expired: bool) -> Left<T> {
        self.give_up(expired)
    }
}

impl<S, I, T> Cancellation for Member<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    fn is_cancelled(&self) -> bool {
        self.slot.is_closed()
            || matches!(&*self.seat(), Seat::In(outing) if outing.is_told_to_stop())
    }
}
