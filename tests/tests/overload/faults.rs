//! A library that panics, hangs and fails now and then, under load: each request has one answer, the healthy
//! ones the right one.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use pontoon::{Error, Location, Pool, PoolStats, Request, Response, Server, blocking};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::process::threads_named;

/// Also the name of its threads, which no other test has.
const POOL: &str = "faulty";
const THREADS: usize = 4;
const SPARE: usize = 16;
const CLIENTS: usize = 16;
const EACH: usize = 200;
/// Calls that hang do so for longer than their deadline.
const DEADLINE: Duration = Duration::from_millis(250);
const HANG: Duration = Duration::from_millis(750);

/// What the n-th request of a client asks for, and the status that it must get.
fn request(number: usize) -> (&'static str, u16) {
    match number % 100 {
        10 => ("/work?panic", 500),
        60 => ("/work?hang", 504),
        0 | 20 | 40 | 70 | 90 => ("/work?error", 500),
        _ => ("/work?", 200),
    }
}

fn work(request: Request) -> Result<Response, Error> {
    match request.uri().query() {
        Some("panic") => panic!("this call was asked to panic"),
        Some("error") => return Err(Error::internal("this call was asked to fail")),
        Some("hang") => thread::sleep(HANG),
        _ => thread::sleep(Duration::from_millis(1)),
    }
    Ok(Response::text("done"))
}

fn stats(server: &Fixture) -> PoolStats {
    server.running().pool_stats(POOL).expect("the pool")
}

/// Sends all requests of a client; how often each status came for each target.
fn client(server: &Fixture, index: usize) -> BTreeMap<(&'static str, u16), usize> {
    let mut ends = BTreeMap::new();
    let mut client = server.connect();
    for number in 0..EACH {
        let (target, _) = request(index * 7 + number);
        client.send_request("GET", target, &[], b"");
        let status = client.read_response("GET").status;
        *ends.entry((target, status)).or_default() += 1;
    }
    ends
}

#[test]
fn panics_hangs_and_errors_under_load_cost_nobody_else_an_answer() {
    let pool = Pool::named(POOL)
        .threads(THREADS)
        .max_queue(CLIENTS)
        // What is refused depends on the machine; here nobody is.
        .codel(None)
        .stuck_after(Duration::from_millis(50))
        .max_stuck(SPARE);
    let healthy = Location::new("/work", blocking(POOL, work)).deadline(DEADLINE);
    let server = Fixture::start(Server::new().pool(pool).route(healthy));
    assert_eq!(server.get("/work?").status, 200);
    let threads_before = threads_named(POOL);
    let ends = thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|index| {
            scope.spawn({
                let server = &server;
                move || client(server, index)
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut all = BTreeMap::new();
        for client in clients {
            for (end, count) in client.join().expect("a client got all its answers") {
                *all.entry(end).or_insert(0) += count;
            }
        }
        all
    });
    assert_eq!(ends.values().sum::<usize>(), CLIENTS * EACH, "{ends:?}");
    let wrong = |(target, status): &&(&'static str, u16)| {
        let expected = (0..100).map(request).find(|(it, _)| it == target);
        expected.is_none_or(|(_, expected)| expected != *status)
    };
    let wrong: usize = ends.keys().filter(wrong).map(|end| ends[end]).sum();
    // On a busy machine some healthy ones come to their deadline behind those that hang.
    assert!(10 * wrong < CLIENTS * EACH, "{ends:?}");
    eventually("all workers are back", || {
        let stats = stats(&server);
        (stats.in_flight, stats.stuck, stats.running) == (0, 0, 0)
    });
    let stats = stats(&server);
    assert!(stats.panicked > 0, "{stats:?}");
    assert!(stats.sessions <= THREADS + SPARE, "{stats:?}");
    assert_eq!(threads_named(POOL), threads_before);
    assert_eq!(server.get("/work?").status, 200);
}
