//! The C library's handle of a connection: made, set up, waited for, closed.
//!
//! All that may wait goes through the library's non-blocking calls: `…_start` says what it waits for, we wait
//! for the socket in our own way, `…_cont` goes on. So a deadline is exact to the millisecond, where the
//! library's own timeouts have whole seconds, and a wait that is over ends the call in the library in good
//! order.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::Once;
use std::time::{Duration, Instant};

use mysqlclient_sys as ffi;
use mysqlclient_sys::mysql_option as options;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};

use super::refusal::Refusal;

const WAIT_READ: c_int = ffi::MYSQL_WAIT_READ as c_int;
const WAIT_WRITE: c_int = ffi::MYSQL_WAIT_WRITE as c_int;
const WAIT_EXCEPT: c_int = ffi::MYSQL_WAIT_EXCEPT as c_int;
const WAIT_TIMEOUT: c_int = ffi::MYSQL_WAIT_TIMEOUT as c_int;

/// The stack on which the library runs what may wait, in bytes. Name look-ups and TLS handshakes run there
/// too; pages that are not used cost nothing.
const STACK_BYTES: usize = 256 * 1024;

/// The library's `CR_SERVER_LOST`.
const LOST: u32 = 2013;

/// A handle. It is closed when it is dropped.
#[derive(Debug)]
pub(super) struct Handle {
    raw: NonNull<ffi::MYSQL>,
    /// A wait was given up; the library has ended the connection then.
    gave_up: Cell<bool>,
}

impl Handle {
    /// A handle without a connection.
    pub(super) fn new() -> Result<Self, Refusal> {
        static LIBRARY: Once = Once::new();
        LIBRARY.call_once(|| {
            // SAFETY: it is called once, before all else of the library. (`mysql_thread_init` and `_end`, which
            // MySQL's own client needs on each thread, do nothing in this one.)
            unsafe { ffi::mysql_server_init(0, ptr::null_mut(), ptr::null_mut()) };
        });
        // SAFETY: null asks for a new handle.
        let raw = unsafe { ffi::mysql_init(ptr::null_mut()) };
        let raw = NonNull::new(raw).ok_or_else(Refusal::out_of_memory)?;
        let handle = Self {
            raw,
            gave_up: Cell::new(false),
        };
        handle.set(Setting::StackBytes(STACK_BYTES));
        Ok(handle)
    }

    /// For calls of the library.
    pub(super) fn raw(&self) -> *mut ffi::MYSQL {
        self.raw.as_ptr()
    }

    /// Sets it up, before it connects.
    pub(super) fn set(&self, setting: Setting<'_>) {
        let (option, value): (_, *const c_void) = match &setting {
            Setting::StackBytes(bytes) => {
                (options::MYSQL_OPT_NONBLOCK, ptr::from_ref(bytes).cast())
            }
            Setting::PacketBytesMax(bytes) => (
                options::MYSQL_OPT_MAX_ALLOWED_PACKET,
                ptr::from_ref(bytes).cast(),
            ),
            Setting::Charset(name) => (options::MYSQL_SET_CHARSET_NAME, name.as_ptr().cast()),
            Setting::CaFile(path) => (options::MYSQL_OPT_SSL_CA, path.as_ptr().cast()),
            Setting::Protocol(number) => {
                (options::MYSQL_OPT_PROTOCOL, ptr::from_ref(number).cast())
            }
            Setting::SendsLocalFiles(flag) => {
                (options::MYSQL_OPT_LOCAL_INFILE, ptr::from_ref(flag).cast())
            }
            Setting::Tls(flag) => (options::MYSQL_OPT_SSL_ENFORCE, ptr::from_ref(flag).cast()),
            Setting::ChecksCertificate(flag) => (
                options::MYSQL_OPT_SSL_VERIFY_SERVER_CERT,
                ptr::from_ref(flag).cast(),
            ),
        };
        // SAFETY: the handle is open; the value is of the type that the library's documentation says for the
        // option, and copied before this returns. It fails only for options that the library does not know.
        unsafe { ffi::mysql_options(self.raw(), option, value) };
    }

    /// Tells the server, for its list of connections, who we are.
    pub(super) fn name_program(&self) {
        let (name, value) = (c"program_name", c"pontoon");
        let option = options::MYSQL_OPT_CONNECT_ATTR_ADD;
        // SAFETY: the library copies both texts, which end with a NUL.
        unsafe {
            ffi::mysql_options4(
                self.raw(),
                option,
                name.as_ptr().cast(),
                value.as_ptr().cast(),
            )
        };
    }

    /// Goes on with a call of the library until it has ended. `wants` is what `…_start` said, `go_on` is
    /// `…_cont`. What is not there at `until` is given up, which ends the call with an error.
    pub(super) fn complete(
        &self,
        until: Option<Instant>,
        mut wants: c_int,
        mut go_on: impl FnMut(c_int) -> c_int,
    ) {
        while wants != 0 {
            let ready = self.wait(wants, until);
            wants = go_on(ready);
        }
    }

    /// Whether a wait was given up.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up.get()
    }

    /// Ends the connection at once, whatever is on its way: nothing waits for it any more.
    pub(super) fn hang_up(&self) {
        hang_up(self.socket());
    }

    /// The connection's socket; negative when there is none.
    pub(super) fn socket(&self) -> RawFd {
        // SAFETY: the handle is open.
        unsafe { ffi::mysql_get_socket(self.raw()) }
    }

    /// What went wrong last, also when the library has no word for it.
    pub(super) fn refusal(&self) -> Refusal {
        if self.gave_up() {
            return Refusal::of_client(LOST, "the server did not answer in time");
        }
        // SAFETY: the handle is open.
        let number = unsafe { ffi::mysql_errno(self.raw()) };
        // SAFETY: as above.
        let state = unsafe { ffi::mysql_sqlstate(self.raw()) };
        // SAFETY: as above.
        let message = unsafe { ffi::mysql_error(self.raw()) };
        if number == 0 {
            return Refusal::of_client(LOST, "the connection was lost");
        }
        // SAFETY: both end with a NUL and last until the library's next call.
        unsafe { Refusal::new(number, state, message) }
    }

    fn wait(&self, wants: c_int, until: Option<Instant>) -> c_int {
        let of_library = (wants & WAIT_TIMEOUT != 0).then(|| {
            // SAFETY: the handle is open.
            let wait_ms = unsafe { ffi::mysql_get_timeout_value_ms(self.raw()) };
            Instant::now() + Duration::from_millis(wait_ms.into())
        });
        let until = match (until, of_library) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        let ready = wait_for(self.socket(), wants, until);
        if ready == WAIT_TIMEOUT {
            self.gave_up.set(true);
        }
        ready
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody has it any more: statements hold a share of it.
        unsafe { ffi::mysql_close(self.raw()) };
    }
}

/// A setting of the library, in the type that it takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setting<'s> {
    /// The size of the stack for what may wait, which also makes that possible.
    StackBytes(usize),
    /// The largest packet, and so the largest row.
    PacketBytesMax(usize),
    /// The character set of statements and values.
    Charset(&'s CStr),
    /// The file with the certificates of those who may vouch for the server.
    CaFile(&'s CStr),
    /// TCP or a Unix socket, whatever the host is called.
    Protocol(c_uint),
    /// Whether the server may ask for files of this machine.
    SendsLocalFiles(c_uint),
    /// Whether the connection is encrypted if the server can do that.
    Tls(ffi::my_bool),
    /// Whether the server's certificate must be good.
    ChecksCertificate(ffi::my_bool),
}

/// Ends what a socket receives and sends, as its peer's end would.
pub(super) fn hang_up(socket: RawFd) {
    if socket >= 0 {
        // It fails when the peer has ended it before.
        let _ = shutdown(socket, Shutdown::Both);
    }
}

/// Waits until a socket is ready for what is wanted of it, and says for what it is.
fn wait_for(socket: RawFd, wants: c_int, until: Option<Instant>) -> c_int {
    let mut events = PollFlags::empty();
    for (wanted, flag) in [
        (WAIT_READ, PollFlags::POLLIN),
        (WAIT_WRITE, PollFlags::POLLOUT),
        (WAIT_EXCEPT, PollFlags::POLLPRI),
    ] {
        events.set(flag, wants & wanted != 0);
    }
    if socket < 0 {
        return WAIT_TIMEOUT;
    }
    // SAFETY: the library, which waits for this socket, keeps it open meanwhile.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let mut polled = [PollFd::new(socket, events)];
    loop {
        match poll(&mut polled, timeout(until)) {
            Ok(0) if until.is_some_and(|until| Instant::now() >= until) => return WAIT_TIMEOUT,
            Ok(0) | Err(Errno::EINTR) => {}
            // Whatever it is, the library's own call will find out.
            _ => break,
        }
    }
    let found = polled[0].revents().unwrap_or(PollFlags::POLLERR);
    let is_broken = found.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL);
    let mut ready = 0;
    for (wanted, flag) in [
        (WAIT_READ, PollFlags::POLLIN),
        (WAIT_WRITE, PollFlags::POLLOUT),
        (WAIT_EXCEPT, PollFlags::POLLPRI),
    ] {
        if wants & wanted != 0 && (found.contains(flag) || is_broken) {
            ready |= wanted;
        }
    }
    ready
}

/// Rounded up, so that a wait does not end before its time.
fn timeout(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else {
        return PollTimeout::NONE;
    };
    let left = until.saturating_duration_since(Instant::now());
    let wait_ms = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(wait_ms).unwrap_or(PollTimeout::MAX)
}
