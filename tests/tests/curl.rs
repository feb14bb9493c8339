//! A server of ours in front of another one, over real sockets.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::net::SocketAddr;
use std::thread;

use pontoon::Server;
use pontoon::adapters::registry::Registry;
use pontoon::config::Config;
use pontoon_tests::documented;
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;

const UPSTREAM: &str = "
[pool.u]
threads = 4
[[location]]
path = '/echo/{*rest}'
adapter = 'echo'
pool = 'u'
[[location]]
path = '/hang'
adapter = 'sleep'
pool = 'u'
duration = '10min'
deadline = '10min'
interruptible = true
";

/// The server in front; `url` and `rest` are its location's on `/{*path}`.
fn front(upstream: SocketAddr, url: &str, rest: &str) -> Fixture {
    Fixture::from_toml(&format!(
        "[pool.c]\nthreads = 8\nmax_queue = 2000\ncodel_target = 'off'\n[[location]]\n\
         path = '/{{*path}}'\nadapter = 'curl'\npool = 'c'\n\
         url = 'http://{upstream}{url}'\n{rest}\n"
    ))
}

#[test]
fn requests_and_answers_pass_through_both() {
    let upstream = Fixture::from_toml(UPSTREAM);
    let server = front(upstream.address(), "/echo/{*path}", "pass_query = true");
    assert_eq!(
        server.get("/a/b%20c?d=%20e").text(),
        "GET /echo/a/b%20c?d=%20e\n"
    );
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let response = server.request("PUT", "/x", &[("Content-Type", "image/x")], &body);
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some("image/x"))
    );
    assert!(response.body == body);
    problem(&server.get("/a/%2e%2e/b"), 400);
    let mut connection = server.connect();
    connection.send_request("HEAD", "/h", &[], b"");
    let head = connection.read_response("HEAD");
    assert_eq!(head.header("content-length"), Some("13"));
    connection.send_request("GET", "/next", &[], b"");
    assert_eq!(connection.read_response("GET").text(), "GET /echo/next\n");
}

#[test]
fn an_error_of_the_upstream_is_the_upstreams() {
    let upstream = Fixture::from_toml(UPSTREAM);
    let server = front(upstream.address(), "/none/{*path}", "");
    let detail = problem(&server.get("/x"), 404);
    assert_eq!(detail, "nothing is mounted on `/none/x`");
}

#[test]
fn at_the_deadline_the_client_has_a_504_and_the_upstream_nothing_more_to_do() {
    let upstream = Fixture::from_toml(UPSTREAM);
    let server = front(upstream.address(), "/hang", "deadline = '100ms'");
    problem(&server.get("/x"), 504);
    eventually("the upstream's call is over", || {
        upstream.running().pool_stats("u").unwrap().in_flight == 0
    });
    eventually("the worker is free", || {
        server.running().pool_stats("c").unwrap().in_flight == 0
    });
}

#[test]
fn a_client_that_leaves_takes_the_upstreams_work_along() {
    let upstream = Fixture::from_toml(UPSTREAM);
    let server = front(upstream.address(), "/hang", "deadline = '10min'");
    let mut client = server.connect();
    client.send_request("GET", "/x", &[], b"");
    let at_work = || upstream.running().pool_stats("u").unwrap().in_flight;
    eventually("the upstream is asked", || at_work() == 1);
    drop(client);
    eventually("the upstream's call is over", || at_work() == 0);
    eventually("the worker is free", || {
        server.running().pool_stats("c").unwrap().in_flight == 0
    });
}

#[test]
fn an_upstream_that_is_down_is_a_502_and_works_again_once_it_is_back() {
    let upstream = Fixture::from_toml(UPSTREAM);
    let address = upstream.address();
    let server = front(address, "/echo/{*path}", "");
    assert_eq!(server.get("/a").status, 200);
    let _ = upstream.stop();
    problem(&server.get("/a"), 502);
    // On the same port: the listener is told where to be.
    let text = format!("listen = '{address}'\n{UPSTREAM}");
    let config = Config::parse(&text, "test.toml", &Registry::builtin()).unwrap();
    let upstream = Server::from_config(config).start().unwrap();
    assert_eq!(server.get("/a").text(), "GET /echo/a\n");
    let _ = upstream.stop();
}

#[test]
fn a_thousand_calls_share_eight_connections() {
    let upstream = Fixture::from_toml(UPSTREAM);
    let server = front(upstream.address(), "/echo/{*path}", "");
    thread::scope(|scope| {
        for client in 0..100 {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                for number in 0..10 {
                    connection.send_request("GET", &format!("/{client}/{number}"), &[], b"");
                    let expected = format!("GET /echo/{client}/{number}\n");
                    assert_eq!(connection.read_response("GET").text(), expected);
                }
            });
        }
    });
    assert!(upstream.running().connections() <= 8);
}

#[test]
fn the_documented_config_file_is_right() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = documented::config(include_str!("../../adapters/src/curl.rs"));
    documented::check(&text.replace("internal-ca.pem", file.path().to_str().unwrap()));
}
