//! What a pool counts: rare things in one place, frequent ones on each worker's own cache lines.

use super::record::Record;
use crate::error::CallError;
use crate::stats::Counter;
use crossbeam_utils::CachePadded;
use std::time::Instant;

/// What a pool has done so far.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) refused: Counter,
    pub(super) shed: Counter,
    pub(super) panicked: Counter,
    pub(super) expired: Counter,
    pub(super) cancelled: Counter,
    pub(super) late: Counter,
    pub(super) sessions_opened: Counter,
    /// Sessions that could not be opened.
    pub(super) sessions_failed: Counter,
    /// Calls that said that the backend failed them.
    pub(super) backend_failed: Counter,
    workers: Vec<CachePadded<Record>>,
}

impl Counters {
    pub(super) fn new(workers: usize, epoch: Instant) -> Self {
        let workers = (0..workers).map(|_| Record::new(epoch).into()).collect();
        Self {
            workers,
            ..Self::default()
        }
    }

    /// Where a call is counted that a worker did not run.
    pub(super) fn of_unrun(&self, error: &CallError) -> &Counter {
        match error {
            CallError::Rejected(_) => &self.shed,
            _ => &self.expired,
        }
    }

    /// What a worker says of itself.
    pub(super) fn of(&self, worker: usize) -> &Record {
        &self.workers[worker]
    }

    /// What all workers say, by index.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.workers.iter().map(|record| &**record)
    }

    pub(super) fn sessions(&self) -> usize {
        self.records().map(Record::sessions).sum()
    }

    /// Workers whose thread foreign code has now.
    pub(super) fn busy(&self) -> usize {
        self.records().filter_map(Record::running).count()
    }

    /// Calls that succeeded, as far as the backend is concerned.
    pub(super) fn succeeded(&self) -> u64 {
        self.records().map(Record::succeeded).sum()
    }

    /// Calls that ran to their end.
    pub(super) fn completed(&self) -> u64 {
        self.records().map(Record::completed).sum()
    }
}
