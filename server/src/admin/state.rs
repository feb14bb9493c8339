//! What the admin listener knows of the server.

use crate::site::SharedLocation;
use pontoon_bridge::{LoopHandle, Pool};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What is to be seen of a server that is up. Asked on the admin loop, so nothing here may block.
pub(crate) trait Overview: Send + Sync + 'static {
    /// The loops that serve the public listener, by index.
    fn loops(&self) -> Vec<LoopHandle>;
    /// Public connections that are open, and how many may be.
    fn connections(&self) -> (usize, usize);
    /// The pools that new requests find.
    fn pools(&self) -> Vec<Pool>;
    /// The locations that new requests find.
    fn locations(&self) -> Vec<Arc<SharedLocation>>;
}

/// Where the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Serving,
    Draining,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// Shared by the pages.
pub(super) struct State {
    started: Instant,
    overview: OnceLock<Arc<dyn Overview>>,
    draining: AtomicBool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            overview: OnceLock::new(),
            draining: AtomicBool::new(false),
        }
    }

    pub(super) fn watch(&self, overview: Arc<dyn Overview>) {
        if self.overview.set(overview).is_err() {
            tracing::error!("a server was shown to its admin listener twice");
        }
    }

    pub(super) fn begin_drain(&self) {
        // Release: partner of the Acquire in `phase`; who sees the drain finds the server as it
        // was when it began.
        self.draining.store(true, Release);
    }

    pub(super) fn phase(&self) -> Phase {
        // Acquire: partner of the Release in `begin_drain`.
        if self.draining.load(Acquire) {
            Phase::Draining
        } else if self.overview.get().is_some() {
            Phase::Serving
        } else {
            Phase::Starting
        }
    }

    /// The server, once it is up.
    pub(super) fn overview(&self) -> Option<&dyn Overview> {
        self.overview.get().map(|overview| &**overview)
    }

    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&self.phase()).finish()
    }
}
