//! The pool's patrol: a thread that looks at the workers now and then, and does something about calls
//! that do not return.
//!
//! The ladder: a call that has run for `stuck_after` is noted in the log with the thread's whereabouts,
//! and a spare worker comes in for its worker. If the pool is set so, the call is also told to stop, by
//! its context and its session's interrupter. If its library takes that, its system call is ended with
//! a signal at each later look. What nobody can do is end the thread: until the call returns the
//! worker is lost to the pool.
//!
//! A call that goes on after its outcome is looked at part by part, and never while it waits for its reader.

use super::core::Core;
use super::eintr;
use super::record::Running;
use super::signals::block_signals;
use super::sizing::{self, Sizing};
use super::watchdog::HOOK_THREADS;
use super::whereabouts::Whereabouts;
use crate::quiet::{drop_quietly, run_quietly};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::convert::Infallible;
use std::sync::Weak;
use std::time::{Duration, Instant};

/// How often the patrol looks within `stuck_after`, and its least and longest pauses.
const LOOKS: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a worker was seen with.
#[derive(Debug)]
struct Seen {
    running: Running,
    /// When the patrol saw it first: the worker's own note may be a little old.
    since: Instant,
    /// The age at which the log hears of it again, once it is stuck.
    note_again: Option<Duration>,
}

/// The life of the patrol's thread; it ends with the pool.
pub(super) fn patrol(
    pool: &Weak<Core>,
    stuck_after: Duration,
    sizing: Option<Sizing>,
    ended: &Receiver<Infallible>,
) {
    block_signals();
    let longest = sizing.as_ref().map_or(PAUSE_MAX, |_| sizing::INTERVAL);
    let pause = (stuck_after / LOOKS).clamp(PAUSE_MIN, longest);
    let mut patrol = Patrol {
        stuck_after,
        sizing,
        seen: Vec::new(),
        overdue_hooks: [None; HOOK_THREADS],
    };
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let Some(core) = pool.upgrade() else { return };
        // A log's subscriber runs in here. Without the patrol nobody would see what is stuck.
        run_quietly(|| patrol.look(&core, Instant::now()));
        // It may be the last owner of what the pool's user gave.
        drop_quietly(core);
    }
}

struct Patrol {
    stuck_after: Duration,
    sizing: Option<Sizing>,
    /// By worker.
    seen: Vec<Option<Seen>>,
    /// Hooks that the log has heard of, by thread.
    overdue_hooks: [Option<u64>; HOOK_THREADS],
}

impl Patrol {
    fn look(&mut self, core: &Core, now: Instant) {
        let stuck_before = core.staff.stuck();
        let to_note = self.look_at_workers(core, now);
        // Looking where a thread is takes its time: not before all have their spare workers.
        for (worker, running) in to_note {
            note(core, worker, &running, now);
        }
        if core.staff.stuck() > stuck_before {
            note_shortage(core);
        }
        self.look_at_hooks(core, now);
        if let Some(sizing) = &mut self.sizing {
            sizing.look(core, now);
        }
    }

    /// Sees what is stuck, and what no longer is; gives what the log should hear of.
    fn look_at_workers(&mut self, core: &Core, now: Instant) -> Vec<(usize, Running)> {
        let mut to_note = Vec::new();
        for (worker, record) in core.counters.records().enumerate() {
            if self.seen.len() == worker {
                self.seen.push(None);
            }
            let seen = &mut self.seen[worker];
            // Whoever waits for a slow client is not stuck in its library.
            let running = record.running().filter(|_| !record.is_waiting());
            if let Some(before) = seen.take_if(|seen| Some(seen.running) != running)
                && before.note_again.is_some()
            {
                // The worker has said so itself, unless our mark came too late for it to see.
                core.came_back(worker);
                note_return(core, &before.running, record.age(&before.running, now));
            }
            let Some(running) = running else { continue };
            let seen = seen.get_or_insert(Seen {
                running,
                since: now,
                note_again: None,
            });
            let age = now.saturating_duration_since(seen.since);
            match seen.note_again {
                None if age >= self.stuck_after => {
                    core.is_stuck(worker);
                    core.tell_to_stop(worker, &running);
                }
                None => continue,
                Some(again) => {
                    end_system_call(core, worker, &running);
                    if age < again {
                        continue;
                    }
                }
            }
            seen.note_again = Some(age * 2);
            to_note.push((worker, running));
        }
        to_note
    }

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

fn note(core: &Core, worker: usize, running: &Running, now: Instant) {
    let record = core.counters.of(worker);
    let (thread_id, age) = (record.thread_id(), record.age(running, now));
    let whereabouts = thread_id.map(Whereabouts::of).unwrap_or_default();
    let stuck = core.staff.stuck();
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
}

/// Tells the log when the pool has fewer workers than it should have.
fn note_shortage(core: &Core) {
    let (stuck, spare) = (core.staff.stuck(), core.staff.max_stuck);
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
        "a call that was stuck has returned, or goes on"
    );
}

/// Ends the system call that a stuck call is in, if its library gives up on that. If it returns between
/// the look and the signal, one system call of the next call on that thread ends instead.
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
