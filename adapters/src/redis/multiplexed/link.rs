//! The connection of a loop: a socket, and the bytes on their way in and out.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::task::{Context, Poll, ready};

use pontoon_bridge::event_loop::{TcpStream, UnixStream};
use redis::Value;

use super::super::decoder::Decoder;
use super::super::failure::Broken;
use super::super::server::{Place, Server};
use super::super::tls::Guard;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A connected socket with what has come out of it and not been a whole reply yet.
pub(super) struct Link {
    socket: Socket,
    guard: Option<Guard>,
    decoder: Decoder,
    buffer: Box<[u8]>,
    /// Bytes since the last whole reply.
    pub(super) bytes_since_reply: usize,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Link {
    pub(super) async fn connect(place: &Place, server: &Server) -> io::Result<Self> {
        let guard = server.tls.as_ref().map(|tls| tls.guard()).transpose()?;
        let socket = match place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(*address).await?;
                stream.get_ref().set_nodelay(true)?;
                Socket::Tcp(stream)
            }
            Place::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
        };
        Ok(Self {
            socket,
            guard,
            decoder: Decoder::default(),
            buffer: vec![0; READ_BYTES].into(),
            bytes_since_reply: 0,
        })
    }

    /// Sends one command and waits for its reply. With it may come what is pushed.
    pub(super) async fn ask(&mut self, command: &[u8]) -> Result<Vec<Value>, Broken> {
        let mut sent = 0;
        while sent < command.len() {
            sent += poll_fn(|context| self.poll_write(context, &command[sent..])).await?;
        }
        poll_fn(|context| self.poll_flush(context)).await?;
        let mut replies = Vec::new();
        while replies.is_empty() {
            poll_fn(|context| {
                self.poll_read(context, &mut |reply| {
                    replies.push(reply);
                    Ok(())
                })
            })
            .await?;
        }
        Ok(replies)
    }

    /// Sends some of `bytes`; how many. With TLS they may wait for [`poll_flush`](Self::poll_flush).
    pub(super) fn poll_write(
        &mut self,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Broken>> {
        let mut socket = Polled(&self.socket, context);
        let wrote = match &mut self.guard {
            None => socket.write(bytes),
            Some(guard) => match guard.write(bytes) {
                Ok(0) => guard.flush(&mut socket).and_then(|()| guard.write(bytes)),
                wrote => wrote,
            },
        };
        polled(wrote)
    }

    /// Ready when the socket has taken everything.
    pub(super) fn poll_flush(&mut self, context: &Context<'_>) -> Poll<Result<(), Broken>> {
        let mut socket = Polled(&self.socket, context);
        match &mut self.guard {
            None => Poll::Ready(Ok(())),
            Some(guard) => polled(guard.flush(&mut socket)),
        }
    }

    fn poll_bytes(&mut self, context: &Context<'_>) -> Poll<Result<usize, Broken>> {
        let mut socket = Polled(&self.socket, context);
        let Some(guard) = &mut self.guard else {
            return polled(socket.read(&mut self.buffer));
        };
        loop {
            match guard.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return polled(read),
            }
            ready!(polled(guard.fill(&mut socket)))?;
            // What this has made necessary to send; if it would block, the next flush goes on.
            if let Poll::Ready(flushed) = polled(guard.flush(&mut socket)) {
                flushed?;
            }
        }
    }

    /// Reads once, and hands on each reply that is whole, and what is pushed.
    pub(super) fn poll_read(
        &mut self,
        context: &Context<'_>,
        take: &mut dyn FnMut(Value) -> Result<(), Broken>,
    ) -> Poll<Result<(), Broken>> {
        let read = match ready!(self.poll_bytes(context))? {
            0 => return Poll::Ready(Err(Broken::io(ErrorKind::UnexpectedEof.into()))),
            read => read,
        };
        self.bytes_since_reply += read;
        let mut bytes = &self.buffer[..read];
        while let Some(reply) = self.decoder.next(&mut bytes)? {
            self.bytes_since_reply = 0;
            take(reply)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// A socket that would block where its task is to be woken.
struct Polled<'s, 'c, 'w>(&'s Socket, &'c Context<'w>);

impl Read for Polled<'_, '_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.0 {
            Socket::Tcp(stream) => stream.poll_read(self.1, buffer),
            Socket::Unix(stream) => stream.poll_read(self.1, buffer),
        };
        or_would_block(read)
    }
}

impl Write for Polled<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wrote = match self.0 {
            Socket::Tcp(stream) => stream.poll_write(self.1, bytes),
            Socket::Unix(stream) => stream.poll_write(self.1, bytes),
        };
        or_would_block(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn polled<T>(outcome: io::Result<T>) -> Poll<Result<T, Broken>> {
    match outcome {
        Ok(value) => Poll::Ready(Ok(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        Err(error) => Poll::Ready(Err(Broken::io(error))),
    }
}
