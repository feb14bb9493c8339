//! `pontoon check FILE`.

use std::io::{self, Write};

use pontoon_adapters::registry::Registry;

use super::{CheckArguments, Outcome};
use crate::config::{Config, Overrides};

/// Reads the config file and says what it found: one line on `out` where the file is good, and
/// errors and warnings on `problems`, in color where `color` says so.
///
/// # Errors
///
/// Writing failed.
pub fn check(
    arguments: &CheckArguments,
    registry: &Registry,
    out: &mut dyn Write,
    problems: &mut dyn Write,
    color: bool,
) -> io::Result<Outcome> {
    let overrides = Overrides {
        listen: arguments.listen.clone(),
    };
    let config = match Config::load_with(&arguments.file, registry, &overrides) {
        Ok(config) => config,
        Err(error) => {
            writeln!(problems, "{}", error.render(color))?;
            return Ok(Outcome::Failure);
        }
    };
    write!(problems, "{}", config.warnings.render(color))?;
    writeln!(
        out,
        "{}: ok, {}, {}",
        arguments.file.display(),
        counted(config.locations.len(), "location"),
        counted(config.pools.len(), "pool"),
    )?;
    Ok(Outcome::Success)
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
