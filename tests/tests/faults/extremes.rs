//! Settings and answers at the edge of what a program can ask for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pontoon::{
    CallContext, CallbackAdapter, Location, Request, Response, ResponseCompleter, callback, handler,
};
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::gate;
use pontoon_tests::problem::problem;
use pontoon_tests::{PATIENCE, eventually};

use super::{Count, server};

#[test]
fn durations_that_mean_no_limit_are_none() {
    let forever = server(1)
        .configure(|config| {
            config.keep_alive = Duration::MAX;
            config.header_timeout = Duration::MAX;
            config.request_timeout = Duration::MAX;
            config.send_timeout = Duration::MAX;
        })
        .route(
            Location::new("/", handler(|_, _| async { Ok(Response::text("fine")) }))
                .deadline(Duration::MAX),
        );
    let server = Fixture::start(forever);
    let mut connection = server.connect();
    for _ in 0..2 {
        connection.send_request("POST", "/", &[], b"body");
        assert_eq!(connection.read_response("POST").text(), "fine");
    }
}

#[test]
fn the_version_of_an_adapters_response_is_not_ours() {
    for version in [
        http::Version::HTTP_09,
        http::Version::HTTP_10,
        http::Version::HTTP_3,
    ] {
        let proxy = handler(move |_, _| async move {
            let mut response = Response::text("fine");
            *response.version_mut() = version;
            Ok(response)
        });
        let server = Fixture::start(server(1).location("/", proxy));
        let mut connection = server.connect();
        for _ in 0..2 {
            connection.send_request("GET", "/", &[], b"");
            assert_eq!(connection.read_response("GET").text(), "fine");
        }
    }
}

/// Invariant 10: a handler that blocks its loop must not block the stop.
#[test]
fn a_stop_does_not_wait_for_a_loop_that_foreign_code_blocks() {
    let (gate, door) = gate();
    let blocks = handler(move |_, _| {
        let door = Arc::clone(&door);
        async move {
            door.pass();
            Ok(Response::text(""))
        }
    });
    let limit = Duration::from_millis(200);
    let server = server(2)
        .configure(|config| config.shutdown_timeout = limit)
        .location("/", blocks);
    let server = Fixture::start(server);
    let mut client = server.connect();
    client.send_request("GET", "/", &[], b"");
    gate.wait_for(1);
    let begin = Instant::now();
    let report = server.stop();
    assert_eq!(report.loops_stuck, 1);
    assert!(begin.elapsed() < PATIENCE / 2);
}

/// Counts its calls and answers each from another thread, holding on to the completer afterwards.
#[derive(Default)]
struct Clings {
    calls: Arc<Count>,
    kept: Arc<Mutex<Vec<Arc<ResponseCompleter>>>>,
}

impl CallbackAdapter for Clings {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        self.calls.add();
        let completer = Arc::new(completer);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(Arc::clone(&completer));
        std::thread::spawn(move || completer.complete(Ok(Response::text("called back"))));
    }
}

#[test]
fn a_library_that_has_called_back_holds_no_place_any_more() {
    let location = Location::new("/", callback(Clings::default())).max_running(1);
    let server = Fixture::start(server(1).route(location));
    let mut connection = server.connect();
    for _ in 0..100 {
        connection.send_request("GET", "/", &[], b"");
        assert_eq!(connection.read_response("GET").text(), "called back");
    }
}

#[test]
fn a_library_is_not_called_when_the_body_came_after_the_deadline() {
    let library = Clings::default();
    let calls = Arc::clone(&library.calls);
    let location = Location::new("/", callback(library)).deadline(Duration::from_millis(50));
    let server = Fixture::start(server(1).route(location));
    let mut connection = server.connect();
    connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
    problem(&connection.read_response("POST"), 408);
    connection.send(b"dy");
    connection.read_to_end();
    eventually("the connection is gone", || {
        server.running().connections() == 0
    });
    assert_eq!(calls.get(), 0);
}
