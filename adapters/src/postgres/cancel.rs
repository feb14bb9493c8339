//! Asking a server to stop what a connection runs. A safe face of libpq's `PGcancel`, which may be used from any
//! thread.
//!
//! The request travels on a connection of its own and says only which session is meant, so it may arrive late.
//! The bridge closes a session whose interrupter was taken, so a late one finds nobody.

use std::ffi::c_char;
use std::ptr::NonNull;
use std::sync::Arc;

use pontoon_bridge::Interrupt;
use pq_sys::{PGcancel, PGconn};

/// Room for what libpq says when it fails; it asks for 256.
const MESSAGE_BYTES: usize = 256;

/// What is needed to cancel a connection's running command.
#[derive(Debug)]
pub(super) struct Cancel(NonNull<PGcancel>);

// SAFETY: libpq says that `PQcancel` is thread-safe and takes nothing of the connection: a `PGcancel` is a copy
// of the server's address and of the session's key.
unsafe impl Send for Cancel {}
// SAFETY: as above: `PQcancel` only reads it.
unsafe impl Sync for Cancel {}

impl Cancel {
    /// That of a connection that is open; `None` when libpq has no memory.
    ///
    /// # Safety
    ///
    /// `connection` is open.
    pub(super) unsafe fn new(connection: *mut PGconn) -> Option<Self> {
        // SAFETY: promised by the caller.
        let raw = unsafe { pq_sys::PQgetCancel(connection) };
        NonNull::new(raw).map(Self)
    }

    fn send(&self) -> Result<(), String> {
        let mut message = [0 as c_char; MESSAGE_BYTES];
        let room = i32::try_from(message.len()).unwrap_or(0);
        // SAFETY: it is alive as long as `self`; libpq writes at most so many bytes, the last one a NUL.
        let sent = unsafe { pq_sys::PQcancel(self.0.as_ptr(), message.as_mut_ptr(), room) };
        if sent == 1 {
            return Ok(());
        }
        // SAFETY: libpq has ended the text with NUL, or it is still all NUL.
        let message = unsafe { super::outcome::text(message.as_ptr()) };
        Err(message.unwrap_or_default().trim_end().to_owned())
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody uses it after this.
        unsafe { pq_sys::PQfreeCancel(self.0.as_ptr()) }
    }
}

/// Stops the running call of a session: for the watchdog's thread.
#[derive(Debug)]
pub(super) struct Stop(pub(super) Arc<Cancel>);

impl Interrupt for Stop {
    /// It waits for the server to take the request, for as long as that takes: libpq has no limit there. A
    /// server that takes none runs nothing that could be stopped.
    fn interrupt(&self) {
        if let Err(error) = self.0.send() {
            tracing::warn!(%error, "a PostgreSQL statement could not be cancelled");
        }
    }
}
