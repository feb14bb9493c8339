//! A connection to the server: opened, asked for what needs no values, looked at.

use std::ffi::{CStr, CString, c_int, c_uint, c_ulong, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;
use std::time::Instant;

use mysqlclient_sys as ffi;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::handle::{Handle, Setting};
use super::login::{Login, Server, Tls};
use super::refusal::Refusal;

/// Rows that an UPDATE finds count as changed, also when they have the new values already: as with other
/// databases.
const CLIENT_FOUND_ROWS: c_ulong = 2;
/// A procedure may answer with several results.
const CLIENT_MULTI_RESULTS: c_ulong = 1 << 17;
const CLIENT_PS_MULTI_RESULTS: c_ulong = 1 << 18;

const SERVER_STATUS_IN_TRANS: c_uint = 1;

const PROTOCOL_TCP: c_uint = 1;

/// What every session starts with. Values that do not fit are errors, times are UTC, and how texts are quoted
/// is what our reading of statements takes it to be.
const SET_UP: &CStr = c"SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'";

/// A connection that is open. Statements that are prepared on it share its handle.
#[derive(Debug)]
pub(super) struct Connection {
    handle: Rc<Handle>,
}

impl Connection {
    /// Connects and logs in, until then.
    pub(super) fn open(
        login: &Login,
        server: &Server,
        password: Option<&CStr>,
        until: Option<Instant>,
    ) -> Result<Self, Refusal> {
        let handle = Handle::new()?;
        set_up(&handle, login, server);
        let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
        let (host, port, socket) = server.parts();
        let mut connected: *mut ffi::MYSQL = ptr::null_mut();
        let (raw, out) = (handle.raw(), &raw mut connected);
        // SAFETY: the handle is open; all texts end with a NUL and outlive the call's end, below.
        let wants = unsafe {
            ffi::mysql_real_connect_start(
                out,
                raw,
                pointer(host.map(CString::as_c_str)),
                login.user.as_ptr(),
                pointer(password),
                pointer(login.database.as_deref()),
                port,
                pointer(socket.map(CString::as_c_str)),
                CLIENT_FOUND_ROWS | CLIENT_MULTI_RESULTS | CLIENT_PS_MULTI_RESULTS,
            )
        };
        handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_real_connect_cont(out, raw, ready) }
        });
        if connected.is_null() {
            return Err(handle.refusal());
        }
        let connection = Self {
            handle: Rc::new(handle),
        };
        if matches!(login.tls, Tls::Require | Tls::Verify) && !connection.is_encrypted() {
            return Err(Refusal::of_client(
                2026,
                "the server does not offer TLS, and `tls` says that it must",
            ));
        }
        Ok(connection)
    }

    /// The handle, for statements.
    pub(super) fn handle(&self) -> &Rc<Handle> {
        &self.handle
    }

    /// The server's number of it.
    pub(super) fn id(&self) -> u64 {
        // SAFETY: the handle is open.
        unsafe { ffi::mysql_thread_id(self.handle.raw()) }
    }

    /// Its socket.
    pub(super) fn socket(&self) -> RawFd {
        self.handle.socket()
    }

    /// Whether the server has closed it, or said something unasked, which it does before it closes. Between
    /// calls only.
    pub(super) fn is_closed(&self) -> bool {
        let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.socket(), &mut [0; 1], look) != Err(Errno::EAGAIN)
    }

    /// Whether a transaction is open, as the server said last.
    pub(super) fn is_in_transaction(&self) -> bool {
        let mut status: c_uint = 0;
        let out: *mut c_void = (&raw mut status).cast();
        let what = ffi::mariadb_value::MARIADB_CONNECTION_SERVER_STATUS;
        // SAFETY: the handle is open, and this value is an `unsigned int`.
        let failed = unsafe { ffi::mariadb_get_info(self.handle.raw(), what, out) };
        failed != 0 || status & SERVER_STATUS_IN_TRANS != 0
    }

    /// Brings a new or reset session into the state that calls rely on.
    pub(super) fn set_up(&self, until: Option<Instant>) -> Result<(), Refusal> {
        self.run(SET_UP, until)
    }

    /// Runs a statement without values and rows.
    pub(super) fn run(&self, sql: &CStr, until: Option<Instant>) -> Result<(), Refusal> {
        let (raw, mut outcome) = (self.handle.raw(), 0);
        let out: *mut c_int = &raw mut outcome;
        let length = sql.count_bytes() as c_ulong;
        // SAFETY: the handle is open, and the text outlives the call's end, below.
        let wants = unsafe { ffi::mysql_real_query_start(out, raw, sql.as_ptr(), length) };
        self.handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_real_query_cont(out, raw, ready) }
        });
        self.check(outcome)
    }

    /// Asks whether the server is there.
    pub(super) fn ping(&self, until: Option<Instant>) -> Result<(), Refusal> {
        let (raw, mut outcome) = (self.handle.raw(), 0);
        let out: *mut c_int = &raw mut outcome;
        // SAFETY: the handle is open.
        let wants = unsafe { ffi::mysql_ping_start(out, raw) };
        self.handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_ping_cont(out, raw, ready) }
        });
        self.check(outcome)
    }

    /// Has the server forget all that the session has: variables, locks, temporary tables, statements.
    pub(super) fn reset(&self, until: Option<Instant>) -> Result<(), Refusal> {
        let (raw, mut outcome) = (self.handle.raw(), 0);
        let out: *mut c_int = &raw mut outcome;
        // SAFETY: the handle is open.
        let wants = unsafe { ffi::mysql_reset_connection_start(out, raw) };
        self.handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_reset_connection_cont(out, raw, ready) }
        });
        self.check(outcome)?;
        self.set_up(until)
    }

    fn is_encrypted(&self) -> bool {
        // SAFETY: the handle is open.
        let cipher = unsafe { ffi::mysql_get_ssl_cipher(self.handle.raw()) };
        !cipher.is_null()
    }

    fn check(&self, outcome: c_int) -> Result<(), Refusal> {
        if outcome == 0 {
            return Ok(());
        }
        Err(self.handle.refusal())
    }
}

fn set_up(handle: &Handle, login: &Login, server: &Server) {
    handle.set(Setting::Charset(c"utf8mb4"));
    handle.set(Setting::PacketBytesMax(login.packet_bytes_max));
    // Otherwise a server that is not what it seems could read the files of this machine.
    handle.set(Setting::SendsLocalFiles(0));
    handle.name_program();
    if let Server::Tcp(..) = server {
        // The library takes `localhost` for a Unix socket, whatever the port is.
        handle.set(Setting::Protocol(PROTOCOL_TCP));
        if login.tls != Tls::Off {
            handle.set(Setting::Tls(ffi::TRUE));
            handle.set(Setting::ChecksCertificate(if login.tls == Tls::Verify {
                ffi::TRUE
            } else {
                ffi::FALSE
            }));
            if let Some(path) = &login.ca_file {
                handle.set(Setting::CaFile(path));
            }
        }
    }
}
