//! How a call ends that somebody may await: one that runs by itself, or one of a batch.

use super::core::Core;
use super::serve::Outcome;
use crate::call::{Closed, Finished, Home, Left, Posts, Refused, Slot, settle};
use crate::error::CallError;
use crate::inbox::chain::Pushed;
use crate::inbox::envelope::Shared;
use crate::quiet::drop_quietly;
use std::sync::Arc;
use std::time::Instant;

/// A call of a pool with a slot. It counts in its pool from when it was let in until it ends here.
pub(super) trait Awaited<T>: Shared<()> + Sized {
    /// What it holds while it waits.
    type Input;

    fn core(&self) -> &Core;
    fn slot(&self) -> &Slot<Self::Input, Finished<T>, Home>;
    fn submitted(&self) -> Instant;
    /// Its caller has left while a worker had it.
    fn was_left_running(self: Arc<Self>);
    /// Its caller has left while it waited.
    fn was_left_queued(&self);

    /// Gives the place back, then the outcome: whoever is woken finds room. `None` when nobody
    /// waited any more, or had an outcome before.
    fn finish(
        self: Arc<Self>,
        result: Outcome<T>,
        started: Instant,
        ended: Instant,
        posts: &mut Posts,
    ) -> Option<Pushed> {
        self.core().admission.leave();
        let finished = Finished {
            result,
            started,
            ended,
        };
        match self.slot().complete(finished, |home| posts.keep(home)) {
            Ok(owed) => Some(settle(self, owed)),
            Err(Refused::Late(late)) => {
                self.core().counters.late.add();
                drop_quietly(late);
                None
            }
            Err(Refused::Second(unused)) => {
                // The work answered before it ended.
                drop_quietly(unused);
                None
            }
        }
    }

    /// Ends a call that a worker has taken and, for this reason, does not run.
    fn finish_unrun(
        self: Arc<Self>,
        core: &Core,
        input: Self::Input,
        error: CallError,
        now: Instant,
        posts: &mut Posts,
    ) {
        drop_quietly(input);
        core.call_was_not_run(self.submitted());
        let counter = core.counters.of_unrun(&error);
        let pushed = self.finish(Err(Box::new(error)), now, now, posts);
        if pushed.is_some() {
            // Otherwise the caller has left by itself, and was counted then.
            counter.add();
        }
    }

    /// Ends a call that nobody will run with `ShutDown`. It comes back if its caller has left already.
    fn finish_shut_down(self: Arc<Self>) -> Result<(), Arc<Self>> {
        let Some(input) = self.slot().start() else {
            return Err(self);
        };
        drop_quietly(input);
        let (error, now) = (Box::new(CallError::ShutDown), Instant::now());
        self.finish(Err(error), now, now, &mut Posts::default());
        Ok(())
    }

    /// The caller gives up, because its deadline has passed or it was dropped.
    fn give_up(self: Arc<Self>, expired: bool) -> Left<T> {
        let core = self.core();
        let closed = self.slot().close();
        if !matches!(closed, Closed::Done(_)) {
            if expired {
                core.counters.expired.add()
            } else {
                core.counters.cancelled.add()
            }
        }
        match closed {
            Closed::Done(finished) => Left::Done(finished),
            Closed::Running => {
                self.was_left_running();
                Left::Running
            }
            Closed::Queued(input) => {
                drop_quietly(input);
                self.was_left_queued();
                core.call_was_not_run(self.submitted());
                core.admission.leave();
                Left::Queued
            }
        }
    }
}
