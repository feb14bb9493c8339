//! Submitters against a shutdown, and against the last worker's end.

use crate::pool::ending::Ending;
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::collections::VecDeque;

/// A pool of which only the queue, the door and the end are left.
struct Pool {
    queue: Mutex<VecDeque<()>>,
    ending: Ending,
    ran: AtomicUsize,
    shut_down: AtomicUsize,
}

impl Pool {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(VecDeque::new()),
            ending: Ending::new(1),
            ran: AtomicUsize::new(0),
            shut_down: AtomicUsize::new(0),
        })
    }

    fn take(&self) -> bool {
        self.queue.lock().unwrap().pop_front().is_some()
    }

    fn clear(&self) {
        while self.take() {
            self.shut_down.fetch_add(1, SeqCst);
        }
    }

    /// As `Submission::submit`: past the door, then into the queue. False when refused.
    fn submit(&self) -> bool {
        if self.ending.has_begun() {
            return false;
        }
        self.queue.lock().unwrap().push_back(());
        if self.ending.nobody_comes() {
            self.clear();
        }
        true
    }

    /// As a worker: the look at the end comes before the look at the queue.
    fn work(&self) {
        loop {
            let ending = self.ending.has_begun();
            if self.take() {
                self.ran.fetch_add(1, SeqCst);
            } else if ending {
                break;
            } else {
                thread::yield_now();
            }
        }
        if self.ending.worker_ended() {
            self.clear();
        }
    }

    fn outcomes(&self) -> usize {
        self.ran.load(SeqCst) + self.shut_down.load(SeqCst)
    }
}

#[test]
fn a_call_submitted_while_the_pool_ends_is_run_ended_or_refused() {
    loom::model(|| {
        let pool = Pool::new();
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.work())
        };
        let submitter = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || usize::from(pool.submit()))
        };
        pool.ending.begin();
        worker.join().unwrap();
        let submitted = submitter.join().unwrap();
        assert_eq!(pool.outcomes(), submitted);
    });
}

#[test]
fn a_call_queued_before_the_shutdown_began_is_run() {
    loom::model(|| {
        let pool = Pool::new();
        let worker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.work())
        };
        assert!(pool.submit());
        pool.ending.begin();
        worker.join().unwrap();
        assert_eq!(pool.ran.load(SeqCst), 1);
    });
}

/// The only worker hangs, so the shutdown waits no longer.
#[test]
fn a_call_submitted_while_a_shutdown_gives_up_ends() {
    loom::model(|| {
        let pool = Pool::new();
        let submitters: Vec<_> = (0..2)
            .map(|_| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || usize::from(pool.submit()))
            })
            .collect();
        pool.ending.begin();
        pool.ending.give_up();
        pool.clear();
        let submitted: usize = submitters.into_iter().map(|s| s.join().unwrap()).sum();
        assert_eq!(pool.outcomes(), submitted);
    });
}
