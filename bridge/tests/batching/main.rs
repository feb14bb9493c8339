//! Calls that run together: each keeps its own outcome, and its place, deadline and cancellation.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(missing_docs, unreachable_pub, reason = "not an interface")]

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod histories;
mod limits;
mod load;
mod sessions;

use common::Gate;
use pontoon_bridge::{Batch, BatchLimits, Batching, Call, Pool, PoolBuilder, Session};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a call is to do, in the order in which a batch does it for all of them.
#[derive(Clone)]
enum Do {
    /// Say this, doubled.
    Say(u32),
    /// Come to the gate, then say nothing much.
    Wait(Gate),
    /// Say this at once, and not only when all others have done theirs.
    SayNow(u32),
    Panic,
    Forget,
}

/// The batches that ran, with the tags of their calls.
type Ran = Arc<Mutex<Vec<Vec<u64>>>>;

/// Calls on a pool of numbers, and what became of them.
struct Rig {
    calls: Batching<u32, Do, u32>,
    ran: Ran,
}

impl Rig {
    fn new(pool: &Pool<u32>, limits: BatchLimits) -> Self {
        let ran = Ran::default();
        let also_ran = Arc::clone(&ran);
        let run = move |_: &mut Session<u32>, batch: &mut Batch<Do, u32>| {
            let tags = batch.calls().iter().map(|call| call.tag().unwrap_or(0));
            also_ran.lock().unwrap().push(tags.collect());
            run(batch);
        };
        Self {
            calls: pool.batching(limits, run),
            ran,
        }
    }

    fn submit(&self, tag: u64, what: Do) -> Call<u32> {
        self.calls.call(what).tag(tag).submit()
    }

    /// The batches that ran so far.
    fn ran(&self) -> Vec<Vec<u64>> {
        self.ran.lock().unwrap().clone()
    }

    /// A batch of one that stands at the gate: what is submitted now waits for it to end.
    fn hold(&self) -> (Gate, Call<u32>) {
        let gate = Gate::default();
        let held = self.submit(0, Do::Wait(gate.clone()));
        gate.wait_for(1);
        (gate, held)
    }
}

fn run(batch: &mut Batch<Do, u32>) {
    let mut said = Vec::new();
    for call in batch.calls() {
        let what = call.input().clone();
        said.push(match what {
            Do::Say(number) => Some(number * 2),
            Do::Wait(gate) => {
                gate.pass();
                Some(0)
            }
            Do::SayNow(number) => {
                call.finish(number * 2);
                None
            }
            // Without the hook, whose output would drown everything.
            Do::Panic => std::panic::resume_unwind(Box::new("on purpose")),
            Do::Forget => None,
        });
    }
    for (call, said) in batch.calls().iter_mut().zip(said) {
        if let Some(said) = said {
            call.finish(said);
        }
    }
}

/// A pool whose sessions are numbers. Nothing in it counts as stuck, which would mend what was lost.
fn pool(name: &str, threads: usize) -> PoolBuilder<u32> {
    let pool = Pool::named(name).threads(threads).max_queue(1_000);
    let pool = pool.codel(None).stuck_after(Duration::MAX);
    pool.session(|| Ok::<_, std::io::Error>(0))
}
