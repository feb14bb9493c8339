//! What the server said to one command: rows, a tag or an error. A safe face of libpq's `PGresult`.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;
use std::slice;

use pq_sys::{ExecStatusType, Oid, PGresult};

/// Field codes of an error, as libpq has them: characters.
const SQLSTATE: c_int = b'C' as c_int;
const SOURCE_FUNCTION: c_int = b'R' as c_int;

/// One result of a command.
#[derive(Debug)]
pub(super) struct Outcome(NonNull<PGresult>);

/// What kind of result it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// One row; more may follow.
    Row,
    /// No more rows.
    EndOfRows,
    /// The command is done, and has no rows.
    Done,
    /// The pipeline is in step again.
    InStep,
    /// It was not run, since one before it failed.
    Skipped,
    /// It failed.
    Failed,
    /// The command wants a conversation that Pontoon does not hold: COPY.
    Foreign,
}

impl Outcome {
    /// Takes over what libpq gave; `None` for null, which says that a command has no more results.
    ///
    /// # Safety
    ///
    /// `raw` is null, or a result that nobody else clears.
    pub(super) unsafe fn new(raw: *mut PGresult) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    fn raw(&self) -> *const PGresult {
        self.0.as_ptr()
    }

    pub(super) fn said(&self) -> Said {
        // SAFETY: the result lives as long as `self`.
        match unsafe { pq_sys::PQresultStatus(self.raw()) } {
            ExecStatusType::PGRES_SINGLE_TUPLE => Said::Row,
            ExecStatusType::PGRES_TUPLES_OK => Said::EndOfRows,
            ExecStatusType::PGRES_COMMAND_OK | ExecStatusType::PGRES_EMPTY_QUERY => Said::Done,
            ExecStatusType::PGRES_PIPELINE_SYNC => Said::InStep,
            ExecStatusType::PGRES_PIPELINE_ABORTED => Said::Skipped,
            ExecStatusType::PGRES_FATAL_ERROR | ExecStatusType::PGRES_BAD_RESPONSE => Said::Failed,
            _ => Said::Foreign,
        }
    }

    /// How many columns it has.
    pub(super) fn width(&self) -> usize {
        // SAFETY: as above.
        let width = unsafe { pq_sys::PQnfields(self.raw()) };
        usize::try_from(width).unwrap_or(0)
    }

    /// How many rows are in it.
    pub(super) fn height(&self) -> usize {
        // SAFETY: as above.
        let height = unsafe { pq_sys::PQntuples(self.raw()) };
        usize::try_from(height).unwrap_or(0)
    }

    /// The columns' names, as far as they are UTF-8.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.width()).map(|column| {
            // SAFETY: the result lives as long as `self`, and the column exists.
            let name = unsafe { pq_sys::PQfname(self.raw(), index(column)) };
            // SAFETY: libpq gives null or a text that lives as long as the result.
            unsafe { text(name) }.unwrap_or_default()
        })
    }

    /// The columns' types.
    pub(super) fn types(&self) -> impl Iterator<Item = Oid> {
        // SAFETY: as above, and the column exists.
        (0..self.width()).map(|column| unsafe { pq_sys::PQftype(self.raw(), index(column)) })
    }

    /// The types of the parameters of a statement that was described.
    pub(super) fn parameter_types(&self) -> Vec<Oid> {
        // SAFETY: as above.
        let count = unsafe { pq_sys::PQnparams(self.raw()) };
        // SAFETY: as above, and the parameter exists.
        let of = |number| unsafe { pq_sys::PQparamtype(self.raw(), number) };
        (0..count).map(of).collect()
    }

    /// A value, as the server sent it; `None` is NULL, or that there is no such row or column.
    pub(super) fn value(&self, row: usize, column: usize) -> Option<&[u8]> {
        if row >= self.height() || column >= self.width() {
            return None;
        }
        let (row, column) = (index(row), index(column));
        // SAFETY: the row and the column exist.
        if unsafe { pq_sys::PQgetisnull(self.raw(), row, column) } != 0 {
            return None;
        }
        // SAFETY: as above.
        let length = unsafe { pq_sys::PQgetlength(self.raw(), row, column) };
        // SAFETY: as above.
        let start = unsafe { pq_sys::PQgetvalue(self.raw(), row, column) };
        let length = usize::try_from(length).ok()?;
        // SAFETY: libpq keeps so many bytes there, unchanged for as long as the result lives.
        Some(unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
    }

    /// How many rows the command changed, or gave.
    pub(super) fn count(&self) -> u64 {
        // SAFETY: the result lives as long as `self`; libpq writes into it only what this returns.
        let count = unsafe { pq_sys::PQcmdTuples(self.0.as_ptr()) };
        // SAFETY: libpq gives a text that lives as long as the result.
        let count = unsafe { text(count) };
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Whether the command was tagged so, such as `COMMIT`.
    pub(super) fn is_tagged(&self, tag: &str) -> bool {
        // SAFETY: the result lives as long as `self`; libpq gives a text within it.
        let tagged = unsafe { pq_sys::PQcmdStatus(self.0.as_ptr()) };
        // SAFETY: as above.
        let tagged = unsafe { text(tagged) };
        tagged.as_deref() == Some(tag)
    }

    /// The SQLSTATE of an error; none when it is libpq's own.
    pub(super) fn sqlstate(&self) -> Option<String> {
        self.field(SQLSTATE)
    }

    /// Which function of the server's source raised an error.
    pub(super) fn source_function(&self) -> Option<String> {
        self.field(SOURCE_FUNCTION)
    }

    /// What the error says, for the log.
    pub(super) fn message(&self) -> String {
        // SAFETY: the result lives as long as `self`.
        let message = unsafe { pq_sys::PQresultErrorMessage(self.raw()) };
        // SAFETY: as above.
        let message = unsafe { text(message) };
        message.unwrap_or_default().trim_end().to_owned()
    }

    fn field(&self, code: c_int) -> Option<String> {
        // SAFETY: as above.
        let field = unsafe { pq_sys::PQresultErrorField(self.raw(), code) };
        // SAFETY: libpq gives null or a text that lives as long as the result.
        unsafe { text(field) }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody uses it after this.
        unsafe { pq_sys::PQclear(self.0.as_ptr()) }
    }
}

/// A number of a row or column that libpq gave as an `int` before.
fn index(number: usize) -> c_int {
    c_int::try_from(number).unwrap_or(c_int::MAX)
}

/// A copy of a C text; `None` when there is none.
///
/// # Safety
///
/// `start` is null or the start of a text that ends with NUL and does not change meanwhile.
pub(super) unsafe fn text(start: *const std::ffi::c_char) -> Option<String> {
    if start.is_null() {
        return None;
    }
    // SAFETY: it is not null; the rest is promised by the caller.
    let text = unsafe { CStr::from_ptr(start) };
    Some(text.to_string_lossy().into_owned())
}
