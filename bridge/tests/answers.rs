//! Calls that answer before they end: one outcome, and a rest that is still part of the call.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, PATIENCE, eventually};
use futures_lite::future::block_on;
use pontoon_bridge::pool::{part_done, wait_for_reader};
use pontoon_bridge::{
    CallContext, CallError, EventLoop, Interrupt, Pool, SessionKind, Stopper, inbox,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn pool(name: &str) -> Pool {
    Pool::named(name).threads(1).build().unwrap()
}

#[test]
fn the_caller_has_the_outcome_while_the_call_goes_on() {
    let (pool, gate) = (pool("goes on"), Gate::default());
    let at_gate = gate.clone();
    let call = pool
        .call_with(move |_, call: &CallContext| {
            call.answer(1).unwrap();
            at_gate.pass();
            2
        })
        .tag(7)
        .submit();
    assert_eq!(EventLoop::new().unwrap().block_on(call).unwrap(), 1);
    let running = pool.running();
    assert_eq!((running.len(), running[0].tag), (1, Some(7)));
    assert_eq!((pool.stats().in_flight, pool.stats().completed), (1, 0));
    gate.open();
    eventually("it has ended", || pool.stats().completed == 1);
    eventually("its place is back", || pool.stats().in_flight == 0);
    assert_eq!(pool.stats().late, 0, "what it returned then is nothing new");
}

#[test]
fn there_is_one_outcome_whatever_comes_after_it() {
    let pool = pool("one outcome");
    let twice = pool.call_with(|_, call: &CallContext| {
        call.answer("first").unwrap();
        assert_eq!(call.answer("second"), Err("second"));
        "third"
    });
    assert_eq!(block_on(twice.submit()).unwrap(), "first");
    let panics = pool.call_with(|_, call: &CallContext| {
        call.answer("first").unwrap();
        if call.is_answered() {
            panic!("after its outcome");
        }
        "never"
    });
    assert_eq!(block_on(panics.submit()).unwrap(), "first");
    eventually("the panic was counted", || pool.stats().panicked == 1);
    assert_eq!(block_on(pool.call(|()| 5).submit()).unwrap(), 5);
}

#[test]
fn an_outcome_that_nobody_can_take_comes_back() {
    let (pool, gate) = (pool("comes back"), Gate::default());
    let wrong_type = pool.call_with(|_, call: &CallContext| {
        assert_eq!(call.answer("text"), Err("text"));
        1
    });
    assert_eq!(block_on(wrong_type.submit()).unwrap(), 1);
    assert_eq!(CallContext::detached().answer(1), Err(1));

    let (mut inbox, _sender) = inbox::<Result<u8, CallError>>().unwrap();
    let errand = pool.call_with(|_, call: &CallContext| match call.answer(1_u8) {
        Err(back) => back + 1,
        Ok(()) => 0,
    });
    errand.submit_to(&inbox, |result| result).unwrap();
    let mut got = Vec::new();
    eventually("the errand is home", || {
        inbox.drain(1, |message| got.push(message.unwrap())) > 0 || !got.is_empty()
    });
    assert_eq!(got, [2]);

    let (told, hears) = mpsc::channel();
    let at_gate = gate.clone();
    let left = pool.call_with(move |_, call: &CallContext| {
        at_gate.pass();
        told.send((call.is_cancelled(), call.answer(1))).unwrap();
        2
    });
    drop(left.submit());
    // If it was dropped unrun there is nothing to hear.
    gate.open();
    if let Ok(heard) = hears.recv_timeout(PATIENCE) {
        assert_eq!(heard, (true, Err(1)));
    }
}

const DEADLINE: Duration = Duration::from_secs(1);

#[test]
fn the_deadline_is_that_of_the_outcome() {
    let (pool, gate) = (pool("deadline"), Gate::default());
    let at_gate = gate.clone();
    let (told, hears) = mpsc::channel();
    let call = pool
        .call_with(move |_, call: &CallContext| {
            call.answer(()).unwrap();
            at_gate.pass();
            told.send((call.is_cancelled(), call.remaining())).unwrap();
        })
        .deadline(DEADLINE);
    block_on(call.submit()).unwrap();
    thread::sleep(DEADLINE * 2);
    gate.open();
    assert_eq!(hears.recv_timeout(PATIENCE), Ok((false, None)));
    assert_eq!(pool.stats().expired, 0);
}

struct CountedInterrupt(Arc<AtomicUsize>, Gate);

impl Interrupt for CountedInterrupt {
    fn interrupt(&self) {
        self.0.fetch_add(1, SeqCst);
        self.1.open();
    }
}

#[test]
fn the_rest_is_stopped_by_its_interrupter_and_its_session_is_not_used_again() {
    let (interrupts, gate) = (Arc::new(AtomicUsize::new(0)), Gate::default());
    let (counted, opens_gate) = (Arc::clone(&interrupts), gate.clone());
    let kind = SessionKind::new(|| Ok::<_, CallError>(())).interrupter(move |()| {
        Some(Box::new(CountedInterrupt(
            Arc::clone(&counted),
            opens_gate.clone(),
        )))
    });
    let pool = pool("interrupted").with_sessions(kind);
    let at_gate = gate.clone();
    let (told, hears) = mpsc::channel();
    let call = pool.call_with(move |_, call: &CallContext| {
        let stopper = call.stopper();
        let _ = call.answer(Some(stopper));
        // A library that blocks until it is interrupted.
        at_gate.pass();
        told.send(call.is_cancelled()).unwrap();
        None::<Stopper>
    });
    let stopper = block_on(call.submit()).unwrap().unwrap();
    assert_eq!(interrupts.load(SeqCst), 0);
    stopper.stop();
    assert_eq!(hears.recv_timeout(PATIENCE), Ok(true));
    eventually("it has ended", || pool.stats().in_flight == 0);
    stopper.stop();
    block_on(pool.call(|()| ()).submit()).unwrap();
    assert_eq!(
        interrupts.load(SeqCst),
        1,
        "nothing is stopped that is over"
    );
    assert_eq!(pool.stats().sessions_opened, 2);
}

/// A call that waits for its reader as long as the pool likes is not stuck; one that hangs is.
#[test]
fn waiting_for_a_reader_is_not_being_stuck_and_hanging_is() {
    let stuck_after = Duration::from_millis(50);
    let pool = Pool::named("waits")
        .threads(1)
        .stuck_after(stuck_after)
        .max_stuck(1);
    let pool = pool.build().unwrap();
    let (reads, hangs) = (Gate::default(), Gate::default());
    let (for_reader, in_library) = (reads.clone(), hangs.clone());
    let call = pool.call_with(move |_, call: &CallContext| {
        call.answer(()).unwrap();
        wait_for_reader(|| for_reader.pass());
        in_library.pass();
        part_done();
    });
    block_on(call.submit()).unwrap();
    thread::sleep(stuck_after * 8);
    assert_eq!((pool.stats().stuck, pool.running().len()), (0, 1));
    reads.open();
    eventually("it is seen to hang", || pool.stats().stuck == 1);
    hangs.open();
    eventually("it is seen to have returned", || pool.stats().stuck == 0);
}

/// Only parts that take long are: the whole may take any time.
#[test]
fn what_gets_on_part_by_part_is_not_stuck() {
    let stuck_after = Duration::from_secs(1);
    let pool = Pool::named("parts")
        .threads(1)
        .stuck_after(stuck_after)
        .max_stuck(1);
    let pool = pool.build().unwrap();
    let (part, gets) = mpsc::channel::<()>();
    let call = pool.call_with(move |_, call: &CallContext| {
        call.answer(()).unwrap();
        gets.iter().for_each(|()| part_done());
    });
    block_on(call.submit()).unwrap();
    for _ in 0..250 {
        part.send(()).unwrap();
        thread::sleep(stuck_after / 100);
    }
    let age = pool.running()[0].age;
    assert!(age >= stuck_after * 2, "{age:?}");
    assert_eq!(pool.stats().stuck, 0);
    drop(part);
    eventually("it has ended", || pool.stats().in_flight == 0);
}

#[test]
fn a_shutdown_waits_for_the_rest_as_for_any_call_and_no_longer() {
    let (pool, gate) = (pool("shutdown"), Gate::default());
    let at_gate = gate.clone();
    let call = pool.call_with(move |_, call: &CallContext| {
        call.answer(()).unwrap();
        at_gate.pass();
    });
    block_on(call.submit()).unwrap();
    let report = pool.shutdown(Duration::from_millis(20));
    assert_eq!((report.still_running, report.calls.len()), (1, 1));
    gate.open();
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
}

/// Nothing is learnt of the rest: it went at the pace of its reader.
#[test]
fn a_slow_reader_does_not_make_calls_look_slow() {
    let pool = Pool::named("slow reader")
        .threads(1)
        .codel(None)
        .build()
        .unwrap();
    let short = || block_on(pool.call(|()| ()).deadline(PATIENCE).submit()).unwrap();
    short();
    for _ in 0..20 {
        let call = pool.call_with(|_, call: &CallContext| {
            call.answer(()).unwrap();
            wait_for_reader(|| thread::sleep(DEADLINE / 20));
        });
        block_on(call.submit()).unwrap();
    }
    // If calls took a twentieth of it, those that wait behind as many would be refused.
    let call = || pool.call(|()| ()).deadline(DEADLINE).submit();
    let calls: Vec<_> = (0..50).map(|_| call()).collect();
    calls.into_iter().for_each(|call| block_on(call).unwrap());
    assert_eq!(pool.stats().refused, 0);
}
