//! A connection to a server, always in libpq's pipeline mode and never blocking: a safe face of `PGconn`.
//!
//! Commands are queued (`send_…`), then [`sync`](Connection::sync) ends them; what the server says to each comes
//! in their order. Whoever waits does it on [`Connection::socket`].

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use pq_sys::{ConnStatusType, PGTransactionStatusType, PGconn};

use super::cancel::Cancel;
use super::exchange::Patience;
use super::outcome::{Outcome, text};
use super::parameters::Parameters;

/// An open connection. It stays on the thread that opened it.
#[derive(Debug)]
pub(super) struct Connection {
    raw: NonNull<PGconn>,
    cancel: Option<Arc<Cancel>>,
    /// Of the call that runs.
    pub(super) patience: Patience,
}

/// libpq says why in [`Connection::message`]: the connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// Where a session stands between commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// In no transaction.
    Idle,
    /// In a transaction, which may have failed.
    InTransaction,
    /// A command runs, or the connection is lost.
    Unknown,
}

impl Connection {
    /// Connects, within the time that the parameters give. A later parameter counts more than one before.
    ///
    /// # Errors
    ///
    /// What libpq says, which may name the server, never the password.
    pub(super) fn open(parameters: &[(&CStr, CString)]) -> Result<Self, String> {
        let mut names: Vec<*const c_char> = parameters.iter().map(|one| one.0.as_ptr()).collect();
        let mut values: Vec<*const c_char> = parameters.iter().map(|one| one.1.as_ptr()).collect();
        names.push(ptr::null());
        values.push(ptr::null());
        // SAFETY: two lists of the same length, each ended by null, of texts that outlive the call.
        let raw = unsafe { pq_sys::PQconnectdbParams(names.as_ptr(), values.as_ptr(), 0) };
        let raw = NonNull::new(raw).ok_or("there is no memory for a connection")?;
        let mut connection = Self {
            raw,
            cancel: None,
            patience: Patience::default(),
        };
        if !connection.is_open() {
            return Err(connection.message());
        }
        // SAFETY: the connection is open, the function is as libpq wants it, and it takes no argument.
        unsafe {
            pq_sys::PQsetNoticeProcessor(connection.ptr(), Some(note), ptr::null_mut());
        }
        // SAFETY: the connection is open.
        let blocks = unsafe { pq_sys::PQsetnonblocking(connection.ptr(), 1) } != 0;
        // SAFETY: the connection is open, and nothing runs on it.
        let is_pipeline = unsafe { pq_sys::PQenterPipelineMode(connection.ptr()) } == 1;
        if blocks || !is_pipeline {
            return Err(connection.message());
        }
        // SAFETY: the connection is open.
        connection.cancel = unsafe { Cancel::new(connection.ptr()) }.map(Arc::new);
        Ok(connection)
    }

    fn ptr(&self) -> *mut PGconn {
        self.raw.as_ptr()
    }

    /// What to wait on; a lost connection has none.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the connection lives as long as `self`.
        let fd = unsafe { pq_sys::PQsocket(self.ptr()) };
        // SAFETY: libpq closes it only in a call that takes `&mut self`, or when `self` ends.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// What cancels its running command.
    pub(super) fn cancel(&self) -> Option<Arc<Cancel>> {
        self.cancel.clone()
    }

    /// Whether libpq has not seen it fail.
    pub(super) fn is_open(&self) -> bool {
        // SAFETY: the connection lives as long as `self`.
        let status = unsafe { pq_sys::PQstatus(self.ptr()) };
        status == ConnStatusType::CONNECTION_OK
    }

    pub(super) fn standing(&self) -> Standing {
        // SAFETY: as above.
        match unsafe { pq_sys::PQtransactionStatus(self.ptr()) } {
            PGTransactionStatusType::PQTRANS_IDLE => Standing::Idle,
            PGTransactionStatusType::PQTRANS_INTRANS | PGTransactionStatusType::PQTRANS_INERROR => {
                Standing::InTransaction
            }
            _ => Standing::Unknown,
        }
    }

    /// What libpq said last, for the log.
    pub(super) fn message(&self) -> String {
        // SAFETY: as above.
        let message = unsafe { pq_sys::PQerrorMessage(self.ptr()) };
        // SAFETY: libpq gives a text that it does not change before it is called again.
        let message = unsafe { text(message) };
        message.unwrap_or_default().trim_end().to_owned()
    }

    /// Has a statement prepared under a name.
    pub(super) fn send_prepare(&mut self, name: &CStr, sql: &CStr) -> Result<(), Lost> {
        let (name, sql) = (name.as_ptr(), sql.as_ptr());
        // SAFETY: the connection is ours; both texts outlive the call; there are no types.
        done(unsafe { pq_sys::PQsendPrepare(self.ptr(), name, sql, 0, ptr::null()) })
    }

    /// Asks what a prepared statement takes and gives.
    pub(super) fn send_describe(&mut self, name: &CStr) -> Result<(), Lost> {
        // SAFETY: the connection is ours; the text outlives the call.
        done(unsafe { pq_sys::PQsendDescribePrepared(self.ptr(), name.as_ptr()) })
    }

    /// Has a prepared statement run. Values come as texts.
    pub(super) fn send_prepared(
        &mut self,
        name: &CStr,
        parameters: &Parameters,
    ) -> Result<(), Lost> {
        let raw = parameters.raw();
        // SAFETY: the connection is ours; the text and the three lists, each of `count`, outlive the call; a
        // value is null, or as long as its length says, or a text if its format is that.
        done(unsafe {
            pq_sys::PQsendQueryPrepared(
                self.ptr(),
                name.as_ptr(),
                raw.count,
                raw.values.as_ptr(),
                raw.lengths.as_ptr(),
                raw.formats.as_ptr(),
                0,
            )
        })
    }

    /// Has SQL run as it is. Values come as texts.
    pub(super) fn send_sql(&mut self, sql: &CStr, parameters: &Parameters) -> Result<(), Lost> {
        let raw = parameters.raw();
        // SAFETY: as above, and no type is said of any parameter.
        done(unsafe {
            pq_sys::PQsendQueryParams(
                self.ptr(),
                sql.as_ptr(),
                raw.count,
                ptr::null(),
                raw.values.as_ptr(),
                raw.lengths.as_ptr(),
                raw.formats.as_ptr(),
                0,
            )
        })
    }

    /// Ends what was sent: after an error the server goes on behind this.
    pub(super) fn sync(&mut self) -> Result<(), Lost> {
        // SAFETY: the connection is ours, and in pipeline mode.
        done(unsafe { pq_sys::PQpipelineSync(self.ptr()) })
    }

    /// Sends what is queued, as far as the socket takes it. `true`: all of it.
    pub(super) fn flush(&mut self) -> Result<bool, Lost> {
        // SAFETY: the connection is ours.
        match unsafe { pq_sys::PQflush(self.ptr()) } {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(Lost),
        }
    }

    /// Takes what has arrived from the socket.
    pub(super) fn consume(&mut self) -> Result<(), Lost> {
        // SAFETY: the connection is ours.
        done(unsafe { pq_sys::PQconsumeInput(self.ptr()) })
    }

    /// Whether the next result is not there yet.
    pub(super) fn is_busy(&mut self) -> bool {
        // SAFETY: the connection is ours.
        unsafe { pq_sys::PQisBusy(self.ptr()) != 0 }
    }

    /// The next result; `None` when the command has no more. It blocks if it [is busy](Self::is_busy).
    pub(super) fn next(&mut self) -> Option<Outcome> {
        // SAFETY: the connection is ours.
        let result = unsafe { pq_sys::PQgetResult(self.ptr()) };
        // SAFETY: libpq has handed it over.
        unsafe { Outcome::new(result) }
    }

    /// Has the rows of the command whose results come next given one by one, so that no more than one is in
    /// memory.
    pub(super) fn row_by_row(&mut self) {
        // SAFETY: the connection is ours. Where it fails, all rows come at once.
        unsafe { pq_sys::PQsetSingleRowMode(self.ptr()) };
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the connection is ours, and nobody uses it after this.
        unsafe { pq_sys::PQfinish(self.ptr()) }
    }
}

fn done(code: c_int) -> Result<(), Lost> {
    if code == 1 { Ok(()) } else { Err(Lost) }
}

/// Gets what the server says besides its answers, such as warnings.
///
/// # Safety
///
/// `message` is a text that ends with NUL.
unsafe extern "C" fn note(_: *mut c_void, message: *const c_char) {
    // A panic must not unwind into libpq.
    let noted = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: promised by the caller.
        let message = unsafe { text(message) }.unwrap_or_default();
        tracing::debug!(message = message.trim_end(), "PostgreSQL says");
    }));
    if let Err(panic) = noted {
        std::mem::forget(panic);
    }
}
