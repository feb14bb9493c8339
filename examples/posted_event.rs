//! Posted events: later in this turn, in the next turn, and from another thread.
//!
//! `cargo run --example posted_event`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use pontoon_bridge::call;
use pontoon_bridge::event_loop::{self, EventLoop, yield_now};
use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::thread;

/// What ran, in order.
pub(crate) fn run() -> Result<Vec<&'static str>, Box<dyn Error>> {
    EventLoop::new()?.block_on(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let note = |line| {
            let log = Rc::clone(&log);
            move || log.borrow_mut().push(line)
        };

        // Whatever the order of the calls: the rest of this task, the tasks that are due, what was
        // posted for this turn, sockets and timers, and then the next turn.
        let (next_turn_came, next_turn_comes) = call();
        event_loop::post_next({
            let note = note("next turn");
            move || {
                note();
                next_turn_comes.complete(());
            }
        });
        event_loop::post(note("later in this turn"));
        let other = note("a task that was due");
        event_loop::spawn(async move { other() }).detach();
        note("now")();
        next_turn_came.await?;

        // Long work in slices: between two of them everybody else has a turn.
        for slice in ["first slice", "second slice"] {
            note(slice)();
            yield_now().await;
        }

        // A thread of some library continues the request on the loop.
        let (resumed, resume) = call();
        let event_loop = event_loop::handle();
        let library = thread::spawn(move || {
            event_loop.post(move || {
                resume.complete("from another thread");
            })
        });
        note(resumed.await?)();
        library
            .join()
            .map_err(|_| "the library's thread panicked")??;
        Ok(log.take())
    })
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run()?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
