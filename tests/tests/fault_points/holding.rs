//! What the process holds, and that it is given back.

use crate::allocated::allocated;
use pontoon_tests::eventually;
use pontoon_tests::process::{descriptors, threads};
use std::fmt;

/// More bytes than this, since the first case, are a leak: what one case in a hundred forgets shows.
const SLACK_BYTES: i64 = 64 << 10;

#[derive(Clone, Copy)]
pub struct Holding {
    descriptors: usize,
    pub threads: usize,
    bytes: i64,
}

impl Holding {
    pub fn now() -> Self {
        Self {
            descriptors: descriptors(),
            threads: threads(),
            bytes: allocated(),
        }
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

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (descriptors, threads, bytes) = (self.descriptors, self.threads, self.bytes);
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {bytes} bytes"
        )
    }
}
