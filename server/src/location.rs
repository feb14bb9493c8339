//! A path on a server with an adapter mounted on it.

use http::Method;
use pontoon_adapters::mount::Mounted;
use pontoon_adapters::settings::Fingerprint;
use pontoon_adapters::{
    Adapter, Blocking, BlockingWith, CallContext, CallbackAdapter, Error, LoopAdapter, Request,
    Response,
};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::config::LocationConfig;
use crate::per_client::ClientKey;
use crate::places::Share;

/// What can be mounted on a location.
///
/// Plain functions by [`blocking`](crate::blocking), adapters by [`on_pool`], [`callback`] and
/// [`on_loop`], and async functions by [`handler`].
pub trait Mount {
    /// The adapter, and the pool that it names if it needs one.
    fn mount(self) -> (Mounted, Option<String>);
}

impl<F> Mount for Blocking<F>
where
    Blocking<F>: Adapter,
{
    fn mount(self) -> (Mounted, Option<String>) {
        let pool = self.pool_name().to_owned();
        (Mounted::blocking(self), Some(pool))
    }
}

impl<F> Mount for BlockingWith<F>
where
    BlockingWith<F>: Adapter,
{
    fn mount(self) -> (Mounted, Option<String>) {
        let pool = self.pool_name().to_owned();
        (Mounted::blocking(self), Some(pool))
    }
}

/// Something to mount whose kind is settled.
#[derive(Debug)]
pub struct Mountable(Mounted, Option<String>);

impl Mount for Mountable {
    fn mount(self) -> (Mounted, Option<String>) {
        (self.0, self.1)
    }
}

/// A blocking adapter, run by the workers of the pool that is named.
pub fn on_pool(pool: impl Into<String>, adapter: impl Adapter) -> Mountable {
    Mountable(Mounted::blocking(adapter), Some(pool.into()))
}

/// An adapter of a library that calls back from threads of its own.
pub fn callback(adapter: impl CallbackAdapter) -> Mountable {
    Mountable(Mounted::callback(adapter), None)
}

/// An adapter that runs on the loop; `make` is called once on each loop.
pub fn on_loop<A: LoopAdapter>(make: impl Fn() -> A + Send + Sync + 'static) -> Mountable {
    Mountable(Mounted::on_loop(make), None)
}

/// An async function that runs on the loop. It may await calls of any pools and callback
/// libraries, in a row or at once, timers and sockets, and then answers; its future need not be
/// `Send`.
pub fn handler<F, Fut>(function: F) -> Mountable
where
    F: Fn(Request, CallContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Error>> + 'static,
{
    let function = Arc::new(function);
    on_loop(move || Handler(Arc::clone(&function)))
}

struct Handler<F>(Arc<F>);

impl<F, Fut> LoopAdapter for Handler<F>
where
    F: Fn(Request, CallContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Error>> + 'static,
{
    fn call(
        &self,
        request: Request,
        call: &CallContext,
    ) -> impl Future<Output = Result<Response, Error>> {
        (self.0)(request, call.clone())
    }
}

/// What makes two adapters of config files the same: then a reload keeps the one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    adapter: &'static str,
    settings: Fingerprint,
}

/// A location in the making.
#[derive(Debug)]
pub struct Location {
    pub(crate) path: String,
    pub(crate) methods: Option<Vec<Method>>,
    pub(crate) pool: Option<String>,
    pub(crate) deadline: Duration,
    pub(crate) client_deadline: bool,
    pub(crate) stream_timeout: Duration,
    pub(crate) max_body_bytes: Option<usize>,
    pub(crate) server_timing: bool,
    pub(crate) max_running: usize,
    /// `None` for what a program mounts.
    pub(crate) identity: Option<Identity>,
    pub(crate) share: Option<Share>,
    pub(crate) client_key: ClientKey,
    pub(crate) max_per_client: Option<usize>,
    pub(crate) mounted: Mounted,
}

impl Location {
    /// How long a call may take unless said otherwise, queueing included.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
    /// How long a body that is produced while it is sent may take unless said otherwise.
    pub const DEFAULT_STREAM_TIMEOUT: Duration = Duration::from_secs(60 * 60);
    /// Calls that run at once on an adapter without a pool unless said otherwise.
    pub const DEFAULT_MAX_RUNNING: usize = 1024;

    /// Mounts something on `path`, for instance `/users/{id}` or `/files/{*rest}`.
    pub fn new(path: impl Into<String>, mount: impl Mount) -> Self {
        let (mounted, pool) = mount.mount();
        Self {
            path: path.into(),
            methods: None,
            pool,
            deadline: Self::DEFAULT_DEADLINE,
            client_deadline: true,
            stream_timeout: Self::DEFAULT_STREAM_TIMEOUT,
            max_body_bytes: None,
            server_timing: false,
            max_running: Self::DEFAULT_MAX_RUNNING,
            identity: None,
            share: None,
            client_key: ClientKey::Address,
            max_per_client: None,
            mounted,
        }
    }

    /// Answers this method, and no other unless it is given as well; all are answered by default.
    /// HEAD comes with GET.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.methods.get_or_insert_default().push(method);
        self
    }

    /// Answers 504 this long after a request arrived, whatever the library does; default 30 s. A
    /// request whose body has not arrived by then is answered 408.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether a client may ask for an earlier deadline, by `X-Request-Timeout` (seconds, with or
    /// without a fraction) or by `grpc-timeout`, counted from the request's arrival; by default it
    /// may. It never gets a later one, and a value that cannot be read is answered 400.
    #[must_use]
    pub fn client_deadline(mut self, heeded: bool) -> Self {
        self.client_deadline = heeded;
        self
    }

    /// Cuts a response whose body is produced while it is sent, so long after its head; default one hour.
    /// The deadline is that of the head.
    #[must_use]
    pub fn stream_timeout(mut self, limit: Duration) -> Self {
        self.stream_timeout = limit;
        self
    }

    /// Answers 413 to larger request bodies; default: the server's limit.
    #[must_use]
    pub fn max_body_bytes(mut self, max: usize) -> Self {
        self.max_body_bytes = Some(max);
        self
    }

    /// Tells the client where the time went, in a `Server-Timing` header.
    #[must_use]
    pub fn server_timing(mut self, on: bool) -> Self {
        self.server_timing = on;
        self
    }

    /// Answers 503 when this many calls run already; for adapters without a pool, default 1024.
    #[must_use]
    pub fn max_running(mut self, max: usize) -> Self {
        self.max_running = max;
        self
    }

    /// Answers 503 when so much of the pool is taken by calls of this location, running or waiting,
    /// so that others keep room; by default it may take all. For adapters with a pool.
    #[must_use]
    pub fn share(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// Answers 429 to a client that has this many calls on the location, running or waiting; by
    /// default one client may have all. By default the [client](Self::client_key) is an address.
    #[must_use]
    pub fn max_per_client(mut self, max: usize) -> Self {
        self.max_per_client = Some(max);
        self
    }

    /// By what [`max_per_client`](Self::max_per_client) tells clients apart.
    #[must_use]
    pub fn client_key(mut self, key: ClientKey) -> Self {
        self.client_key = key;
        self
    }
}

impl From<LocationConfig> for Location {
    fn from(config: LocationConfig) -> Self {
        Self {
            path: config.path,
            methods: config.methods,
            pool: config.pool,
            deadline: config.deadline,
            client_deadline: config.client_deadline,
            stream_timeout: config.stream_timeout,
            max_body_bytes: Some(config.max_body_bytes),
            server_timing: config.server_timing,
            max_running: config.max_running.unwrap_or(Self::DEFAULT_MAX_RUNNING),
            identity: Some(Identity {
                adapter: config.adapter,
                settings: config.settings,
            }),
            share: config.share,
            client_key: config.client_key,
            max_per_client: config.max_per_client,
            mounted: config.mounted,
        }
    }
}
