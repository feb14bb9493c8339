//! One request and its response, until the last byte of it has gone into hyper.

use super::wire::Wire;
use crate::access_log::Record;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
}

impl Exchange {
    pub(super) fn new(wire: &Rc<Wire>, record: Record) -> Self {
        wire.request_began();
        Self {
            wire: Rc::clone(wire),
            record,
            server_timing: false,
            body_unread: false,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.wire.request_ended();
    }
}

/// A response's body, all of it at hand.
#[derive(Debug)]
pub(super) struct ResponseBody {
    bytes: Option<Bytes>,
    exchange: Exchange,
}

impl ResponseBody {
    pub(super) fn new(bytes: Bytes, mut exchange: Exchange) -> Self {
        exchange.record.whole = bytes.is_empty();
        Self {
            bytes: Some(bytes).filter(|bytes| !bytes.is_empty()),
            exchange,
        }
    }

    /// The response has no body on the wire, as for HEAD.
    pub(super) fn is_head_only(&mut self) {
        self.exchange.record.whole = true;
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.bytes.take();
        if let Some(bytes) = &bytes {
            self.exchange.record.sent_bytes = bytes.len() as u64;
            self.exchange.record.whole = true;
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
