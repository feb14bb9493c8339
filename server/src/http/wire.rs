//! What a connection's task, hyper and the service share: the socket, the guard, and since when the
//! connection waits for what.

use super::guard::{Guard, Limits, Phase, Violation};
use super::pace::MinRate;
use super::socket::Socket;
use super::streaming::Streaming;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// Read at once; one buffer per loop thread serves all its connections.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// How long a connection may wait for its client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) idle: Duration,
    pub(crate) head: Duration,
    pub(crate) body: Duration,
    pub(crate) body_rate: MinRate,
    pub(crate) send: Duration,
    pub(crate) send_rate: MinRate,
}

/// What a connection waits for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The rest of a body, which comes at less than this rate.
    BodyRate { bytes_per_second: usize },
    /// The client, to read its response, or to read it faster.
    Send,
    /// The end of a body that is produced while it is sent.
    Stream,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: Socket,
    pub(crate) streaming: Streaming,
    guard: RefCell<Guard>,
    /// The phase that the clock below is for.
    phase: Cell<Phase>,
    phase_since: Cell<Instant>,
    /// Read from the socket since then.
    phase_bytes: Cell<u64>,
    /// Since when the socket takes no more of the response.
    send_blocked_since: Cell<Option<Instant>>,
    /// Since when the client's pace decides how fast the response goes out.
    sending: Cell<Option<Sending>>,
    /// A request is with the service, or its response is on the way.
    in_flight: Cell<bool>,
    /// The client was too slow with its body: hyper is told that the input has ended.
    body_overdue: Cell<Option<Overdue>>,
    /// The client has ended its side.
    ended: Cell<bool>,
    /// hyper's task, while it waits for input.
    reader: RefCell<Option<Waker>>,
}

/// A response that the client has not read as fast as it was written.
#[derive(Debug, Clone, Copy)]
struct Sending {
    /// When the socket took no more for the first time.
    since: Instant,
    /// What it has taken since.
    bytes: u64,
}

impl Wire {
    pub(crate) fn new(socket: Socket, limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            socket,
            streaming: Streaming::default(),
            guard: RefCell::new(Guard::new(limits)),
            phase: Cell::new(Phase::Idle),
            phase_since: Cell::new(Instant::now()),
            phase_bytes: Cell::new(0),
            send_blocked_since: Cell::new(None),
            sending: Cell::new(None),
            in_flight: Cell::new(false),
            body_overdue: Cell::new(None),
            ended: Cell::new(false),
            reader: RefCell::default(),
        })
    }

    /// A request has come out of hyper.
    pub(crate) fn request_began(&self) {
        self.in_flight.set(true);
    }

    /// Its response has gone into hyper, or never will.
    pub(crate) fn request_ended(&self) {
        self.in_flight.set(false);
        self.streaming.end();
        self.guard.borrow_mut().message_done();
        self.note_phase();
        // The next request was read while hyper waited for the end of this one: no edge of the
        // socket will tell it.
        if self.phase.get() != Phase::Idle
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }

    /// What is wrong with a head; the connection's task answers it.
    pub(crate) fn head_violation(&self) -> Option<Violation> {
        let guard = self.guard.borrow();
        guard
            .violation()
            .filter(|_| !guard.violates_in_body())
            .cloned()
    }

    /// What is wrong with the body of the request under way; the service answers it.
    pub(crate) fn body_violation(&self) -> Option<Violation> {
        let guard = self.guard.borrow();
        guard
            .violation()
            .filter(|_| guard.violates_in_body())
            .cloned()
    }

    /// In what way the body of the request under way is overdue, if it is.
    pub(crate) fn body_overdue(&self) -> Option<Overdue> {
        self.body_overdue.get()
    }

    pub(crate) fn set_body_overdue(&self, overdue: Overdue) {
        self.body_overdue.set(Some(overdue));
    }

    /// Has the connection end with a reset, as far as its family knows that.
    pub(crate) fn reset(&self) {
        self.streaming.set_reset();
        self.socket.reset_on_close();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// What the connection waits for, and until when; `None` while the library is at work.
    pub(crate) fn due(&self, patience: &Patience) -> Option<(Instant, Overdue)> {
        let due = self.client_due(patience);
        let Some(until) = self.streaming.until() else {
            return due;
        };
        Some(match due {
            Some(earlier) if earlier.0 < until => earlier,
            _ => (until, Overdue::Stream),
        })
    }

    /// What the client is to do, and until when.
    fn client_due(&self, patience: &Patience) -> Option<(Instant, Overdue)> {
        if let Some(since) = self.send_blocked_since.get() {
            let due = since + patience.send;
            return Some((
                self.send_pace_due(patience).unwrap_or(due).min(due),
                Overdue::Send,
            ));
        }
        let since = self.phase_since.get();
        match self.phase.get() {
            Phase::Body if self.body_overdue.get().is_none() => Some(self.body_due(patience)),
            _ if self.in_flight.get() => None,
            Phase::Idle => Some((since + patience.idle, Overdue::Idle)),
            Phase::Head => Some((since + patience.head, Overdue::Head)),
            Phase::Body | Phase::Complete | Phase::Refused => None,
        }
    }

    fn body_due(&self, patience: &Patience) -> (Instant, Overdue) {
        let since = self.phase_since.get();
        match patience.body_rate.limit(self.phase_bytes.get()) {
            Some(limit) if limit < patience.body => {
                let bytes_per_second = patience.body_rate.bytes_per_second;
                (since + limit, Overdue::BodyRate { bytes_per_second })
            }
            _ => (since + patience.body, Overdue::Body),
        }
    }

    fn send_pace_due(&self, patience: &Patience) -> Option<Instant> {
        let sending = self.sending.get()?;
        let limit = patience.send_rate.limit(sending.bytes)?;
        Some(sending.since + limit)
    }

    fn note_phase(&self) {
        let phase = self.guard.borrow().phase();
        if phase != self.phase.get() {
            self.phase.set(phase);
            self.phase_since.set(Instant::now());
            self.phase_bytes.set(0);
        }
    }

    /// Gives hyper what the guard lets through; 0 bytes mean the end of the input.
    fn poll_guarded(&self, cx: &Context<'_>, out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let polled = self.poll_input(cx, out);
        if polled.is_pending() {
            self.note_reader(cx);
        }
        polled
    }

    fn note_reader(&self, cx: &Context<'_>) {
        let mut reader = self.reader.borrow_mut();
        if !reader
            .as_ref()
            .is_some_and(|reader| reader.will_wake(cx.waker()))
        {
            *reader = Some(cx.waker().clone());
        }
    }

    fn poll_input(&self, cx: &Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        loop {
            let room = out.remaining();
            let passed = self
                .guard
                .borrow_mut()
                .forward(room, &mut |bytes| out.put_slice(bytes));
            if passed > 0 || room == 0 {
                self.note_phase();
                return Poll::Ready(Ok(()));
            }
            if self.guard.borrow().violation().is_some() || self.body_overdue.get().is_some() {
                // In a head, nothing is in flight (the guard lets one message through at a time),
                // so hyper just ends. In a body, the service learns that it is cut short.
                self.note_phase();
                return Poll::Ready(Ok(()));
            }
            if !self.guard.borrow().wants_input() {
                // Woken by `request_ended`. The bytes that wait in the socket until then must
                // not hide that the client has left.
                ready!(self.socket.poll_read_closed(cx));
                self.ended.set(true);
                return Poll::Ready(Ok(()));
            }
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let read = ready!(self.socket.poll_read(cx, scratch))?;
                let mut guard = self.guard.borrow_mut();
                let passed = guard.feed(&scratch[..read], room, &mut |bytes| out.put_slice(bytes));
                Poll::Ready(Ok::<_, io::Error>((read, passed)))
            });
            let (read, passed) = ready!(read)?;
            self.phase_bytes.set(self.phase_bytes.get() + read as u64);
            self.note_phase();
            if read == 0 {
                self.ended.set(true);
                return Poll::Ready(Ok(()));
            }
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn note_sent(&self, wrote: &Poll<io::Result<usize>>) {
        let mut sending = self.sending.get();
        match wrote {
            Poll::Ready(taken) => {
                if let Some(sending) = &mut sending {
                    sending.bytes += *taken.as_ref().unwrap_or(&0) as u64;
                }
                if self.send_blocked_since.take().is_some() && self.phase.get() == Phase::Idle {
                    // The client has only now got some of the response that made it idle.
                    self.phase_since.set(Instant::now());
                }
            }
            Poll::Pending => {
                let since = self.send_blocked_since.get().unwrap_or_else(Instant::now);
                self.send_blocked_since.set(Some(since));
                sending.get_or_insert(Sending { since, bytes: 0 });
            }
        }
        self.sending.set(sending);
    }
}

/// The wire as hyper sees it.
#[derive(Debug)]
pub(crate) struct HyperIo(pub(crate) Rc<Wire>);

impl Read for HyperIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_guarded(cx, out)
    }
}

impl Write for HyperIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = self.0.socket.poll_write(cx, buffer);
        self.0.note_sent(&wrote);
        wrote
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = self.0.socket.poll_write_vectored(cx, buffers);
        self.0.note_sent(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper has written all that it had.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.sending.set(None);
        self.0.streaming.flushed(cx);
        Poll::Ready(Ok(()))
    }

    /// The connection's task closes the socket, after it has said what it has to say.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
