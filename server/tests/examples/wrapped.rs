//! The examples that wrap a library, one for each kind.
#![allow(dead_code, reason = "their `main` functions run until a signal comes")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::{fs, io};

use crate::http::Served;

#[path = "../../../examples/wrap_async.rs"]
mod wrap_async;
#[path = "../../../examples/wrap_blocking.rs"]
mod wrap_blocking;
#[path = "../../../examples/wrap_callback.rs"]
mod wrap_callback;
#[path = "../../../examples/wrap_descriptor.rs"]
mod wrap_descriptor;

#[test]
fn a_blocking_library_keeps_a_connection_for_each_worker() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(wrap_blocking::server(folder.path().join("notes.db")));
    for number in 1..4 {
        let added = server.request("POST", "/notes", "buy milk");
        assert_eq!(added, (200, format!("{number}\n")));
    }
    assert_eq!(server.get("/notes/2"), (200, "buy milk".to_owned()));
    assert_eq!(server.get("/notes/9").0, 404);
    assert_eq!(server.get("/notes/x").0, 400);
    let pool = server.pool("notes");
    assert!(pool.sessions <= 2 * pool.threads, "{pool:?}");
}

#[test]
fn a_library_that_calls_back_answers_from_its_own_threads() {
    let server = Served::start(wrap_callback::server());
    assert_eq!(server.get("/primes/100"), (200, "25\n".to_owned()));
    assert_eq!(server.get("/primes/many").0, 400);
    assert_eq!(server.get("/primes/99999999999").0, 400);
}

#[test]
fn a_descriptor_is_watched_while_its_request_waits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings");
    fs::write(&file, "old").unwrap();
    let server = Served::start(wrap_descriptor::server(file.clone()));
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get("/changed"));
        // When it watches cannot be seen, so the file is written until it has.
        while !waiting.is_finished() {
            fs::write(&file, "new").unwrap();
            thread::yield_now();
        }
        waiting.join().unwrap()
    });
    assert_eq!(answer.0, 200);
    assert!(answer.1.ends_with(" change\n"), "{}", answer.1);
    fs::remove_file(&file).unwrap();
    assert_eq!(server.get("/changed").0, 502);
}

/// memcached in miniature: knows some keys, and never answers `hang`. Counts its connections.
fn memcached() -> (SocketAddr, Arc<AtomicUsize>) {
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

fn answer(mut socket: TcpStream) -> io::Result<()> {
    let known = HashMap::from([("name", "Pontoon"), ("empty", "")]);
    for command in BufReader::new(socket.try_clone()?).lines() {
        match command?.strip_prefix("get ") {
            Some("hang") => {}
            Some("nonsense") => socket.write_all(b"ERROR\r\n")?,
            Some(key) => match known.get(key) {
                Some(value) => {
                    let length = value.len();
                    write!(socket, "VALUE {key} 0 {length}\r\n{value}\r\nEND\r\n")?;
                }
                None => socket.write_all(b"END\r\n")?,
            },
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

#[test]
fn an_async_client_keeps_its_connections_unless_an_answer_may_be_left_in_them() {
    let (address, connections) = memcached();
    let server = Served::start(wrap_async::server(address).loops(1));
    for _ in 0..5 {
        assert_eq!(server.get("/cache/name"), (200, "Pontoon".to_owned()));
        assert_eq!(server.get("/cache/empty"), (200, String::new()));
        assert_eq!(server.get("/cache/none").0, 404);
    }
    assert_eq!(connections.load(SeqCst), 1);
    assert_eq!(server.get("/cache/hang").0, 504);
    assert_eq!(server.get("/cache/nonsense").0, 502);
    assert_eq!(server.get("/cache/name"), (200, "Pontoon".to_owned()));
    assert_eq!(server.get("/cache/a%0D%0Aset%20b").0, 400);
}
