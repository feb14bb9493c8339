//! A library that exposes its file descriptor: watched, re-armed, its interest changed, removed.
//!
//! `cargo run --example foreign_fd`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use pontoon_bridge::event_loop::{AsyncFd, Direction, EventLoop, Interest};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// What the library waits for before its next step.
pub(crate) enum Wants {
    Write,
    Read,
    Nothing,
}

/// A client library in miniature, as libpq is: it owns its socket, and its user steps it.
pub(crate) struct Client {
    socket: UnixStream,
    question: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) fn ask(socket: UnixStream, question: &str) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let question = question.as_bytes().to_vec();
        Ok(Self {
            socket,
            question,
            answer: Vec::new(),
        })
    }

    /// Does a little, and stops where it likes: this one never reads until it would block.
    fn step(&mut self) -> io::Result<Wants> {
        let mut buffer = [0; 16];
        let result = if self.question.is_empty() {
            self.socket.read(&mut buffer)
        } else {
            self.socket.write(&self.question)
        };
        match result {
            Ok(0) => return Ok(Wants::Nothing),
            Ok(read) if self.question.is_empty() => self.answer.extend_from_slice(&buffer[..read]),
            Ok(written) => drop(self.question.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(if self.question.is_empty() {
            Wants::Read
        } else {
            Wants::Write
        })
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Steps the library whenever its descriptor is ready for what it wants.
pub(crate) async fn drive(client: Client) -> io::Result<Vec<u8>> {
    let mut client = AsyncFd::new(client, Interest::WRITABLE)?;
    loop {
        let (direction, interest) = match client.get_mut().step()? {
            Wants::Write => (Direction::Write, Interest::WRITABLE),
            Wants::Read => (Direction::Read, Interest::READABLE),
            // Not watched any more, before the library closes its socket.
            Wants::Nothing => return Ok(client.into_inner().answer),
        };
        // The library may have left bytes unread, for which edge-triggered events come no more.
        // Re-arming makes the OS say again what is ready.
        client.clear(direction);
        client.rearm(interest)?;
        client.ready(direction).await;
    }
}

/// Asks a server that answers with `bytes` bytes; gives how many came.
pub(crate) fn run(bytes: usize) -> io::Result<usize> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let server = std::thread::spawn(move || {
        theirs.read_exact(&mut [0; 8])?;
        theirs.write_all(&vec![b'x'; bytes])
    });
    let client = Client::ask(ours, "question")?;
    let answer = EventLoop::new()?.block_on(drive(client))?;
    server
        .join()
        .map_err(|_| io::Error::other("the server panicked"))??;
    Ok(answer.len())
}

pub(crate) fn main() -> io::Result<()> {
    println!("the library got {} bytes", run(5_000)?);
    Ok(())
}
