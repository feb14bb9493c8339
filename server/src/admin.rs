//! The admin listener: whether the server lives, whether it is ready, and what it does.
//!
//! It has a loop thread, a limit on connections and locations of its own, so it answers while every
//! pool hangs and while all public connections are taken. Nothing here waits for a pool, and for a
//! loop only so long. Its input goes through the same guard and the same limits on slow clients.
//!
//! ```text
//!  Admin::start ──▶ starting ── watch ──▶ serving ── begin_drain ──▶ draining ──▶ stop
//!                               (the server is up)   (it stops)       (it has)
//! ```

mod livez;
mod readyz;
mod state;
mod status;

pub(crate) use state::Overview;

use crate::app::{Role, Shared};
use crate::config::{ListenAddress, ServerConfig};
use crate::error::{Result, ServerError};
use crate::listener::Listening;
use crate::location::{Location, handler};
use crate::loops::{StartedLoops, start_loops};
use crate::site::{SharedLocation, Site};
use http::{HeaderValue, Method, StatusCode, header};
use livez::Livez;
use pontoon_adapters::Response;
use pontoon_adapters::settings::AutoOr;
use pontoon_bridge::Spin;
use serde_json::Value;
use state::State;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Enough for probes and a person; few enough that nobody fills the memory.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may be slow, or idle: a place is soon free again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long its own connections may take to end, once the server has stopped.
const STOP: Duration = Duration::from_millis(250);

/// The running admin listener. Dropping it leaves it running.
#[derive(Debug)]
pub(crate) struct Admin {
    address: ListenAddress,
    state: Arc<State>,
    loops: StartedLoops,
}

impl Admin {
    /// Listens and answers from now on; the server is starting, until it is [watched](Self::watch).
    pub(crate) fn start(address: &ListenAddress) -> Result<Self> {
        let failed = |source| ServerError::Listen {
            address: address.clone(),
            source,
        };
        let listening = Listening::bind(address).map_err(failed)?;
        let bound = listening.address().map_err(failed)?;
        let state = Arc::new(State::new());
        let site = Arc::new(Site::new(config(&bound), locations(&state)?));
        let shared = Arc::new(Shared::new(Role::Admin, MAX_CONNECTIONS, 1));
        let loops = start_loops(&shared, &site, 1, listening)?;
        Ok(Self {
            address: bound,
            state,
            loops,
        })
    }

    pub(crate) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The server is up, and this is what is to be seen of it.
    pub(crate) fn watch(&self, overview: Arc<dyn Overview>) {
        self.state.watch(overview);
    }

    /// The server stops: it is not ready any more, but lives.
    pub(crate) fn begin_drain(&self) {
        self.state.begin_drain();
    }

    /// Answers what it has read, and ends.
    pub(crate) fn stop(self) {
        if self.loops.stop(Instant::now() + STOP).contains(&None) {
            tracing::warn!(address = %self.address, "the admin listener did not end");
        }
    }
}

fn config(address: &ListenAddress) -> ServerConfig {
    ServerConfig {
        listen: address.clone(),
        loops: AutoOr::Fixed(1),
        spin: Spin::Off,
        max_connections: MAX_CONNECTIONS,
        header_timeout: PATIENCE,
        keep_alive: PATIENCE,
        request_timeout: PATIENCE,
        send_timeout: PATIENCE,
        max_body_bytes: 0,
        ..ServerConfig::default()
    }
}

fn locations(state: &Arc<State>) -> Result<Vec<SharedLocation>> {
    let livez = Arc::new(Livez::new(state));
    let (readyz, status) = (Arc::clone(state), Arc::clone(state));
    let locations = [
        Location::new(
            "/livez",
            handler(move |_, _| {
                let livez = Arc::clone(&livez);
                async move { Ok(livez.page().await) }
            }),
        ),
        Location::new(
            "/readyz",
            handler(move |_, _| std::future::ready(Ok(readyz::page(&readyz)))),
        ),
        Location::new(
            "/status",
            handler(move |_, _| std::future::ready(Ok(status::page(&status)))),
        ),
    ];
    let bind =
        |location: Location| SharedLocation::new(location.method(Method::GET), None, 0, None);
    let bound: Option<Vec<_>> = locations.into_iter().map(bind).collect();
    let setup = || ServerError::Setup("the admin listener's pages want a pool".to_owned());
    bound.ok_or_else(setup)
}

/// A JSON document that no cache keeps.
fn answer(status: StatusCode, document: &Value) -> Response {
    let mut response = Response::json(document).with_status(status);
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}
