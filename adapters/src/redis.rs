//! `redis`: commands of Redis (or Valkey) on a location, answered as JSON or as the value's own bytes.
//!
//! Mounted by the config name `redis`. The commands are those of the configuration, with places for
//! values of the request: see [`Work`]. What it promises:
//!
//! - **Values are whole arguments, never spliced.** Each is sent with its length before it, so any bytes
//!   are safe, and `:body` stores the request's body as it is. Where the other parameters come from
//!   is said in [`params`](crate::params); with `:body`, only from path and query string.
//! - **Types survive.** Replies are RESP3, and become the JSON that their type says; integers keep
//!   all their digits, and a string that is not UTF-8 is base64 (standard alphabet, padded).
//! - **A connection is never in doubt.** After any I/O or protocol error, a missed deadline, or a reply
//!   that nobody has asked for, it is closed and another one is made. What would change the connection for
//!   those that share it (`SELECT`, `SUBSCRIBE`, …) is refused when the configuration is read.
//! - **A server that hangs holds nobody for longer than the deadline**, and a call whose client left
//!   closes its connection, so the server stops waiting on its behalf (`BLPOP`). A command that the
//!   server has begun is run to its end.
//!
//! There are two ways to run it. By default it blocks: a worker of a pool has a connection to itself, which
//! is what commands that wait and large values want. With `mode = "loop"` each event loop has one
//! connection to the server for the location; the commands of all requests are sent on it at once, and
//! the replies are matched by their order. That needs no threads and is the faster way for short commands.
//!
//! A subscription ([`Work::subscribe`]) answers with the messages of its channels as server-sent events:
//! `data` is the message, base64 if it is not UTF-8, and with several channels `event` is the channel. Each
//! subscriber has a connection of its own, until its client leaves or the location's `stream_timeout` is over.
//!
//! What the client sees when Redis refuses:
//!
//! | Redis says | status |
//! | --- | --- |
//! | `WRONGTYPE`, a value that is no number or out of range | 422 |
//! | `BUSYKEY`, `BUSYGROUP` | 409 |
//! | `NOPERM` | 403 |
//! | `OOM`, `LOADING`, `BUSY`, `READONLY`, `MISCONF`, `CLUSTERDOWN`, `TRYAGAIN`, … | 503 |
//! | `NOAUTH`, `WRONGPASS`, `MOVED`, `ASK`; it cannot be reached, or the connection breaks | 502 |
//! | anything else | 500; the reason is in the log only |
//!
//! Of a list of commands, one that fails makes the whole request fail, and the others have been run all the
//! same: Redis takes nothing back, also in a transaction.
//!
//! Redis Cluster and Sentinel are not supported: name the server itself, or a proxy.

mod answer;
mod decoder;
mod failure;
mod handshake;
mod json;
mod keys;
mod multiplexed;
mod refused;
mod server;
mod session;
mod template;
#[cfg(not(feature = "redis-tls"))]
#[path = "redis/no_tls.rs"]
mod tls;
#[cfg(feature = "redis-tls")]
mod tls;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;

pub use answer::Output;
pub use keys::spec;
pub use multiplexed::Multiplexed;
pub use session::Session;
pub use work::Work;

use crate::{Adapter, CallContext, Error, Interrupt, Request, Response};
use answer::Answer;
use server::{Password, Server};

/// The largest response body, unless configured otherwise.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// Requests that may wait for replies on a connection of a loop, unless configured otherwise.
const MAX_IN_FLIGHT: usize = 4096;

/// How long a new connection may take, unless configured otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A mistake in the configuration.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Problem {
    /// The key that holds it.
    pub key: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Problem {
    fn at(key: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { key, message }
    }
}

/// How the connections are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A connection for each worker of a pool.
    #[default]
    Blocking,
    /// A connection for each event loop, shared by all its requests.
    Loop,
}

/// Commands on one server.
///
/// ```
/// use pontoon_adapters::redis::{Mode, Output, Redis, Work};
///
/// let get = Work::command(["GET", ":key"])?;
/// let page = Redis::new("redis://localhost:6379/0", get)?
///     .output(Output::Raw("text/html; charset=utf-8".parse().unwrap()));
/// page.validate(Mode::Blocking)?;
/// # Ok::<(), pontoon_adapters::redis::Problem>(())
/// ```
#[derive(Clone, Debug)]
pub struct Redis {
    server: Server,
    work: Work,
    answer: Answer,
    connect_timeout: Duration,
    max_in_flight: usize,
}

impl Redis {
    /// This work on the server with this URL: `redis://[user[:password]@]host[:port][/database]`,
    /// `rediss://…` with TLS, or `unix:///path[?db=0&user=…&pass=…]`.
    ///
    /// # Errors
    ///
    /// The URL is none of these, or of TLS in a build without the feature `redis-tls`.
    pub fn new(server: &str, work: Work) -> Result<Self, Problem> {
        Ok(Self {
            server: Server::parse(server)?,
            work,
            answer: Answer {
                output: Output::default(),
                nil: None,
                zero: None,
                status: StatusCode::OK,
                max_bytes: MAX_RESPONSE_BYTES,
            },
            connect_timeout: CONNECT_TIMEOUT,
            max_in_flight: MAX_IN_FLIGHT,
        })
    }

    /// The password, where the URL has none.
    ///
    /// # Errors
    ///
    /// The URL has one.
    pub fn password(self, password: impl Into<String>) -> Result<Self, Problem> {
        self.with_password("password", Password::Given(password.into()))
    }

    /// A file whose first line is the password. It is read for each new connection.
    ///
    /// # Errors
    ///
    /// The URL has a password, too.
    pub fn password_file(self, path: impl Into<PathBuf>) -> Result<Self, Problem> {
        self.with_password("password_file", Password::File(path.into()))
    }

    fn with_password(mut self, key: &'static str, password: Password) -> Result<Self, Problem> {
        let at = |message: String| Problem::at(key, message);
        password.check().map_err(at)?;
        self.server = self.server.with_password(password).map_err(at)?;
        Ok(self)
    }

    /// For an URL of TLS: a file with the certificates to trust in place of the system's, and files with a
    /// certificate of our own and its key, all in PEM form.
    ///
    /// # Errors
    ///
    /// A file cannot be used, or the URL is none of TLS.
    pub fn tls(
        mut self,
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, Problem> {
        self.server = self.server.with_tls(ca, identity)?;
        Ok(self)
    }

    /// What the reply becomes.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.answer.output = output;
        self
    }

    /// The status when Redis answers with null. Unless set, 404 for [`Output::Raw`], else the usual one.
    #[must_use]
    pub fn nil(mut self, status: StatusCode) -> Self {
        self.answer.nil = Some(status);
        self
    }

    /// The status when Redis answers with the integer 0, as `DEL` of a key that there is not; unless
    /// set, the usual one.
    #[must_use]
    pub fn zero(mut self, status: StatusCode) -> Self {
        self.answer.zero = Some(status);
        self
    }

    /// The usual status: 200 unless set.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.answer.status = status;
        self
    }

    /// How long a new connection may take, login included.
    #[must_use]
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// How many requests may wait for replies on the connection of a loop; more get a 503.
    #[must_use]
    pub fn max_in_flight(mut self, max: usize) -> Self {
        self.max_in_flight = max;
        self
    }

    /// The largest response body, in bytes. A larger answer is an error, and if it is larger by itself and
    /// not only as JSON, also the end of its connection.
    #[must_use]
    pub fn max_response_bytes(mut self, max_bytes: usize) -> Self {
        self.answer.max_bytes = max_bytes;
        self
    }

    /// Finds mistakes that would show with the first request. It connects to nothing.
    ///
    /// # Errors
    ///
    /// The first mistake found, with the config key that holds it.
    pub fn validate(&self, mode: Mode) -> Result<(), Problem> {
        self.work.check(mode)?;
        if self.work.is_list() || self.work.channels() > 0 {
            let key = match &self.answer {
                Answer {
                    output: Output::Raw(_),
                    ..
                } => "output",
                Answer { nil: Some(_), .. } => "nil",
                Answer { zero: Some(_), .. } => "zero",
                _ => return Ok(()),
            };
            let message = "lists of commands and subscriptions have a form of their own; this is for a \
                 single reply";
            return Err(Problem::at(key, message));
        }
        Ok(())
    }
}

impl Adapter for Redis {
    type Session = Session;

    fn open(&self) -> Result<Session, Error> {
        Session::open(self)
    }

    fn call(
        &self,
        session: &mut Session,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        session.call(self, request, call)
    }

    fn check(&self, session: &mut Session) -> Result<(), Error> {
        session.check(self)
    }

    fn interrupter(&self, session: &Session) -> Option<Box<dyn Interrupt>> {
        Some(session.interrupter())
    }
}
