//! The end of a body into which it is produced.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use pontoon_bridge::event_loop;
use pontoon_bridge::pool::part_done;

use super::Gone;
use super::shared::{End, Shared};
use crate::Error;

/// Small pieces are gathered until there are so many bytes.
const CHUNK_BYTES: usize = 32 * 1024;

/// Where the bytes of a body go. See the [module](super).
///
/// Small pieces are gathered into larger ones; [`flush`](Self::flush) before a pause, if what is there
/// should not wait for more. It is also an [`io::Write`], for code that wants one.
///
/// A body ends well when its producer returns `Ok`, or by [`finish`](Self::finish). A sink that is dropped
/// without that cuts it.
pub struct BodySink {
    shared: Arc<Shared>,
    gathered: BytesMut,
    chunk_bytes: usize,
    /// How much of the announced length is still to come.
    left: Option<u64>,
    has_ended: bool,
}

impl BodySink {
    pub(super) fn new(shared: Arc<Shared>, max_bytes: usize) -> Self {
        Self {
            shared,
            gathered: BytesMut::new(),
            chunk_bytes: CHUNK_BYTES.min(max_bytes).max(1),
            left: None,
            has_ended: false,
        }
    }

    pub(crate) fn with_length(mut self, length: Option<u64>) -> Self {
        self.left = length;
        self
    }

    /// Adds bytes. It blocks while too many wait for the client.
    ///
    /// # Errors
    ///
    /// Nobody reads any more ([`Gone`]): give up, the error is as good as any to return. Or there are
    /// more bytes than the response has announced.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let mut bytes = bytes.as_ref();
        self.count(bytes.len())?;
        while !bytes.is_empty() {
            let room = self.chunk_bytes - self.gathered.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.gathered.reserve(room);
            self.gathered.extend_from_slice(now);
            bytes = later;
            if self.gathered.len() == self.chunk_bytes {
                self.pass_on()?;
            }
        }
        Ok(())
    }

    /// As [`send`](Self::send), without a copy of larger pieces.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn send_bytes(&mut self, bytes: Bytes) -> Result<(), Error> {
        if bytes.len() < self.chunk_bytes {
            return self.send(bytes);
        }
        self.count(bytes.len())?;
        self.pass_on()?;
        self.push(bytes)
    }

    /// Sends what was gathered, without waiting for more.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn flush(&mut self) -> Result<(), Error> {
        part_done();
        self.pass_on()
    }

    /// Sends all that a reader has, each piece as it comes.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and what the reader says.
    pub fn copy_from(&mut self, mut reader: impl Read) -> Result<(), Error> {
        self.pass_on()?;
        loop {
            // Not where a panic of the reader would leave it to be sent.
            let mut room = std::mem::take(&mut self.gathered);
            room.resize(self.chunk_bytes, 0);
            let read = reader.read(&mut room);
            room.truncate(*read.as_ref().unwrap_or(&0));
            self.gathered = room;
            match read {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    self.count(read).inspect_err(|_| self.gathered.clear())?;
                    self.pass_on()?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let detail = "what the response is made of could not be read";
                    return Err(Error::internal(detail).with_source(error));
                }
            }
        }
    }

    /// Whether nobody reads any more, for a producer that does not come to send anything for a while.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Ends the body well.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and when less was sent than the response has announced: then it is cut.
    pub fn finish(mut self) -> Result<(), Error> {
        self.end()
    }

    /// As [`finish`](Self::finish).
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.pass_on()?;
        if let Some(left) = self.left.filter(|left| *left > 0) {
            let detail = format!("the response has {left} bytes less than were announced");
            return Err(Error::internal(detail));
        }
        self.has_ended = true;
        self.shared.end(End::Whole);
        Ok(())
    }

    /// Ends the body, which is incomplete. What was sent before still gets to the client.
    pub(crate) fn cut(&mut self, reason: String) {
        self.give_up(Some(reason));
    }

    fn give_up(&mut self, reason: Option<String>) {
        self.has_ended = true;
        if !self.gathered.is_empty() {
            // A chunk more than there is room for, so that nothing waits here. Nobody may read any more;
            // then nobody hears of the end either.
            let _ = self.shared.push(self.gathered.split().freeze());
        }
        self.shared.end(End::Cut(reason));
    }

    /// Adds bytes at once, whether there is room or not: for a task, which asks first.
    pub(super) fn send_now(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.count(bytes.len())?;
        Ok(self.shared.push(bytes)?)
    }

    /// Ready when a task may send something, or learns that nobody reads any more; the task is woken then.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<Result<(), Gone>> {
        self.shared.poll_room(context)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn count(&mut self, bytes: usize) -> Result<(), Error> {
        part_done();
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(bytes as u64) else {
                let detail = "the response has more bytes than were announced";
                return Err(Error::internal(detail));
            };
            *left = rest;
        }
        Ok(())
    }

    fn pass_on(&mut self) -> Result<(), Error> {
        if self.gathered.is_empty() {
            // A producer that sends nothing for a while learns of it as well.
            return if self.is_closed() {
                Err(Gone.into())
            } else {
                Ok(())
            };
        }
        let chunk = self.gathered.split().freeze();
        self.push(chunk)
    }

    fn push(&self, chunk: Bytes) -> Result<(), Error> {
        if self.shared.is_full() && event_loop::is_here() {
            let detail =
                "a response's body was produced on an event loop by code that would block it";
            return Err(Error::internal(detail));
        }
        Ok(self.shared.push_blocking(chunk)?)
    }
}

impl io::Write for BodySink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes).map_err(into_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self).map_err(into_io)
    }
}

fn into_io(error: Error) -> io::Error {
    let kind = match error.kind() {
        crate::ErrorKind::Unavailable => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Drop for BodySink {
    fn drop(&mut self) {
        if !self.has_ended {
            self.give_up(None);
        }
    }
}

impl fmt::Debug for BodySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySink")
            .field("left", &self.left)
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
