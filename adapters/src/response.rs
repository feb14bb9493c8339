//! What an adapter answers with.
//!
//! Adapters and plain functions make one; the server writes it to the client. Most bodies are owned
//! and complete, so a worker is free again as soon as it has answered; others are
//! [produced](crate::body) while they are sent.

use std::fmt;
use std::io::Read;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use futures_core::Stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response as HttpResponse, StatusCode};
use pontoon_bridge::event_loop;

use crate::Error;
use crate::body::{self, BUFFER_BYTES, Body, BodySink};

/// Marks a response after which the session is closed. An extension, because hardly any response has it.
#[derive(Clone, Copy, Debug)]
struct BreaksSession;

/// How many bytes may wait for the client; an extension for the same reason.
#[derive(Clone, Copy, Debug)]
struct BufferBytes(usize);

/// With less, producer and loop would do nothing but wake each other.
const BUFFER_BYTES_MIN: usize = 4096;

/// Produces a body on a worker, once the head is on its way.
pub(crate) type Producer = Box<dyn FnOnce(&mut BodySink) -> Result<(), Error> + Send>;

/// What there is of a body beside the bytes at hand.
pub(crate) enum Rest {
    /// A worker is to produce it.
    Unproduced(Producer),
    /// It is being produced.
    Body(Body),
    /// It was there to be produced, and is not wanted, as for HEAD.
    Omitted,
    /// The response has gone to the client before.
    Sent,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unproduced(_) => "Unproduced",
            Self::Body(_) => "Body",
            Self::Omitted => "Omitted",
            Self::Sent => "Sent",
        })
    }
}

/// A response, with its whole body or with one that is still to be produced.
///
/// It dereferences to [`http::Response`], so that headers and status are set in the usual way. `Content-Length` is
/// the server's to say, but for the answer to a HEAD: with an empty body, this is how long GET's would be.
///
/// ```
/// use pontoon_adapters::Response;
///
/// let mut response = Response::text("hello\n");
/// response.headers_mut().insert("cache-control", "no-store".parse().unwrap());
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.body(), "hello\n");
/// ```
#[derive(Debug, Default)]
pub struct Response {
    inner: HttpResponse<Bytes>,
    /// Hardly any response has more than the bytes at hand.
    rest: Option<Box<Rest>>,
}

impl Response {
    /// 200 with a plain UTF-8 text.
    pub fn text(text: impl Into<String>) -> Self {
        let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
        Self::bytes(content_type, text.into())
    }

    /// 200 with a JSON document.
    ///
    /// ```
    /// use pontoon_adapters::Response;
    ///
    /// let response = Response::json(&serde_json::json!({ "id": 7 }));
    /// assert_eq!(response.body(), r#"{"id":7}"#);
    /// ```
    pub fn json(document: &serde_json::Value) -> Self {
        Self::json_text(document.to_string())
    }

    /// 200 with a body that is JSON text already.
    pub fn json_text(text: impl Into<Bytes>) -> Self {
        Self::bytes(HeaderValue::from_static("application/json"), text)
    }

    /// 200 with these bytes, which are of this media type.
    pub fn bytes(content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let mut response = HttpResponse::new(body.into());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Self::from(response)
    }

    /// 200 with a body that a worker produces once the head has been sent: for functions that are
    /// [`blocking`](crate::blocking()). An adapter that produces it from its session uses
    /// [`CallContext::stream`](crate::CallContext::stream).
    ///
    /// ```
    /// use pontoon_adapters::{Response, blocking};
    ///
    /// let squares = blocking("numbers", |_request| {
    ///     let content_type = "text/csv".parse().unwrap();
    ///     Ok(Response::stream(content_type, |body| {
    ///         (0..1_000_000_u64).try_for_each(|n| body.send(format!("{n},{}\n", n * n)))
    ///     }))
    /// });
    /// ```
    pub fn stream(
        content_type: HeaderValue,
        producer: impl FnOnce(&mut BodySink) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        Self::bytes(content_type, Bytes::new()).with_rest(Rest::Unproduced(Box::new(producer)))
    }

    /// 200 with all that a reader has, which a worker reads once the head has been sent.
    pub fn from_reader(content_type: HeaderValue, reader: impl Read + Send + 'static) -> Self {
        Self::stream(content_type, move |body| body.copy_from(reader))
    }

    /// 200 with what comes from a stream, each item as it comes. It is for
    /// [`LoopAdapter`](crate::LoopAdapter)s and handlers: a task of this loop's takes the items, and drops
    /// the stream when nobody reads any more.
    ///
    /// # Panics
    ///
    /// Outside an event loop.
    pub fn from_stream<S>(content_type: HeaderValue, stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, Error>> + 'static,
    {
        let (sink, response) = Self::channel(content_type);
        event_loop::spawn(body::feed(stream, sink)).detach();
        response
    }

    /// 200, and where its body goes: for a library that produces it in threads of its own. Whoever writes
    /// there is held up by a slow client, so it must not be a loop's thread.
    ///
    /// The body has ended well when the sink is [finished](BodySink::finish), and is cut when the sink is
    /// dropped before that.
    pub fn channel(content_type: HeaderValue) -> (BodySink, Self) {
        let (sink, body) = body::body(BUFFER_BYTES);
        let response = Self::bytes(content_type, Bytes::new());
        (sink, response.with_rest(Rest::Body(body)))
    }

    /// This status and no body.
    pub fn status(status: StatusCode) -> Self {
        Self::default().with_status(status)
    }

    /// The same response with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        *self.inner.status_mut() = status;
        self
    }

    /// Announces how many bytes a body will have that is still to be produced, as `Content-Length`. Its
    /// producer is held to it. Without it the body is sent in chunks.
    #[must_use]
    pub fn with_length(mut self, bytes: u64) -> Self {
        self.inner
            .headers_mut()
            .insert(CONTENT_LENGTH, bytes.into());
        self
    }

    /// Has so many bytes at most wait for a slow client, and one piece of at most 32 KiB more, or as large
    /// as one that was sent by [`send_bytes`](BodySink::send_bytes); 256 KiB unless this is called, 4 KiB
    /// at least. For bodies that a worker produces.
    #[must_use]
    pub fn with_buffer(mut self, bytes: usize) -> Self {
        let bytes = bytes.max(BUFFER_BYTES_MIN);
        self.inner.extensions_mut().insert(BufferBytes(bytes));
        self
    }

    /// Says that the session in which it was made must not be used again, although the call went well: the
    /// worker closes it and opens another. For a call that leaves its session in a state that the next one
    /// must not find.
    #[must_use]
    pub fn breaking_session(mut self) -> Self {
        self.inner.extensions_mut().insert(BreaksSession);
        self
    }

    /// Whether the session must be closed.
    pub fn breaks_session(&self) -> bool {
        self.inner.extensions().get::<BreaksSession>().is_some()
    }

    /// The `http` crate's response, with the bytes at hand. A body that is still to be produced is not.
    pub fn into_inner(self) -> HttpResponse<Bytes> {
        self.inner
    }

    /// Whether its body is being produced while it is sent.
    pub fn is_streamed(&self) -> bool {
        matches!(self.rest.as_deref(), Some(Rest::Body(_)))
    }

    /// What whoever sends it needs: head and bytes, or instead of them a body that is being produced.
    ///
    /// # Errors
    ///
    /// A worker would have to produce the body, and the response did not come from one.
    pub fn into_parts(mut self) -> Result<(HttpResponse<Bytes>, Option<Body>), Error> {
        match self.rest.take().map(|rest| *rest) {
            None => Ok((self.inner, None)),
            Some(Rest::Body(body)) => Ok((self.inner, Some(body))),
            Some(Rest::Omitted) => {
                // They would be but the beginning.
                drop(self.take_bytes());
                Ok((self.inner, None))
            }
            Some(Rest::Unproduced(_) | Rest::Sent) => {
                let detail = "the adapter of this location has no worker to produce its response";
                Err(Error::internal(detail))
            }
        }
    }

    pub(crate) fn with_rest(mut self, rest: Rest) -> Self {
        self.rest = Some(Box::new(rest));
        self
    }

    /// What follows the bytes at hand.
    pub(crate) fn rest_mut(&mut self) -> Option<&mut Rest> {
        self.rest.as_deref_mut()
    }

    /// Whether the rest of it must still be produced.
    pub(crate) fn is_unproduced(&self) -> bool {
        matches!(self.rest.as_deref(), Some(Rest::Unproduced(_)))
    }

    /// Takes the producer of the body off it.
    pub(crate) fn take_producer(&mut self) -> Option<Producer> {
        match self.rest.take().map(|rest| *rest) {
            Some(Rest::Unproduced(producer)) => Some(producer),
            other => {
                self.rest = other.map(Box::new);
                None
            }
        }
    }

    /// The bytes at hand, which the response has no more.
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        std::mem::take(self.inner.body_mut())
    }

    /// The announced length.
    pub(crate) fn length(&self) -> Option<u64> {
        let length = self.inner.headers().get(CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }

    /// How many bytes may wait for the client.
    pub(crate) fn buffer_bytes(&self) -> usize {
        let set = self.inner.extensions().get::<BufferBytes>();
        set.map_or(BUFFER_BYTES, |set| set.0)
    }
}

impl Deref for Response {
    type Target = HttpResponse<Bytes>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Response {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl From<HttpResponse<Bytes>> for Response {
    fn from(inner: HttpResponse<Bytes>) -> Self {
        Self { inner, rest: None }
    }
}

impl From<Response> for HttpResponse<Bytes> {
    fn from(response: Response) -> Self {
        response.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_that_it_is_utf_8() {
        let response = Response::text("grüezi\n");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        assert_eq!(response.body(), "grüezi\n");
    }

    #[test]
    fn json_is_labelled_as_json() {
        let response = Response::json(&serde_json::json!([1, null, "x"]));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(response.body(), r#"[1,null,"x"]"#);
    }

    #[test]
    fn a_bare_status_has_neither_body_nor_media_type() {
        let response = Response::status(StatusCode::NO_CONTENT);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(response.body().is_empty());
        assert!(response.headers().is_empty());
    }

    #[test]
    fn it_converts_both_ways_unchanged() {
        let plain = HttpResponse::builder()
            .status(StatusCode::CREATED)
            .header("location", "/users/7")
            .body(Bytes::from_static(b"made"))
            .unwrap();
        let back: HttpResponse<Bytes> = Response::from(plain).into();
        assert_eq!(back.status(), StatusCode::CREATED);
        assert_eq!(back.headers()["location"], "/users/7");
        assert_eq!(back.body(), "made");
    }

    #[test]
    fn a_response_keeps_its_session_unless_it_says_otherwise() {
        assert!(!Response::text("").breaks_session());
        assert!(Response::text("").breaking_session().breaks_session());
    }

    #[test]
    fn with_status_keeps_body_and_headers() {
        let response = Response::text("made\n").with_status(StatusCode::CREATED);
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.body(), "made\n");
        assert!(response.headers().contains_key(CONTENT_TYPE));
    }
}
