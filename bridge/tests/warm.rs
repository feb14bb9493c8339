//! Sessions that are kept open ahead of any call.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, PATIENCE, eventually, outcome};
use pontoon_bridge::{BoxError, BreakerState, Pool, PoolBuilder, SessionKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[derive(Clone, Default)]
struct Backend {
    is_down: Arc<AtomicBool>,
    tries: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    checks: Arc<AtomicUsize>,
    is_stale: Arc<AtomicBool>,
}

struct Connection(Backend);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl Backend {
    fn kind(&self) -> SessionKind<Connection> {
        let (backend, also) = (self.clone(), self.clone());
        let kind = SessionKind::new(move || {
            backend.tries.fetch_add(1, SeqCst);
            if backend.is_down.load(SeqCst) {
                return Err("connection refused");
            }
            backend.open.fetch_add(1, SeqCst);
            Ok(Connection(backend.clone()))
        });
        kind.check(move |_| {
            also.checks.fetch_add(1, SeqCst);
            match also.is_stale.load(SeqCst) {
                true => Err("the backend has closed it"),
                false => Ok(()),
            }
        })
    }

    fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    fn tries(&self) -> usize {
        self.tries.load(SeqCst)
    }
}

fn pool(name: &str) -> PoolBuilder {
    Pool::named(name).threads(4).sessions_min(2)
}

/// Has all workers open a session at once.
fn occupy_all<S: 'static>(pool: &Pool<S>) {
    let gate = common::Gate::default();
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let at_gate = gate.clone();
            pool.call(move |_| at_gate.pass()).submit()
        })
        .collect();
    gate.wait_for(4);
    gate.open();
    calls.into_iter().for_each(|call| outcome(call).unwrap());
}

#[test]
fn sessions_are_there_before_any_call_and_stay_when_more_idle_away() {
    let backend = Backend::default();
    let pool = pool("ahead").session_idle(Duration::from_millis(5));
    let pool = pool.session_kind(backend.kind()).build().unwrap();
    eventually("two are open", || pool.stats().sessions == 2);
    assert_eq!((backend.tries(), pool.stats().completed), (2, 0));
    occupy_all(&pool);
    assert!(pool.stats().sessions_opened >= 4);
    eventually("those that are too many go", || backend.open() == 2);
    // They are looked after instead of being closed.
    let (tries, checks) = (backend.tries(), backend.checks.load(SeqCst));
    eventually("they are checked", || {
        backend.checks.load(SeqCst) >= checks + 4
    });
    assert_eq!((backend.open(), backend.tries()), (2, tries));
}

#[test]
fn those_that_go_are_replaced_without_a_call() {
    let backend = Backend::default();
    let pool = pool("replaced").session_kind(backend.kind());
    let pool = pool.session_idle(Duration::from_millis(5)).build().unwrap();
    eventually("two are open", || pool.stats().sessions == 2);
    outcome(pool.call_with(|session, _| session.discard()).submit()).unwrap();
    eventually("two are open again", || {
        backend.tries() == 3 && backend.open() == 2
    });
    let tries = backend.tries();
    backend.is_stale.store(true, SeqCst);
    eventually("the stale ones are found", || backend.tries() >= tries + 2);
    backend.is_stale.store(false, SeqCst);
    eventually("and replaced", || backend.open() == 2);
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    assert_eq!(backend.open(), 0);
}

#[test]
fn what_idles_is_not_checked_while_calls_wait() {
    let backend = Backend::default();
    let pool = Pool::named("busy").threads(1).sessions_min(1).codel(None);
    let pool = pool.max_queue(2_000).session_idle(Duration::ZERO);
    let pool = pool.session_kind(backend.kind()).build().unwrap();
    eventually("it is warm", || pool.stats().sessions == 1);
    let plain = pool.with_sessions(SessionKind::new(|| Ok::<_, BoxError>(())));
    let gate = Gate::default();
    let at_gate = gate.clone();
    let first = plain.call(move |()| at_gate.pass()).submit();
    gate.wait_for(1);
    let calls: Vec<_> = (0..1_500)
        .map(|_| {
            let checks = Arc::clone(&backend.checks);
            plain.call(move |()| checks.load(SeqCst)).submit()
        })
        .collect();
    // It has been due for a check ever since.
    let due = Instant::now() + Duration::from_millis(1_100);
    while Instant::now() < due {
        std::thread::yield_now();
    }
    gate.open();
    outcome(first).unwrap();
    let seen: Vec<_> = calls
        .into_iter()
        .map(|call| outcome(call).unwrap())
        .collect();
    assert!(seen.iter().all(|checks| *checks == seen[0]));
    eventually("it is checked afterwards", || {
        backend.checks.load(SeqCst) > seen[0]
    });
}

#[test]
fn a_session_that_goes_with_its_worker_to_the_reserve_is_made_up_for() {
    let backend = Backend::default();
    let pool = Pool::named("reserve").threads(1).max_stuck(1);
    let pool = pool
        .stuck_after(Duration::from_millis(5))
        .sessions_min(1)
        .session_kind(backend.kind())
        .build()
        .unwrap();
    eventually("it is warm", || pool.stats().sessions == 1);
    let gate = Gate::default();
    let at_gate = gate.clone();
    let hung = pool.call(move |_| at_gate.pass()).submit();
    eventually("it is stuck", || pool.stats().stuck == 1);
    gate.open();
    outcome(hung).unwrap();
    eventually("another worker has opened one", || {
        backend.tries() == 2 && backend.open() == 1
    });
}

#[test]
fn those_that_do_not_last_are_replaced_with_a_pause() {
    let stale = Backend::default();
    stale.is_stale.store(true, SeqCst);
    let short_lived = Backend::default();
    let began = Instant::now();
    let pool = |name| Pool::named(name).threads(1).sessions_min(1);
    let of_stale = pool("stale").session_idle(Duration::ZERO);
    let _of_stale = of_stale.session_kind(stale.kind()).build().unwrap();
    let of_short_lived = pool("short").session_max_age(Duration::from_millis(1));
    let of_short_lived = of_short_lived.session_kind(short_lived.kind());
    let _of_short_lived = of_short_lived.build().unwrap();
    for backend in [stale, short_lived] {
        eventually("it is replaced twice", || backend.tries() >= 3);
        assert!(began.elapsed() >= Duration::from_secs(2));
    }
}

#[test]
fn a_backend_that_is_down_at_first_is_not_hammered_and_found_when_it_is_up() {
    let backend = Backend::default();
    backend.is_down.store(true, SeqCst);
    let pool = pool("down").session_kind(backend.kind()).build().unwrap();
    let began = Instant::now();
    eventually("it was tried again and again", || backend.tries() >= 6);
    let took = began.elapsed();
    // The next wait may be 3.2 s, and the ones after it longer; each is a matter of chance, but not many
    // of them together.
    let tries = backend.tries();
    while began.elapsed() < took + Duration::from_millis(500) {
        std::thread::yield_now();
    }
    assert!(backend.tries() <= tries + 20, "{}", backend.tries());
    let stats = pool.stats();
    assert_eq!(
        (stats.breaker, stats.breaker_opened),
        (BreakerState::Closed, 0)
    );
    backend.is_down.store(false, SeqCst);
    eventually("two are open", || pool.stats().sessions == 2);
}

#[test]
fn each_kind_of_a_pool_has_its_own_and_loses_them_with_its_last_caller() {
    let [first, second] = [Backend::default(), Backend::default()];
    let pool = pool("kinds").session_idle(Duration::from_millis(5));
    let pool = pool.build().unwrap();
    let of_first = pool.with_sessions(first.kind());
    let of_second = pool.with_sessions(second.kind());
    let also_second = of_second.clone();
    eventually("both are warm", || (first.open(), second.open()) == (2, 2));
    drop((of_first, of_second));
    eventually("the first is gone", || first.open() == 0);
    outcome(also_second.call(|_| ()).submit()).unwrap();
    assert!(second.open() >= 2);
    assert_eq!(first.tries(), 2);
}

#[test]
fn a_session_that_panics_while_it_is_opened_ahead_of_calls_costs_none_of_them() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let pool = pool("panics").session(move || -> Result<u8, BoxError> {
        match count.fetch_add(1, SeqCst) {
            0 => panic!("at first"),
            _ => Ok(7),
        }
    });
    let pool = pool.build().unwrap();
    let plain = pool.with_sessions(SessionKind::new(|| Ok::<_, BoxError>(())));
    eventually("it has panicked", || tries.load(SeqCst) > 0);
    for _ in 0..100 {
        outcome(plain.call(|()| ()).submit()).unwrap();
        assert_eq!(outcome(pool.call(|seven| *seven).submit()).unwrap(), 7);
    }
    assert_eq!(pool.stats().panicked, 0);
}

#[test]
fn a_session_that_hangs_while_it_is_opened_ahead_of_calls_takes_one_worker_only() {
    let [opens, runs] = [Gate::default(), Gate::default()];
    let at_gate = opens.clone();
    let open = move || -> Result<u8, BoxError> {
        at_gate.pass();
        Ok(7)
    };
    let pool = pool("hangs").sessions_min(4).max_stuck(0);
    let pool = pool.session(open).build().unwrap();
    let plain = pool.with_sessions(SessionKind::new(|| Ok::<_, BoxError>(())));
    opens.wait_for(1);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let at_gate = runs.clone();
            plain.call(move |()| at_gate.pass()).submit()
        })
        .collect();
    runs.wait_for(3);
    runs.open();
    calls.into_iter().for_each(|call| outcome(call).unwrap());
    opens.open();
    eventually("all are warm", || pool.stats().sessions_opened == 4 + 3);
}

#[test]
fn a_pool_without_sessions_keeps_none_warm() {
    let pool = pool("none").build().unwrap();
    outcome(pool.call(|()| ()).submit()).unwrap();
    assert_eq!(pool.stats().sessions_opened, 1);
}

#[test]
fn a_shutdown_waits_for_no_backend_that_is_down() {
    let backend = Backend::default();
    backend.is_down.store(true, SeqCst);
    let pool = pool("ends").session_kind(backend.kind()).build().unwrap();
    eventually("it was tried", || backend.tries() >= 2);
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    let tries = backend.tries();
    drop(pool);
    assert_eq!(backend.tries(), tries);
}
