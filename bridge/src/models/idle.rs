//! Submitters against workers that go idle: the class of tokio#8056.

use super::Bell;
use crate::pool::claimant::{Claimant, Next, Waiting};
use crate::pool::idle::{Idle, Unpark};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::collections::VecDeque;

/// A worker's thread, as far as waking it goes.
#[derive(Clone)]
struct Parked(Arc<Bell>);

impl Unpark for Parked {
    fn unpark(&self) {
        self.0.ring();
    }
}

/// The queue's stand-in: its own lock, and nothing of the protocol.
struct Jobs {
    queue: Mutex<VecDeque<usize>>,
    ending: AtomicBool,
    idle: Idle<Parked>,
}

impl Jobs {
    fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(VecDeque::new()),
            ending: AtomicBool::new(false),
            idle: Idle::new(workers),
        })
    }

    fn submit(&self, job: usize) {
        self.queue.lock().unwrap().push_back(job);
        self.idle.work_was_queued(|| {});
    }

    /// As a loop that tends: in its turn it wakes nobody, and before it sleeps it takes a last look.
    fn submit_tending(&self, jobs: impl IntoIterator<Item = usize>) {
        for job in jobs {
            self.queue.lock().unwrap().push_back(job);
            self.idle.tend();
            self.idle.leave();
            if !Waiting::is_empty(self) {
                self.idle.work_was_queued(|| {});
            }
        }
    }

    fn end(&self) {
        self.ending.store(true, SeqCst);
        loom::sync::atomic::fence(SeqCst);
        self.idle.wake_all();
    }
}

impl Waiting for Jobs {
    type Job = usize;

    fn take(&self) -> Option<usize> {
        self.queue.lock().unwrap().pop_front()
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().unwrap().is_empty()
    }

    /// Every job is short, as far as is known: only the protocol's other rules wake the next worker.
    fn is_backlogged(&self) -> bool {
        false
    }

    fn is_ending(&self) -> bool {
        let ending = self.ending.load(SeqCst);
        loom::sync::atomic::fence(SeqCst);
        ending
    }
}

/// A worker as `pool::worker::work` is one; ends with the queue. If it `searches` it looks again before
/// it sleeps.
fn worker(
    jobs: &Arc<Jobs>,
    index: usize,
    searches: bool,
    run: impl Fn(usize) + 'static,
) -> thread::JoinHandle<()> {
    let jobs = Arc::clone(jobs);
    thread::spawn(move || {
        let bell = Arc::new(Bell::default());
        let mut claimant = Claimant::new(&jobs.idle, index, Parked(Arc::clone(&bell)));
        let mut searched = false;
        loop {
            match claimant.next(&*jobs, || searches && !searched) {
                Next::Run(job) => {
                    searched = false;
                    run(job);
                }
                // One look, which `next` takes.
                Next::Search => searched = true,
                Next::Sleep => {
                    while jobs.idle.is_idle(index) {
                        bell.wait();
                    }
                    claimant.was_woken();
                    searched = false;
                }
                Next::End => return,
            }
        }
    })
}

/// Ends the queue once `count` jobs have run: a job that stays queued is a deadlock.
fn end_after(jobs: &Arc<Jobs>, count: usize) -> impl Fn(usize) + Clone + 'static {
    let (jobs, run) = (Arc::clone(jobs), Arc::new(AtomicUsize::new(0)));
    move |_| {
        if run.fetch_add(1, SeqCst) + 1 == count {
            jobs.end();
        }
    }
}

/// Two jobs of which each returns only once both run: that needs two workers.
fn rendezvous() -> impl Fn(usize) + Clone + 'static {
    let running = [(), ()].map(|()| Arc::new(Bell::default()));
    move |job| {
        running[job].ring();
        running[1 - job].wait();
    }
}

/// Both jobs of a [`rendezvous`], which end the queue.
fn meet(jobs: &Arc<Jobs>) -> impl Fn(usize) + Clone + 'static {
    let (meet, ending) = (rendezvous(), end_after(jobs, 2));
    move |job| {
        meet(job);
        ending(job);
    }
}

fn join(workers: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
}

#[test]
fn no_job_stays_queued_while_the_only_worker_goes_idle() {
    loom::model(|| {
        let jobs = Jobs::new(1);
        let run = end_after(&jobs, 2);
        let worker = worker(&jobs, 0, false, run);
        let other = Arc::clone(&jobs);
        let submitter = thread::spawn(move || other.submit(1));
        jobs.submit(0);
        submitter.join().unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn no_job_stays_queued_while_both_workers_go_idle() {
    loom::model(|| {
        let jobs = Jobs::new(2);
        let run = end_after(&jobs, 2);
        let workers = [
            worker(&jobs, 0, false, run.clone()),
            worker(&jobs, 1, false, run),
        ];
        jobs.submit(0);
        jobs.submit(1);
        join(workers);
    });
}

/// Job 0 returns at once, and of jobs 1 and 2 each returns only once both run. That needs both
/// workers, also when the submitters relied on a searcher that gave up, stood idle, and then found
/// the two of them at its second look.
#[test]
fn a_job_that_hangs_does_not_keep_the_next_one_from_an_idle_worker() {
    loom::model(|| {
        let jobs = Jobs::new(2);
        let (meet, ending) = (rendezvous(), end_after(&jobs, 3));
        let run = move |job: usize| {
            if job > 0 {
                meet(job - 1);
            }
            ending(job);
        };
        let workers = [
            worker(&jobs, 0, false, run.clone()),
            worker(&jobs, 1, false, run),
        ];
        (0..3).for_each(|job| jobs.submit(job));
        join(workers);
    });
}

#[test]
fn no_job_stays_queued_while_a_worker_that_looked_again_goes_idle() {
    loom::model(|| {
        let jobs = Jobs::new(1);
        let run = end_after(&jobs, 2);
        let worker = worker(&jobs, 0, true, run);
        jobs.submit(0);
        jobs.submit(1);
        worker.join().unwrap();
    });
}

/// Both workers look again, but only one at a time does; the other one stands idle.
#[test]
fn a_submitter_relies_on_the_one_worker_that_looks_again() {
    loom::model(|| {
        let jobs = Jobs::new(2);
        let run = end_after(&jobs, 2);
        let workers = [
            worker(&jobs, 0, true, run.clone()),
            worker(&jobs, 1, true, run),
        ];
        jobs.submit(0);
        jobs.submit(1);
        join(workers);
    });
}

/// Each job returns only once both run, so both workers are needed. The jobs are short as far as is
/// known, so the searcher leaves the second one to the loop that tends, and the loop that goes to sleep
/// leaves it to the searcher: one of the two must see to it.
#[test]
fn a_searcher_and_a_loop_that_goes_to_sleep_do_not_leave_a_job_to_each_other() {
    loom::model(|| {
        let jobs = Jobs::new(2);
        let run = meet(&jobs);
        let workers = [
            worker(&jobs, 0, false, run.clone()),
            worker(&jobs, 1, false, run),
        ];
        jobs.submit_tending([0, 1]);
        join(workers);
    });
}

/// Jobs 0 and 1 return only once both run. A loop tends all the while and never looks, and whoever submits
/// is not that loop: the searcher must not leave the second job to it.
#[test]
fn a_searcher_does_not_leave_a_job_to_a_loop_that_did_not_submit_it() {
    loom::model(|| {
        let jobs = Jobs::new(2);
        jobs.idle.tend();
        let run = meet(&jobs);
        let workers = [
            worker(&jobs, 0, false, run.clone()),
            worker(&jobs, 1, true, run),
        ];
        jobs.submit(0);
        jobs.submit(1);
        join(workers);
    });
}

/// A loop thinks that the searcher waits for a CPU, and wakes the next worker: two search.
#[test]
fn no_job_stays_queued_while_two_workers_search() {
    loom::model(|| {
        let jobs = Jobs::new(2);
        let run = end_after(&jobs, 2);
        let workers = [
            worker(&jobs, 0, true, run.clone()),
            worker(&jobs, 1, false, run),
        ];
        jobs.submit(0);
        jobs.idle.wake_another(|| {});
        jobs.submit(1);
        join(workers);
    });
}

/// A loop that tends has queued job 0 and wakes nobody yet. Whoever submits job 1 finds a worker idle and
/// nobody searching, and before it can wake that worker the other one begins to search: it must be told
/// that it is relied on, or it takes job 0 and leaves job 1 to the loop.
#[test]
fn a_searcher_that_begins_while_a_submitter_is_about_to_wake_is_relied_on() {
    loom::model(|| {
        let jobs = Jobs::new(2);
        jobs.idle.tend();
        let run = meet(&jobs);
        let workers = [
            worker(&jobs, 0, false, run.clone()),
            worker(&jobs, 1, true, run),
        ];
        jobs.queue.lock().unwrap().push_back(0);
        jobs.submit(1);
        join(workers);
    });
}
