//! A gate that a test opens: how a library hangs for exactly as long as the test wants.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::PATIENCE;

#[derive(Debug, Default)]
struct State {
    open: bool,
    came: usize,
    inside: usize,
    inside_max: usize,
}

/// Calls wait at it until it is open. It is closed at first.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the gate is open: what a library calls. After twice [`PATIENCE`] it gives up
    /// waiting, so that a test which failed ends.
    pub fn pass(&self) {
        let mut state = self.lock();
        state.came += 1;
        state.inside += 1;
        state.inside_max = state.inside_max.max(state.inside);
        self.changed.notify_all();
        let waited = self
            .changed
            .wait_timeout_while(state, PATIENCE * 2, |state| !state.open);
        waited.unwrap_or_else(PoisonError::into_inner).0.inside -= 1;
    }

    /// Lets everybody through, from now on.
    pub fn open(&self) {
        self.lock().open = true;
        self.changed.notify_all();
    }

    /// Holds up everybody who comes from now on.
    pub fn close(&self) {
        self.lock().open = false;
    }

    /// How many came, over its life.
    pub fn came(&self) -> usize {
        self.lock().came
    }

    /// The most that were at the gate at once.
    pub fn inside_max(&self) -> usize {
        self.lock().inside_max
    }

    /// Waits until so many have come.
    ///
    /// # Panics
    ///
    /// When they do not come in time.
    pub fn wait_for(&self, count: usize) {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |state| state.came < count);
        let came = waited.unwrap_or_else(PoisonError::into_inner).0.came;
        assert!(came >= count, "only {came} of {count} came to the gate");
    }
}

/// A gate, and the library's side of it. The first opens the gate when it is dropped, also by a test
/// that fails.
pub fn gate() -> (OpensAtLast, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    (OpensAtLast(Arc::clone(&gate)), gate)
}

/// Opens a gate when it is dropped; see [`gate`].
#[derive(Debug)]
pub struct OpensAtLast(pub Arc<Gate>);

impl Deref for OpensAtLast {
    type Target = Gate;

    fn deref(&self) -> &Gate {
        &self.0
    }
}

impl Drop for OpensAtLast {
    fn drop(&mut self) {
        self.0.open();
    }
}
