//! What the process holds: values, bytes, fds, threads.

use crate::allocated::allocated;
use crate::common::open_fds;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};

/// What calls take and give: a number, on the heap so that a second drop would be seen by any tool.
pub struct Payload {
    number: Box<u64>,
    is_alive: AtomicBool,
}

static ALIVE: AtomicI64 = AtomicI64::new(0);
static DROPPED_TWICE: AtomicU64 = AtomicU64::new(0);

impl Payload {
    pub fn new(number: u64) -> Self {
        ALIVE.fetch_add(1, SeqCst);
        Self {
            number: Box::new(number),
            is_alive: AtomicBool::new(true),
        }
    }

    pub fn number(&self) -> u64 {
        *self.number
    }

    /// Payloads that were not dropped yet; and the proof that none was dropped twice.
    pub fn alive() -> i64 {
        assert_eq!(DROPPED_TWICE.load(SeqCst), 0, "values were dropped twice");
        ALIVE.load(SeqCst)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, SeqCst);
        if !self.is_alive.swap(false, SeqCst) {
            DROPPED_TWICE.fetch_add(1, SeqCst);
        }
    }
}

/// What the process holds apart from payloads.
#[derive(Debug, Clone, Copy)]
pub struct Holding {
    fds: usize,
    threads: usize,
    bytes: i64,
}

/// More bytes than this are a leak: calls are made by the million.
const SLACK_BYTES: i64 = 64 << 10;

impl Holding {
    pub fn now() -> Self {
        Self {
            fds: open_fds(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
            bytes: allocated(),
        }
    }

    /// Whether at most so many threads more are there than before.
    pub fn has_ended(&self, before: &Self, more: usize) -> bool {
        self.threads <= before.threads + more
    }

    pub fn is_no_more_than(&self, before: &Self) -> bool {
        self.fds <= before.fds
            && self.threads <= before.threads
            && self.bytes <= before.bytes + SLACK_BYTES
    }
}
