//! What the process holds: values, bytes, fds, threads.

use crate::common::open_fds;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// The system's allocator, with a count of the bytes that are in use.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static BYTES: AtomicI64 = AtomicI64::new(0);

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: it is the system's allocator, and counting beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            // Relaxed: read when all is quiet.
            BYTES.fetch_add(signed(layout.size()), Relaxed);
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) };
        // Relaxed: as above.
        BYTES.fetch_sub(signed(layout.size()), Relaxed);
    }
}

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
            // Relaxed: asked when all is quiet.
            bytes: BYTES.load(Relaxed),
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
