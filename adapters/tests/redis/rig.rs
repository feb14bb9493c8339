//! The adapter, mounted as a server mounts it: on a pool, or on an event loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::future::FutureExt as _;
use http::Method;
use pontoon_adapters::mount::{Bound, Job, Mounted, Serve, Submit};
use pontoon_adapters::redis::{Mode, Multiplexed, Redis, Work};
use pontoon_adapters::{Error, PathParams, Request, Response};
use pontoon_bridge::event_loop::timeout;
use pontoon_bridge::{EventLoop, Pool};

use super::server::Server;
use pontoon_tests::PATIENCE;

pub(crate) type Outcome = Result<Response, Error>;

/// Both ways to run the adapter.
pub(crate) const MODES: [Mode; 2] = [Mode::Blocking, Mode::Loop];

/// A mounted adapter.
pub(crate) struct Rig {
    target: Target,
    pool: Pool<()>,
    event_loop: EventLoop,
}

enum Target {
    Submit(Arc<dyn Submit>),
    Serve(std::rc::Rc<dyn Serve>),
}

impl Rig {
    pub(crate) fn new(mode: Mode, redis: Redis) -> Self {
        Self::with_threads(mode, redis, 2)
    }

    pub(crate) fn with_threads(mode: Mode, redis: Redis, threads: usize) -> Self {
        redis.validate(mode).unwrap();
        let pool = Pool::named("redis")
            .threads(threads)
            .max_queue(4096)
            .breaker(false);
        let pool = pool.build().unwrap();
        let redis = Arc::new(redis);
        let mounted = match mode {
            Mode::Blocking => Mounted::blocking((*redis).clone()),
            Mode::Loop => Mounted::on_loop(move || Multiplexed::new(Arc::clone(&redis))),
        };
        let event_loop = EventLoop::new().unwrap();
        let target = match mounted.bind(Some(&pool), &"/".into()).unwrap() {
            Bound::Submit(submit) => Target::Submit(submit),
            Bound::Serve(make) => Target::Serve(make()),
        };
        Self {
            target,
            pool,
            event_loop,
        }
    }

    /// A mounted command.
    pub(crate) fn command(mode: Mode, server: &Server, words: &[&str]) -> Self {
        Self::new(mode, command(server, words))
    }

    pub(crate) fn pool(&self) -> &Pool<()> {
        &self.pool
    }

    /// Lets the event loop look at its sockets, as one that goes on running does by itself.
    pub(crate) fn turn(&self) {
        self.block_on(pontoon_bridge::event_loop::sleep(Duration::from_millis(1)));
    }

    /// What becomes of the request, within the deadline.
    pub(crate) async fn begin(
        &self,
        request: Request,
        params: &[(&str, &str)],
        limit: Duration,
    ) -> Outcome {
        let deadline = Instant::now() + limit;
        let job = Job {
            request,
            params: PathParams::from_iter(params.iter().copied()),
            request_id: 1,
            deadline: Some(deadline),
            is_shortened: false,
            place: None,
        };
        match &self.target {
            Target::Submit(submit) => submit
                .submit(job)
                .await
                .unwrap_or_else(|error| Err(error.into())),
            Target::Serve(serve) => match timeout(limit, serve.serve(job)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::timed_out("the deadline passed")),
            },
        }
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.event_loop.block_on(future)
    }

    /// One request with path parameters.
    pub(crate) fn call(&self, request: Request, params: &[(&str, &str)]) -> Outcome {
        self.block_on(self.begin(request, params, PATIENCE))
    }

    pub(crate) fn call_within(&self, limit: Duration, params: &[(&str, &str)]) -> Outcome {
        self.block_on(self.begin(get(), params, limit))
    }

    /// One request without a body; its answer as text.
    pub(crate) fn text(&self, params: &[(&str, &str)]) -> String {
        text(self.call(get(), params))
    }

    /// Starts a request and gives it up as soon as `until` holds.
    pub(crate) fn give_up(&self, params: &[(&str, &str)], mut until: impl FnMut() -> bool) {
        let request = self.begin(get(), params, PATIENCE);
        let looking = async {
            while !until() {
                pontoon_bridge::event_loop::sleep(Duration::from_millis(2)).await;
            }
            None
        };
        let ended = self.block_on(async { Some(request.await) }.or(looking));
        assert!(ended.is_none(), "{ended:?}");
    }
}

pub(crate) fn command(server: &Server, words: &[&str]) -> Redis {
    Redis::new(&server.url(), Work::command(words.iter().copied()).unwrap()).unwrap()
}

pub(crate) fn get() -> Request {
    http::Request::new(Bytes::new())
}

pub(crate) fn put(body: impl Into<Bytes>) -> Request {
    http::Request::builder()
        .method(Method::PUT)
        .body(body.into())
        .unwrap()
}

pub(crate) fn text(outcome: Outcome) -> String {
    String::from_utf8(outcome.unwrap().body().to_vec()).unwrap()
}

/// The status of an error.
pub(crate) fn status(outcome: Outcome) -> u16 {
    match outcome {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.kind().status().as_u16(),
    }
}
