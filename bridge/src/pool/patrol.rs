//! The pool's patrol: a thread that looks at the workers now and then, and does something about calls
//! that do not return.
//!
//! The ladder: a call that has run for `stuck_after` is noted in the log with the thread's whereabouts,
//! and a spare worker comes in for its worker. If the pool is set so, the call is also told to stop, by
//! its context and its session's interrupter. If its library takes that, its system call is ended with
//! a signal at each later look. What nobody can do is end the thread: until the call returns the
//! worker is lost to the pool.

use super::core::Core;
use super::eintr;
use super::record::Running;
use super::watchdog::HOOK_THREADS;
use super::whereabouts::Whereabouts;
use super::worker::block_signals;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::convert::Infallible;
use std::sync::Weak;
use std::time::{Duration, Instant};

/// How often the patrol looks within `stuck_after`, and its least and longest pauses.
const LOOKS: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A worker's call that is stuck.
#[derive(Debug)]
struct Stuck {
    running: Running,
    /// The age at which the log hears of it again.
    note_again: Duration,
}

/// The life of the patrol's thread; it ends with the pool.
pub(super) fn patrol(pool: &Weak<Core>, stuck_after: Duration, ended: &Receiver<Infallible>) {
    block_signals();
    let pause = (stuck_after / LOOKS).clamp(PAUSE_MIN, PAUSE_MAX);
    let mut patrol = Patrol {
        stuck_after,
        stuck: Vec::new(),
        overdue_hooks: [None; HOOK_THREADS],
    };
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let Some(core) = pool.upgrade() else { return };
        patrol.look(&core, Instant::now());
        patrol.look_at_hooks(&core, Instant::now());
    }
}

struct Patrol {
    stuck_after: Duration,
    /// By worker.
    stuck: Vec<Option<Stuck>>,
    /// Hooks that the log has heard of, by thread.
    overdue_hooks: [Option<u64>; HOOK_THREADS],
}

impl Patrol {
    fn look(&mut self, core: &Core, now: Instant) {
        for (worker, record) in core.counters.records().enumerate() {
            if self.stuck.len() == worker {
                self.stuck.push(None);
            }
            let known = &mut self.stuck[worker];
            let running = record.running();
            if let Some(stuck) = known.take_if(|stuck| Some(stuck.running) != running) {
                // The worker has said so itself, unless our mark came too late for it to see.
                core.came_back(worker);
                note_return(core, &stuck.running, record.age(&stuck.running, now));
            }
            let Some(running) = running else { continue };
            let age = record.age(&running, now);
            match known {
                None if age >= self.stuck_after => {
                    *known = Some(Stuck {
                        running,
                        note_again: age * 2,
                    });
                    core.is_stuck(worker);
                    note(core, worker, &running, age);
                    core.tell_to_stop(worker, &running);
                }
                None => {}
                Some(stuck) => {
                    if age >= stuck.note_again {
                        stuck.note_again = age * 2;
                        note(core, worker, &running, age);
                    }
                    end_system_call(core, worker, &running);
                }
            }
        }
    }
}

impl Patrol {
    fn look_at_hooks(&mut self, core: &Core, now: Instant) {
        for (hook, known) in core.watchdog.hooks().zip(&mut self.overdue_hooks) {
            let overdue = hook.overdue_ns(now);
            if overdue.is_some() && overdue != *known {
                tracing::error!(
                    pool = core.name(),
                    "an interrupt hook hangs: it has passed its time limit; if another one hangs as well, \
                     calls of this pool cannot be interrupted any more"
                );
            }
            *known = overdue;
        }
    }
}

fn note(core: &Core, worker: usize, running: &Running, age: Duration) {
    let thread_id = core.counters.of(worker).thread_id();
    let whereabouts = thread_id.map(Whereabouts::of).unwrap_or_default();
    let (stuck, spare) = (core.staff.stuck(), core.staff.max_stuck);
    let request = running.tag;
    tracing::warn!(
        pool = core.name(),
        location = core.location_of(running).as_deref(),
        request,
        ?age,
        thread = whereabouts.name(),
        thread_id,
        stuck,
        "a call does not return: {whereabouts}"
    );
    if stuck > spare {
        tracing::error!(
            pool = core.name(),
            stuck,
            max_stuck = spare,
            "more calls are stuck than there are spare workers: the pool has fewer threads than it \
             is set to; look at what the library waits for, or raise `max_stuck`"
        );
    }
}

fn note_return(core: &Core, running: &Running, age: Duration) {
    tracing::warn!(
        pool = core.name(),
        location = core.location_of(running).as_deref(),
        request = running.tag,
        ?age,
        stuck = core.staff.stuck(),
        "a call that was stuck has returned"
    );
}

/// Ends the system call that a stuck call is in, if its library gives up on that.
fn end_system_call(core: &Core, worker: usize, running: &Running) {
    let takes_eintr = core
        .kinds
        .get(running.kind)
        .is_some_and(|kind| kind.takes_eintr);
    let record = core.counters.of(worker);
    if takes_eintr
        && let Some(thread_id) = record.thread_id()
        && record.running().as_ref() == Some(running)
    {
        eintr::send(thread_id);
    }
}
