//! What becomes of one request: route, body, call, response.

use super::deadline::Deadline;
use super::exchange::{Exchange, ResponseBody};
use super::wire::{Overdue, Wire};
use crate::access_log::{Outcome, Record};
use crate::app::LoopApp;
use crate::problem::Problem;
use crate::site::{LoopLocation, Target};
use bytes::{Bytes, BytesMut};
use futures_lite::FutureExt;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use pontoon_adapters::mount::{Job, Serve};
use pontoon_adapters::{Error, Request, Response};
use pontoon_bridge::event_loop::{self, timeout};
use pontoon_bridge::{CallError, Timings, panic_message};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// hyper's view of the server: one for each connection.
pub(super) struct Service {
    pub(super) app: Rc<LoopApp>,
    pub(super) wire: Rc<Wire>,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Service {
    type Response = hyper::Response<ResponseBody>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let arrived = event_loop::now();
        let app = Rc::clone(&self.app);
        let id = app.shared.next_request_id();
        let (parts, body) = request.into_parts();
        let peer = self.wire.socket.peer();
        let record = Record::new(id, arrived, peer, &parts.method, &parts.uri);
        let record = record.for_role(app.shared.role);
        let exchange = Exchange::new(&self.wire, record, parts.version);
        let span = tracing::info_span!("request", id);
        let respond = async move { Ok(respond(&app, exchange, parts, body).await) };
        if span.is_disabled() {
            Box::pin(respond)
        } else {
            Box::pin(respond.instrument(span))
        }
    }
}

async fn respond(
    app: &LoopApp,
    mut exchange: Exchange,
    parts: Parts,
    body: Incoming,
) -> hyper::Response<ResponseBody> {
    let is_head = parts.method == Method::HEAD;
    let response = match answer(app, &mut exchange, parts, body).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    finish(app, exchange, response, is_head)
}

async fn answer(
    app: &LoopApp,
    exchange: &mut Exchange,
    parts: Parts,
    body: Incoming,
) -> Result<Response, Problem> {
    exchange.record.outcome = Outcome::Refused;
    exchange.body_unread = !body.is_end_stream();
    if parts.uri.path() == "*" {
        // Asterisk-form: OPTIONS about the server as a whole (RFC 9110 section 9.3.7).
        return Ok(Response::status(StatusCode::NO_CONTENT));
    }
    let site = app.site();
    let (location, params) = site.router.find(&parts.method, parts.uri.path())?;
    let location = Rc::clone(location);
    // A reload may come while the request is under way; what it has no use for goes then.
    drop(site);
    exchange.record.location = Some(std::sync::Arc::clone(&location.shared.path));
    exchange.server_timing = location.shared.server_timing;
    let deadline = Deadline::of(&parts.headers, &location.shared, exchange.record.arrived)?;
    let body = if exchange.body_unread {
        let max = location.shared.max_body_bytes;
        let collected = timeout(deadline.left(), collect(body, max, &exchange.wire)).await;
        collected.unwrap_or_else(|_| Err(deadline.passed_in_body()))?
    } else {
        Bytes::new()
    };
    exchange.body_unread = false;
    if deadline.is_hopeless() {
        exchange.record.outcome = Outcome::TimedOut;
        return Err(deadline.passed(false));
    }
    let peer = exchange.wire.socket.peer();
    let place = location.shared.places.enter(peer, &parts.headers);
    let place = place.inspect_err(|_| exchange.record.outcome = Outcome::Rejected)?;
    // Until there is an outcome, being dropped means that the client left.
    exchange.record.outcome = Outcome::Cancelled;
    let request = Request::from_parts(parts, body);
    let request_id = exchange.record.id;
    let job = Job {
        request,
        params,
        request_id,
        deadline: Some(deadline.at),
        is_shortened: deadline.is_shortened(),
        place,
    };
    let response = call(&location, job, deadline, &mut exchange.record).await?;
    if response.is_streamed() {
        exchange.produced_by(location);
    }
    Ok(response)
}

/// The whole body, or why not.
async fn collect(mut body: Incoming, max: usize, wire: &Wire) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the request's body has more than {max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    // Said before anything is read, so a client that expects `100 Continue` sends nothing.
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let mut collected = Collected::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| cut_short(wire, &error))?;
        if let Ok(data) = frame.into_data() {
            if collected.len() + data.len() > max {
                return Err(too_large());
            }
            collected.add(data);
        }
    }
    Ok(collected.into_bytes())
}

/// A body in pieces; one piece is not copied.
#[derive(Default)]
struct Collected {
    first: Bytes,
    rest: BytesMut,
}

impl Collected {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn add(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
            self.first.clear();
        }
        self.rest.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            self.first
        } else {
            self.rest.freeze()
        }
    }
}

/// 408: within `request_timeout` a body is there, and it comes no slower than `min_body_rate`.
fn body_too_slow(overdue: Overdue) -> Problem {
    let detail = match overdue {
        Overdue::BodyRate { bytes_per_second } => format!(
            "the request's body came too slowly: at less than {bytes_per_second} bytes per second"
        ),
        _ => "the request's body did not arrive in time".to_owned(),
    };
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

/// Why a body did not come whole.
fn cut_short(wire: &Wire, error: &hyper::Error) -> Problem {
    if let Some(violation) = wire.body_violation() {
        return Problem::new(violation.status, violation.to_string());
    }
    if let Some(overdue) = wire.body_overdue() {
        return body_too_slow(overdue);
    }
    let detail = format!("the request's body could not be read: {error}");
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// Makes the call and waits for its outcome, at most until the deadline.
async fn call(
    location: &LoopLocation,
    job: Job,
    deadline: Deadline,
    record: &mut Record,
) -> Result<Response, Problem> {
    let outcome = match location.target() {
        Target::Submit(submit) => {
            let mut call = submit.submit(job);
            let outcome = (&mut call).await;
            record.timings = call.timings();
            outcome
        }
        Target::Serve(serve) => serve_here(&**serve, job, deadline, record).await,
    };
    let outcome = outcome.map_err(|error| {
        record.outcome = Outcome::of(&error);
        if let CallError::SessionFailed(source) = &error {
            let path = &location.shared.path;
            tracing::warn!(location = %path, error = %Chain(&**source), "no session");
        }
        match error {
            CallError::DeadlineExceeded { running } => deadline.passed(running),
            error => Problem::of_error(&error.into()),
        }
    })?;
    match outcome {
        Ok(response) => {
            record.outcome = Outcome::Completed;
            Ok(response)
        }
        Err(error) => {
            record.outcome = Outcome::Failed;
            if error.kind().status().is_server_error() {
                tracing::warn!(location = %location.shared.path, error = %Chain(&error), "failed");
            }
            Err(Problem::of_error(&error))
        }
    }
}

/// Has a loop adapter answer, at most until the deadline. What it panics with does not get out: its
/// task is the connection's own.
async fn serve_here(
    serve: &dyn Serve,
    job: Job,
    deadline: Deadline,
    record: &mut Record,
) -> Result<Result<Response, Error>, CallError> {
    let began = Instant::now();
    let served = AssertUnwindSafe(serve.serve(job)).catch_unwind();
    let outcome = timeout(deadline.left(), served).await;
    record.timings = Timings {
        service: began.elapsed(),
        ..Timings::default()
    };
    match outcome {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(panic)) => {
            let message = panic_message(&*panic);
            // Its own drop might panic as well.
            std::mem::forget(panic);
            tracing::error!(request = record.id, %message, "foreign code panicked on the loop");
            Err(CallError::Panicked { message })
        }
        Err(_) => Err(CallError::DeadlineExceeded { running: true }),
    }
}

/// An error with its sources, for the log.
struct Chain<'e>(&'e dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Fields that are the connection's, not the adapter's.
const OURS: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

/// Where the time went, in milliseconds (W3C Server Timing).
fn server_timing(timings: &Timings) -> HeaderValue {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let (queue, call, wake) = (ms(timings.queue), ms(timings.service), ms(timings.wake));
    let text = format!("queue;dur={queue:.3}, call;dur={call:.3}, wake;dur={wake:.3}");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// How long the body is that the answer to a HEAD has not, as far as its adapter says.
fn head_length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}

fn finish(
    app: &LoopApp,
    mut exchange: Exchange,
    response: Response,
    is_head: bool,
) -> hyper::Response<ResponseBody> {
    let (response, produced) = response.into_parts().unwrap_or_else(|error| {
        tracing::error!(request = exchange.record.id, %error, "a response cannot be sent");
        exchange.record.outcome = Outcome::Failed;
        let response = Problem::of_error(&error).into_response();
        (response.into_inner(), None)
    });
    let (mut parts, bytes) = response.into_parts();
    let head_length = head_length(&parts.headers).filter(|_| is_head && bytes.is_empty());
    for field in &OURS {
        parts.headers.remove(field);
    }
    if let Some(length) = head_length {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    if parts.status.is_informational() {
        tracing::error!(status = %parts.status, "an adapter answered with an interim status");
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
    }
    if exchange.server_timing {
        let name = HeaderName::from_static("server-timing");
        parts
            .headers
            .insert(name, server_timing(&exchange.record.timings));
    }
    if app.draining_since().is_some() || exchange.body_unread {
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // What an adapter got from elsewhere may be of another version and carry hyper's own notes.
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    exchange.record.status = Some(parts.status);
    let no_body = is_head || matches!(parts.status.as_u16(), 204 | 304);
    let mut body = ResponseBody::new(bytes, produced, exchange);
    if no_body {
        body.is_head_only();
    }
    hyper::Response::from_parts(parts, body)
}
