//! What can go wrong with a call or a pool, as values with a next step.

use crate::quiet::drop_quietly;
use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Any error that foreign code or a session factory may return.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call was refused: at the door, or by the worker that came for it. It was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// As many calls as the pool may hold are running or waiting.
    #[error(
        "pool `{pool}` is full: {in_flight} calls are running or waiting; retry in {} s, \
         or give it more threads or a longer queue",
        retry_after.as_secs()
    )]
    QueueFull {
        /// The pool's name.
        pool: String,
        /// Calls running or waiting.
        in_flight: usize,
        /// When there will probably be room, from what calls took lately; at least 1 s.
        retry_after: Duration,
    },
    /// The call would not be served within its deadline.
    #[error(
        "pool `{pool}` would serve the call too late: it would wait, or has waited, for {wait:?}; retry \
         in {} s, or give the call more time or the pool more threads",
        retry_after.as_secs()
    )]
    WouldBeLate {
        /// The pool's name.
        pool: String,
        /// How long it would probably have waited or, refused by a worker, has waited.
        wait: Duration,
        /// When there will probably be room, from what calls took lately; at least 1 s.
        retry_after: Duration,
    },
    /// Calls wait longer than they should, and have for a while; see [`CoDel`](crate::CoDel).
    #[error(
        "pool `{pool}` is overloaded: a wait of {wait:?} is too long for a queue that does not get \
         shorter; retry in {} s, or give it more threads (`codel_target = \"off\"` lets calls wait)",
        retry_after.as_secs()
    )]
    Overloaded {
        /// The pool's name.
        pool: String,
        /// How long it would probably have waited or, refused by a worker, has waited.
        wait: Duration,
        /// When there will probably be room, from what calls took lately; at least 1 s.
        retry_after: Duration,
    },
    /// What is behind the library has failed too often lately; see
    /// [`PoolBuilder::breaker`](crate::PoolBuilder::breaker).
    #[error(
        "pool `{pool}` takes no calls: what is behind its library fails, and the log says how; it is \
         tried again in {} s (`breaker = \"off\"` lets all calls try)",
        retry_after.as_secs()
    )]
    BackendDown {
        /// The pool's name.
        pool: String,
        /// When the next call may find out whether it works again; at least 1 s.
        retry_after: Duration,
    },
    /// The pool is shutting down.
    #[error("pool `{pool}` is shutting down and takes no more calls")]
    ShuttingDown {
        /// The pool's name.
        pool: String,
    },
}

impl SubmitError {
    /// When to try again, if that helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. }
            | Self::WouldBeLate { retry_after, .. }
            | Self::Overloaded { retry_after, .. }
            | Self::BackendDown { retry_after, .. } => Some(*retry_after),
            Self::ShuttingDown { .. } => None,
        }
    }
}

/// How a call ended, other than by the foreign code's own return value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was refused, and not run.
    #[error(transparent)]
    Rejected(#[from] SubmitError),
    /// The foreign code panicked; the session it ran in was discarded.
    #[error("the call panicked: {message}")]
    Panicked {
        /// The panic's message, if it was text.
        message: String,
    },
    /// The completer was dropped without completing: a library lost its callback.
    #[error("the call was abandoned: the library dropped its callback without an answer")]
    Abandoned,
    /// The deadline passed. If the call was running it may still be: its worker stays taken.
    #[error("the deadline passed {}", if *.running { "while the call was running" } else { "before the call was run" })]
    DeadlineExceeded {
        /// Whether a worker or a callback library had the call.
        running: bool,
    },
    /// The worker could not open a session.
    #[error("no session could be opened: {0}")]
    SessionFailed(#[source] BoxError),
    /// No session was opened for the call: none could be a moment ago, and it is not time yet to try
    /// again.
    #[error(
        "no session was opened: pool `{pool}` could open none a moment ago ({last_error}), and tries \
         again in {} s at the latest",
        retry_after.as_secs()
    )]
    BackingOff {
        /// The pool's name.
        pool: String,
        /// Why no session could be opened, with what caused it.
        last_error: Arc<str>,
        /// When it is tried again, in whole seconds.
        retry_after: Duration,
    },
    /// The pool was shut down before the call was run.
    #[error("the call was cancelled: its pool was shut down")]
    ShutDown,
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting makes no sense.
    #[error("pool `{pool}`: {problem}")]
    Invalid {
        /// The pool's name.
        pool: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The OS would not or did not give all the threads.
    #[error(
        "pool `{pool}` needs {threads} threads, {spare} spare ones and a watchdog's three, but {limit}; \
         lower `threads` or `max_stuck`, or raise the limit"
    )]
    ThreadRefused {
        /// The pool's name.
        pool: String,
        /// Worker threads asked for.
        threads: usize,
        /// Spare threads for stuck calls.
        spare: usize,
        /// The limit that was hit, in words with its value.
        limit: String,
    },
}

/// What a caught panic says, if it is text.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
        .to_owned()
}

/// What an error of foreign code says, with its sources. Saying it is foreign code as well, and may panic.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    let describe = || {
        let sources = std::iter::successors(Some(error), |error: &&_| Error::source(*error));
        let texts: Vec<String> = sources.map(ToString::to_string).collect();
        texts.join(": ")
    };
    catch_unwind(AssertUnwindSafe(describe)).unwrap_or_else(|panic| {
        drop_quietly(panic);
        "(an error whose text cannot be had: it panics)".to_owned()
    })
}

/// A wait as `Retry-After` says it: in whole seconds, at least one.
pub(crate) fn whole_seconds(wait: Duration) -> Duration {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(seconds.max(1))
}
