//! `callback`: a callback-style library in miniature, well behaved or not.
//!
//! It shows how such a library is wrapped (the completer goes into the callback, no worker waits)
//! and it is what the tests use to misbehave on purpose. Mounted by the config name `callback`.
//! The library itself is [`foreign`]: it knows nothing of requests or completers.
//!
//! What each value of `misbehave` does, and what the client sees:
//!
//! | value | the library | the client |
//! | --- | --- | --- |
//! | `none` | calls back once, from its own thread, after `delay` | the answer |
//! | `twice` | calls back twice | the answer; the second one is dropped and counted |
//! | `inline` | calls back before `submit` has returned, on the loop's thread | the answer |
//! | `late` | calls back after `delay` and `late_by` | the answer, or 504 and a late one counted |
//! | `never` | keeps the callback; of more than 1,024 it drops the oldest | 504, or abandoned |
//! | `drop` | drops the callback without calling it | abandoned, after `delay` |
//! | `panic` | panics inside `submit`, on the loop's thread | abandoned; the server catches the panic |
//! | `thread_panic` | panics on its own thread, with the callback in its hands | abandoned |

pub mod foreign;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};
use crate::{CallContext, CallbackAdapter, Error, Request, Response, ResponseCompleter};

pub use foreign::{Config, Misbehave};
use foreign::{Library, SubmitError};

/// Hands the body of each request to the miniature library and answers with what comes back.
///
/// A request without a body is answered with the line `called back`. Dropping the adapter stops
/// the library's threads; calls that it still holds end as abandoned.
#[derive(Debug)]
pub struct Callback {
    library: Library,
}

impl Callback {
    /// Starts the library.
    ///
    /// # Errors
    ///
    /// The operating system refuses a thread.
    pub fn start(config: Config) -> io::Result<Self> {
        let library = Library::start(config)?;
        Ok(Self { library })
    }

    fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        let config = config_from(settings);
        match Self::start(config) {
            Ok(adapter) => Some(adapter),
            Err(error) => {
                let message = format!("the library's threads cannot be started: {error}");
                settings.invalid("threads", message);
                None
            }
        }
    }
}

impl CallbackAdapter for Callback {
    fn submit(&self, request: Request, _call: &CallContext, completer: ResponseCompleter) {
        let (head, body) = request.into_parts();
        let content_type = head.headers.get(CONTENT_TYPE).cloned();
        // A library that refuses a job drops the callback with it: the refusal needs a completer too.
        let completer = Arc::new(completer);
        let for_library = Arc::clone(&completer);
        let callback = Box::new(move |result: Bytes| {
            for_library.complete(Ok(answer(content_type.clone(), result)));
        });
        if let Err(SubmitError::QueueFull { limit }) = self.library.submit(body, callback) {
            let detail = format!("the library has {limit} calls pending, which is its limit");
            completer.complete(Err(Error::unavailable(detail)));
        }
    }
}

fn answer(content_type: Option<HeaderValue>, result: Bytes) -> Response {
    if result.is_empty() {
        return Response::text("called back\n");
    }
    let content_type =
        content_type.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
    Response::bytes(content_type, result)
}

fn config_from(settings: &mut Settings<'_>) -> Config {
    let default = Config::default();
    let count = |value: Option<i64>, default: usize| {
        value
            .and_then(|value| usize::try_from(value).ok())
            .unwrap_or(default)
    };
    let names = Misbehave::ALL.map(Misbehave::name);
    Config {
        threads: count(settings.integer("threads", 1..=64), default.threads),
        max_pending: count(
            settings.integer("max_pending", 1..=1_000_000),
            default.max_pending,
        ),
        delay: settings.duration("delay").unwrap_or(default.delay),
        late_by: settings.duration("late_by").unwrap_or(default.late_by),
        misbehave: settings
            .choice("misbehave", &names)
            .and_then(Misbehave::from_name)
            .unwrap_or_default(),
    }
}

const KEYS: &[KeySpec] = &[
    KeySpec::with_default(
        "delay",
        "duration",
        "10ms",
        "how long the library takes for each call",
    ),
    KeySpec::with_default(
        "threads",
        "integer",
        "2",
        "how many threads the library has",
    ),
    KeySpec::with_default(
        "max_pending",
        "integer",
        "1024",
        "how many calls the library takes before it refuses more",
    ),
    KeySpec::with_default(
        "misbehave",
        "none, twice, inline, late, never, drop, panic or thread_panic",
        "none",
        "what the library does wrong, for tests",
    ),
    KeySpec::with_default(
        "late_by",
        "duration",
        "1s",
        "how much later than `delay` it calls back with `misbehave = \"late\"`",
    ),
];

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "callback",
        kind: Kind::Callback,
        modes: &[],
        summary: "a callback-style library in miniature, which can misbehave on purpose",
        keys: KEYS,
        build: |settings| Callback::from_settings(settings).map(Mounted::callback),
    }
}

#[cfg(test)]
mod tests;
