//! What the unit tests of this crate share: calls that can be stopped, outcomes that can be
//! waited for, requests in one line. The only tests that know how the bridge makes its contexts
//! and completers are here.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use pontoon_bridge::event_loop::timeout;
use pontoon_bridge::{Call, CallError, Completer, EventLoop};

use crate::{CallContext, Error, PathParams, Request, Response, ResponseCompleter};

/// Longer than any of these tests may take, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A call that the test can stop.
pub(crate) struct Stoppable {
    caller: Mutex<Option<Call<()>>>,
    completer: Completer<()>,
    deadline: Option<Instant>,
}

impl Stoppable {
    pub(crate) fn new(deadline: Option<Instant>) -> Self {
        let (call, completer) = pontoon_bridge::call();
        Self {
            caller: Mutex::new(Some(call)),
            completer,
            deadline,
        }
    }

    pub(crate) fn call(&self, params: PathParams) -> CallContext {
        CallContext::new(params, self.completer.context(self.deadline), 1)
    }

    pub(crate) fn stop(&self) {
        drop(self.caller.lock().unwrap().take());
    }
}

impl Drop for Stoppable {
    /// Only `stop` stops the call.
    fn drop(&mut self) {
        std::mem::forget(self.caller.lock().unwrap().take());
    }
}

/// Where the outcome of a completer arrives; empty once it has come.
pub(crate) struct Outcome(Mutex<Option<Call<Result<Response, Error>>>>);

/// What became of a completer.
#[derive(Debug)]
pub(crate) enum Ended {
    Completed(Result<Response, Error>),
    /// Also: it has ended before.
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
        let mut place = self.0.lock().unwrap();
        let Some(call) = place.as_mut() else {
            return Ended::Abandoned;
        };
        let outcome = poll_fn(|context| Pin::new(&mut *call).poll(context));
        let ended = match EventLoop::new()
            .unwrap()
            .block_on(timeout(patience, outcome))
        {
            Ok(Ok(outcome)) => Ended::Completed(outcome),
            Ok(Err(CallError::Abandoned)) => Ended::Abandoned,
            Ok(Err(other)) => panic!("a completer cannot end so: {other}"),
            Err(_) => return Ended::Pending,
        };
        *place = None;
        ended
    }
}

/// How a call of a pool ends.
pub(crate) fn ended<T>(call: Call<T>) -> Result<T, CallError> {
    let patient = call.deadline_at(Instant::now() + PATIENCE);
    EventLoop::new().unwrap().block_on(patient)
}

/// A completer and where its outcome arrives.
pub(crate) fn completer() -> (ResponseCompleter, Outcome) {
    let (call, completer) = pontoon_bridge::call();
    (completer, Outcome(Mutex::new(Some(call))))
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
