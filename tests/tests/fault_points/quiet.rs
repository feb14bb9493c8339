//! Panics on any thread, and work that does not end: both fail the case.

use std::panic;
use std::process;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Nothing that a case does takes as long.
const LIMIT: Duration = Duration::from_secs(60);

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Collects panics from now on, besides what is done with them anyway.
pub fn note_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = thread::current().name().unwrap_or("?").to_owned();
            let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
            panics.push(format!("{thread}: {info}"));
            drop(panics);
            usual(info);
        }));
    });
}

/// Fails if anything has panicked, on any thread.
pub fn nothing_panicked() {
    let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(panics.is_empty(), "panics: {panics:#?}");
}

/// Ends the process if it is not dropped in time: a test that hangs cannot say where.
pub struct Limit {
    /// Taken when it is dropped.
    over: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Limit {
    pub fn for_case(case: String) -> Self {
        let (over, is_over) = channel();
        let watch = move || {
            if is_over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                pontoon_tests::process::report(&format!("not over after {LIMIT:?}: {case}"));
                process::abort();
            }
        };
        let over = Some((over, thread::spawn(watch)));
        Self { over }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.over.take() {
            drop(over);
            let _ = thread.join();
        }
    }
}
