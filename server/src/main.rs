//! The `pontoon` command.

use clap::Parser;
use pontoon::adapters::registry::Registry;
use pontoon::cli::{
    self, Arguments, Command, DemoArguments, Descriptors, LogArguments, LogFormat, RunArguments,
};
use pontoon::config::{Config, ConfigError};
use pontoon::{Running, Server, ServerError};
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// A request is made on a loop and dropped on a worker. With glibc's allocator the two take turns at one
/// lock then, and the loop sleeps on it; this one hands memory back without.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let registry = Registry::builtin();
    match arguments.command {
        Command::Run(run_arguments) => run(run_arguments, registry, &arguments.log),
        Command::Demo(demo_arguments) => demo(&demo_arguments, &arguments.log),
        Command::Check(check) => {
            let color = cli::wants_color(&io::stderr());
            ended(cli::check(
                &check,
                &registry,
                &mut io::stdout(),
                &mut io::stderr(),
                color,
            ))
        }
        Command::Adapters(adapters) => ended(cli::adapters(
            &adapters,
            &registry,
            &mut io::stdout(),
            &mut io::stderr(),
        )),
    }
}

/// The status of a command that only writes.
fn ended(outcome: io::Result<cli::Outcome>) -> ExitCode {
    match outcome {
        Ok(outcome) => outcome.into(),
        // `pontoon adapters | head` is no mistake.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(format_args!("writing failed: {error}")),
    }
}

fn failed(error: impl Display) -> ExitCode {
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(io::stderr(), "pontoon: {error}");
    ExitCode::FAILURE
}

fn run(arguments: RunArguments, registry: Registry, log: &LogArguments) -> ExitCode {
    let color = cli::wants_color(&io::stderr());
    let descriptors = Descriptors::raise();
    let config = match Config::load_with(&arguments.file, &registry, &arguments.overrides()) {
        Ok(config) => config,
        Err(error) => return failed(rendered(&error, color)),
    };
    let _ = write!(io::stderr(), "{}", config.warnings.render(color));
    let _log = start_log(log);
    let descriptors = told(descriptors);
    warn_of_shortage(descriptors, &config);
    let started = Server::from_config(config).start();
    // Whoever reads below that it listens may send a HUP at once.
    let running = match started.and_then(Running::watch_signals) {
        Ok(running) => running,
        Err(error) => return failed(error),
    };
    tracing::info!(address = %running.address(), file = %arguments.file.display(), "listening");
    if let Some(address) = running.admin_address() {
        tracing::info!(%address, "the admin listener is up");
    }
    let reload = move || {
        let config = Config::load_with(&arguments.file, &registry, &arguments.overrides())?;
        if !config.warnings.diagnostics().is_empty() {
            tracing::warn!("{}", config.warnings);
        }
        warn_of_shortage(descriptors, &config);
        Ok(Server::from_config(config))
    };
    match running.run_and_reload(reload) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServerError::Stuck { .. }) => {
            failed(error);
            ExitCode::from(START_AGAIN)
        }
        Err(error) => failed(error),
    }
}

/// The exit status that asks a supervisor for another start: `EX_TEMPFAIL` of sysexits.
const START_AGAIN: u8 = 75;

/// Tells the log what became of the limit on file descriptors.
fn told(descriptors: io::Result<Descriptors>) -> Option<Descriptors> {
    match descriptors {
        Ok(limits) => {
            let Descriptors { before, now, hard } = limits;
            tracing::debug!(before, now, hard, "the limit on file descriptors");
            Some(limits)
        }
        Err(error) => {
            tracing::warn!(%error, "the limit on file descriptors is not known");
            None
        }
    }
}

fn warn_of_shortage(descriptors: Option<Descriptors>, config: &Config) {
    if let Some(shortage) = descriptors.and_then(|limits| limits.shortage(config)) {
        tracing::warn!("{shortage}");
    }
}

fn rendered(error: &ConfigError, color: bool) -> String {
    error.render(color).to_string()
}

#[cfg(feature = "sqlite")]
fn demo(arguments: &DemoArguments, log: &LogArguments) -> ExitCode {
    let descriptors = Descriptors::raise();
    let _log = start_log(log);
    told(descriptors);
    let demo = match pontoon::demo::Demo::start(&arguments.listen) {
        Ok(demo) => demo,
        Err(error) => return failed(error),
    };
    // The demo runs on when nobody reads what it says.
    let _ = writeln!(io::stdout(), "{}", demo.introduction());
    match demo.run_until_signal() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

#[cfg(not(feature = "sqlite"))]
fn demo(_: &DemoArguments, _: &LogArguments) -> ExitCode {
    failed("the demo needs SQLite: build with `--features sqlite` (it is a default feature)")
}

/// Logs to stderr through a thread of its own: a terminal or pipe that does not take the lines
/// must not stop a loop. Lines that do not fit its buffer are dropped.
fn start_log(log: &LogArguments) -> WorkerGuard {
    let (writer, guard) = tracing_appender::non_blocking(io::stderr());
    let from_env = std::env::var("RUST_LOG").ok();
    let filter = EnvFilter::new(log.filter_or(from_env.as_deref()));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match log.format {
        LogFormat::Text => builder.with_ansi(cli::wants_color(&io::stderr())).init(),
        LogFormat::Json => builder.json().init(),
    }
    guard
}
