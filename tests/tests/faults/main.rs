//! What libraries and clients do wrong, and what everybody else notices of it: nothing.
//!
//! Each test runs a server of its own whose libraries wait at gates that the test opens.

mod backend_down;
mod bulkheads;
mod callbacks;
mod clients_gone;
mod deadlines;
mod extremes;
mod full;
mod panics;
mod shares;
mod slow_clients;
mod stopping;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use pontoon::{Error, PoolBuilder, Request, Response, Server, blocking};
use pontoon_bridge::{Pool, PoolStats};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::Gate;

/// How many loops a test is run with.
const LOOPS: [usize; 2] = [1, 4];

/// A server that does not wait long for what hangs.
fn server(loops: usize) -> Server {
    Server::new()
        .loops(loops)
        .configure(|config| config.shutdown_timeout = Duration::from_secs(2))
}

fn pool(threads: usize, max_queue: usize) -> PoolBuilder {
    Pool::named("p").threads(threads).max_queue(max_queue)
}

/// A library that waits at the gate and then answers `done`.
fn at_gate(
    gate: &Arc<Gate>,
) -> impl Fn(Request) -> Result<Response, Error> + Send + Sync + 'static {
    let gate = Arc::clone(gate);
    move |_| {
        gate.pass();
        Ok(Response::text("done"))
    }
}

/// A server whose `/gate` waits at a gate on the pool `p`, and whose `/echo` has a pool of its own.
fn gated(loops: usize, threads: usize, max_queue: usize) -> (Fixture, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let server = server(loops)
        .pool(pool(threads, max_queue))
        .pool(Pool::named("echo").threads(1))
        .location("/gate", blocking("p", at_gate(&gate)))
        .location("/echo", blocking("echo", echo));
    (Fixture::start(server), gate)
}

/// Answers with the body.
#[allow(clippy::unnecessary_wraps)]
fn echo(request: Request) -> Result<Response, Error> {
    Ok(Response::text(
        String::from_utf8_lossy(request.body()).into_owned(),
    ))
}

fn stats(server: &Fixture, pool: &str) -> PoolStats {
    let stats = server.running().pool_stats(pool);
    stats.unwrap_or_else(|| panic!("no pool `{pool}`"))
}

/// Waits until so many calls are inside the pool `p`.
fn wait_in_flight(server: &Fixture, count: usize) {
    let what = format!("{count} calls in flight");
    eventually(&what, || stats(server, "p").in_flight == count);
}

/// Waits until no connection is left.
fn wait_disconnected(server: &Fixture) {
    eventually("no connection is left", || {
        server.running().connections() == 0
    });
}

/// A number that a library counts up.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Count {
    fn add(&self) -> usize {
        // SeqCst: a test's own count.
        self.0.fetch_add(1, SeqCst) + 1
    }

    fn get(&self) -> usize {
        // SeqCst: as above.
        self.0.load(SeqCst)
    }
}
