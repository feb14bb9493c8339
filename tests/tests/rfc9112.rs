//! Every request of `tests/vectors/http1.txt` over a real socket: whole, and byte by byte.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;
use pontoon_tests::vectors::{Vector, vectors};

/// Sent after what must be served, to see that the server found its end.
const LAST: &[u8] = b"GET /the-end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Longer vectors are not sent byte by byte.
const SHORT_BYTES: usize = 400;

fn serve() -> Fixture {
    let location = |path| format!("[[location]]\npath = '{path}'\nadapter = 'echo'\npool = 'p'\n");
    let locations = location("/") + &location("/{*rest}");
    Fixture::from_toml(&format!("[pool.p]\nthreads = 2\n{locations}"))
}

/// Sends a vector in pieces of this size and holds the server to its verdict.
fn check(server: SocketAddr, vector: &Vector, piece_bytes: usize) {
    let name = vector.name;
    let mut connection = Connection::open(server);
    for piece in vector.bytes.chunks(piece_bytes) {
        connection.send(piece);
    }
    let stays = vector.status.is_none() && !vector.bytes.windows(8).any(|part| part == b"HTTP/1.0");
    if stays {
        connection.send(LAST);
    }
    let mut responses = Vec::new();
    while let Some(response) = connection.try_read_response("GET") {
        if response.status >= 200 {
            responses.push(response);
        }
    }
    let last = responses
        .pop()
        .unwrap_or_else(|| panic!("{name}: no response"));
    for response in &responses {
        assert!(
            (200..300).contains(&response.status),
            "{name}: {response:?}"
        );
    }
    match vector.status {
        Some(status) => {
            let detail = problem(&last, status);
            assert!(detail.contains(vector.section), "{name}: {detail}");
            assert!(last.closes(), "{name}: {last:?}");
        }
        None if stays => {
            assert_eq!(last.text(), "GET /the-end\n", "{name}");
            assert!(!responses.is_empty(), "{name}: only the last was answered");
        }
        None => assert_eq!(last.status, 200, "{name}"),
    }
}

/// Checks all on a few threads: each mostly waits for its server.
fn check_all(vectors: &[Vector], piece_bytes: usize) {
    let server = serve();
    let address = server.address();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Relaxed: only uniqueness counts.
                while let Some(vector) = vectors.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(address, vector, piece_bytes);
                }
            });
        }
    });
}

#[test]
fn every_vector_has_its_verdict_over_a_socket() {
    let vectors = vectors();
    assert!(vectors.len() > 300, "{} vectors", vectors.len());
    check_all(&vectors, usize::MAX);
}

#[test]
fn a_verdict_over_a_socket_is_the_same_byte_by_byte() {
    let mut vectors = vectors();
    vectors.retain(|vector| vector.bytes.len() <= SHORT_BYTES);
    check_all(&vectors, 1);
}
