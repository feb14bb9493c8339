//! The server: pools and locations put together, run on loops, stopped in order.

use crate::app::{LoopApp, Shared, SharedLocation};
use crate::config::{Config, ConfigError, ListenAddress, ServerConfig};
use crate::listener::{self, Listening};
use crate::location::{Location, Mount};
use crate::pools::{self, ServerPool};
use crate::router::{RouteError, Router};
use crate::running::Running;
use pontoon_adapters::settings::AutoOr;
use pontoon_bridge::event_loop;
use pontoon_bridge::{BuildError, EventLoop, LoopHandle, Pool};
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

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
    /// Signals could not be watched.
    #[error("signals could not be watched: {0}; look at `ulimit -n` and `ulimit -u`")]
    Signals(#[source] io::Error),
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
    config: ServerConfig,
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
        let pool = |pool: crate::config::PoolConfig| {
            Pool::named(pool.name)
                .threads(pool.threads)
                .max_queue(pool.max_queue)
                .session_idle(pool.session_idle)
                .stack_bytes(pool.stack_size_bytes)
        };
        Self {
            config: config.server,
            pools: config
                .pools
                .into_iter()
                .map(|config| pool(config).into())
                .collect(),
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

    /// How many event loops to run; by default half as many as there are CPUs, at least one: the
    /// workers need the other half.
    #[must_use]
    pub fn loops(mut self, loops: usize) -> Self {
        self.config.loops = AutoOr::Fixed(loops);
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
    pub fn start(mut self) -> Result<Running> {
        if let Some(problem) = self.bad_address {
            return Err(ServerError::Setup(problem));
        }
        self.clamp();
        let address = self.config.listen.clone();
        let listening =
            Listening::bind(&address).map_err(|source| ServerError::Listen { address, source })?;
        let pools = pools::make(self.pools)?;
        let loops = loop_count(self.config.loops);
        let locations = bind_locations(self.locations, &pools, self.config.max_body_bytes)?;
        let shared = Arc::new(Shared::new(self.config, locations, loops));
        start_loops(&shared, loops, listening, pools.into_values().collect())
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
            &mut config.send_timeout,
            &mut config.shutdown_timeout,
        ] {
            *limit = LONGEST.min(*limit);
        }
        config.max_header_bytes = config.max_header_bytes.clamp(8 << 10, 16 << 20);
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
    pools: &HashMap<String, Pool>,
    max_body_bytes: usize,
) -> Result<Vec<SharedLocation>> {
    // Every loop makes a router of its own later; what is wrong with the paths shows here.
    let mut router = Router::new();
    let mut bound = Vec::new();
    for location in locations {
        let path = location.path.clone();
        router
            .add(&path, location.methods.clone(), ())
            .map_err(|error: RouteError| ServerError::Setup(error.to_string()))?;
        let pool = match &location.pool {
            None => None,
            Some(name) => Some(pools.get(name).ok_or_else(|| {
                ServerError::Setup(format!("the location `{path}` names the pool `{name}`, which there is not; add it with `.pool(Pool::named(\"{name}\"))`"))
            })?),
        };
        let location = SharedLocation::new(location, pool, max_body_bytes).ok_or_else(|| {
            ServerError::Setup(format!(
                "the location `{path}` blocks and so needs a pool: mount it by `on_pool(\"NAME\", …)`"
            ))
        })?;
        bound.push(location);
    }
    Ok(bound)
}

thread_local! {
    static APP: RefCell<Option<Rc<LoopApp>>> = const { RefCell::new(None) };
}

/// What the connections of this thread's loop share.
pub(crate) fn loop_app() -> Option<Rc<LoopApp>> {
    APP.with_borrow(Clone::clone)
}

/// How a loop thread learns that it is to stop, and by when.
pub(crate) fn drain_here(until: Instant) {
    if let Some(app) = loop_app() {
        app.drain(until);
    }
}

fn start_loops(
    shared: &Arc<Shared>,
    loops: usize,
    listening: Listening,
    pools: Vec<Pool>,
) -> Result<Running> {
    let address = listening.address().map_err(|source| ServerError::Listen {
        address: shared.config.listen.clone(),
        source,
    })?;
    let mut started: Vec<StartedLoop> = Vec::new();
    for index in 0..loops {
        match start_loop(shared, index) {
            Ok(one) => started.push(one),
            Err(source) => {
                stop_loops(started);
                return Err(ServerError::Loop { index, source });
            }
        }
    }
    let (acceptor, acceptor_ended) = mpsc::channel::<()>();
    let all = started.iter().map(|one| one.handle.clone()).collect();
    let accept = move || async move {
        // Dropped when the acceptor ends, which is what the receiver waits for.
        let _acceptor = acceptor;
        if let Some(app) = loop_app() {
            listener::accept(app, listening, all).await;
        }
    };
    if started[0].handle.spawn(accept).is_err() {
        stop_loops(started);
        let source = io::Error::other("the loop ended at once");
        return Err(ServerError::Loop { index: 0, source });
    }
    Ok(Running::new(
        Arc::clone(shared),
        address,
        started,
        acceptor_ended,
        pools,
    ))
}

/// Has loops that were started in vain end; they have nothing to do yet, so they end at once.
fn stop_loops(started: Vec<StartedLoop>) {
    let now = Instant::now();
    for one in &started {
        // A loop that is gone already needs no telling.
        let _ = one.handle.post(move || drain_here(now));
    }
    for one in started {
        one.wait(VAIN);
    }
}

/// How long a loop that was started in vain may take to end.
const VAIN: Duration = Duration::from_secs(5);

/// A loop on its thread.
#[derive(Debug)]
pub(crate) struct StartedLoop {
    pub(crate) handle: LoopHandle,
    thread: thread::JoinHandle<()>,
    /// The connections that the end of the drain cut, once the loop has ended. Never locked: the
    /// mutex lets threads share the server, as a plain receiver would not.
    ended: Mutex<mpsc::Receiver<usize>>,
}

impl StartedLoop {
    /// Waits for the loop's end; `None` when it did not come.
    pub(crate) fn wait(self, limit: Duration) -> Option<usize> {
        let ended = self
            .ended
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(limit) {
            Ok(cut) => {
                // Its last act was to say so.
                let _ = self.thread.join();
                Some(cut)
            }
            // A loop that panicked has cut what it had; nobody knows how much.
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(0),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
        }
    }
}

fn start_loop(shared: &Arc<Shared>, index: usize) -> io::Result<StartedLoop> {
    let (started, report) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let shared = Arc::clone(shared);
    let run = move || {
        // Nobody listens any more only if the stop did not wait so long.
        let _ = end.send(run_loop(&shared, index, &started));
    };
    let thread = thread::Builder::new()
        .name(format!("pontoon-loop-{index}"))
        .spawn(run)?;
    let gone = |_| Err(io::Error::other("its thread ended at once"));
    let handle = report.recv().unwrap_or_else(gone)?;
    let ended = Mutex::new(ended);
    Ok(StartedLoop {
        handle,
        thread,
        ended,
    })
}

/// The life of a loop's thread; gives the connections that the end of the drain cut.
fn run_loop(
    shared: &Arc<Shared>,
    index: usize,
    started: &mpsc::Sender<io::Result<LoopHandle>>,
) -> usize {
    let event_loop = EventLoop::new();
    let app = LoopApp::new(shared, index).map_err(io::Error::other);
    let (event_loop, app) = match event_loop.and_then(|event_loop| Ok((event_loop, app?))) {
        Ok(ready) => ready,
        Err(error) => {
            // Nobody listens only if the starting thread is gone.
            let _ = started.send(Err(error));
            return 0;
        }
    };
    let app = Rc::new(app);
    APP.set(Some(Rc::clone(&app)));
    let _ = started.send(Ok(event_loop.handle()));
    event_loop.block_on(drained(&app));
    let cut = app.live_tasks();
    drop(event_loop);
    APP.set(None);
    cut
}

/// Waits for the drain to begin, and then for the connections or the time limit.
async fn drained(app: &LoopApp) {
    let mut limit: Option<event_loop::Timer> = None;
    poll_fn(|context| {
        if app.poll_drained(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        let Some(until) = app.draining_until() else {
            return std::task::Poll::Pending;
        };
        let timer = limit.get_or_insert_with(|| event_loop::Timer::at(until));
        std::pin::Pin::new(timer).poll(context)
    })
    .await;
}
