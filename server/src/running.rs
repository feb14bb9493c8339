//! A server that runs, and how it stops.

use crate::app::Shared;
use crate::config::ListenAddress;
use crate::server::{Result, ServerError, drain_here};
use pontoon_bridge::{LoopHandle, Pool, PoolStats, ShutdownReport};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// A running server; made by [`Server::start`](crate::Server::start). Dropping it leaves the server
/// running on its threads.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    address: ListenAddress,
    loops: Vec<LoopHandle>,
    threads: Vec<JoinHandle<usize>>,
    /// Disconnected once the acceptor has ended. Never locked: the mutex lets threads share the
    /// server, as a plain receiver would not.
    acceptor_ended: Mutex<Receiver<()>>,
    pools: Vec<Pool>,
}

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReport {
    /// Connections that were still open when the time was up.
    pub connections_cut: usize,
    /// Pools whose calls had not returned when the time was up, and how many of them.
    pub stuck: Vec<ShutdownReport>,
}

impl Running {
    pub(crate) fn new(
        shared: Arc<Shared>,
        address: ListenAddress,
        loops: Vec<LoopHandle>,
        threads: Vec<JoinHandle<usize>>,
        acceptor_ended: Receiver<()>,
        pools: Vec<Pool>,
    ) -> Self {
        Self {
            shared,
            address,
            loops,
            threads,
            acceptor_ended: Mutex::new(acceptor_ended),
            pools,
        }
    }

    /// Where the server listens, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The TCP address, if it listens on one.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.address {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }

    /// What a pool has done and does; `None` when there is no such pool.
    #[must_use]
    pub fn pool_stats(&self, name: &str) -> Option<PoolStats> {
        self.pools
            .iter()
            .find(|pool| pool.name() == name)
            .map(Pool::stats)
    }

    /// Stops the server: accepts no more, answers what was read, then ends. It takes at most the
    /// configured `shutdown_timeout` (and never waits for a call that hangs); it blocks meanwhile.
    #[must_use = "the report names what was cut"]
    pub fn stop(self) -> StopReport {
        let limit = self.shared.config.shutdown_timeout;
        let until = Instant::now() + limit;
        // First the acceptor: a connection that it has handed over is in its loop's inbox before
        // that loop hears of the drain.
        let _ = self.loops[0].post(drain_here);
        let acceptor_ended = self.acceptor_ended.into_inner();
        let acceptor_ended = acceptor_ended.unwrap_or_else(PoisonError::into_inner);
        let _ = acceptor_ended.recv_timeout(limit);
        for handle in &self.loops[1..] {
            // A loop that has ended has nothing to drain.
            let _ = handle.post(drain_here);
        }
        let connections_cut = self
            .threads
            .into_iter()
            .map(|t| t.join().unwrap_or(0))
            .sum();
        self.pools.iter().for_each(Pool::begin_shutdown);
        let left = |_: &Pool| until.saturating_duration_since(Instant::now());
        let reports = self.pools.iter().map(|pool| pool.shutdown(left(pool)));
        let stuck = reports.filter(|report| report.still_running > 0).collect();
        StopReport {
            connections_cut,
            stuck,
        }
    }

    /// Runs until INT or TERM, which drain; a second one stops at once.
    ///
    /// # Errors
    ///
    /// When signals cannot be watched, and when a second signal cut the drain short.
    pub fn run_until_signal(self) -> Result<()> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(ServerError::Signals)?;
        for signal in &mut signals {
            if signal != SIGHUP {
                break;
            }
            tracing::warn!("HUP: this version does not reload its config; restart it instead");
        }
        let shared = Arc::clone(&self.shared);
        tracing::info!(
            connections = self.connections(),
            limit = ?shared.config.shutdown_timeout,
            "stopping: no more connections; send the signal again to stop at once"
        );
        let (done, stopped) = mpsc::channel();
        let again = done.clone();
        thread::spawn(move || {
            // The receiver is gone only if a second signal came first.
            let _ = done.send(Some(self.stop()));
        });
        let handle = signals.handle();
        thread::spawn(move || {
            if signals.forever().any(|signal| signal != SIGHUP) {
                // The receiver is gone only if the stop came first.
                let _ = again.send(None);
            }
        });
        let outcome = stopped.recv().ok().flatten();
        handle.close();
        match outcome {
            Some(report) => {
                report.log();
                Ok(())
            }
            None => {
                let connections = shared.connections.count();
                Err(ServerError::StoppedAtOnce { connections })
            }
        }
    }
}

impl StopReport {
    fn log(&self) {
        for pool in &self.stuck {
            let (name, calls) = (&pool.pool, pool.still_running);
            tracing::warn!(pool = %name, calls, "calls that did not return were left behind");
        }
        if self.connections_cut > 0 {
            tracing::warn!(connections = self.connections_cut, "connections were cut");
        }
        tracing::info!("stopped");
    }
}
