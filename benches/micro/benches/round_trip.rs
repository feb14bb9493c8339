//! What does a no-op call cost from submission to the resumed task on our loop, with 1, 16 and 256
//! calls in flight?

use criterion::{BenchmarkId, Criterion, Throughput};
use pontoon_bridge::{EventLoop, Pool, event_loop};
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const IN_FLIGHT: [u64; 3] = [1, 16, 256];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("round_trip");
    group.throughput(Throughput::Elements(1));
    let event_loop = EventLoop::new().expect("this process has file descriptors left");
    for in_flight in IN_FLIGHT {
        let pool = Pool::named("bench").threads(WORKERS).max_queue(256);
        let pool = pool.build().expect("the OS gives four threads");
        let id = BenchmarkId::new("no_op_calls_in_flight", in_flight);
        group.bench_function(id, |bench| {
            bench.iter_custom(|calls| event_loop.block_on(round_trips(&pool, in_flight, calls)));
        });
    }
    group.finish();
    criterion.final_summary();
}

/// `in_flight` tasks make `calls` calls in all, each one after the other.
async fn round_trips(pool: &Pool, in_flight: u64, calls: u64) -> Duration {
    let began = Instant::now();
    let spawn = |task| {
        let share = calls / in_flight + u64::from(task < calls % in_flight);
        let pool = pool.clone();
        event_loop::spawn(async move {
            for _ in 0..share {
                pool.call(|()| ()).await.expect("there is room for all");
            }
        })
    };
    let tasks: Vec<_> = (0..in_flight).map(spawn).collect();
    for task in tasks {
        task.await;
    }
    began.elapsed()
}
