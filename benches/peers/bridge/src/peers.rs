//! The peers, each with the same workload: K places in flight, each making one call after the other.
//!
//! To add one: a function that keeps all of `load.watches()` busy for ever (`begin` before each call,
//! `end` after it, on the thread that got the outcome), a variant of [`Peer`] and its name, and its
//! line in [`run`].

use crate::Outcome;
use crate::meter::Watch;
use crate::work::Work;
use actix_rt::System;
use clap::ValueEnum;
use pontoon_bridge::{EventLoop, Pool, event_loop};
use rayon::ThreadPoolBuilder;
use smol::LocalExecutor;
use std::future::{Future, pending};
use std::os::unix::process::CommandExt;
use std::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

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
    /// actix's runtime and `web::block`
    Actix,
    /// libuv's loop and `uv_queue_work`, a C program
    Libuv,
    /// rayon's pool, and a oneshot channel awaited on tokio's current_thread runtime
    Rayon,
}

impl Peer {
    pub(crate) const ALL: [Self; 8] = [
        Self::Pontoon,
        Self::PontoonInTokio,
        Self::Tokio,
        Self::TokioMulti,
        Self::Smol,
        Self::Actix,
        Self::Libuv,
        Self::Rayon,
    ];

    /// As the command line says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pontoon => "pontoon",
            Self::PontoonInTokio => "pontoon-in-tokio",
            Self::Tokio => "tokio",
            Self::TokioMulti => "tokio-multi",
            Self::Smol => "smol",
            Self::Actix => "actix",
            Self::Libuv => "libuv",
            Self::Rayon => "rayon",
        }
    }

    /// Not a peer to be beaten.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Pontoon | Self::PontoonInTokio)
    }

    /// Why it cannot run here, if so.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let without_libuv = self == Self::Libuv && LIBUV_PEER.is_none();
        without_libuv
            .then_some("built without libuv's headers; on Debian: apt-get install libuv1-dev")
    }
}

/// The C program that `build.rs` made, if it found libuv.
pub(crate) const LIBUV_PEER: Option<&str> = option_env!("LIBUV_PEER");

/// What one run has to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) work: Work,
    pub(crate) in_flight: usize,
    pub(crate) workers: usize,
    /// One call of so many is timed.
    pub(crate) sample_every: u32,
    pub(crate) warm_up_ms: u64,
    pub(crate) run_ms: u64,
    /// Allocations count, which disturbs: this run's times do not matter.
    pub(crate) count: bool,
}

impl Load {
    /// One for each place in flight.
    fn watches(self) -> impl Iterator<Item = Watch> {
        (0..self.in_flight).map(move |place| Watch::new(place, self.sample_every))
    }
}

/// A place in flight: one call after the other, for ever.
macro_rules! place {
    ($watch:expr, $call:expr) => {
        async move {
            let mut watch = $watch;
            loop {
                watch.begin();
                $call;
                watch.end();
            }
        }
    };
}

/// Never comes back; `window` ends the process.
pub(crate) fn run(peer: Peer, load: Load) -> Outcome {
    match peer {
        Peer::Pontoon => pontoon(load),
        Peer::PontoonInTokio => pontoon_in_tokio(load),
        Peer::Tokio => tokio_blocking(load, &current_thread(load)?),
        Peer::TokioMulti => tokio_blocking(load, &multi_thread(load)?),
        Peer::Smol => smol_blocking(load),
        Peer::Actix => actix_block(load),
        Peer::Libuv => libuv_queue_work(load),
        Peer::Rayon => rayon_oneshot(load),
    }
}

fn pool(load: Load) -> Outcome<Pool> {
    let pool = Pool::named("bench").threads(load.workers);
    Ok(pool.max_queue(load.in_flight).build()?)
}

/// One of ours.
async fn pontoon_place(pool: Pool, work: Work, watch: Watch) {
    place!(
        watch,
        pool.call(move |()| work.run())
            .await
            .expect("there is room for every call")
    )
    .await
}

fn pontoon(load: Load) -> Outcome {
    let pool = pool(load)?;
    let event_loop = EventLoop::new()?;
    event_loop.block_on(async {
        for watch in load.watches() {
            event_loop::spawn(pontoon_place(pool.clone(), load.work, watch)).detach();
        }
        pending::<()>().await;
    });
    Ok(())
}

fn pontoon_in_tokio(load: Load) -> Outcome {
    let pool = pool(load)?;
    on_tokio(load, &current_thread(load)?, |watch| {
        pontoon_place(pool.clone(), load.work, watch)
    });
    Ok(())
}

/// With its I/O driver, as `#[tokio::main]` has it: without one it is no event loop.
fn current_thread(load: Load) -> Outcome<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(load.workers);
    Ok(builder.build()?)
}

fn multi_thread(load: Load) -> Outcome<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().worker_threads(2);
    Ok(builder.max_blocking_threads(load.workers).build()?)
}

fn on_tokio<F>(load: Load, runtime: &Runtime, place: impl Fn(Watch) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime.block_on(async {
        for watch in load.watches() {
            tokio::spawn(place(watch));
        }
        pending::<()>().await;
    });
}

fn tokio_blocking(load: Load, runtime: &Runtime) -> Outcome {
    let work = load.work;
    on_tokio(load, runtime, |watch| {
        place!(
            watch,
            spawn_blocking(move || work.run())
                .await
                .expect("no call panics")
        )
    });
    Ok(())
}

/// Its pool reads `BLOCKING_MAX_THREADS`, which the starter of this process sets.
fn smol_blocking(load: Load) -> Outcome {
    let work = load.work;
    let executor = LocalExecutor::new();
    for watch in load.watches() {
        let place = place!(watch, smol::unblock(move || work.run()).await);
        executor.spawn(place).detach();
    }
    smol::block_on(executor.run(pending::<()>()));
    Ok(())
}

/// One arbiter. Its runtime is made as actix-server makes a worker's, where
/// `worker_max_blocking_threads` is tokio's `max_blocking_threads`.
fn actix_block(load: Load) -> Outcome {
    let work = load.work;
    let system = System::with_tokio_rt(|| current_thread(load).expect("a runtime starts"));
    system.block_on(async {
        for watch in load.watches() {
            let call = move || actix_web::web::block(move || work.run());
            actix_rt::spawn(place!(watch, call().await.expect("no call panics")));
        }
        pending::<()>().await;
    });
    Ok(())
}

fn rayon_oneshot(load: Load) -> Outcome {
    let work = load.work;
    let pool = ThreadPoolBuilder::new().num_threads(load.workers).build()?;
    let pool: &'static rayon::ThreadPool = Box::leak(Box::new(pool));
    let call = move || {
        let (done, outcome) = oneshot::channel();
        pool.spawn(move || {
            work.run();
            // The place waits for ever, so there is always a receiver.
            let _ = done.send(());
        });
        outcome
    };
    on_tokio(load, &current_thread(load)?, |watch| {
        place!(watch, call().await.expect("no call panics"))
    });
    Ok(())
}

/// Becomes the C program, which opens its own window.
fn libuv_queue_work(load: Load) -> Outcome {
    let program = LIBUV_PEER.ok_or("there is no libuv peer in this build")?;
    let (kind, iterations) = match load.work {
        Work::Noop => ("noop", 0),
        Work::Spin(iterations) => ("cpu", iterations),
        Work::Sleep => ("sleep", 0),
    };
    let error = Command::new(program)
        .args([kind, &iterations.to_string(), &load.in_flight.to_string()])
        .args([load.warm_up_ms, load.run_ms].map(|ms| ms.to_string()))
        .args([load.sample_every, load.count.into()].map(|n| n.to_string()))
        .env("UV_THREADPOOL_SIZE", load.workers.to_string())
        .exec();
    Err(error.into())
}
