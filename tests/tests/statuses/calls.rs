//! What becomes of calls that fail, do not return, or find no room.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use pontoon::bridge::Completer;
use pontoon::{
    CallContext, Error, Location, Pool, Request, Response, Server, blocking, blocking_with, handler,
};
use pontoon_tests::PATIENCE;
use pontoon_tests::client::Response as Answer;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{OpensAtLast, gate};
use pontoon_tests::problem::problem;
use pontoon_tests::wait::{eventually, eventually_some};

/// A pool of one worker that is held at a gate by `/held`, and `/quick`, which is not.
fn serve(max_queue: usize, deadline: Duration) -> (Fixture, OpensAtLast) {
    let (gate, door) = gate();
    let held = blocking("p", move |_| {
        door.pass();
        Ok(Response::text("through"))
    });
    let quick = || blocking("p", |_: Request| Ok(Response::text("quick")));
    let server = Server::new()
        .pool(Pool::named("p").threads(1).max_queue(max_queue))
        .route(Location::new("/held", held).deadline(deadline))
        .route(Location::new("/soon", quick()).deadline(Duration::from_millis(100)))
        .location("/quick", quick());
    (Fixture::start(server), gate)
}

fn retry_after(response: &Answer) -> u64 {
    let seconds = response.header("retry-after").expect("Retry-After");
    seconds.parse().expect("seconds")
}

#[test]
fn a_panic_is_500_and_the_worker_goes_on() {
    let server = Server::new().pool(Pool::named("p").threads(1)).location(
        "/{what}",
        blocking_with("p", |_, call: &CallContext| match call.param("what") {
            Some("panic") => panic!("a secret"),
            _ => Ok(Response::text("fine")),
        }),
    );
    let server = Fixture::start(server);
    for _ in 0..3 {
        let detail = problem(&server.get("/panic"), 500);
        assert!(
            detail.contains("panicked") && !detail.contains("secret"),
            "{detail}"
        );
        assert_eq!(server.get("/x").text(), "fine");
    }
}

#[test]
fn a_panic_in_a_handler_harms_nobody_else() {
    let server = Server::new()
        .loops(1)
        .location(
            "/panic",
            handler(|_, call: CallContext| async move {
                assert!(call.param("none").is_some(), "a secret");
                Ok(Response::text("never"))
            }),
        )
        .location("/", handler(|_, _| async { Ok(Response::text("fine")) }));
    let server = Fixture::start(server);
    let mut other = server.connect();
    other.send_request("GET", "/", &[], b"");
    assert_eq!(other.read_response("GET").text(), "fine");
    for _ in 0..3 {
        let detail = problem(&server.get("/panic"), 500);
        assert!(
            detail.contains("panicked") && !detail.contains("secret"),
            "{detail}"
        );
        other.send_request("GET", "/", &[], b"");
        assert_eq!(other.read_response("GET").text(), "fine");
    }
    eventually("only the other is left", || {
        server.running().connections() == 1
    });
}

#[test]
fn a_library_that_drops_or_loses_its_callback_is_500() {
    let location = |name| {
        format!(
            "[[location]]\npath = '/{name}'\nadapter = 'callback'\nmisbehave = '{name}'\ndelay = '1ms'\n"
        )
    };
    let names = ["drop", "panic", "thread_panic"];
    let server = Fixture::from_toml(&names.map(location).concat());
    for name in names {
        let detail = problem(&server.get(&format!("/{name}")), 500);
        assert!(detail.contains("without an answer"), "{name}: {detail}");
    }
}

#[test]
fn a_library_that_never_calls_back_is_504_on_time() {
    let server = Fixture::from_toml(
        "[[location]]\npath = '/'\nadapter = 'callback'\nmisbehave = 'never'\ndeadline = '100ms'\n",
    );
    let begin = Instant::now();
    problem(&server.get("/"), 504);
    assert!(begin.elapsed() >= Duration::from_millis(100));
    assert!(begin.elapsed() < PATIENCE / 2);
}

#[test]
fn a_database_that_vanished_is_502_and_for_a_moment_503_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let make = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
    };
    make();
    let server = Fixture::from_toml(&format!(
        "[pool.p]\nthreads = 1\n[[location]]\npath = '/'\nadapter = 'sqlite'\npool = 'p'\n\
         database = {path:?}\nquery = 'SELECT x FROM t'\n"
    ));
    std::fs::remove_file(&path).unwrap();
    let detail = problem(&server.get("/"), 502);
    assert!(!detail.contains("x.db"), "{detail}");
    make();
    let back = eventually_some("it is tried again", || {
        let answer = server.get("/");
        if answer.status == 200 {
            return Some(answer);
        }
        problem(&answer, 503);
        assert!(retry_after(&answer) >= 1);
        None
    });
    assert_eq!(back.text(), "[]");
}

#[test]
fn a_full_pool_is_503_at_once_with_a_time_to_come_again() {
    let (server, gate) = serve(1, PATIENCE);
    let mut running = server.connect();
    running.send_request("GET", "/held", &[], b"");
    gate.wait_for(1);
    let mut queued = server.connect();
    queued.send_request("GET", "/quick", &[], b"");
    let in_flight = || server.running().pool_stats("p").unwrap().in_flight;
    eventually("one is queued", || in_flight() == 2);
    let refused = server.get("/quick");
    assert!(problem(&refused, 503).contains("full"));
    assert!(retry_after(&refused) >= 1);
    assert!(!refused.closes(), "the connection is good for another try");
    gate.open();
    assert_eq!(running.read_response("GET").text(), "through");
    assert_eq!(queued.read_response("GET").text(), "quick");
    eventually("there is room", || server.get("/quick").status == 200);
}

#[test]
fn a_location_that_runs_as_much_as_it_may_is_503() {
    let (entered, entries) = mpsc::channel::<Completer<()>>();
    let wait = handler(move |_, _| {
        let entered = entered.clone();
        async move {
            let (call, completer) = pontoon::bridge::call();
            entered.send(completer).expect("the test listens");
            call.await
                .map(|()| Response::text("done"))
                .map_err(|error| Error::internal("lost").with_source(error))
        }
    });
    let location = Location::new("/", wait).max_running(2);
    let server = Fixture::start(Server::new().route(location));
    let mut clients: Vec<_> = (0..2).map(|_| server.connect()).collect();
    let mut completers = Vec::new();
    for client in &mut clients {
        client.send_request("GET", "/", &[], b"");
        completers.push(entries.recv_timeout(PATIENCE).expect("it runs"));
    }
    let refused = server.get("/");
    assert!(problem(&refused, 503).contains("as many calls"));
    assert!(retry_after(&refused) >= 1);
    for (client, completer) in clients.iter_mut().zip(completers) {
        completer.complete(());
        assert_eq!(client.read_response("GET").text(), "done");
    }
    // A client that leaves gives its place back too.
    for _ in 0..4 {
        let mut client = server.connect();
        client.send_request("GET", "/", &[], b"");
        let _completer = entries.recv_timeout(PATIENCE).expect("it runs");
        drop(client);
    }
}

#[test]
fn a_deadline_that_passes_in_the_queue_is_504_and_nothing_was_done() {
    let (server, gate) = serve(4, PATIENCE);
    let mut running = server.connect();
    running.send_request("GET", "/held", &[], b"");
    gate.wait_for(1);
    let begin = Instant::now();
    let detail = problem(&server.get("/soon"), 504);
    assert!(detail.contains("nothing was done"), "{detail}");
    assert!(begin.elapsed() >= Duration::from_millis(100));
    gate.open();
    assert_eq!(running.read_response("GET").text(), "through");
    assert_eq!(server.get("/quick").status, 200);
    let stats = server.running().pool_stats("p").unwrap();
    assert_eq!((stats.expired, stats.submitted), (1, 3));
    eventually("two ran", || {
        server.running().pool_stats("p").unwrap().completed == 2
    });
}

#[test]
fn a_deadline_that_passes_while_the_library_hangs_is_504_and_its_worker_stays_taken() {
    let (server, gate) = serve(0, Duration::from_millis(100));
    let begin = Instant::now();
    let detail = problem(&server.get("/held"), 504);
    assert!(detail.contains("while the call was running"), "{detail}");
    assert!(begin.elapsed() >= Duration::from_millis(100));
    assert!(begin.elapsed() < PATIENCE / 2, "the worker never returned");
    assert_eq!(gate.came(), 1);
    // Honest capacity: the only worker is still inside the library.
    problem(&server.get("/quick"), 503);
    assert_eq!(server.running().pool_stats("p").unwrap().in_flight, 1);
    gate.open();
    eventually("the worker is back", || server.get("/quick").status == 200);
    assert_eq!(server.running().pool_stats("p").unwrap().late, 1);
}

#[test]
fn the_deadline_counts_from_arrival_on_the_loop_too() {
    let never = handler(|_, _| std::future::pending());
    let location = Location::new("/", never).deadline(Duration::from_millis(100));
    let server = Fixture::start(Server::new().route(location));
    let begin = Instant::now();
    problem(&server.get("/"), 504);
    assert!(begin.elapsed() >= Duration::from_millis(100));
}
