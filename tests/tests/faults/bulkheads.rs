//! One library hangs; the others do not notice.

use std::time::{Duration, Instant};

use pontoon::{CallContext, CallbackAdapter, Request, ResponseCompleter};
use pontoon::{Location, Server, blocking, callback, handler};
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{Gate, OpensAtLast};
use pontoon_tests::process::report;
use std::sync::{Arc, Mutex};

use crate::{LOOPS, at_gate, gated, pool, server, stats, wait_disconnected, wait_in_flight};

/// Requests to the healthy location, over one connection; gives them per second.
fn echo_many(server: &Fixture, count: usize) -> f64 {
    let mut client = server.connect();
    let began = Instant::now();
    for number in 0..count {
        let body = format!("echo {number}");
        client.send_request("POST", "/echo", &[], body.as_bytes());
        let response = client.read_response("POST");
        assert_eq!((response.status, response.text()), (200, body));
    }
    count as f64 / began.elapsed().as_secs_f64()
}

fn ask_many(server: &Fixture, target: &str, count: usize) -> Vec<Connection> {
    let ask = |_| {
        let mut client = server.connect();
        client.send_request("GET", target, &[], b"");
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn clients_hung_on_one_pool_do_not_slow_another() {
    const REQUESTS: usize = 1000;
    for loops in LOOPS {
        let (server, gate) = gated(loops, 4, 1000);
        let _opens = OpensAtLast(Arc::clone(&gate));
        let before = echo_many(&server, REQUESTS);
        let mut hung = Vec::new();
        for count in [64, 256, 1000] {
            hung.extend(ask_many(&server, "/gate", count - hung.len()));
            wait_in_flight(&server, count);
            let now = echo_many(&server, REQUESTS);
            report(&format!(
                "{loops} loops, {count} clients hung: {now:.0} requests/s on the other pool ({before:.0} without)"
            ));
        }
        assert_eq!(stats(&server, "p").completed, 0);
        assert_eq!(stats(&server, "echo").completed as usize, 4 * REQUESTS);
        drop(hung);
        wait_in_flight(&server, 4);
        gate.open();
    }
}

#[test]
fn while_1000_slow_calls_are_pending_another_pool_is_answered() {
    let server = Fixture::from_toml(
        "[pool.p]\nthreads = 64\nmax_queue = 1000\ncodel_target = 'off'\n[pool.echo]\nthreads = 1\n\
         [[location]]\npath = \"/slow\"\nadapter = \"sleep\"\npool = \"p\"\nduration = \"100ms\"\n\
         [[location]]\npath = \"/echo\"\nadapter = \"echo\"\npool = \"echo\"\n",
    );
    let mut slow = ask_many(&server, "/slow", 1000);
    let mut client = server.connect();
    let mut answered_meanwhile = 0;
    while stats(&server, "p").in_flight > 0 {
        client.send_request("POST", "/echo", &[], b"quick");
        let response = client.read_response("POST");
        assert_eq!((response.status, response.text().as_str()), (200, "quick"));
        answered_meanwhile += usize::from(stats(&server, "p").in_flight > 0);
    }
    for client in &mut slow {
        assert_eq!(client.read_response("GET").text(), "slept 100 ms\n");
    }
    report(&format!(
        "{answered_meanwhile} requests were answered while slow calls were pending"
    ));
    assert!(answered_meanwhile >= 20, "{answered_meanwhile}");
    let stats = stats(&server, "p");
    assert_eq!(
        (stats.submitted, stats.completed, stats.late),
        (1000, 1000, 0)
    );
}

/// A library that never calls back.
#[derive(Default)]
struct Mute(Mutex<Vec<ResponseCompleter>>);

impl CallbackAdapter for Mute {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        self.0.lock().expect("no panic in here").push(completer);
    }
}

fn all_hang(loops: usize, gate: &Arc<Gate>) -> Server {
    let deadline = Duration::from_millis(200);
    let location = |path: &str, mount| Location::new(path, mount).deadline(deadline).max_running(2);
    server(loops)
        .pool(pool(1, 1))
        .route(Location::new("/pool", blocking("p", at_gate(gate))).deadline(deadline))
        .route(location("/callback", callback(Mute::default())))
        .route(location("/loop", handler(|_, _| std::future::pending())))
}

#[test]
fn with_every_library_hung_the_server_answers_on_time_and_stops_in_time() {
    for loops in LOOPS {
        let gate = Arc::new(Gate::default());
        let _opens = OpensAtLast(Arc::clone(&gate));
        let server = Fixture::start(all_hang(loops, &gate));
        for target in ["/pool", "/callback", "/loop"] {
            // As many as may be inside, one more, and then again after the deadline.
            for round in 0..2 {
                let mut clients = ask_many(&server, target, 3);
                let mut statuses: Vec<_> = clients
                    .iter_mut()
                    .map(|c| c.read_response("GET").status)
                    .collect();
                statuses.sort_unstable();
                let expected = match (target, round) {
                    // The worker is still taken, and so are the places of what never called back.
                    ("/pool", 1) => [503, 503, 504],
                    ("/callback", 1) => [503, 503, 503],
                    _ => [503, 504, 504],
                };
                assert_eq!(statuses, expected, "{target}, round {round}");
            }
        }
        wait_disconnected(&server);
        let began = Instant::now();
        let report = server.stop();
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(report.connections_cut, 0);
        let stuck: Vec<_> = report
            .stuck
            .iter()
            .map(|s| (s.pool.as_str(), s.still_running))
            .collect();
        assert_eq!(stuck, [("p", 1)]);
    }
}
