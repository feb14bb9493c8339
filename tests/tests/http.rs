//! HTTP/1.1 as clients use it: connections kept and closed, order, framing, interim responses.

use std::time::{Duration, SystemTime};

use pontoon::{Location, Response, Server, handler};
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;
use pontoon_tests::wait::eventually;

const MAX_BODY: usize = 64 << 10;

fn serve() -> Fixture {
    Fixture::from_toml(
        "
        max_body = '64KiB'
        [pool.p]
        threads = 4
        [[location]]
        path = '/sleep'
        adapter = 'sleep'
        pool = 'p'
        max = '1s'
        server_timing = true
        [[location]]
        path = '/{*rest}'
        adapter = 'echo'
        pool = 'p'
        ",
    )
}

/// Bytes that no mistake in framing could bring about.
fn noise(length: usize) -> Vec<u8> {
    let next = |state: &u32| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 17);
        Some(state ^ (state << 5))
    };
    let states = std::iter::successors(Some(0x9e37_79b9_u32), next);
    states
        .map(|state| state.to_le_bytes()[1])
        .take(length)
        .collect()
}

#[test]
fn options_of_the_server_as_a_whole_is_204() {
    let server = serve();
    let mut connection = server.connect();
    connection.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = connection.read_response("OPTIONS");
    assert_eq!(
        (response.status, response.header("content-length")),
        (204, None)
    );
    connection.send_request("GET", "/next", &[], b"");
    assert_eq!(connection.read_response("GET").text(), "GET /next\n");
}

#[test]
fn head_has_the_length_and_no_body() {
    let server = serve();
    let mut connection = server.connect();
    for (target, body) in [("/abc", "HEAD /abc\n"), ("/sleep?ms=0", "slept 0 ms\n")] {
        connection.send_request("HEAD", target, &[], b"");
        let response = connection.read_response("HEAD");
        assert_eq!(response.status, 200);
        let length: usize = response.header("content-length").unwrap().parse().unwrap();
        assert_eq!(length, body.len(), "{target}");
    }
    connection.send_request("HEAD", "/sleep?ms=9999", &[], b"");
    let refused = connection.read_response("HEAD");
    assert_eq!(refused.status, 400);
    assert_ne!(refused.header("content-length"), Some("0"));
    connection.send_request("GET", "/next", &[], b"");
    assert_eq!(connection.read_response("GET").text(), "GET /next\n");
}

#[test]
fn a_client_that_expects_100_continue_gets_it_before_it_sends() {
    let server = serve();
    let mut connection = server.connect();
    for _ in 0..2 {
        connection.send(
            b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        );
        let interim = connection.read_response("POST");
        assert_eq!((interim.status, interim.headers.len()), (100, 0));
        connection.send(b"hello");
        let response = connection.read_response("POST");
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }
}

#[test]
fn an_upgrade_is_ignored() {
    let server = serve();
    let mut connection = server.connect();
    for upgrade in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    ] {
        let head = format!("GET /x HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n");
        connection.send(head.as_bytes());
        let response = connection.read_response("GET");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "GET /x\n")
        );
        assert_eq!(response.header("upgrade"), None);
    }
}

#[test]
fn a_connection_is_used_again_until_either_side_says_close() {
    let server = serve();
    let mut connection = server.connect();
    for number in 0..20 {
        let target = format!("/{number}");
        connection.send_request("GET", &target, &[], b"");
        let response = connection.read_response("GET");
        assert_eq!(response.text(), format!("GET {target}\n"));
        assert!(!response.closes());
    }
    assert_eq!(server.running().connections(), 1);
    connection.send_request("GET", "/last", &[("Connection", "close")], b"");
    let response = connection.read_response("GET");
    assert!(response.closes(), "{response:?}");
    assert_eq!(connection.read_to_end(), b"");
}

#[test]
fn http_1_0_closes_unless_asked_to_stay() {
    let server = serve();
    let mut connection = server.connect();
    connection.send(b"GET /a HTTP/1.0\r\n\r\n");
    assert_eq!(connection.read_response("GET").text(), "GET /a\n");
    assert_eq!(connection.read_to_end(), b"");
    let mut connection = server.connect();
    for _ in 0..2 {
        connection.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = connection.read_response("GET");
        assert_eq!(response.text(), "GET /a\n");
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let server = serve();
    let mut connection = server.connect();
    // The first takes the longest.
    let mut packet = String::from("GET /sleep?ms=60 HTTP/1.1\r\nHost: a\r\n\r\n");
    for number in 0..200 {
        packet.push_str(&format!(
            "POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n{number:04}"
        ));
    }
    connection.send(packet.as_bytes());
    assert_eq!(connection.read_response("GET").text(), "slept 60 ms\n");
    for number in 0..200 {
        assert_eq!(
            connection.read_response("POST").text(),
            format!("{number:04}")
        );
    }
}

#[test]
fn a_bad_request_in_a_pipeline_is_answered_after_the_good_ones() {
    let server = serve();
    let good = "GET /sleep?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n";
    let bad = "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n";
    let mut connection = server.connect();
    connection.send(format!("{good}{good}{bad}{good}").as_bytes());
    for _ in 0..2 {
        assert_eq!(connection.read_response("GET").text(), "slept 20 ms\n");
    }
    let refused = connection.read_response("GET");
    problem(&refused, 400);
    assert!(refused.closes());
    assert_eq!(
        connection.read_to_end(),
        b"",
        "nothing after it is answered"
    );
}

#[test]
fn a_body_arrives_whole_however_it_is_cut() {
    let server = serve();
    let body = noise(MAX_BODY);
    let mut connection = server.connect();
    let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {MAX_BODY}\r\n\r\n");
    for pieces in [&[1, 7, 1459, 4097][..], &[MAX_BODY], &[13]] {
        connection.send(head.as_bytes());
        send_in_pieces(&mut connection, &body, pieces);
        assert!(connection.read_response("POST").body == body, "{pieces:?}");
    }
}

fn send_in_pieces(connection: &mut Connection, mut bytes: &[u8], pieces: &[usize]) {
    let mut sizes = pieces.iter().cycle();
    while let Some(&size) = sizes.next().filter(|_| !bytes.is_empty()) {
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        connection.send(piece);
        bytes = rest;
    }
}

#[test]
fn a_chunked_body_arrives_whole_with_its_extensions_and_trailers_left_out() {
    let server = serve();
    let body = noise(MAX_BODY);
    let mut message =
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            .to_vec();
    let mut rest = &body[..];
    for (size, extension) in [
        (1, ""),
        (4096, ";a=b"),
        (777, ";c=\"d;\\\"e\""),
        (60_000, ""),
    ]
    .into_iter()
    .cycle()
    {
        let (chunk, left) = rest.split_at(size.min(rest.len()));
        message.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        message.extend_from_slice(chunk);
        message.extend_from_slice(b"\r\n");
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    message.extend_from_slice(b"0;last\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n");
    let mut connection = server.connect();
    for pieces in [&[usize::MAX][..], &[3, 1021], &[64]] {
        send_in_pieces(&mut connection, &message, pieces);
        let response = connection.read_response("POST");
        assert_eq!(response.status, 200);
        assert!(response.body == body, "{pieces:?}");
        assert_eq!(response.header("x-sum"), None);
    }
}

#[test]
fn the_limit_of_a_body_is_exact() {
    let server = serve();
    let limit = noise(MAX_BODY);
    assert_eq!(server.request("POST", "/x", &[], &limit).status, 200);
    let over = noise(MAX_BODY + 1);
    problem(&server.request("POST", "/x", &[], &over), 413);
}

#[test]
fn every_response_has_one_date_and_it_is_now() {
    let server = serve();
    for target in ["/x", "/sleep?ms=2000"] {
        let response = server.get(target);
        assert_eq!(response.headers_named("date"), 1);
        let date = httpdate::parse_http_date(response.header("date").unwrap()).unwrap();
        let age = SystemTime::now().duration_since(date).unwrap_or_default();
        assert!(age < Duration::from_secs(60), "{age:?}");
    }
}

#[test]
fn server_timing_tells_where_the_time_went_where_it_is_asked_for() {
    let server = serve();
    let timing = server.get("/sleep?ms=30");
    let timing = timing.header("server-timing").unwrap();
    let call = timing
        .split(", ")
        .find_map(|part| part.strip_prefix("call;dur="));
    let call_ms: f64 = call.unwrap().parse().unwrap();
    assert!(call_ms >= 30.0, "{timing}");
    assert_eq!(server.get("/x").header("server-timing"), None);
}

#[test]
fn fields_that_frame_the_message_are_the_servers_not_the_adapters() {
    let meddle = handler(|_, _| async {
        let mut response = Response::text("hello");
        for (name, value) in [
            ("content-length", "3"),
            ("transfer-encoding", "gzip"),
            ("connection", "close"),
            ("upgrade", "x"),
            ("x-mine", "kept"),
        ] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        Ok(response)
    });
    let server = Fixture::start(Server::new().route(Location::new("/", meddle)));
    let mut connection = server.connect();
    for _ in 0..2 {
        connection.send_request("GET", "/", &[], b"");
        let response = connection.read_response("GET");
        assert_eq!(response.text(), "hello");
        assert_eq!(response.header("x-mine"), Some("kept"));
        assert_eq!(response.header("upgrade"), None);
        assert!(!response.closes());
    }
}

#[test]
fn a_stop_answers_what_is_under_way_and_says_close() {
    let server = serve();
    let mut idle = server.connect();
    idle.send_request("GET", "/x", &[], b"");
    assert_eq!(idle.read_response("GET").status, 200);
    let mut busy = server.connect();
    busy.send_request("GET", "/sleep?ms=200", &[], b"");
    eventually("the call runs", || {
        server.running().pool_stats("p").unwrap().submitted == 2
    });
    let report = server.stop();
    assert_eq!((report.connections_cut, report.stuck.len()), (0, 0));
    let response = busy.read_response("GET");
    assert_eq!(response.text(), "slept 200 ms\n");
    assert!(response.closes(), "{response:?}");
    assert_eq!(busy.read_to_end(), b"");
    assert_eq!(idle.read_to_end(), b"");
}
