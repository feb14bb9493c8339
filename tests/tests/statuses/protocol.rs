//! What is refused before a call is made.

use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;

const SERVER: &str = "
    max_body = 10
    [pool.p]
    threads = 1
    [[location]]
    path = '/only'
    methods = ['GET', 'PUT']
    adapter = 'echo'
    pool = 'p'
    [[location]]
    path = '/any/{id}'
    adapter = 'echo'
    pool = 'p'
";

fn serve() -> Fixture {
    Fixture::from_toml(SERVER)
}

/// Sends a request that is refused before it is whole; the server closes after its answer.
fn refused(
    server: &Fixture,
    request: &str,
    status: u16,
) -> (pontoon_tests::client::Response, String) {
    let mut connection = server.connect();
    connection.send(request.as_bytes());
    let response = connection.read_response("GET");
    let detail = problem(&response, status);
    assert!(response.closes(), "{response:?}");
    assert_eq!(
        connection.read_to_end(),
        b"",
        "nothing comes after the close"
    );
    (response, detail)
}

#[test]
fn a_path_with_nothing_on_it_is_404_and_the_connection_stays() {
    let server = serve();
    let mut connection = server.connect();
    connection.send_request("GET", "/nothing/here?q", &[], b"");
    let response = connection.read_response("GET");
    assert_eq!(
        problem(&response, 404),
        "nothing is mounted on `/nothing/here`"
    );
    assert!(!response.closes());
    connection.send_request("GET", "/only", &[], b"");
    assert_eq!(connection.read_response("GET").status, 200);
}

#[test]
fn a_method_that_the_location_does_not_answer_is_405_with_those_that_it_does() {
    let server = serve();
    let response = server.request("DELETE", "/only", &[], b"");
    assert!(problem(&response, 405).contains("DELETE"));
    assert_eq!(response.header("allow"), Some("GET, PUT, HEAD"));
    assert_eq!(server.request("HEAD", "/only", &[], b"").status, 200);
}

#[test]
fn the_body_of_a_refused_request_is_never_taken_for_the_next_request() {
    let server = serve();
    for length in [10, 200_000] {
        let mut connection = server.connect();
        let body = b"GET /only HTTP/1.1\r\nHost: a\r\n\r\n".repeat(length / 10);
        connection.send_request("POST", "/only", &[], &body);
        let first = connection.read_response("POST");
        assert!(matches!(first.status, 405), "{first:?}");
        connection.send_request("GET", "/any/2", &[], b"");
        match connection.try_read_response("GET") {
            Some(next) => assert_eq!(next.text(), "GET /any/2\n"),
            None => assert!(first.closes(), "closed without a word: {first:?}"),
        }
    }
}

#[test]
fn a_body_over_the_limit_is_413_by_its_length_before_any_of_it_is_sent() {
    let server = serve();
    let head = "POST /any/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n";
    assert!(refused(&server, head, 413).1.contains("more than 10 bytes"));
}

#[test]
fn a_body_over_the_limit_is_413_while_it_streams() {
    let server = serve();
    let mut connection = server.connect();
    connection.send(b"POST /any/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    connection.send(b"a\r\n0123456789\r\n1\r\nx\r\n");
    let response = connection.read_response("POST");
    assert!(problem(&response, 413).contains("more than 10 bytes"));
    assert!(response.closes(), "{response:?}");
}

#[test]
fn no_100_continue_invites_a_body_that_is_refused() {
    let server = serve();
    for (target, length, status) in [("/any/1", 11, 413), ("/nothing", 5, 404)] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        // The first status is the final one.
        refused(&server, &head, status);
    }
}

#[test]
fn a_request_line_that_is_too_long_is_414() {
    let server = serve();
    let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000));
    assert!(refused(&server, &line, 414).1.contains("8192 bytes"));
}

#[test]
fn a_head_with_too_many_bytes_or_fields_is_431() {
    let server = serve();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "a".repeat(33_000));
    assert!(refused(&server, &head, 431).1.contains("32768 bytes"));
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "A: b\r\n".repeat(100));
    assert!(refused(&server, &head, 431).1.contains("100 header fields"));
}

#[test]
fn limits_of_the_config_are_those_of_the_server() {
    let server = Fixture::from_toml(&format!(
        "max_request_line = '300B'\nmax_header_bytes = '9KiB'\n{SERVER}"
    ));
    let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(300));
    assert!(refused(&server, &line, 414).1.contains("300 bytes"));
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "a".repeat(9300));
    assert!(refused(&server, &head, 431).1.contains("9216 bytes"));
}

#[test]
fn what_is_no_http_is_400_with_the_rule_that_it_breaks() {
    let server = serve();
    for (request, rule) in [
        ("GET / HTTP/1.1\r\n\r\n", "RFC 9112 section 3.2"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
            "RFC 9112 section 5.1",
        ),
        ("\x16\x03\x01\x02\x00\x01", "RFC 9110 section 5.5"),
    ] {
        let (_, detail) = refused(&server, request, 400);
        assert!(detail.contains(rule), "{detail}");
    }
}

#[test]
fn a_chunk_that_is_malformed_is_400_although_the_call_was_routed() {
    let server = serve();
    let request =
        "POST /any/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n";
    assert!(
        refused(&server, request, 400)
            .1
            .contains("RFC 9112 section 7.1")
    );
}

#[test]
fn a_path_parameter_that_is_not_utf_8_is_400() {
    let detail = problem(&serve().get("/any/%ff"), 400);
    assert!(detail.contains("`id`"), "{detail}");
}

#[test]
fn other_expectations_codings_and_versions_are_417_501_and_505() {
    let server = serve();
    let with = |field: &str| format!("POST /any/1 HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
    refused(&server, &with("Expect: 200-ok"), 417);
    refused(&server, &with("Transfer-Encoding: gzip, chunked"), 501);
    refused(&server, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    refused(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

#[test]
fn connect_is_405_with_the_methods_that_are_not() {
    let request = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
    let (response, _) = refused(&serve(), request, 405);
    let allow = response.header("allow").unwrap();
    assert!(
        allow.contains("GET") && !allow.contains("CONNECT"),
        "{allow}"
    );
}
