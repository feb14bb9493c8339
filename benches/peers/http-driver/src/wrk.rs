//! The load: one run of wrk against one route.

use crate::Outcome;
use crate::cases::Route;
use crate::wait::Stop;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

/// Longer than any queue here: what takes longer is an error.
const TIMEOUT_S: u64 = 10;
/// How long wrk may take beyond what it was told.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to run wrk.
#[derive(Debug)]
pub(crate) struct Wrk {
    script: PathBuf,
    stop: Stop,
}

/// What wrk saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) duration_us: u64,
    pub(crate) failed: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

impl Wrk {
    pub(crate) fn new(folder: &Path, stop: Stop) -> Outcome<Self> {
        let script = folder.join("wrk.lua");
        fs::write(&script, include_str!("wrk.lua"))?;
        Ok(Self { script, stop })
    }

    /// Keeps this many connections busy for so long.
    pub(crate) fn run(
        &self,
        address: SocketAddr,
        route: Route,
        connections: usize,
        seconds: u64,
    ) -> Outcome<Seen> {
        let child = Command::new("wrk")
            .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
            .arg(format!("--timeout={TIMEOUT_S}s"))
            .arg("-s")
            .arg(&self.script)
            .arg(format!("http://{address}{}", route.path()))
            // The script reads it.
            .envs(route.body().map(|body| ("WRK_BODY", body)))
            .stdin(Stdio::null())
            // What it prints fits into a pipe, so it can be read afterwards.
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child =
            KillOnDrop(child.map_err(|error| format!("`wrk` does not start: {error}"))?);
        let limit = Duration::from_secs(seconds) + PATIENCE;
        let wait = || Ok(child.0.try_wait()?);
        let status = self.stop.until("wrk", limit, wait)?;
        let mut output = String::new();
        if let (Some(out), Some(err)) = (&mut child.0.stdout, &mut child.0.stderr) {
            out.read_to_string(&mut output)?;
            err.read_to_string(&mut output)?;
        }
        if !status.success() {
            return Err(format!("wrk failed ({status}): {output}").into());
        }
        let figures = output
            .lines()
            .find_map(|line| line.strip_prefix("figures "));
        let seen: Seen = figures
            .ok_or_else(|| format!("wrk printed no figures: {output}"))?
            .parse()?;
        if seen.failed > 0 || seen.requests == 0 {
            let (failed, requests) = (seen.failed, seen.requests);
            return Err(format!(
                "{failed} errors in {requests} requests; if they are of `connect`, see `ulimit -Hn`: \
                {output}"
            ).into());
        }
        Ok(seen)
    }
}

/// An interrupted wrk must not run on.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl FromStr for Seen {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        match numbers.as_deref() {
            Ok(
                &[
                    requests,
                    duration_us @ (1..),
                    failed,
                    p50_us,
                    p99_us,
                    p999_us,
                    max_us,
                ],
            ) => Ok(Self {
                requests,
                duration_us,
                failed,
                p50_us,
                p99_us,
                p999_us,
                max_us,
            }),
            _ => Err(format!("wrk's figures are not as expected: `{line}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_in_the_order_of_the_script() {
        let seen: Seen = "1000 2000000 0 50 99 999 1234".parse().unwrap();
        assert_eq!((seen.requests, seen.duration_us), (1000, 2_000_000));
        assert_eq!((seen.p50_us, seen.p99_us), (50, 99));
        assert_eq!((seen.p999_us, seen.max_us), (999, 1234));
    }

    #[test]
    fn a_run_of_no_time_is_an_error_not_a_figure() {
        assert!("1000 0 0 50 99 999 1234".parse::<Seen>().is_err());
        assert!("1000 2000000".parse::<Seen>().is_err());
    }
}
