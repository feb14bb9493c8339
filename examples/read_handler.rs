//! A read handler: would-block, end of stream, timed out, error; on a socket of the loop, and by hand
//! on any file descriptor.
//!
//! `cargo run --example read_handler`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use pontoon_bridge::event_loop::{AsyncFd, Direction, EventLoop, Interest, UnixStream, timeout};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

/// Why there is no more to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Eof,
    TimedOut,
    Failed(ErrorKind),
}

/// Reads until the peer ends its side, fails, or says nothing for `patience`. The stream asks the OS
/// again after a would-block by itself.
async fn read_all(stream: &UnixStream, patience: Duration, bytes: &mut Vec<u8>) -> End {
    let mut buffer = [0; 4096];
    loop {
        let read = poll_fn(|context| stream.poll_read(context, &mut buffer));
        match timeout(patience, read).await {
            Err(_timed_out) => return End::TimedOut,
            Ok(Ok(0)) => return End::Eof,
            Ok(Ok(count)) => bytes.extend_from_slice(&buffer[..count]),
            Ok(Err(error)) => return End::Failed(error.kind()),
        }
    }
}

/// The same by hand, as for a descriptor that some library gave out.
async fn read_fd(fd: &AsyncFd<StdStream>, bytes: &mut Vec<u8>) -> End {
    let mut buffer = [0; 4096];
    loop {
        fd.ready(Direction::Read).await;
        match fd.get_ref().read(&mut buffer) {
            Ok(0) => return End::Eof,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            // Only now is there a further edge to wait for.
            Err(error) if error.kind() == ErrorKind::WouldBlock => fd.clear(Direction::Read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return End::Failed(error.kind()),
        }
    }
}

/// What was read from a peer that writes and then is silent, that then leaves, and by hand.
pub(crate) fn run() -> io::Result<[(Vec<u8>, End); 3]> {
    EventLoop::new()?.block_on(async {
        let (ours, theirs) = UnixStream::pair()?;
        let mut words = [Vec::new(), Vec::new(), Vec::new()];
        theirs.get_ref().write_all(b"hello")?;
        let silent = read_all(&ours, Duration::from_millis(30), &mut words[0]).await;
        theirs.get_ref().write_all(b"bye")?;
        drop(theirs);
        let left = read_all(&ours, Duration::from_secs(30), &mut words[1]).await;

        let (ours, mut theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let fd = AsyncFd::new(ours, Interest::READABLE)?;
        let writer = std::thread::spawn(move || theirs.write_all(b"by hand"));
        let by_hand = read_fd(&fd, &mut words[2]).await;
        writer
            .join()
            .map_err(|_| io::Error::other("the writer panicked"))??;
        let [first, second, third] = words;
        Ok([(first, silent), (second, left), (third, by_hand)])
    })
}

pub(crate) fn main() -> io::Result<()> {
    for (bytes, end) in run()? {
        println!("{:?}, then {end:?}", String::from_utf8_lossy(&bytes));
    }
    Ok(())
}
