//! Waiting for processes: never longer than a limit, and not after INT or TERM.

use crate::Outcome;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough not to disturb what is measured, short enough that nobody notices.
const POLL: Duration = Duration::from_millis(10);

/// Whether this program was told to stop. Everything that waits looks here, so that an
/// interrupted run ends through the same destructors as any other.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn on_signals() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    pub(crate) fn asked(&self) -> bool {
        // Nothing else is published with it.
        self.0.load(Ordering::Relaxed)
    }

    /// Asks `ready` again and again until it has an answer.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Outcome<Option<T>>,
    ) -> Outcome<T> {
        let start = Instant::now();
        loop {
            // First: Ctrl-C ends the other process as well, which is no answer then.
            if self.asked() {
                return Err("interrupted".into());
            }
            if let Some(answer) = ready()? {
                return Ok(answer);
            }
            if start.elapsed() > limit {
                return Err(format!("{what} took more than {} s", limit.as_secs()).into());
            }
            thread::sleep(POLL);
        }
    }
}

/// Whether the process ended within the limit, and how. It waits whatever [`Stop`] says: it is
/// what stopping calls.
pub(crate) fn ended_within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        let status = child.try_wait()?;
        if status.is_some() || start.elapsed() > limit {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
}
