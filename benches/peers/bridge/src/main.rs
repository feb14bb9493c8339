//! What does a round trip through a pool cost, beside tokio, smol, actix, libuv and rayon?
//!
//! One loop thread keeps K calls in flight on W workers; each call does nothing, or takes 5 µs of
//! CPU, or sleeps for 1 ms, and is awaited before the next. `peer-bridge` measures every peer in
//! each cell of that grid, interleaved, each run in a process of its own, and prints the medians as
//! Markdown. `peer-bridge one` is one such run.

mod allocations;
mod bars;
mod case;
mod meter;
mod peers;
mod report;
mod runs;
mod sample;
mod window;
mod work;

use case::{Case, Cell};
use clap::{Args, Parser, Subcommand};
use peers::Peer;
use report::Setting;
use runs::{Counter, Run};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use work::{Kind, calibrate};

#[derive(Parser)]
#[command(
    about = "Round trips through a pool: Pontoon's bridge beside its peers",
    args_override_self = true
)]
struct Arguments {
    #[command(subcommand)]
    one: Option<One>,
    #[command(flatten)]
    all: All,
}

#[derive(Args)]
struct All {
    /// Runs of each peer; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each run measures, in milliseconds
    #[arg(long, default_value_t = 350)]
    run_ms: u64,
    /// How long each run warms up, in milliseconds
    #[arg(long, default_value_t = 100)]
    warm_up_ms: u64,
    /// What calls do
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["noop", "cpu", "sleep"])]
    kinds: Vec<Kind>,
    /// Calls in flight
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256, 4096])]
    in_flight: Vec<usize>,
    /// Worker threads
    #[arg(long, value_delimiter = ',', default_values_t = [2, 4, 64])]
    workers: Vec<usize>,
    /// Who; by default all
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
}

#[derive(Subcommand)]
enum One {
    /// One run; prints what it found in one line
    One(Run),
}

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How long a counting run takes: it needs ratios, not precision.
const COUNT_MS: u64 = 200;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.one {
        Some(One::One(run)) => run.here(),
        None => arguments.all.report(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even that cannot be written there is nobody to tell.
            let _ = writeln!(io::stderr(), "peer-bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

impl All {
    fn report(&self) -> Outcome {
        let spin_iterations = calibrate()?;
        let counter = Counter::find();
        let cells = self.cells();
        let mut cases = Vec::new();
        for (done, cell) in cells.iter().enumerate() {
            // Progress is for people; nothing depends on it.
            let _ = writeln!(io::stderr(), "{} of {}: {cell}", done + 1, cells.len());
            cases.push(self.case(*cell, spin_iterations, counter)?);
        }
        let cpus = std::thread::available_parallelism()?.get();
        let setting = Setting {
            cpus,
            spin_iterations,
            counter,
        };
        write!(io::stdout(), "{}", report::markdown(&cases, setting))?;
        Ok(())
    }

    fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &kind in &self.kinds {
            for &workers in &self.workers {
                for &in_flight in &self.in_flight {
                    cells.push(Cell {
                        kind,
                        in_flight,
                        workers,
                    });
                }
            }
        }
        cells
    }

    fn peers(&self) -> impl Iterator<Item = Peer> {
        let wanted = |peer: &Peer| self.peers.is_empty() || self.peers.contains(peer);
        let available = |peer: &Peer| peer.missing().is_none();
        Peer::ALL.into_iter().filter(wanted).filter(available)
    }

    fn case(&self, cell: Cell, spin_iterations: u64, counter: Option<Counter>) -> Outcome<Case> {
        let run = |peer, run_ms| Run {
            peer,
            cell,
            spin_iterations,
            warm_up_ms: self.warm_up_ms,
            run_ms,
            count: false,
        };
        let mut case = Case::new(cell);
        for _ in 0..self.rounds {
            for peer in self.peers() {
                case.add(peer, &run(peer, self.run_ms).measure()?)?;
            }
        }
        for peer in self.peers() {
            let run_ms = COUNT_MS.min(self.run_ms);
            case.add_counted(peer, run(peer, run_ms).count(counter)?);
        }
        Ok(case)
    }
}
