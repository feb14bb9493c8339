//! Many connections and many requests: nothing grows that should not.
//!
//! The tests look at the whole process, so they run one after the other.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pontoon::{Error, Pool, Request, Response, Server, blocking};
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::process::{allow_descriptors, descriptors, report, resident_bytes, threads};
use pontoon_tests::{PATIENCE, eventually};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(clippy::unnecessary_wraps)]
fn echo(request: Request) -> Result<Response, Error> {
    Ok(Response::text(
        String::from_utf8_lossy(request.body()).into_owned(),
    ))
}

fn server(loops: usize, max_connections: usize) -> Fixture {
    let server = Server::new()
        .loops(loops)
        .configure(|config| {
            config.max_connections = max_connections;
            config.keep_alive = Duration::from_secs(600);
        })
        .pool(Pool::named("p").threads(4).max_queue(256))
        .location("/echo", blocking("p", echo));
    Fixture::start(server)
}

fn echoes(client: &mut Connection, body: &str) {
    client.send_request("POST", "/echo", &[], body.as_bytes());
    let response = client.read_response("POST");
    assert_eq!((response.status, response.text().as_str()), (200, body));
}

/// Threads and descriptors, to be the same before and after.
///
/// The first server of a process starts what is shared by all, so there must have been one.
fn usage() -> (usize, usize) {
    (threads(), descriptors())
}

fn warm_up() -> (usize, usize) {
    let server = server(1, 16);
    assert_eq!(server.get("/echo").status, 200);
    drop(server);
    settle()
}

/// What is used once everything that ends has ended.
fn settle() -> (usize, usize) {
    let mut last = usage();
    let mut same = 0;
    eventually("threads and descriptors settle", || {
        let now = usage();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 50
    });
    last
}

/// An idle client, as small as it can be: it has asked once, if `asks`.
fn idle_client(server: &Fixture, asks: bool) -> TcpStream {
    let mut socket = TcpStream::connect_timeout(&server.address(), PATIENCE).expect("a connection");
    if asks {
        socket.set_read_timeout(Some(PATIENCE)).expect("above zero");
        let request = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi";
        socket.write_all(request).expect("it is taken");
        let mut response = [0; 512];
        let read = socket.read(&mut response).expect("an answer");
        assert!(response[..read].starts_with(b"HTTP/1.1 200 "));
    }
    socket
}

fn many_idle_connections(loops: usize, wanted: usize, asks: bool) {
    const SPARE: usize = 500;
    // Generous: both ends are in this process.
    const BYTES_MAX: usize = 32 * 1024;
    let before = warm_up();
    // Each connection has two ends here.
    let allowed = allow_descriptors(2 * wanted + SPARE);
    let count = wanted.min((allowed - SPARE) / 2);
    if count < wanted {
        report(&format!(
            "the hard limit is {allowed} file descriptors: {count} connections instead of {wanted}"
        ));
    }
    let server = server(loops, count + 1);
    let mut client = server.connect();
    echoes(&mut client, "before");
    let (threads_before, bytes_before) = (threads(), resident_bytes());

    let mut idle = Vec::with_capacity(count);
    for _ in 0..count {
        idle.push(idle_client(&server, asks));
    }
    eventually("all are accepted", || {
        server.running().connections() == count + 1
    });
    let began = Instant::now();
    for number in 0..1000 {
        echoes(&mut client, &format!("meanwhile {number}"));
    }
    let per_request = began.elapsed() / 1000;
    assert_eq!(threads(), threads_before, "a connection needs no thread");
    let each = resident_bytes().saturating_sub(bytes_before) / count;
    let kind = if asks { "kept alive" } else { "never used" };
    report(&format!(
        "{loops} loops, {count} idle connections ({kind}): {each} bytes each with both ends, {per_request:?} a request meanwhile"
    ));
    assert!(each < BYTES_MAX, "{each} bytes for each idle connection");

    drop(idle);
    eventually("all have gone", || server.running().connections() == 1);
    echoes(&mut client, "after");
    drop(client);
    let report = server.stop();
    assert_eq!(report.connections_cut, 0);
    eventually("threads and descriptors are back", || usage() == before);
}

#[test]
fn ten_thousand_idle_connections_cost_memory_but_no_thread() {
    let _alone = alone();
    many_idle_connections(1, 10_000, false);
}

#[test]
fn connections_that_idle_after_a_request_cost_no_more_on_any_number_of_loops() {
    let _alone = alone();
    for loops in [1, 4] {
        many_idle_connections(loops, 4_000, true);
    }
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_there_is_room_again_afterwards() {
    let _alone = alone();
    let server = server(2, 50);
    let mut inside: Vec<_> = (0..50).map(|_| server.connect()).collect();
    eventually("all are accepted", || server.running().connections() == 50);
    for _ in 0..20 {
        let mut refused = server.connect();
        let response = refused.read_response("GET");
        assert_eq!(response.status, 503);
        assert!(response.header("retry-after").is_some());
        assert_eq!(refused.read_to_end(), b"");
    }
    for client in &mut inside {
        echoes(client, "still here");
    }
    drop(inside);
    eventually("all have gone", || server.running().connections() == 0);
    assert_eq!(server.get("/echo").status, 200);
}

#[test]
fn a_hundred_thousand_requests_leave_nothing_behind() {
    const CLIENTS: usize = 64;
    const EACH: usize = 100_000 / CLIENTS + 1;
    let _alone = alone();
    let before = warm_up();
    for loops in [1, 4] {
        let server = server(loops, 1000);
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| echoes(client, "warm"));
        let during = usage();
        let began = Instant::now();
        // One thread drives 8 connections, a request under way on each.
        thread::scope(|scope| {
            for (driver, clients) in clients.chunks_mut(8).enumerate() {
                scope.spawn(move || drive(clients, driver, EACH));
            }
        });
        let rate = (CLIENTS * EACH) as f64 / began.elapsed().as_secs_f64();
        report(&format!(
            "{loops} loops: {rate:.0} requests/s over {CLIENTS} connections"
        ));
        eventually("nothing has grown", || usage() == during);
        let stats = server.running().pool_stats("p").expect("the pool");
        let expected = (CLIENTS * (EACH + 1)) as u64;
        assert_eq!((stats.submitted, stats.completed), (expected, expected));
        assert_eq!(stats.in_flight, 0);
        assert_eq!(
            (stats.refused, stats.cancelled, stats.late, stats.panicked),
            (0, 0, 0, 0)
        );
        assert!(stats.sessions_opened <= 4);
        drop(clients);
        let _ = server.stop();
        eventually("threads and descriptors are back", || usage() == before);
    }
}

fn drive(clients: &mut [Connection], driver: usize, each: usize) {
    for number in 0..each {
        let body = |client: usize| format!("{driver}/{client}/{number}");
        for (index, client) in clients.iter_mut().enumerate() {
            client.send_request("POST", "/echo", &[], body(index).as_bytes());
        }
        for (index, client) in clients.iter_mut().enumerate() {
            let response = client.read_response("POST");
            assert_eq!((response.status, response.text()), (200, body(index)));
        }
    }
}

#[test]
fn connections_spread_over_the_loops_also_when_they_come_at_once() {
    let _alone = alone();
    // What runs on a loop can tell which one it is by its thread.
    let whoami = |_: Request, _: pontoon::CallContext| async {
        let name = thread::current().name().unwrap_or("?").to_owned();
        Ok::<_, Error>(Response::text(name))
    };
    let server = Server::new()
        .loops(4)
        .location("/whoami", pontoon::handler(whoami));
    let server = Fixture::start(server);
    let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
    let mut counts = std::collections::BTreeMap::new();
    for client in &mut clients {
        client.send_request("GET", "/whoami", &[], b"");
        *counts
            .entry(client.read_response("GET").text())
            .or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 4, "{counts:?}");
    // The loop that accepts counts the listener as one of its own.
    assert!(
        counts.values().all(|count| (9..=11).contains(count)),
        "{counts:?}"
    );
}
