//! The servers, each a process of its own: the same three routes as their users would write them.
//!
//! | route | what it is |
//! | --- | --- |
//! | `/work` | a call of the library, as its query says |
//! | `/other` | a call that does nothing; where there are pools, on another one |
//! | `/counts` | what has run so far; needs no thread that may block |

mod actix;
mod axum;
mod pontoon;

use crate::Outcome;
use clap::{Args, ValueEnum};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerKind {
    Pontoon,
    Axum,
    Actix,
}

/// What a server is started with.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ServeArguments {
    /// Which server
    #[arg(value_enum)]
    pub(crate) kind: ServerKind,
    /// Threads that may block at once, for `/work`
    #[arg(long, default_value_t = 16)]
    pub(crate) threads: usize,
    /// Threads for `/other`: with pontoon a pool of its own, with the others added to the one they have
    #[arg(long, default_value_t = 0)]
    pub(crate) other_threads: usize,
    /// Calls that may wait; the others have no such limit
    #[arg(long, default_value_t = 256)]
    pub(crate) max_queue: usize,
    /// How long a call may take, waiting included; the others have no such limit
    #[arg(long, default_value_t = 30_000)]
    pub(crate) deadline_ms: u64,
    /// When a call is stuck; the others do not look
    #[arg(long, default_value_t = 10_000)]
    pub(crate) stuck_after_ms: u64,
    /// Stuck calls that are replaced
    #[arg(long, default_value_t = 0)]
    pub(crate) max_stuck: usize,
    /// How long a stop may take; axum has no such limit
    #[arg(long, default_value_t = 10_000)]
    pub(crate) stop_limit_ms: u64,
}

/// Serves until it is told to stop. The first line that it prints is its address, the second that of its
/// admin listener, if it has one.
pub(crate) fn serve(arguments: ServeArguments) -> Outcome {
    // Panics are part of the load, and nobody reads this process's log.
    std::panic::set_hook(Box::new(|_| {}));
    match arguments.kind {
        ServerKind::Pontoon => pontoon::serve(arguments),
        ServerKind::Axum => axum::serve(arguments),
        ServerKind::Actix => actix::serve(arguments),
    }
}

/// Connections may idle for so long: the scenario with idle ones takes less.
const KEEP_ALIVE_S: u64 = 600;
/// More connections than any scenario opens.
const CONNECTIONS_MAX: usize = 25_000;
