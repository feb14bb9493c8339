//! The bounds, errors and end of a pool.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Bomb, Gate, PATIENCE, eventually, outcome, threads_named};
use pontoon_bridge::{BuildError, CallError, Pool, SubmitError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A pool of one worker that stands at the gate.
fn busy(name: &str, max_queue: usize) -> (Pool, Gate, pontoon_bridge::Call<()>) {
    let pool = Pool::named(name).threads(1).max_queue(max_queue);
    let (pool, gate) = (pool.build().unwrap(), Gate::default());
    let at_gate = gate.clone();
    let call = pool.call(move |()| at_gate.pass()).submit();
    gate.wait_for(1);
    (pool, gate, call)
}

#[test]
fn a_call_gives_its_value_and_says_where_its_time_went() {
    let pool = Pool::named("value").build().unwrap();
    let mut call = pool.call(|()| 6 * 7).submit();
    let value = futures_lite::future::block_on(&mut call).unwrap();
    assert_eq!(value, 42);
    assert!(call.timings().queue + call.timings().service + call.timings().wake > Duration::ZERO);
}

#[test]
fn the_bound_is_exact_and_counts_running_calls_whose_caller_left() {
    let (pool, gate, running) = busy("bound", 2);
    drop(running);
    let queued = [(), ()].map(|()| pool.call(|()| ()).submit());
    let refused = outcome(pool.call(|()| ()).submit()).unwrap_err();
    let CallError::Rejected(SubmitError::QueueFull {
        pool: name,
        in_flight,
        retry_after,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((name.as_str(), in_flight), ("bound", 3));
    assert!(retry_after >= Duration::from_secs(1));
    gate.open();
    for call in queued {
        outcome(call).unwrap();
    }
    eventually("all places free", || pool.stats().in_flight == 0);
    let stats = pool.stats();
    assert_eq!((stats.submitted, stats.refused, stats.late), (3, 1, 1));
}

#[test]
fn a_pool_without_a_queue_takes_a_call_per_thread() {
    let (pool, gate, running) = busy("no queue", 0);
    let refused = outcome(pool.call(|()| ()).submit());
    assert!(
        matches!(refused, Err(CallError::Rejected(_))),
        "{refused:?}"
    );
    gate.open();
    outcome(running).unwrap();
    outcome(pool.call(|()| ()).submit()).unwrap();
}

#[test]
fn a_queue_without_end_is_no_arithmetic_error() {
    let pool = Pool::named("endless")
        .max_queue(usize::MAX)
        .build()
        .unwrap();
    outcome(pool.call(|()| ()).submit()).unwrap();
}

#[test]
fn a_queued_call_whose_client_left_never_runs_and_its_input_goes_at_once() {
    let (pool, gate, running) = busy("gone", 4);
    let (input, ran) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
    let (held, also_ran) = (Arc::clone(&input), Arc::clone(&ran));
    let call = pool.call(move |()| {
        also_ran.fetch_add(1, SeqCst);
        drop(held);
    });
    let call = call.submit();
    assert_eq!(Arc::strong_count(&input), 2);
    drop(call);
    assert_eq!(
        Arc::strong_count(&input),
        1,
        "dropped while the worker is busy"
    );
    assert_eq!(pool.stats().in_flight, 1, "its place is free");
    gate.open();
    outcome(running).unwrap();
    outcome(pool.call(|()| ()).submit()).unwrap();
    assert_eq!(ran.load(SeqCst), 0);
    assert_eq!(pool.stats().cancelled, 1);
}

#[test]
fn calls_that_come_and_go_behind_a_hung_worker_leave_no_memory_behind() {
    let (pool, gate, running) = busy("husks", 10);
    let first = pool.call(|()| "first").submit();
    for _ in 0..100_000 {
        drop(pool.call(|()| ()).submit());
    }
    let debug = format!("{pool:?}");
    let queued: usize = debug
        .split("queued: ")
        .nth(1)
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("{debug}"));
    assert!(queued < 200, "{queued} husks");
    gate.open();
    outcome(running).unwrap();
    assert_eq!(outcome(first).unwrap(), "first");
    assert_eq!(pool.stats().in_flight, 0);
}

#[test]
fn panicking_input_and_outcomes_and_payloads_hurt_nobody() {
    let (pool, gate, running) = busy("bombs", 8);
    let bomb = Bomb("queued input");
    drop(pool.call(move |()| drop(bomb)).submit());
    let at_gate = gate.clone();
    drop(running);
    let late = pool.call(move |()| {
        at_gate.pass();
        Bomb("late outcome")
    });
    let late = late.submit();
    gate.open();
    gate.wait_for(2);
    drop(late);
    eventually("it ended", || pool.stats().in_flight == 0);
    let panicking = pool.call(|()| std::panic::panic_any(Bomb("payload")));
    let Err(CallError::Panicked { message }) = outcome(panicking.submit()) else {
        panic!("it panicked");
    };
    assert_eq!(message, "(no text)");
    let ready = pool
        .call(|()| Bomb("an outcome that nobody waits for"))
        .submit();
    eventually("it ended", || pool.stats().in_flight == 0);
    drop(ready);
    assert_eq!(outcome(pool.call(|()| 1).submit()).unwrap(), 1);
}

#[test]
fn a_panic_is_an_error_with_its_message() {
    let pool = Pool::named("panics").build().unwrap();
    for text in ["text", "formatted text"] {
        let call = pool.call(move |()| match text {
            "text" => panic!("text"),
            other => panic!("{other}"),
        });
        match outcome::<()>(call.submit()) {
            Err(CallError::Panicked { message }) => assert_eq!(message, text),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pool.stats().panicked, 2);
}

struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

/// The worker's thread died of it, and the pool had one less without saying so.
#[test]
fn a_waker_that_panics_does_not_cost_a_worker() {
    let (pool, gate, mut running) = busy("waker", 4);
    let waker = Waker::from(Arc::new(PanickingWaker));
    let polled = std::pin::Pin::new(&mut running).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    gate.open();
    assert_eq!(outcome(pool.call(|()| 1).submit()).unwrap(), 1);
    outcome(running).unwrap();
    let report = pool.shutdown(PATIENCE);
    assert_eq!(report.still_running, 0);
}

#[test]
fn a_shutdown_runs_what_is_queued_and_refuses_what_comes() {
    let (pool, gate, running) = busy("drain", 4);
    let queued = [1, 2, 3].map(|n| pool.call(move |()| n).submit());
    pool.begin_shutdown();
    let refused = outcome(pool.call(|()| ()).submit());
    assert!(
        matches!(
            refused,
            Err(CallError::Rejected(SubmitError::ShuttingDown { .. }))
        ),
        "{refused:?}"
    );
    gate.open();
    let report = pool.shutdown(Duration::MAX);
    assert_eq!((report.pool.as_str(), report.still_running), ("drain", 0));
    outcome(running).unwrap();
    assert_eq!(queued.map(|call| outcome(call).unwrap()), [1, 2, 3]);
    assert_eq!(pool.stats().sessions, 0);
}

#[test]
fn a_shutdown_does_not_wait_for_a_hung_call_past_its_limit() {
    let (pool, gate, running) = busy("hung", 4);
    let input = Arc::new(());
    let held = Arc::clone(&input);
    let queued = pool.call(move |()| drop(held)).submit();
    let report = pool.shutdown(Duration::from_millis(20));
    assert_eq!(report.still_running, 1);
    let ended = outcome(queued);
    assert!(matches!(ended, Err(CallError::ShutDown)), "{ended:?}");
    assert_eq!(Arc::strong_count(&input), 1);
    gate.open();
    outcome(running).unwrap();
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
}

/// A call that passed the door just before the shutdown reached a queue that nobody looked into.
#[test]
fn calls_submitted_while_the_pool_shuts_down_all_end() {
    for round in 0..200 {
        let pool = Pool::named("race").threads(2).build().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        match outcome(pool.call(|()| ()).submit()) {
                            Ok(()) | Err(CallError::ShutDown) => {}
                            Err(CallError::Rejected(SubmitError::ShuttingDown { .. })) => {}
                            other => panic!("round {round}: {other:?}"),
                        }
                    }
                });
            }
            assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
        });
        assert_eq!(pool.stats().in_flight, 0);
    }
}

#[test]
fn dropping_the_last_handle_runs_what_is_queued_and_ends_all_threads() {
    let (pool, gate, running) = busy("last-handle", 4);
    let queued = pool.call(|()| "ran").submit();
    let clone = pool.clone();
    drop(pool);
    let all = "a worker, its spare one, and the watchdog: two for hooks and the patrol";
    assert_eq!(threads_named("last-handle"), 5, "{all}");
    drop(clone);
    gate.open();
    assert_eq!(outcome(queued).unwrap(), "ran");
    outcome(running).unwrap();
    eventually("the threads end", || threads_named("last-handle") == 0);
}

#[test]
fn a_refused_thread_names_the_pool_and_the_limit() {
    let refused = Pool::named("too big").stack_bytes(1 << 60).build();
    let Err(error @ BuildError::ThreadRefused { threads: 8, .. }) = refused else {
        panic!("{refused:?}");
    };
    let text = error.to_string();
    assert!(
        text.contains("`too big`") && text.contains("ulimit -u"),
        "{text}"
    );
    eventually("no thread is left", || threads_named("too big") == 0);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_what_would() {
    for (pool, hint) in [
        (Pool::named("").build(), "name"),
        (Pool::named("none").threads(0).build(), "1 to 4096"),
        (Pool::named("many").threads(5000).build(), "1 to 4096"),
    ] {
        let text = pool.unwrap_err().to_string();
        assert!(text.contains(hint), "{text}");
    }
}

#[test]
fn workers_block_signals_but_not_those_of_their_own_faults() {
    use nix::sys::signal::{SigSet, Signal};
    let pool = Pool::named("signals").threads(1).build().unwrap();
    let masks = || {
        let mask = SigSet::thread_get_mask().unwrap();
        [Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGSEGV].map(|signal| mask.contains(signal))
    };
    let blocked = outcome(pool.call(move |()| masks()).submit()).unwrap();
    assert_eq!(blocked, [true, true, false]);
    let unblock = |_: &mut ()| SigSet::all().thread_unblock().unwrap();
    outcome(pool.call(unblock).submit()).unwrap();
    eventually("the worker sleeps again", || pool.stats().idle == 1);
    // It puts the mask right every so many calls.
    eventually("the mask is back", || {
        outcome(pool.call(move |()| masks()).submit()).unwrap() == [true, true, false]
    });
}

#[test]
fn a_call_that_hangs_does_not_keep_the_next_one_from_an_idle_worker() {
    let pool = Pool::named("two").threads(2).build().unwrap();
    for _ in 0..2000 {
        let gate = Gate::default();
        let (waits, opens) = (gate.clone(), gate.clone());
        let first = pool.call(move |()| waits.pass()).submit();
        outcome(pool.call(move |()| opens.open()).submit()).unwrap();
        outcome(first).unwrap();
    }
}

#[test]
fn polling_a_call_after_its_end_panics_and_says_so() {
    let pool = Pool::named("again").build().unwrap();
    let mut call = pool.call(|()| ()).submit();
    futures_lite::future::block_on(&mut call).unwrap();
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut context = Context::from_waker(Waker::noop());
        matches!(
            std::pin::Pin::new(&mut call).poll(&mut context),
            Poll::Ready(_)
        )
    }));
    let payload = again.unwrap_err();
    assert!(
        payload
            .downcast_ref::<&str>()
            .unwrap()
            .contains("after it had ended")
    );
}
