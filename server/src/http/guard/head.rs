//! A request head: the request line, the header fields, and what they say about the body.
//!
//! The lines are checked as they arrive (`line`, `request_line`). When the head is complete,
//! hyper's own parser reads it, strictly, and `fields` looks at those that frame or route it.

use std::mem::MaybeUninit;

use super::Limits;
use super::fields::{self, BodyFraming};
use super::line::LineScan;
use super::request_line;
use super::violation::Violation;

/// The most header fields that any limit allows: room for them is taken on the stack.
pub(super) const FIELDS_MAX: usize = 128;

/// A head being read.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    lines: LineScan,
    lines_complete: usize,
    empty_line_skipped: bool,
}

/// How far a head has come.
pub(super) enum Progress {
    /// More bytes are needed.
    Partial,
    /// The CRLF that some clients send after a body is here. Drop these two bytes, go on.
    EmptyLine,
    /// The head is complete and good.
    Complete {
        head_bytes: usize,
        body: BodyFraming,
    },
}

impl HeadScan {
    /// Looks at the head's bytes, from its first on.
    pub(super) fn advance(&mut self, head: &[u8], limits: &Limits) -> Result<Progress, Violation> {
        while self.lines_complete == 0 {
            // One byte more than the limit: there the CR of the longest line is.
            let Some(line) = self.lines.next(head, limits.request_line_bytes + 1)? else {
                return match head.get(limits.request_line_bytes) {
                    None | Some(b'\r') => Ok(Progress::Partial),
                    Some(_) => Err(request_line_too_long(limits)),
                };
            };
            if line.is_empty() {
                return self.empty_line();
            }
            request_line::check(&head[line])?;
            self.lines_complete = 1;
        }
        self.advance_fields(head, limits)
    }

    fn empty_line(&mut self) -> Result<Progress, Violation> {
        if self.empty_line_skipped {
            return Err(Violation::bad_request(
                "RFC 9112 section 2.2",
                "More than one empty line came before the request line. Send none.",
            ));
        }
        *self = HeadScan {
            empty_line_skipped: true,
            ..HeadScan::default()
        };
        Ok(Progress::EmptyLine)
    }

    fn advance_fields(&mut self, head: &[u8], limits: &Limits) -> Result<Progress, Violation> {
        loop {
            let line = self.lines.next(head, limits.head_bytes)?;
            let read = if line.is_some() {
                self.lines.line_start()
            } else {
                head.len()
            };
            if read > limits.head_bytes {
                return Err(head_too_large(limits));
            }
            let Some(line) = line else {
                return Ok(Progress::Partial);
            };
            if line.is_empty() {
                let body = check_complete(&head[..read], limits)?;
                return Ok(Progress::Complete {
                    head_bytes: read,
                    body,
                });
            }
            check_not_folded(&head[line])?;
            if self.lines_complete > limits.header_count {
                return Err(too_many_fields(limits));
            }
            self.lines_complete += 1;
        }
    }
}

fn check_complete(head: &[u8], limits: &Limits) -> Result<BodyFraming, Violation> {
    // Left uninitialised: clearing it would cost more than the rest of the checks.
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(head, &mut room[..limits.header_count]);
    match (parsed, request.path, request.version) {
        (Ok(httparse::Status::Complete(length)), Some(target), Some(minor_version))
            if length == head.len() =>
        {
            fields::check(target.as_bytes(), minor_version, request.headers)
        }
        _ => Err(fields::explain(head)),
    }
}

/// A line that starts with white space once continued the line before it (obs-fold).
pub(super) fn check_not_folded(line: &[u8]) -> Result<(), Violation> {
    match line.first() {
        Some(b' ' | b'\t') => Err(Violation::bad_request(
            "RFC 9112 section 5.2",
            "A field line starts with white space. Send each field on one line.",
        )),
        _ => Ok(()),
    }
}

#[cold]
fn request_line_too_long(limits: &Limits) -> Violation {
    Violation::new(
        http::StatusCode::URI_TOO_LONG,
        "RFC 9112 section 3",
        format!(
            "The request line is longer than {} bytes. Send long input in the body.",
            limits.request_line_bytes
        ),
    )
}

#[cold]
fn head_too_large(limits: &Limits) -> Violation {
    Violation::fields_too_large(format!(
        "The head of the request is larger than {} bytes. Send fewer or shorter fields.",
        limits.head_bytes
    ))
}

#[cold]
fn too_many_fields(limits: &Limits) -> Violation {
    Violation::fields_too_large(format!(
        "The request has more than {} header fields. Send fewer.",
        limits.header_count
    ))
}
