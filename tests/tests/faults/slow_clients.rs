//! Clients that are slow, or say nothing: each pays alone.

use std::thread;
use std::time::{Duration, Instant};

use pontoon::{Error, Request, Response, blocking};
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;
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

/// Nobody sends or reads this much a second with a pause in between.
const FAST: usize = 1 << 30;

/// A server with limits on time that nothing here reaches, and these rates instead.
fn paced(min_body_rate: usize, min_send_rate: usize, send_timeout: Duration) -> Fixture {
    let server = server(1)
        .configure(|config| {
            config.request_timeout = PATIENCE * 2;
            config.min_body_rate = min_body_rate;
            config.body_grace = LIMIT;
            config.send_timeout = send_timeout;
            config.min_send_rate = min_send_rate;
        })
        .pool(pool(2, 64))
        .location("/echo", blocking("p", echo))
        .location("/large", blocking("p", large));
    Fixture::start(server)
}

#[test]
fn a_body_below_the_least_rate_is_a_408_that_says_so() {
    let server = paced(FAST, FAST, LIMIT);
    let began = Instant::now();
    let mut client = server.connect();
    client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n");
    dribble(&mut client);
    assert!(began.elapsed() >= LIMIT, "the grace was cut short");
    let response = client.read_response("POST");
    let detail = problem(&response, 408);
    assert!(detail.contains("1073741824 bytes per second"), "{detail}");
    assert!(response.closes());
    client.read_to_end();
    drop(client);
    assert_eq!(stats(&server, "p").submitted, 0);
    wait_disconnected(&server);
}

#[test]
fn a_body_may_come_slowly_if_it_keeps_the_rate_or_there_is_none() {
    for min_body_rate in [1, 0] {
        let server = paced(min_body_rate, FAST, LIMIT);
        let mut client = server.connect();
        // So much at first that a byte a second is kept for a day; then beyond the grace.
        let mut sent = "x".repeat(100_000);
        let head = "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}186a0\r\n{sent}\r\n").as_bytes());
        let until = Instant::now() + LIMIT * 2;
        while Instant::now() < until {
            client.send(b"8\r\n12345678\r\n");
            sent.push_str("12345678");
            thread::sleep(Duration::from_millis(10));
        }
        client.send(b"0\r\n\r\n");
        let response = client.read_response("POST");
        assert_eq!((response.status, response.text()), (200, sent));
    }
}

/// Reads the large response with a pause after each part; how much of it came.
fn read_with_pauses(server: &Fixture) -> usize {
    use std::io::Read;
    let mut client = server.connect();
    client.send_request("GET", "/large", &[], b"");
    let mut socket = client.socket();
    let mut buffer = vec![0; 1 << 20];
    let mut seen = 0;
    while seen < LARGE {
        match socket.read(&mut buffer) {
            Ok(read) if read > 0 => seen += read,
            // Cut, in order or by a reset.
            _ => break,
        }
        thread::sleep(Duration::from_millis(50));
    }
    seen
}

#[test]
fn a_client_that_reads_below_the_least_rate_is_cut_although_it_always_reads() {
    let server = paced(FAST, FAST, LIMIT);
    let seen = read_with_pauses(&server);
    assert!(seen < LARGE, "it got all of {seen} bytes");
    wait_disconnected(&server);
    echo_some(&server);
}

#[test]
fn a_client_that_keeps_the_least_rate_or_finds_none_reads_as_long_as_it_likes() {
    for min_send_rate in [1, 0] {
        // Longer than the pauses of a busy machine, shorter than the reading takes.
        let server = paced(FAST, min_send_rate, LIMIT * 3);
        assert!(read_with_pauses(&server) >= LARGE);
    }
}
