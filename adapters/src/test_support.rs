//! What the unit tests of this crate share: calls that can be stopped, outcomes that can be
//! waited for, requests in one line. The only tests that know how the bridge makes its contexts
//! and completers are here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;

use crate::{CallContext, Error, PathParams, Request, Response, ResponseCompleter};

/// Longer than any of these tests may take, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A call that the test can stop.
pub(crate) struct Stoppable {
    stopped: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stoppable {
    pub(crate) fn new(deadline: Option<Instant>) -> Self {
        let stopped = Arc::default();
        Self { stopped, deadline }
    }

    pub(crate) fn call(&self, params: PathParams) -> CallContext {
        let call = pontoon_bridge::CallContext::with_flag(Arc::clone(&self.stopped), self.deadline);
        CallContext::new(params, call, 1)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

/// Where the outcome of a completer arrives.
pub(crate) struct Outcome(Receiver<Result<Response, Error>>);

/// What became of a completer.
#[derive(Debug)]
pub(crate) enum Ended {
    Completed(Result<Response, Error>),
    Abandoned,
    Pending,
}

impl Outcome {
    /// Waits, for at most as long as a test may take.
    pub(crate) fn wait(&self) -> Ended {
        self.wait_for(PATIENCE)
    }

    /// What it is now, without waiting.
    pub(crate) fn now(&self) -> Ended {
        self.wait_for(Duration::ZERO)
    }

    fn wait_for(&self, patience: Duration) -> Ended {
        match self.0.recv_timeout(patience) {
            Ok(outcome) => Ended::Completed(outcome),
            Err(RecvTimeoutError::Disconnected) => Ended::Abandoned,
            Err(RecvTimeoutError::Timeout) => Ended::Pending,
        }
    }
}

/// A completer and where its outcome arrives.
pub(crate) fn completer() -> (ResponseCompleter, Outcome) {
    let call = pontoon_bridge::CallContext::detached();
    let (completer, receiver) = pontoon_bridge::Completer::channel(call);
    (completer, Outcome(receiver))
}

/// A request without a body.
pub(crate) fn get(target: &str) -> Request {
    request(Method::GET, target, None, "")
}

/// A POST with a body of this media type.
pub(crate) fn post(target: &str, content_type: &str, body: impl Into<Bytes>) -> Request {
    request(Method::POST, target, Some(content_type), body)
}

/// Any request.
pub(crate) fn request(
    method: Method,
    target: &str,
    content_type: Option<&str>,
    body: impl Into<Bytes>,
) -> Request {
    let mut request = http::Request::builder().method(method).uri(target);
    if let Some(content_type) = content_type {
        request = request.header(http::header::CONTENT_TYPE, content_type);
    }
    request.body(body.into()).unwrap()
}
