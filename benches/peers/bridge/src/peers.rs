//! The peers, each with the same workload: K tasks that each make one call after the other.

use crate::report::Sample;
use crate::{Outcome, Run};
use clap::ValueEnum;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pontoon_bridge::{EventLoop, Pool, event_loop};
use smol::LocalExecutor;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, spawn_blocking};

/// Before this has passed nothing is measured: threads start, sizes are learnt.
const WARM_UP: Duration = Duration::from_millis(150);

/// Who makes the round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Pontoon's pool, awaited on Pontoon's loop
    Pontoon,
    /// Pontoon's pool, awaited inside tokio's current_thread runtime
    PontoonInTokio,
    /// tokio's current_thread runtime and spawn_blocking: what the others are compared with
    Tokio,
    /// tokio's multi_thread runtime with two threads, and spawn_blocking
    TokioMulti,
    /// smol's executor and `blocking`
    Smol,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] = [
        Self::Pontoon,
        Self::PontoonInTokio,
        Self::Tokio,
        Self::TokioMulti,
        Self::Smol,
    ];

    /// As the command line says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pontoon => "pontoon",
            Self::PontoonInTokio => "pontoon-in-tokio",
            Self::Tokio => "tokio",
            Self::TokioMulti => "tokio-multi",
            Self::Smol => "smol",
        }
    }
}

/// Makes calls of one kind until told to stop; gives how many it made.
macro_rules! calls {
    ($stop:expr, $call:expr) => {
        async {
            let mut calls = 0u64;
            // Relaxed: it only ends the loop.
            while !$stop.load(Relaxed) {
                $call;
                calls += 1;
            }
            calls
        }
    };
}

/// Warms up, then measures.
pub(crate) fn run(run: Run) -> Outcome<Sample> {
    match run.peer {
        Peer::Pontoon => pontoon(run),
        Peer::PontoonInTokio => pontoon_in_tokio(run),
        Peer::Tokio => tokio_current(run),
        Peer::TokioMulti => tokio_multi(run),
        Peer::Smol => smol_blocking(run),
    }
}

/// Calls `batch` for the warm-up and for the measurement; it runs until its flag is set and gives
/// the number of calls.
fn measure(run_ms: u64, mut batch: impl FnMut(Arc<AtomicBool>) -> u64) -> Outcome<Sample> {
    batch(stop_after(WARM_UP));
    let cpu_before = cpu_ns()?;
    let began = Instant::now();
    let calls = batch(stop_after(Duration::from_millis(run_ms)));
    let wall_ns = u64::try_from(began.elapsed().as_nanos())?;
    Ok(Sample {
        calls,
        wall_ns,
        cpu_ns: cpu_ns()? - cpu_before,
    })
}

fn stop_after(time: Duration) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    thread::spawn(move || {
        thread::sleep(time);
        // Relaxed: it only ends the loop.
        flag.store(true, Relaxed);
    });
    stop
}

/// What this process has used of all CPUs.
fn cpu_ns() -> Outcome<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(u64::try_from(micros)? * 1_000)
}

fn pool(run: Run) -> Outcome<Pool> {
    let pool = Pool::named("bench").threads(run.workers);
    Ok(pool.max_queue(run.in_flight).build()?)
}

/// One of ours.
async fn pontoon_calls(pool: Pool, stop: Arc<AtomicBool>) -> u64 {
    calls!(
        stop,
        pool.call(|()| ())
            .await
            .expect("there is room for every call")
    )
    .await
}

/// One of tokio's.
async fn tokio_calls(stop: Arc<AtomicBool>) -> u64 {
    calls!(
        stop,
        spawn_blocking(|| ()).await.expect("a no-op does not panic")
    )
    .await
}

fn pontoon(run: Run) -> Outcome<Sample> {
    let pool = pool(run)?;
    let event_loop = EventLoop::new()?;
    measure(run.run_ms, |stop| {
        event_loop.block_on(async {
            let spawn = |_| event_loop::spawn(pontoon_calls(pool.clone(), Arc::clone(&stop)));
            let tasks: Vec<_> = (0..run.in_flight).map(spawn).collect();
            let mut calls = 0;
            for task in tasks {
                calls += task.await;
            }
            calls
        })
    })
}

fn pontoon_in_tokio(run: Run) -> Outcome<Sample> {
    let pool = pool(run)?;
    let runtime = Builder::new_current_thread().build()?;
    measure(run.run_ms, |stop| {
        let make = || pontoon_calls(pool.clone(), Arc::clone(&stop));
        LocalSet::new().block_on(
            &runtime,
            join(run.in_flight, tokio::task::spawn_local, make),
        )
    })
}

fn tokio_current(run: Run) -> Outcome<Sample> {
    let runtime = Builder::new_current_thread()
        .max_blocking_threads(run.workers)
        .build()?;
    tokio_runs(run, &runtime)
}

fn tokio_multi(run: Run) -> Outcome<Sample> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(run.workers)
        .build()?;
    tokio_runs(run, &runtime)
}

fn tokio_runs(run: Run, runtime: &Runtime) -> Outcome<Sample> {
    measure(run.run_ms, |stop| {
        let make = || tokio_calls(Arc::clone(&stop));
        runtime.block_on(join(run.in_flight, tokio::spawn, make))
    })
}

/// Spawns the tasks and adds up their calls.
async fn join<F>(
    tasks: usize,
    spawn: impl Fn(F) -> tokio::task::JoinHandle<u64>,
    make: impl Fn() -> F,
) -> u64 {
    let tasks: Vec<_> = (0..tasks).map(|_| spawn(make())).collect();
    let mut calls = 0;
    for task in tasks {
        calls += task.await.expect("no task panics");
    }
    calls
}

fn smol_blocking(run: Run) -> Outcome<Sample> {
    measure(run.run_ms, |stop| {
        let executor = LocalExecutor::new();
        let spawn = |_| {
            let stop = Arc::clone(&stop);
            executor.spawn(async move { calls!(stop, smol::unblock(|| ()).await).await })
        };
        let tasks: Vec<_> = (0..run.in_flight).map(spawn).collect();
        smol::block_on(executor.run(async {
            let mut calls = 0;
            for task in tasks {
                calls += task.await;
            }
            calls
        }))
    })
}
