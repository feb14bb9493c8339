//! Counts allocations, if asked to: the only unsafe code among the peers.
//!
//! Runs that measure time do not count; all they pay is the look at a flag that never changes.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

#[global_allocator]
static COUNTING: Counting = Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);
static SHARDS: [Shard; 64] = [const { Shard(AtomicU64::new(0)) }; 64];

/// On a cache line of its own, so that threads do not wait for each other to count.
#[repr(align(128))]
struct Shard(AtomicU64);

thread_local! {
    /// Const and without a destructor, so that reaching it never allocates.
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Counting;

/// From now on allocations count.
pub(crate) fn count() {
    // Relaxed: whether the first few are missed does not matter.
    COUNTS.store(true, Relaxed);
}

/// How many there were.
pub(crate) fn so_far() -> u64 {
    SHARDS.iter().map(|shard| shard.0.load(Relaxed)).sum()
}

#[inline]
fn note() {
    if COUNTS.load(Relaxed) {
        let shard = SHARD.get().unwrap_or_else(|| {
            let shard = NEXT_SHARD.fetch_add(1, Relaxed) % SHARDS.len();
            SHARD.set(Some(shard));
            shard
        });
        SHARDS[shard].0.fetch_add(1, Relaxed);
    }
}

// SAFETY: every request goes to `System` unchanged, which keeps the trait's promises; `note` neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps `alloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the block came from `System` with this layout; the size is the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}
