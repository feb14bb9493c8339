//! How the future that `block_on` runs is woken: a flag, and through the inbox from other threads.

use super::shared::LoopHandle;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::Wake;
use std::thread::{self, ThreadId};

/// Wakes the future that `block_on` runs.
pub(super) struct MainWaker {
    due: AtomicBool,
    home: ThreadId,
    handle: LoopHandle,
}

impl MainWaker {
    pub(super) fn new(handle: LoopHandle) -> Self {
        Self {
            due: AtomicBool::new(true),
            home: thread::current().id(),
            handle,
        }
    }

    pub(super) fn is_set(&self) -> bool {
        // Acquire: partner of the Release in `wake_by_ref`.
        self.due.load(Acquire)
    }

    pub(super) fn take(&self) -> bool {
        // Acquire: partner of the Release in `wake_by_ref`.
        self.due.swap(false, Acquire)
    }
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: partner of the Acquire in `take`.
        let was_due = self.due.swap(true, Release);
        if !was_due && thread::current().id() != self.home {
            // The flag alone would not end a sleep; the inbox does. A loop that is gone has
            // nobody to wake.
            let _ = self.handle.post(|| {});
        }
    }
}
