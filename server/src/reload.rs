//! Serving something else without a stop: what `Running::reload` and HUP do.
//!
//! Everything that may fail comes first, off the loops: a new listener is bound, new pools are made,
//! the threads that will drain the old ones, and each loop's own part. Until then nothing has changed
//! and a failure takes it all back. Then the loops go over, each between two requests.

use crate::admin::Overview;
use crate::app::Shared;
use crate::config::{ListenAddress, ServerConfig};
use crate::drain::{Drain, Drains, retired};
use crate::error::{Result, ServerError};
use crate::listener::Listening;
use crate::pools::ServedPool;
use crate::server::Server;
use crate::site::{SharedLocation, Site};
use crate::swap::Swap;
use pontoon_bridge::{LoopHandle, Pool};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

/// As many threads of pools that earlier reloads replaced may be left, draining or hung; then a
/// reload is refused. Else a reload every second, with calls that hang, would take every thread there is.
const DRAINING_THREADS_MAX: usize = 4096;

/// What is served, by which pools, and where.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    pub(crate) site: Arc<Site>,
    pub(crate) pools: Vec<ServedPool>,
    pub(crate) address: ListenAddress,
}

/// What changes while a server runs.
#[derive(Debug)]
struct State {
    serving: Serving,
    /// What a new acceptor gets; `None` once the server stops, and nothing is reloaded any more.
    acceptor: Option<mpsc::Sender<()>>,
    drains: Vec<Drain>,
}

/// A server whose loops run.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) shared: Arc<Shared>,
    loops: Vec<LoopHandle>,
    /// The number of reloads. Held during one, so that they come one after the other; nobody else
    /// waits for it.
    reloads: Mutex<u64>,
    /// Held for a look or an exchange; no foreign code runs under it.
    state: Mutex<State>,
}

/// What a reload has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadReport {
    /// Keys of the config that differ, and that only a restart changes: they are as before.
    pub needs_restart: Vec<&'static str>,
    /// The new address, if it was to listen on another.
    pub moved_to: Option<ListenAddress>,
    /// Pools that were made, by name.
    pub pools_started: Vec<String>,
    /// Pools that end once the last call on them has, by name.
    pub pools_draining: Vec<String>,
    /// Locations that go on with their adapters, and so with the sessions of these.
    pub locations_kept: usize,
    /// Locations that are new, or have a new adapter.
    pub locations_new: usize,
}

impl fmt::Display for ReloadReport {
    /// In a line, for the log; without what needs a restart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, new) = (self.locations_kept, self.locations_new);
        write!(f, "{new} locations are new, {kept} go on")?;
        for (what, pools) in [
            ("started", &self.pools_started),
            ("draining", &self.pools_draining),
        ] {
            if !pools.is_empty() {
                write!(f, "; pools {what}: {}", pools.join(", "))?;
            }
        }
        if let Some(address) = &self.moved_to {
            write!(f, "; listening on {address}")?;
        }
        Ok(())
    }
}

impl Live {
    pub(crate) fn new(
        shared: Arc<Shared>,
        loops: Vec<LoopHandle>,
        serving: Serving,
        acceptor: mpsc::Sender<()>,
    ) -> Self {
        Self {
            shared,
            loops,
            reloads: Mutex::new(0),
            state: Mutex::new(State {
                serving,
                acceptor: Some(acceptor),
                drains: Vec::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is served now.
    pub(crate) fn serving(&self) -> Serving {
        self.state().serving.clone()
    }

    /// Ends the time of reloads; gives what was served last, and the drains under way.
    pub(crate) fn begin_stop(&self) -> (Serving, Vec<Drain>) {
        let mut state = self.state();
        state.acceptor = None;
        (state.serving.clone(), std::mem::take(&mut state.drains))
    }

    /// Takes out what was served last, once it serves no more: whoever looks at a server that has
    /// stopped is not to hold an adapter back, nor to drop it.
    pub(crate) fn end(&self) -> Serving {
        let mut state = self.state();
        let config = state.serving.site.config.clone();
        let nothing = Serving {
            site: Arc::new(Site::new(config, Vec::new())),
            pools: Vec::new(),
            address: state.serving.address.clone(),
        };
        std::mem::replace(&mut state.serving, nothing)
    }

    /// See [`Running::reload`](crate::Running::reload).
    pub(crate) fn reload(&self, server: Server) -> Result<ReloadReport> {
        let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        *reloads += 1;
        self.check_left_behind()?;
        let before = self.serving();
        let mut server = server.checked()?;
        let needs_restart = keep_fixed(&mut server.config, &before.site.config);
        let listening = bind_new(&server.config.listen, &before)?;
        let address = match &listening {
            Some(listening) => listening.address().map_err(|source| ServerError::Listen {
                address: server.config.listen.clone(),
                source,
            })?,
            None => before.address.clone(),
        };
        let (site, pools) = server.build(Some(&before))?;
        let after = Serving {
            site,
            pools,
            address,
        };
        let mut report = report(&before, &after, needs_restart);
        report.moved_to = listening.is_some().then(|| after.address.clone());
        let limit = after.site.config.shutdown_timeout;
        let drains =
            Drains::prepare(retired(&before, &after), limit).map_err(ServerError::DrainThread)?;
        let swap = Swap::prepare(&self.loops, *reloads, &after.site, listening)?;
        self.go_over(swap, after, drains)?;
        Ok(report)
    }

    fn check_left_behind(&self) -> Result<()> {
        let mut state = self.state();
        state.drains.retain(|drain| drain.threads() > 0);
        let threads = state.drains.iter().map(Drain::threads).sum();
        if threads < DRAINING_THREADS_MAX {
            return Ok(());
        }
        let max = DRAINING_THREADS_MAX;
        Err(ServerError::TooManyDraining { threads, max })
    }

    /// Nothing here fails, but for a stop that came first.
    fn go_over(&self, swap: Swap<'_>, after: Serving, drains: Drains) -> Result<()> {
        let mut state = self.state();
        let Some(acceptor) = &state.acceptor else {
            drop(state);
            // First of all: what the loops give back is then not the last that holds an adapter.
            drop(swap);
            return Err(ServerError::Stopping);
        };
        let answers = swap.commit(acceptor);
        let site = Arc::clone(&after.site);
        self.shared.connections.set_max(site.config.max_connections);
        site.locations
            .iter()
            .for_each(|one| one.places.apply_limits());
        let before = std::mem::replace(&mut state.serving, after);
        let (begins, drains) = drains.split();
        // A stop that comes from now on waits for them.
        state.drains.extend(drains);
        drop(state);
        // Until then a loop may still send requests to the old pools.
        answers.wait();
        begins.begin();
        drop(before);
        Ok(())
    }
}

/// What the admin listener shows. The lock is one that is never held for long.
impl Overview for Live {
    fn loops(&self) -> Vec<LoopHandle> {
        self.loops.clone()
    }

    fn connections(&self) -> (usize, usize) {
        let connections = &self.shared.connections;
        (connections.count(), connections.max())
    }

    fn pools(&self) -> Vec<Pool> {
        let state = self.state();
        state
            .serving
            .pools
            .iter()
            .map(|served| served.pool.clone())
            .collect()
    }

    fn locations(&self) -> Vec<Arc<SharedLocation>> {
        self.state().serving.site.locations.clone()
    }
}

/// Puts back what a running server cannot change; names what that was.
fn keep_fixed(config: &mut ServerConfig, before: &ServerConfig) -> Vec<&'static str> {
    let mut kept = Vec::new();
    if config.admin != before.admin {
        config.admin = before.admin.clone();
        kept.push("admin");
    }
    if config.loops != before.loops {
        config.loops = before.loops;
        kept.push("loops");
    }
    if config.spin != before.spin {
        config.spin = before.spin;
        kept.push("spin");
    }
    kept
}

/// A socket for the address, if it is another one.
fn bind_new(address: &ListenAddress, before: &Serving) -> Result<Option<Listening>> {
    if *address == before.site.config.listen {
        return Ok(None);
    }
    Listening::bind(address)
        .map(Some)
        .map_err(|source| ServerError::Listen {
            address: address.clone(),
            source,
        })
}

fn report(before: &Serving, after: &Serving, needs_restart: Vec<&'static str>) -> ReloadReport {
    let names = |pools: &[ServedPool], others: &[ServedPool]| {
        let fresh = pools.iter().filter(|pool| !pool.is_among(others));
        fresh
            .filter(|pool| pool.is_ours())
            .map(|pool| pool.name().to_owned())
            .collect()
    };
    let (old, new) = (&before.site.locations, &after.site.locations);
    let is_kept = |new: &&Arc<_>| old.iter().any(|old| old.shares_adapter_with(new));
    let locations_kept = new.iter().filter(is_kept).count();
    ReloadReport {
        needs_restart,
        moved_to: None,
        pools_started: names(&after.pools, &before.pools),
        pools_draining: names(&before.pools, &after.pools),
        locations_kept,
        locations_new: new.len() - locations_kept,
    }
}
