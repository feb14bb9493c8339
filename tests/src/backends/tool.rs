//! Running the programs that come with a backend.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{find, home};
use crate::PATIENCE;

/// A program that ends with the thread that starts it, by this signal, and that runs as [`home::user`]. It
/// inherits nothing from us but `PATH`: no locale, no `PGHOST`.
pub(super) fn owned(program: &Path, death_signal: &str) -> Command {
    // By a program, because the kernel forgets the signal when a process changes its user.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", death_signal]);
    if let Some((uid, gid)) = home::user() {
        command.arg(format!("--reuid={uid}"));
        command.arg(format!("--regid={gid}"));
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program);
    without_environment(&mut command);
    command
}

/// A client of a backend, which is killed when it takes too long: a paused server never answers.
pub(super) fn client(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    let seconds = PATIENCE.as_secs().to_string();
    command.args(["--signal=KILL", &seconds]).arg(program);
    without_environment(&mut command);
    command
}

fn without_environment(command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null());
}

/// What those two rely on, beside the backend's own programs.
pub(super) fn is_there(backend: &str) -> bool {
    for (program, package) in [("setpriv", "util-linux"), ("timeout", "coreutils")] {
        if find::program(&[program], &[]).is_none() {
            find::skip(backend, program, package);
            return false;
        }
    }
    true
}

/// Runs a program to its end; gives what it wrote.
///
/// # Errors
///
/// What it said when it failed.
pub(super) fn run(mut command: Command, input: &[u8]) -> Result<String, String> {
    // From a file, so that it cannot wait for us while we wait for it.
    let file = tempfile::tempfile().and_then(|mut file| {
        file.write_all(input)?;
        file.rewind()?;
        Ok::<File, _>(file)
    });
    command.stdin(file.expect("a temporary file"));
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let Output { status, .. } = output;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!(
        "{status}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    ))
}
