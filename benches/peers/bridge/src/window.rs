//! One run: the peer works without end, and a thread beside it looks at the counters twice.
//!
//! Nothing is drained between the warm-up and the measurement, nor after it: a start and an end of
//! thousands of calls in flight would be measured with the rest.

use crate::meter::Counts;
use crate::sample::Sample;
use crate::{Outcome, allocations};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::io::{self, Write};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

/// Prints a sample of `run` after `warm_up`, and ends the process: the peer never returns.
pub(crate) fn open(warm_up: Duration, run: Duration) -> Outcome {
    let window = thread::Builder::new().name("window".to_owned());
    window.spawn(move || match watch(warm_up, run) {
        Ok(()) => process::exit(0),
        Err(error) => {
            let _ = writeln!(io::stderr(), "peer-bridge one: {error}");
            process::exit(1);
        }
    })?;
    Ok(())
}

fn watch(warm_up: Duration, run: Duration) -> Outcome {
    thread::sleep(warm_up);
    let before = Snapshot::take()?;
    thread::sleep(run);
    let after = Snapshot::take()?;
    writeln!(io::stdout(), "{}", after.since(&before))?;
    Ok(())
}

struct Snapshot {
    counts: Counts,
    at: Instant,
    cpu_ns: u64,
    switches: u64,
    allocations: u64,
}

impl Snapshot {
    fn take() -> Outcome<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        let switches = usage.voluntary_context_switches() + usage.involuntary_context_switches();
        Ok(Self {
            counts: Counts::take(),
            at: Instant::now(),
            cpu_ns: u64::try_from(cpu_us)? * 1_000,
            switches: u64::try_from(switches)?,
            allocations: allocations::so_far(),
        })
    }

    fn since(&self, before: &Self) -> Sample {
        Sample {
            calls: self.counts.calls - before.counts.calls,
            wall_ns: (self.at - before.at).as_nanos() as u64,
            cpu_ns: self.cpu_ns - before.cpu_ns,
            switches: self.switches - before.switches,
            allocations: self.allocations - before.allocations,
            all_calls: self.counts.calls,
            latencies: self.counts.latencies_since(&before.counts),
        }
    }
}
