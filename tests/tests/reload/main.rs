//! A reload drops nothing, changes all or nothing, and leaves nothing behind.
//!
//! The tests look at the whole process, so they run one after the other.

mod atomic;
mod drains;
mod kept;
mod limits;
mod load;
mod routes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pontoon::adapters::registry::Registry;
use pontoon::config::Config;
use pontoon::{Error, Pool, PoolBuilder, ReloadReport, Request, Response, Server};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::Gate;
use pontoon_tests::process::descriptors;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What it starts has this name until it takes its own, and is counted.
    std::fs::write("/proc/thread-self/comm", "test").expect("a thread may name itself");
    alone
}

/// A server on any port that does not wait long for what hangs.
fn server() -> Server {
    Server::new()
        .loops(2)
        .listen("127.0.0.1:0")
        .configure(|config| config.shutdown_timeout = Duration::from_secs(2))
}

fn pool(name: &str) -> PoolBuilder {
    Pool::named(name).threads(2).max_queue(256)
}

fn text(
    answer: &'static str,
) -> impl Fn(Request) -> Result<Response, Error> + Send + Sync + 'static {
    move |_| Ok(Response::text(answer))
}

fn at_gate(
    gate: &Arc<Gate>,
) -> impl Fn(Request) -> Result<Response, Error> + Send + Sync + 'static {
    let gate = Arc::clone(gate);
    move |_| {
        gate.pass();
        Ok(Response::text("done"))
    }
}

/// The server of a config file without its `listen` line.
fn config(text: &str) -> Server {
    let text = format!("listen = \"127.0.0.1:0\"\nloops = 2\n{text}");
    let config = Config::parse(&text, "test.toml", &Registry::builtin())
        .unwrap_or_else(|error| panic!("{}", error.render(false)));
    Server::from_config(config)
}

fn reload(fixture: &Fixture, server: Server) -> ReloadReport {
    fixture
        .running()
        .reload(server)
        .unwrap_or_else(|error| panic!("not reloaded: {error}"))
}

/// Threads of this process, without those of tests that wait: the harness starts the next one when it
/// gets to it.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a process has threads");
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        // It may have ended since.
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    // Tests that wait for their turn are named by their paths.
    tasks
        .filter_map(name)
        .filter(|name| !name.contains("::"))
        .count()
}

/// Waits until the process has no more threads and descriptors than before.
fn wait_for_usage((threads_before, descriptors_before): (usize, usize)) {
    let what = format!("{threads_before} threads and {descriptors_before} descriptors");
    eventually(&what, || {
        threads() <= threads_before && descriptors() <= descriptors_before
    });
}

/// Threads and descriptors. The first server of a process starts what is shared by all, so there is
/// one first.
fn usage_before() -> (usize, usize) {
    let first = server()
        .pool(pool("first"))
        .location("/", pontoon::blocking("first", text("first")));
    let first = Fixture::start(first);
    assert_eq!(first.get("/").status, 200);
    let during = threads();
    drop(first);
    // Two loops, two workers, two spare ones and their watchdog.
    eventually("the first server is gone", || threads() + 9 <= during);
    (threads(), descriptors())
}
