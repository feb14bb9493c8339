//! What happens to a client that keeps the server waiting, and to one too many.

use std::time::{Duration, Instant};

use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;
use pontoon_tests::wait::eventually;

const ECHO: &str = "
    [pool.p]
    threads = 1
    [[location]]
    path = '/'
    adapter = 'echo'
    pool = 'p'
";

fn serve(settings: &str) -> Fixture {
    Fixture::from_toml(&format!("{settings}\n{ECHO}"))
}

#[test]
fn a_head_that_does_not_come_in_time_is_408() {
    let server = serve("header_timeout = '150ms'");
    let mut connection = server.connect();
    connection.send(b"GET / HTTP/1.1\r\nHo");
    let response = connection.read_response("GET");
    assert!(problem(&response, 408).contains("head"));
    assert!(response.closes());
    assert_eq!(connection.read_to_end(), b"");
}

#[test]
fn a_trickle_of_bytes_does_not_buy_more_time_for_a_head() {
    let server = serve("header_timeout = '150ms'");
    let mut connection = server.connect();
    connection.send(b"GET / HTTP/1.1\r\nX: ");
    connection
        .socket()
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut byte = [0];
    // Each look takes 20 ms and is followed by a byte more.
    eventually("an answer", || {
        connection.send(b"a");
        connection.socket().peek(&mut byte).is_ok()
    });
    problem(&connection.read_response("GET"), 408);
}

#[test]
fn a_body_that_does_not_come_in_time_is_408() {
    let server = serve("request_timeout = '150ms'");
    let mut connection = server.connect();
    connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let response = connection.read_response("POST");
    assert!(problem(&response, 408).contains("body"));
    assert!(response.closes(), "{response:?}");
    assert_eq!(connection.read_to_end(), b"");
}

#[test]
fn a_client_that_ends_in_the_middle_of_its_request_gets_no_response_and_frees_its_place() {
    let server = serve("");
    for part in [
        "GET / HT",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    ] {
        let mut connection = server.connect();
        connection.send(part.as_bytes());
        connection.end_sending();
        let rest = connection.read_to_end();
        let rest = String::from_utf8_lossy(&rest);
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 400 "),
            "{rest}"
        );
    }
    eventually("no connection is left", || {
        server.running().connections() == 0
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = serve("keep_alive = '150ms'");
    let begin = Instant::now();
    let mut connection = server.connect();
    connection.send_request("GET", "/", &[], b"");
    assert_eq!(connection.read_response("GET").status, 200);
    assert_eq!(connection.read_to_end(), b"");
    assert!(begin.elapsed() >= Duration::from_millis(150));
    assert_eq!(
        server.connect().read_to_end(),
        b"",
        "nor one that says nothing"
    );
}

#[test]
fn a_response_to_a_client_that_does_not_read_is_cut() {
    let large = 32 << 20;
    let server = pontoon::Server::new()
        .configure(|config| config.send_timeout = Duration::from_millis(150))
        .location(
            "/large",
            pontoon::handler(
                move |_, _| async move { Ok(pontoon::Response::text("x".repeat(large))) },
            ),
        );
    let server = Fixture::start(server);
    let mut connection = server.connect();
    connection.send_request("GET", "/large", &[], b"");
    eventually("it was accepted", || server.running().connections() == 1);
    eventually("it was cut", || server.running().connections() == 0);
    assert!(connection.read_to_end().len() < large);
    // One that reads gets all of it.
    assert_eq!(server.get("/large").body.len(), large);
}

#[test]
fn a_connection_too_many_is_told_503_and_a_place_comes_free() {
    let server = serve("max_connections = 1");
    let mut first = server.connect();
    first.send_request("GET", "/", &[], b"");
    assert_eq!(first.read_response("GET").status, 200);
    let mut second = server.connect();
    let response = second.read_response("GET");
    assert!(problem(&response, 503).contains("connections"));
    let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1 && response.closes());
    first.send_request("GET", "/", &[], b"");
    assert_eq!(
        first.read_response("GET").status,
        200,
        "others are not disturbed"
    );
    drop(first);
    eventually("the place is free", || server.get("/").status == 200);
}
