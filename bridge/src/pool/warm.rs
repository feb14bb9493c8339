//! Sessions that are kept warm: a few of each kind are open before a call needs them, and stay open.
//!
//! The workers see to it themselves, whenever one is about to sleep and has no session of a kind of
//! which there are too few. So they end up on the workers that went to sleep last, which are woken
//! first. A backend that is down is tried as the kind's [back-off](super::backoff) allows.

use super::backoff::Try;
use super::core::Core;
use super::opening::open_for_warmth;
use super::serve::Bound;
use super::sessions::Sessions;
use crate::quiet::drop_quietly;
use std::any::TypeId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// A kind of session of which some are kept warm.
pub(super) trait WarmKind: Send + Sync {
    fn kind(&self) -> u64;
    /// When a session may be opened, if there are too few.
    fn cold_at(&self, now: Instant) -> Option<Instant>;
    /// Leave to open one now, if there are too few.
    fn begin(&self) -> Option<Try>;
    /// Opens one; may take its time, never panics.
    fn open(self: Arc<Self>, leave: Try, sessions: &mut Sessions);
}

impl<S: 'static> WarmKind for Bound<S> {
    fn kind(&self) -> u64 {
        self.kind.id
    }

    fn cold_at(&self, now: Instant) -> Option<Instant> {
        self.opening.cold_at(self.core.sessions.min, now)
    }

    fn begin(&self) -> Option<Try> {
        let min = self.core.sessions.min;
        self.opening.begin_warming(min, Instant::now())
    }

    fn open(self: Arc<Self>, leave: Try, sessions: &mut Sessions) {
        if let Some(session) = open_for_warmth(&self, leave) {
            sessions.keep(self.kind.id, session, Instant::now());
        }
        drop_quietly(self);
    }
}

/// The kinds of one pool of which sessions are kept warm.
#[derive(Default)]
pub(super) struct Warm(Mutex<Vec<Weak<dyn WarmKind>>>);

impl Warm {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn WarmKind>>> {
        // Nothing under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kinds of which `sessions` has none.
    fn missing_in(&self, sessions: &Sessions) -> Vec<Arc<dyn WarmKind>> {
        let mut kinds = self.lock();
        kinds.retain(|kind| kind.strong_count() > 0);
        let kinds: Vec<_> = kinds.iter().filter_map(Weak::upgrade).collect();
        // Not under the lock: dropping the last hold on a kind is foreign code.
        let (there, missing) = kinds
            .into_iter()
            .partition(|kind| sessions.has(kind.kind()));
        drop_quietly::<Vec<Arc<dyn WarmKind>>>(there);
        missing
    }
}

impl Core {
    /// Keeps sessions of this kind warm from now on, if the pool does that. There is nothing to keep
    /// warm where a session is `()`.
    pub(super) fn keep_warm<S: 'static>(&self, kind: &Arc<Bound<S>>) {
        if self.sessions.min > 0 && TypeId::of::<S>() != TypeId::of::<()>() {
            let kind = Arc::clone(kind) as Arc<dyn WarmKind>;
            self.warm.lock().push(Arc::downgrade(&kind));
            self.look_at_sessions();
        }
    }

    /// Has the workers that sleep look whether they should open or close sessions. A worker that is about
    /// to sleep looks by itself: it stands idle first, so either it is woken here or it sees what there is
    /// to see.
    pub(super) fn look_at_sessions(&self) {
        self.is_waking();
        self.idle.wake_all();
    }

    /// When a worker with these sessions should open one more to be kept warm.
    pub(super) fn cold_at(&self, sessions: &Sessions) -> Option<Instant> {
        if self.sessions.min == 0 || self.is_shutting_down() {
            return None;
        }
        let now = Instant::now();
        let missing = self.warm.missing_in(sessions);
        let cold_at = missing.iter().filter_map(|kind| kind.cold_at(now)).min();
        drop_quietly(missing);
        cold_at
    }

    /// Opens what should be kept warm, while no call waits. `opening` is told of each kind first.
    pub(super) fn open_cold(&self, sessions: &mut Sessions, opening: impl Fn(u64)) {
        sessions.close_orphans();
        for kind in self.warm.missing_in(sessions) {
            if self.queue.is_empty()
                && !self.is_shutting_down()
                && let Some(leave) = kind.begin()
            {
                opening(kind.kind());
                kind.open(leave, sessions);
            } else {
                drop_quietly(kind);
            }
        }
    }
}
