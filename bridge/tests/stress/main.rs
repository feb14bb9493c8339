//! Random calls from callers of all kinds at once: each call has one outcome, each value is dropped
//! once, and nothing is left behind.
//!
//! The seed is printed; `PONTOON_SEED=…` plays it again (threads still interleave as they like).
//! `PONTOON_STRESS_CALLS=…` sets how many calls are made. Alone in its program, because it counts
//! what the process holds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "the seed must be seen")]
#![allow(missing_docs, unreachable_pub, reason = "not an interface")]

#[path = "../common/allocated.rs"]
mod allocated;
mod callers;
#[path = "../common/mod.rs"]
mod common;
mod measure;
mod tally;
mod world;

use common::{PATIENCE, eventually, outcome};
use fastrand::Rng;
use measure::{Holding, Payload};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Instant;
use world::World;

const WORKERS: usize = 4;
const CALLS: u64 = 10_000_000;
/// Enough for everything to be used once that the process keeps for good.
const CALLS_BEFORE: u64 = 10_000;

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

type Caller = fn(&Arc<World>, Rng);

const CALLERS: [Caller; 7] = [
    |world, rng| callers::blocking(world, rng),
    |world, rng| callers::blocking(world, rng),
    callers::loops,
    callers::loops,
    |world, rng| callers::bare(world, rng),
    |world, rng| callers::bare(world, rng),
    |world, rng| callers::reaper(world, rng),
];

fn stress(calls: u64, rng: &mut Rng) {
    let world = Arc::new(World::new(calls, WORKERS, rng));
    let callers = CALLERS.map(|caller| {
        let (world, rng) = (Arc::clone(&world), rng.fork());
        thread::spawn(move || caller(&world, rng))
    });
    let tally = Arc::clone(&world.tally);
    let (mut before, mut since) = (0, Instant::now());
    // Not joined at once: a caller that waits for ever must not hang the test.
    while !callers.iter().all(|caller| caller.is_finished()) {
        let total = tally.total();
        if total != before {
            (before, since) = (total, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "it stands still: {tally:?}");
        thread::sleep(PATIENCE / 10_000);
    }
    for caller in callers {
        caller.join().unwrap();
    }

    let pool = world.pool.clone();
    let (to_pool, ran) = (world.to_pool.load(SeqCst), Arc::clone(&world.ran));
    // Ends the threads that call back and that inherit calls.
    drop(Arc::into_inner(world).expect("all callers have ended"));
    eventually("each call has its outcome", || tally.total() == calls);
    eventually("all places are free", || pool.stats().in_flight == 0);
    eventually("all workers sleep", || {
        let stats = pool.stats();
        stats.running == 0 && stats.idle >= stats.limit
    });
    eventually("nothing is stuck", || pool.stats().stuck == 0);
    let stats = pool.stats();
    assert_eq!(stats.submitted + stats.refused, to_pool, "{stats:?}");
    assert_eq!(stats.completed, ran.load(SeqCst), "{stats:?}");
    outcome(pool.call(|()| ()).submit()).unwrap();
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    drop(pool);
    eventually("each value is dropped", || Payload::alive() == 0);
    assert_eq!(tally.total(), calls, "{tally:?}");
    println!("{tally:?}");
}

#[test]
fn every_random_call_has_one_outcome_and_nothing_is_left_behind() {
    let seed = from_env("PONTOON_SEED").unwrap_or_else(|| fastrand::u64(..));
    let calls = from_env("PONTOON_STRESS_CALLS").unwrap_or(CALLS);
    println!("PONTOON_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let alone = Holding::now();
    stress(CALLS_BEFORE.min(calls), &mut rng);
    // The clock thread is the process's and stays.
    eventually("the other threads end", || {
        Holding::now().has_ended(&alone, 1)
    });
    let before = Holding::now();
    stress(calls, &mut rng);
    eventually("fds, threads and memory are given back", || {
        Holding::now().is_no_more_than(&before)
    });
    println!("before {before:?}, after {:?}", Holding::now());
}
