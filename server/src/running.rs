//! A server that runs, and how it stops.

use crate::admin::Admin;
use crate::app::Shared;
use crate::config::ListenAddress;
use crate::error::Result;
use crate::farewell;
use crate::loops::{NOTICE, StartedLoops};
use crate::reload::{Live, ReloadReport, Serving};
use crate::server::Server;
use pontoon_bridge::{Pool, PoolStats, ShutdownReport};
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A running server; made by [`Server::start`](crate::Server::start). Dropping it leaves the server
/// running on its threads.
#[derive(Debug)]
pub struct Running {
    pub(crate) live: Arc<Live>,
    loops: StartedLoops,
    admin: Option<Admin>,
    /// `None` until they are watched.
    pub(crate) signals: Option<Signals>,
}

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReport {
    /// Connections that were still open when the time was up.
    pub connections_cut: usize,
    /// Pools whose calls had not returned when the time was up, and how many of them; also pools that
    /// a reload had replaced.
    pub stuck: Vec<ShutdownReport>,
    /// Loops that did not end: a callback library or a handler blocks their thread.
    pub loops_stuck: usize,
}

impl Running {
    pub(crate) fn new(shared: Arc<Shared>, serving: Serving, loops: StartedLoops) -> Self {
        let live = Live::new(shared, loops.handles(), serving, loops.acceptor());
        Self {
            live: Arc::new(live),
            loops,
            admin: None,
            signals: None,
        }
    }

    /// Shows the server on its admin listener, if it has one.
    pub(crate) fn with_admin(self, admin: Option<Admin>) -> Self {
        if let Some(admin) = &admin {
            admin.watch(self.live.clone());
        }
        Self { admin, ..self }
    }

    /// Where the server listens, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> ListenAddress {
        self.live.serving().address
    }

    /// The TCP address, if it listens on one.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.address() {
            ListenAddress::Tcp(address) => Some(address),
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
        self.live.shared.connections.count()
    }

    /// What a pool has done and does; `None` when there is no such pool.
    #[must_use]
    pub fn pool_stats(&self, name: &str) -> Option<PoolStats> {
        let pools = self.live.serving().pools;
        let named = pools.iter().find(|pool| pool.name() == name);
        named.map(|served| served.pool.stats())
    }

    /// Serves what `server` describes from now on, without a stop; returns once every loop does.
    ///
    /// Connections stay open, and their next requests see the new locations and limits; requests that
    /// are under way finish on the old ones. A pool of a config file whose settings stay the same goes
    /// on, as does a location's adapter, with its sessions, while its pool and what its table says at
    /// the adapter's keys stay. So does a pool that is given by reference again. What a program
    /// describes itself cannot be compared, and is made anew.
    ///
    /// The pools that are left over are shut down when the last request that uses them has ended, which
    /// may take as long as the deadlines of their locations. Calls that still run then, and after
    /// `shutdown_timeout`, are named in the log and left behind. New and old pools exist side by side
    /// meanwhile, with all their threads. A stop that comes meanwhile waits for them no longer than for
    /// the others.
    ///
    /// If it listens on another address, that one is bound before the old one is closed. The size
    /// limits of heads hold for new connections only. `admin`, `loops` and `spin` cannot change: see
    /// [`ReloadReport::needs_restart`].
    ///
    /// Reloads come one after the other. It blocks: do not call it on a loop's thread.
    ///
    /// # Errors
    ///
    /// As for [`Server::start`], and when the server stops, when a loop does not answer, and when so
    /// many threads of earlier reloads have not ended that more would be a danger. Nothing has changed
    /// then.
    pub fn reload(&self, server: Server) -> Result<ReloadReport> {
        self.live.reload(server)
    }

    /// Stops the server: accepts no more, answers what was read, then ends. It takes at most the
    /// configured `shutdown_timeout`, and a moment for loops to notice; it never waits for foreign
    /// code that hangs, on a worker, on a loop or in the destructor of an adapter: these are dropped
    /// last, on a thread of their own. It blocks meanwhile.
    #[must_use = "the report names what was cut"]
    pub fn stop(self) -> StopReport {
        // First and last: whoever watches sees the drain from its beginning to its end.
        if let Some(admin) = &self.admin {
            admin.begin_drain();
        }
        let (serving, drains) = self.live.begin_stop();
        let until = Instant::now() + serving.site.config.shutdown_timeout;
        let ends = self.loops.stop(until);
        let pools = || serving.pools.iter().map(|served| &served.pool);
        pools().for_each(Pool::begin_shutdown);
        // A worker that closes its sessions needs a moment, which the loops may have used up; half of it,
        // as the adapters go after it.
        let noticed = until + NOTICE / 2;
        let left = || noticed.saturating_duration_since(Instant::now());
        let mut reports: Vec<_> = pools().map(|pool| pool.shutdown(left())).collect();
        reports.extend(drains.into_iter().filter_map(|drain| drain.stop(until)));
        reports.retain(|report| report.still_running > 0);
        let report = StopReport {
            connections_cut: ends.iter().flatten().sum(),
            stuck: reports,
            loops_stuck: ends.iter().filter(|end| end.is_none()).count(),
        };
        if let Some(admin) = self.admin {
            admin.stop();
        }
        drop(serving);
        farewell::take_leave(self.live.end(), until);
        report
    }
}

/// Names the calls that a pool could not end.
pub(crate) fn log_left_behind(report: &ShutdownReport) {
    if report.still_running == 0 {
        return;
    }
    let (pool, calls) = (&report.pool, report.still_running);
    tracing::warn!(%pool, calls, "calls that did not return were left behind");
    for call in &report.calls {
        let (location, request) = (call.location.as_deref(), call.tag);
        let (age_seconds, thread_id) = (call.age.as_secs_f64(), call.thread_id);
        tracing::warn!(
            %pool,
            location,
            request,
            age_seconds,
            thread_id,
            "left behind: {call}"
        );
    }
}

impl StopReport {
    pub(crate) fn log(&self) {
        self.stuck.iter().for_each(log_left_behind);
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
