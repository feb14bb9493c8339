//! A signal that ends a thread's system call with `EINTR`, for libraries that give up on that.
//!
//! The signal is `SIGURG`: its default action is to do nothing, so one that somebody else sends does no
//! harm. The handler does nothing either; it is there so that the system call ends, for which it must
//! not be installed with `SA_RESTART`.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::OnceLock;

/// What is sent.
pub(super) const SIGNAL: Signal = Signal::SIGURG;

extern "C" fn do_nothing(_: libc::c_int) {}

/// Installs the handler, once for the process, unless somebody else has one.
pub(super) fn install() -> Result<(), Errno> {
    static INSTALLED: OnceLock<Result<(), Errno>> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let ours = SigAction::new(
            SigHandler::Handler(do_nothing),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: the handler does nothing, so it is safe at any point of any thread.
        let before = unsafe { sigaction(SIGNAL, &ours) }?;
        if matches!(before.handler(), SigHandler::SigDfl | SigHandler::SigIgn) {
            return Ok(());
        }
        // SAFETY: it was installed before, by code that vouched for it.
        unsafe { sigaction(SIGNAL, &before) }?;
        Err(Errno::EBUSY)
    })
}

/// Sends the signal to a thread of this process. If the thread has ended, nothing happens; if its
/// number was given to another thread, one of that thread's system calls may end with `EINTR`, which any
/// code must expect.
pub(super) fn send(thread_id: i32) {
    let process_id = nix::unistd::getpid().as_raw();
    let signal = SIGNAL as libc::c_int;
    // SAFETY: `tgkill` takes numbers only, and refuses those that name no thread of this process.
    unsafe { libc::syscall(libc::SYS_tgkill, process_id, thread_id, signal) };
}
