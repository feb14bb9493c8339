//! Why a config cannot be used.

use std::io;
use std::path::PathBuf;

use pontoon_adapters::settings::SettingsErrors;

/// A config that cannot be used. Its `Display` is what the operator should see: everything that
/// is wrong, each with its place and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file `{}`: {source}{}", path.display(), read_help(source))]
    Read {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any config is.
    #[error("the config file `{}` is larger than {limit_bytes} bytes; is it the right file?", path.display())]
    TooLarge {
        /// The path as it was given.
        path: PathBuf,
        /// The largest file that is read.
        limit_bytes: u64,
    },
    /// The text is wrong.
    #[error("{}", render_errors(.0, false))]
    Invalid(SettingsErrors),
}

impl ConfigError {
    /// Like `Display`, and with terminal colors where `color` says so.
    pub fn render(&self, color: bool) -> String {
        match self {
            Self::Invalid(errors) => render_errors(errors, color),
            _ => self.to_string(),
        }
    }
}

fn read_help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "\nhelp: check the path, or see a server at work without a file: `pontoon demo`"
        }
        io::ErrorKind::PermissionDenied => {
            "\nhelp: let the user that runs pontoon read the file and enter its directory"
        }
        io::ErrorKind::IsADirectory => "\nhelp: give the path of the file in it",
        _ => "",
    }
}

fn render_errors(errors: &SettingsErrors, color: bool) -> String {
    let count = errors
        .diagnostics()
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    let noun = if count == 1 { "error" } else { "errors" };
    format!(
        "{}\n{}: {count} {noun}",
        errors.render(color),
        errors.file_name()
    )
}
