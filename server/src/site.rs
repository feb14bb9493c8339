//! What a server serves, and with which limits: all that a reload replaces as a whole.
//!
//! ```text
//!  Site ── SharedLocation ── Mounting: the adapter, its pool, its limit ◀── kept by a reload
//!    │            │                      that does not change its settings
//!  LoopSite ── LoopLocation             (one of each on every loop)
//! ```
//!
//! A request holds its `LoopLocation`, so it finishes on what it began with. Each location holds a
//! [`InUse`] of its mounting: when the last one goes, no request can reach the adapter any more.

use crate::config::ServerConfig;
use crate::http::guard::Limits;
use crate::location::{Identity, Location};
use crate::places::{LimitKind, Places};
use crate::router::{RouteError, Router};
use pontoon_adapters::mount::{Bound, Serve, Submit};
use pontoon_bridge::{Pool, drop_quietly};
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is served, as all loops share it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) config: ServerConfig,
    pub(crate) limits: Limits,
    pub(crate) locations: Vec<Arc<SharedLocation>>,
}

impl Site {
    pub(crate) fn new(config: ServerConfig, locations: Vec<SharedLocation>) -> Self {
        Self {
            limits: Limits {
                request_line_bytes: config.max_request_line_bytes,
                head_bytes: config.max_header_bytes,
                ..Limits::default()
            },
            config,
            locations: locations.into_iter().map(Arc::new).collect(),
        }
    }
}

/// A value of a library's, whose drop lets no panic out.
struct Foreign<T>(Option<T>);

impl<T> Foreign<T> {
    fn new(value: T) -> Self {
        Self(Some(value))
    }

    fn get(&self) -> &T {
        // It is taken by the drop alone.
        self.0.as_ref().expect("there until it is dropped")
    }
}

impl<T> Drop for Foreign<T> {
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}

/// An adapter where it is mounted, for as long as reloads keep it.
pub(crate) struct Mounting {
    /// The path that it was mounted on first, for the log.
    path: Arc<str>,
    /// `None` for what a program has mounted: nobody can tell whether two functions are the same.
    identity: Option<Identity>,
    pool: Option<Pool>,
    bound: Foreign<Bound>,
    /// Disconnected once no location holds it. Never locked by two: only its drain waits.
    unused: Mutex<mpsc::Receiver<()>>,
}

impl Mounting {
    /// `None` when the adapter needs a pool and `pool` is none.
    fn new(location: Location, path: &Arc<str>, pool: Option<&Pool>) -> Option<(Self, InUse)> {
        let (in_use, unused) = mpsc::channel();
        let mounting = Self {
            path: Arc::clone(path),
            identity: location.identity,
            pool: pool.cloned(),
            bound: Foreign::new(location.mounted.bind(pool, path)?),
            unused: Mutex::new(unused),
        };
        Some((mounting, InUse(in_use)))
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What runs its calls; `None` for an adapter that needs none.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    pub(crate) fn runs_on(&self, pool: &Pool) -> bool {
        self.pool
            .as_ref()
            .is_some_and(|own| own.shares_workers_with(pool))
    }

    /// Whether a location with this identity and pool may go on with this adapter.
    pub(crate) fn serves_as(&self, identity: &Identity, pool: Option<&Pool>) -> bool {
        let same_pool = match (&self.pool, pool) {
            (None, None) => true,
            (Some(_), Some(pool)) => self.runs_on(pool),
            _ => false,
        };
        same_pool && self.identity.as_ref() == Some(identity)
    }

    /// Waits until no location holds the adapter any more; false when some still does.
    pub(crate) fn wait_unused(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }
}

impl std::fmt::Debug for Mounting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mounting").field(&self.path).finish()
    }
}

/// Held by every location with a mounting; see [`Mounting::wait_unused`].
#[derive(Debug, Clone)]
struct InUse(#[expect(dead_code, reason = "its drop is what it is for")] mpsc::Sender<()>);

/// A location as all loops share it.
#[derive(Debug)]
pub(crate) struct SharedLocation {
    pub(crate) path: Arc<str>,
    pub(crate) methods: Option<Vec<http::Method>>,
    pub(crate) deadline: Duration,
    /// Whether clients may ask for an earlier one.
    pub(crate) client_deadline: bool,
    /// How long a body may take that is produced while it is sent.
    pub(crate) stream_timeout: Duration,
    pub(crate) max_body_bytes: usize,
    pub(crate) server_timing: bool,
    pub(crate) places: Places,
    pub(crate) mounting: Arc<Mounting>,
    /// After the mounting, so that whoever waits for the last one is the only one to hold it.
    in_use: InUse,
}

impl SharedLocation {
    /// A location that goes on with the adapter of `before`, or with its own if there is none.
    /// `None` when the location needs a pool and `pool` is none.
    pub(crate) fn new(
        location: Location,
        pool: Option<&Pool>,
        max_body: usize,
        before: Option<&Self>,
    ) -> Option<Self> {
        let path: Arc<str> = location.path.as_str().into();
        let methods = location.methods.clone();
        let max_body_bytes = location.max_body_bytes.unwrap_or(max_body);
        let (deadline, server_timing) = (location.deadline, location.server_timing);
        let (client_deadline, stream_timeout) = (location.client_deadline, location.stream_timeout);
        let places = places(&location, pool, before)?;
        let (mounting, in_use) = match before {
            Some(before) => {
                drop_quietly(location);
                (Arc::clone(&before.mounting), before.in_use.clone())
            }
            None => {
                let (mounting, in_use) = Mounting::new(location, &path, pool)?;
                (Arc::new(mounting), in_use)
            }
        };
        Some(Self {
            path,
            methods,
            deadline,
            client_deadline,
            stream_timeout,
            max_body_bytes,
            server_timing,
            places,
            mounting,
            in_use,
        })
    }

    /// Whether it goes on with the adapter of the other.
    pub(crate) fn shares_adapter_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mounting, &other.mounting)
    }
}

/// The limits of a location. The counts go on where the adapter does: its calls are still there.
/// `None` when the location needs a pool and `pool` is none.
fn places(
    location: &Location,
    pool: Option<&Pool>,
    before: Option<&SharedLocation>,
) -> Option<Places> {
    let mut places = Places::default();
    if !location.mounted.kind().needs_pool() {
        places.limit(LimitKind::Running, location.max_running);
    } else if let Some(share) = location.share {
        places.limit(LimitKind::Share, share.of(pool?.capacity()));
    }
    if let Some(max) = location.max_per_client {
        places.limit_clients(location.client_key.clone(), max);
    }
    if let Some(before) = before {
        places.go_on_from(&before.places);
    }
    Some(places)
}

/// What is served, on one loop.
pub(crate) struct LoopSite {
    pub(crate) site: Arc<Site>,
    pub(crate) router: Router<Rc<LoopLocation>>,
    locations: Vec<Rc<LoopLocation>>,
}

impl LoopSite {
    /// Makes the loop's own part of a site. What `before` has an instance of already is not made
    /// anew. It runs foreign code: the constructors of loop adapters.
    pub(crate) fn new(site: &Arc<Site>, before: Option<&Self>) -> Result<Self, RouteError> {
        let mut router = Router::new();
        let mut locations = Vec::new();
        for location in &site.locations {
            let here = Rc::new(LoopLocation::new(location, before));
            locations.push(Rc::clone(&here));
            router.add(&location.path, location.methods.clone(), here)?;
        }
        Ok(Self {
            site: Arc::clone(site),
            router,
            locations,
        })
    }
}

/// A location on one loop.
pub(crate) struct LoopLocation {
    target: Rc<Foreign<Target>>,
    /// After the target: with it goes what tells the drain that nobody uses the adapter.
    pub(crate) shared: Arc<SharedLocation>,
}

/// How a location's calls are made.
pub(crate) enum Target {
    /// Elsewhere: a pool or a library's own threads.
    Submit(Arc<dyn Submit>),
    /// Here.
    Serve(Rc<dyn Serve>),
}

impl LoopLocation {
    fn new(shared: &Arc<SharedLocation>, before: Option<&LoopSite>) -> Self {
        let locations = before.map_or(&[][..], |before| &before.locations);
        let kept = locations
            .iter()
            .find(|before| before.shared.shares_adapter_with(shared));
        let target = match kept {
            Some(kept) => Rc::clone(&kept.target),
            None => Rc::new(Foreign::new(match shared.mounting.bound.get() {
                Bound::Submit(submit) => Target::Submit(Arc::clone(submit)),
                Bound::Serve(make) => Target::Serve(make()),
            })),
        };
        Self {
            target,
            shared: Arc::clone(shared),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        self.target.get()
    }
}

impl std::fmt::Debug for LoopLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LoopLocation")
            .field(&self.shared.path)
            .finish()
    }
}
