//! More calls than a pool can serve: what waits too long is refused, what is served is served in time,
//! and all of the pool's capacity goes into that.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Gate, outcome};
use pontoon_bridge::event_loop::{self, EventLoop};
use pontoon_bridge::{Call, CallError, Pool, SubmitError};
use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

const SERVICE: Duration = Duration::from_millis(2);
const WORKERS: usize = 4;

fn sleeping(pool: &Pool) -> Call<Instant> {
    pool.call(|()| {
        thread::sleep(SERVICE);
        Instant::now()
    })
    .submit()
}

/// How the calls of a flood ended.
#[derive(Debug, Default)]
struct Ends {
    served: Cell<usize>,
    refused: Cell<usize>,
    expired: Cell<usize>,
}

/// Offers four times what the pool can serve, for as long as it takes until `enough`; all have ended.
fn flood(pool: &Pool, limit: Duration, enough: impl Fn(&Ends) -> bool) -> Rc<Ends> {
    let ends = Rc::new(Ends::default());
    EventLoop::new().unwrap().block_on(async {
        let mut under_way = Vec::new();
        while !enough(&ends) {
            for _ in 0..4 * WORKERS {
                let call = sleeping(pool).deadline_at(Instant::now() + limit);
                let ends = Rc::clone(&ends);
                under_way.push(event_loop::spawn(async move {
                    let count = match call.await {
                        Ok(_) => &ends.served,
                        Err(CallError::Rejected(_)) => &ends.refused,
                        Err(CallError::DeadlineExceeded { .. }) => &ends.expired,
                        Err(other) => panic!("{other:?}"),
                    };
                    count.set(count.get() + 1);
                }));
            }
            event_loop::sleep(SERVICE).await;
        }
        for task in under_way {
            task.await;
        }
    });
    ends
}

#[test]
fn a_queue_that_stands_is_shed_at_both_ends_and_the_workers_never_run_dry() {
    let pool = Pool::named("flood").threads(WORKERS).max_queue(10_000);
    let pool = pool.build().unwrap();
    let enough = |ends: &Ends| ends.refused.get() > 1_000 && ends.served.get() > 200;
    let ends = flood(&pool, Duration::from_secs(60), enough);
    let stats = pool.stats();
    assert_eq!(ends.expired.get(), 0);
    assert!(stats.refused > 0, "at the door: {stats:?}");
    assert!(stats.shed > 0, "from the queue that stood: {stats:?}");
    assert_eq!(stats.completed as usize, ends.served.get(), "{stats:?}");
    assert_eq!((stats.refused + stats.shed) as usize, ends.refused.get());
    assert_eq!(stats.in_flight, 0);
}

/// Calls per second when each is followed by the next, with more in flight than workers.
fn capacity(pool: &Pool) -> f64 {
    const CALLS: usize = 1_000;
    let began = Instant::now();
    EventLoop::new().unwrap().block_on(async {
        let places = (0..2 * WORKERS).map(|_| {
            let pool = pool.clone();
            event_loop::spawn(async move {
                for _ in 0..CALLS / (2 * WORKERS) {
                    sleeping(&pool).await.unwrap();
                }
            })
        });
        for place in places.collect::<Vec<_>>() {
            place.await;
        }
    });
    CALLS as f64 / began.elapsed().as_secs_f64()
}

#[test]
fn in_a_flood_the_capacity_serves_calls_in_time_and_stale_ones_do_not_run() {
    const LIMIT: Duration = Duration::from_millis(100);
    const TIME: Duration = Duration::from_secs(2);
    let pool = Pool::named("short").threads(WORKERS).max_queue(10_000);
    let pool = pool.build().unwrap();
    let capacity = capacity(&pool);
    let before = pool.stats();
    let began = Instant::now();
    let ends = flood(&pool, LIMIT, |_| began.elapsed() >= TIME);
    let served_per_s = ends.served.get() as f64 / began.elapsed().as_secs_f64();
    let stats = pool.stats();
    let shown = format!("{ends:?}, {served_per_s:.0} of {capacity:.0} per s, {stats:?}");
    assert!(2.0 * served_per_s >= capacity, "{shown}");
    assert!(ends.refused.get() > ends.served.get(), "{shown}");
    // What ran and was not in time is the little that was held up while it ran.
    let in_vain = (stats.completed - before.completed) as usize - ends.served.get();
    assert!(
        in_vain * 20 <= ends.served.get(),
        "{in_vain} in vain: {shown}"
    );
}

#[test]
fn with_codel_off_calls_wait_as_long_as_they_have_time() {
    let pool = Pool::named("patient").threads(WORKERS).max_queue(10_000);
    let pool = pool.codel(None).build().unwrap();
    let ends = flood(&pool, Duration::from_secs(60), |ends| {
        ends.served.get() > 500
    });
    assert_eq!((ends.refused.get(), ends.expired.get()), (0, 0));
    assert!(!pool.stats().is_overloaded);
}

#[test]
fn a_call_that_would_be_late_is_refused_at_once_and_says_how_long_it_would_wait() {
    let pool = Pool::named("late").threads(1).max_queue(100).codel(None);
    let pool = pool.build().unwrap();
    for _ in 0..20 {
        outcome(sleeping(&pool)).unwrap();
    }
    let gate = Gate::default();
    let at_gate = gate.clone();
    let running = pool.call(move |()| at_gate.pass()).submit();
    gate.wait_for(1);
    let waiting: Vec<_> = (0..20).map(|_| sleeping(&pool)).collect();
    let late = pool.call(|()| ()).deadline(SERVICE * 10).submit();
    let Err(CallError::Rejected(SubmitError::WouldBeLate {
        pool: name, wait, ..
    })) = outcome(late)
    else {
        panic!("twenty calls wait, and it had the time of ten");
    };
    assert_eq!(name, "late");
    assert!(wait >= SERVICE * 20, "{wait:?}");
    let in_time = pool
        .call(|()| ())
        .deadline(Duration::from_secs(60))
        .submit();
    gate.open();
    for call in waiting {
        outcome(call).unwrap();
    }
    outcome(running).unwrap();
    outcome(in_time).unwrap();
    assert_eq!(pool.stats().refused, 1);
}
