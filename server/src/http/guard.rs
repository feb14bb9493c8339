//! The guard: every byte that a socket delivers passes it before hyper sees it.
//!
//! hyper reads some messages more kindly than other servers do, and two servers that read one
//! message differently are how requests get smuggled. So the connection pushes what it reads into
//! a [`Guard`], and hyper reads from there. The guard cuts the stream into messages, checks each
//! head whole and each chunk line byte by byte, and passes on only what is good, unchanged. It
//! does no I/O and knows no clock.
//!
//! ```text
//!              first byte            head good              message passed on
//!   ┌─ Idle ───────────────▶ Head ────────────▶ Body ─────────────────────────▶ Complete ─┐
//!   │                         │ head bad          │ chunk bad         message_done()      │
//!   │                         └───────▶ Refused ◀─┘                                       │
//!   └─────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Promises:
//! - No byte of a head, or of a trailer section, is passed on before all of it is checked.
//! - What is passed on is what arrived, byte for byte, but for an empty line before a request.
//! - The verdict depends on the bytes, never on how they were split into reads.
//! - One message at a time: the next one waits, unread, until [`Guard::message_done`]. So a bad
//!   pipelined request never disturbs the good one before it.
//! - It holds at most one head (or trailer section) and what was pushed on top of it while
//!   [`Guard::wants_input`] was true. An idle one holds no memory.

mod authority;
mod chunked;
mod extension;
mod fields;
mod head;
mod line;
mod request_line;
mod trailers;
mod violation;

#[cfg(test)]
mod tests;

use chunked::Chunked;
use fields::BodyFraming;
use head::{HeadScan, Progress};
pub(crate) use violation::Violation;

/// What a head may cost. hyper's own limits must be no lower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest request line, in bytes, without its CRLF.
    pub(crate) request_line_bytes: usize,
    /// The largest head, in bytes: request line, fields, and the empty line after them.
    pub(crate) head_bytes: usize,
    /// The most header fields; more than 128 counts as 128.
    pub(crate) header_count: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line_bytes: 8 * 1024,
            head_bytes: 32 * 1024,
            header_count: 100,
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between messages: nothing of the next one is here.
    Idle,
    /// Part of a head is here.
    Head,
    /// The head is good; some of its message is still to arrive or to be passed on.
    Body,
    /// The message was passed on whole and awaits [`Guard::message_done`].
    Complete,
    /// There was a violation. What was good before it can still be passed on.
    Refused,
}

/// Checks one connection's input. See the module's page.
#[derive(Debug)]
pub(crate) struct Guard {
    limits: Limits,
    state: State,
    /// Bytes that could not be passed on when they came. Empty, and unallocated, when all were.
    input: Vec<u8>,
    /// So many bytes of `input` were passed on.
    input_start: usize,
    /// So many bytes after those are checked and may be passed on.
    cleared: usize,
    violation: Option<Violation>,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    /// `answered`: the response was written before the whole body came.
    Body {
        framing: Framing,
        answered: bool,
    },
    Complete,
}

#[derive(Debug)]
enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunked),
}

impl Guard {
    /// A guard for a new connection.
    pub(crate) fn new(limits: Limits) -> Self {
        let limits = Limits {
            // A head has room for its request line, or the line's limit means nothing.
            request_line_bytes: limits
                .request_line_bytes
                .min(limits.head_bytes.saturating_sub(2)),
            head_bytes: limits.head_bytes,
            header_count: limits.header_count.min(head::FIELDS_MAX),
        };
        Guard {
            limits,
            state: State::Head(HeadScan::default()),
            input: Vec::new(),
            input_start: 0,
            cleared: 0,
            violation: None,
        }
    }

    /// Takes bytes read from the socket and checks them; none is passed on yet.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.feed(bytes, 0, &mut |_| {});
    }

    /// Passes on up to `max` bytes of what was pushed, in one call of `sink` or a few. Returns
    /// how many.
    pub(crate) fn forward(&mut self, max: usize, sink: &mut dyn FnMut(&[u8])) -> usize {
        self.feed(&[], max, sink)
    }

    /// Does [`push`](Guard::push) and [`forward`](Guard::forward) in one, without a copy and
    /// without memory of its own when all of `bytes` can be passed on at once.
    pub(crate) fn feed(&mut self, bytes: &[u8], max: usize, sink: &mut dyn FnMut(&[u8])) -> usize {
        if self.input.is_empty() {
            let (used, forwarded) = self.run(bytes, max, sink);
            self.input
                .extend_from_slice(self.worth_keeping(&bytes[used..]));
            return forwarded;
        }
        let mut input = std::mem::take(&mut self.input);
        if !bytes.is_empty() {
            input.drain(..std::mem::take(&mut self.input_start));
            input.extend_from_slice(bytes);
        }
        let (used, forwarded) = self.run(&input[self.input_start..], max, sink);
        self.input_start += used;
        let kept = self.worth_keeping(&input[self.input_start..]).len();
        input.truncate(self.input_start + kept);
        if kept == 0 {
            self.input_start = 0;
        } else {
            self.input = input;
        }
        forwarded
    }

    /// Says that the response to the current message was written: the next message may pass once
    /// this one has, whole.
    pub(crate) fn message_done(&mut self) {
        match &mut self.state {
            State::Complete => {
                self.state = State::Head(HeadScan::default());
                // The next head may be here already: `phase` and `violation` must know.
                self.push(&[]);
            }
            State::Body { answered, .. } => *answered = true,
            State::Head(_) => {}
        }
    }

    /// Where the connection stands.
    pub(crate) fn phase(&self) -> Phase {
        match &self.state {
            _ if self.violation.is_some() => Phase::Refused,
            State::Head(_) if self.input.is_empty() => Phase::Idle,
            State::Head(_) => Phase::Head,
            State::Body { .. } => Phase::Body,
            State::Complete => Phase::Complete,
        }
    }

    /// What the client did wrong. Once there it stays, and nothing after it is passed on.
    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Whether the violation is in the body of a message whose head was passed on, so that its
    /// answer is the service's.
    pub(crate) fn violates_in_body(&self) -> bool {
        self.violation.is_some() && matches!(self.state, State::Body { .. })
    }

    /// False when what was pushed is enough for now: leave the rest in the socket. While a
    /// message awaits its response, one head's worth is still read, to notice a client that
    /// leaves.
    pub(crate) fn wants_input(&self) -> bool {
        match &self.state {
            _ if self.violation.is_some() || self.cleared > 0 => false,
            State::Complete => self.input.len() < self.limits.head_bytes,
            State::Head(_) | State::Body { .. } => true,
        }
    }

    /// After a violation, only what is cleared is of use to anybody.
    fn worth_keeping<'a>(&self, rest: &'a [u8]) -> &'a [u8] {
        match self.violation {
            None => rest,
            Some(_) => &rest[..self.cleared],
        }
    }

    /// Checks and passes on. `input` is all that was not passed on before. Returns how many of
    /// its bytes are used up, and how many of those went to `sink`.
    fn run(&mut self, input: &[u8], max: usize, sink: &mut dyn FnMut(&[u8])) -> (usize, usize) {
        let (mut used, mut forwarded) = (0, 0);
        loop {
            used += self.check(&input[used..]);
            let count = self.cleared.min(max - forwarded);
            if count > 0 {
                sink(&input[used..used + count]);
                used += count;
                forwarded += count;
                self.cleared -= count;
            }
            if !self.ends_message() {
                return (used, forwarded);
            }
        }
    }

    /// Clears what it can of the current message; says how many bytes in front are to be dropped.
    fn check(&mut self, input: &[u8]) -> usize {
        let mut dropped = 0;
        while self.violation.is_none() {
            let pending = &input[dropped + self.cleared..];
            match &mut self.state {
                State::Head(scan) => match scan.advance(pending, &self.limits) {
                    Ok(Progress::Partial) => break,
                    Ok(Progress::EmptyLine) => dropped += 2,
                    Ok(Progress::Complete { head_bytes, body }) => {
                        self.cleared += head_bytes;
                        self.state = State::Body {
                            framing: body.into(),
                            answered: false,
                        };
                    }
                    Err(violation) => self.violation = Some(violation),
                },
                State::Body { framing, .. } => {
                    let (good, result) = framing.advance(pending, &self.limits);
                    self.cleared += good;
                    self.violation = result.err();
                    break;
                }
                State::Complete => break,
            }
        }
        dropped
    }

    /// Moves on when the last byte of the message was passed on; true when the next may start.
    fn ends_message(&mut self) -> bool {
        let State::Body { framing, answered } = &self.state else {
            return false;
        };
        if self.cleared > 0 || !framing.is_done() {
            return false;
        }
        let answered = *answered;
        self.state = if answered {
            State::Head(HeadScan::default())
        } else {
            State::Complete
        };
        answered
    }
}

impl Framing {
    fn is_done(&self) -> bool {
        match self {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// How many of `bytes` belong to the body and are good, even when a violation follows them.
    fn advance(&mut self, bytes: &[u8], limits: &Limits) -> (usize, Result<(), Violation>) {
        match self {
            Framing::Length(left) => {
                let here = bytes.len();
                let good = usize::try_from(*left).map_or(here, |left| left.min(here));
                *left -= good as u64;
                (good, Ok(()))
            }
            Framing::Chunked(chunked) => chunked.advance(bytes, limits),
        }
    }
}

impl From<BodyFraming> for Framing {
    fn from(body: BodyFraming) -> Self {
        match body {
            BodyFraming::Length(length) => Framing::Length(length),
            BodyFraming::Chunked => Framing::Chunked(Chunked::new()),
        }
    }
}
