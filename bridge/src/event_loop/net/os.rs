//! The system calls of listeners and streams that may fail at any time.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;

pub(super) fn accept_tcp(
    listener: &mio::net::TcpListener,
) -> io::Result<(mio::net::TcpStream, SocketAddr)> {
    fault_point!(Accept);
    listener.accept()
}

pub(super) fn accept_unix(listener: &mio::net::UnixListener) -> io::Result<mio::net::UnixStream> {
    fault_point!(Accept);
    listener.accept().map(|(stream, _)| stream)
}

pub(super) fn read(mut socket: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    fault_point!(Read);
    socket.read(buffer)
}

pub(super) fn write(mut socket: impl Write, buffer: &[u8]) -> io::Result<usize> {
    fault_point!(Write);
    socket.write(buffer)
}

pub(super) fn write_vectored(mut socket: impl Write, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    fault_point!(Write);
    socket.write_vectored(buffers)
}

/// Whether a connect that was begun has succeeded, failed, or not ended yet (would block).
pub(super) fn connected(socket: &mio::net::TcpStream) -> io::Result<()> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Err(error) if error.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
        result => result.map(drop),
    }
}
