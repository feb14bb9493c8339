//! Sessions that cannot be opened: the call learns why, the backend is not hammered, and a panic costs one
//! call.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Bomb, Gate, PATIENCE, eventually, outcome};
use pontoon_bridge::{BoxError, CallError, Pool, PoolBuilder, SessionKind};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A backend that is up or down, and counts who tries to reach it.
#[derive(Clone, Default)]
struct Backend {
    is_down: Arc<AtomicBool>,
    tries: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    at_once_max: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Session;

impl Backend {
    fn kind(&self) -> SessionKind<Session> {
        let backend = self.clone();
        SessionKind::new(move || backend.open())
    }

    fn open(&self) -> Result<Session, BoxError> {
        self.tries.fetch_add(1, SeqCst);
        let at_once = self.at_once.fetch_add(1, SeqCst) + 1;
        self.at_once_max.fetch_max(at_once, SeqCst);
        std::thread::yield_now();
        self.at_once.fetch_sub(1, SeqCst);
        match self.is_down.load(SeqCst) {
            true => Err("no route to host".into()),
            false => Ok(Session),
        }
    }

    fn tries(&self) -> usize {
        self.tries.load(SeqCst)
    }
}

/// The breaker would refuse calls before they come to a session.
fn pool(name: &str, threads: usize) -> PoolBuilder {
    Pool::named(name).threads(threads).breaker(false)
}

#[test]
fn the_call_whose_session_was_not_opened_learns_why_and_further_ones_when_it_is_tried_again() {
    let backend = Backend::default();
    backend.is_down.store(true, SeqCst);
    let pool = pool("why", 1).session_kind(backend.kind());
    let pool = pool.build().unwrap();
    let own = outcome(pool.call(|_| ()).submit()).unwrap_err();
    assert!(matches!(&own, CallError::SessionFailed(_)), "{own}");
    let mut calls = 1;
    let refused = loop {
        calls += 1;
        match outcome(pool.call(|_| ()).submit()).unwrap_err() {
            // The wait before it was short, and over.
            CallError::SessionFailed(_) => {}
            refused => break refused,
        }
    };
    let text = refused.to_string();
    assert!(text.contains("`why`") && text.contains("no route to host"));
    let CallError::BackingOff { retry_after, .. } = refused else {
        panic!("{text}");
    };
    assert_eq!(retry_after, Duration::from_secs(1));
    assert_eq!(backend.tries(), calls - 1);
    assert_eq!(pool.stats().sessions_failed as usize, calls - 1);
    backend.is_down.store(false, SeqCst);
    eventually("it is tried again", || {
        outcome(pool.call(|_| ()).submit()).is_ok()
    });
}

#[test]
fn a_backend_that_is_down_is_tried_by_one_worker_at_a_time_and_ever_less_often() {
    let backend = Backend::default();
    backend.is_down.store(true, SeqCst);
    let pool = pool("down", 8).session_kind(backend.kind());
    let pool = pool.build().unwrap();
    // The first round may be one of all workers.
    let first: Vec<_> = (0..8).map(|_| pool.call(|_| ()).submit()).collect();
    first.into_iter().for_each(|call| drop(outcome(call)));
    let first = backend.tries();
    assert!(first <= 8);
    backend.at_once_max.store(0, SeqCst);
    let began = Instant::now();
    let mut calls = 0;
    // Each of the waits is at most twice as long as the one before; six more tries take a while.
    while backend.tries() < first + 6 {
        let round: Vec<_> = (0..64).map(|_| pool.call(|_| ()).submit()).collect();
        calls += round.len();
        round.into_iter().for_each(|call| drop(outcome(call)));
        assert!(began.elapsed() < PATIENCE, "it is never tried again");
    }
    assert_eq!(backend.at_once_max.load(SeqCst), 1);
    assert!(calls > 6 * 64, "only {calls} calls were refused");
    backend.is_down.store(false, SeqCst);
    eventually("it is back", || outcome(pool.call(|_| ()).submit()).is_ok());
}

#[test]
fn an_open_that_panics_costs_one_call() {
    let tries = Arc::new(AtomicUsize::new(0));
    let pool = pool("panics", 1).session(move || -> Result<(), BoxError> {
        match tries.fetch_add(1, SeqCst) {
            1 => panic!("now and then"),
            _ => Ok(()),
        }
    });
    let pool = pool.session_idle(Duration::MAX).build().unwrap();
    outcome(pool.call_with(|session, _| session.discard()).submit()).unwrap();
    let panicked = outcome(pool.call(|()| ()).submit());
    assert!(matches!(panicked, Err(CallError::Panicked { .. })));
    outcome(pool.call(|()| ()).submit()).unwrap();
    assert_eq!(pool.stats().panicked, 1);
}

#[test]
fn an_open_that_panics_while_the_backend_is_down_lets_others_try_all_the_same() {
    let tries = Arc::new(AtomicUsize::new(0));
    let also_tries = Arc::clone(&tries);
    let pool = pool("both", 2).session(move || match also_tries.fetch_add(1, SeqCst) {
        0 => Err("down"),
        1 | 2 => panic!("worse"),
        _ => Ok(()),
    });
    let pool = pool.build().unwrap();
    eventually("it is tried until it works", || {
        outcome(pool.call(|()| ()).submit()).is_ok()
    });
    assert_eq!(tries.load(SeqCst), 4);
}

/// An error that cannot even be shown.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in its text")
    }
}

impl std::error::Error for Unspeakable {}

#[test]
fn errors_whose_text_panics_hurt_nobody() {
    let opens = Arc::new(AtomicUsize::new(0));
    let kind = SessionKind::new(move || match opens.fetch_add(1, SeqCst) {
        0 => Err(Unspeakable),
        _ => Ok(Bomb("its drop panics as well")),
    });
    let kind = kind.check(|_| Err(Unspeakable));
    let pool = pool("text", 1).session_kind(kind).build().unwrap();
    let error = outcome(pool.call(|_| ()).submit()).unwrap_err();
    assert!(matches!(error, CallError::SessionFailed(_)));
    eventually("it is tried again", || {
        outcome(pool.call_with(|session, _| session.suspect()).submit()).is_ok()
    });
    outcome(pool.call(|_| ()).submit()).unwrap();
    assert_eq!(pool.stats().sessions_opened, 2);
}

#[test]
fn calls_that_need_no_new_session_run_while_none_can_be_opened() {
    let backend = Backend::default();
    let pool = pool("other", 2).session_kind(backend.kind());
    let pool = pool.session_idle(Duration::MAX).build().unwrap();
    let gate = Gate::default();
    let at_gate = gate.clone();
    let holds = pool.call(move |_| at_gate.pass()).submit();
    gate.wait_for(1);
    backend.is_down.store(true, SeqCst);
    // The other worker has no session.
    let failed = outcome(pool.call(|_| ()).submit()).unwrap_err();
    assert!(matches!(failed, CallError::SessionFailed(_)), "{failed}");
    gate.open();
    outcome(holds).unwrap();
    eventually("the first one goes on", || {
        outcome(pool.call(|_| ()).submit()).is_ok()
    });
    assert_eq!(pool.stats().sessions, 1);
}
