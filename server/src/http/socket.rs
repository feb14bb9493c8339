//! A client's socket, whichever family it is of.

use pontoon_bridge::event_loop::{TcpStream, UnixStream};
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

/// A connection that was accepted and belongs to no loop yet.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(mio::net::TcpStream, SocketAddr),
    Unix(mio::net::UnixStream),
}

impl Accepted {
    /// Brings the connection to the current loop.
    pub(crate) fn enter_loop(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream, peer) => {
                // Without it small responses wait for the client's acknowledgement.
                stream.set_nodelay(true)?;
                Socket::Tcp(TcpStream::from_mio(stream)?, peer)
            }
            Self::Unix(stream) => Socket::Unix(UnixStream::from_mio(stream)?),
        })
    }
}

/// A connection on its loop.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, peer) => Some(*peer),
            Self::Unix(_) => None,
        }
    }

    pub(crate) fn poll_read(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream, _) => stream.poll_read(cx, buffer),
            Self::Unix(stream) => stream.poll_read(cx, buffer),
        }
    }

    /// Ready once the client has ended its side, whatever is still to be read.
    pub(crate) fn poll_read_closed(&self, cx: &Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(stream, _) => stream.poll_read_closed(cx),
            Self::Unix(stream) => stream.poll_read_closed(cx),
        }
    }

    pub(crate) fn poll_write(&self, cx: &Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream, _) => stream.poll_write(cx, buffer),
            Self::Unix(stream) => stream.poll_write(cx, buffer),
        }
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream, _) => stream.poll_write_vectored(cx, buffers),
            Self::Unix(stream) => stream.poll_write_vectored(cx, buffers),
        }
    }

    /// Has the client see a reset when the connection is closed. Without effect on a Unix socket.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(stream, _) = self {
            // It fails on a connection that is gone already.
            let _ = SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO));
        }
    }

    /// Tells the client that nothing more comes; what it still sends can be read.
    pub(crate) fn end_sending(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.get_ref().shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.get_ref().shutdown(Shutdown::Write),
        }
    }
}
