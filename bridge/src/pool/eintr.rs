//! A signal that ends a thread's system call with `EINTR`, for libraries that give up on that.
//!
//! The signal is `SIGURG`: its default action is to do nothing, so one that somebody else sends does no
//! harm. The handler does nothing either; it is there so that the system call ends, for which it must
//! not be installed with `SA_RESTART`.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// What is sent.
pub(super) const SIGNAL: Signal = Signal::SIGURG;

extern "C" fn do_nothing(_: libc::c_int) {}

/// Installs the handler, once for the process, unless somebody else has one.
pub(super) fn install() -> Result<(), Errno> {
    static INSTALLED: OnceLock<Result<(), Errno>> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        if has_handler()? {
            return Err(Errno::EBUSY);
        }
        // On the alternative stack, if the thread has one: libraries run code on small stacks.
        let ours = SigAction::new(
            SigHandler::Handler(do_nothing),
            SaFlags::SA_ONSTACK,
            SigSet::empty(),
        );
        // SAFETY: the handler does nothing, so it is safe at any point of any thread.
        unsafe { sigaction(SIGNAL, &ours) }.map(|_| ())
    })
}

/// Whether somebody handles the signal already.
fn has_handler() -> Result<bool, Errno> {
    let mut present = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the present one to where it is told.
    let result = unsafe {
        libc::sigaction(
            SIGNAL as libc::c_int,
            std::ptr::null(),
            present.as_mut_ptr(),
        )
    };
    Errno::result(result)?;
    // SAFETY: the call has succeeded, so the action was written.
    let present = unsafe { present.assume_init() };
    Ok(!matches!(
        present.sa_sigaction,
        libc::SIG_DFL | libc::SIG_IGN
    ))
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
