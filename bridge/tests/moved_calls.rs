//! Calls that wait in another executor, which a loop runs for a while and somebody else later.
//!
//! Their outcomes were sent to the loop on which they were last polled, and their deadlines were its
//! timers. A loop that had stopped, or was gone, woke nobody.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, PATIENCE, eventually};
use futures_lite::future::{block_on, or};
use pontoon_bridge::{CallError, EventLoop, Pool};
use smol::{Executor, Timer};
use std::time::{Duration, Instant};

/// Runs the executor's tasks on no loop.
async fn soon<T>(executor: &Executor<'_>, task: smol::Task<T>) -> Option<T> {
    let patience = async {
        Timer::after(PATIENCE / 6).await;
        None
    };
    or(executor.run(async { Some(task.await) }), patience).await
}

/// A loop polls a call in an executor of its own, and then does not run any more; `meanwhile` has the
/// loop, and the gate that holds the call.
fn wakes_who_waits_elsewhere(meanwhile: impl FnOnce(&Pool, EventLoop, &Gate)) {
    let pool = Pool::named("moved").threads(1).build().unwrap();
    let (executor, gate) = (Executor::new(), Gate::default());
    let at_gate = gate.clone();
    let call = pool.call(move |()| at_gate.pass()).submit();
    let task = executor.spawn(call);
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(executor.tick());
    meanwhile(&pool, event_loop, &gate);
    block_on(soon(&executor, task))
        .expect("its waker was called")
        .unwrap();
}

#[test]
fn an_outcome_in_the_inbox_of_a_loop_that_ends_wakes_who_waits_for_it_elsewhere() {
    wakes_who_waits_elsewhere(|pool, event_loop, gate| {
        gate.open();
        eventually("it has ended", || pool.stats().idle == 1);
        drop(event_loop);
    });
}

#[test]
fn a_loop_that_does_not_run_keeps_no_outcome_from_who_waits_for_it_elsewhere() {
    let mut kept = None;
    wakes_who_waits_elsewhere(|_, event_loop, gate| {
        gate.open();
        kept = Some(event_loop);
    });
}

#[test]
fn a_deadline_on_a_loop_that_ends_holds_for_who_waits_elsewhere() {
    let (call, _completer) = pontoon_bridge::call::<()>();
    let executor = Executor::new();
    let at = Instant::now() + Duration::from_millis(100);
    let task = executor.spawn(call.deadline_at(at));
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(executor.tick());
    drop(event_loop);
    let ended = block_on(soon(&executor, task)).expect("its waker was called");
    assert!(matches!(ended, Err(CallError::DeadlineExceeded { .. })));
}
