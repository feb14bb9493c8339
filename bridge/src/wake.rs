//! The one raw wake fd: what a sleeping loop watches and any thread may ring.
//!
//! Linux has `eventfd`; elsewhere a pipe stands in. Neither carries data: a ring only says "look at
//! the inbox". Only [`crate::inbox`] rings it, and only when its protocol says that the loop sleeps.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod eventfd;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod pipe;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use eventfd::WakeFd;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use pipe::WakeFd;
