//! Foreign file descriptors: pipes as a library would own them.

use super::{PATIENCE, run};
use crate::event_loop::{
    AsyncFd, Direction, EventLoop, Interest, sleep, spawn, timeout, yield_now,
};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read, write};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap()
}

fn read_byte(fd: &impl AsFd) -> io::Result<u8> {
    let mut byte = [0];
    match read(fd, &mut byte)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(byte[0]),
    }
}

fn write_all_it_takes(fd: &impl AsFd) -> usize {
    let mut wrote = 0;
    while let Ok(count) = write(fd, &[1; 4096]) {
        wrote += count;
    }
    wrote
}

#[test]
fn a_pipe_is_read_when_it_has_bytes_and_written_when_it_has_room() {
    run(async {
        let (reader, writer) = pipe();
        let reader = AsyncFd::new(reader, Interest::READABLE).unwrap();
        let writer = AsyncFd::new(writer, Interest::WRITABLE).unwrap();
        let mut full = write_all_it_takes(writer.get_ref());
        let writing = spawn(async move {
            writer
                .io(Direction::Write, |fd| Ok(write(fd, &[2])?))
                .await
                .unwrap()
        });
        yield_now().await;
        assert!(!writing.is_finished());
        while full > 0 {
            let byte = reader.io(Direction::Read, read_byte).await.unwrap();
            assert_eq!(byte, 1);
            full -= 1;
        }
        assert_eq!(writing.await, 1);
        assert_eq!(reader.io(Direction::Read, read_byte).await.unwrap(), 2);
        let end = reader.io(Direction::Read, read_byte).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn rearming_reports_what_is_ready_already_once_more() {
    run(async {
        let (reader, writer) = pipe();
        write(&writer, b"left unread").unwrap();
        let reader = AsyncFd::new(reader, Interest::READABLE).unwrap();
        reader.ready(Direction::Read).await;
        // The library read as much as it liked, and we say that it would block.
        reader.clear(Direction::Read);
        let soon = Duration::from_millis(10);
        assert!(timeout(soon, reader.ready(Direction::Read)).await.is_err());
        reader.rearm(Interest::READABLE).unwrap();
        reader.ready(Direction::Read).await;
    });
}

#[test]
fn an_fd_taken_out_is_watched_no_more_and_can_be_watched_again() {
    run(async {
        let (reader, writer) = pipe();
        let watched = AsyncFd::new(reader, Interest::READABLE).unwrap();
        let reader = watched.into_inner();
        write(&writer, b"x").unwrap();
        sleep(Duration::from_millis(1)).await;
        let watched = AsyncFd::new(reader, Interest::READABLE).unwrap();
        assert_eq!(watched.io(Direction::Read, read_byte).await.unwrap(), b'x');
    });
}

#[test]
fn an_fd_that_is_used_again_gets_no_event_of_the_one_before() {
    run(async {
        let (reader, writer) = pipe();
        let number = reader.as_raw_fd();
        // The library keeps a second fd of the same pipe, so closing ours does not end its events.
        let _kept = reader.try_clone().unwrap();
        let watched = AsyncFd::new(reader, Interest::READABLE).unwrap();
        // Its event is with the OS now, not yet with the loop.
        write(&writer, b"stale").unwrap();
        drop(watched);
        // The lowest free number is given out first: the same one, were other tests not about.
        let (reader, _writer) = pipe();
        let again = AsyncFd::new(reader, Interest::READABLE).unwrap();
        let soon = Duration::from_millis(20);
        let ready = timeout(soon, again.ready(Direction::Read)).await;
        assert!(
            ready.is_err(),
            "fd {number} became {}",
            again.get_ref().as_raw_fd()
        );
    });
}

#[test]
fn a_descriptor_outside_a_loop_or_of_a_regular_file_is_an_error() {
    let (reader, _writer) = pipe();
    let error = AsyncFd::new(reader, Interest::READABLE).unwrap_err();
    assert!(error.to_string().contains("no event loop"), "{error}");
    run(async {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(AsyncFd::new(file, Interest::READABLE).is_err());
    });
}

/// A library that closes a descriptor twice may have closed the loop's the second time.
#[test]
fn messages_reach_a_loop_whose_wake_fd_is_gone() {
    let event_loop = EventLoop::new().unwrap();
    let wake = event_loop.local.shared().mailbox().wake_fd();
    let unwritable = open(
        "/dev/null",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .unwrap();
    // SAFETY: both descriptors are open; the wake fd's owner goes on with another file behind it.
    let replaced = unsafe { nix::libc::dup2(unwritable.as_raw_fd(), wake.as_fd().as_raw_fd()) };
    assert_eq!(replaced, wake.as_fd().as_raw_fd());

    let begin = Instant::now();
    // Until the loop slept when the outcome came, so that the wake fd was written in vain.
    while event_loop.stats().wake_writes == 0 {
        let (call, completer) = crate::call();
        let library = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            completer.complete(42)
        });
        let outcome = event_loop.block_on(timeout(PATIENCE, call));
        assert_eq!(outcome.unwrap().unwrap(), 42);
        assert!(library.join().unwrap());
    }
    assert!(begin.elapsed() < PATIENCE / 2, "only the timeout woke it");
}
