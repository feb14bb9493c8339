//! One connection for all requests of a location on one event loop.
//!
//! The commands of all requests are written in the order of their arrival, many at once if they come
//! at once, and the replies are matched by their order: no thread, no pool, and few system calls. A
//! request that is given up leaves its place behind, so that its reply reaches nobody else.
//!
//! When the connection breaks, those that were sent are answered 502, and the next request makes a new
//! one; when that fails, nobody tries for a while that doubles from 100 ms to 10 s, and requests are answered
//! 503 at once. A connection that hangs is noticed by a request that was given up and is still not
//! answered `connect_timeout` later.

mod driver;
mod link;
mod queue;
mod subscription;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pontoon_bridge::event_loop::{self, Task};
use redis::Value;

use self::driver::{Lookup, drive};
use self::queue::Queue;
use super::Redis;
use super::failure::Broken;
use crate::{CallContext, Error, LoopAdapter, Request, Response};

/// The first wait after a connection could not be made.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest wait between two tries to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Commands of many requests on one connection of the event loop.
///
/// ```
/// use std::sync::Arc;
///
/// use pontoon_adapters::mount::Mounted;
/// use pontoon_adapters::redis::{Multiplexed, Redis, Work};
///
/// let get = Work::command(["GET", ":key"])?;
/// let redis = Arc::new(Redis::new("redis://localhost", get)?);
/// Mounted::on_loop(move || Multiplexed::new(Arc::clone(&redis)));
/// # Ok::<(), pontoon_adapters::redis::Problem>(())
/// ```
#[derive(Debug)]
pub struct Multiplexed {
    shared: Rc<Shared>,
    driver: RefCell<Option<Task<()>>>,
}

/// What requests and the driver share.
struct Shared {
    config: Arc<Redis>,
    queue: Rc<Queue>,
    health: RefCell<Health>,
    lookup: RefCell<Option<Lookup>>,
    /// The connection is to be replaced as soon as nobody waits for it.
    is_retiring: Cell<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("server", &self.config.server)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// Whether a connection can be made.
#[derive(Debug, Default)]
struct Health {
    failures: u32,
    down: Option<(Instant, Broken)>,
}

impl Health {
    fn failed(&mut self, broken: Broken, now: Instant) {
        let wait = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.down = Some((now + wait.min(BACKOFF_MAX), broken));
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// # Errors
    ///
    /// 503 while nobody is to try.
    fn may_try(&self, now: Instant) -> Result<(), Error> {
        match &self.down {
            Some((until, broken)) if *until > now => {
                let detail =
                    "Redis could not be reached a moment ago; nothing was done, try again later";
                Err(Error::unavailable(detail)
                    .with_retry_after(*until - now)
                    .with_source(broken.to_string()))
            }
            _ => Ok(()),
        }
    }
}

impl Multiplexed {
    /// Connects with the first request.
    pub fn new(redis: Arc<Redis>) -> Self {
        Self {
            shared: Rc::new(Shared {
                config: redis,
                queue: Rc::default(),
                health: RefCell::default(),
                lookup: RefCell::default(),
                is_retiring: Cell::new(false),
            }),
            driver: RefCell::default(),
        }
    }

    async fn exchange(&self, wire: Vec<u8>, expected: usize) -> Result<Vec<Value>, Error> {
        let shared = &self.shared;
        let is_driven =
            |task: &Option<Task<()>>| task.as_ref().is_some_and(|task| !task.is_finished());
        let is_driven = is_driven(&self.driver.borrow());
        if !is_driven {
            shared.health.borrow().may_try(event_loop::now())?;
        }
        let pending = shared
            .queue
            .enter(wire, expected, shared.config.max_in_flight)?;
        if !is_driven {
            let driver = event_loop::spawn(drive(Rc::clone(shared)));
            *self.driver.borrow_mut() = Some(driver);
        }
        pending.await.map_err(|broken| broken.to_error())
    }
}

impl Drop for Multiplexed {
    /// The driver would keep the connection.
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.cancel();
        }
    }
}

impl LoopAdapter for Multiplexed {
    async fn call(&self, mut request: Request, call: &CallContext) -> Result<Response, Error> {
        let config = &self.shared.config;
        let needs = config.work.needs();
        let body = needs.take_body(&mut request);
        let values = needs.values(&request, &body, call)?;
        let mut wire = Vec::new();
        let expected = config.work.encode(&values, &mut wire)?;
        if config.work.channels() > 0 {
            return subscription::subscribe(config, &wire).await;
        }
        let mut replies = self.exchange(wire, expected).await?;
        let mut wire = Vec::new();
        if let Some(expected) = config.work.encode_again(&replies, &values, &mut wire)? {
            replies = self.exchange(wire, expected).await?;
        }
        let results = config.work.results(replies);
        if results.as_ref().is_err_and(Error::breaks_session) {
            self.shared.is_retiring.set(true);
        }
        config.answer.response(results?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_each_failure_nobody_tries_for_twice_as_long() {
        let now = Instant::now();
        let mut health = Health::default();
        assert!(health.may_try(now).is_ok());
        for wait_ms in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
            let wait = Duration::from_millis(wait_ms);
            health.failed(Broken::late(), now);
            let error = health.may_try(now).unwrap_err();
            assert_eq!(error.retry_after(), Some(wait));
            assert!(health.may_try(now + wait).is_ok());
        }
        health.succeeded();
        assert!(health.may_try(now).is_ok());
    }
}
