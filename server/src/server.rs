//! The server: pools and locations put together, run on loops, stopped in order.

use crate::admin::Admin;
use crate::app::{Role, Shared};
use crate::config::{Config, ServerConfig};
use crate::error::{Result, ServerError};
use crate::listener::Listening;
use crate::location::{Location, Mount};
use crate::loops::start_loops;
use crate::pools::{self, ServedPool, ServerPool};
use crate::reload::Serving;
use crate::router::{RouteError, Router};
use crate::running::Running;
use crate::site::{SharedLocation, Site};
use pontoon_adapters::settings::AutoOr;
use pontoon_bridge::{Pool, Spin};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A server in the making.
///
/// ```no_run
/// use pontoon::{Pool, Request, Response, Server, blocking};
///
/// fn slow_hash(bytes: &[u8]) -> String {
///     format!("{:x}", bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>())
/// }
///
/// fn main() -> pontoon::Result<()> {
///     Server::new()
///         .pool(Pool::named("hash").threads(8).max_queue(256))
///         .location("/hash", blocking("hash", |request: Request| {
///             Ok(Response::text(slow_hash(request.body())))
///         }))
///         .listen("127.0.0.1:8080")
///         .run()
/// }
/// ```
#[derive(Debug)]
pub struct Server {
    pub(crate) config: ServerConfig,
    pools: Vec<ServerPool>,
    locations: Vec<Location>,
    bad_address: Option<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server without pools and locations, on 127.0.0.1:8080, with the config file's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            config: ServerConfig::default(),
            pools: Vec::new(),
            locations: Vec::new(),
            bad_address: None,
        }
    }

    /// The server that a config file describes.
    #[must_use]
    pub fn from_config(config: Config) -> Self {
        Self {
            config: config.server,
            pools: config.pools.into_iter().map(ServerPool::from).collect(),
            locations: config.locations.into_iter().map(Location::from).collect(),
            bad_address: None,
        }
    }

    /// Adds a pool, to be named by locations: one that the server makes when it starts, or, by
    /// reference, one that is there already, for instance because a [`handler`](crate::handler)
    /// makes calls on it. The server shuts both down when it stops.
    #[must_use]
    pub fn pool(mut self, pool: impl Into<ServerPool>) -> Self {
        self.pools.push(pool.into());
        self
    }

    /// Mounts something on a path, with a location's defaults.
    #[must_use]
    pub fn location(self, path: impl Into<String>, mount: impl Mount) -> Self {
        self.route(Location::new(path, mount))
    }

    /// Adds a location with settings of its own.
    #[must_use]
    pub fn route(mut self, location: Location) -> Self {
        self.locations.push(location);
        self
    }

    /// Where to listen: `IP:PORT` (port 0: the system chooses) or `unix:/PATH`.
    #[must_use]
    pub fn listen(mut self, address: impl AsRef<str>) -> Self {
        match address.as_ref().parse() {
            Ok(address) => self.config.listen = address,
            Err(error) => self.bad_address = Some(format!("{error}")),
        }
        self
    }

    /// Where to answer `/livez`, `/readyz` and `/status`, for the operator only: `IP:PORT` or
    /// `unix:/PATH`; by default nowhere. It has a thread of its own and answers whatever the rest of
    /// the server does.
    #[must_use]
    pub fn admin(mut self, address: impl AsRef<str>) -> Self {
        match address.as_ref().parse() {
            Ok(address) => self.config.admin = Some(address),
            Err(error) => self.bad_address = Some(format!("{error}")),
        }
        self
    }

    /// How many event loops to run; by default half as many as there are CPUs, at least one: the
    /// workers need the other half.
    #[must_use]
    pub fn loops(mut self, loops: usize) -> Self {
        self.config.loops = AutoOr::Fixed(loops);
        self
    }

    /// How long a loop that has run out of work may look for more before it sleeps; default
    /// [`Spin::Auto`], at most [`Spin::MAX`]. On a machine with one CPU it is always off. The
    /// workers have their own: [`PoolBuilder::spin`](crate::PoolBuilder::spin).
    #[must_use]
    pub fn spin(mut self, spin: Spin) -> Self {
        self.config.spin = spin;
        self
    }

    /// Everything else of the config file's top level.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Runs until the process is told to stop: INT and TERM drain, a second one stops at once.
    ///
    /// # Errors
    ///
    /// When the server cannot start, and when a second signal cut it short.
    pub fn run(self) -> Result<()> {
        self.start()?.run_until_signal()
    }

    /// Starts the server on threads of its own.
    ///
    /// # Errors
    ///
    /// When an address, a pool, a location or a limit of the OS is in the way; nothing is left
    /// running then.
    pub fn start(self) -> Result<Running> {
        let server = self.checked()?;
        let admin = server.config.admin.as_ref().map(Admin::start).transpose()?;
        match server.start_public() {
            Ok(running) => Ok(running.with_admin(admin)),
            Err(error) => {
                if let Some(admin) = admin {
                    admin.stop();
                }
                Err(error)
            }
        }
    }

    /// Starts all but the admin listener.
    fn start_public(self) -> Result<Running> {
        let address = self.config.listen.clone();
        let listening =
            Listening::bind(&address).map_err(|source| ServerError::Listen { address, source })?;
        let address = listening.address().map_err(|source| ServerError::Listen {
            address: self.config.listen.clone(),
            source,
        })?;
        let loops = loop_count(self.config.loops);
        let (site, pools) = self.build(None)?;
        let shared = Arc::new(Shared::new(
            Role::Public,
            site.config.max_connections,
            loops,
        ));
        let started = start_loops(&shared, &site, loops, listening)?;
        let serving = Serving {
            site,
            pools,
            address,
        };
        Ok(Running::new(shared, serving, started))
    }

    /// The server with everything within its limits.
    pub(crate) fn checked(mut self) -> Result<Self> {
        if let Some(problem) = self.bad_address {
            return Err(ServerError::Setup(problem));
        }
        self.clamp();
        Ok(self)
    }

    /// Makes what is served, and the pools for it. What stays as it was before a reload goes on as
    /// it is.
    pub(crate) fn build(self, before: Option<&Serving>) -> Result<(Arc<Site>, Vec<ServedPool>)> {
        let (old_pools, old_locations) = before.map_or((&[][..], &[][..]), |before| {
            (&before.pools[..], &before.site.locations[..])
        });
        let pools = pools::make(self.pools, old_pools)?;
        let max_body_bytes = self.config.max_body_bytes;
        let locations = bind_locations(self.locations, &pools, max_body_bytes, old_locations)?;
        Ok((Arc::new(Site::new(self.config, locations)), pools))
    }
}

/// A duration that means "no limit" ends here, so that adding it to the clock cannot overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Server {
    /// Brings what only a program can ask for within the limits of a config file.
    fn clamp(&mut self) {
        let config = &mut self.config;
        for limit in [
            &mut config.header_timeout,
            &mut config.keep_alive,
            &mut config.request_timeout,
            &mut config.body_grace,
            &mut config.send_timeout,
            &mut config.shutdown_timeout,
        ] {
            *limit = LONGEST.min(*limit);
        }
        config.max_header_bytes = config.max_header_bytes.clamp(8 << 10, 16 << 20);
        if let Spin::For(limit) = &mut config.spin {
            *limit = Spin::MAX.min(*limit);
        }
        for location in &mut self.locations {
            location.deadline = LONGEST.min(location.deadline);
        }
    }
}

fn loop_count(loops: AutoOr<usize>) -> usize {
    match loops {
        AutoOr::Fixed(loops) => loops.max(1),
        AutoOr::Auto => thread::available_parallelism().map_or(1, |cpus| (cpus.get() / 2).max(1)),
    }
}

fn bind_locations(
    locations: Vec<Location>,
    pools: &[ServedPool],
    max_body_bytes: usize,
    before: &[Arc<SharedLocation>],
) -> Result<Vec<SharedLocation>> {
    // Every loop makes a router of its own later; what is wrong with the paths shows here.
    let mut router = Router::new();
    let mut bound: Vec<SharedLocation> = Vec::new();
    let mut rest = locations.into_iter();
    while let Some(location) = rest.next() {
        let path = location.path.clone();
        router
            .add(&path, location.methods.clone(), ())
            .map_err(|error: RouteError| ServerError::Setup(error.to_string()))?;
        let named = |name: &String| {
            let pool = pools.iter().find(|pool| pool.name() == name);
            pool.map(|served| &served.pool).ok_or_else(|| {
                ServerError::Setup(format!("the location `{path}` names the pool `{name}`, which there is not; add it with `.pool(Pool::named(\"{name}\"))`"))
            })
        };
        let pool = location.pool.as_ref().map(named).transpose()?;
        if location.share.is_some() && !location.mounted.kind().needs_pool() {
            return Err(ServerError::Setup(format!(
                "the location `{path}` runs without a pool, so it can have no share of one: limit it by `max_running`"
            )));
        }
        let kept = same_as_before(&location, pool, before, &bound, rest.as_slice());
        let location = SharedLocation::new(location, pool, max_body_bytes, kept).ok_or_else(|| {
            ServerError::Setup(format!(
                "the location `{path}` blocks and so needs a pool: mount it by `on_pool(\"NAME\", …)`"
            ))
        })?;
        bound.push(location);
    }
    Ok(bound)
}

/// The location whose adapter this one goes on with: one that says the same to the same adapter on
/// the same workers, if no other goes on with it. Best one on the same path; else one that none of
/// `rest`, which come later, has on the same path.
fn same_as_before<'b>(
    location: &Location,
    pool: Option<&Pool>,
    before: &'b [Arc<SharedLocation>],
    taken: &[SharedLocation],
    rest: &[Location],
) -> Option<&'b SharedLocation> {
    let identity = location.identity.as_ref()?;
    let is_free = |old: &&SharedLocation| !taken.iter().any(|new| new.shares_adapter_with(old));
    let same = || {
        before
            .iter()
            .map(Arc::as_ref)
            .filter(|old| old.mounting.serves_as(identity, pool))
            .filter(is_free)
    };
    let is_left = |old: &&SharedLocation| {
        let goes_on = |one: &Location| one.identity.as_ref() == Some(identity);
        !rest
            .iter()
            .any(|one| *one.path == *old.path && goes_on(one))
    };
    same()
        .find(|old| *old.path == *location.path)
        .or_else(|| same().find(is_left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_spin_for_no_longer_than_a_config_file() {
        let clamped = |spin| {
            let mut server = Server::new().spin(spin);
            server.clamp();
            server.config.spin
        };
        assert_eq!(clamped(Spin::For(Duration::MAX)), Spin::For(Spin::MAX));
        let short = Spin::For(Duration::from_micros(20));
        for spin in [Spin::Auto, Spin::Off, short] {
            assert_eq!(clamped(spin), spin);
        }
    }
}
