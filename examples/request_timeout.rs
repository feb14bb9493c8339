//! Request timeouts: a location's deadline, and a shorter one inside a handler that has a plan B.
//!
//! `cargo run --example request_timeout`, then
//! `curl -i localhost:8080/report` and `curl -i localhost:8080/report/latest`

use pontoon::event_loop::timeout;
use pontoon::{Error, Location, Pool, Response, Server, blocking_with, handler};
use std::thread;
use std::time::Duration;

/// Stands for a library that takes its time, in steps, and can be asked to stop between them.
fn slow_report(is_unwanted: impl Fn() -> bool) -> Result<String, Error> {
    for _step in 0..1_000 {
        if is_unwanted() {
            return Err(Error::timed_out("the report was given up"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok("today's report\n".to_owned())
}

pub(crate) fn server() -> Result<Server, pontoon::bridge::BuildError> {
    let reports = Pool::named("reports").threads(2).max_queue(16).build()?;
    let shared = reports.clone();

    // 504 after 100 ms, counted from the request's arrival, whatever the library does. The worker is
    // not free before the library returns, so a library that can look should do so.
    let report = blocking_with("reports", |_request, call| {
        slow_report(|| call.is_cancelled()).map(Response::text)
    });

    // The handler has 30 s, but waits for the pool 50 ms only. What `timeout` drops is cancelled: a
    // call that is queued never runs, one that runs sees that it is unwanted.
    let latest = handler(move |_request, _call| {
        let pool = shared.clone();
        async move {
            let call = pool.call_with(|_, call| slow_report(|| call.is_cancelled()));
            match timeout(Duration::from_millis(50), call.submit()).await {
                Ok(finished) => finished?.map(Response::text),
                Err(_timed_out) => Ok(Response::text("yesterday's report\n")),
            }
        }
    });

    Ok(Server::new()
        .pool(&reports)
        .route(Location::new("/report", report).deadline(Duration::from_millis(100)))
        .location("/report/latest", latest))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(server()?.listen("127.0.0.1:8080").run()?)
}
