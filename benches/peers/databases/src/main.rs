//! Databases behind a server: Pontoon's adapters beside axum with the clients that its users take.
//!
//! Started by `benches/databases/run`. This program is also the peers: each server is a process of its own.

mod cases;
mod child;
mod run;
mod serve;

use clap::{Parser, Subcommand};
use run::RunArguments;
use serve::ServeArguments;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Databases behind a server: Pontoon beside axum")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures all cases and prints a table for each database
    Run(RunArguments),
    /// One of the peers
    Serve(ServeArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Serve(arguments) => serve::serve(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("peer-databases: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Progress and errors.
fn say(text: &str) {
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
