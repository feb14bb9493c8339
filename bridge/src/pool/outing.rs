//! One batch while it runs, for whoever may stop it.
//!
//! A call of it that is given up stops nobody else's work: only its own context says so. The session's
//! interrupter is for the batch as a whole. It is used when *all* callers have left, or when the batch
//! is stuck.

use super::serve::{Around, Bound};
use super::session::Session;
use super::stopping::{Interrupter, Stoppable, Stopping};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// A batch that runs, or that calls are just being taken for.
pub(super) struct Outing {
    stopping: Stopping,
    /// Callers that have not left, and one more while calls are taken for it.
    wanted: AtomicUsize,
}

impl Outing {
    pub(super) fn new() -> Self {
        Self {
            stopping: Stopping::default(),
            wanted: AtomicUsize::new(1),
        }
    }

    /// A call joins, whose caller has not left.
    pub(super) fn joined(&self) {
        // Relaxed: one word, of which only the last change to zero matters. What is done then goes
        // through the watchdog's channel and the interrupter's place, which order it.
        self.wanted.fetch_add(1, Relaxed);
    }

    /// The caller of a call that joined has left, or all calls have joined; whether nobody waits now.
    pub(super) fn was_left(&self) -> bool {
        // Relaxed: as above.
        self.wanted.fetch_sub(1, Relaxed) == 1
    }

    pub(super) fn is_told_to_stop(&self) -> bool {
        self.stopping.is_told()
    }

    fn is_to_stop(&self) -> bool {
        // Relaxed: as in `joined`.
        self.is_told_to_stop() || self.wanted.load(Relaxed) == 0
    }
}

impl Stoppable for Outing {
    fn take_interrupter(&self) -> Option<Interrupter> {
        self.stopping.take_interrupter()
    }

    fn tell_to_stop(&self) {
        self.stopping.tell();
    }
}

/// Makes the session's interrupter reachable while the batch runs.
pub(super) struct Guided<'a, S> {
    pub(super) bound: &'a Bound<S>,
    pub(super) outing: &'a Arc<Outing>,
}

impl<S: 'static> Around<S> for Guided<'_, S> {
    fn before(&self, session: &mut Session<S>) -> thread::Result<bool> {
        let outing = self.outing;
        let ask_again = || {
            let watchdog = &self.bound.core.watchdog;
            watchdog.interrupt(Arc::clone(outing) as Arc<dyn Stoppable>);
        };
        let kind = &self.bound.kind;
        outing
            .stopping
            .begin(kind, session, || outing.is_to_stop(), ask_again)
    }

    fn after(&self, session: &mut Session<S>) {
        self.outing.stopping.end(session);
    }
}

#[cfg(test)]
mod tests {
    use super::Outing;

    #[test]
    fn only_the_last_one_who_leaves_is_told_that_nobody_waits() {
        let outing = Outing::new();
        outing.joined();
        assert!(!outing.was_left(), "others may still join");
        outing.joined();
        outing.joined();
        assert!(!outing.was_left(), "all have joined");
        assert!(!outing.was_left());
        assert!(!outing.is_to_stop());
        assert!(outing.was_left());
        assert!(outing.is_to_stop());
    }
}
