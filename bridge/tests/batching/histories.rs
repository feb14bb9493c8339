//! Any history of calls that are run together and of others beside them, against a plain reference: lists.
//!
//! Each round begins with every worker held, so what waits is known when they are released: the
//! batches are then the calls that are still worth running, in order, so many at a time.

use crate::common::{Gate, PATIENCE, eventually};
use pontoon_bridge::{Batch, BatchLimits, Batching, Call, CallError, Pool, Session, SubmitError};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Say,
    /// Says it at once, whatever becomes of the batch.
    SayNow,
    Panic,
    Forget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// Its caller leaves while it waits.
    Leaves,
    /// Its caller gives up at its deadline while it waits.
    Expires,
    /// Its deadline has passed when it is submitted.
    IsLate,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Batched(Kind, Fate),
    /// A call beside them, alone.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Said,
    Panicked,
    Abandoned,
    Expired,
    Left,
}

type Ran = Arc<Mutex<Vec<Vec<usize>>>>;

fn run(batch: &mut Batch<(usize, Kind), usize>) {
    let mut panics = false;
    for call in batch.calls() {
        let (id, kind) = *call.input();
        panics |= kind == Kind::Panic;
        if kind == Kind::SayNow {
            call.finish(id);
        }
    }
    if panics {
        // Without the hook, whose output would drown everything.
        std::panic::resume_unwind(Box::new("on purpose"));
    }
    for call in batch.calls() {
        let (id, kind) = *call.input();
        if kind == Kind::Say {
            call.finish(id);
        }
    }
}

/// How each call must end, and the batches that must run.
fn expected(orders: &[Order], most: usize) -> (Vec<Option<Ended>>, Vec<Vec<usize>>) {
    let mut ends = vec![None; orders.len()];
    let mut worth = Vec::new();
    for (id, order) in orders.iter().enumerate() {
        match order {
            Order::Other => ends[id] = Some(Ended::Said),
            Order::Batched(_, Fate::Leaves) => ends[id] = Some(Ended::Left),
            Order::Batched(_, Fate::Expires | Fate::IsLate) => ends[id] = Some(Ended::Expired),
            Order::Batched(kind, Fate::Stays) => worth.push((id, *kind)),
        }
    }
    let mut batches = Vec::new();
    for batch in worth.chunks(most) {
        let panics = batch.iter().any(|(_, kind)| *kind == Kind::Panic);
        for (id, kind) in batch {
            ends[*id] = Some(match kind {
                Kind::SayNow => Ended::Said,
                _ if panics => Ended::Panicked,
                Kind::Forget => Ended::Abandoned,
                Kind::Say | Kind::Panic => Ended::Said,
            });
        }
        batches.push(batch.iter().map(|(id, _)| *id).collect());
    }
    (ends, batches)
}

struct World {
    pool: Pool<u32>,
    batching: Batching<u32, (usize, Kind), usize>,
    ran: Ran,
    others: Arc<Mutex<Vec<usize>>>,
    workers: usize,
}

impl World {
    fn new(workers: usize, most: usize) -> Self {
        let pool = crate::pool("histories", workers).breaker(false);
        let pool = pool.build().unwrap();
        let ran = Ran::default();
        let also_ran = Arc::clone(&ran);
        let run = move |_: &mut Session<u32>, batch: &mut Batch<(usize, Kind), usize>| {
            let ids = batch.calls().iter_mut().map(|call| call.input().0);
            also_ran.lock().unwrap().push(ids.collect());
            run(batch);
        };
        Self {
            batching: pool.batching(BatchLimits::of(most), run),
            pool,
            ran,
            others: Arc::default(),
            workers,
        }
    }

    /// All workers stand at the gate.
    fn hold(&self) -> (Gate, Vec<Call<()>>) {
        let gate = Gate::default();
        let held = (0..self.workers).map(|_| {
            let at_gate = gate.clone();
            self.pool.call(move |_| at_gate.pass()).submit()
        });
        let held = held.collect();
        gate.wait_for(self.workers);
        (gate, held)
    }

    fn submit(&self, id: usize, order: Order) -> Option<Call<usize>> {
        let Order::Batched(kind, fate) = order else {
            let others = Arc::clone(&self.others);
            let call = self.pool.call(move |_| {
                others.lock().unwrap().push(id);
                id
            });
            return Some(call.submit());
        };
        let call = self.batching.call((id, kind));
        let now = Instant::now();
        Some(match fate {
            Fate::IsLate => call.deadline_at(now).submit(),
            Fate::Leaves => {
                drop(call.submit());
                return None;
            }
            Fate::Expires => call.submit().deadline_at(now),
            Fate::Stays => call.deadline(Duration::from_secs(3600)).submit(),
        })
    }

    fn round(&self, orders: &[Order], most: usize) -> TestCaseResult {
        let before = self.pool.stats();
        self.ran.lock().unwrap().clear();
        self.others.lock().unwrap().clear();
        let (gate, held) = self.hold();
        let mut calls: Vec<_> = (0..)
            .zip(orders)
            .map(|(id, order)| self.submit(id, *order))
            .collect();
        for (call, order) in calls.iter_mut().zip(orders) {
            if matches!(order, Order::Batched(_, Fate::Expires)) {
                // The caller sees its deadline now, while the call waits.
                let ended = futures_lite::future::block_on(call.take().unwrap());
                let is_expired =
                    matches!(ended, Err(CallError::DeadlineExceeded { running: false }));
                prop_assert!(is_expired, "{:?}", ended);
            }
        }
        gate.open();
        for call in held {
            futures_lite::future::block_on(call).unwrap();
        }
        let (ends, batches) = expected(orders, most);
        for (id, (call, end)) in calls.into_iter().zip(&ends).enumerate() {
            let Some(call) = call else { continue };
            let call = call.deadline_at(Instant::now() + PATIENCE);
            let ended = match futures_lite::future::block_on(call) {
                Ok(of) => {
                    prop_assert_eq!(of, id, "another call's outcome");
                    Ended::Said
                }
                Err(CallError::Panicked { .. }) => Ended::Panicked,
                Err(CallError::Abandoned) => Ended::Abandoned,
                Err(CallError::DeadlineExceeded { .. }) => Ended::Expired,
                Err(other) => panic!("{other:?}"),
            };
            prop_assert_eq!(Some(ended), *end, "call {}", id);
        }
        eventually("all have ended", || self.pool.stats().in_flight == 0);
        prop_assert_eq!(&*self.ran.lock().unwrap(), &batches);
        let others = self.others.lock().unwrap().clone();
        if self.workers == 1 {
            prop_assert!(others.is_sorted(), "{:?}", others);
        }
        self.counts(before, orders, &ends)
    }

    fn counts(
        &self,
        before: pontoon_bridge::PoolStats,
        orders: &[Order],
        ends: &[Option<Ended>],
    ) -> TestCaseResult {
        let after = self.pool.stats();
        let count = |which: Ended| ends.iter().filter(|end| **end == Some(which)).count() as u64;
        let ran = count(Ended::Said) + count(Ended::Panicked) + count(Ended::Abandoned);
        let all = (orders.len() + self.workers) as u64;
        prop_assert_eq!(after.submitted - before.submitted, all);
        prop_assert_eq!(
            after.completed - before.completed,
            ran + self.workers as u64
        );
        prop_assert_eq!(after.panicked - before.panicked, count(Ended::Panicked));
        prop_assert_eq!(after.expired - before.expired, count(Ended::Expired));
        prop_assert_eq!(after.cancelled - before.cancelled, count(Ended::Left));
        prop_assert_eq!(after.shed + after.refused, 0);
        // The caller of a call that is late may look at its deadline just when a worker does, and both end it.
        let is_late = |order: &&Order| matches!(order, Order::Batched(_, Fate::IsLate));
        let both = orders.iter().filter(is_late).count() as u64;
        prop_assert!(after.late - before.late <= both, "{:?}", after);
        Ok(())
    }
}

fn order() -> impl Strategy<Value = Order> {
    let kind = prop_oneof![
        12 => Just(Kind::Say),
        2 => Just(Kind::SayNow),
        1 => Just(Kind::Panic),
        1 => Just(Kind::Forget),
    ];
    let fate = prop_oneof![
        6 => Just(Fate::Stays),
        1 => Just(Fate::Leaves),
        1 => Just(Fate::Expires),
        1 => Just(Fate::IsLate),
    ];
    prop_oneof![
        5 => (kind, fate).prop_map(|(kind, fate)| Order::Batched(kind, fate)),
        1 => Just(Order::Other),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn any_history_of_batches_ends_as_plain_lists_say(
        workers in 1..=3usize,
        most in 1..6usize,
        rounds in prop::collection::vec(prop::collection::vec(order(), 0..24), 1..4),
    ) {
        let world = World::new(workers, most);
        for orders in rounds {
            world.round(&orders, most)?;
        }
        prop_assert_eq!(world.pool.shutdown(PATIENCE).still_running, 0);
    }
}

/// Submits as fast as it can from several threads, which leave some calls and wait for others; everything
/// ends, once, and the pool is empty.
#[test]
fn calls_from_many_threads_that_come_and_go_all_end() {
    let pool = crate::pool("storm", 3).breaker(false).build().unwrap();
    let run = |_: &mut Session<u32>, batch: &mut Batch<(usize, Kind), usize>| run(batch);
    let batching = pool.batching(BatchLimits::of(8).at_once(2), run);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (batching, pool) = (&batching, &pool);
            scope.spawn(move || storm(thread, batching, pool));
        }
    });
    eventually("all have ended", || pool.stats().in_flight == 0);
    let stats = pool.stats();
    // A call that has run, or was not worth it, may have been left meanwhile: then it is late as well.
    let ended = stats.completed + stats.expired + stats.cancelled + stats.shed;
    assert!(ended >= stats.submitted, "{stats:?}");
    assert!(ended - stats.late <= stats.submitted, "{stats:?}");
}

fn storm(thread: usize, batching: &Batching<u32, (usize, Kind), usize>, pool: &Pool<u32>) {
    let mut random = fastrand::Rng::with_seed(thread as u64);
    let mut waiting = Vec::new();
    for id in 0..3_000_usize {
        let kind = match random.u32(..40) {
            0 => Kind::Panic,
            1 => Kind::SayNow,
            _ => Kind::Say,
        };
        let call = batching.call((id, kind));
        match random.u32(..8) {
            0 => drop(call.submit()),
            1 => waiting.push((id, true, call.deadline(Duration::from_micros(50)).submit())),
            2 => waiting.push((id, false, pool.call(move |_| id).submit())),
            _ => waiting.push((id, false, call.submit())),
        }
        if waiting.len() > random.usize(..100) {
            for (id, is_short, call) in waiting.drain(..) {
                let patient = call.deadline_at(Instant::now() + PATIENCE);
                match futures_lite::future::block_on(patient) {
                    Ok(of) => assert_eq!(of, id),
                    Err(CallError::Panicked { .. }) => {}
                    Err(
                        CallError::DeadlineExceeded { .. }
                        | CallError::Rejected(SubmitError::WouldBeLate { .. }),
                    ) if is_short => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
}
