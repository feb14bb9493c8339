//! A database for a test, and two ways to call an adapter on it: directly, in a session of the test's own, and on
//! the workers of a pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use pontoon_adapters::mount::{Bound, Job, Mounted, Submit};
use pontoon_adapters::postgres::{Postgres, Session};
use pontoon_adapters::{Adapter, CallContext, Error, PathParams, Request, Response};
use pontoon_bridge::event_loop::timeout;
use pontoon_bridge::{Call, CallError, EventLoop, Pool};
use pontoon_tests::PATIENCE;
use pontoon_tests::backends::Postgres as Server;

/// An adapter and a session, without a pool.
pub(crate) struct Client {
    pub(crate) adapter: Postgres,
    pub(crate) session: Session,
}

/// A database on the server that all tests share, with these tables.
pub(crate) fn database(schema: &str) -> Option<(&'static Server, String)> {
    let server = Server::shared()?;
    let database = server.database();
    as_user(server, &database, schema);
    Some((server, database))
}

/// Runs SQL as the role that the adapters are.
pub(crate) fn as_user(server: &Server, database: &str, sql: &str) {
    server.run(database, &format!("SET ROLE {}; {sql}", Server::USER));
}

pub(crate) fn adapter(server: &Server, database: &str, keys: &str) -> Postgres {
    let text = format!("url = '{}'\n{keys}", server.url(database));
    Postgres::from_toml(&text).unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

impl Client {
    pub(crate) fn new(server: &Server, database: &str, keys: &str) -> Self {
        let adapter = adapter(server, database, keys);
        let session = adapter.open().unwrap();
        Self { adapter, session }
    }

    pub(crate) fn call(&mut self, request: Request) -> Result<Response, Error> {
        let call = CallContext::detached();
        self.adapter.call(&mut self.session, request, &call)
    }

    pub(crate) fn get(&mut self, target: &str) -> Result<Response, Error> {
        self.call(get(target))
    }

    pub(crate) fn post(&mut self, json: &serde_json::Value) -> Result<Response, Error> {
        self.call(post(json))
    }

    /// The body of an answer that is expected to be one.
    pub(crate) fn text(&mut self, request: Request) -> String {
        text(&self.call(request).unwrap())
    }
}

pub(crate) fn text(response: &Response) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

pub(crate) fn get(target: &str) -> Request {
    request(Method::GET, target, "", Vec::new())
}

pub(crate) fn post(json: &serde_json::Value) -> Request {
    request(
        Method::POST,
        "/",
        "application/json",
        json.to_string().into_bytes(),
    )
}

pub(crate) fn request(method: Method, target: &str, media_type: &str, body: Vec<u8>) -> Request {
    let mut request = http::Request::builder().method(method).uri(target);
    if !media_type.is_empty() {
        request = request.header("content-type", media_type);
    }
    request.body(body.into()).unwrap()
}

/// An adapter on the workers of a pool.
pub(crate) struct Pooled {
    pub(crate) pool: Pool,
    bound: Arc<dyn Submit>,
}

impl Pooled {
    pub(crate) fn new(adapter: Postgres, threads: usize) -> Self {
        let pool = Pool::named("pg")
            .threads(threads)
            .max_queue(2000)
            .breaker(false);
        let pool = pool.codel(None).build().unwrap();
        let bound = Mounted::blocking(adapter).bind(Some(&pool), &Arc::from("/pg"));
        let Some(Bound::Submit(bound)) = bound else {
            unreachable!("a blocking adapter is submitted to")
        };
        Self { pool, bound }
    }

    pub(crate) fn submit(
        &self,
        request: Request,
        deadline: Option<Duration>,
    ) -> Call<Result<Response, Error>> {
        self.bound.submit(Job {
            request,
            params: PathParams::default(),
            request_id: 1,
            deadline: deadline.map(|deadline| Instant::now() + deadline),
            is_shortened: false,
            place: None,
        })
    }

    pub(crate) fn ask(
        &self,
        request: Request,
        deadline: Option<Duration>,
    ) -> Result<Response, Error> {
        outcome(self.submit(request, deadline)).unwrap_or_else(|error| Err(error.into()))
    }
}

/// Waits for a call, for as long as a test may take.
pub(crate) fn outcome(
    call: Call<Result<Response, Error>>,
) -> Result<Result<Response, Error>, CallError> {
    let outcome = EventLoop::new().unwrap().block_on(timeout(PATIENCE, call));
    outcome.expect("the call ends in time")
}
