//! What does it cost to set, cancel and fire a timer while 100,000 are pending?

use criterion::{Criterion, Throughput};
use pontoon_bridge::event_loop::yield_now;
use pontoon_bridge::{EventLoop, Timer};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

const PENDING: usize = 100_000;
/// Timers set, or cancelled, between two looks at the clock.
const BATCH: u64 = 1_000;
/// Longer than it takes to set all timers, so that none fires before all are set.
const ALL_DUE_IN: Duration = Duration::from_millis(200);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let event_loop = EventLoop::new().expect("this process has file descriptors left");
    let mut group = criterion.benchmark_group("timer");
    let mut pending: Vec<Timer> = event_loop.block_on(async { (0..PENDING).map(far).collect() });
    group.throughput(Throughput::Elements(1));
    group.bench_function("insert_among_100k", |bench| {
        bench.iter_custom(|timers| event_loop.block_on(async { insert_and_cancel(timers).0 }));
    });
    group.bench_function("cancel_among_100k", |bench| {
        bench.iter_custom(|timers| event_loop.block_on(async { insert_and_cancel(timers).1 }));
    });
    group.bench_function("rearm_among_100k", |bench| {
        bench.iter_custom(|times| event_loop.block_on(async { rearm(&mut pending, times) }));
    });
    event_loop.block_on(async { pending.clear() });
    group.sample_size(10);
    group.throughput(Throughput::Elements(PENDING as u64));
    group.bench_function("expire_100k_at_once", |bench| {
        bench.iter_custom(|times| event_loop.block_on(expire(times)));
    });
    group.finish();
    criterion.final_summary();
}

/// A pending timer, minutes to hours away, as request and idle timeouts are.
fn far(index: usize) -> Timer {
    set(Timer::after(far_delay(index)), Waker::noop())
}

fn far_delay(index: usize) -> Duration {
    Duration::from_secs(60) + Duration::from_millis(index as u64 * 37 % 3_600_000)
}

/// A timer is put among the others when it is first polled.
fn set(mut timer: Timer, waker: &Waker) -> Timer {
    let polled = Pin::new(&mut timer).poll(&mut Context::from_waker(waker));
    assert!(polled.is_pending(), "a timer fired before all were set");
    timer
}

/// How long it took to set `timers`, and to cancel them by dropping.
fn insert_and_cancel(timers: u64) -> (Duration, Duration) {
    let (mut inserting, mut cancelling) = (Duration::ZERO, Duration::ZERO);
    let mut batch = Vec::with_capacity(BATCH as usize);
    let mut left = timers;
    while left > 0 {
        let now = left.min(BATCH);
        left -= now;
        let began = Instant::now();
        batch.extend((0..now as usize).map(far));
        let set = Instant::now();
        batch.clear();
        cancelling += set.elapsed();
        inserting += set - began;
    }
    (inserting, cancelling)
}

fn rearm(pending: &mut [Timer], times: u64) -> Duration {
    let began = Instant::now();
    for index in 0..times as usize {
        pending[index % PENDING].rearm(far_delay(index * 7));
    }
    began.elapsed()
}

struct Fired(AtomicUsize);

impl Wake for Fired {
    fn wake(self: Arc<Self>) {
        // Relaxed: read on the same thread.
        self.0.fetch_add(1, Relaxed);
    }
}

/// From the moment at which 100,000 timers are due to the last one's waker.
async fn expire(times: u64) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..times {
        let fired = Arc::new(Fired(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&fired));
        let due = Instant::now() + ALL_DUE_IN;
        let timers: Vec<Timer> = (0..PENDING).map(|_| set(Timer::at(due), &waker)).collect();
        // Relaxed: the wakers run on this thread.
        while fired.0.load(Relaxed) < PENDING {
            yield_now().await;
        }
        total += due.elapsed();
        drop(timers);
    }
    total
}
