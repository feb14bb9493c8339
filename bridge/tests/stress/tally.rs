//! How each call ended, counted once.

use crate::measure::Payload;
use pontoon_bridge::{CallError, SubmitError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// How many calls ended in which way.
#[derive(Debug, Default)]
pub struct Tally {
    completed: AtomicU64,
    panicked: AtomicU64,
    expired: AtomicU64,
    abandoned: AtomicU64,
    full: AtomicU64,
    /// Would be late, or the pool was overloaded.
    shed: AtomicU64,
    shutting_down: AtomicU64,
    shut_down: AtomicU64,
    /// By its caller, or with the loop or the inbox that waited for it.
    dropped: AtomicU64,
}

impl Tally {
    pub fn total(&self) -> u64 {
        let all = [
            &self.completed,
            &self.panicked,
            &self.expired,
            &self.abandoned,
            &self.full,
            &self.shed,
            &self.shutting_down,
            &self.shut_down,
            &self.dropped,
        ];
        all.iter().map(|count| count.load(SeqCst)).sum()
    }
}

/// Goes with one call to wherever its outcome is awaited. Dropped before that, it counts as dropped.
pub struct Ticket {
    tally: Option<Arc<Tally>>,
    number: u64,
}

impl Ticket {
    pub fn new(tally: &Arc<Tally>, number: u64) -> Self {
        Self {
            tally: Some(Arc::clone(tally)),
            number,
        }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn settle(mut self, result: Result<Payload, CallError>) {
        let tally = self.tally.take().expect("it is settled once");
        let counter = match result {
            Ok(value) => {
                assert_eq!(value.number(), self.number, "another call's outcome");
                &tally.completed
            }
            Err(CallError::Panicked { .. }) => &tally.panicked,
            Err(CallError::DeadlineExceeded { .. }) => &tally.expired,
            Err(CallError::Abandoned) => &tally.abandoned,
            Err(CallError::ShutDown) => &tally.shut_down,
            Err(CallError::Rejected(SubmitError::QueueFull { .. })) => &tally.full,
            Err(CallError::Rejected(
                SubmitError::WouldBeLate { .. } | SubmitError::Overloaded { .. },
            )) => &tally.shed,
            Err(CallError::Rejected(SubmitError::ShuttingDown { .. })) => &tally.shutting_down,
            Err(other) => panic!("{other:?}"),
        };
        counter.fetch_add(1, SeqCst);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(tally) = &self.tally {
            tally.dropped.fetch_add(1, SeqCst);
        }
    }
}
