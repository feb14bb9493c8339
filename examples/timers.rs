//! Timers of an event loop: one-shot, periodic, cancelled, re-armed.
//!
//! `cargo run --example timers`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use pontoon_bridge::event_loop::{self, EventLoop, Timer, sleep, timeout};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What happened, in order.
pub(crate) fn run() -> std::io::Result<Vec<&'static str>> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let note = {
        let log = Rc::clone(&log);
        move |line| log.borrow_mut().push(line)
    };
    EventLoop::new()?.block_on(async {
        Timer::after(ms(20)).await;
        note("the one-shot timer fired");

        // Ticks are counted from the first one, so a late one does not delay those after it.
        let mut heartbeat = Timer::every(ms(10));
        for _ in 0..3 {
            heartbeat.tick().await;
            note("heartbeat");
        }

        // A task with a timer in it: cancelling the task cancels the timer.
        let late_note = note.clone();
        let limit = event_loop::spawn(async move {
            sleep(ms(10)).await;
            late_note("never: it was cancelled");
        });
        limit.cancel();

        // Re-armed by each activity, it fires only when there was none for 30 ms.
        let mut quiet = Timer::after(ms(30));
        for _ in 0..3 {
            sleep(ms(10)).await;
            quiet.rearm(ms(30));
        }
        (&mut quiet).await;
        note("quiet for 30 ms");

        // A cancelled timer keeps whoever awaits it waiting, until it is armed again.
        quiet.rearm(ms(1));
        quiet.cancel();
        if timeout(ms(20), &mut quiet).await.is_err() {
            note("the cancelled timer did not fire");
        }
        quiet.rearm(ms(1));
        quiet.await;
        note("armed again, it fired");
    });
    Ok(log.take())
}

pub(crate) fn main() -> std::io::Result<()> {
    run()?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
