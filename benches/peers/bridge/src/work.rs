//! What a call does on a worker, and how long 5 µs of it are on this machine.

use crate::Outcome;
use clap::ValueEnum;
use nix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::thread;
use std::time::Duration;

/// What a `cpu` call costs.
pub(crate) const SPIN: Duration = Duration::from_micros(5);
/// What a `sleep` call takes.
pub(crate) const SLEEP: Duration = Duration::from_millis(1);

/// The three kinds of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Nothing: what the bridge itself costs
    Noop,
    /// 5 µs of CPU: how much of the machine is left for the work
    Cpu,
    /// 1 ms of sleep: what waiting costs
    Sleep,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Cpu => "cpu",
            Self::Sleep => "sleep",
        }
    }
}

/// One call's work. Every peer's closure captures it, as a real call captures its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Noop,
    /// So many steps, not so much time: a preempted worker must not count its waiting as work.
    Spin(u64),
    Sleep,
}

impl Work {
    pub(crate) fn new(kind: Kind, spin_iterations: u64) -> Self {
        match kind {
            Kind::Noop => Self::Noop,
            Kind::Cpu => Self::Spin(spin_iterations),
            Kind::Sleep => Self::Sleep,
        }
    }

    /// Runs on a worker.
    pub(crate) fn run(self) {
        match self {
            Self::Noop => {}
            Self::Spin(iterations) => spin(iterations),
            Self::Sleep => thread::sleep(SLEEP),
        }
    }
}

/// xorshift: each step needs the one before, so the compiler can skip nothing, and C runs it at the
/// same speed (`libuv/peer.c`).
fn spin(iterations: u64) {
    let mut x = iterations | 1;
    for _ in 0..iterations {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    black_box(x);
}

/// How many steps take [`SPIN`] of a thread's own time.
///
/// Measured once by the process that starts the runs, so that all peers do exactly the same work.
/// The fastest of several: whatever disturbs one only makes it slower.
pub(crate) fn calibrate() -> Outcome<u64> {
    const STEPS: u64 = 500_000;
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let before = thread_time()?;
        spin(black_box(STEPS));
        fastest = fastest.min(thread_time()? - before);
    }
    let steps = STEPS as f64 * SPIN.as_secs_f64() / fastest.as_secs_f64();
    Ok(steps.round() as u64)
}

fn thread_time() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibrated_steps_take_about_as_long_as_they_should() {
        let steps = calibrate().unwrap();
        let before = thread_time().unwrap();
        for _ in 0..200 {
            spin(black_box(steps));
        }
        let each = (thread_time().unwrap() - before) / 200;
        // Generous: the machine that runs the tests may be busy.
        assert!(each > SPIN / 3 && each < SPIN * 3, "{each:?}");
    }
}
