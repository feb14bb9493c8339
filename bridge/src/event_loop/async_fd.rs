//! Foreign file descriptors on the loop.

use super::io::{Direction, Registration};
use mio::Interest;
use mio::unix::SourceFd;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{self, Context};

/// A foreign file descriptor that the loop watches: a library's socket, a pipe, a signalfd.
///
/// Readiness is edge-triggered: after [`ready`](Self::ready), use the fd until it would block, then
/// call [`clear`](Self::clear). [`rearm`](Self::rearm) asks the OS to report what is ready now once
/// more, for libraries that read as much as they like. Drop the `AsyncFd`, or take the library's
/// object out with [`into_inner`](Self::into_inner), before the library closes the fd.
pub struct AsyncFd<T: AsFd> {
    /// Always there, but for `into_inner`.
    inner: Option<T>,
    fd: RawFd,
    registration: Registration,
}

impl<T: AsFd> AsyncFd<T> {
    /// Watches `inner`'s fd on the current loop. The fd must be non-blocking if it is read or
    /// written on the loop.
    ///
    /// # Errors
    ///
    /// Outside a loop, and when the OS cannot watch this fd (a regular file, or watched already).
    pub fn new(inner: T, interest: Interest) -> io::Result<Self> {
        let fd = inner.as_fd().as_raw_fd();
        let registration = Registration::new(&mut SourceFd(&fd), interest)?;
        Ok(Self {
            inner: Some(inner),
            fd,
            registration,
        })
    }

    /// The watched object.
    ///
    /// # Panics
    ///
    /// Never: only [`into_inner`](Self::into_inner) takes it out, and that consumes `self`.
    pub fn get_ref(&self) -> &T {
        self.inner
            .as_ref()
            .expect("taken out by `into_inner` only, which consumes self")
    }

    /// The watched object, for a library whose every step changes it. Do not put another object
    /// in its place: its fd would not be watched. For a library that reconnects by itself, take the
    /// object out with [`into_inner`](Self::into_inner) and watch it anew.
    ///
    /// # Panics
    ///
    /// Never, as [`get_ref`](Self::get_ref).
    pub fn get_mut(&mut self) -> &mut T {
        self.inner
            .as_mut()
            .expect("taken out by `into_inner` only, which consumes self")
    }

    /// Waits until the fd may be ready.
    pub async fn ready(&self, direction: Direction) {
        std::future::poll_fn(|context| self.registration.poll_ready(direction, context)).await;
    }

    /// As [`ready`](Self::ready), for hand-written futures.
    pub fn poll_ready(&self, direction: Direction, context: &Context<'_>) -> task::Poll<()> {
        self.registration.poll_ready(direction, context)
    }

    /// The fd would block: wait for the next edge.
    pub fn clear(&self, direction: Direction) {
        self.registration.clear(direction);
    }

    /// Watches for `interest` from now on, and reports again what is ready already.
    ///
    /// # Errors
    ///
    /// When the fd is not watched any more, as after the library closed it.
    pub fn rearm(&self, interest: Interest) -> io::Result<()> {
        self.registration.rearm(&mut SourceFd(&self.fd), interest)
    }

    /// Runs `f` each time the fd is ready until it does something other than block.
    ///
    /// # Errors
    ///
    /// What `f` returns, except `WouldBlock`.
    pub async fn io<R>(
        &self,
        direction: Direction,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            self.ready(direction).await;
            match f(self.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(direction),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Stops watching and gives the object back.
    ///
    /// # Panics
    ///
    /// Never, as [`get_ref`](Self::get_ref).
    pub fn into_inner(mut self) -> T {
        self.registration.remove(&mut SourceFd(&self.fd));
        self.inner.take().expect("taken out here only")
    }
}

impl<T: AsFd> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        if self.inner.is_some() {
            self.registration.remove(&mut SourceFd(&self.fd));
        }
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
