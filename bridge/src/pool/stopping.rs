//! What stops the foreign code that a worker runs, for whoever may stop it.

use super::session::{Session, SessionKind};
use crate::call::Interrupt;
use crate::quiet::drop_quietly;
use crossbeam_utils::atomic::AtomicCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// What stops a running call. One word, as a fat pointer cannot be swapped.
pub(crate) type Interrupter = Box<Box<dyn Interrupt>>;

/// What a worker runs, as the watchdog sees it: a call, or a batch of them.
pub(crate) trait Stoppable: Send + Sync {
    /// What stops it, for a thread of the watchdog: nobody waits for it, or it is stuck. `None` once it
    /// has returned, or when somebody has it already.
    fn take_interrupter(&self) -> Option<Interrupter>;
    /// Has its context say that it is to stop.
    fn tell_to_stop(&self);
}

/// The part of something [`Stoppable`] that the worker and the watchdog share.
#[derive(Default)]
pub(super) struct Stopping {
    /// While the work runs, for whoever takes it first: the watchdog, or the worker when it is done.
    interrupter: AtomicCell<Option<Interrupter>>,
    /// It is to stop although somebody waits for it: it is stuck, or nobody wants what it does after its
    /// outcome.
    is_told_to_stop: AtomicBool,
}

impl Stopping {
    /// Makes the session's interrupter reachable before the work runs; whether there is one. If it is to
    /// stop already, `ask_again` is called. An error is a panic of foreign code.
    pub(super) fn begin<S: 'static>(
        &self,
        kind: &SessionKind<S>,
        session: &mut Session<S>,
        is_to_stop: impl FnOnce() -> bool,
        ask_again: impl FnOnce(),
    ) -> thread::Result<bool> {
        let make = || kind.interrupter_of(session.get());
        let Some(interrupter) = catch_unwind(AssertUnwindSafe(make))? else {
            return Ok(false);
        };
        self.interrupter.store(Some(Box::new(interrupter)));
        // Either the watchdog, which was asked after the last caller had left (or the order to stop was
        // given), comes to an interrupter, or it came before: then the swap in this store read from the
        // one in its `take`, and what it was asked for is seen here.
        if is_to_stop() {
            ask_again();
        }
        Ok(true)
    }

    /// After the work, if there was an interrupter.
    pub(super) fn end<S>(&self, session: &mut Session<S>) {
        let unused = self.interrupter.take();
        if unused.is_none() {
            // The watchdog took it: its cancel may still be on the way and would hit the next
            // call.
            session.discard();
        }
        drop_quietly(unused);
    }

    /// As [`Stoppable::take_interrupter`].
    pub(super) fn take_interrupter(&self) -> Option<Interrupter> {
        // There only while the work runs: the worker takes it back when it returns.
        self.interrupter.take()
    }

    /// As [`Stoppable::tell_to_stop`].
    pub(super) fn tell(&self) {
        // Relaxed: a hint for code that looks.
        self.is_told_to_stop.store(true, Relaxed);
    }

    pub(super) fn is_told(&self) -> bool {
        // Relaxed: a hint for code that looks.
        self.is_told_to_stop.load(Relaxed)
    }
}
