//! A statement that the server has prepared: run with values, and its results read row by row.

use std::ffi::{c_int, c_uint, c_ulong};
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;
use std::time::Instant;

use mysqlclient_sys as ffi;

use super::column::Column;
use super::handle::Handle;
use super::parameters::Parameters;
use super::refusal::Refusal;
use super::slot::Slot;

const NO_DATA: c_int = 100;
const DATA_TRUNCATED: c_int = 101;

/// A prepared statement. The server forgets it when it is dropped.
#[derive(Debug)]
pub(super) struct Prepared {
    raw: NonNull<ffi::MYSQL_STMT>,
    handle: Rc<Handle>,
}

impl Prepared {
    /// Has the server prepare a statement.
    pub(super) fn new(
        handle: &Rc<Handle>,
        sql: &str,
        until: Option<Instant>,
    ) -> Result<Self, Refusal> {
        // SAFETY: the handle is open.
        let raw = unsafe { ffi::mysql_stmt_init(handle.raw()) };
        let raw = NonNull::new(raw).ok_or_else(Refusal::out_of_memory)?;
        let statement = Self {
            raw,
            handle: Rc::clone(handle),
        };
        let (raw, mut outcome) = (statement.raw(), 0);
        let out: *mut c_int = &raw mut outcome;
        let (text, length) = (sql.as_ptr().cast(), sql.len() as c_ulong);
        // SAFETY: the statement is open, and the text outlives the call's end, below.
        let wants = unsafe { ffi::mysql_stmt_prepare_start(out, raw, text, length) };
        handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_stmt_prepare_cont(out, raw, ready) }
        });
        statement.check(outcome)?;
        Ok(statement)
    }

    /// Runs it. All results of the run before must have been read.
    pub(super) fn execute(
        &self,
        parameters: &mut Parameters<'_>,
        until: Option<Instant>,
    ) -> Result<(), Refusal> {
        // SAFETY: the statement is open.
        let expected = unsafe { ffi::mysql_stmt_param_count(self.raw()) };
        if expected != parameters.len() as c_ulong {
            // The library would read past the end.
            return Err(Refusal::of_client(
                2031,
                "the server counts other parameters than we do",
            ));
        }
        if expected > 0 {
            // SAFETY: there are as many binds as it has parameters. What they point to outlives the run.
            let failed = unsafe { ffi::mysql_stmt_bind_param(self.raw(), parameters.as_mut_ptr()) };
            self.check(failed.into())?;
        }
        let (raw, mut outcome) = (self.raw(), 0);
        let out: *mut c_int = &raw mut outcome;
        // SAFETY: the statement is open and its values are bound.
        let wants = unsafe { ffi::mysql_stmt_execute_start(out, raw) };
        self.handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_stmt_execute_cont(out, raw, ready) }
        });
        self.check(outcome)
    }

    /// The columns of the current result; none when it has no rows at all.
    pub(super) fn fields(&self) -> &[ffi::MYSQL_FIELD] {
        // SAFETY: the statement is open.
        let count = unsafe { ffi::mysql_stmt_field_count(self.raw()) };
        // SAFETY: as above.
        let fields = unsafe { ffi::mariadb_stmt_fetch_fields(self.raw()) };
        if count == 0 || fields.is_null() {
            return &[];
        }
        // SAFETY: there are so many; they change only with the next run or result, which is not looked for
        // while somebody looks at these.
        unsafe { slice::from_raw_parts(fields, count as usize) }
    }

    /// Reads the next row, whose values are then there to be had; `false` when there is none.
    ///
    /// Nothing is bound: values are asked for one by one. To bound buffers the library would keep pointers, and
    /// would refuse a run whose result has more or fewer columns than they are.
    pub(super) fn fetch(&self, until: Option<Instant>) -> Result<bool, Refusal> {
        let (raw, mut outcome) = (self.raw(), 0);
        let out: *mut c_int = &raw mut outcome;
        // SAFETY: the statement is open.
        let wants = unsafe { ffi::mysql_stmt_fetch_start(out, raw) };
        self.handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_stmt_fetch_cont(out, raw, ready) }
        });
        match outcome {
            0 | DATA_TRUNCATED => Ok(true),
            NO_DATA => Ok(false),
            _ => Err(self.refusal()),
        }
    }

    /// Reads a value of the row that was fetched last. Whoever looks at the slot sees whether it was cut.
    pub(super) fn value(&self, index: usize, slot: &Slot) -> Result<(), Refusal> {
        let mut bind = slot.bind();
        // SAFETY: the statement is open. What the bind points to lives longer than this call; the library knows
        // whether there is a row, and such a column.
        let failed =
            unsafe { ffi::mysql_stmt_fetch_column(self.raw(), &raw mut bind, index as c_uint, 0) };
        self.check(failed)
    }

    /// Runs a statement that answers with one number.
    pub(super) fn number(
        handle: &Rc<Handle>,
        sql: &str,
        until: Option<Instant>,
    ) -> Result<u64, Refusal> {
        let statement = Self::new(handle, sql, until)?;
        statement.execute(&mut Parameters::new(&[], &[]), until)?;
        let slot = statement
            .fields()
            .first()
            .map(|field| Slot::of(&Column::of(field)));
        let mut number = None;
        while statement.fetch(until)? {
            if let Some(slot) = &slot {
                statement.value(0, slot)?;
                number = slot.number();
            }
        }
        number.ok_or_else(|| Refusal::of_client(2027, "the answer is no number"))
    }

    /// Goes on to the next result; `false` when there is none. The current one must have been read.
    pub(super) fn next_result(&self, until: Option<Instant>) -> Result<bool, Refusal> {
        // SAFETY: the statement is open.
        if unsafe { ffi::mysql_stmt_more_results(self.raw()) } == ffi::FALSE {
            return Ok(false);
        }
        let (raw, mut outcome) = (self.raw(), 0);
        let out: *mut c_int = &raw mut outcome;
        // SAFETY: the statement is open.
        let wants = unsafe { ffi::mysql_stmt_next_result_start(out, raw) };
        self.handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_stmt_next_result_cont(out, raw, ready) }
        });
        match outcome {
            0 => Ok(true),
            -1 => Ok(false),
            _ => Err(self.refusal()),
        }
    }

    /// Reads what is left of the current result, to no end.
    pub(super) fn clear(&self, until: Option<Instant>) -> Result<(), Refusal> {
        let (raw, mut outcome) = (self.raw(), 0);
        let out: *mut ffi::my_bool = &raw mut outcome;
        // SAFETY: the statement is open.
        let wants = unsafe { ffi::mysql_stmt_free_result_start(out, raw) };
        self.handle.complete(until, wants, |ready| {
            // SAFETY: the call has been started and has not ended.
            unsafe { ffi::mysql_stmt_free_result_cont(out, raw, ready) }
        });
        self.check(outcome.into())
    }

    /// How many rows the last run changed.
    pub(super) fn changes(&self) -> u64 {
        // SAFETY: the statement is open.
        let rows = unsafe { ffi::mysql_stmt_affected_rows(self.raw()) };
        // All ones when there is no such number.
        if rows == u64::MAX { 0 } else { rows }
    }

    /// The number that the last run gave to its first new row.
    pub(super) fn insert_id(&self) -> Option<i64> {
        // SAFETY: the statement is open.
        let id = unsafe { ffi::mysql_stmt_insert_id(self.raw()) };
        i64::try_from(id).ok().filter(|&id| id != 0)
    }

    fn raw(&self) -> *mut ffi::MYSQL_STMT {
        self.raw.as_ptr()
    }

    fn check(&self, outcome: c_int) -> Result<(), Refusal> {
        if outcome == 0 {
            return Ok(());
        }
        Err(self.refusal())
    }

    fn refusal(&self) -> Refusal {
        // SAFETY: the statement is open.
        let number = unsafe { ffi::mysql_stmt_errno(self.raw()) };
        if number == 0 || self.handle.gave_up() {
            return self.handle.refusal();
        }
        // SAFETY: as above.
        let state = unsafe { ffi::mysql_stmt_sqlstate(self.raw()) };
        // SAFETY: as above.
        let message = unsafe { ffi::mysql_stmt_error(self.raw()) };
        // SAFETY: both end with a NUL and last until the library's next call.
        unsafe { Refusal::new(number, state, message) }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody has it any more; the handle is open too. Where results are unread the
        // session has hung up before, so this does not wait for them.
        unsafe { ffi::mysql_stmt_close(self.raw()) };
    }
}
