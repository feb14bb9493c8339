//! A server that runs, and how it stops.

use crate::admin::{Admin, Overview};
use crate::app::{Shared, SharedLocation};
use crate::config::ListenAddress;
use crate::error::{Result, ServerError};
use crate::loops::StartedLoops;
use pontoon_bridge::{LoopHandle, Pool, PoolStats, ShutdownReport};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

/// A running server; made by [`Server::start`](crate::Server::start). Dropping it leaves the server
/// running on its threads.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    address: ListenAddress,
    loops: StartedLoops,
    pools: Vec<Pool>,
    admin: Option<Admin>,
}

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReport {
    /// Connections that were still open when the time was up.
    pub connections_cut: usize,
    /// Pools whose calls had not returned when the time was up, and how many of them.
    pub stuck: Vec<ShutdownReport>,
    /// Loops that did not end: a callback library or a handler blocks their thread.
    pub loops_stuck: usize,
}

impl Running {
    pub(crate) fn new(
        shared: Arc<Shared>,
        address: ListenAddress,
        loops: StartedLoops,
        pools: Vec<Pool>,
    ) -> Self {
        Self {
            shared,
            address,
            loops,
            pools,
            admin: None,
        }
    }

    /// Shows the server on its admin listener, if it has one.
    pub(crate) fn with_admin(self, admin: Option<Admin>) -> Self {
        if let Some(admin) = &admin {
            admin.watch(Seen {
                shared: Arc::clone(&self.shared),
                loops: self.loops.handles(),
                pools: self.pools.clone(),
            });
        }
        Self { admin, ..self }
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

    /// Where the admin listener is, if there is one, with the port that the system chose.
    #[must_use]
    pub fn admin_address(&self) -> Option<&ListenAddress> {
        self.admin.as_ref().map(Admin::address)
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
    /// configured `shutdown_timeout`, and a moment for loops to notice; it never waits for foreign
    /// code that hangs, on a worker or on a loop. It blocks meanwhile.
    #[must_use = "the report names what was cut"]
    pub fn stop(self) -> StopReport {
        // First and last: whoever watches sees the drain from its beginning to its end.
        if let Some(admin) = &self.admin {
            admin.begin_drain();
        }
        let until = Instant::now() + self.shared.config.shutdown_timeout;
        let ends = self.loops.stop(until);
        self.pools.iter().for_each(Pool::begin_shutdown);
        let left = || until.saturating_duration_since(Instant::now());
        let reports = self.pools.iter().map(|pool| pool.shutdown(left()));
        let report = StopReport {
            connections_cut: ends.iter().flatten().sum(),
            stuck: reports.filter(|report| report.still_running > 0).collect(),
            loops_stuck: ends.iter().filter(|end| end.is_none()).count(),
        };
        if let Some(admin) = self.admin {
            admin.stop();
        }
        report
    }

    /// Runs until INT or TERM, which drain; a second one stops waiting at once. The program should
    /// end then: what did not return is left behind on its threads, and the three signals that
    /// are watched here (HUP is the third) do not end the program any more.
    ///
    /// # Errors
    ///
    /// When signals cannot be watched, and when a second signal cut the drain short.
    pub fn run_until_signal(self) -> Result<()> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(ServerError::Signals)?;
        let shared = Arc::clone(&self.shared);
        // Made now: when the time comes there may be no thread left to be had.
        let (stop, stop_asked) = mpsc::channel::<()>();
        let (done, stopped) = mpsc::channel();
        let handle = signals.handle();
        let stopper = move || {
            if stop_asked.recv().is_ok() {
                // The receiver is gone only if a second signal came first.
                let _ = done.send(self.stop());
                handle.close();
            }
        };
        let stopper = thread::Builder::new()
            .name("pontoon-stop".to_owned())
            .spawn(stopper);
        stopper.map_err(ServerError::Signals)?;
        let mut is_stopping = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                tracing::warn!("HUP: this version does not reload its config; restart it instead");
            } else if is_stopping {
                let connections = shared.connections.count();
                return Err(ServerError::StoppedAtOnce { connections });
            } else {
                is_stopping = true;
                let (connections, limit) =
                    (shared.connections.count(), shared.config.shutdown_timeout);
                tracing::info!(
                    connections,
                    ?limit,
                    "stopping: no more connections; send the signal again to stop at once"
                );
                // The stopper waits for nothing else.
                let _ = stop.send(());
            }
        }
        if let Ok(report) = stopped.recv() {
            report.log();
        }
        Ok(())
    }
}

/// The server as its admin listener sees it.
struct Seen {
    shared: Arc<Shared>,
    loops: Vec<LoopHandle>,
    pools: Vec<Pool>,
}

impl Overview for Seen {
    fn loops(&self) -> Vec<LoopHandle> {
        self.loops.clone()
    }

    fn connections(&self) -> (usize, usize) {
        let connections = &self.shared.connections;
        (connections.count(), connections.max())
    }

    fn pools(&self) -> Vec<Pool> {
        self.pools.clone()
    }

    fn locations(&self) -> Vec<Arc<SharedLocation>> {
        self.shared.locations.clone()
    }
}

impl StopReport {
    fn log(&self) {
        for pool in &self.stuck {
            let (name, calls) = (&pool.pool, pool.still_running);
            tracing::warn!(pool = %name, calls, "calls that did not return were left behind");
        }
        if self.loops_stuck > 0 {
            let loops = self.loops_stuck;
            tracing::error!(
                loops,
                "loops whose foreign code did not return were left behind"
            );
        }
        if self.connections_cut > 0 {
            tracing::warn!(connections = self.connections_cut, "connections were cut");
        }
        tracing::info!("stopped");
    }
}
