//! The connection of a loop: a socket, and the bytes on their way in and out.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use pontoon_bridge::event_loop::{TcpStream, UnixStream};
use redis::Value;

use super::super::decoder::Decoder;
use super::super::failure::Broken;
use super::super::server::Place;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A connected socket with what has come out of it and not been a whole reply yet.
pub(super) struct Link {
    socket: Socket,
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
    pub(super) async fn connect(place: &Place) -> io::Result<Self> {
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
            decoder: Decoder::default(),
            buffer: vec![0; READ_BYTES].into(),
            bytes_since_reply: 0,
        })
    }

    /// Sends one command and waits for its reply.
    pub(super) async fn ask(&mut self, command: &[u8]) -> Result<Value, Broken> {
        let mut sent = 0;
        while sent < command.len() {
            sent += poll_fn(|context| self.poll_write(context, &command[sent..])).await?;
        }
        let mut first = None;
        while first.is_none() {
            poll_fn(|context| {
                self.poll_read(context, &mut |reply| match first.replace(reply) {
                    None => Ok(()),
                    Some(_) => Err(Broken::protocol("two replies to one command")),
                })
            })
            .await?;
        }
        Ok(first.unwrap_or(Value::Nil))
    }

    /// Sends some of `bytes`; how many.
    pub(super) fn poll_write(
        &self,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Broken>> {
        let wrote = match &self.socket {
            Socket::Tcp(stream) => stream.poll_write(context, bytes),
            Socket::Unix(stream) => stream.poll_write(context, bytes),
        };
        wrote.map_err(Broken::io)
    }

    /// Reads once, and hands on each reply that is whole.
    pub(super) fn poll_read(
        &mut self,
        context: &Context<'_>,
        take: &mut dyn FnMut(Value) -> Result<(), Broken>,
    ) -> Poll<Result<(), Broken>> {
        let read = match &self.socket {
            Socket::Tcp(stream) => stream.poll_read(context, &mut self.buffer),
            Socket::Unix(stream) => stream.poll_read(context, &mut self.buffer),
        };
        let read = match ready!(read) {
            Ok(0) => return Poll::Ready(Err(Broken::io(io::ErrorKind::UnexpectedEof.into()))),
            Ok(read) => read,
            Err(error) => return Poll::Ready(Err(Broken::io(error))),
        };
        self.bytes_since_reply += read;
        let mut bytes = &self.buffer[..read];
        while let Some(reply) = self.decoder.next(&mut bytes)? {
            self.bytes_since_reply = 0;
            // What is pushed was asked for by nobody.
            if !matches!(reply, Value::Push { .. }) {
                take(reply)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}
