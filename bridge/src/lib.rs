//! Puts any blocking or callback-style library behind an event loop.
//!
//! ```text
//!  loop thread                                     worker thread of pool "db"
//!  ───────────                                     ──────────────────────────
//!  admission: full? → refused at once
//!  submit ───────────── bounded queue ───────────▶ take (oldest first)
//!  the task is parked                                expired or cancelled → dropped, never run
//!  the loop serves everyone else                     session: open / check / reuse
//!                                                    foreign call          ◀── blocks here, only here
//!  eventfd readable ◀─ written once, only if armed ─ outcome stored, task pushed onto the inbox
//!  inbox drained in bounded batches
//!  the task is polled: it resumes
//! ```
//!
//! - [`EventLoop`]: one thread, one `mio::Poll`, `!Send` tasks, timers, sockets, foreign fds.
//! - [`Pool`]: named, bounded workers, each with a session of the library.
//! - [`Call`] and [`Completer`]: one unit of foreign work and the handle that finishes it.
//! - [`Inbox`]: how any thread gets anything onto a loop; also on bare `mio` or any other loop.
//!
//! None of them needs another: a [`Call`] is a plain future, so a pool serves tokio and smol as well.
//!
//! # Invariants
//!
//! Every call has exactly one outcome. The loop never waits. No wake-up is lost and none is wasted.
//! Nothing is unbounded. Values cross threads, references do not. Foreign code may panic, hang, or
//! call back twice, inline, late, never, or from any thread; each has a defined, tested result.
//!
//! # Example
//!
//! Callbacks of a foreign library, handled on a bare `mio` loop: see [`inbox()`].

/// Marks a fallible call that a test can make fail: leaves the function with the error that the plan in
/// force wants. Nothing without the feature `fault-points`.
macro_rules! fault_point {
    ($point:ident) => {
        #[cfg(feature = "fault-points")]
        crate::faults::check(crate::faults::Point::$point)?;
    };
}

mod admission;
pub mod call;
mod error;
pub mod event_loop;
#[cfg(feature = "fault-points")]
pub mod faults;
pub mod inbox;
pub mod limit;
#[cfg(all(test, pontoon_loom))]
mod models;
pub mod pool;
mod quiet;
mod spin;
mod stats;
mod sync;
mod visits;
mod wake;

pub use admission::CoDel;
pub use call::{Call, CallContext, Completer, CompleterStats, Interrupt, Stopper, Timings, call};
pub use error::{BoxError, BuildError, CallError, SubmitError, panic_message};
pub use event_loop::{EventLoop, LoopHandle, Timer};
pub use inbox::{Closed, Inbox, Sender, inbox};
pub use limit::Limiter;
pub use pool::{
    Batch, BatchLimits, BatchedCall, Batching, BreakerState, ForBatch, Pool, PoolBuilder,
    PoolStats, RunningCall, Session, SessionKind, ShutdownReport, Submission,
};
pub use quiet::drop_quietly;
pub use spin::Spin;
pub use stats::Durations;
