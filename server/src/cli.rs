//! The command line: what may be written, and the commands that only look.
//!
//! `main` parses [`Arguments`], sets up the log, and runs the [`Command`]. `check` and `adapters`
//! are here whole; `run` and `demo` need a server. Mistakes in the command line itself end with
//! status 2, before anything else happens.

mod adapters;
mod check;
mod descriptors;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

pub use adapters::adapters;
pub use check::check;
pub use descriptors::{Descriptors, Shortage};

use crate::config::{ListenAddress, Overrides};

/// The config file of `pontoon run`, unless another is named.
pub const FILE_DEFAULT: &str = "pontoon.toml";
/// Where `pontoon demo` listens, unless told otherwise.
pub const DEMO_LISTEN_DEFAULT: &str = "127.0.0.1:8080";
/// What is logged, unless `--log` or `RUST_LOG` say otherwise.
pub const LOG_FILTER_DEFAULT: &str = "info";

/// Everything on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(
    name = "pontoon",
    version,
    about = "Serves blocking libraries over HTTP from an event loop",
    long_about = "Serves blocking libraries over HTTP from an event loop.\n\n\
        A config file puts adapters (SQLite, your own) on paths. Worker threads run\n\
        the libraries; event loops own the connections. What cannot be answered in time is\n\
        answered 503 or 504 at once.",
    after_help = "Examples:\n  \
        pontoon demo                    a server with something to try, no file needed\n  \
        pontoon check pontoon.toml      all mistakes of a config file at once\n  \
        pontoon run pontoon.toml        serve it"
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to log.
    #[command(flatten)]
    pub log: LogArguments,
}

/// How to log, for every command.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LogArguments {
    /// What to log: a level, or levels by module
    ///
    /// For example `debug`, or `warn,pontoon=debug`. Wins over RUST_LOG; without either, `info`.
    #[arg(long = "log", value_name = "FILTER", global = true, value_parser = log_filter)]
    pub filter: Option<String>,
    /// How log lines look
    #[arg(
        long = "log-format",
        value_name = "FORMAT",
        global = true,
        default_value = "text"
    )]
    pub format: LogFormat,
}

impl LogArguments {
    /// The filter to use, given the value of `RUST_LOG`. An empty `RUST_LOG` counts as none.
    pub fn filter_or<'a>(&'a self, rust_log: Option<&'a str>) -> &'a str {
        let rust_log = rust_log.filter(|filter| !filter.trim().is_empty());
        self.filter
            .as_deref()
            .or(rust_log)
            .unwrap_or(LOG_FILTER_DEFAULT)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for programs
    Json,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve a config file
    #[command(
        after_help = "Example:\n  pontoon run pontoon.toml --listen 127.0.0.1:8080\n\n\
            TERM and INT end the running calls and stop; a second one stops now.\n\
            HUP reads the file again: new requests see what it says then.\n\n\
            Exit status: 0 after a stop, also one that left hung calls behind; 1 if the server\n\
            could not start, or a second signal cut the stop short; 2 for a wrong command line;\n\
            75 if `restart_when_stuck` stopped it: start it again."
    )]
    Run(RunArguments),
    /// Tell everything that is wrong with a config file
    ///
    /// Listens nowhere and connects to nothing. Ends with status 1 if the file cannot be used.
    #[command(after_help = "Example:\n  pontoon check pontoon.toml")]
    Check(CheckArguments),
    /// List the adapters of this build, or the keys of one
    #[command(after_help = "Examples:\n  pontoon adapters\n  pontoon adapters sqlite")]
    Adapters(AdaptersArguments),
    /// Serve something to try, without a config file
    #[command(after_help = "Example:\n  pontoon demo --listen 127.0.0.1:8080")]
    Demo(DemoArguments),
}

/// The arguments of `pontoon run`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RunArguments {
    /// The config file
    #[arg(value_name = "FILE", default_value = FILE_DEFAULT)]
    pub file: PathBuf,
    /// Where to listen, instead of what the file says: IP:PORT or unix:/PATH
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<ListenAddress>,
}

impl RunArguments {
    /// What to read the file with.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
        }
    }
}

/// The arguments of `pontoon check`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CheckArguments {
    /// The config file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The --listen that `pontoon run` will be given, for a file without an address
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<ListenAddress>,
}

/// The arguments of `pontoon adapters`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AdaptersArguments {
    /// The adapter to tell all about; without it, all in short
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// The arguments of `pontoon demo`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DemoArguments {
    /// Where to listen: IP:PORT or unix:/PATH
    #[arg(long, value_name = "ADDR", default_value = DEMO_LISTEN_DEFAULT)]
    pub listen: ListenAddress,
}

/// How a command ended, as the shell will see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Status 0.
    Success,
    /// Status 1: the thing that was looked at, or done, is not all right.
    Failure,
    /// Status 2: the command line asks for what there is not.
    Usage,
}

impl Outcome {
    /// The exit status.
    pub const fn status(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.status())
    }
}

/// Whether to color what goes to this stream: it is a terminal that can, and `NO_COLOR` is unset.
pub fn wants_color(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !set("NO_COLOR") && !dumb
}

fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}; write a level (`debug`) or `module=level` pairs"
        )),
    }
}
