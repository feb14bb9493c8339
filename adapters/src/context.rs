//! What a running call may know about itself.
//!
//! The server makes one for each call; adapters read it, from whatever thread they run on. It is
//! owned and cheap to clone, so that a library's hook or callback can keep it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::StatusCode;
use pontoon_bridge::event_loop;

use crate::body::{self, Gone};
use crate::mount::Outcome;
use crate::response::Rest;
use crate::{BodySink, Error, Response};

/// The path parameters, the deadline and the number of one call.
///
/// ```
/// use pontoon_adapters::{CallContext, PathParams};
///
/// let params = PathParams::from_iter([("id", "7")]);
/// let call = CallContext::new(params, pontoon_bridge::CallContext::detached(), 1);
/// assert_eq!(call.param("id"), Some("7"));
/// assert_eq!(call.param("name"), None);
/// ```
#[derive(Clone, Debug)]
pub struct CallContext {
    params: PathParams,
    call: pontoon_bridge::CallContext,
    request_id: u64,
    is_head: bool,
}

impl CallContext {
    /// The context of the call that answers this request.
    pub fn new(params: PathParams, call: pontoon_bridge::CallContext, request_id: u64) -> Self {
        Self {
            params,
            call,
            request_id,
            is_head: false,
        }
    }

    /// The context of a HEAD request, for which no body is produced.
    #[must_use]
    pub(crate) fn for_head(mut self, is_head: bool) -> Self {
        self.is_head = is_head;
        self
    }

    /// A context that belongs to no request: no parameters, no deadline, never cancelled. It is
    /// what an adapter's own tests call it with.
    pub fn detached() -> Self {
        Self::new(
            PathParams::default(),
            pontoon_bridge::CallContext::detached(),
            0,
        )
    }

    /// The value of the path parameter of this name, percent-decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// All path parameters, in the order of the path.
    pub fn params(&self) -> &PathParams {
        &self.params
    }

    /// Whether nobody waits for the answer any more: the client left or the deadline passed.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// How much time is left until the deadline; `None` when there is no deadline, or none any more
    /// because the response [streams](Self::stream).
    pub fn remaining(&self) -> Option<Duration> {
        self.call.remaining()
    }

    /// When the answer must be there; `None` when there is no deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline()
    }

    /// Answers with `head` now, and with the bytes that `producer` sends after it: for results that are too
    /// large to hold, or that come bit by bit. It is called within [`Adapter::call`](crate::Adapter::call),
    /// whose result its own result is.
    ///
    /// `producer` runs at once, on this worker, so it can go on with whatever the call has in its hands: a
    /// borrowed session, an open cursor. It is held up while its client is slow
    /// ([`BodySink::send`]). For HEAD, and for a status that has no body, it does not run at all.
    ///
    /// `head` may have bytes already, which come first, and may [announce](Response::with_length) the
    /// whole length.
    ///
    /// The deadline is that of the head: from here on [`is_cancelled`](Self::is_cancelled) does not count
    /// it any more. What follows has the location's `stream_timeout`. The call goes on until `producer`
    /// returns, with its worker, its session and its place. When the client leaves or is too slow, or that
    /// time is up, sending fails, [`is_cancelled`](Self::is_cancelled) says so, and the session's
    /// [interrupter](crate::Adapter::interrupter) is run.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader};
    /// use std::process::{Child, Command, Stdio};
    ///
    /// use pontoon_adapters::{Adapter, CallContext, Error, Request, Response};
    ///
    /// /// Lists the numbers up to the one in the path, by a program that takes its time.
    /// struct Numbers;
    ///
    /// impl Adapter for Numbers {
    ///     type Session = ();
    ///
    ///     fn open(&self) -> Result<(), Error> {
    ///         Ok(())
    ///     }
    ///
    ///     fn call(&self, (): &mut (), _: Request, call: &CallContext) -> Result<Response, Error> {
    ///         let last = call.param("last").unwrap_or("3");
    ///         let mut seq = Command::new("seq").arg(last).stdout(Stdio::piped()).spawn().map_err(failed)?;
    ///         // Up to here an error is an answer of its own. From here on it cuts the response.
    ///         let result = call.stream(Response::text(""), |body| {
    ///             let lines = BufReader::new(seq.stdout.take().ok_or_else(|| Error::internal("no output"))?);
    ///             lines.lines().try_for_each(|line| body.send(line.map_err(failed)? + "\n"))
    ///         });
    ///         end(seq);
    ///         result
    ///     }
    /// }
    ///
    /// fn end(mut child: Child) {
    ///     let _ = child.kill();
    ///     let _ = child.wait();
    /// }
    ///
    /// fn failed(error: std::io::Error) -> Error {
    ///     Error::internal("the numbers cannot be listed").with_source(error)
    /// }
    ///
    /// let response = Numbers.call(&mut (), Request::default(), &CallContext::detached()).unwrap();
    /// assert_eq!(response.body(), "1\n2\n3\n");
    /// ```
    ///
    /// In a [detached](Self::detached) call there is nobody to send to, so the response has the whole body.
    ///
    /// # Errors
    ///
    /// What `producer` returned, or the client had left before there was a head. The body is incomplete
    /// then, and the client can see that. Return the error; the session is not used again.
    pub fn stream(
        &self,
        mut head: Response,
        producer: impl FnOnce(&mut BodySink) -> Result<(), Error>,
    ) -> Result<Response, Error> {
        if self.is_head || has_no_body(&head) {
            return Ok(head.with_rest(Rest::Omitted));
        }
        if self.call.is_detached() && !event_loop::is_here() {
            return collect(head, producer);
        }
        let mut sent = Response::default().with_rest(Rest::Sent);
        if head.breaks_session() {
            sent = sent.breaking_session();
        }
        let (first, length) = (head.take_bytes(), head.length());
        let (sink, body) = body::body(head.buffer_bytes());
        let mut sink = sink.with_length(length);
        let body = body.with_length(length).stopped_by(self.call.stopper());
        if let Err(unsent) = self
            .call
            .answer::<Outcome>(Ok(head.with_rest(Rest::Body(body))))
        {
            drop(unsent);
            return Err(self.unanswered());
        }
        let produced = sink.send_bytes(first).and_then(|()| producer(&mut sink));
        match produced.and_then(|()| sink.end()) {
            Ok(()) => Ok(sent),
            Err(error) => {
                sink.cut(body::describe(&error));
                Err(error)
            }
        }
    }

    /// Why nobody took the head.
    fn unanswered(&self) -> Error {
        if self.call.is_cancelled() {
            return Gone.into();
        }
        Error::internal("only a call on a worker can stream its response, and only once")
    }

    /// Whether the head of the response is on its way already.
    pub(crate) fn is_answered(&self) -> bool {
        self.call.is_answered()
    }

    /// The number of the request, as it is in the access log.
    pub fn request_id(&self) -> u64 {
        self.request_id
    }
}

fn has_no_body(head: &Response) -> bool {
    matches!(
        head.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    )
}

/// Has the whole body produced before there is a response.
fn collect(
    mut head: Response,
    producer: impl FnOnce(&mut BodySink) -> Result<(), Error>,
) -> Result<Response, Error> {
    let (sink, mut body) = body::body(usize::MAX);
    let mut sink = sink.with_length(head.length());
    sink.send_bytes(head.take_bytes())?;
    producer(&mut sink)?;
    sink.end()?;
    let mut whole = BytesMut::new();
    let nobody = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(chunk))) = body.poll_chunk(&nobody) {
        whole.extend_from_slice(&chunk);
    }
    *head.body_mut() = whole.freeze();
    Ok(head)
}

/// The named parts of a path: `/users/{id}` asked for as `/users/7` has `id` = `7`.
///
/// Cloning costs one reference count, and nothing when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathParams(Option<Arc<[Pair]>>);

type Pair = (Box<str>, Box<str>);

impl PathParams {
    /// The value of this name. The values are percent-decoded.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(candidate, _)| *candidate == name)
            .map(|(_, value)| value)
    }

    /// Names and values, in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|pairs| pairs.iter())
            .map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |pairs| pairs.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for PathParams {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut pairs = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .peekable();
        if pairs.peek().is_none() {
            return Self::default();
        }
        Self(Some(pairs.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Stoppable;

    #[test]
    fn parameters_keep_their_order_and_are_found_by_name() {
        let params = PathParams::from_iter([("year", "2024"), ("month", "02")]);
        let all: Vec<_> = params.iter().collect();
        assert_eq!(all, [("year", "2024"), ("month", "02")]);
        assert_eq!(params.get("month"), Some("02"));
        assert_eq!(params.get("day"), None);
        assert_eq!(params.len(), 2);
    }

    #[test]
    fn no_parameters_need_no_allocation() {
        let none: PathParams = Vec::<(String, String)>::new().into_iter().collect();
        assert!(none.0.is_none());
        assert!(none.is_empty());
        assert_eq!(none.get("id"), None);
    }

    #[test]
    fn clones_share_their_values() {
        let params = PathParams::from_iter([("id", "7")]);
        let clone = params.clone();
        let address = |params: &PathParams| params.get("id").unwrap().as_ptr();
        assert_eq!(address(&params), address(&clone));
    }

    #[test]
    fn a_clone_kept_by_a_library_sees_the_cancellation() {
        let stoppable = Stoppable::new(None);
        let kept = stoppable.call(PathParams::default()).clone();
        assert!(!kept.is_cancelled());
        stoppable.stop();
        assert!(kept.is_cancelled());
    }

    #[test]
    fn a_detached_context_never_ends() {
        let call = CallContext::detached();
        assert!(!call.is_cancelled());
        assert_eq!(call.remaining(), None);
        assert_eq!(call.deadline(), None);
        assert_eq!(call.request_id(), 0);
    }
}
