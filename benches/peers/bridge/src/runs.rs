//! Runs, each a process of its own, so that no peer inherits another's threads.

use crate::case::{Cell, Counted};
use crate::peers::{Load, Peer};
use crate::sample::Sample;
use crate::work::{Kind, Work};
use crate::{Outcome, allocations, peers, window};
use clap::Args;
use nix::unistd::alarm;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Of no-op calls, with more than one in flight, one of so many is timed: else the clock would be a
/// large part of what is measured.
const SAMPLE_EVERY: u32 = 16;
/// A run that takes so much longer than it should is ended by the system.
const OVERTIME_S: u32 = 30;

/// What to run; also the arguments of `peer-bridge one`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Who
    #[arg(long, value_enum)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) cell: Cell,
    /// Steps of a `cpu` call
    #[arg(long)]
    pub(crate) spin_iterations: u64,
    /// How long to wait before measuring, in milliseconds
    #[arg(long)]
    pub(crate) warm_up_ms: u64,
    /// How long to measure, in milliseconds
    #[arg(long)]
    pub(crate) run_ms: u64,
    /// Count allocations
    #[arg(long)]
    pub(crate) count: bool,
}

impl Run {
    /// This process becomes the run: it prints a sample and ends.
    pub(crate) fn here(self) -> Outcome {
        let seconds = (self.warm_up_ms + self.run_ms) / 1_000;
        // Outlives `exec`, so it holds for the C program, too.
        alarm::set(OVERTIME_S + u32::try_from(seconds)?);
        if self.count {
            allocations::count();
        }
        let load = Load {
            work: Work::new(self.cell.kind, self.spin_iterations),
            in_flight: self.cell.in_flight,
            workers: self.cell.workers,
            sample_every: sample_every(self.cell),
            warm_up_ms: self.warm_up_ms,
            run_ms: self.run_ms,
            count: self.count,
        };
        // libuv's program opens its own.
        if self.peer != Peer::Libuv {
            let [warm_up, run] = [self.warm_up_ms, self.run_ms].map(Duration::from_millis);
            window::open(warm_up, run)?;
        }
        peers::run(self.peer, load)?;
        Err("the peer ended before its run did".into())
    }

    fn arguments(self) -> Vec<String> {
        let name = self.cell.kind.name();
        let mut arguments: Vec<String> = ["one", "--peer", self.peer.name(), "--kind", name]
            .map(str::to_owned)
            .into();
        let numbers = [
            ("--in-flight", self.cell.in_flight as u64),
            ("--workers", self.cell.workers as u64),
            ("--spin-iterations", self.spin_iterations),
            ("--warm-up-ms", self.warm_up_ms),
            ("--run-ms", self.run_ms),
        ];
        for (option, number) in numbers {
            arguments.extend([option.to_owned(), number.to_string()]);
        }
        if self.count {
            arguments.push("--count".to_owned());
        }
        arguments
    }

    /// A run in a process of its own.
    pub(crate) fn measure(self) -> Outcome<Sample> {
        self.finish(Command::new(std::env::current_exe()?))
    }

    /// A short run whose times do not matter.
    pub(crate) fn count(self, counter: Option<Counter>) -> Outcome<Counted> {
        let run = Self {
            count: true,
            ..self
        };
        let Some(counter) = counter else {
            return Ok(Counted::new(
                &run.finish(Command::new(std::env::current_exe()?))?,
                None,
            ));
        };
        let file = std::env::temp_dir().join(format!("peer-bridge-{}", std::process::id()));
        let mut command = counter.command(&file);
        command.arg(std::env::current_exe()?);
        let sample = run.finish(command);
        let found = fs::read_to_string(&file).unwrap_or_default();
        // It may never have been made.
        let _ = fs::remove_file(&file);
        Ok(Counted::new(&sample?, counter.writes(&found)))
    }

    fn finish(self, mut command: Command) -> Outcome<Sample> {
        let output = command
            .args(self.arguments())
            // The only way to tell smol's pool how many threads it may have.
            .env("BLOCKING_MAX_THREADS", self.cell.workers.to_string())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let sample = text.parse();
        sample.map_err(|error| {
            let why = String::from_utf8_lossy(&output.stderr);
            let (name, status) = (self.peer.name(), output.status);
            format!(
                "the run of {name} with {} failed ({status}): {error} {why}",
                self.cell
            )
            .into()
        })
    }
}

fn sample_every(cell: Cell) -> u32 {
    match cell.kind {
        Kind::Noop if cell.in_flight > 1 => SAMPLE_EVERY,
        _ => 1,
    }
}

/// What counts the writes to an eventfd from outside: those of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// A tracepoint in the kernel: disturbs least, needs root or a permissive system
    Perf,
    /// Stops the thread at each write
    Strace,
}

impl Counter {
    /// The best that works here.
    pub(crate) fn find() -> Option<Self> {
        [Self::Perf, Self::Strace].into_iter().find(|counter| {
            let file = std::env::temp_dir().join(format!("peer-bridge-{}", std::process::id()));
            let tried = counter.command(&file).arg("true").output();
            let found = fs::read_to_string(&file).unwrap_or_default();
            let _ = fs::remove_file(&file);
            tried.is_ok_and(|output| output.status.success()) && counter.writes(&found).is_some()
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Strace => "strace",
        }
    }

    fn command(self, file: &PathBuf) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Self::Perf => command
                .args(["stat", "-x,", "-e", "syscalls:sys_enter_write"])
                .args(["--filter", "count == 8", "-o"]),
            Self::Strace => command.args(["-f", "--seccomp-bpf", "-e", "trace=write", "-o"]),
        };
        command.arg(file).arg("--");
        command
    }

    /// The number of writes of 8 bytes in what it found.
    fn writes(self, found: &str) -> Option<u64> {
        match self {
            Self::Perf => {
                let mut lines = found.lines();
                let line = lines.find(|line| line.contains("sys_enter_write"))?;
                line.split(',').next()?.parse().ok()
            }
            // The line of a write that another thread's interrupted ends like any other.
            Self::Strace => {
                let ended = found.lines().filter(|line| line.ends_with(" = 8"));
                found.contains("exited").then(|| ended.count() as u64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_read_from_what_perf_says() {
        let found = "# started on\n\n1234,,syscalls:sys_enter_write,696212,100.00,,\n";
        assert_eq!(Counter::Perf.writes(found), Some(1234));
        let refused = "<not supported>,,syscalls:sys_enter_write,0,100.00,,\n";
        assert_eq!(Counter::Perf.writes(refused), None);
        assert_eq!(Counter::Perf.writes(""), None);
    }

    #[test]
    fn writes_of_eight_bytes_are_counted_in_what_strace_says() {
        let found = "7 write(4, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n\
                     8 write(1, \"hi\\n\", 3)               = 3\n\
                     8 <... write resumed>)              = 8\n\
                     7 +++ exited with 0 +++\n";
        assert_eq!(Counter::Strace.writes(found), Some(2));
        assert_eq!(Counter::Strace.writes(""), None);
    }

    #[test]
    fn only_no_op_calls_that_overlap_are_sampled() {
        let cell = |kind, in_flight| Cell {
            kind,
            in_flight,
            workers: 4,
        };
        assert_eq!(sample_every(cell(Kind::Noop, 256)), SAMPLE_EVERY);
        assert_eq!(sample_every(cell(Kind::Noop, 1)), 1);
        assert_eq!(sample_every(cell(Kind::Cpu, 256)), 1);
    }
}
