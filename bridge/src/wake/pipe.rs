//! The wake fd where there is no eventfd: a pipe whose content means nothing.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::{pipe, read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A non-blocking, close-on-exec pipe.
#[derive(Debug)]
pub(crate) struct WakeFd {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl WakeFd {
    /// # Errors
    ///
    /// What `pipe(2)` says, in practice `EMFILE` or `ENFILE`: no file descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        fault_point!(WakeNew);
        let (reader, writer) = pipe()?;
        for fd in [&reader, &writer] {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        Ok(Self { reader, writer })
    }

    /// Makes the fd readable. A full pipe is readable already: the ring counts and nothing is
    /// retried.
    ///
    /// # Errors
    ///
    /// As for the eventfd.
    pub(crate) fn ring(&self) -> io::Result<()> {
        fault_point!(WakeWrite);
        loop {
            match write(&self.writer, &[1]) {
                Err(Errno::EINTR) => {}
                Ok(_) | Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Empties the pipe.
    pub(crate) fn acknowledge(&self) {
        let mut bytes = [0; 1024];
        while matches!(read(&self.reader, &mut bytes), Ok(1..) | Err(Errno::EINTR)) {}
    }

    /// A pipe must be emptied even for edge-triggered watchers: once full it gives no more edges.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn acknowledge_edge(&self) {
        self.acknowledge();
    }
}

impl AsFd for WakeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
