//! The wake fd on Linux.

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A non-blocking, close-on-exec eventfd.
#[derive(Debug)]
pub(crate) struct WakeFd(EventFd);

impl WakeFd {
    /// # Errors
    ///
    /// What `eventfd(2)` says, in practice `EMFILE` or `ENFILE`: no file descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        fault_point!(WakeNew);
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(EventFd::from_value_and_flags(0, flags)?))
    }

    /// Makes the fd readable, and gives an edge to whoever watches it edge-triggered.
    ///
    /// Never blocks: at one write per sleep the 64-bit counter would need centuries to fill, and a
    /// full counter is readable all the same.
    ///
    /// # Errors
    ///
    /// When nobody is woken, in practice `EBADF`: foreign code has closed a descriptor that is not
    /// its own.
    pub(crate) fn ring(&self) -> io::Result<()> {
        fault_point!(WakeWrite);
        loop {
            match self.0.write(1) {
                Err(Errno::EINTR) => {}
                Ok(_) | Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes the fd unreadable again, for loops that watch it level-triggered.
    pub(crate) fn acknowledge(&self) {
        while let Err(Errno::EINTR) = self.0.read() {}
    }

    /// Edge-triggered watchers need no read after a ring.
    pub(crate) fn acknowledge_edge(&self) {}
}

impl AsFd for WakeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::WakeFd;
    use crate::wake::pipe;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    fn readable(fd: impl AsFd) -> bool {
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_ring_is_readable_until_acknowledged() {
        let wake = WakeFd::new().unwrap();
        assert!(!readable(&wake));
        wake.ring().unwrap();
        wake.ring().unwrap();
        assert!(readable(&wake));
        wake.acknowledge();
        assert!(!readable(&wake));
    }

    /// incubator-pagespeed-ngx#1380: writing to a full notification pipe span for ever.
    #[test]
    fn ringing_a_full_pipe_returns_and_stays_readable() {
        let wake = pipe::WakeFd::new().unwrap();
        for _ in 0..200_000 {
            wake.ring().unwrap();
        }
        assert!(readable(&wake));
        wake.acknowledge();
        assert!(!readable(&wake));
        wake.ring().unwrap();
        assert!(readable(&wake));
    }
}
