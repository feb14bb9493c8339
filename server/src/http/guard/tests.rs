//! What the guard promises: the vectors, the order of messages, and what random input may do.

mod order;
mod property;
mod vectors;

use super::head::FIELDS_MAX;
use super::*;

/// What became of a stream: what was passed on, and the violation that ended it.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    forwarded: Vec<u8>,
    violation: Option<Violation>,
    phase: Phase,
}

/// Feeds `reads` one after the other to a server that answers every message at once and whose
/// hyper takes at most `max` bytes at a time.
fn serve<'a>(reads: impl IntoIterator<Item = &'a [u8]>, max: usize) -> Outcome {
    let mut guard = Guard::new(Limits::default());
    let mut forwarded = Vec::new();
    for read in reads {
        let mut fresh = read;
        loop {
            let sink = &mut |bytes: &[u8]| forwarded.extend_from_slice(bytes);
            let count = guard.feed(std::mem::take(&mut fresh), max, sink);
            assert!(count <= max, "passed on more than was asked for");
            if guard.phase() == Phase::Complete {
                guard.message_done();
            } else if count == 0 {
                break;
            }
        }
    }
    Outcome {
        forwarded,
        violation: guard.violation().cloned(),
        phase: guard.phase(),
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

/// Takes all that may be passed on.
fn take_all(guard: &mut Guard) -> Vec<u8> {
    let mut taken = Vec::new();
    guard.forward(usize::MAX, &mut |bytes| taken.extend_from_slice(bytes));
    taken
}
