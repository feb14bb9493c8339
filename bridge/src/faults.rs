//! Fault points, for tests only: make the k-th fallible call fail, once or from then on.
//!
//! Compiled with the feature `fault-points` alone, which no program that serves anybody should turn on.
//! The method is SQLite's (its tests of I/O and memory errors, <https://sqlite.org/testing.html>): run the
//! same work with the first fallible call failing, then with the second, and so on, until a run ends in
//! which no fault was met.
//!
//! ```
//! use pontoon_bridge::faults::{Faults, Lasts, Point};
//!
//! let faults = Faults::inject(Some(Point::WakeNew), 1, Lasts::Once);
//! let error = pontoon_bridge::inbox::<()>().expect_err("the first eventfd cannot be had");
//! assert_eq!(error.to_string(), "Too many open files (os error 24)");
//! assert!(pontoon_bridge::inbox::<()>().is_ok());
//! assert_eq!(faults.report().first, Some(Point::WakeNew));
//! ```
//!
//! One plan holds for the whole process, so such tests need a program of their own. Only the code of Pontoon
//! has fault points: sockets of the standard library, which a test's client uses, do not fail.

use nix::errno::Errno;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A fallible call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Point {
    /// Making a wake fd (`eventfd`).
    WakeNew,
    /// Writing to a wake fd.
    WakeWrite,
    /// Making a poll (`epoll_create1`).
    PollNew,
    /// Watching a descriptor (`epoll_ctl`, add).
    PollAdd,
    /// Watching it for something else, or once more (`epoll_ctl`, modify).
    PollModify,
    /// Watching it no more (`epoll_ctl`, delete).
    PollRemove,
    /// Accepting a connection.
    Accept,
    /// Reading from a socket of a loop.
    Read,
    /// Writing to a socket of a loop.
    Write,
    /// Opening a session of a library.
    SessionOpen,
    /// Starting a thread, or all threads of a pool.
    ThreadStart,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::WakeNew,
        Self::WakeWrite,
        Self::PollNew,
        Self::PollAdd,
        Self::PollModify,
        Self::PollRemove,
        Self::Accept,
        Self::Read,
        Self::Write,
        Self::SessionOpen,
        Self::ThreadStart,
    ];

    /// How the call fails: as it does when the process or the system runs out, when the peer is gone, or
    /// when a library has closed a descriptor that is not its own.
    fn error(self) -> io::Error {
        match self {
            Self::WakeNew | Self::PollNew | Self::Accept => Errno::EMFILE,
            Self::WakeWrite | Self::PollRemove => Errno::EBADF,
            Self::PollAdd => Errno::ENOSPC,
            Self::PollModify => Errno::ENOMEM,
            Self::Read => Errno::ECONNRESET,
            Self::Write => Errno::EPIPE,
            Self::SessionOpen => Errno::ECONNREFUSED,
            Self::ThreadStart => Errno::EAGAIN,
        }
        .into()
    }
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// One call fails; the same call made again succeeds.
    Once,
    /// That call and all that come after it fail.
    ForGood,
}

/// What was met since the plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Fallible calls that the plan is about, failed or not.
    pub calls: u64,
    /// Those that were made to fail.
    pub injected: u64,
    /// The first of these.
    pub first: Option<Point>,
}

/// The plan in force.
struct Plan {
    /// `None`: any.
    point: Option<Point>,
    kth: u64,
    lasts: Lasts,
    report: Report,
}

/// Locked for a count and a comparison.
static PLAN: Mutex<Option<Plan>> = Mutex::new(None);
/// Held by whoever has made the plan in force.
static OWNER: Mutex<()> = Mutex::new(());

fn plan() -> MutexGuard<'static, Option<Plan>> {
    PLAN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The plan in force; none is once it is dropped.
#[must_use = "the plan ends when this is dropped"]
pub struct Faults(#[expect(dead_code, reason = "held until the end")] MutexGuard<'static, ()>);

impl Faults {
    /// From now on the `kth` call (from 1) of `point`, or of any, fails; with 0 none does, and calls are
    /// only counted. Waits for the end of a plan that another thread has made.
    pub fn inject(point: Option<Point>, kth: u64, lasts: Lasts) -> Self {
        let owner = OWNER.lock().unwrap_or_else(PoisonError::into_inner);
        *plan() = Some(Plan {
            point,
            kth,
            lasts,
            report: Report::default(),
        });
        Self(owner)
    }

    /// What was met so far.
    #[must_use]
    pub fn report(&self) -> Report {
        plan().as_ref().map(|plan| plan.report).unwrap_or_default()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        *plan() = None;
    }
}

impl Plan {
    fn meet(&mut self, point: Point) -> io::Result<()> {
        if self.point.is_some_and(|planned| planned != point) {
            return Ok(());
        }
        let report = &mut self.report;
        report.calls += 1;
        let fails = match self.lasts {
            Lasts::Once => report.calls == self.kth,
            Lasts::ForGood => self.kth > 0 && report.calls >= self.kth,
        };
        if !fails {
            return Ok(());
        }
        report.injected += 1;
        report.first.get_or_insert(point);
        Err(point.error())
    }
}

/// A fallible call is about to be made.
///
/// # Errors
///
/// When the plan says that it fails.
pub fn check(point: Point) -> io::Result<()> {
    plan().as_mut().map_or(Ok(()), |plan| plan.meet(point))
}
