//! How many bytes the program has allocated: it is the program's allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

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

/// The bytes that are in use; exact when all is quiet.
pub fn allocated() -> i64 {
    // Relaxed: asked when all is quiet.
    BYTES.load(Relaxed)
}
