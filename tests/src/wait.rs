//! Waiting for what happens elsewhere, without sleeping for a guessed time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Polls until `condition` holds.
///
/// # Panics
///
/// When it does not within [`PATIENCE`]; the message has `what`.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(what, || condition().then_some(()));
}

/// Polls until `look` finds something.
///
/// # Panics
///
/// When it does not within [`PATIENCE`]; the message has `what`.
pub fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        // Only the pace of looking; nothing depends on it.
        thread::sleep(Duration::from_millis(2));
    }
}

/// A gate that holds workers, and a door for them to wait at. The gate opens when it is dropped.
pub fn gate() -> (Gate, Door) {
    let state = Arc::new(State::default());
    (Gate(Arc::clone(&state)), Door(state))
}

/// The test's side: see [`gate`].
#[derive(Debug)]
pub struct Gate(Arc<State>);

/// The workers' side: see [`gate`].
#[derive(Debug, Clone)]
pub struct Door(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// How many have come to the door, and whether it is open.
    inside: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, (usize, bool)> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut (usize, bool))) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait(&self, what: &str, waiting: impl Fn(&(usize, bool)) -> bool) {
        let (_inside, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |inside| waiting(inside))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "not within {PATIENCE:?}: {what}");
    }
}

impl Gate {
    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.change(|(_, open)| *open = true);
    }

    /// Waits until this many have come to the door, since the beginning.
    ///
    /// # Panics
    ///
    /// When fewer come within [`PATIENCE`].
    pub fn wait_for(&self, count: usize) {
        self.0
            .wait("enough at the door", |(arrived, _)| *arrived < count);
    }

    /// How many have come to the door, since the beginning.
    pub fn arrived(&self) -> usize {
        self.0.lock().0
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Door {
    /// Blocks until the gate is open.
    ///
    /// # Panics
    ///
    /// When it stays closed for [`PATIENCE`].
    pub fn pass(&self) {
        self.0.change(|(arrived, _)| *arrived += 1);
        self.0.wait("the gate opens", |(_, open)| !open);
    }
}
