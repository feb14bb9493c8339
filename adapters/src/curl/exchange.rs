//! What libcurl asks and tells during a transfer.
//!
//! All of it runs on the worker, inside `perform`.

use std::io::SeekFrom;

use ::curl::easy::{Handler, ReadError, SeekResult, WriteError};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::CallContext;

/// The most that all headers of an answer may have.
const MAX_HEADER_BYTES: usize = 256 << 10;

/// Why a transfer was stopped from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The client has left.
    Cancelled,
    /// Its deadline has passed.
    Late,
    /// The body is larger than it may be.
    TooLarge,
    /// The headers are more than they may be, or are none.
    BadHead,
}

/// One request and its answer so far.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    call: Option<CallContext>,
    upload: Bytes,
    uploaded: usize,
    head: Head,
    body: Vec<u8>,
    max_body_bytes: usize,
    stopped: Option<Stopped>,
}

/// The head of the last response; there may be interim ones before it.
#[derive(Debug, Default)]
struct Head {
    headers: HeaderMap,
    bytes: usize,
    /// What comes now are trailers.
    is_complete: bool,
}

impl Exchange {
    /// Sends this body and takes one of at most so many bytes, while anybody waits.
    pub(super) fn new(upload: Bytes, max_body_bytes: usize, call: CallContext) -> Self {
        Self {
            call: Some(call),
            upload,
            max_body_bytes,
            ..Self::default()
        }
    }

    /// How large the body is that is sent.
    pub(super) fn upload_bytes(&self) -> u64 {
        self.upload.len() as u64
    }

    pub(super) fn stopped(&self) -> Option<Stopped> {
        self.stopped
    }

    /// Whether the headers came to their end. libcurl takes a connection that closes before for one that
    /// has said all.
    pub(super) fn has_whole_head(&self) -> bool {
        self.head.is_complete
    }

    /// The headers and the body of the answer.
    pub(super) fn into_answer(self) -> (HeaderMap, Bytes) {
        (self.head.headers, self.body.into())
    }

    /// Why nobody waits any more, if nobody does.
    fn unwanted(&self) -> Option<Stopped> {
        let call = self.call.as_ref().filter(|call| call.is_cancelled())?;
        let is_late = call.remaining().is_some_and(|left| left.is_zero());
        Some(if is_late {
            Stopped::Late
        } else {
            Stopped::Cancelled
        })
    }
}

impl Handler for Exchange {
    fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        if data.len() > self.max_body_bytes - self.body.len() {
            self.stopped = Some(Stopped::TooLarge);
            // Fewer than there were: that is how libcurl is told to stop.
            return Ok(0);
        }
        self.body.extend_from_slice(data);
        Ok(data.len())
    }

    fn read(&mut self, data: &mut [u8]) -> Result<usize, ReadError> {
        let rest = &self.upload[self.uploaded..];
        let count = rest.len().min(data.len());
        data[..count].copy_from_slice(&rest[..count]);
        self.uploaded += count;
        Ok(count)
    }

    fn seek(&mut self, whence: SeekFrom) -> SeekResult {
        match whence {
            SeekFrom::Start(at) if at <= self.upload.len() as u64 => {
                self.uploaded = usize::try_from(at).unwrap_or(self.upload.len());
                SeekResult::Ok
            }
            _ => SeekResult::Fail,
        }
    }

    fn header(&mut self, data: &[u8]) -> bool {
        let is_good = self.head.line(data);
        if !is_good {
            self.stopped = Some(Stopped::BadHead);
        }
        is_good
    }

    fn progress(&mut self, _: f64, _: f64, _: f64, _: f64) -> bool {
        self.stopped = self.stopped.or_else(|| self.unwanted());
        self.stopped.is_none()
    }
}

impl Head {
    /// Takes a line; `false` if it cannot be part of a head.
    fn line(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        if line.starts_with(b"HTTP/") && (self.is_complete || self.bytes == 0) {
            *self = Self::default();
            self.bytes = line.len();
            return true;
        }
        self.bytes += line.len();
        if line.is_empty() {
            self.is_complete = true;
            return true;
        }
        if self.is_complete {
            return self.bytes <= MAX_HEADER_BYTES;
        }
        // A name that begins with white space is a value that goes on, which no sender may do any more.
        let colon = line.iter().position(|byte| *byte == b':');
        let parsed = colon.and_then(|colon| {
            let value = line[colon + 1..].trim_ascii();
            Some((
                HeaderName::from_bytes(&line[..colon]).ok()?,
                HeaderValue::from_bytes(value).ok()?,
            ))
        });
        let Some((name, value)) = parsed else {
            return false;
        };
        self.headers.try_append(name, value).is_ok() && self.bytes <= MAX_HEADER_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[&str]) -> Option<Vec<(String, String)>> {
        let mut exchange = Exchange::new(Bytes::new(), 10, CallContext::detached());
        for line in lines {
            if !exchange.header(format!("{line}\r\n").as_bytes()) {
                assert_eq!(exchange.stopped(), Some(Stopped::BadHead));
                return None;
            }
        }
        let (headers, _) = exchange.into_answer();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Some(
            headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
        )
    }

    #[test]
    fn the_last_head_counts_and_trailers_do_not() {
        let lines = [
            "HTTP/1.1 103 Early Hints",
            "link: a",
            "",
            "HTTP/1.1 200 OK",
            "X-A:  b  ",
            "x-a: c",
            "",
            "x-trailer: d",
        ];
        let expected = [("x-a", "b"), ("x-a", "c")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(head(&lines).unwrap(), expected);
    }

    #[test]
    fn a_head_that_is_none_is_refused() {
        for line in [
            "no colon",
            " folded: x",
            ": x",
            "a b: c",
            "HTTP/1.1 200 OK",
            "x: a\0b",
        ] {
            assert_eq!(head(&["HTTP/1.1 200 OK", line, ""]), None, "{line}");
        }
        let long = format!("x: {}", "y".repeat(1000));
        let many = vec![long.as_str(); 300];
        assert_eq!(
            head(&[&["HTTP/1.1 200 OK"], many.as_slice()].concat()),
            None
        );
    }

    #[test]
    fn a_body_of_one_byte_too_many_stops_the_transfer() {
        let mut exchange = Exchange::new(Bytes::new(), 10, CallContext::detached());
        assert!(matches!(exchange.write(b"0123456789"), Ok(10)));
        assert!(matches!(exchange.write(b""), Ok(0)));
        assert_eq!(exchange.stopped(), None);
        assert!(matches!(exchange.write(b"x"), Ok(0)));
        assert_eq!(exchange.stopped(), Some(Stopped::TooLarge));
    }

    #[test]
    fn what_is_sent_can_be_sent_again() {
        let mut exchange = Exchange::new("abcdef".into(), 0, CallContext::detached());
        let mut buffer = [0; 4];
        assert!(matches!(exchange.read(&mut buffer), Ok(4)));
        assert!(matches!(exchange.read(&mut buffer), Ok(2)));
        assert!(matches!(exchange.read(&mut buffer), Ok(0)));
        assert!(matches!(exchange.seek(SeekFrom::Start(0)), SeekResult::Ok));
        assert!(matches!(exchange.read(&mut buffer), Ok(4)));
        assert_eq!(&buffer, b"abcd");
        assert!(matches!(
            exchange.seek(SeekFrom::Start(7)),
            SeekResult::Fail
        ));
        assert!(matches!(exchange.seek(SeekFrom::End(0)), SeekResult::Fail));
    }
}
