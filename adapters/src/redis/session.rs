//! One worker's connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use redis::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Redis;
use super::decoder::Decoder;
use super::failure::Broken;
use super::handshake::Handshake;
use super::server::{Place, Prepared};
use super::template::Command;
use super::tls::Guard;
use crate::{CallContext, Error, Interrupt, Request, Response};

/// What is sent at once without looking at the clock: it fits into the buffer of a socket that has
/// nothing else to send.
const SMALL_BYTES: usize = 4096;

/// More bytes of a reply than its JSON could have: lengths and types.
const OVERHEAD_BYTES: usize = 4096;

/// Buffers that a large call has made larger than this are not kept.
const KEPT_BYTES: usize = 256 * 1024;

/// A connection to the server, logged in.
///
/// A server that was started anew, or that closes idle connections, costs no call: what it has closed is
/// noticed before anything is sent, and replaced.
pub struct Session {
    socket: Arc<Socket>,
    /// The same, for whoever wants to end a call from another thread. The lock is held for a look
    /// or an exchange only.
    line: Arc<Mutex<Arc<Socket>>>,
    guard: Option<Guard>,
    decoder: Decoder,
    /// What is being sent; empty between calls.
    wire: Vec<u8>,
    /// A call has begun and not ended well: there may be replies on the way.
    is_in_doubt: bool,
}

impl Session {
    pub(super) fn open(config: &Redis) -> Result<Self, Error> {
        Self::open_until(config, Instant::now() + config.connect_timeout)
    }

    fn open_until(config: &Redis, until: Instant) -> Result<Self, Error> {
        let unreachable = |error: io::Error| Broken::unreachable(&config.server, &error).to_error();
        let prepared = config.server.prepare().map_err(unreachable)?;
        let socket = connect(&prepared, until).map_err(unreachable)?;
        let socket = Arc::new(socket);
        let guard = config.server.tls.as_ref().map(|tls| tls.guard());
        let mut session = Self {
            line: Arc::new(Mutex::new(Arc::clone(&socket))),
            socket,
            guard: guard.transpose().map_err(unreachable)?,
            decoder: Decoder::default(),
            wire: Vec::new(),
            is_in_doubt: false,
        };
        let mut handshake = Handshake::new(&config.server, &prepared);
        let limits = Limits {
            until: Some(until),
            max_bytes: OVERHEAD_BYTES,
        };
        while let Some(command) = handshake.command() {
            session.wire = command;
            let replies = session.exchange(1, limits);
            let connecting = |broken: Broken| broken.while_connecting(&config.server).to_error();
            let mut replies = replies.map_err(connecting)?;
            handshake.reply(replies.pop().unwrap_or(Value::Nil))?;
        }
        Ok(session)
    }

    pub(super) fn call(
        &mut self,
        config: &Redis,
        mut request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let needs = config.work.needs();
        let body = needs.take_body(&mut request);
        let values = needs.values(&request, &body, call)?;
        let limits = Limits {
            until: call.deadline(),
            max_bytes: config.answer.max_bytes.saturating_add(OVERHEAD_BYTES),
        };
        self.replace_if_closed(config, call)?;
        self.wire.clear();
        let expected = config.work.encode(&values, &mut self.wire)?;
        let mut replies = self.exchange(expected, limits).map_err(of_call)?;
        let again = config
            .work
            .encode_again(&replies, &values, &mut self.wire)?;
        if let Some(expected) = again {
            replies = self.exchange(expected, limits).map_err(of_call)?;
        }
        config.answer.response(config.work.results(replies)?)
    }

    pub(super) fn check(&mut self, config: &Redis) -> Result<(), Error> {
        let limits = Limits {
            until: Some(Instant::now() + config.connect_timeout),
            max_bytes: OVERHEAD_BYTES,
        };
        self.wire = Command::fixed(&[b"PING"]);
        match self.exchange(1, limits).map_err(of_call)?.pop() {
            // Also `NOPERM`: it answers, and whether commands are allowed is theirs to find out.
            Some(Value::SimpleString(_) | Value::ServerError(_)) => Ok(()),
            other => {
                let source = format!("PING was answered by {other:?}");
                Err(Broken::protocol(source).to_error())
            }
        }
    }

    pub(super) fn interrupter(&self) -> Box<dyn Interrupt> {
        Box::new(HangUp(Arc::clone(&self.line)))
    }

    /// Makes a new connection if the server has closed this one since the last call, or has sent
    /// something that nobody has asked for.
    fn replace_if_closed(&mut self, config: &Redis, call: &CallContext) -> Result<(), Error> {
        if is_quiet(&self.socket) {
            return Ok(());
        }
        let soon = Instant::now() + config.connect_timeout;
        let until = call.deadline().map_or(soon, |deadline| deadline.min(soon));
        let fresh = Self::open_until(config, until).map_err(Error::breaking_session)?;
        let line = Arc::clone(&self.line);
        *lock(&line) = Arc::clone(&fresh.socket);
        *self = Self { line, ..fresh };
        Ok(())
    }

    /// Sends what is in `wire` and waits for so many replies to it.
    fn exchange(&mut self, expected: usize, limits: Limits) -> Result<Vec<Value>, Broken> {
        if self.is_in_doubt {
            return Err(Broken::protocol("an earlier call has left replies"));
        }
        self.is_in_doubt = true;
        let wire = std::mem::take(&mut self.wire);
        let outcome = self.converse(&wire, expected, limits);
        self.wire = wire;
        self.wire.clear();
        self.wire.shrink_to(KEPT_BYTES);
        self.is_in_doubt = outcome.is_err();
        outcome
    }

    fn converse(
        &mut self,
        wire: &[u8],
        expected: usize,
        limits: Limits,
    ) -> Result<Vec<Value>, Broken> {
        let socket = Timed {
            socket: &self.socket,
            until: limits.until,
        };
        let mut channel = match &mut self.guard {
            None => Channel::Plain(socket),
            Some(guard) => Channel::Tls(guard, socket),
        };
        channel.send(wire)?;
        let mut reader = Counting {
            channel,
            left: limits.max_bytes,
            has_too_many: false,
        };
        let mut replies = Vec::with_capacity(expected);
        while replies.len() < expected {
            match self.decoder.read(&mut reader) {
                // Said to nobody in particular.
                Ok(Value::Push { .. }) => {}
                Ok(reply) => replies.push(reply),
                Err(_) if reader.has_too_many => {
                    let max_bytes = limits.max_bytes.saturating_sub(OVERHEAD_BYTES);
                    return Err(Broken::too_large(max_bytes));
                }
                Err(broken) => return Err(broken),
            }
        }
        let is_large = limits.max_bytes - reader.left > KEPT_BYTES;
        if is_large {
            // It has a buffer for the largest reply so far.
            self.decoder.renew();
        }
        self.nothing_is_left()?;
        Ok(replies)
    }

    /// Makes sure that no reply is there that nobody has asked for: the next call would take it for its own.
    fn nothing_is_left(&mut self) -> Result<(), Broken> {
        while let Some(value) = self.decoder.next(&mut &[][..])? {
            if !matches!(value, Value::Push { .. }) {
                return Err(Broken::protocol("a reply came that nobody has asked for"));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

fn of_call(broken: Broken) -> Error {
    broken.to_error()
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// When the replies must be there.
    until: Option<Instant>,
    /// How long they may be, in bytes.
    max_bytes: usize,
}

/// Ends a call by ending its connection: its worker reads the end of the stream, and the server drops what
/// waits on the connection's behalf.
struct HangUp(Arc<Mutex<Arc<Socket>>>);

impl Interrupt for HangUp {
    fn interrupt(&self) {
        let socket = Arc::clone(&lock(&self.0));
        // It may have ended by itself.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn lock(line: &Mutex<Arc<Socket>>) -> MutexGuard<'_, Arc<Socket>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the connection is there and has nothing to say, as it should be between two calls.
fn is_quiet(socket: &Socket) -> bool {
    let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(socket.as_raw_fd(), &mut [0], look) == Err(Errno::EAGAIN)
}

/// Connects to the first address that answers.
fn connect(prepared: &Prepared, until: Instant) -> io::Result<Socket> {
    let mut last = None;
    for place in &prepared.places {
        match connect_to(place, until) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(io::Error::new(error.kind(), format!("{place}: {error}"))),
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::NotFound.into()))
}

fn connect_to(place: &Place, until: Instant) -> io::Result<Socket> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    let (domain, address) = match place {
        Place::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        Place::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.connect_timeout(&address, left)?;
    if matches!(place, Place::Tcp(_)) {
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
    }
    Ok(socket)
}

/// The way of the bytes between two calls of the session's owner.
enum Channel<'s> {
    Plain(Timed<'s>),
    Tls(&'s mut Guard, Timed<'s>),
}

impl Channel<'_> {
    fn send(&mut self, wire: &[u8]) -> Result<(), Broken> {
        let sent = match self {
            Self::Plain(Timed { socket, .. }) if wire.len() <= SMALL_BYTES => {
                let mut socket = *socket;
                socket.write_all(wire)
            }
            Self::Plain(socket) => socket.write_all(wire),
            Self::Tls(guard, socket) => send_guarded(guard, socket, wire),
        };
        sent.map_err(|error| match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Broken::late(),
            _ => Broken::io(error),
        })
    }
}

fn send_guarded(guard: &mut Guard, socket: &mut Timed<'_>, wire: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < wire.len() {
        sent += guard.write(&wire[sent..])?;
        guard.flush(socket)?;
    }
    Ok(())
}

impl Read for Channel<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (guard, socket) = match self {
            Self::Plain(socket) => return socket.read(buffer),
            Self::Tls(guard, socket) => (guard, socket),
        };
        loop {
            match guard.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => guard.fill(socket)?,
                outcome => return outcome,
            }
            guard.flush(socket)?;
        }
    }
}

/// A socket that waits for no longer than until some time.
struct Timed<'s> {
    socket: &'s Socket,
    until: Option<Instant>,
}

impl Timed<'_> {
    /// How long it may wait now: `None` for ever.
    fn left(&self) -> io::Result<Option<Duration>> {
        let Some(until) = self.until else {
            return Ok(None);
        };
        match until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            // The system takes 0 for ever, and counts in microseconds.
            left => Ok(Some(left.max(Duration::from_micros(1)))),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(self.left()?)?;
            let mut socket = self.socket;
            match socket.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(ErrorKind::TimedOut.into());
                }
                outcome => return outcome,
            }
        }
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        let mut socket = self.socket;
        socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that gives so many bytes at most.
struct Counting<'s> {
    channel: Channel<'s>,
    left: usize,
    has_too_many: bool,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.has_too_many = true;
            return Err(io::Error::other("the reply is too large"));
        }
        let room = buffer.len().min(self.left);
        let read = self.channel.read(&mut buffer[..room])?;
        self.left -= read;
        Ok(read)
    }
}
