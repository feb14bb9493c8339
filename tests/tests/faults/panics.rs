//! Foreign code may panic anywhere: one 500, and the next call finds a working pool.

use std::sync::Arc;
use std::time::Duration;

use pontoon::{
    Adapter, CallContext, Error, LoopAdapter, Request, Response, handler, on_loop, on_pool,
};
use pontoon_tests::client::Response as Answer;
use pontoon_tests::fixture::Fixture;

use crate::{Count, pool, server, stats};

/// What a library counts, and where it panics.
#[derive(Debug, Default)]
struct Shared {
    opened: Count,
    closed: Count,
    dropped: Count,
    panics_in_close: bool,
    panics_in_open: bool,
    panics_in_drop: bool,
    panics_in_check: bool,
}

struct Fragile(Arc<Shared>);

struct Handle {
    number: usize,
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.dropped.add();
        assert!(
            !self.shared.panics_in_drop,
            "the session's drop panics, as it was told to"
        );
    }
}

impl Adapter for Fragile {
    type Session = Handle;

    fn open(&self) -> Result<Handle, Error> {
        let number = self.0.opened.add();
        let shared = Arc::clone(&self.0);
        assert!(
            !(shared.panics_in_open && number == 1),
            "open panics, as it was told to"
        );
        Ok(Handle { number, shared })
    }

    fn call(
        &self,
        handle: &mut Handle,
        request: Request,
        _: &CallContext,
    ) -> Result<Response, Error> {
        match request.uri().query() {
            Some("panic") => panic!("the library panics, as it was told to"),
            Some("fail") => Err(Error::internal("the library fails, as it was told to")),
            Some("dirty") => Ok(Response::text("left something").breaking_session()),
            Some("break") => Err(Error::internal("the library breaks").breaking_session()),
            _ => Ok(Response::text(format!("session {}", handle.number))),
        }
    }

    fn close(&self, _: &mut Handle) {
        self.0.closed.add();
        assert!(!self.0.panics_in_close, "close panics, as it was told to");
    }

    fn check(&self, _: &mut Handle) -> Result<(), Error> {
        assert!(!self.0.panics_in_check, "check panics, as it was told to");
        Ok(())
    }
}

fn fragile(shared: Shared) -> (Fixture, Arc<Shared>) {
    let shared = Arc::new(shared);
    let adapter = Fragile(Arc::clone(&shared));
    let server = server(1)
        .pool(pool(1, 8))
        .location("/", on_pool("p", adapter));
    (Fixture::start(server), shared)
}

fn assert_problem(answer: &Answer) {
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert!(
        !answer.text().contains("as it was told"),
        "the client learns no internals"
    );
}

#[test]
fn a_panic_is_a_500_and_the_next_call_has_a_fresh_session() {
    let (server, shared) = fragile(Shared::default());
    assert_eq!(server.get("/").text(), "session 1");
    for round in 1..=3 {
        assert_problem(&server.get("/?panic"));
        assert_eq!(shared.dropped.get(), round);
        assert_eq!(server.get("/").text(), format!("session {}", round + 1));
    }
    let stats = stats(&server, "p");
    assert_eq!(
        (stats.panicked, stats.completed, stats.in_flight),
        (3, 7, 0)
    );
}

#[test]
fn a_panic_keeps_the_connection_and_what_is_pipelined_behind() {
    let (server, _) = fragile(Shared::default());
    let mut client = server.connect();
    client.send(b"GET /?panic HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_problem(&client.read_response("GET"));
    assert_eq!(client.read_response("GET").status, 200);
}

#[test]
fn a_session_whose_drop_panics_takes_nothing_with_it() {
    let (server, shared) = fragile(Shared {
        panics_in_drop: true,
        ..Shared::default()
    });
    assert_problem(&server.get("/?panic"));
    assert_eq!(server.get("/?break").status, 500);
    assert_eq!(shared.dropped.get(), 2);
    assert_eq!(server.get("/").text(), "session 3");
}

#[test]
fn an_open_that_panics_is_a_500_and_the_next_call_tries_again() {
    let (server, shared) = fragile(Shared {
        panics_in_open: true,
        ..Shared::default()
    });
    assert_problem(&server.get("/"));
    assert_eq!(server.get("/").text(), "session 2");
    assert_eq!(shared.opened.get(), 2);
}

#[test]
fn a_check_that_panics_costs_its_call_and_its_session_only() {
    // A session whose drop panics as well, while the first panic is under way, would end the process.
    for panics_in_drop in [false, true] {
        let (server, shared) = fragile(Shared {
            panics_in_check: true,
            panics_in_drop,
            ..Shared::default()
        });
        // A failed call has its session checked before the next.
        assert_eq!(server.get("/?fail").status, 500);
        assert_eq!(server.get("/").text(), "session 2", "{panics_in_drop}");
        assert_eq!(shared.dropped.get(), 1);
    }
}

struct LoopPanics;

impl LoopAdapter for LoopPanics {
    async fn call(&self, request: Request, _: &CallContext) -> Result<Response, Error> {
        if request.uri().query() == Some("late") {
            pontoon::event_loop::sleep(Duration::from_millis(1)).await;
        }
        panic!("the loop adapter panics, as it was told to");
    }
}

#[test]
fn a_panic_on_the_loop_is_a_500_and_the_loop_goes_on() {
    let now = |_: Request, _: CallContext| -> std::future::Ready<Result<Response, Error>> {
        panic!("the handler panics before it is async, as it was told to")
    };
    let server = server(1)
        .location("/loop", on_loop(|| LoopPanics))
        .location("/handler", handler(now));
    let server = Fixture::start(server);
    let mut client = server.connect();
    for target in ["/loop", "/loop?late", "/handler", "/loop"] {
        client.send_request("GET", target, &[], b"");
        assert_problem(&client.read_response("GET"));
    }
    assert_eq!(server.running().connections(), 1);
}

#[test]
fn an_answer_may_cost_its_session_and_leave_is_taken_of_it() {
    // What is taken leave of may panic then, and once more when it is dropped.
    for panics in [false, true] {
        let (server, shared) = fragile(Shared {
            panics_in_close: panics,
            panics_in_drop: panics,
            ..Shared::default()
        });
        assert_eq!(server.get("/?dirty").text(), "left something");
        assert_eq!(server.get("/").text(), "session 2");
        assert_problem(&server.get("/?panic"));
        assert_eq!(server.get("/").text(), "session 3");
        assert_eq!((shared.closed.get(), shared.dropped.get()), (2, 2));
    }
}
