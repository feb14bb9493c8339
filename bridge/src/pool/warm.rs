//! Sessions that are kept warm: a few of each kind are open before a call needs them, and stay open.
//!
//! The workers see to it themselves, whenever one is about to sleep and has no session of a kind of
//! which there are too few. So they end up on the workers that went to sleep last, which are woken
//! first. A backend that is down is tried as the kind's [back-off](super::backoff) allows.

use super::backoff::Try;
use super::core::Core;
use super::opening::{Opening, open_for_warmth};
use super::serve::Bound;
use super::sessions::Sessions;
use crate::quiet::drop_quietly;
use std::any::TypeId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// A kind of session of which some are kept warm.
pub(super) trait WarmKind: Send + Sync {
    fn kind(&self) -> u64;
    /// Leave to open one now, if there are too few.
    fn begin(&self) -> Option<Try>;
    /// Opens one; may take its time, never panics.
    fn open(self: Arc<Self>, leave: Try, sessions: &mut Sessions);
}

impl<S: 'static> WarmKind for Bound<S> {
    fn kind(&self) -> u64 {
        self.kind.id
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

/// What is looked at without a hold on the kind itself, which is foreign code to drop.
struct Entry {
    kind: u64,
    opening: Arc<Opening>,
    warm: Weak<dyn WarmKind>,
}

/// The kinds of one pool of which sessions are kept warm.
#[derive(Default)]
pub(super) struct Warm(Mutex<Vec<Entry>>);

impl Warm {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        // Nothing under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a worker with these sessions should open one more, so that there are `min` of each kind. It may
    /// be asked while the worker stands idle: nothing foreign is dropped.
    fn cold_at(&self, sessions: &Sessions, min: usize, now: Instant) -> Option<Instant> {
        let kinds = self.lock();
        let missing = kinds.iter().filter(|entry| !sessions.has(entry.kind));
        missing
            .filter_map(|entry| entry.opening.cold_at(min, now))
            .min()
    }

    /// The kinds of which `sessions` has none.
    fn missing_in(&self, sessions: &Sessions) -> Vec<Weak<dyn WarmKind>> {
        let mut kinds = self.lock();
        kinds.retain(|entry| entry.warm.strong_count() > 0);
        let missing = kinds.iter().filter(|entry| !sessions.has(entry.kind));
        missing.map(|entry| Weak::clone(&entry.warm)).collect()
    }
}

impl Core {
    /// Keeps sessions of this kind warm from now on, if the pool does that. There is nothing to keep
    /// warm where a session is `()`.
    pub(super) fn keep_warm<S: 'static>(&self, kind: &Arc<Bound<S>>) {
        if self.sessions.min > 0 && TypeId::of::<S>() != TypeId::of::<()>() {
            let warm: Weak<Bound<S>> = Arc::downgrade(kind);
            self.warm.lock().push(Entry {
                kind: kind.kind.id,
                opening: Arc::clone(&kind.opening),
                warm,
            });
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
        self.warm
            .cold_at(sessions, self.sessions.min, Instant::now())
    }

    /// Opens what should be kept warm, while no call waits. `opening` is told of each kind first.
    pub(super) fn open_cold(&self, sessions: &mut Sessions, opening: impl Fn(u64)) {
        sessions.close_orphans();
        for kind in self.warm.missing_in(sessions) {
            if !self.queue.is_empty() || self.is_shutting_down() {
                return;
            }
            let Some(kind) = kind.upgrade() else { continue };
            match kind.begin() {
                Some(leave) => {
                    opening(kind.kind());
                    kind.open(leave, sessions);
                }
                None => drop_quietly(kind),
            }
        }
    }
}
