//! What waits for a worker: an unbounded channel whose bound is the counter at the door.

use super::worker::Job;
use crossbeam_channel::{Receiver, Sender, unbounded};
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::Ordering::Relaxed;

/// A call in the queue. If it is dropped there it ends with `ShutDown`, so that nobody waits for
/// ever.
pub(crate) struct Queued(Option<Arc<dyn Job>>);

impl Queued {
    pub(crate) fn into_job(mut self) -> Option<Arc<dyn Job>> {
        self.0.take()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(job) = self.0.take() {
            job.shut_down();
        }
    }
}

/// Oldest first; any thread adds, workers take.
///
/// Calls whose caller left while they waited stay behind as *husks*: their input is dropped and
/// their place at the door is free, but the channel cannot give up its middle. When there are as
/// many husks as the queue may be long, whoever adds sweeps them out, so that memory is bounded even
/// while every worker hangs and clients come and go.
pub(crate) struct Queue {
    sender: Sender<Queued>,
    receiver: Receiver<Queued>,
    /// May be below zero for a moment: a worker can remove a husk before its caller counts it.
    husks: CachePadded<AtomicIsize>,
    husks_max: isize,
}

impl Queue {
    pub(crate) fn new(max_queue: usize) -> Self {
        let (sender, receiver) = unbounded();
        // A few are left alone even behind a tiny queue: a sweep is not free.
        Self {
            sender,
            receiver,
            husks: CachePadded::new(AtomicIsize::new(0)),
            husks_max: isize::try_from(max_queue.max(64)).unwrap_or(isize::MAX),
        }
    }

    pub(crate) fn add(&self, job: Arc<dyn Job>) {
        self.send(Queued(Some(job)));
        // Relaxed: a threshold; a sweep a little early or late is as good.
        if self.husks.load(Relaxed) > self.husks_max {
            self.sweep();
        }
    }

    fn send(&self, queued: Queued) {
        // It cannot fail: `self` holds a receiver.
        drop(self.sender.send(queued));
    }

    pub(crate) fn take(&self) -> Option<Arc<dyn Job>> {
        self.receiver.try_recv().ok().and_then(Queued::into_job)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Calls and husks in the channel.
    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Calls that wait, as far as this thread sees.
    pub(crate) fn waiting(&self) -> usize {
        // Relaxed: a hint.
        let husks = usize::try_from(self.husks.load(Relaxed)).unwrap_or(0);
        self.len().saturating_sub(husks)
    }

    pub(crate) fn husk_left_behind(&self) {
        // Relaxed: a threshold.
        self.husks.fetch_add(1, Relaxed);
    }

    pub(crate) fn husk_removed(&self) {
        // Relaxed: a threshold.
        self.husks.fetch_sub(1, Relaxed);
    }

    /// Turns the queue round once, keeping what is alive in order. Calls added meanwhile may come
    /// to stand before the last ones kept.
    fn sweep(&self) {
        for _ in 0..self.receiver.len() {
            let Some(job) = self.take() else { return };
            if job.is_husk() {
                self.husk_removed();
            } else {
                self.send(Queued(Some(job)));
            }
        }
    }

    /// Ends everything that waits with `ShutDown`.
    pub(crate) fn clear(&self) {
        while let Ok(queued) = self.receiver.try_recv() {
            drop(queued);
        }
    }
}
