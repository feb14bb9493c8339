//! Clients that are slow, or say nothing: each pays alone.

use std::thread;
use std::time::{Duration, Instant};

use pontoon::{Error, Request, Response, blocking};
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::{PATIENCE, eventually};

use crate::{LOOPS, echo, pool, server, stats, wait_disconnected};

const LIMIT: Duration = Duration::from_millis(300);
/// Far more than the sockets of both ends buffer.
const LARGE: usize = 32 << 20;

#[allow(clippy::unnecessary_wraps)]
fn large(_: Request) -> Result<Response, Error> {
    Ok(Response::text("x".repeat(LARGE)))
}

fn impatient(loops: usize) -> Fixture {
    let server = server(loops)
        .configure(|config| {
            config.header_timeout = LIMIT;
            config.request_timeout = LIMIT;
            config.send_timeout = LIMIT;
            config.keep_alive = LIMIT;
        })
        .pool(pool(2, 64))
        .location("/echo", blocking("p", echo))
        .location("/large", blocking("p", large));
    Fixture::start(server)
}

/// Sends byte after byte until the server has had enough.
fn dribble(client: &mut Connection) {
    use std::io::Write;
    let until = Instant::now() + PATIENCE;
    client
        .socket()
        .set_nonblocking(true)
        .expect("an open socket");
    let mut peeked = [0];
    while client.socket().peek(&mut peeked).is_err() {
        assert!(Instant::now() < until, "the server waits for ever");
        let _ = client.socket().write(b"a");
        thread::sleep(Duration::from_millis(5));
    }
    client
        .socket()
        .set_nonblocking(false)
        .expect("an open socket");
}

/// A healthy client's requests, all answered.
fn echo_some(server: &Fixture) {
    let mut client = server.connect();
    for number in 0..20 {
        let body = number.to_string();
        client.send_request("POST", "/echo", &[], body.as_bytes());
        assert_eq!(client.read_response("POST").text(), body);
    }
}

#[test]
fn a_head_that_does_not_come_is_a_408_also_when_it_dribbles() {
    for loops in LOOPS {
        let server = impatient(loops);
        let began = Instant::now();
        let mut silent = server.connect();
        silent.send(b"GET /echo HTTP/1.1\r\nHost: t\r\n");
        let mut dribbler = server.connect();
        dribbler.send(b"GET /");
        dribble(&mut dribbler);
        echo_some(&server);
        for mut client in [silent, dribbler] {
            let response = client.read_response("GET");
            assert_eq!(response.status, 408);
            assert!(response.closes());
            assert_eq!(client.read_to_end(), b"");
        }
        assert!(began.elapsed() >= LIMIT);
        wait_disconnected(&server);
    }
}

#[test]
fn a_body_that_dribbles_is_a_408_and_nothing_is_called() {
    let server = impatient(1);
    let mut client = server.connect();
    client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n");
    dribble(&mut client);
    assert_eq!(client.read_response("POST").status, 408);
    client.read_to_end();
    drop(client);
    assert_eq!(stats(&server, "p").submitted, 0);
    echo_some(&server);
    wait_disconnected(&server);
}

#[test]
fn a_client_that_never_reads_its_response_is_cut_and_holds_no_worker() {
    let server = impatient(1);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.connect();
            client.send_request("GET", "/large", &[], b"");
            client
        })
        .collect();
    eventually("the library has answered", || {
        stats(&server, "p").completed == 8
    });
    assert_eq!(stats(&server, "p").in_flight, 0);
    echo_some(&server);
    wait_disconnected(&server);
    drop(clients);
}

#[test]
fn a_client_that_reads_slowly_gets_all_of_it() {
    use std::io::Read;
    let server = impatient(1);
    let mut client = server.connect();
    client.send_request("GET", "/large", &[], b"");
    // Slower than `send_timeout` in all, but never silent for so long.
    let mut seen = 0;
    let mut socket = client.socket();
    let mut buffer = vec![0; 1 << 20];
    while seen < LARGE {
        let read = socket.read(&mut buffer).expect("it goes on");
        assert!(read > 0, "cut after {seen} bytes");
        seen += read;
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let server = impatient(1);
    let mut silent = server.connect();
    let mut once = server.connect();
    once.send_request("POST", "/echo", &[], b"once");
    assert_eq!(once.read_response("POST").status, 200);
    assert_eq!(silent.read_to_end(), b"");
    assert_eq!(once.read_to_end(), b"");
    wait_disconnected(&server);
}
