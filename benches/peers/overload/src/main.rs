//! What overload and faults do to servers: Pontoon beside tokio, axum and actix-web.
//!
//! Started by `benches/overload/run`. This program is also what it measures: each run of the bridge and
//! each server is a process of its own, so that nothing of one is left for the next.

mod bridge;
mod child;
mod report;
mod scenario;
mod serve;
mod work;

use bridge::BridgeArguments;
use clap::{Parser, Subcommand};
use report::RunArguments;
use serve::ServeArguments;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(about = "Overload and faults: Pontoon beside tokio, axum and actix-web")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures all scenarios and prints a table for each
    Run(RunArguments),
    /// One run of the bridge's scenario, as JSON
    Bridge(BridgeArguments),
    /// One of the servers
    Serve(ServeArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => report::run(&arguments),
        Command::Bridge(arguments) => bridge::run(arguments),
        Command::Serve(arguments) => serve::serve(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("peer-overload: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Progress and errors.
fn say(text: &str) {
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
