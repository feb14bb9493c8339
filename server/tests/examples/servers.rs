//! The examples that are servers.
#![allow(dead_code, reason = "their `main` functions run until a signal comes")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use crate::http::Served;

#[path = "../../../examples/async_handler.rs"]
mod async_handler;
#[path = "../../../examples/content_phase.rs"]
mod content_phase;
#[path = "../../../examples/hash_server.rs"]
mod hash_server;
#[path = "../../../examples/request_timeout.rs"]
mod request_timeout;
#[path = "../../../examples/streaming.rs"]
mod streaming;
#[path = "../../../examples/wrap_a_library.rs"]
mod wrap_a_library;

#[test]
fn a_slow_hash_is_answered_from_the_pool() {
    let server = Served::start(hash_server::server());
    let (status, one) = server.request("POST", "/hash", "some text");
    assert_eq!((status, one.len()), (200, 17));
    assert_eq!(server.request("POST", "/hash", "some text").1, one);
    assert_ne!(server.request("POST", "/hash", "other text").1, one);
    assert_eq!(server.pool("hash").completed, 3);
}

#[test]
fn both_forms_of_the_async_handler_answer_alike() {
    let server = Served::start(async_handler::server());
    assert_eq!(server.get("/await"), (200, "/await: done\n".to_owned()));
    assert_eq!(server.get("/by-hand"), (200, "/by-hand: done\n".to_owned()));
}

#[test]
fn a_location_s_deadline_answers_504_and_the_worker_comes_free() {
    let server = Served::start(request_timeout::server().unwrap());
    // Whether the loop or the worker notices first, it is a 504.
    assert_eq!(server.get("/report").0, 504);
    server.wait_until_free("reports");
    assert_eq!(server.pool("reports").completed, 1);
}

#[test]
fn a_handler_s_own_timeout_leaves_it_time_for_plan_b() {
    let server = Served::start(request_timeout::server().unwrap());
    let answer = server.get("/report/latest");
    assert_eq!(answer, (200, "yesterday's report\n".to_owned()));
    server.wait_until_free("reports");
    assert_eq!(server.pool("reports").cancelled, 1);
}

#[test]
fn the_content_phase_waits_for_callbacks_and_workers() {
    let server = Served::start(content_phase::server().unwrap());
    let text = "700 and 140 tax (28 on the tax); the next item costs 800\n";
    assert_eq!(server.get("/price/7"), (200, text.to_owned()));
    assert_eq!(server.pool("taxes").completed, 2);
    assert_eq!(server.get("/price/0").0, 404);
    assert_eq!(server.get("/price/x").0, 400);
}

#[test]
fn a_large_table_and_events_are_streamed() {
    let server = Served::start(streaming::server());
    let (status, table) = server.get("/table");
    assert_eq!(status, 200);
    assert!(
        table.contains("n,square\n1,1\n2,4\n"),
        "the chunks are there as well"
    );
    assert!(table.contains("\n1000000,1000000000000\n") && table.ends_with("\r\n0\r\n\r\n"));
    let (status, events) = server.get("/ticks");
    assert_eq!(status, 200);
    assert_eq!(events.matches("data: ").count(), 10, "{events}");
    server.wait_until_free("tables");
}

/// A dictionary server: knows every word but `unknown`, and never answers `hang`. Counts its
/// connections.
fn dictionary() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    thread::spawn(move || {
        for socket in listener.incoming() {
            // SeqCst: a test's own count.
            count.fetch_add(1, SeqCst);
            let socket = socket.unwrap();
            thread::spawn(move || answer(socket));
        }
    });
    (address, connections)
}

fn answer(mut socket: TcpStream) {
    let questions = BufReader::new(socket.try_clone().unwrap()).lines();
    for question in questions.map_while(Result::ok) {
        let word = question.split(' ').nth(1).unwrap_or_default();
        let text = match word {
            "hang" => continue,
            "unknown" => String::new(),
            word => format!("{word}: a word"),
        };
        if writeln!(socket, "{text}").is_err() {
            return;
        }
    }
}

#[test]
fn a_wrapped_library_keeps_its_connection_between_calls() {
    let (address, connections) = dictionary();
    let server = Served::start(wrap_a_library::server(address));
    for _ in 0..5 {
        assert_eq!(server.get("/define/pontoon").0, 200);
        assert_eq!(server.get("/define/unknown").0, 404);
    }
    let smuggled = server.get("/define/a%0ADEFINE%20b");
    assert_eq!(smuggled.0, 400, "{}", smuggled.1);
    // Ten calls, but no more connections than workers.
    assert!(connections.load(SeqCst) <= server.pool("dictionary").threads);
}

#[test]
fn a_library_that_hangs_is_interrupted_and_its_connection_replaced() {
    let (address, connections) = dictionary();
    let server = Served::start(wrap_a_library::server(address));
    assert_eq!(server.get("/define/hang").0, 504);
    server.wait_until_free("dictionary");
    assert_eq!(server.get("/define/pontoon").0, 200);
    assert_eq!(connections.load(SeqCst), 2);
}

#[test]
fn a_library_that_cannot_be_reached_is_a_502() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let server = Served::start(wrap_a_library::server(address));
    assert_eq!(server.get("/define/pontoon").0, 502);
}
