//! What the handlers of all servers do on a thread that may block, and what they count of it.
//!
//! A request says in its query how long it takes (`us`), how it goes wrong (`fault`) and until when its
//! client waits (`until`, nanoseconds of the machine's monotonic clock): so each server can tell by
//! itself which calls it ran for nobody.

use peer_load::monotonic_ns;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

/// A call, as its query describes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    duration: Duration,
    fault: Fault,
    /// When the client gives up; 0: never.
    until_ns: u64,
}

/// How a call goes wrong once its time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    Error,
    Panic,
}

/// The library said no.
#[derive(Debug)]
pub(crate) struct Failed;

/// What has run here so far.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    /// Calls that began although their client had given up.
    pub(crate) for_nobody: u64,
}

// Relaxed, all of them: statistics, read when all has ended.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static FOR_NOBODY: AtomicU64 = AtomicU64::new(0);

impl Counts {
    pub(crate) fn now() -> Self {
        Self {
            begun: BEGUN.load(Relaxed),
            ended: ENDED.load(Relaxed),
            for_nobody: FOR_NOBODY.load(Relaxed),
        }
    }

    pub(crate) fn as_json(self) -> String {
        serde_json::to_string(&self).unwrap_or_default()
    }
}

impl Work {
    /// What it does not understand it leaves out: only this program asks.
    pub(crate) fn from_query(query: &str) -> Self {
        let mut work = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (name, value) {
                ("us", _) => work.duration = Duration::from_micros(value.parse().unwrap_or(0)),
                ("until", _) => work.until_ns = value.parse().unwrap_or(0),
                ("fault", "error") => work.fault = Fault::Error,
                ("fault", "panic") => work.fault = Fault::Panic,
                _ => {}
            }
        }
        work
    }

    /// Blocks this thread.
    pub(crate) fn run(self) -> Result<&'static str, Failed> {
        BEGUN.fetch_add(1, Relaxed);
        let _ended = CountsEnd;
        if self.until_ns > 0 && monotonic_ns() >= self.until_ns {
            FOR_NOBODY.fetch_add(1, Relaxed);
        }
        if !self.duration.is_zero() {
            thread::sleep(self.duration);
        }
        match self.fault {
            Fault::None => Ok("done\n"),
            Fault::Error => Err(Failed),
            Fault::Panic => panic!("this call was asked to panic"),
        }
    }
}

/// Counts a call that ends, also by a panic.
struct CountsEnd;

impl Drop for CountsEnd {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_a_call_does() {
        let work = Work::from_query("us=1500&until=7&fault=error&else=1");
        assert_eq!(work.duration, Duration::from_micros(1500));
        assert_eq!((work.until_ns, work.fault), (7, Fault::Error));
        assert_eq!(Work::from_query("").fault, Fault::None);
    }

    #[test]
    fn what_runs_for_nobody_is_counted() {
        let before = Counts::now();
        assert!(Work::from_query("until=1").run().is_ok());
        let later = monotonic_ns() + 60_000_000_000;
        assert!(
            Work::from_query(&format!("until={later}&fault=error"))
                .run()
                .is_err()
        );
        let after = Counts::now();
        assert_eq!(after.for_nobody - before.for_nobody, 1);
        assert_eq!(after.begun - before.begun, 2);
        assert_eq!(after.ended, after.begun);
    }
}
