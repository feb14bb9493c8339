//! A pool that finds its own size, with the real limiter and real time. What it finds, and how it fares
//! beside others, is `tests/limit`'s matter, which has a clock of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, PATIENCE, outcome};
use pontoon_bridge::{BuildError, Pool};
use std::thread;
use std::time::{Duration, Instant};

/// Keeps the pool full until `enough`.
fn flood(pool: &Pool, work: Duration, enough: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !enough() {
        assert!(Instant::now() < until, "never happened: {:?}", pool.stats());
        let calls: Vec<_> = (0..64)
            .map(|_| pool.call(move |()| thread::sleep(work)).submit())
            .collect();
        for call in calls {
            outcome(call).unwrap();
        }
    }
}

#[test]
fn a_pool_whose_backend_takes_more_calls_at_once_grows() {
    let pool = Pool::named("grows").threads_auto(1, 16).codel(None);
    let pool = pool.build().unwrap();
    let at_start = pool.stats().limit;
    assert!((1..16).contains(&at_start), "{at_start}");
    flood(&pool, Duration::from_millis(2), || {
        pool.stats().limit >= at_start * 2
    });
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
}

#[test]
fn no_more_calls_run_at_once_than_the_limit_says() {
    let pool = Pool::named("limited").threads_auto(1, 9).codel(None);
    let pool = pool.build().unwrap();
    let gate = Gate::default();
    let hold = |_: usize| {
        let at_gate = gate.clone();
        pool.call(move |()| at_gate.pass()).submit()
    };
    let at_start = pool.stats().limit;
    let held: Vec<_> = (0..9).map(hold).collect();
    gate.wait_for(at_start);
    let until = Instant::now() + Duration::from_millis(50);
    while Instant::now() < until {
        // It may grow meanwhile, but not shrink: the next trial is for more.
        let running = pool.stats().running;
        assert!(running <= pool.stats().limit, "{:?}", pool.stats());
    }
    gate.open();
    for call in held {
        outcome(call).unwrap();
    }
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    for (min, max) in [(0, 8), (9, 8), (1, 5000)] {
        let refused = Pool::named("bad").threads_auto(min, max).build();
        assert!(
            matches!(refused, Err(BuildError::Invalid { .. })),
            "{min} to {max}"
        );
    }
}
