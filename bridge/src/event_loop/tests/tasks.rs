//! Spawning, awaiting, cancelling, waking, posting.

use super::{PATIENCE, run};
use crate::event_loop::{self, EventLoop, post, post_next, spawn, yield_now};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

#[test]
fn a_task_gives_its_output_to_whoever_awaits_it() {
    assert_eq!(run(async { spawn(async { 1 }).await + 1 }), 2);
}

#[test]
fn a_task_that_nobody_awaits_runs_all_the_same() {
    let ran = Rc::new(Cell::new(false));
    let also_ran = Rc::clone(&ran);
    run(async move {
        drop(spawn(async move { also_ran.set(true) }));
        yield_now().await;
    });
    assert!(ran.get());
}

#[test]
fn a_cancelled_task_is_dropped_and_goes_no_further() {
    let held = Rc::new(());
    let holder = Rc::clone(&held);
    run(async {
        let task = spawn(async move {
            std::future::pending::<()>().await;
            drop(holder);
        });
        yield_now().await;
        assert_eq!(Rc::strong_count(&held), 2);
        task.cancel();
        yield_now().await;
        assert_eq!(Rc::strong_count(&held), 1);
    });
}

#[test]
fn a_panic_in_a_task_reaches_its_awaiter_and_does_not_end_the_loop() {
    let event_loop = EventLoop::new().unwrap();
    let panicking = event_loop.spawn(async { panic!("in the task") });
    let caught = catch_unwind(AssertUnwindSafe(|| event_loop.block_on(panicking)));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"in the task"));
    event_loop
        .spawn(async { panic!("nobody awaits it") })
        .detach();
    let after = event_loop.block_on(async {
        post(|| panic!("in a posted closure"));
        yield_now().await;
        spawn(async { "still here" }).await
    });
    assert_eq!(after, "still here");
}

#[test]
fn a_task_is_woken_from_another_thread_while_the_loop_sleeps() {
    let event_loop = EventLoop::new().unwrap();
    let (to_thread, wakers) = mpsc::channel::<std::task::Waker>();
    let (say_asleep, asleep) = mpsc::channel::<()>();
    let waking = thread::spawn(move || {
        let waker = wakers.recv_timeout(PATIENCE).unwrap();
        asleep.recv_timeout(PATIENCE).unwrap();
        waker.wake();
    });
    let sleeps = event_loop.block_on(async {
        event_loop::timeout(PATIENCE, async {
            let before = event_loop::stats().sleeps;
            let mut polls = 0;
            std::future::poll_fn(|context| {
                polls += 1;
                if polls == 2 {
                    return Poll::Ready(());
                }
                to_thread.send(context.waker().clone()).unwrap();
                say_asleep.send(()).unwrap();
                Poll::Pending
            })
            .await;
            event_loop::stats().sleeps - before
        })
        .await
    });
    waking.join().unwrap();
    assert!(sleeps.unwrap() <= 2);
    assert!(event_loop.stats().wake_writes <= 1);
}

#[test]
fn posted_closures_run_later_in_this_turn_and_posted_next_in_the_next() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let turn = event_loop::stats().turns;
        let say = |what: &'static str| {
            let order = Rc::clone(&order);
            move || {
                order
                    .borrow_mut()
                    .push((what, event_loop::stats().turns - turn))
            }
        };
        post_next(say("next turn"));
        post(say("this turn"));
        post({
            let nested = say("posted by a posted closure");
            move || post(nested)
        });
        say("at once")();
        yield_now().await;
        yield_now().await;
    });
    let order = order.borrow();
    assert_eq!(
        *order,
        [
            ("at once", 0),
            ("this turn", 0),
            ("posted by a posted closure", 0),
            ("next turn", 1)
        ]
    );
}

#[test]
fn a_handle_brings_closures_and_local_futures_from_other_threads() {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (finished, done) = crate::call::<bool>();
    let sender = thread::spawn(move || {
        let home = thread::current().id();
        handle
            .spawn(move || async move {
                let not_send = Rc::new(home);
                yield_now().await;
                done.complete(*not_send != thread::current().id());
            })
            .unwrap();
    });
    let elsewhere = event_loop.block_on(async { event_loop::timeout(PATIENCE, finished).await });
    sender.join().unwrap();
    assert!(elsewhere.unwrap().unwrap());
}
