//! Many callers at a time: a batch ahead of a call is no queue that stands, and one that is too long is.

use crate::common::{eventually, outcome};
use pontoon_bridge::event_loop::{self, EventLoop};
use pontoon_bridge::{Batch, BatchLimits, Batching, CallError, Pool, Session};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// What a batch takes, however many calls it has: a sync of a disk.
const SYNC: Duration = Duration::from_millis(10);
const CALLERS: usize = 64;

/// Calls that sync, and how often they did.
fn syncing(pool: &Pool, calls: usize) -> (Batching<(), (), ()>, Arc<AtomicUsize>) {
    let syncs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&syncs);
    let run = move |_: &mut Session<()>, batch: &mut Batch<(), ()>| {
        count.fetch_add(1, SeqCst);
        thread::sleep(SYNC);
        batch.calls().iter_mut().for_each(|call| call.finish(()));
    };
    (pool.batching(BatchLimits::of(calls), run), syncs)
}

/// Callers that call again as soon as they are answered, for so long; how many were served, and refused.
fn load(batching: &Batching<(), (), ()>, lasts: Duration) -> [usize; 2] {
    let [served, refused] = [0, 0].map(|zero| Rc::new(Cell::new(zero)));
    let until = Instant::now() + lasts;
    EventLoop::new().unwrap().block_on(async {
        let callers = (0..CALLERS).map(|_| {
            let batching = batching.clone();
            let (served, refused) = (Rc::clone(&served), Rc::clone(&refused));
            event_loop::spawn(async move {
                while Instant::now() < until {
                    let call = batching.call(()).deadline(Duration::from_secs(10));
                    match call.await {
                        Ok(()) => served.set(served.get() + 1),
                        Err(CallError::Rejected(_)) => {
                            refused.set(refused.get() + 1);
                            event_loop::sleep(SYNC / 10).await;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await;
        }
    });
    [served.get(), refused.get()]
}

#[test]
fn a_wait_for_the_batch_before_is_no_overload() {
    for threads in [1, 4] {
        let pool = Pool::named("syncs").threads(threads).max_queue(1_000);
        let pool = pool.build().unwrap();
        let (batching, syncs) = syncing(&pool, 1_000);
        let [served, refused] = load(&batching, Duration::from_millis(1_500));
        let stats = pool.stats();
        assert_eq!(refused, 0, "{stats:?}");
        // Half of the callers wait for the other half.
        let syncs = syncs.load(SeqCst);
        assert!(served > syncs * CALLERS / 4, "{served}, {syncs} syncs");
        assert_eq!((stats.shed, stats.refused, stats.expired), (0, 0, 0));
    }
}

#[test]
fn calls_that_wait_for_many_batches_are_shed_and_the_batches_stay_full() {
    const CALLS: usize = 4;
    let pool = Pool::named("stands").threads(1).max_queue(1_000);
    let pool = pool.build().unwrap();
    let (batching, syncs) = syncing(&pool, CALLS);
    let [served, refused] = load(&batching, Duration::from_secs(3));
    let stats = pool.stats();
    assert!(refused > 0, "a queue of 16 batches stands: {stats:?}");
    assert_eq!(stats.shed + stats.refused, refused as u64);
    assert_eq!(stats.completed, served as u64);
    let syncs = syncs.load(SeqCst);
    assert!(served > syncs * CALLS * 3 / 4, "{served}, {syncs} syncs");
    eventually("all have ended", || pool.stats().in_flight == 0);
}

#[test]
fn a_crowd_that_fits_into_one_batch_is_let_in_after_calls_that_came_one_by_one() {
    let pool = Pool::named("crowd").threads(1).max_queue(1_000);
    let pool = pool.build().unwrap();
    let (batching, _) = syncing(&pool, 1_000);
    for _ in 0..20 {
        outcome(batching.call(()).submit()).unwrap();
    }
    // One by one they would take two seconds.
    let crowd: Vec<_> = (0..200)
        .map(|_| batching.call(()).deadline(SYNC * 100).submit())
        .collect();
    assert_eq!(pool.stats().refused, 0);
    crowd.into_iter().for_each(|call| outcome(call).unwrap());
}
