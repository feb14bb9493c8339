//! The circuit breaker of a pool: opens when the backend fails, refuses at the door, and closes by itself.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, eventually, outcome};
use pontoon_bridge::{
    BoxError, BreakerState, Call, CallError, Pool, PoolBuilder, SessionKind, SubmitError, inbox,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// A backend that is up or down, and counts who tries to reach it.
#[derive(Clone, Default)]
struct Backend {
    is_down: Arc<AtomicBool>,
    tries: Arc<AtomicUsize>,
}

impl Backend {
    fn kind(&self) -> SessionKind<u8> {
        let backend = self.clone();
        SessionKind::new(move || {
            backend.tries.fetch_add(1, SeqCst);
            match backend.is_down.load(SeqCst) {
                true => Err("connection refused"),
                false => Ok(7),
            }
        })
    }
}

fn pool(name: &str) -> PoolBuilder {
    Pool::named(name)
        .threads(1)
        .session_idle(Duration::MAX)
        .codel(None)
}

/// A call that its backend fails, or not.
fn call(pool: &Pool<u8>, fails: bool) -> Call<()> {
    let call = pool.call_with(move |session, _| {
        if fails {
            session.backend_failed();
        }
    });
    call.submit()
}

/// Makes calls that the backend fails until they are refused.
fn open_by_rate(pool: &Pool<u8>) {
    for _ in 0..20 {
        outcome(call(pool, true)).unwrap();
    }
    assert_eq!(pool.stats().breaker, BreakerState::Open);
}

fn is_refused(result: &Result<(), CallError>) -> bool {
    matches!(
        result,
        Err(CallError::Rejected(SubmitError::BackendDown { .. }))
    )
}

fn recovers(pool: &Pool<u8>) {
    eventually("it closes by itself", || {
        let _ = outcome(call(pool, false));
        pool.stats().breaker == BreakerState::Closed
    });
    outcome(call(pool, false)).unwrap();
}

#[test]
fn five_sessions_that_cannot_be_opened_open_it_and_two_calls_that_succeed_close_it() {
    let backend = Backend::default();
    backend.is_down.store(true, SeqCst);
    let pool = pool("opens").session_kind(backend.kind()).build().unwrap();
    eventually("it opens", || {
        let _ = outcome(call(&pool, false));
        pool.stats().breaker == BreakerState::Open
    });
    assert_eq!(backend.tries.load(SeqCst), 5);
    let stats = pool.stats();
    assert_eq!((stats.breaker_opened, stats.sessions_failed), (1, 5));
    let refused = outcome(call(&pool, false)).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("`opens`") && text.contains("breaker"),
        "{text}"
    );
    let CallError::Rejected(refused) = refused else {
        panic!("{text}");
    };
    let retry_after = refused.retry_after().unwrap().as_secs();
    assert!((1..=2).contains(&retry_after), "{retry_after}");
    assert_eq!(pool.stats().submitted, stats.submitted, "it was not let in");
    backend.is_down.store(false, SeqCst);
    recovers(&pool);
    assert_eq!(backend.tries.load(SeqCst), 6);
    assert_eq!(pool.stats().breaker_opened, 1);
}

#[test]
fn a_backend_that_stays_down_is_tried_once_in_a_while() {
    let backend = Backend::default();
    backend.is_down.store(true, SeqCst);
    let pool = pool("stays").session_kind(backend.kind()).build().unwrap();
    eventually("it is found to be down still", || {
        let _ = outcome(call(&pool, false));
        pool.stats().breaker_opened == 2
    });
    assert_eq!(backend.tries.load(SeqCst), 5 + 1);
    backend.is_down.store(false, SeqCst);
    recovers(&pool);
}

#[test]
fn half_of_the_calls_failing_open_it_and_those_that_wait_already_still_run() {
    let pool = pool("rate").max_queue(64);
    let pool = pool
        .session_kind(Backend::default().kind())
        .build()
        .unwrap();
    let gate = Gate::default();
    let at_gate = gate.clone();
    let first = pool.call(move |_| at_gate.pass()).submit();
    gate.wait_for(1);
    let calls: Vec<_> = (0..60).map(|_| call(&pool, true)).collect();
    gate.open();
    outcome(first).unwrap();
    calls.into_iter().for_each(|call| outcome(call).unwrap());
    let stats = pool.stats();
    assert_eq!(
        (stats.breaker, stats.breaker_opened),
        (BreakerState::Open, 1)
    );
    assert_eq!((stats.backend_failed, stats.completed), (60, 61));
    assert!(is_refused(&outcome(call(&pool, false))));
    recovers(&pool);
}

#[test]
fn calls_that_fail_for_reasons_of_their_own_or_panic_open_nothing() {
    let pool = pool("own").session_kind(Backend::default().kind());
    let pool = pool.build().unwrap();
    for _ in 0..100 {
        let call = pool.call(|_| Err::<(), _>("no such user")).submit();
        outcome(call).unwrap().unwrap_err();
        let panicked = outcome(pool.call(|_| panic!("midway")).submit());
        assert!(matches!(panicked, Err::<(), _>(CallError::Panicked { .. })));
    }
    assert_eq!(pool.stats().breaker, BreakerState::Closed);
}

#[test]
fn a_probe_that_panics_is_followed_by_another() {
    let pool = pool("probe").session_kind(Backend::default().kind());
    let pool = pool.build().unwrap();
    open_by_rate(&pool);
    eventually("a probe panics", || {
        let panicked = outcome(pool.call(|_| panic!("midway")).submit());
        matches!(panicked, Err::<(), _>(CallError::Panicked { .. }))
    });
    assert_eq!(pool.stats().breaker, BreakerState::HalfOpen);
    for _ in 0..2 {
        outcome(call(&pool, false)).unwrap();
    }
    assert_eq!(pool.stats().breaker, BreakerState::Closed);
}

/// A call whose end tells nothing of the backend.
fn stopped(pool: &Pool<u8>) -> Call<()> {
    pool.call_with(|session, _| session.backend_unknown())
        .submit()
}

#[test]
fn calls_that_tell_nothing_of_the_backend_neither_open_nor_close_it() {
    let pool = pool("stopped").session_kind(Backend::default().kind());
    let pool = pool.build().unwrap();
    // If they counted as successes, twenty failures would be less than half of all calls.
    for _ in 0..60 {
        outcome(stopped(&pool)).unwrap();
    }
    let stats = pool.stats();
    assert_eq!(
        (stats.breaker, stats.backend_failed),
        (BreakerState::Closed, 0)
    );
    open_by_rate(&pool);
    eventually("a probe is let in", || outcome(stopped(&pool)).is_ok());
    // Each is followed by another at once, and none of them closes it.
    for _ in 0..5 {
        outcome(stopped(&pool)).unwrap();
        assert_eq!(pool.stats().breaker, BreakerState::HalfOpen);
    }
    recovers(&pool);
}

/// Holds one call, opens the breaker, and holds the first probe as well: both calls hang at the gate.
fn hold_probe(pool: &Pool<u8>, gate: &Gate) -> (Call<()>, Option<Call<()>>) {
    let holds = || {
        let at_gate = gate.clone();
        pool.call(move |_| at_gate.pass()).submit()
    };
    let first = holds();
    gate.wait_for(1);
    open_by_rate(pool);
    let mut second = None;
    eventually("a probe is let in", || {
        second.take();
        second = Some(holds());
        pool.stats().in_flight == 2
    });
    (first, second)
}

#[test]
fn a_probe_that_is_never_run_does_not_keep_the_breaker_open() {
    let pool = pool("unrun").threads(2);
    let pool = pool
        .session_kind(Backend::default().kind())
        .build()
        .unwrap();
    let gate = Gate::default();
    let (first, _probe) = hold_probe(&pool, &gate);
    let mut waits = None;
    eventually("another one may come", || {
        waits.take();
        waits = Some(call(&pool, false));
        pool.stats().in_flight == 3
    });
    // Its caller leaves, and the next one is let in at once.
    drop(waits);
    let next = call(&pool, false);
    assert_eq!(pool.stats().in_flight, 3);
    drop(next);
    gate.open();
    outcome(first).unwrap();
    recovers(&pool);
}

#[test]
fn a_probe_for_which_there_is_no_room_is_not_missed() {
    let pool = pool("full").threads(2).max_stuck(0).max_queue(0);
    let pool = pool
        .session_kind(Backend::default().kind())
        .build()
        .unwrap();
    let gate = Gate::default();
    let (first, _probe) = hold_probe(&pool, &gate);
    let is_full = || {
        let refused = outcome(call(&pool, false)).unwrap_err();
        matches!(refused, CallError::Rejected(SubmitError::QueueFull { .. }))
    };
    eventually("the next one finds no room", is_full);
    assert!(is_full(), "and so does the one after it, at once");
    gate.open();
    outcome(first).unwrap();
    recovers(&pool);
}

#[test]
fn calls_whose_outcome_goes_into_an_inbox_open_and_close_it_as_well() {
    let pool = pool("errands").session_kind(Backend::default().kind());
    let pool = pool.build().unwrap();
    let (mut inbox, _sender) = inbox::<Result<(), CallError>>().unwrap();
    let mut errand = |fails: bool| {
        let work = move |session: &mut pontoon_bridge::Session<u8>, _: &_| {
            if fails {
                session.backend_failed();
            }
        };
        pool.call_with(work).submit_to(&inbox, |result| result)?;
        let mut got = None;
        while got.is_none() {
            inbox.drain(1, |result| got = Some(result));
            std::thread::yield_now();
        }
        got.unwrap().unwrap();
        Ok::<_, SubmitError>(())
    };
    (0..20).for_each(|_| errand(true).unwrap());
    let refused = errand(true).unwrap_err();
    assert!(matches!(refused, SubmitError::BackendDown { .. }));
    eventually("it closes", || {
        let _ = errand(false);
        pool.stats().breaker == BreakerState::Closed
    });
}

#[test]
fn a_pool_without_a_breaker_never_refuses_for_its_backend() {
    let pool = pool("off").breaker(false);
    let pool = pool
        .session_kind(Backend::default().kind())
        .build()
        .unwrap();
    for _ in 0..100 {
        outcome(call(&pool, true)).unwrap();
    }
    let stats = pool.stats();
    assert_eq!(stats.breaker, BreakerState::Closed);
    assert_eq!((stats.backend_failed, stats.breaker_opened), (100, 0));
}

#[test]
fn a_backend_that_lets_in_only_some_sessions_keeps_its_calls() {
    // One session is all that it gives; its one worker that has it goes on.
    let given = Arc::new(AtomicBool::new(false));
    let kind = SessionKind::new(move || match given.swap(true, SeqCst) {
        true => Err::<u8, BoxError>("too many connections".into()),
        false => Ok(7),
    });
    let pool = pool("some").threads(2).session_kind(kind).build().unwrap();
    let mut outcomes = [0, 0];
    eventually("many tries have failed", || {
        // Two at once, so that both workers come.
        let calls = [call(&pool, false), call(&pool, false)];
        for call in calls {
            outcomes[usize::from(outcome(call).is_err())] += 1;
        }
        pool.stats().sessions_failed >= 6
    });
    assert_eq!(pool.stats().breaker, BreakerState::Closed);
    assert!(outcomes[0] > 0, "{outcomes:?}");
}
