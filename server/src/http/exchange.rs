//! One request and its response, until the last byte of it has gone into hyper.

use super::wire::Wire;
use crate::access_log::{Outcome, Record};
use crate::site::LoopLocation;
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use pontoon_adapters::body::{self, CutShort};
use pontoon_bridge::event_loop;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Ends the request on its wire, and with it the record, when it is dropped: after the response, or
/// when the client left before there was one.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) wire: Rc<Wire>,
    pub(super) record: Record,
    /// The location wants the response to say where the time went.
    pub(super) server_timing: bool,
    /// Some of the request's body was not read, so the connection ends with the response.
    pub(super) body_unread: bool,
    /// The client speaks this.
    version: Version,
    /// The location, while it produces the response's body.
    producer: Option<Rc<LoopLocation>>,
}

impl Exchange {
    pub(super) fn new(wire: &Rc<Wire>, record: Record, version: Version) -> Self {
        wire.request_began();
        Self {
            wire: Rc::clone(wire),
            record,
            server_timing: false,
            body_unread: false,
            version,
            producer: None,
        }
    }

    /// The location goes on producing the body of the response that it has given.
    pub(super) fn produced_by(&mut self, location: Rc<LoopLocation>) {
        let limit = location.shared.stream_timeout;
        self.wire
            .streaming
            .begin(event_loop::now().checked_add(limit));
        self.producer = Some(location);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.producer.is_some() && self.wire.streaming.is_overdue() {
            self.record.cut = Outcome::TimedOut;
        }
        self.wire.request_ended();
    }
}

/// A response's body.
#[derive(Debug)]
pub(super) struct ResponseBody {
    content: Content,
    /// The bytes with which the announced length is reached.
    last: Option<Bytes>,
    exchange: Exchange,
}

#[derive(Debug)]
enum Content {
    /// Nothing more comes.
    End,
    /// All of it is at hand.
    Bytes(Bytes),
    /// It is being produced.
    Produced(body::Body),
    /// Its producer has failed.
    Cut(CutShort),
}

impl ResponseBody {
    pub(super) fn new(bytes: Bytes, produced: Option<body::Body>, mut exchange: Exchange) -> Self {
        let content = match produced {
            Some(body) => Content::Produced(body),
            None if bytes.is_empty() => Content::End,
            None => Content::Bytes(bytes),
        };
        exchange.record.whole = matches!(content, Content::End);
        Self {
            content,
            last: None,
            exchange,
        }
    }

    /// The response has no body on the wire, as for HEAD.
    pub(super) fn is_head_only(&mut self) {
        self.exchange.record.whole = true;
        if matches!(self.content, Content::Produced(_)) {
            // Nobody is to produce it in vain.
            self.content = Content::End;
        }
    }

    fn sent(&mut self, bytes: &Bytes) {
        self.exchange.record.sent_bytes += bytes.len() as u64;
    }

    fn poll_produced(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        loop {
            let Content::Produced(body) = &mut self.content else {
                return Poll::Ready(None);
            };
            let (length, next) = (body.length(), ready!(body.poll_chunk(context)));
            let sent = self.exchange.record.sent_bytes;
            match next {
                // Nobody looks for an end behind the announced length, and the producer may still fail: so
                // the last bytes wait for the end.
                Some(Ok(chunk)) if length == Some(sent + chunk.len() as u64) => {
                    self.last = Some(chunk);
                }
                next => return self.pass_on(next),
            }
        }
    }

    fn pass_on(
        &mut self,
        next: Option<Result<Bytes, CutShort>>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match next {
            Some(Ok(chunk)) => {
                self.sent(&chunk);
                self.exchange.wire.streaming.part_taken();
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Some(Err(cut)) => {
                let record = &mut self.exchange.record;
                let (request, location) = (record.id, record.location.as_deref());
                tracing::warn!(request, location, "{cut}");
                record.cut = Outcome::Failed;
                self.content = Content::Cut(cut);
                self.poll_cut()
            }
            None => {
                self.content = Content::End;
                self.exchange.record.whole = true;
                let Some(last) = self.last.take() else {
                    return Poll::Ready(None);
                };
                self.sent(&last);
                self.exchange.wire.streaming.part_taken();
                Poll::Ready(Some(Ok(Frame::data(last))))
            }
        }
    }

    /// The client still gets what there was.
    fn poll_cut(&mut self) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        ready!(self.exchange.wire.streaming.poll_flushed());
        match std::mem::replace(&mut self.content, Content::End) {
            Content::Cut(cut) => Poll::Ready(Some(Err(cut))),
            _ => Poll::Ready(None),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match &self.content {
            Content::Produced(_) => return self.poll_produced(context),
            Content::Cut(_) => return self.poll_cut(),
            Content::Bytes(_) | Content::End => {}
        }
        let Content::Bytes(bytes) = std::mem::replace(&mut self.content, Content::End) else {
            return Poll::Ready(None);
        };
        self.sent(&bytes);
        self.exchange.record.whole = true;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::End)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Produced(body) => body
                .length()
                .map_or_else(SizeHint::new, SizeHint::with_exact),
            Content::Cut(_) => SizeHint::new(),
            Content::End => SizeHint::with_exact(0),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // To HTTP/1.0 the end of a body of unknown length is that of the connection.
        let is_cut = !self.exchange.record.whole && self.exchange.producer.is_some();
        if is_cut && self.exchange.version == Version::HTTP_10 {
            self.exchange.wire.reset();
        }
    }
}
