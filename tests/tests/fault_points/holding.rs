//! What the process holds, and that it is given back.

use crate::allocated::allocated;
use pontoon_tests::eventually;
use pontoon_tests::process::descriptors;
use std::fmt;
use std::fs;
use std::io;

/// More bytes than this, since the first case, are a leak: what one case in a hundred forgets shows.
const SLACK_BYTES: i64 = 64 << 10;

#[derive(Clone, Copy)]
pub struct Holding {
    descriptors: usize,
    threads: usize,
    bytes: i64,
}

impl Holding {
    pub fn now() -> Self {
        Self {
            descriptors: descriptors(),
            threads: threads_that_end(),
            bytes: allocated(),
        }
    }

    /// Waits until no thread and no descriptor is left of what came since.
    pub fn threads_return(&self) {
        eventually(&format!("all threads but {self:?} end"), || {
            let now = Self::now();
            now.threads <= self.threads && now.descriptors <= self.descriptors
        });
    }

    /// Waits until nothing is left of what came since.
    pub fn returns(&self) {
        let is_back = |now: &Self| {
            now.descriptors <= self.descriptors
                && now.threads <= self.threads
                && now.bytes <= self.bytes + SLACK_BYTES
        };
        let mut now = Self::now();
        eventually(&format!("all is given back of {self:?}"), || {
            now = Self::now();
            is_back(&now)
        });
    }
}

/// Threads but for the clock's, which is made when it is first needed and is the process's.
fn threads_that_end() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread that ends meanwhile has no name any more.
    let name = |task: io::Result<fs::DirEntry>| fs::read_to_string(task?.path().join("comm"));
    tasks
        .filter_map(|task| name(task).ok())
        .filter(|name| name.trim_end() != "pontoon-clock")
        .count()
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (descriptors, threads, bytes) = (self.descriptors, self.threads, self.bytes);
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {bytes} bytes"
        )
    }
}
