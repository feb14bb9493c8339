//! Streams that come to their end.

use crate::*;
use pontoon::blocking;
use pontoon_tests::client::Connection;
use std::sync::atomic::AtomicBool;
use std::thread;

fn sized(call: &CallContext) -> usize {
    call.param("what").unwrap().parse().unwrap_or(LARGE_BYTES)
}

fn patterns(threads: usize) -> Fixture {
    let stream = |_: &mut Session, _: &Request, call: &CallContext| {
        call.stream(head(), |body| send_pattern(body, sized(call)))
    };
    streaming(threads, stream).0
}

fn get(client: &mut Connection, target: &str) -> Vec<u8> {
    client.send_request("GET", target, &[], b"");
    let response = client.read_response("GET");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    response.body
}

#[test]
fn a_large_body_comes_whole_and_the_connection_serves_on() {
    let server = patterns(1);
    let mut client = server.connect();
    for size in [0, 1, 40_000, LARGE_BYTES, 7] {
        let body = get(&mut client, &format!("/{size}"));
        assert!(body == patterned(size), "{size} bytes");
    }
    wait_in_flight(&server, 0);
    let stats = stats(&server);
    assert_eq!(
        (stats.completed, stats.late, stats.sessions_opened),
        (5, 0, 1)
    );
}

#[test]
fn requests_that_are_sent_ahead_are_answered_in_their_order() {
    let server = patterns(2);
    let mut client = server.connect();
    for size in [300_000, 5, 1_000_000] {
        client.send_request("GET", &format!("/{size}"), &[], b"");
    }
    client.send_request("GET", "/session", &[], b"");
    for size in [300_000, 5, 1_000_000] {
        assert!(client.read_response("GET").body == patterned(size));
    }
    assert_eq!(client.read_response("GET").status, 200);
}

#[test]
fn more_streams_than_workers_all_come_whole() {
    let server = patterns(2);
    thread::scope(|scope| {
        for number in 0..24 {
            let mut client = server.connect();
            scope.spawn(move || {
                let size = 200_000 * (1 + number % 5) + number;
                assert!(get(&mut client, &format!("/{size}")) == patterned(size));
            });
        }
    });
    wait_in_flight(&server, 0);
    assert_eq!(stats(&server).completed, 24);
}

#[test]
fn a_length_that_is_known_is_announced() {
    let (server, _) = streaming(1, |_, _, call| {
        let head = head().with_length(LARGE_BYTES as u64);
        call.stream(head, |body| send_pattern(body, LARGE_BYTES))
    });
    let mut client = server.connect();
    for _ in 0..2 {
        client.send_request("GET", "/stream", &[], b"");
        let response = client.read_response("GET");
        assert_eq!(response.header("content-length"), Some("33554432"));
        assert_eq!(response.header("transfer-encoding"), None);
        assert!(response.body == patterned(LARGE_BYTES));
    }
    // Its end is reached, also where nobody reads beyond the announced length.
    let mut client = server.connect();
    client.send(b"GET /stream HTTP/1.0\r\nHost: t\r\n\r\n");
    let all = client.read_to_end();
    assert!(
        all.ends_with(&patterned(LARGE_BYTES)),
        "a good end is no reset"
    );
    wait_in_flight(&server, 0);
    let stats = stats(&server);
    assert_eq!((stats.completed, stats.sessions_opened), (3, 1));
}

#[test]
fn to_http_1_0_the_end_of_the_body_is_that_of_the_connection() {
    let server = patterns(1);
    let mut client = server.connect();
    client.send(b"GET /100000 HTTP/1.0\r\nHost: t\r\n\r\n");
    let all = client.read_to_end();
    let split = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&all[..split]).to_lowercase();
    assert!(
        !head.contains("transfer-encoding") && !head.contains("content-length"),
        "{head}"
    );
    assert!(all[split..] == patterned(100_000));
}

#[test]
fn what_has_no_body_is_not_produced() {
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    let (server, _) = streaming(1, move |_, _, call| {
        let head = match call.param("what") {
            Some("none") => Response::status(http::StatusCode::NO_CONTENT),
            Some("sized") => head().with_length(12),
            _ => Response::bytes("text/csv".parse().unwrap(), "first,line\n"),
        };
        call.stream(head, |body| {
            runs.store(true, SeqCst);
            body.send("second,line\n")
        })
    });
    let mut client = server.connect();
    for (method, target, length) in [
        ("HEAD", "/unsized", None),
        ("HEAD", "/sized", Some("12")),
        ("GET", "/none", None),
        ("HEAD", "/none", None),
    ] {
        client.send_request(method, target, &[], b"");
        let response = client.read_response(method);
        assert_eq!(
            response.header("content-length"),
            length,
            "{method} {target}"
        );
        assert_eq!(response.header("transfer-encoding"), None);
    }
    assert!(!ran.load(SeqCst));
    client.send_request("GET", "/unsized", &[], b"");
    assert_eq!(
        client.read_response("GET").text(),
        "first,line\nsecond,line\n"
    );
    assert_eq!(stats(&server).sessions_opened, 1, "none was lost over it");
}

#[test]
fn a_plain_function_streams_as_well() {
    let content_type = || "text/plain".parse().unwrap();
    let server = Fixture::start(
        server()
            .pool(pool(1))
            .location(
                "/produced",
                blocking("p", move |_| {
                    Ok(Response::stream(content_type(), |body| {
                        send_pattern(body, 1_000_000)
                    }))
                }),
            )
            .location(
                "/read",
                blocking("p", move |_| {
                    let reader = std::io::Cursor::new(patterned(1_000_000));
                    Ok(Response::from_reader(content_type(), reader))
                }),
            ),
    );
    let mut client = server.connect();
    for target in ["/produced", "/read"] {
        assert!(get(&mut client, target) == patterned(1_000_000), "{target}");
    }
    client.send_request("HEAD", "/read", &[], b"");
    let head = client.read_response("HEAD");
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/plain"))
    );
}

/// The head need not wait for the body, nor a flushed part for the next one.
#[test]
fn each_part_comes_as_it_is_flushed() {
    let (next, more) = std::sync::mpsc::channel::<&str>();
    let more = std::sync::Mutex::new(more);
    let (server, _) = streaming(1, move |_, _, call| {
        let more = more.lock().unwrap();
        call.stream(head(), |body| {
            more.iter().try_for_each(|part| {
                body.send(part)?;
                body.flush()
            })
        })
    });
    let mut client = server.connect();
    client.send_request("GET", "/stream", &[], b"");
    let mut seen = Vec::new();
    wait_for(&mut client, &mut seen, "\r\n\r\n");
    for part in ["alpha", "beta"] {
        next.send(part).unwrap();
        wait_for(&mut client, &mut seen, part);
    }
    drop(next);
    wait_for(&mut client, &mut seen, "\r\n0\r\n\r\n");
}

fn wait_for(client: &mut Connection, seen: &mut Vec<u8>, what: &str) {
    use std::io::Read;
    let mut socket = client.socket();
    let mut buffer = [0; 4096];
    while !seen
        .windows(what.len())
        .any(|window| window == what.as_bytes())
    {
        let read = socket.read(&mut buffer).expect("it comes");
        assert!(
            read > 0,
            "{what:?} never came: {:?}",
            String::from_utf8_lossy(seen)
        );
        seen.extend_from_slice(&buffer[..read]);
    }
}
