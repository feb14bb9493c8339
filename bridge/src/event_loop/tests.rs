//! The loop as its users see it: tasks, order, timers, descriptors, sockets, its end.

mod ending;
mod fairness;
mod fds;
mod sockets;
mod tasks;
mod timers;

use super::EventLoop;
use std::time::Duration;

/// Longer than anything here takes, short enough that a hang is noticed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `future` on a loop of its own, but not for ever.
fn run<F: Future>(future: F) -> F::Output {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        super::timeout(PATIENCE, future)
            .await
            .expect("the test hangs")
    })
}
