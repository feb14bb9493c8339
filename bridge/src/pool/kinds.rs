//! The kinds of sessions that a pool serves, for whoever has only a kind's number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of a kind.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: u64,
    pub(super) label: Option<Arc<str>>,
    /// Its library gives up on `EINTR`.
    pub(super) takes_eintr: bool,
}

/// The kinds of one pool.
#[derive(Debug, Default)]
pub(super) struct Kinds(Mutex<Vec<Known>>);

impl Kinds {
    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        // Nothing under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, kind: Known) {
        self.lock().push(kind);
    }

    pub(super) fn remove(&self, id: u64) {
        self.lock().retain(|known| known.id != id);
    }

    pub(super) fn get(&self, id: u64) -> Option<Known> {
        self.lock().iter().find(|known| known.id == id).cloned()
    }
}
