//! Listeners and streams on the loop.

mod os;

use super::io::{Direction, Registration};
use futures_io::{AsyncRead, AsyncWrite};
use mio::Interest;
use mio::event::Source;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A TCP listener of the current loop.
pub type TcpListener = Listener<mio::net::TcpListener>;
/// A TCP connection of the current loop.
pub type TcpStream = Stream<mio::net::TcpStream>;
/// A Unix-domain listener of the current loop.
pub type UnixListener = Listener<mio::net::UnixListener>;
/// A Unix-domain connection of the current loop.
pub type UnixStream = Stream<mio::net::UnixStream>;

/// A socket and its place in the loop; deregistered before it is closed.
#[derive(Debug)]
struct Registered<S: Source> {
    /// Always there, but for `into_inner`.
    socket: Option<S>,
    registration: Registration,
}

impl<S: Source> Registered<S> {
    fn new(mut socket: S, interest: Interest) -> io::Result<Self> {
        let registration = Registration::new(&mut socket, interest)?;
        Ok(Self {
            socket: Some(socket),
            registration,
        })
    }

    fn socket(&self) -> &S {
        self.socket
            .as_ref()
            .expect("taken out by `into_inner` only, which consumes self")
    }

    /// Tries `f` when the socket may be ready, and again after each edge, until it does not block.
    fn poll_io<'s, R>(
        &'s self,
        direction: Direction,
        context: &Context<'_>,
        mut f: impl FnMut(&'s S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.registration.poll_ready(direction, context));
            match f(self.socket()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.registration.clear(direction);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn into_inner(mut self) -> S {
        let mut socket = self.socket.take().expect("taken out here only");
        self.registration.remove(&mut socket);
        socket
    }
}

impl<S: Source> Drop for Registered<S> {
    fn drop(&mut self) {
        if let Some(socket) = &mut self.socket {
            self.registration.remove(socket);
        }
    }
}

/// A listening socket of the current loop.
#[derive(Debug)]
pub struct Listener<L: Source>(Registered<L>);

impl<L: Source> Listener<L> {
    /// Watches a listening socket of `mio` on the current loop.
    ///
    /// # Errors
    ///
    /// Outside a loop, or when the OS cannot watch it.
    pub fn from_mio(listener: L) -> io::Result<Self> {
        Registered::new(listener, Interest::READABLE).map(Self)
    }

    /// The socket itself.
    pub fn get_ref(&self) -> &L {
        self.0.socket()
    }
}

impl Listener<mio::net::TcpListener> {
    /// Listens on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// Outside a loop, or what `bind(2)` and `listen(2)` say.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::from_mio(mio::net::TcpListener::bind(address)?)
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().local_addr()
    }

    /// Waits for the next connection, not yet bound to any loop: hand it to
    /// [`Stream::from_mio`] on the loop that shall serve it.
    ///
    /// # Errors
    ///
    /// What `accept(2)` says; `EMFILE` and `ENFILE` pass when connections close.
    pub async fn accept(&self) -> io::Result<(mio::net::TcpStream, SocketAddr)> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// Accepts a connection that waits already.
    ///
    /// # Errors
    ///
    /// What `accept(2)` says, also that it would block.
    pub fn try_accept(&self) -> io::Result<(mio::net::TcpStream, SocketAddr)> {
        os::accept_tcp(self.get_ref())
    }

    /// As [`accept`](Self::accept), for hand-written futures.
    ///
    /// # Errors
    ///
    /// As for `accept`.
    pub fn poll_accept(
        &self,
        context: &Context<'_>,
    ) -> Poll<io::Result<(mio::net::TcpStream, SocketAddr)>> {
        self.0.poll_io(Direction::Read, context, os::accept_tcp)
    }
}

impl Listener<mio::net::UnixListener> {
    /// Listens on the socket file `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// Outside a loop, or what `bind(2)` and `listen(2)` say.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_mio(mio::net::UnixListener::bind(path)?)
    }

    /// Waits for the next connection, not yet bound to any loop.
    ///
    /// # Errors
    ///
    /// What `accept(2)` says.
    pub async fn accept(&self) -> io::Result<mio::net::UnixStream> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// Accepts a connection that waits already.
    ///
    /// # Errors
    ///
    /// What `accept(2)` says, also that it would block.
    pub fn try_accept(&self) -> io::Result<mio::net::UnixStream> {
        os::accept_unix(self.get_ref())
    }

    /// As [`accept`](Self::accept), for hand-written futures.
    ///
    /// # Errors
    ///
    /// As for `accept`.
    pub fn poll_accept(&self, context: &Context<'_>) -> Poll<io::Result<mio::net::UnixStream>> {
        self.0.poll_io(Direction::Read, context, os::accept_unix)
    }
}

/// A connected socket of the current loop. Reads and writes through [`futures_io`]'s traits.
#[derive(Debug)]
pub struct Stream<S: Source>(Registered<S>);

impl<S: Source> Stream<S> {
    /// Watches a stream of `mio` on the current loop.
    ///
    /// # Errors
    ///
    /// Outside a loop, or when the OS cannot watch it.
    pub fn from_mio(stream: S) -> io::Result<Self> {
        Registered::new(stream, Interest::READABLE | Interest::WRITABLE).map(Self)
    }

    /// The socket itself.
    pub fn get_ref(&self) -> &S {
        self.0.socket()
    }

    /// Stops watching and gives the socket back.
    pub fn into_inner(self) -> S {
        self.0.into_inner()
    }

    /// Whether the peer is known to have ended its side; bytes sent before that may still be read.
    pub fn is_read_closed(&self) -> bool {
        self.0.registration.is_read_closed()
    }

    /// Ready once the peer is known to have ended its side, also while bytes that it sent before
    /// wait to be read. Bytes that arrive wake the task as well.
    pub fn poll_read_closed(&self, context: &Context<'_>) -> Poll<()> {
        self.0.registration.poll_read_closed(context)
    }
}

impl<S: Source> Stream<S>
where
    for<'a> &'a S: Read + Write,
{
    /// Reads into `buffer`; 0 means that the peer has ended its side.
    ///
    /// # Errors
    ///
    /// What `read(2)` says, except that it would block.
    pub fn poll_read(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let asked = buffer.len();
        let read = ready!(
            self.0
                .poll_io(Direction::Read, context, |socket| os::read(socket, buffer))
        )?;
        if read > 0 && read < asked {
            // The socket is empty now: the next try would only be told so by the OS.
            self.0.registration.clear_after_partial(Direction::Read);
        }
        Poll::Ready(Ok(read))
    }

    /// Writes from `buffer`.
    ///
    /// # Errors
    ///
    /// What `write(2)` says, except that it would block.
    pub fn poll_write(&self, context: &Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(
            self.0
                .poll_io(Direction::Write, context, |socket| os::write(
                    socket, buffer
                ))
        )?;
        self.note_written(wrote, buffer.len());
        Poll::Ready(Ok(wrote))
    }

    /// Writes from several buffers with one system call.
    ///
    /// # Errors
    ///
    /// As for [`poll_write`](Self::poll_write).
    pub fn poll_write_vectored(
        &self,
        context: &Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |socket| os::write_vectored(socket, buffers);
        let wrote = ready!(self.0.poll_io(Direction::Write, context, write))?;
        self.note_written(wrote, buffers.iter().map(|buffer| buffer.len()).sum());
        Poll::Ready(Ok(wrote))
    }

    fn note_written(&self, wrote: usize, asked: usize) {
        if wrote > 0 && wrote < asked {
            self.0.registration.clear_after_partial(Direction::Write);
        }
    }
}

impl Stream<mio::net::TcpStream> {
    /// Connects to `address`.
    ///
    /// # Errors
    ///
    /// Outside a loop, or what `connect(2)` says.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = Self::from_mio(mio::net::TcpStream::connect(address)?)?;
        std::future::poll_fn(|context| stream.0.poll_io(Direction::Write, context, os::connected))
            .await?;
        Ok(stream)
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    ///
    /// What `shutdown(2)` says.
    pub fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        self.get_ref().shutdown(how)
    }
}

impl Stream<mio::net::UnixStream> {
    /// Connects to the socket file `path`.
    ///
    /// # Errors
    ///
    /// Outside a loop, or what `connect(2)` says.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_mio(mio::net::UnixStream::connect(path)?)
    }

    /// A connected pair.
    ///
    /// # Errors
    ///
    /// Outside a loop, or what `socketpair(2)` says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((Self::from_mio(one)?, Self::from_mio(other)?))
    }
}

impl<S: Source + Unpin> AsyncRead for Stream<S>
where
    for<'a> &'a S: Read + Write,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_read(&self, context, buffer)
    }
}

/// Ends the sending direction of a socket.
pub trait EndSending {
    /// # Errors
    ///
    /// What `shutdown(2)` says.
    fn end_sending(&self) -> io::Result<()>;
}

impl EndSending for mio::net::TcpStream {
    fn end_sending(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }
}

impl EndSending for mio::net::UnixStream {
    fn end_sending(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }
}

impl<S: Source + Unpin + EndSending> AsyncWrite for Stream<S>
where
    for<'a> &'a S: Read + Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write(&self, context, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write_vectored(&self, context, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the sending direction.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_ref().end_sending() {
            Err(error) if error.kind() != ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}
