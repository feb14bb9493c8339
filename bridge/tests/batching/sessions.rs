//! The session that a batch runs in: opened for the oldest call, interrupted only for all.

use crate::common::{Gate, eventually, outcome};
use crate::{Do, Rig, pool};
use pontoon_bridge::{
    Batch, BatchLimits, BoxError, BreakerState, Call, CallError, Interrupt, Pool, Session,
    SessionKind,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn when_no_session_can_be_opened_the_oldest_call_says_so_and_the_rest_are_tried_by_themselves() {
    let (gate, opened) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let (at_gate, count) = (gate.clone(), Arc::clone(&opened));
    let open = move || {
        count.fetch_add(1, SeqCst);
        at_gate.pass();
        Err::<u32, BoxError>("the backend is down".into())
    };
    let pool = Pool::named("down").threads(1).codel(None).breaker(false);
    let pool = pool.session(open).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(10));
    let first = rig.submit(1, Do::Say(1));
    gate.wait_for(1);
    let others = [2, 3].map(|tag| rig.submit(tag, Do::Say(1)));
    gate.open();
    let failed = outcome(first);
    assert!(
        matches!(failed, Err(CallError::SessionFailed(_))),
        "{failed:?}"
    );
    for call in others {
        let failed = outcome(call);
        let is_known = matches!(
            failed,
            Err(CallError::BackingOff { .. } | CallError::SessionFailed(_))
        );
        assert!(is_known, "{failed:?}");
    }
    let stats = pool.stats();
    assert_eq!(stats.completed + stats.shed, 3);
    assert_eq!(stats.completed, opened.load(SeqCst) as u64);
    assert_eq!((stats.in_flight, rig.ran().len()), (0, 0));
}

#[test]
fn what_comes_while_the_session_is_opened_goes_with_the_first_call() {
    let gate = Gate::default();
    let at_gate = gate.clone();
    let open = move || {
        at_gate.pass();
        Ok::<_, BoxError>(0)
    };
    let pool = Pool::named("opens").threads(1).session(open);
    let rig = Rig::new(&pool.build().unwrap(), BatchLimits::of(3));
    let calls: Vec<_> = (1..=4)
        .map(|tag| {
            let call = rig.submit(tag, Do::Say(1));
            gate.wait_for(1);
            call
        })
        .collect();
    gate.open();
    calls
        .into_iter()
        .for_each(|call| assert!(outcome(call).is_ok()));
    assert_eq!(rig.ran(), [vec![1, 2, 3], vec![4]]);
}

#[test]
fn a_session_that_hangs_while_it_is_closed_does_not_keep_the_next_batch_waiting() {
    let closing = Gate::default();
    let at_closing = closing.clone();
    let kind =
        SessionKind::new(|| Ok::<_, BoxError>(0)).close(move |_: &mut u32| at_closing.pass());
    let pool = Pool::named("hangs").threads(2).stuck_after(Duration::MAX);
    let pool = pool.session_kind(kind).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(1));
    let (gate, held) = rig.hold();
    eventually("the other worker sleeps", || pool.stats().idle == 1);
    let panics = rig.submit(1, Do::Panic);
    let waits = rig.submit(2, Do::Say(3));
    gate.open();
    outcome(held).unwrap();
    assert!(outcome(panics).is_err());
    // The session goes with the panic, and that takes for ever.
    assert_eq!(outcome(waits).unwrap(), 6);
    closing.wait_for(1);
    closing.open();
}

/// Stands for a library that can be told to stop.
#[derive(Clone, Default)]
struct Library {
    stopped: Arc<AtomicBool>,
    hooks: Arc<AtomicUsize>,
}

impl Interrupt for Library {
    fn interrupt(&self) {
        self.hooks.fetch_add(1, SeqCst);
        self.stopped.store(true, SeqCst);
    }
}

/// Calls whose batches run until they are stopped or the gate is opened, behind one that is held.
struct Endless {
    library: Library,
    pool: Pool<Library>,
    gate: Gate,
    calls: Vec<Call<bool>>,
}

impl Endless {
    fn new(name: &str, count: usize) -> Self {
        let library = Library::default();
        let of_sessions = library.clone();
        let kind = SessionKind::new(move || Ok::<_, BoxError>(of_sessions.clone()))
            .interrupter(|library: &Library| Some(Box::new(library.clone())));
        let pool = Pool::named(name).threads(1).session_kind(kind);
        let pool = pool.build().unwrap();
        let (gate, began) = (Gate::default(), Gate::default());
        let (stop, at_began) = (Arc::new(AtomicBool::new(false)), began.clone());
        let (at_gate, run_stop) = (gate.clone(), Arc::clone(&stop));
        let run = move |session: &mut Session<Library>, batch: &mut Batch<(), bool>| {
            at_began.pass();
            if !run_stop.load(SeqCst) {
                at_gate.pass();
            }
            let was_stopped = session.get().stopped.load(SeqCst);
            batch
                .calls()
                .iter_mut()
                .for_each(|call| call.finish(was_stopped));
        };
        let batching = pool.batching(BatchLimits::of(10), run);
        // Something else holds the worker until all calls wait.
        let (busy, hold) = (Gate::default(), pool.clone());
        let at_busy = busy.clone();
        let blocker = hold.call(move |_| at_busy.pass()).submit();
        busy.wait_for(1);
        let calls = (0..count).map(|_| batching.call(()).submit()).collect();
        busy.open();
        outcome(blocker).unwrap();
        began.wait_for(1);
        began.open();
        gate.wait_for(1);
        Self {
            library,
            pool,
            gate,
            calls,
        }
    }
}

#[test]
fn a_caller_that_leaves_interrupts_nobody_and_the_last_one_interrupts_the_batch_once() {
    let mut endless = Endless::new("last", 3);
    endless.calls.truncate(1);
    let last = endless.calls.pop().unwrap();
    assert_eq!(endless.pool.stats().cancelled, 2);
    assert_eq!(endless.library.hooks.load(SeqCst), 0);
    drop(last);
    eventually("the batch is interrupted", || {
        endless.library.hooks.load(SeqCst) == 1
    });
    endless.gate.open();
    eventually("it has ended", || endless.pool.stats().in_flight == 0);
    // A session whose interrupter was used is not used again.
    outcome(endless.pool.call(|_| ()).submit()).unwrap();
    assert_eq!(endless.pool.stats().sessions_opened, 2);
    assert_eq!(endless.library.hooks.load(SeqCst), 1);
}

#[test]
fn where_one_caller_stays_the_session_goes_on() {
    let mut endless = Endless::new("stays", 3);
    let stays = endless.calls.pop().unwrap();
    endless.calls.clear();
    assert_eq!(endless.pool.stats().cancelled, 2);
    endless.gate.open();
    assert!(!outcome(stays).unwrap(), "not interrupted");
    outcome(endless.pool.call(|_| ()).submit()).unwrap();
    let stats = endless.pool.stats();
    assert_eq!((stats.sessions_opened, stats.late), (1, 2));
    assert_eq!(endless.library.hooks.load(SeqCst), 0);
}

#[test]
fn a_stuck_batch_is_told_to_stop_by_all_its_contexts() {
    let pool = pool("told", 1).stuck_after(Duration::from_millis(50));
    let pool = pool.interrupt_stuck(true).build().unwrap();
    let run = |_: &mut Session<u32>, batch: &mut Batch<(), ()>| {
        for call in batch.calls() {
            while !call.context().is_cancelled() {
                std::thread::yield_now();
            }
            call.finish(());
        }
    };
    let batching = pool.batching(BatchLimits::of(10), run);
    let calls = [(); 3].map(|()| batching.call(()).submit());
    calls.into_iter().for_each(|call| outcome(call).unwrap());
}

#[test]
fn the_log_and_the_status_see_a_batch_as_its_oldest_call() {
    let pool = pool("seen", 1).build().unwrap();
    let rig = Rig::new(&pool, BatchLimits::of(10));
    let gate = Gate::default();
    let (first, held) = rig.hold();
    let calls = [
        rig.submit(7, Do::Wait(gate.clone())),
        rig.submit(8, Do::Say(1)),
    ];
    first.open();
    outcome(held).unwrap();
    gate.wait_for(1);
    let running = pool.running();
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].tag, Some(7));
    gate.open();
    calls
        .into_iter()
        .for_each(|call| assert!(outcome(call).is_ok()));
}

#[test]
fn each_call_of_a_batch_counts_for_the_breaker() {
    let pool = pool("breaks", 1).build().unwrap();
    let busy = Gate::default();
    let run = |_: &mut Session<u32>, batch: &mut Batch<bool, ()>| {
        for call in batch.calls() {
            if *call.input() {
                call.backend_failed();
            }
            call.finish(());
        }
    };
    let batching = pool.batching(BatchLimits::of(100), run);
    let at_busy = busy.clone();
    let blocker = pool.call(move |_| at_busy.pass()).submit();
    busy.wait_for(1);
    // More than half of at least 20, in one batch.
    let calls: Vec<_> = (0..30)
        .map(|number| batching.call(number % 3 > 0).submit())
        .collect();
    busy.open();
    outcome(blocker).unwrap();
    calls.into_iter().for_each(|call| outcome(call).unwrap());
    let stats = pool.stats();
    assert_eq!(stats.backend_failed, 20);
    assert_eq!(stats.breaker, BreakerState::Open);
}
