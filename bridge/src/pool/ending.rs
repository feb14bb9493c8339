//! How a pool ends, in one atomic word: who may still come, who is still there, who clears up.
//!
//! | submitter | last worker, or a shutdown that waits no longer |
//! | --- | --- |
//! | 1. put the call into the queue | 1. say so in the word |
//! | 2. fence | 2. fence |
//! | 3. nobody will come for it → clear the queue | 3. clear the queue |
//!
//! Both fences are sequentially consistent, so one of the two sees the other: a call that slips in
//! while the pool ends is run or ends with `ShutDown`, and never waits for ever. A worker reads
//! [`has_begun`](Ending::has_begun) *before* it looks into the queue, so that what was queued before the
//! shutdown began is run. `models.rs` checks it with loom.

use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicUsize, fence};

const BEGUN: usize = 1;
/// Nobody waits for the workers any more: what they have not taken is not run.
const GIVEN_UP: usize = 1 << 1;
/// The rest of the word counts workers that have not ended.
const ONE_WORKER: usize = 1 << 2;

/// The end of one pool.
#[derive(Debug)]
pub(crate) struct Ending(AtomicUsize);

impl Ending {
    pub(crate) fn new(workers: usize) -> Self {
        Self(AtomicUsize::new(workers * ONE_WORKER))
    }

    /// Lets no more calls in; any thread. The caller then wakes all workers.
    pub(crate) fn begin(&self) {
        // Relaxed: ordered by the fence.
        self.0.fetch_or(BEGUN, Relaxed);
        // SeqCst fence: a worker that stands idle says that first, fences, and then reads the
        // word; we write the word first and read the idle stack after this. One sees the other.
        fence(SeqCst);
    }

    /// Whether calls are refused; any thread.
    pub(crate) fn has_begun(&self) -> bool {
        // Relaxed: ordered by the fence.
        let begun = self.0.load(Relaxed) & BEGUN != 0;
        if begun {
            // SeqCst fence: partner of the one in `nobody_comes`; a worker that read BEGUN sees
            // the calls of all submitters that did not.
            fence(SeqCst);
        }
        begun
    }

    /// A worker ends. True for the last: it must clear the queue.
    pub(crate) fn worker_ended(&self) -> bool {
        // Relaxed: ordered by the fence.
        let before = self.0.fetch_sub(ONE_WORKER, Relaxed);
        // SeqCst fence: partner of the one in `nobody_comes`.
        fence(SeqCst);
        before / ONE_WORKER == 1
    }

    /// Waits for the workers no longer; whoever calls this must clear the queue.
    pub(crate) fn give_up(&self) {
        // Relaxed: ordered by the fence.
        self.0.fetch_or(GIVEN_UP, Relaxed);
        // SeqCst fence: partner of the one in `nobody_comes`.
        fence(SeqCst);
    }

    /// After something was queued: whether no worker will come for it. The submitter must then
    /// clear the queue.
    pub(crate) fn nobody_comes(&self) -> bool {
        // SeqCst fence: partner of the ones in `has_begun`, `worker_ended` and `give_up`.
        fence(SeqCst);
        // Relaxed: ordered by the fence.
        let state = self.0.load(Relaxed);
        state & BEGUN != 0 && (state < ONE_WORKER || state & GIVEN_UP != 0)
    }

    /// Workers that have not ended.
    pub(crate) fn workers(&self) -> usize {
        // Relaxed: whoever waits for it does so under the lock that the worker takes afterwards.
        self.0.load(Relaxed) / ONE_WORKER
    }
}
