//! A stop cuts nothing that has begun, and ends on time whatever hangs.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pontoon::{Adapter, CallContext, Error, Request, Response, Server, blocking, on_pool};
use pontoon_bridge::Pool;
use pontoon_tests::client::Connection;
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{Gate, OpensAtLast};

use crate::{Count, LOOPS, at_gate, gated, pool, server, wait_in_flight};

/// Generous bound for what should take no time on an idle machine.
const QUICKLY: Duration = Duration::from_secs(3);

fn ask(server: &Fixture, target: &str) -> Connection {
    let mut client = server.connect();
    client.send_request("GET", target, &[], b"");
    client
}

/// One request by a client that lives through stops: whether it was answered.
///
/// A connection may be closed, or refused, before the first byte; a response that began must be
/// whole, which the reader insists on.
fn answered(client: &mut Connection, body: &str) -> bool {
    client.send_request("POST", "/echo", &[], body.as_bytes());
    let mut first = [0];
    match client.socket().peek(&mut first) {
        Ok(0) => return false,
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
        Err(error) => panic!("no answer: {error}"),
    }
    let response = client.read_response("POST");
    assert_eq!((response.status, response.text().as_str()), (200, body));
    true
}

/// Clients in closed loops, each on one connection, until it is closed.
fn under_load(loops: usize, clients: usize) -> (usize, usize) {
    let ran = Arc::new(Count::default());
    let run = Arc::clone(&ran);
    let server: Server = server(loops).pool(pool(4, 256)).location(
        "/echo",
        blocking("p", move |request| {
            run.add();
            crate::echo(request)
        }),
    );
    let server = Fixture::start(server);
    let address = server.address();
    let answers = Count::default();
    let report = thread::scope(|scope| {
        for number in 0..clients {
            let answers = &answers;
            // Not on its thread, which may have no turn before the stop.
            let mut client = Connection::open(address);
            scope.spawn(move || {
                while answered(&mut client, &format!("client {number}")) {
                    answers.add();
                }
            });
        }
        eventually("the load is on", || answers.get() > 50 * clients);
        server.stop()
    });
    assert_eq!((report.connections_cut, report.stuck.len()), (0, 0));
    (ran.get(), answers.get())
}

#[test]
fn every_request_that_was_run_is_answered_whole_when_the_server_stops_under_load() {
    for loops in LOOPS {
        for _ in 0..5 {
            let (ran, answered) = under_load(loops, 16);
            assert_eq!(ran, answered, "{loops} loops");
        }
    }
}

#[test]
fn connections_that_wait_to_be_accepted_are_answered_when_the_server_stops() {
    const CLIENTS: usize = 200;
    for loops in LOOPS {
        for _ in 0..5 {
            let server = server(loops)
                .pool(pool(4, 256))
                .location("/echo", blocking("p", crate::echo));
            let server = Fixture::start(server);
            let mut clients: Vec<_> = (0..CLIENTS).map(|_| ask(&server, "/echo")).collect();
            let stopped = thread::scope(|scope| {
                let stop = scope.spawn(|| server.stop());
                for (number, client) in clients.iter_mut().enumerate() {
                    let response = client.try_read_response("GET");
                    let status = response.map(|response| response.status);
                    assert_eq!(status, Some(200), "client {number}, {loops} loops");
                }
                drop(std::mem::take(&mut clients));
                stop.join().expect("no panic")
            });
            assert_eq!(stopped.connections_cut, 0);
        }
    }
}

#[test]
fn a_stop_with_idle_connections_is_quick() {
    for loops in LOOPS {
        let (server, _gate) = gated(loops, 1, 1);
        let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
        for client in &mut clients[..25] {
            client.send_request("POST", "/echo", &[], b"once");
            assert_eq!(client.read_response("POST").status, 200);
        }
        let began = Instant::now();
        let report = server.stop();
        assert!(began.elapsed() < QUICKLY, "{:?}", began.elapsed());
        assert_eq!(report.connections_cut, 0);
        for mut client in clients {
            assert_eq!(client.read_to_end(), b"");
        }
    }
}

#[test]
fn what_runs_when_the_stop_begins_is_answered_and_says_that_it_is_the_last() {
    for loops in LOOPS {
        let (server, gate) = gated(loops, 1, 8);
        let _opens = OpensAtLast(Arc::clone(&gate));
        let mut clients: Vec<_> = (0..4).map(|_| ask(&server, "/gate")).collect();
        gate.wait_for(1);
        wait_in_flight(&server, 4);
        let address = server.address();
        let report = thread::scope(|scope| {
            let stop = scope.spawn(|| server.stop());
            // The listener is closed first: then the stop has begun.
            eventually("nobody listens", || {
                std::net::TcpStream::connect(address).is_err()
            });
            gate.open();
            for client in &mut clients {
                let response = client.read_response("GET");
                assert_eq!(response.status, 200);
                assert!(response.closes());
            }
            stop.join().expect("no panic")
        });
        assert_eq!((report.connections_cut, report.stuck.len()), (0, 0));
    }
}

#[test]
fn a_stop_with_hung_calls_ends_on_time_and_names_what_hangs() {
    for loops in LOOPS {
        let gate = Arc::new(Gate::default());
        let _opens = OpensAtLast(Arc::clone(&gate));
        let limit = Duration::from_millis(400);
        let server = Server::new()
            .loops(loops)
            .configure(|config| config.shutdown_timeout = limit)
            .pool(pool(3, 8))
            .pool(Pool::named("well").threads(2))
            .location("/gate", blocking("p", at_gate(&gate)))
            .location("/echo", blocking("well", crate::echo));
        let server = Fixture::start(server);
        // Two run, on three threads; the third runs as well; the fourth and fifth wait.
        let hung: Vec<_> = (0..5).map(|_| ask(&server, "/gate")).collect();
        gate.wait_for(3);
        wait_in_flight(&server, 5);
        assert_eq!(server.get("/echo").status, 200);

        let began = Instant::now();
        let report = server.stop();
        let took = began.elapsed();
        assert!(took >= limit && took < limit + QUICKLY, "{took:?}");
        assert_eq!(report.connections_cut, 5);
        let stuck: Vec<_> = report
            .stuck
            .iter()
            .map(|s| (s.pool.as_str(), s.still_running))
            .collect();
        assert_eq!(stuck, [("p", 3)]);
        for client in hung {
            let mut rest = Vec::new();
            // A reset or a clean end, and no byte before it.
            let _ = client.socket().read_to_end(&mut rest);
            assert_eq!(rest, b"");
        }
        gate.open();
        assert_eq!(gate.came(), 3, "what waited never ran");
    }
}

/// Takes leave of its session slowly.
struct LongGoodbye;

impl Adapter for LongGoodbye {
    type Session = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    fn call(&self, (): &mut (), _: Request, _: &CallContext) -> Result<Response, Error> {
        Ok(Response::text("well"))
    }

    fn close(&self, (): &mut ()) {
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_pool_whose_time_hung_calls_of_another_used_up_is_not_said_to_hang() {
    for loops in LOOPS {
        let gate = Arc::new(Gate::default());
        let _opens = OpensAtLast(Arc::clone(&gate));
        let server = Server::new()
            .loops(loops)
            .configure(|config| config.shutdown_timeout = Duration::from_millis(50))
            .pool(pool(1, 1))
            .pool(Pool::named("well").threads(1))
            .location("/gate", blocking("p", at_gate(&gate)))
            .location("/well", on_pool("well", LongGoodbye));
        let server = Fixture::start(server);
        let _hung = ask(&server, "/gate");
        gate.wait_for(1);
        assert_eq!(server.get("/well").status, 200);
        let report = server.stop();
        let stuck: Vec<_> = report.stuck.iter().map(|one| one.pool.as_str()).collect();
        assert_eq!(stuck, ["p"]);
    }
}

#[test]
fn a_response_that_is_under_way_is_sent_whole_although_the_server_stops() {
    const LARGE: usize = 8 << 20;
    let large = |_| Ok(pontoon::Response::text("x".repeat(LARGE)));
    let server = server(1)
        .pool(pool(1, 1))
        .location("/large", blocking("p", large));
    let server = Fixture::start(server);
    let mut client = ask(&server, "/large");
    let mut first = [0];
    client.socket().peek(&mut first).expect("it begins");
    thread::scope(|scope| {
        let stop = scope.spawn(|| server.stop());
        let address = client.socket().peer_addr().expect("connected");
        eventually("nobody listens", || {
            std::net::TcpStream::connect(address).is_err()
        });
        assert_eq!(client.read_response("GET").body.len(), LARGE);
        drop(client);
        assert_eq!(stop.join().expect("no panic").connections_cut, 0);
    });
}

#[test]
fn after_a_stop_nothing_of_the_server_is_left() {
    for loops in LOOPS {
        let (server, gate) = gated(loops, 2, 2);
        gate.open();
        assert_eq!(server.get("/gate").status, 200);
        let _ = server.stop();
        // The location owns the library, and goes with the last thread that knows of it.
        eventually("the library is dropped", || Arc::strong_count(&gate) == 1);
    }
}
