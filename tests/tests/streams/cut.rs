//! Streams that fail half-way: the client can see it, and nobody else notices.

use crate::*;
use pontoon_tests::problem::problem;
use std::io::{ErrorKind, Read};

const SENT: &str = "what there was before it failed";

/// Fails after some bytes, in the way that the path names.
fn failing() -> Fixture {
    let fail = |_: &mut Session, _: &Request, call: &CallContext| {
        let what = call.param("what").unwrap().to_owned();
        let head = match &*what {
            "short" | "long" => {
                head().with_length(SENT.len() as u64 + if what == "short" { 1 } else { 0 })
            }
            "early" => return Err(Error::internal("it failed before it began")),
            _ => head(),
        };
        call.stream(head, |body| {
            body.send(SENT)?;
            match &*what {
                "panic" => panic!("half-way"),
                "long" => body.send("more"),
                "short" => Ok(()),
                _ => {
                    Err(Error::internal("half-way").with_source(std::io::Error::other("the disk")))
                }
            }
        })
    };
    streaming(1, fail).0
}

fn session(server: &Fixture) -> String {
    server.get("/session").text()
}

#[test]
fn an_error_or_a_panic_leaves_the_body_incomplete_and_costs_the_session() {
    let server = failing();
    for (round, what) in ["error", "panic", "error"].into_iter().enumerate() {
        assert_eq!(session(&server), round.to_string());
        let mut client = server.connect();
        client.send_request("GET", &format!("/{what}"), &[], b"");
        let all = String::from_utf8(client.read_to_end()).unwrap();
        assert!(all.contains("transfer-encoding: chunked"), "{all}");
        assert!(
            all.contains(SENT),
            "what was sent before gets there: {all:?}"
        );
        assert!(!all.ends_with("0\r\n\r\n"), "{what}: it looks whole");
        assert!(
            !all.contains("disk"),
            "what the library said is for the log"
        );
        wait_in_flight(&server, 0);
    }
    let stats = stats(&server);
    assert_eq!((stats.panicked, stats.late), (1, 0));
}

#[test]
fn before_the_head_an_error_is_an_answer() {
    let server = failing();
    assert!(problem(&server.get("/early"), 500).contains("before it began"));
    assert_eq!(session(&server), "0", "it is only suspected");
}

#[test]
fn less_or_more_than_was_announced_is_a_failure() {
    let server = failing();
    let mut client = server.connect();
    client.send_request("GET", "/short", &[], b"");
    let all = String::from_utf8(client.read_to_end()).unwrap();
    assert!(all.contains("content-length: 32"), "{all}");
    assert!(all.ends_with(SENT), "one byte is missing: {all}");
    assert_eq!(session(&server), "1");
    let mut client = server.connect();
    client.send_request("GET", "/long", &[], b"");
    let all = String::from_utf8(client.read_to_end()).unwrap();
    assert!(all.contains("content-length: 31"), "{all}");
    assert!(
        !all.contains(SENT),
        "it failed, and must not look whole: {all}"
    );
    wait_in_flight(&server, 0);
    assert_eq!(session(&server), "2");
}

#[test]
fn to_http_1_0_a_cut_is_a_reset() {
    let server = failing();
    let client = server.connect();
    let mut socket = client.socket();
    std::io::Write::write_all(&mut socket, b"GET /error HTTP/1.0\r\nHost: t\r\n\r\n").unwrap();
    let mut all = Vec::new();
    let ended = socket.read_to_end(&mut all);
    let kind = ended
        .expect_err("a clean end would look like a whole body")
        .kind();
    assert_eq!(kind, ErrorKind::ConnectionReset);
}
