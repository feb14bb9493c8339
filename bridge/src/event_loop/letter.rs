//! What other threads send to a loop: a task that is due, or a finished call that comes home.

use super::task::Due;
use crate::inbox::chain::Node;
use crate::inbox::envelope::Envelope;
use std::ptr::NonNull;

/// One thing in a loop's inbox.
#[derive(Debug)]
pub(crate) enum Letter {
    /// To be polled.
    Task(Due),
    /// To be opened, which wakes whoever waits for it.
    Call(Envelope<()>),
}

/// Set in the pointer of a [`Letter::Call`]. All pointers here are aligned to at least 4.
const CALL: usize = 1;

// SAFETY: `into_raw` and `from_raw` are those of the two kinds, whose pointers have a clear lowest
// bit, by which they are told apart; a set bit never makes a pointer null. Both kinds are `Send`.
unsafe impl Node for Letter {
    fn into_raw(self) -> NonNull<()> {
        match self {
            Self::Task(due) => Node::into_raw(due),
            Self::Call(envelope) => envelope_bit(Node::into_raw(envelope)),
        }
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        match kind(raw) {
            // SAFETY: the caller's promise, for the kind that the bit names.
            Kind::Task(raw) => Self::Task(unsafe { <Due as Node>::from_raw(raw) }),
            // SAFETY: as above.
            Kind::Call(raw) => Self::Call(unsafe { <Envelope<()> as Node>::from_raw(raw) }),
        }
    }

    unsafe fn set_next(raw: NonNull<()>, next: *mut ()) {
        match kind(raw) {
            // SAFETY: the caller's promise, for the kind that the bit names.
            Kind::Task(raw) => unsafe { <Due as Node>::set_next(raw, next) },
            // SAFETY: as above.
            Kind::Call(raw) => unsafe { <Envelope<()> as Node>::set_next(raw, next) },
        }
    }

    unsafe fn next(raw: NonNull<()>) -> *mut () {
        match kind(raw) {
            // SAFETY: the caller's promise, for the kind that the bit names.
            Kind::Task(raw) => unsafe { <Due as Node>::next(raw) },
            // SAFETY: as above.
            Kind::Call(raw) => unsafe { <Envelope<()> as Node>::next(raw) },
        }
    }
}

enum Kind {
    Task(NonNull<()>),
    Call(NonNull<()>),
}

fn envelope_bit(raw: NonNull<()>) -> NonNull<()> {
    raw.map_addr(|address| address | CALL)
}

fn kind(raw: NonNull<()>) -> Kind {
    let address = raw.addr().get();
    if address & CALL == 0 {
        return Kind::Task(raw);
    }
    let plain = raw.as_ptr().map_addr(|address| address & !CALL);
    // The pointer had more bits than this one, since it pointed to something.
    Kind::Call(NonNull::new(plain).unwrap_or(raw))
}
