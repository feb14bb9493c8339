//! Random calls from several threads: each has one outcome, and nothing is left behind.
//!
//! The seed is printed; `PONTOON_SEED=…` plays it again (threads still interleave as they like).
//! `PONTOON_STRESS_CALLS=…` sets how many calls are made. Alone in its program, because it counts
//! the fds and threads of the process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{PATIENCE, eventually, open_fds, outcome, threads_named};
use fastrand::Rng;
use pontoon_bridge::{Call, CallError, Pool};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

const CALLERS: u64 = 4;
const WORKERS: usize = 4;

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// How many calls ended in which way.
#[derive(Debug, Default)]
struct Tally {
    completed: AtomicU64,
    panicked: AtomicU64,
    expired: AtomicU64,
    rejected: AtomicU64,
    dropped: AtomicU64,
}

impl Tally {
    fn count(&self, result: Result<u64, CallError>, expected: u64) {
        let counter = match result {
            Ok(value) => {
                assert_eq!(value, expected, "another call's outcome");
                &self.completed
            }
            Err(CallError::Panicked { .. }) => &self.panicked,
            Err(CallError::DeadlineExceeded { .. }) => &self.expired,
            Err(CallError::Rejected(_)) => &self.rejected,
            Err(other) => panic!("{other:?}"),
        };
        counter.fetch_add(1, SeqCst);
    }

    fn total(&self) -> u64 {
        let all = [
            &self.completed,
            &self.panicked,
            &self.expired,
            &self.rejected,
            &self.dropped,
        ];
        all.iter().map(|count| count.load(SeqCst)).sum()
    }
}

/// A call of a random kind.
fn random_call(
    pool: &Pool,
    rng: &mut Rng,
    number: u64,
    sessions_ran: &Arc<AtomicU64>,
) -> Call<u64> {
    let (kind, micros) = (rng.u32(..1000), rng.u64(..300));
    let ran = Arc::clone(sessions_ran);
    let call = pool.call(move |()| {
        ran.fetch_add(1, SeqCst);
        match kind {
            // `resume_unwind` panics without the hook, whose output would drown everything.
            0..20 => std::panic::resume_unwind(Box::new("on purpose")),
            20..40 => thread::sleep(Duration::from_micros(micros)),
            _ => {}
        }
        number
    });
    match rng.u32(..4) {
        0 => call
            .deadline(Duration::from_micros(rng.u64(..500)))
            .submit(),
        _ => call.submit(),
    }
}

fn caller(pool: &Pool, mut rng: Rng, calls: u64, tally: &Tally, ran: &Arc<AtomicU64>) {
    let mut open = Vec::new();
    for number in 0..calls {
        open.push((number, random_call(pool, &mut rng, number, ran)));
        while open.len() > rng.usize(..32) {
            let (number, call) = open.swap_remove(rng.usize(..open.len()));
            if rng.u32(..8) == 0 {
                drop(call);
                tally.dropped.fetch_add(1, SeqCst);
            } else {
                tally.count(futures_lite::future::block_on(call), number);
            }
        }
    }
    for (number, call) in open {
        tally.count(futures_lite::future::block_on(call), number);
    }
}

#[test]
fn every_random_call_has_one_outcome_and_nothing_is_left_behind() {
    let seed = from_env("PONTOON_SEED").unwrap_or_else(|| fastrand::u64(..));
    let calls = from_env("PONTOON_STRESS_CALLS").unwrap_or(200_000) / CALLERS;
    println!("PONTOON_SEED={seed}");
    // The clock thread is the process's and stays: start it before counting.
    drop(Pool::named("warm").build().unwrap());
    eventually("the first pool ends", || threads_named("warm") == 0);
    let fds = open_fds();

    let pool = Pool::named("stress")
        .threads(WORKERS)
        .max_queue(64)
        .build()
        .unwrap();
    let (tally, ran) = (Tally::default(), Arc::new(AtomicU64::new(0)));
    let start = Barrier::new(CALLERS as usize);
    thread::scope(|scope| {
        for number in 0..CALLERS {
            let (pool, tally, ran, start) = (&pool, &tally, &ran, &start);
            scope.spawn(move || {
                start.wait();
                caller(pool, Rng::with_seed(seed ^ number), calls, tally, ran);
            });
        }
    });
    assert_eq!(tally.total(), calls * CALLERS, "{tally:?}");
    eventually("all places are free", || pool.stats().in_flight == 0);
    eventually("all workers sleep", || pool.stats().idle == WORKERS);
    let stats = pool.stats();
    assert_eq!(stats.refused, tally.rejected.load(SeqCst));
    assert_eq!(stats.submitted + stats.refused, calls * CALLERS);
    assert_eq!(stats.completed, ran.load(SeqCst));
    outcome(pool.call(|()| ()).submit()).unwrap();

    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    drop(pool);
    eventually("the threads end", || threads_named("stress") == 0);
    assert_eq!(open_fds(), fds, "PONTOON_SEED={seed}");
}
