//! Calls that do not return: they are seen, replaced by spare workers, told to stop, and their workers
//! go back to the reserve when they return after all.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, eventually, outcome, threads_named};
use pontoon_bridge::{BoxError, Call, CallError, Interrupt, Pool, PoolBuilder, SessionKind};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Soon, so that the tests are quick; nothing here that should return takes as long.
const STUCK_AFTER: Duration = Duration::from_millis(100);

fn pool(name: &str, threads: usize, max_stuck: usize) -> PoolBuilder {
    let pool = Pool::named(name).threads(threads).max_queue(64);
    pool.stuck_after(STUCK_AFTER)
        .max_stuck(max_stuck)
        .codel(None)
}

fn hang<S: 'static>(pool: &Pool<S>, gate: &Gate) -> Call<()> {
    let at_gate = gate.clone();
    pool.call(move |_| at_gate.pass()).submit()
}

fn eventually_stuck<S: 'static>(pool: &Pool<S>, stuck: usize) {
    eventually("the calls count as stuck", || pool.stats().stuck == stuck);
}

#[test]
fn a_pool_whose_workers_all_hang_serves_on_with_its_spare_ones_and_gets_them_back() {
    let pool = pool("recovers", 2, 2).build().unwrap();
    for round in 0..3 {
        let gate = Gate::default();
        let hung = [(); 2].map(|()| hang(&pool, &gate));
        gate.wait_for(2);
        // They wait for workers that never return, and are served.
        let waiting = [(); 20].map(|()| pool.call(|()| 7).submit());
        for call in waiting {
            assert_eq!(outcome(call).unwrap(), 7, "round {round}");
        }
        eventually_stuck(&pool, 2);
        gate.open();
        for call in hung {
            outcome(call).unwrap();
        }
        eventually_stuck(&pool, 0);
    }
    // Two at a time again, no more.
    let gate = Gate::default();
    let running = [(); 2].map(|()| hang(&pool, &gate));
    gate.wait_for(2);
    let waits = pool.call(|()| ()).submit();
    assert!(pool.stats().running <= 2, "{:?}", pool.stats());
    gate.open();
    running.into_iter().for_each(|call| outcome(call).unwrap());
    outcome(waits).unwrap();
}

#[test]
fn without_a_queue_a_replaced_worker_brings_its_place_with_it() {
    let pool = Pool::named("no queue").threads(1).max_queue(0);
    let pool = pool.stuck_after(STUCK_AFTER).max_stuck(1).build().unwrap();
    let gate = Gate::default();
    let hung = hang(&pool, &gate);
    gate.wait_for(1);
    assert!(outcome(pool.call(|()| ()).submit()).is_err(), "no place");
    eventually_stuck(&pool, 1);
    eventually("the spare worker serves", || {
        outcome(pool.call(|()| ()).submit()).is_ok()
    });
    gate.open();
    outcome(hung).unwrap();
}

#[test]
fn no_more_calls_are_replaced_than_there_are_spare_workers() {
    let pool = pool("bounded", 2, 1).build().unwrap();
    let gate = Gate::default();
    let hung = [(); 3].map(|()| hang(&pool, &gate));
    gate.wait_for(3);
    eventually_stuck(&pool, 3);
    let waits = pool.call(|()| ()).submit();
    let still_waits = waits.deadline_at(std::time::Instant::now() + STUCK_AFTER * 3);
    let late = futures_lite::future::block_on(still_waits);
    assert!(
        matches!(late, Err(CallError::DeadlineExceeded { running: false })),
        "{late:?}"
    );
    gate.open();
    hung.into_iter().for_each(|call| outcome(call).unwrap());
    eventually_stuck(&pool, 0);
    outcome(pool.call(|()| ()).submit()).unwrap();
}

#[test]
fn what_runs_is_named_with_its_location_its_request_and_its_age() {
    let pool = pool("named", 1, 0).build().unwrap();
    let kind = SessionKind::new(|| Ok::<_, BoxError>(())).label("/reports/{id}");
    let reports = pool.with_sessions(kind);
    assert_eq!(pool.running(), []);
    let gate = Gate::default();
    let at_gate = gate.clone();
    let hung = reports.call(move |()| at_gate.pass()).tag(41).submit();
    gate.wait_for(1);
    eventually_stuck(&pool, 1);
    let running = pool.running();
    let [call] = &running[..] else {
        panic!("{running:?}")
    };
    assert_eq!(
        (call.location.as_deref(), call.tag),
        (Some("/reports/{id}"), Some(41))
    );
    assert!(call.is_stuck && call.age >= STUCK_AFTER, "{call:?}");
    let path = format!("/proc/self/task/{}/comm", call.thread_id);
    assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "named");
    // A shutdown that cannot wait names it as well.
    let report = pool.shutdown(Duration::ZERO);
    assert_eq!((report.still_running, report.calls.len()), (1, 1));
    let text = report.calls[0].to_string();
    assert!(
        text.starts_with("request 41 of /reports/{id} for "),
        "{text}"
    );
    gate.open();
    outcome(hung).unwrap();
}

/// Stops a call through a flag that it looks at.
struct Flag(Arc<AtomicBool>, Arc<AtomicUsize>);

impl Interrupt for Flag {
    fn interrupt(&self) {
        self.0.store(true, SeqCst);
        self.1.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_stuck_call_is_told_to_stop_if_the_pool_does_that() {
    let interrupts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&interrupts);
    let kind = SessionKind::new(|| Ok::<_, BoxError>(Arc::new(AtomicBool::new(false))));
    let kind = kind.interrupter(move |flag| {
        Some(Box::new(Flag(Arc::clone(flag), Arc::clone(&counted))) as Box<dyn Interrupt>)
    });
    let pool = pool("told", 1, 0).interrupt_stuck(true).session_kind(kind);
    let pool = pool.build().unwrap();
    let by_hook = pool.call(|flag| {
        while !flag.load(SeqCst) {
            thread::yield_now();
        }
        "by its hook"
    });
    assert_eq!(outcome(by_hook.submit()).unwrap(), "by its hook");
    let by_context = pool.call_with(|_, context| {
        while !context.is_cancelled() {
            thread::yield_now();
        }
        "by its context"
    });
    assert_eq!(outcome(by_context.submit()).unwrap(), "by its context");
    let told = interrupts.load(SeqCst);
    assert!(
        told >= 1,
        "the second may have ended before its hook was called"
    );
    assert_eq!(outcome(pool.call(|_| 1).submit()).unwrap(), 1);
}

#[test]
fn a_library_that_gives_up_on_eintr_is_freed_by_a_signal() {
    let kind = SessionKind::new(|| Ok::<_, BoxError>(())).ends_on_eintr();
    let pool = pool("eintr", 1, 0).session_kind(kind).build().unwrap();
    let (mut never, _peer) = UnixStream::pair().unwrap();
    let reads = pool.call(move |()| never.read(&mut [0]).map_err(|error| error.kind()));
    let ended = outcome(reads.submit()).unwrap();
    assert_eq!(ended, Err(std::io::ErrorKind::Interrupted));
}

#[test]
fn spare_workers_end_with_the_pool() {
    let pool = pool("ends", 2, 3).build().unwrap();
    outcome(pool.call(|()| ()).submit()).unwrap();
    let report = pool.shutdown(common::PATIENCE);
    assert_eq!(report.still_running, 0);
    drop(pool);
    eventually("all threads are gone", || threads_named("ends") == 0);
}

#[test]
fn a_spare_worker_stays_away_while_nothing_is_stuck() {
    for _ in 0..200 {
        let pool = Pool::named("away").threads(1).max_stuck(1).codel(None);
        let pool = pool.build().unwrap();
        let gate = Gate::default();
        let running = hang(&pool, &gate);
        gate.wait_for(1);
        let waits = pool.call(|()| ()).submit();
        thread::sleep(Duration::from_millis(2));
        let stats = pool.stats();
        assert_eq!((stats.running, stats.completed), (1, 0), "{stats:?}");
        gate.open();
        outcome(running).unwrap();
        outcome(waits).unwrap();
    }
}
