//! A response's body that is produced while it is sent, with a bounded number of bytes in between.
//!
//! ```text
//!  worker, task or library ── BodySink ──▶ buffer ──▶ Body ── server ──▶ client
//!                             waits while it is full ◀── wakes at half
//! ```
//!
//! There are four ways to have one, by who produces it:
//!
//! | who | how |
//! | --- | --- |
//! | an [`Adapter`](crate::Adapter), with its session and an open cursor in hand | [`CallContext::stream`](crate::CallContext::stream) |
//! | a plain function, once it has returned | [`Response::stream`](crate::Response::stream), [`Response::from_reader`](crate::Response::from_reader) |
//! | something async, on the loop | [`Response::from_stream`](crate::Response::from_stream) |
//! | a library, from threads of its own | [`Response::channel`](crate::Response::channel) |
//!
//! A slow client holds at most the buffer ([`Response::with_buffer`](crate::Response::with_buffer)) and
//! keeps its producer waiting. When it reads too slowly for the server's limits, or leaves, the producer's
//! next [`send`](BodySink::send) fails, and one that waits fails at once. A body that does not end well is
//! cut: the client sees that it is incomplete, and never a clean end.

mod feed;
mod shared;
mod sink;
#[cfg(test)]
mod tests;

pub use sink::BodySink;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pontoon_bridge::{Stopper, drop_quietly};

use self::shared::Shared;
use crate::Error;

pub(crate) use feed::{describe, feed};

/// So many bytes wait for a slow client at most, and one chunk more, unless a response says otherwise.
pub const BUFFER_BYTES: usize = 256 * 1024;

/// A body's two ends. The producer waits when so many bytes are between them.
pub(crate) fn body(max_bytes: usize) -> (BodySink, Body) {
    let shared = Shared::new(max_bytes);
    let body = Body {
        shared: Arc::clone(&shared),
        length: None,
        stopper: None,
        held: None,
    };
    (BodySink::new(shared, max_bytes), body)
}

/// Nobody reads the body any more: its client has left, or was cut for being too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the response any more: its client has left, or was too slow")]
pub struct Gone;

impl From<Gone> for Error {
    fn from(gone: Gone) -> Self {
        Self::unavailable(gone.to_string()).with_source(gone)
    }
}

/// The body did not come to its end. What is said of it is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutShort(Option<String>);

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(reason) => write!(f, "the response's body was cut short: {reason}"),
            None => f.write_str("the response's body was cut short by its producer"),
        }
    }
}

impl std::error::Error for CutShort {}

/// The end of a body from which it is sent. Dropping it tells the producer that nobody reads any more.
pub struct Body {
    shared: Arc<Shared>,
    length: Option<u64>,
    stopper: Option<Stopper>,
    held: Option<Box<dyn Any + Send + Sync>>,
}

impl Body {
    /// Its length in bytes, as far as it was announced; its producer is held to it.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next part of it, `None` at its end.
    ///
    /// # Errors
    ///
    /// The producer failed, and there will be no end.
    pub fn poll_chunk(&mut self, context: &Context<'_>) -> Poll<Option<Result<Bytes, CutShort>>> {
        self.shared.poll_chunk(context)
    }

    /// What stops the producer when nobody reads any more.
    pub(crate) fn stopped_by(mut self, stopper: Stopper) -> Self {
        self.stopper = Some(stopper);
        self
    }

    pub(crate) fn with_length(mut self, length: Option<u64>) -> Self {
        self.length = length;
        self
    }

    /// Keeps something for as long as there is this end.
    pub(crate) fn hold(&mut self, held: Box<dyn Any + Send + Sync>) {
        self.held = Some(held);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let is_unfinished = self.shared.close();
        if is_unfinished && let Some(stopper) = &self.stopper {
            stopper.stop();
        }
        // With it may go the last hold on what the pool's user gave.
        drop_quietly(self.stopper.take());
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
