//! What does the loop pay to hand a call to a pool, and to refuse one when the pool is full?

use criterion::{Criterion, Throughput};
use pontoon_bridge::{Call, EventLoop, Pool};
use std::hint::black_box;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Calls handed over between two looks at the clock; all must fit the queue.
const BATCH: u64 = 1_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let event_loop = EventLoop::new().expect("this process has file descriptors left");
    let mut group = criterion.benchmark_group("admission");
    group.throughput(Throughput::Elements(1));
    group.bench_function("submit_while_all_workers_are_busy", |bench| {
        let pool = pool(BATCH as usize);
        bench.iter_custom(|calls| event_loop.block_on(submit(&pool, calls)));
    });
    group.bench_function("refuse_when_full", |bench| {
        let pool = pool(0);
        let (occupant, release) = event_loop.block_on(async { occupy(&pool) });
        bench.iter(|| black_box(pool.call(|()| ()).submit()));
        assert!(pool.stats().refused > 0, "nothing was refused");
        drop(release);
        event_loop.block_on(occupant).expect("it was released");
    });
    group.finish();
    criterion.final_summary();
}

fn pool(max_queue: usize) -> Pool {
    let pool = Pool::named("bench").threads(1).max_queue(max_queue);
    pool.build().expect("the OS gives one thread")
}

/// Keeps the pool's only worker busy until the sender is dropped.
fn occupy(pool: &Pool) -> (Call<()>, Sender<()>) {
    let (release, released) = channel::<()>();
    let call = pool.call(move |()| {
        // It ends with an error, which is the release.
        let _ = released.recv();
    });
    (call.submit(), release)
}

/// Submits calls while the worker is busy, so that only the submission is measured.
async fn submit(pool: &Pool, calls: u64) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = calls;
    while left > 0 {
        let now = left.min(BATCH);
        left -= now;
        let (occupant, release) = occupy(pool);
        let began = Instant::now();
        let batch: Vec<_> = (0..now).map(|_| pool.call(|()| ()).submit()).collect();
        total += began.elapsed();
        drop(release);
        occupant.await.expect("it was released");
        for call in batch {
            call.await.expect("there was room for all");
        }
    }
    total
}
