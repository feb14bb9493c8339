//! What the tests of the pool share: patience, gates, and counts of what the process holds.
#![allow(missing_docs, unreachable_pub, reason = "not an interface")]
#![allow(dead_code, reason = "each test program uses some of it")]

use pontoon_bridge::{Call, CallError};
use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, short enough that a hang is noticed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never happened: {what}");
        thread::yield_now();
    }
}

/// The call's outcome, awaited on no executor at all.
#[track_caller]
pub fn outcome<T>(call: Call<T>) -> Result<T, CallError> {
    futures_lite::future::block_on(call.deadline_at(Instant::now() + PATIENCE))
}

/// Holds foreign code until it is opened, and says how many wait.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Gate {
    pub fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.1 += 1;
        changed.notify_all();
        while !state.0 {
            state = changed.wait(state).unwrap();
        }
    }

    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().0 = true;
        changed.notify_all();
    }

    /// Waits until `count` have come to the gate.
    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        let (state, _) = changed
            .wait_timeout_while(state, PATIENCE, |state| state.1 < count)
            .unwrap();
        assert!(state.1 >= count, "only {} came to the gate", state.1);
    }
}

/// An open gate at the end of a test, also when it fails.
impl Drop for Gate {
    fn drop(&mut self) {
        // The tests' own handle and one per call; opening is harmless when nobody waits.
        if Arc::strong_count(&self.0) > 1 && thread::panicking() {
            self.open();
        }
    }
}

/// Threads of this process whose name is `name`.
pub fn threads_named(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(Result::ok)
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .filter(|comm| comm.trim_end() == name)
        .count()
}

pub fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Panics when it is dropped.
pub struct Bomb(pub &'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}
