//! How many calls run together, in which order, and who has his turn in between.

use crate::common::{Gate, PATIENCE, eventually, outcome};
use crate::{Do, Rig, pool};
use pontoon_bridge::{BatchLimits, CallError, EventLoop, SubmitError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn what_waits_runs_together_in_order_and_each_gets_its_own_outcome() {
    let pool = pool("together", 4).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(3));
    let (gate, held) = rig.hold();
    let calls: Vec<_> = (1..=7)
        .map(|number| rig.submit(u64::from(number), Do::Say(number)))
        .collect();
    assert_eq!(rig.ran(), [[0]], "one batch at a time");
    assert_eq!(pool.stats().in_flight, 8);
    gate.open();
    for (number, call) in (1..).zip(calls) {
        assert_eq!(outcome(call).unwrap(), number * 2);
    }
    outcome(held).unwrap();
    let expected: [&[u64]; 4] = [&[0], &[1, 2, 3], &[4, 5, 6], &[7]];
    assert_eq!(rig.ran(), expected);
    let stats = pool.stats();
    assert_eq!((stats.submitted, stats.completed), (8, 8));
    assert_eq!((stats.in_flight, stats.panicked, stats.late), (0, 0, 0));
}

#[test]
fn a_call_that_nobody_is_before_does_not_wait_for_others() {
    let pool = pool("alone", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(1_000));
    for number in 1..=20 {
        assert_eq!(outcome(rig.submit(1, Do::Say(number))).unwrap(), number * 2);
    }
    assert_eq!(rig.ran().len(), 20);
}

#[test]
fn other_calls_of_the_same_worker_have_their_turn_between_batches_and_keep_their_order() {
    let pool = pool("turns", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(2));
    let order = Arc::new(Mutex::new(Vec::new()));
    let (gate, held) = rig.hold();
    let batched: Vec<_> = (1..=6)
        .map(|number| rig.submit(u64::from(number), Do::Say(number)))
        .collect();
    let others: Vec<_> = (0..3)
        .map(|number| {
            let (order, batches) = (Arc::clone(&order), Arc::clone(&rig.ran));
            let call = pool.call(move |_| {
                let batches = batches.lock().unwrap().len();
                order.lock().unwrap().push((number, batches));
            });
            call.submit()
        })
        .collect();
    gate.open();
    outcome(held).unwrap();
    others.into_iter().for_each(|call| outcome(call).unwrap());
    batched
        .into_iter()
        .for_each(|call| assert!(outcome(call).is_ok()));
    // They waited for the batch that ran when they came, and for no other one of these.
    assert_eq!(*order.lock().unwrap(), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(rig.ran().len(), 4);
}

#[test]
fn two_lines_of_one_pool_run_beside_each_other_and_beside_other_calls() {
    let pool = pool("lines", 3).build().unwrap();
    let (one, other) = (
        Rig::new(&pool, BatchLimits::of(8)),
        Rig::new(&pool, BatchLimits::of(8)),
    );
    let (gate, held) = one.hold();
    assert_eq!(outcome(other.submit(1, Do::Say(1))).unwrap(), 2);
    outcome(pool.call(|_| ()).submit()).unwrap();
    gate.open();
    outcome(held).unwrap();
}

#[test]
fn as_many_batches_run_at_once_as_may() {
    let pool = pool("at once", 4).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(1).at_once(2));
    let gate = Gate::default();
    let calls: Vec<_> = (1..=6)
        .map(|tag| rig.submit(tag, Do::Wait(gate.clone())))
        .collect();
    gate.wait_for(2);
    assert_eq!(pool.stats().running, 2);
    assert_eq!(rig.ran().len(), 2);
    gate.open();
    calls
        .into_iter()
        .for_each(|call| assert!(outcome(call).is_ok()));
    assert_eq!(rig.ran().len(), 6);
}

#[test]
fn with_room_for_more_batches_calls_that_come_together_wake_more_workers() {
    let pool = pool("chain", 3).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(1).at_once(3));
    let gate = Gate::default();
    let submit = |tag| rig.submit(tag, Do::Wait(gate.clone()));
    // In one turn of a loop, which wakes one worker for all of them.
    let calls = EventLoop::new()
        .unwrap()
        .block_on(async { [1, 2, 3].map(submit) });
    gate.wait_for(3);
    gate.open();
    calls
        .into_iter()
        .for_each(|call| assert!(outcome(call).is_ok()));
}

#[test]
fn the_bound_of_the_pool_counts_each_call() {
    let pool = pool("bound", 1).max_queue(2).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(100));
    let (gate, held) = rig.hold();
    let waiting = [1, 2].map(|number| rig.submit(1, Do::Say(number)));
    let refused = outcome(rig.submit(1, Do::Say(3)));
    let Err(CallError::Rejected(SubmitError::QueueFull { in_flight, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(in_flight, 3);
    gate.open();
    outcome(held).unwrap();
    waiting
        .into_iter()
        .for_each(|call| assert!(outcome(call).is_ok()));
    assert_eq!(pool.stats().in_flight, 0);
}

#[test]
fn a_batch_that_is_stuck_does_not_keep_the_next_one_waiting() {
    let pool = pool("stuck", 2).stuck_after(Duration::from_millis(50));
    let pool = pool.max_stuck(1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(10));
    let (gate, held) = rig.hold();
    // These wait for it, and come when a spare worker has; nothing else is submitted meanwhile.
    let waiting = [1, 2].map(|number| rig.submit(1, Do::Say(number)));
    for (number, call) in (1..).zip(waiting) {
        assert_eq!(outcome(call).unwrap(), number * 2);
    }
    assert_eq!(outcome(rig.submit(1, Do::Say(3))).unwrap(), 6);
    gate.open();
    outcome(held).unwrap();
    eventually("it is back", || pool.stats().stuck == 0);
    // One at a time again.
    let (gate, held) = rig.hold();
    let batches = rig.ran().len();
    let waiting = rig.submit(2, Do::Say(4));
    outcome(pool.call(|_| ()).submit()).unwrap();
    assert_eq!(rig.ran().len(), batches);
    gate.open();
    outcome(held).unwrap();
    assert_eq!(outcome(waiting).unwrap(), 8);
}

#[test]
fn a_shutdown_runs_what_waits() {
    let pool = pool("ends", 2).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(2));
    let (gate, held) = rig.hold();
    let waiting = [1, 2, 3, 4, 5].map(|number| rig.submit(1, Do::Say(number)));
    pool.begin_shutdown();
    gate.open();
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    outcome(held).unwrap();
    for (number, call) in (1..).zip(waiting) {
        assert_eq!(outcome(call).unwrap(), number * 2);
    }
}

#[test]
fn a_shutdown_that_waits_no_longer_ends_what_waits_behind_a_batch_that_hangs() {
    let pool = pool("given up", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(2));
    let (gate, held) = rig.hold();
    let waiting = [1, 2, 3].map(|number| rig.submit(1, Do::Say(number)));
    assert_eq!(pool.shutdown(Duration::ZERO).still_running, 1);
    for call in waiting {
        assert!(matches!(outcome(call), Err(CallError::ShutDown)));
    }
    gate.open();
    outcome(held).unwrap();
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    assert_eq!(pool.stats().in_flight, 0);
}

#[test]
fn the_pool_ends_when_the_last_handle_of_either_kind_is_gone() {
    let pool = pool("handles", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(2));
    drop(pool);
    assert_eq!(outcome(rig.submit(1, Do::Say(1))).unwrap(), 2);
    let last = rig.submit(1, Do::Say(2));
    drop(rig);
    assert_eq!(outcome(last).unwrap(), 4);
    eventually("its threads end", || {
        crate::common::threads_named("handles") == 0
    });
}
