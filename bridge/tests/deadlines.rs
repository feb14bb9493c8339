//! Deadlines of queued and running calls, on each executor.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, PATIENCE, eventually, outcome};
use pontoon_bridge::{Call, CallError, EventLoop, Pool};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(20);

/// One call runs past its deadline, one waits past it; `run` awaits a future on some executor.
fn deadlines_hold(name: &str, run: impl Fn(Call<()>) -> Result<(), CallError>) {
    let pool = Pool::named(name).threads(1).build().unwrap();
    let gate = Gate::default();
    let at_gate = gate.clone();
    let began = Instant::now();
    let running = pool.call(move |()| at_gate.pass()).deadline(SOON).submit();
    gate.wait_for(1);
    let queued = pool.call(|()| panic!("never run")).deadline(SOON).submit();
    for (call, was_running) in [(running, true), (queued, false)] {
        match run(call) {
            Err(CallError::DeadlineExceeded { running }) => assert_eq!(running, was_running),
            other => panic!("{other:?}"),
        }
    }
    assert!(began.elapsed() >= SOON, "never early");
    assert_eq!(pool.stats().in_flight, 1, "the hung call keeps its place");
    gate.open();
    eventually("the hung call's place is free", || {
        pool.stats().in_flight == 0
    });
    outcome(pool.call(|()| ()).submit()).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.expired, stats.late, stats.panicked), (2, 1, 0));
}

#[test]
fn on_the_event_loop() {
    let event_loop = EventLoop::new().unwrap();
    deadlines_hold("d-loop", |call| event_loop.block_on(call));
}

#[test]
fn in_tokio_on_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    deadlines_hold("d-tokio-1", |call| runtime.block_on(call));
}

#[test]
fn in_tokio_on_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    deadlines_hold("d-tokio-n", |call| {
        runtime.block_on(async { tokio::spawn(call).await.unwrap() })
    });
}

#[test]
fn in_smol() {
    deadlines_hold("d-smol", |call| smol::block_on(smol::spawn(call)));
}

#[test]
fn on_no_executor_at_all() {
    deadlines_hold("d-none", futures_lite::future::block_on);
}

#[test]
fn a_worker_skips_a_call_whose_deadline_passed_though_nobody_polls_it() {
    let pool = Pool::named("skip").threads(1).build().unwrap();
    let gate = Gate::default();
    let at_gate = gate.clone();
    let first = pool.call(move |()| at_gate.pass()).submit();
    let expired = pool
        .call(|()| panic!("never run"))
        .deadline(Duration::ZERO)
        .submit();
    gate.open();
    outcome(first).unwrap();
    outcome(pool.call(|()| ()).submit()).unwrap();
    let result: Result<(), _> = outcome(expired);
    assert!(
        matches!(result, Err(CallError::DeadlineExceeded { running: false })),
        "{result:?}"
    );
    assert_eq!((pool.stats().expired, pool.stats().panicked), (1, 0));
}

#[test]
fn the_earlier_of_two_deadlines_holds() {
    let pool = Pool::named("earlier").threads(1).build().unwrap();
    let gate = Gate::default();
    let at_gate = gate.clone();
    let call = pool
        .call(move |()| at_gate.pass())
        .deadline(SOON)
        .deadline(PATIENCE);
    let began = Instant::now();
    let result = outcome(call.submit().deadline_at(Instant::now() + PATIENCE));
    assert!(matches!(result, Err(CallError::DeadlineExceeded { .. })));
    assert!(began.elapsed() < PATIENCE / 2);
    gate.open();
}

#[test]
fn a_deadline_beyond_the_end_of_time_is_none() {
    let pool = Pool::named("far").build().unwrap();
    outcome(pool.call(|()| ()).deadline(Duration::MAX).submit()).unwrap();
}

#[test]
fn running_code_sees_its_deadline_and_that_its_caller_left() {
    let pool = Pool::named("context").threads(1).build().unwrap();
    let gate = Gate::default();
    let (at_gate, (say, heard)) = (gate.clone(), std::sync::mpsc::channel());
    let call = pool.call_with(move |_, context| {
        let before = (context.is_cancelled(), context.remaining().is_some());
        at_gate.pass();
        say.send((before, context.is_cancelled())).unwrap();
    });
    let call = call.deadline(PATIENCE).submit();
    gate.wait_for(1);
    drop(call);
    gate.open();
    let ((before, has_deadline), after) = heard.recv_timeout(PATIENCE).unwrap();
    assert_eq!((before, has_deadline, after), (false, true, true));
}

/// A waker of a foreign executor that misbehaves when it is woken or dropped.
struct Nasty {
    _held: Option<Call<()>>,
}

impl Wake for Nasty {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

fn poll_once<T>(call: &mut Call<T>, waker: &Waker) {
    let polled = std::pin::Pin::new(call).poll(&mut Context::from_waker(waker));
    assert!(polled.is_pending());
}

/// The process's clock thread died of it, and no deadline outside our loops held any more.
#[test]
fn a_waker_that_panics_does_not_stop_the_clock() {
    let (mut call, _completer) = pontoon_bridge::call::<()>();
    call = call.deadline_at(Instant::now() + SOON);
    poll_once(&mut call, &Waker::from(Arc::new(Nasty { _held: None })));
    let (other, _other_completer) = pontoon_bridge::call::<()>();
    let result = futures_lite::future::block_on(other.deadline_at(Instant::now() + 2 * SOON));
    assert!(matches!(
        result,
        Err(CallError::DeadlineExceeded { running: true })
    ));
}

/// The replaced waker was dropped under the clock's lock: with a call in it, a deadlock.
#[test]
fn a_waker_that_holds_a_call_with_a_deadline_may_be_replaced() {
    let (mut held, _completer) = pontoon_bridge::call::<()>();
    held = held.deadline_at(Instant::now() + PATIENCE);
    poll_once(&mut held, Waker::noop());
    let (mut call, _other_completer) = pontoon_bridge::call::<()>();
    call = call.deadline_at(Instant::now() + PATIENCE);
    poll_once(
        &mut call,
        &Waker::from(Arc::new(Nasty { _held: Some(held) })),
    );
    poll_once(&mut call, Waker::noop());
}
