//! How the calls of a batch end, one beside the other.

use crate::common::{Gate, eventually, outcome};
use crate::{Do, Rig, pool};
use pontoon_bridge::{Batch, BatchLimits, Call, CallError, Pool};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

fn is_pending(call: &mut Call<u32>) -> bool {
    let polled = Pin::new(call).poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Pending)
}

#[test]
fn nobody_is_told_before_the_batch_has_returned() {
    let pool = pool("told late", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(10));
    let (first, held) = rig.hold();
    let last = Gate::default();
    let mut early = rig.submit(1, Do::SayNow(1));
    let waits = rig.submit(2, Do::Wait(last.clone()));
    first.open();
    outcome(held).unwrap();
    last.wait_for(1);
    assert!(is_pending(&mut early), "said, but the batch runs");
    assert_eq!(pool.stats().in_flight, 2);
    last.open();
    assert_eq!(outcome(early).unwrap(), 2);
    outcome(waits).unwrap();
}

#[test]
fn a_panic_ends_those_of_which_nothing_was_said_and_the_next_batch_runs() {
    let pool = pool("panics", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(10));
    let (gate, held) = rig.hold();
    let said = rig.submit(1, Do::SayNow(1));
    let unsaid = [
        rig.submit(2, Do::Say(2)),
        rig.submit(3, Do::Panic),
        rig.submit(4, Do::Say(4)),
    ];
    gate.open();
    outcome(held).unwrap();
    assert_eq!(outcome(said).unwrap(), 2);
    for call in unsaid {
        let ended = outcome(call);
        let Err(CallError::Panicked { message }) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(message, "on purpose");
    }
    assert_eq!(outcome(rig.submit(5, Do::Say(5))).unwrap(), 10);
    assert_eq!(rig.ran(), [vec![0], vec![1, 2, 3, 4], vec![5]]);
    let stats = pool.stats();
    assert_eq!(
        (stats.completed, stats.panicked, stats.in_flight),
        (6, 3, 0)
    );
    assert_eq!(stats.sessions_opened, 2, "the session was replaced");
}

#[test]
fn a_call_that_was_forgotten_is_abandoned() {
    let pool = pool("forgets", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(10));
    let (gate, held) = rig.hold();
    let forgotten = rig.submit(1, Do::Forget);
    let said = rig.submit(2, Do::Say(2));
    gate.open();
    outcome(held).unwrap();
    assert!(matches!(outcome(forgotten), Err(CallError::Abandoned)));
    assert_eq!(outcome(said).unwrap(), 4);
    assert_eq!(pool.stats().completed, 3);
}

#[test]
fn a_call_whose_caller_left_while_it_waited_is_no_part_of_the_batch() {
    let pool = pool("left", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(10));
    let (gate, held) = rig.hold();
    let calls = [1, 2, 3].map(|tag| rig.submit(tag, Do::Say(7)));
    let [first, second, third] = calls;
    drop((first, third));
    assert_eq!(pool.stats().in_flight, 2, "their places are free");
    gate.open();
    outcome(held).unwrap();
    assert_eq!(outcome(second).unwrap(), 14);
    assert_eq!(rig.ran(), [[0], [2]]);
    let stats = pool.stats();
    assert_eq!((stats.cancelled, stats.completed, stats.late), (2, 2, 0));
}

#[test]
fn a_call_whose_deadline_has_passed_is_no_part_of_the_batch() {
    let pool = pool("expired", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(10));
    let (gate, held) = rig.hold();
    let long_ago = Instant::now();
    let far = long_ago + Duration::from_secs(3600);
    let call = |tag, deadline| {
        let call = rig.calls.call(Do::Say(7)).tag(tag);
        call.deadline_at(deadline).submit()
    };
    let (expired, fine) = (call(1, long_ago), call(2, far));
    gate.open();
    outcome(held).unwrap();
    assert_eq!(outcome(fine).unwrap(), 14);
    let expired = outcome(expired);
    assert!(
        matches!(expired, Err(CallError::DeadlineExceeded { running: false })),
        "{expired:?}"
    );
    assert_eq!(rig.ran(), [[0], [2]]);
    let stats = pool.stats();
    assert_eq!((stats.expired, stats.completed, stats.in_flight), (1, 2, 0));
}

#[test]
fn only_the_context_of_the_one_that_left_says_so() {
    let gate = Gate::default();
    let pool = Pool::named("contexts").threads(1).build().unwrap();
    let at_gate = gate.clone();
    let see = move |_: &mut pontoon_bridge::Session<()>, batch: &mut Batch<(), Vec<bool>>| {
        at_gate.pass();
        let calls = batch.calls();
        let cancelled: Vec<_> = calls
            .iter()
            .map(|call| call.context().is_cancelled())
            .collect();
        calls
            .iter_mut()
            .for_each(|call| call.finish(cancelled.clone()));
    };
    let batching = pool.batching(BatchLimits::of(10), see);
    // A call of another kind keeps the worker busy, so that all three wait.
    let busy = Gate::default();
    let at_busy = busy.clone();
    let blocker = pool.call(move |()| at_busy.pass()).submit();
    busy.wait_for(1);
    let [first, second, third] = [(); 3].map(|()| batching.call(()).submit());
    busy.open();
    outcome(blocker).unwrap();
    gate.wait_for(1);
    drop(second);
    gate.open();
    assert_eq!(outcome(first).unwrap(), [false, true, false]);
    assert_eq!(outcome(third).unwrap(), [false, true, false]);
    eventually("all have ended", || pool.stats().in_flight == 0);
    let stats = pool.stats();
    assert_eq!((stats.cancelled, stats.late, stats.completed), (1, 1, 4));
}

/// Counts how many of it live.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn an_input_is_gone_before_its_caller_learns_of_the_outcome() {
    let pool = Pool::named("inputs").threads(1).build().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let finish = |_: &mut pontoon_bridge::Session<()>, batch: &mut Batch<Counted, ()>| {
        batch.calls().iter_mut().for_each(|call| call.finish(()));
    };
    let batching = pool.batching(BatchLimits::of(10), finish);
    for _ in 0..200 {
        outcome(batching.call(Counted::new(&count)).submit()).unwrap();
        assert_eq!(count.load(SeqCst), 0);
    }
}

#[test]
fn calls_that_come_and_go_behind_a_hung_batch_leave_no_memory_behind() {
    let pool = Pool::named("husks")
        .threads(1)
        .max_queue(10)
        .build()
        .unwrap();
    let (gate, count) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let at_gate = gate.clone();
    // It lives as long as the call itself, unlike an input.
    struct Held(#[allow(dead_code, reason = "it is counted")] Counted);
    impl std::task::Wake for Held {
        fn wake(self: Arc<Self>) {}
    }
    let run = move |_: &mut pontoon_bridge::Session<()>, batch: &mut Batch<(), ()>| {
        at_gate.pass();
        batch.calls().iter_mut().for_each(|call| call.finish(()));
    };
    let batching = pool.batching(BatchLimits::of(10), run);
    let held = batching.call(()).submit();
    gate.wait_for(1);
    let first = batching.call(()).submit();
    for _ in 0..20_000 {
        let mut call = batching.call(()).submit();
        let waker = Waker::from(Arc::new(Held(Counted::new(&count))));
        let polled = Pin::new(&mut call).poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Pending));
        drop(waker);
        drop(call);
        assert!(count.load(SeqCst) < 200, "calls that nobody will run");
    }
    gate.open();
    outcome(held).unwrap();
    outcome(first).unwrap();
    eventually("all are gone", || count.load(SeqCst) == 0);
}
