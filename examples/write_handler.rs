//! A write handler: a chain of buffers, sent as the socket takes them, with a send timeout.
//!
//! `cargo run --example write_handler`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use pontoon_bridge::event_loop::{self, EventLoop, UnixStream, timeout};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

/// Buffers per system call; more would be refused beyond the system's limit (1,024 on Linux).
const AT_ONCE: usize = 64;

/// The output that is pending, oldest buffer first.
#[derive(Default)]
pub(crate) struct Chain {
    buffers: VecDeque<Vec<u8>>,
    /// So much of the first buffer is sent.
    sent: usize,
}

impl Chain {
    pub(crate) fn push(&mut self, buffer: Vec<u8>) {
        self.buffers.push_back(buffer);
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.buffers.iter().map(Vec::len).sum::<usize>() - self.sent
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices: Vec<_> = self
            .buffers
            .iter()
            .take(AT_ONCE)
            .map(|b| IoSlice::new(b))
            .collect();
        if let Some(first) = slices.first_mut() {
            first.advance(self.sent);
        }
        slices
    }

    fn consume(&mut self, bytes: usize) {
        self.sent += bytes;
        while let Some(first) = self.buffers.front()
            && first.len() <= self.sent
        {
            self.sent -= first.len();
            self.buffers.pop_front();
        }
    }
}

/// Sends the whole chain. `patience` is for each step, as nginx's `send_timeout`: a slow client may
/// take long, one that reads nothing may not. What is not sent stays in the chain.
pub(crate) async fn send(
    out: &UnixStream,
    chain: &mut Chain,
    patience: Duration,
) -> io::Result<()> {
    while chain.pending_bytes() > 0 {
        let write = poll_fn(|context| out.poll_write_vectored(context, &chain.slices()));
        match timeout(patience, write).await {
            Ok(Ok(0)) => return Err(ErrorKind::WriteZero.into()),
            Ok(Ok(bytes)) => chain.consume(bytes),
            Ok(Err(error)) => return Err(error),
            Err(timed_out) => return Err(io::Error::new(ErrorKind::TimedOut, timed_out)),
        }
    }
    Ok(())
}

/// Sends `buffers`; gives the bytes that arrived at a peer that reads everything.
pub(crate) fn run(buffers: Vec<Vec<u8>>) -> io::Result<usize> {
    EventLoop::new()?.block_on(async {
        let (ours, theirs) = UnixStream::pair()?;
        let reader = event_loop::spawn(async move {
            let (mut buffer, mut total) = (vec![0; 4096], 0);
            loop {
                match poll_fn(|context| theirs.poll_read(context, &mut buffer)).await? {
                    0 => return io::Result::Ok(total),
                    bytes => total += bytes,
                }
            }
        });
        let mut chain = Chain::default();
        buffers.into_iter().for_each(|buffer| chain.push(buffer));
        send(&ours, &mut chain, Duration::from_secs(10)).await?;
        drop(ours);
        reader.await
    })
}

pub(crate) fn main() -> io::Result<()> {
    let buffers = vec![b"head".to_vec(), vec![b'x'; 1 << 20], b"tail".to_vec()];
    println!("{} bytes arrived", run(buffers)?);
    Ok(())
}
