//! The peers of the bridge's scenario.

use super::{BlockingWork, BridgeArguments, BridgeRun, Peer, WORKERS, measure};
use crate::Outcome;
use actix_rt::System;
use peer_load::tally::End;
use pontoon_bridge::{CallError, EventLoop, Pool, event_loop};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, spawn_blocking, spawn_local};
use tokio::time::timeout_at;

#[derive(Clone)]
struct Pontoon(Pool);

impl Peer for Pontoon {
    async fn sleep(&self, time: Duration) {
        event_loop::sleep(time).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        event_loop::spawn(task).detach();
    }

    async fn call(&self, work: BlockingWork, deadline: Instant) -> End {
        match self
            .0
            .call(move |()| work.run())
            .deadline_at(deadline)
            .await
        {
            Ok(()) => End::Answered,
            Err(CallError::Rejected(_)) => End::Refused,
            Err(CallError::DeadlineExceeded { .. }) => End::GaveUp,
            Err(_) => End::Other,
        }
    }
}

/// Queue and CoDel as they are by default, so that what is measured is what users get.
pub(super) fn on_pontoon(arguments: BridgeArguments) -> Outcome<BridgeRun> {
    let pool = Pool::named("bench").threads(WORKERS).build()?;
    Ok(EventLoop::new()?.block_on(measure(Pontoon(pool), arguments)))
}

#[derive(Clone)]
struct Tokio {
    aborts: bool,
}

impl Peer for Tokio {
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        spawn_local(task);
    }

    async fn call(&self, work: BlockingWork, deadline: Instant) -> End {
        let mut call = spawn_blocking(move || work.run());
        let end = timeout_at(deadline.into(), &mut call).await;
        if end.is_err() && self.aborts {
            call.abort();
        }
        end_of(end)
    }
}

fn end_of<T, E>(end: Result<Result<(), E>, T>) -> End {
    match end {
        Ok(Ok(())) => End::Answered,
        Ok(Err(_)) => End::Other,
        Err(_) => End::GaveUp,
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread()
        .max_blocking_threads(WORKERS)
        .enable_all()
        .build()
}

pub(super) fn on_tokio(arguments: BridgeArguments, aborts: bool) -> Outcome<BridgeRun> {
    let all = measure(Tokio { aborts }, arguments);
    let runtime = runtime()?;
    let run = LocalSet::new().block_on(&runtime, all);
    // It waits for its blocking threads when it is dropped.
    runtime.shutdown_background();
    Ok(run)
}

#[derive(Clone)]
struct Actix;

impl Peer for Actix {
    async fn sleep(&self, time: Duration) {
        actix_rt::time::sleep(time).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        actix_rt::spawn(task);
    }

    async fn call(&self, work: BlockingWork, deadline: Instant) -> End {
        let call = actix_web::web::block(move || work.run());
        end_of(timeout_at(deadline.into(), call).await)
    }
}

/// Its runtime is made as actix-server makes a worker's.
pub(super) fn on_actix(arguments: BridgeArguments) -> Outcome<BridgeRun> {
    let runtime = runtime()?;
    let system = System::with_tokio_rt(move || runtime);
    let run = system.block_on(measure(Actix, arguments));
    // Dropping it would wait for all that is queued; this process has nothing else to do.
    std::mem::forget(system);
    Ok(run)
}
