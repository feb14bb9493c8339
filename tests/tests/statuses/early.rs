//! Answers that are given before the request's body was read.

use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;

const SERVER: &str = "[pool.p]\nthreads = 1\n\
    [[location]]\npath = '/echo'\nmethods = ['POST']\nadapter = 'echo'\npool = 'p'\nmax_body = 8\n";

/// Many chunks in one packet, all of it read before the answer is known.
fn many_chunks(request_line: &str) -> String {
    let chunks = "5\r\nhello\r\n".repeat(20);
    format!(
        "{request_line} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    )
}

#[test]
fn an_answer_before_the_body_was_read_is_sent_and_says_that_the_connection_closes() {
    let server = Fixture::from_toml(SERVER);
    for (request_line, status) in [
        ("POST /nosuch", 404),
        ("PUT /echo", 405),
        ("POST /echo", 413),
    ] {
        let mut connection = server.connect();
        connection.send(many_chunks(request_line).as_bytes());
        let response = connection.read_response("POST");
        problem(&response, status);
        assert!(response.closes(), "{request_line}");
        assert_eq!(connection.read_to_end(), b"", "{request_line}");
    }
}

#[test]
fn a_body_that_was_read_to_its_end_keeps_the_connection() {
    let server = Fixture::from_toml(SERVER);
    let mut connection = server.connect();
    for _ in 0..3 {
        connection.send(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
        );
        let response = connection.read_response("POST");
        assert_eq!((response.status, response.text().as_str()), (200, "abcd"));
        assert!(!response.closes());
    }
}
