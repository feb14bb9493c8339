//! A full queue is an answer, not a wait.

use std::io::Read;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pontoon::{CallContext, CallbackAdapter, Request, Response, ResponseCompleter, callback};
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{Gate, OpensAtLast};

use crate::{LOOPS, gated, server, stats, wait_in_flight};

/// What "at once" is on a busy machine; the gate is closed meanwhile, so a wait would be endless.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn a_full_queue_is_answered_503_at_once_and_what_was_let_in_is_answered_later() {
    for loops in LOOPS {
        let (server, gate) = gated(loops, 2, 3);
        let _opens = OpensAtLast(Arc::clone(&gate));
        let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send_request("GET", "/gate", &[], b"");
        }
        wait_in_flight(&server, 5);
        for _ in 0..20 {
            let began = Instant::now();
            let refused = server.get("/gate");
            assert!(began.elapsed() < AT_ONCE);
            assert_eq!(refused.status, 503);
            let retry = refused.header("retry-after").expect("says when to retry");
            assert!(retry.parse::<u64>().expect("seconds") >= 1);
        }
        assert_eq!(stats(&server, "p").in_flight, 5, "nothing more was queued");
        gate.open();
        for client in &mut clients {
            assert_eq!(client.read_response("GET").status, 200);
        }
        let stats = stats(&server, "p");
        assert_eq!((stats.submitted, stats.refused), (5, 20));
        assert_eq!((stats.completed, gate.came()), (5, 5));
    }
}

#[test]
fn a_503_keeps_the_connection() {
    let (server, gate) = gated(1, 1, 0);
    let _opens = OpensAtLast(Arc::clone(&gate));
    let mut running = server.connect();
    running.send_request("GET", "/gate", &[], b"");
    gate.wait_for(1);
    let mut client = server.connect();
    for _ in 0..3 {
        client.send_request("GET", "/gate", &[], b"");
        assert_eq!(client.read_response("GET").status, 503);
    }
    gate.open();
    assert_eq!(running.read_response("GET").status, 200);
    client.send_request("GET", "/gate", &[], b"");
    assert_eq!(client.read_response("GET").status, 200);
}

#[test]
fn the_bound_is_exact_when_many_clients_come_at_once() {
    const CLIENTS: usize = 64;
    const INSIDE: usize = 4 + 6;
    for loops in LOOPS {
        let (server, gate) = gated(loops, 4, 6);
        let _opens = OpensAtLast(Arc::clone(&gate));
        for round in 1..=5 {
            gate.close();
            let start = Barrier::new(CLIENTS);
            let (refused, refusals) = mpsc::channel();
            let answered: usize = thread::scope(|scope| {
                let client = || {
                    let mut connection = server.connect();
                    start.wait();
                    connection.send_request("GET", "/gate", &[], b"");
                    let status = connection.read_response("GET").status;
                    if status == 503 {
                        let _ = refused.send(());
                    }
                    usize::from(status == 200)
                };
                let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
                for _ in 0..CLIENTS - INSIDE {
                    refusals
                        .recv_timeout(pontoon_tests::PATIENCE)
                        .expect("refused");
                }
                assert_eq!(stats(&server, "p").in_flight, INSIDE);
                gate.open();
                clients
                    .into_iter()
                    .map(|client| client.join().expect("no panic"))
                    .sum()
            });
            assert_eq!(answered, INSIDE);
            assert_eq!(gate.came(), INSIDE * round);
        }
        assert_eq!(gate.inside_max(), 4, "never more calls than threads");
    }
}

/// Holds its loop up at the gate: what no adapter may do, so that a test can.
struct Blocks(Arc<Gate>);

impl CallbackAdapter for Blocks {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        self.0.pass();
        completer.complete(Ok(Response::text("at last")));
    }
}

#[test]
fn a_client_beyond_the_connection_limit_reads_its_503_although_it_has_sent_a_request() {
    let gate = Arc::new(Gate::default());
    let _opens = OpensAtLast(Arc::clone(&gate));
    let server = server(1)
        .configure(|config| config.max_connections = 1)
        .location("/blocks", callback(Blocks(Arc::clone(&gate))));
    let server = Fixture::start(server);
    let mut inside = server.connect();
    inside.send_request("GET", "/blocks", &[], b"");
    gate.wait_for(1);
    // It has sent everything before the server has looked at it.
    let mut beyond = server.connect();
    beyond.send_request("POST", "/blocks", &[], &[b'x'; 10_000]);
    gate.open();
    assert_eq!(inside.read_response("GET").text(), "at last");
    let refused = beyond.read_response("POST");
    assert_eq!(refused.status, 503);
    assert!(refused.closes());
    // A reset instead would take the response with it on many systems.
    let end = beyond.socket().read(&mut [0]);
    assert_eq!(end.expect("an orderly end"), 0);
}
