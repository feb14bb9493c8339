//! The programs in `examples/` do what they say, and the pages name all of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod bridge;
mod http;
mod pages;
mod servers;
mod wrapped;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than anything here may take, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a program that would wait for ever if it, or what it shows, were wrong.
fn bounded<T: Send + 'static>(program: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(program()));
    let result = result.recv_timeout(PATIENCE);
    result.expect("it panicked, or ran for too long")
}
