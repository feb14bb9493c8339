//! What does a round trip of a no-op call through a pool cost, beside tokio and smol?
//!
//! One loop thread keeps K calls in flight on W workers; each call does nothing and is awaited
//! before the next. `peer-bridge` measures every peer for each K and W, interleaved, each run in a
//! process of its own (so that no peer inherits another's threads), and prints the medians as
//! Markdown tables. `peer-bridge one` is one such run.

mod peers;
mod report;

use clap::{Args, Parser, Subcommand};
use peers::Peer;
use report::{Case, Sample};
use std::error::Error;
use std::io::{self, Write};
use std::process::{Command, ExitCode};

#[derive(Parser)]
#[command(about = "Round trips of a no-op call: Pontoon's bridge beside tokio and smol")]
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
    #[arg(long, default_value_t = 500)]
    run_ms: u64,
}

#[derive(Subcommand)]
enum One {
    /// One run; prints the calls, the wall time in ns and the CPU time in ns
    One(Run),
}

/// One run.
#[derive(Args, Clone, Copy)]
struct Run {
    /// Who
    #[arg(long, value_enum)]
    peer: Peer,
    /// Calls in flight
    #[arg(long)]
    in_flight: usize,
    /// Worker threads
    #[arg(long)]
    workers: usize,
    /// How long to measure, in milliseconds
    #[arg(long)]
    run_ms: u64,
}

const IN_FLIGHT: [usize; 4] = [1, 16, 256, 4096];
const WORKERS: [usize; 2] = [4, 64];

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.one {
        Some(One::One(run)) => one(run),
        None => all(&arguments.all),
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

fn one(run: Run) -> Outcome {
    let sample = peers::run(run)?;
    writeln!(io::stdout(), "{sample}")?;
    Ok(())
}

fn all(all: &All) -> Outcome {
    let mut cases = Vec::new();
    for workers in WORKERS {
        for in_flight in IN_FLIGHT {
            let mut case = Case::new(in_flight, workers);
            for _ in 0..all.rounds {
                for peer in Peer::ALL {
                    case.add(peer, in_a_process(all, peer, in_flight, workers)?);
                }
            }
            cases.push(case);
            // Progress is for people; nothing depends on it.
            let _ = write!(io::stderr(), ".");
        }
    }
    let _ = writeln!(io::stderr());
    writeln!(io::stdout(), "{}", report::tables(&cases))?;
    Ok(())
}

fn in_a_process(all: &All, peer: Peer, in_flight: usize, workers: usize) -> Outcome<Sample> {
    let output = Command::new(std::env::current_exe()?)
        .args(["one", "--peer", peer.name()])
        .args(["--in-flight", &in_flight.to_string()])
        .args(["--workers", &workers.to_string()])
        .args(["--run-ms", &all.run_ms.to_string()])
        // The only way to tell smol's pool how many threads it may have.
        .env("BLOCKING_MAX_THREADS", workers.to_string())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let name = peer.name();
        return Err(
            format!("the run of {name} with K={in_flight} W={workers} failed: {why}").into(),
        );
    }
    text.parse()
}
