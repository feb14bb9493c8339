//! A pool whose threads all hang, and the others.

use std::time::{Duration, Instant};

use pontoon::{Error, Pool, PoolStats, Request, Response, Server, blocking};
use pontoon_tests::client::Connection;
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{OpensAtLast, gate};

const THREADS: usize = 4;
const REQUESTS: usize = 500;

/// A server whose calls to `/work?hang` wait at a gate, and whose `/other` has another pool.
fn server(stuck_after: Duration) -> (Fixture, OpensAtLast) {
    let (opens, gate) = gate();
    let work = move |request: Request| {
        if request.uri().query() == Some("hang") {
            gate.pass();
        }
        Ok::<_, Error>(Response::text("done"))
    };
    let server = Server::new()
        .pool(
            Pool::named("p")
                .threads(THREADS)
                .max_queue(2_000)
                .stuck_after(stuck_after)
                .max_stuck(THREADS),
        )
        .pool(Pool::named("other").threads(THREADS))
        .location("/work", blocking("p", work))
        .location(
            "/other",
            blocking("other", |_| Ok::<_, Error>(Response::text("done"))),
        );
    (Fixture::start(server), opens)
}

fn stats(server: &Fixture) -> PoolStats {
    server.running().pool_stats("p").expect("the pool")
}

fn hang(server: &Fixture, count: usize) -> Vec<Connection> {
    let ask = |_| {
        let mut client = server.connect();
        client.send_request("GET", "/work?hang", &[], b"");
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn with_all_its_threads_hung_a_pool_serves_again_as_often_as_it_has_spare_workers() {
    let (server, gate) = server(Duration::from_millis(100));
    let mut hung = hang(&server, THREADS);
    gate.wait_for(THREADS);
    // The gate is closed, so this one needs a spare worker.
    assert_eq!(server.get("/work").status, 200);
    eventually("all are seen to be stuck", || {
        stats(&server).stuck == THREADS
    });
    // As many spare workers as there were threads.
    let many: Vec<_> = (0..50).map(|_| server.get("/work").status).collect();
    assert_eq!(many, [200; 50]);
    hung.extend(self::hang(&server, THREADS));
    gate.wait_for(2 * THREADS);
    // Nobody is left to serve; it waits for the others like everybody.
    let mut waits = server.connect();
    waits.send_request("GET", "/work", &[], b"");
    eventually("it is inside", || {
        stats(&server).in_flight == 2 * THREADS + 1
    });
    gate.open();
    for client in hung.iter_mut().chain([&mut waits]) {
        assert_eq!(client.read_response("GET").status, 200);
    }
    eventually("nobody is stuck any more", || {
        let stats = stats(&server);
        (stats.stuck, stats.in_flight, stats.running) == (0, 0, 0)
    });
    assert!(stats(&server).sessions <= 2 * THREADS);
}

/// Seconds for many requests to the other pool, over one connection.
fn other(server: &Fixture) -> f64 {
    let mut client = server.connect();
    let began = Instant::now();
    for _ in 0..REQUESTS {
        client.send_request("GET", "/other", &[], b"");
        assert_eq!(client.read_response("GET").status, 200);
    }
    began.elapsed().as_secs_f64()
}

#[test]
fn while_a_thousand_clients_hang_another_pool_is_about_as_quick() {
    let (server, _opens) = server(Duration::from_secs(10));
    let _ = other(&server);
    // The best of a few: what else runs on the machine makes it only slower.
    let best = |server: &Fixture| (0..5).map(|_| other(server)).fold(f64::INFINITY, f64::min);
    let alone = best(&server);
    let hung = hang(&server, 1_000);
    eventually("all are inside", || stats(&server).in_flight == hung.len());
    let beside = best(&server);
    assert!(beside < 3.0 * alone, "{beside} s instead of {alone} s");
    assert_eq!(stats(&server).completed, 0);
}
