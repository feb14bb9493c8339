//! A result far larger than the memory that it may take, to a client that is slower than its producer.
//!
//! In a program of its own: it measures what the whole process holds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use pontoon::{Pool, Response, Server, blocking};
use pontoon_tests::fixture::Fixture;

/// What the issue asks for, and what each run takes the time for.
const GIB: u64 = 1 << 30;
const RESULT_BYTES: u64 = GIB / 4;
const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// What the process has in memory.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// `PONTOON_STREAM_BYTES=1073741824` has it stream the whole GiB.
fn result_bytes() -> u64 {
    let asked = std::env::var("PONTOON_STREAM_BYTES");
    asked.map_or(RESULT_BYTES, |bytes| bytes.parse().unwrap())
}

#[test]
fn a_result_of_any_size_takes_constant_memory() {
    let (size, produced) = (result_bytes(), Arc::new(AtomicU64::new(0)));
    let counts = Arc::clone(&produced);
    let stream = blocking("p", move |_| {
        let counts = Arc::clone(&counts);
        let content_type = "application/octet-stream".parse().unwrap();
        Ok(Response::stream(content_type, move |body| {
            let row = [b'r'; 1000];
            while counts.load(Relaxed) < size {
                body.send(row)?;
                // Relaxed, here and below: a count with one writer.
                counts.fetch_add(row.len() as u64, Relaxed);
            }
            Ok(())
        }))
    });
    let server = Server::new()
        .pool(Pool::named("p").threads(1))
        .location("/", stream);
    let server = Fixture::start(server);
    let mut client = server.connect();
    client.send_request("GET", "/", &[("Connection", "close")], b"");
    let mut socket = client.socket();
    let mut buffer = vec![0; 256 << 10];
    let (mut seen, mut end) = (0, false);
    let (mut before, mut most, mut ahead_most) = (None, 0, 0);
    loop {
        let read = socket.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        seen += read as u64;
        end = buffer[..read].ends_with(b"\r\n\r\n");
        // Slower than anything that produces rows from memory.
        thread::sleep(Duration::from_millis(1));
        if seen > 8 << 20 {
            let now = resident_bytes();
            let before = *before.get_or_insert(now);
            most = most.max(now.saturating_sub(before));
            ahead_most = ahead_most.max(produced.load(Relaxed).saturating_sub(seen));
        }
    }
    assert!(seen > size && end, "not all of it came: {seen} bytes");
    assert!(most <= GROWTH_BYTES_MAX, "it grew by {most} bytes");
    assert!(
        ahead_most > 64 << 10,
        "the producer was never ahead: {ahead_most}"
    );
}
