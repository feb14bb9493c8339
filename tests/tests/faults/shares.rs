//! A location has its share of a pool, a client its share of a location, and no place is ever lost.

use std::sync::Arc;
use std::time::Duration;

use pontoon::{
    CallContext, CallbackAdapter, ClientKey, Location, Mount, PoolBuilder, Request, Response,
    ResponseCompleter, Share, blocking, blocking_with, callback, handler,
};
use pontoon_tests::client::{Connection, Response as Answer};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{Gate, OpensAtLast, gate};
use pontoon_tests::problem::problem;
use pontoon_tests::wait::eventually_some;

use crate::{LOOPS, at_gate, server, stats, wait_in_flight};

/// A pool in which what waits at a gate may wait as long as it likes.
fn pool(threads: usize, max_queue: usize) -> PoolBuilder {
    crate::pool(threads, max_queue).codel(None)
}

/// A client that has sent a request.
fn sent(server: &Fixture, target: &str, headers: &[(&str, &str)]) -> Connection {
    let mut client = server.connect();
    client.send_request("GET", target, headers, b"");
    client
}

fn refused(response: &Answer, status: u16, says: &str) {
    let detail = problem(response, status);
    assert!(detail.contains(says), "{detail}");
    let retry = response.header("retry-after").expect("Retry-After");
    assert!(retry.parse::<u64>().expect("seconds") >= 1);
}

/// The pool `p` of 2 + 6 places; `/a` may have 3 of them, `/b` any.
fn shared(loops: usize) -> (Fixture, OpensAtLast) {
    let (opens, gate) = gate();
    let at = |path: &str| Location::new(path, blocking("p", at_gate(&gate))).deadline(LONG);
    let server = server(loops)
        .pool(pool(2, 6))
        .route(at("/a").share(Share::Calls(3)))
        .route(at("/b"));
    (Fixture::start(server), opens)
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_location_gets_no_more_than_its_share_and_leaves_the_rest_to_others() {
    for loops in LOOPS {
        let (server, gate) = shared(loops);
        let mut inside: Vec<_> = (0..3).map(|_| sent(&server, "/a", &[])).collect();
        wait_in_flight(&server, 3);
        for _ in 0..5 {
            refused(&server.get("/a"), 503, "share");
        }
        inside.extend((0..5).map(|_| sent(&server, "/b", &[])));
        wait_in_flight(&server, 8);
        refused(&server.get("/b"), 503, "pool");
        refused(&server.get("/a"), 503, "share");
        gate.open();
        for client in &mut inside {
            assert_eq!(client.read_response("GET").status, 200);
        }
        assert_eq!(server.get("/a").status, 200);
    }
}

#[test]
fn a_share_in_hundredths_is_of_threads_and_queue_together() {
    let (gate, door) = gate();
    let location = Location::new("/", blocking("p", at_gate(&door))).share(Share::Percent(50));
    let server = Fixture::start(server(1).pool(pool(2, 5)).route(location));
    let _inside: Vec<_> = (0..3).map(|_| sent(&server, "/", &[])).collect();
    wait_in_flight(&server, 3);
    refused(&server.get("/"), 503, "share");
    gate.open();
}

#[test]
fn a_call_that_hangs_keeps_its_place_after_its_504_until_the_library_returns() {
    for loops in LOOPS {
        let (server, gate) = shared(loops);
        // Two run and hang, one waits: its place is free as soon as it is answered.
        let soon = [("X-Request-Timeout", "0.15")];
        let mut clients: Vec<_> = (0..3).map(|_| sent(&server, "/a", &soon)).collect();
        gate.wait_for(2);
        for client in &mut clients {
            assert_eq!(client.read_response("GET").status, 504);
        }
        assert_eq!(stats(&server, "p").in_flight, 2);
        let waits = sent(&server, "/a", &[]);
        wait_in_flight(&server, 3);
        refused(&server.get("/a"), 503, "share");
        drop(waits);
        gate.open();
        wait_in_flight(&server, 0);
        let mut clients: Vec<_> = (0..3).map(|_| sent(&server, "/a", &[])).collect();
        for client in &mut clients {
            assert_eq!(client.read_response("GET").status, 200);
        }
    }
}

#[test]
fn a_client_that_leaves_while_it_waits_gives_its_place_back() {
    let (server, gate) = shared(1);
    let mut running = [sent(&server, "/b", &[]), sent(&server, "/b", &[])];
    gate.wait_for(2);
    for _ in 0..10 {
        let waiting: Vec<_> = (0..3).map(|_| sent(&server, "/a", &[])).collect();
        wait_in_flight(&server, 5);
        refused(&server.get("/a"), 503, "share");
        drop(waiting);
        wait_in_flight(&server, 2);
    }
    gate.open();
    for client in &mut running {
        assert_eq!(client.read_response("GET").status, 200);
    }
    assert_eq!(server.get("/a").status, 200);
}

#[test]
fn a_call_that_the_pool_refuses_gives_its_place_back() {
    let (gate, door) = gate();
    let quick = blocking("p", |_: Request| Ok(Response::text("quick")));
    let server = server(1)
        .pool(pool(1, 0))
        .location("/held", blocking("p", at_gate(&door)))
        .route(
            Location::new("/one", quick)
                .share(Share::Calls(1))
                .max_per_client(1),
        );
    let server = Fixture::start(server);
    let mut held = sent(&server, "/held", &[]);
    gate.wait_for(1);
    for _ in 0..5 {
        refused(&server.get("/one"), 503, "pool");
    }
    gate.open();
    assert_eq!(held.read_response("GET").status, 200);
    wait_in_flight(&server, 0);
    assert_eq!(server.get("/one").status, 200);
}

#[test]
fn a_call_that_panics_gives_its_place_back_before_it_is_answered() {
    let panics = blocking_with("p", |_, call: &CallContext| match call.param("what") {
        Some("panic") => panic!("a library's"),
        _ => Ok(Response::text("fine")),
    });
    let location = Location::new("/{what}", panics);
    let location = location.share(Share::Calls(1)).max_per_client(1);
    let server = Fixture::start(server(1).pool(pool(1, 8)).route(location));
    let mut client = server.connect();
    for _ in 0..10 {
        for (target, status) in [("/panic", 500), ("/x", 200)] {
            client.send_request("GET", target, &[], b"");
            assert_eq!(client.read_response("GET").status, status);
        }
    }
}

#[test]
fn one_client_does_not_take_a_location_from_the_others() {
    for loops in LOOPS {
        let (gate, door) = gate();
        let location = Location::new("/", blocking("p", at_gate(&door)))
            .max_per_client(2)
            .client_key(ClientKey::Header("x-api-key".parse().expect("a name")));
        let server = Fixture::start(server(loops).pool(pool(2, 20)).route(location));
        let one = [("X-Api-Key", "one")];
        let mut inside: Vec<_> = (0..2).map(|_| sent(&server, "/", &one)).collect();
        wait_in_flight(&server, 2);
        for _ in 0..5 {
            refused(&server.request("GET", "/", &one, b""), 429, "2 calls");
        }
        let other = [("X-Api-Key", "other")];
        inside.extend((0..2).map(|_| sent(&server, "/", &other)));
        // Without a key it is their address that counts.
        inside.extend((0..2).map(|_| sent(&server, "/", &[])));
        wait_in_flight(&server, 6);
        refused(&server.get("/"), 429, "a client");
        assert_eq!(stats(&server, "p").submitted, 6);
        gate.open();
        for client in &mut inside {
            assert_eq!(client.read_response("GET").status, 200);
        }
        assert_eq!(server.request("GET", "/", &one, b"").status, 200);
    }
}

/// Completes at the gate, on a thread of the library's own.
struct Later(Arc<Gate>);

impl CallbackAdapter for Later {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        let gate = Arc::clone(&self.0);
        std::thread::spawn(move || {
            gate.pass();
            completer.complete(Ok(Response::text("late")));
        });
    }
}

/// Fills a location of whichever kind with two calls that hang, whose client leaves; `gives_back` as
/// long as they hang, or only when they have returned.
fn hang_and_leave(mount: impl Mount, gate: &Gate, gives_back: bool) {
    let location = Location::new("/", mount)
        .max_per_client(2)
        .deadline(Duration::from_millis(150));
    let server = server(1).pool(pool(2, 8)).route(location);
    let server = Fixture::start(server);
    let mut answered = sent(&server, "/", &[]);
    let leaves = sent(&server, "/", &[]);
    if !gives_back {
        gate.wait_for(2);
    }
    assert_eq!(answered.read_response("GET").status, 504);
    drop(leaves);
    eventually("one connection is left", || {
        server.running().connections() == 1
    });
    if gives_back {
        let timed_out = server.get("/");
        assert_eq!(timed_out.status, 504);
    } else {
        refused(&server.get("/"), 429, "a client");
    }
    gate.open();
    eventually_some("it is answered again", || {
        let status = server.get("/").status;
        assert!([200, 429, 504].contains(&status), "{status}");
        (status != 429).then_some(())
    });
}

#[test]
fn a_place_is_held_as_long_as_the_foreign_code_has_the_call() {
    let (pooled, door) = gate();
    hang_and_leave(blocking("p", at_gate(&door)), &pooled, false);
    let (calling_back, door) = gate();
    hang_and_leave(callback(Later(door)), &calling_back, false);
    // What runs on the loop ends with its request.
    let (unused, _) = gate();
    let waits = handler(|_, _| async {
        pontoon::event_loop::sleep(LONG).await;
        Ok(Response::text("at last"))
    });
    hang_and_leave(waits, &unused, true);
}
