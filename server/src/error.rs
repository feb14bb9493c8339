//! What can keep a server from running, each with a next step.

use crate::config::{ConfigError, ListenAddress};
use crate::swap::LoopUnready;
use pontoon_bridge::BuildError;
use std::io;
use std::time::Duration;

/// What can keep a server from running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The config is wrong; the text shows every mistake in it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A pool could not be made.
    #[error(transparent)]
    Pool(#[from] BuildError),
    /// The pools and locations do not fit together.
    #[error("{0}")]
    Setup(String),
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {source}{}", listen_hint(source))]
    Listen {
        /// The address.
        address: ListenAddress,
        /// Why not.
        source: io::Error,
    },
    /// The OS did not give what a loop needs.
    #[error(
        "event loop {index} could not be started: {source}; look at `ulimit -n` and `ulimit -u`"
    )]
    Loop {
        /// Which loop, from 0.
        index: usize,
        /// Why not.
        source: io::Error,
    },
    /// A loop cannot go over to what was to be reloaded; nothing has changed.
    #[error("event loop {index} cannot take the new locations: {source}")]
    LoopUnready {
        /// Which loop, from 0.
        index: usize,
        /// Why not.
        source: LoopUnready,
    },
    /// The OS did not give the thread that would drain a pool which a reload replaces; nothing has
    /// changed.
    #[error(
        "no thread could be had to drain the old pools: {0}; look at `ulimit -u`, then reload again"
    )]
    DrainThread(#[source] io::Error),
    /// Too many threads of pools that earlier reloads replaced have not ended; nothing has changed.
    #[error(
        "{threads} threads of pools that earlier reloads replaced have not ended, and {max} are \
         too many: reload again when their calls have returned, or restart the server"
    )]
    TooManyDraining {
        /// Threads that are left.
        threads: usize,
        /// The limit.
        max: usize,
    },
    /// The server stops, so nothing is reloaded.
    #[error("the server is stopping; the next start reads the new config")]
    Stopping,
    /// Signals could not be watched.
    #[error("signals could not be watched: {0}; look at `ulimit -n` and `ulimit -u`")]
    Signals(#[source] io::Error),
    /// A pool had no worker left for as long as `restart_when_stuck` lets it, so the server stopped, to
    /// be started again.
    #[error(
        "stopped to be started again: for {lasted:.1?} all workers of the pool `{pool}` hung, spare \
         ones included"
    )]
    Stuck {
        /// The pool.
        pool: String,
        /// How long it had no worker.
        lasted: Duration,
    },
    /// The server was told to stop a second time, and stopped at once.
    #[error("stopped at once by a second signal; {connections} connections were cut")]
    StoppedAtOnce {
        /// Connections that were still open.
        connections: usize,
    },
}

fn listen_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: stop it or choose another",
        io::ErrorKind::PermissionDenied => "; ports below 1024 and this path need more rights",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        io::ErrorKind::NotFound => "; the folder of the socket file does not exist",
        _ => "",
    }
}

/// The result of things that a server does.
pub type Result<T, E = ServerError> = std::result::Result<T, E>;
