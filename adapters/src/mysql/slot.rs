//! Where the library puts the values of one column, one after the other.

use std::cell::Cell as StdCell;
use std::ffi::c_ulong;
use std::mem::MaybeUninit;
use std::slice;

use mysqlclient_sys as ffi;

use crate::Error;
use crate::sql::Cell;

use super::column::{self, Column, Kind};

/// A text's buffer, at first and between statements, in bytes.
const LENGTH_FIRST: usize = 1024;
/// What a buffer that has grown may keep between statements, in bytes.
const LENGTH_KEPT_MAX: usize = 64 * 1024;

const WORD: usize = size_of::<u64>();

/// The buffer of a column. The library writes to it through pointers, so all that it writes is in cells.
#[derive(Debug)]
pub(super) struct Slot {
    kind: Kind,
    /// Words, so that a number or a date in it is aligned.
    buffer: Box<[StdCell<u64>]>,
    length: StdCell<c_ulong>,
    is_null: StdCell<ffi::my_bool>,
    is_cut: StdCell<ffi::my_bool>,
    /// A date or time as a text, for [`Slot::cell`].
    text: String,
    is_date: bool,
}

impl Slot {
    pub(super) fn of(column: &Column) -> Self {
        let bytes = if column.kind.has_any_length() {
            // One more, since the library ends texts with a NUL where there is room.
            column.length_max.saturating_add(1).min(LENGTH_FIRST)
        } else {
            size_of::<ffi::MYSQL_TIME>()
        };
        Self {
            kind: column.kind,
            buffer: words(bytes),
            length: StdCell::new(0),
            is_null: StdCell::new(ffi::FALSE),
            is_cut: StdCell::new(ffi::FALSE),
            text: String::new(),
            is_date: false,
        }
    }

    /// Tells the library where the value goes.
    pub(super) fn bind(&self) -> ffi::MYSQL_BIND {
        let mut bind = empty_bind();
        bind.buffer_type = self.kind.buffer_type();
        bind.buffer = self.buffer.as_ptr().cast_mut().cast();
        bind.buffer_length = (self.buffer.len() * WORD) as c_ulong;
        bind.length = self.length.as_ptr();
        bind.is_null = self.is_null.as_ptr();
        bind.error = self.is_cut.as_ptr();
        bind.is_unsigned = if self.kind == Kind::Unsigned {
            ffi::TRUE
        } else {
            ffi::FALSE
        };
        bind
    }

    /// Whether the value did not fit, and how long it is.
    pub(super) fn missing(&self) -> Option<usize> {
        let length = usize::try_from(self.length.get()).unwrap_or(usize::MAX);
        let is_cut = self.kind.has_any_length()
            && self.is_null.get() == ffi::FALSE
            && length > self.buffer.len() * WORD;
        is_cut.then_some(length)
    }

    /// Makes room for a value of so many bytes.
    pub(super) fn grow(&mut self, bytes: usize) {
        // By half as much again, so that slowly growing values do not each need a new one.
        self.buffer = words(bytes.saturating_add(bytes / 2));
    }

    /// Gives back what a large value needed.
    pub(super) fn shrink(&mut self) {
        if self.buffer.len() * WORD > LENGTH_KEPT_MAX {
            self.buffer = words(LENGTH_FIRST);
            self.length.set(0);
        }
    }

    /// Makes the value ready to be read: a date or time becomes a text.
    pub(super) fn read(&mut self) {
        if matches!(
            self.kind,
            Kind::Date | Kind::DateTime { .. } | Kind::Time { .. }
        ) && self.is_null.get() == ffi::FALSE
        {
            let place = self.buffer.as_ptr().cast::<ffi::MYSQL_TIME>();
            // SAFETY: the library has written a time there, for which there is room, and which is aligned.
            let time = unsafe { place.read() };
            self.is_date = column::write_time(&mut self.text, self.kind, &time);
        }
    }

    /// The value.
    pub(super) fn cell(&self) -> Result<Cell<'_>, Error> {
        if self.is_null.get() != ffi::FALSE {
            return Ok(Cell::Null);
        }
        if self.missing().is_some() {
            return Err(Error::internal(
                "the answer is larger than this location may send; ask for less",
            ));
        }
        Ok(match self.kind {
            Kind::Null => Cell::Null,
            Kind::Bool => match self.word() as i64 {
                0 => Cell::Bool(false),
                1 => Cell::Bool(true),
                integer => Cell::Integer(integer),
            },
            Kind::Integer => Cell::Integer(self.word() as i64),
            Kind::Unsigned => Cell::Unsigned(self.word()),
            Kind::Bit { is_single } => self.bits(is_single),
            Kind::Float => {
                let bytes = self.word().to_ne_bytes();
                let [a, b, c, d, ..] = bytes;
                // The digits of a FLOAT, not those of the double that is nearest to it.
                let text = f32::from_ne_bytes([a, b, c, d]).to_string();
                Cell::Real(text.parse().unwrap_or(f64::NAN))
            }
            Kind::Double => Cell::Real(f64::from_bits(self.word())),
            Kind::Decimal => match str::from_utf8(self.bytes()) {
                Ok(digits) => Cell::Decimal(digits),
                Err(_) => Cell::Text(self.bytes()),
            },
            Kind::Date | Kind::DateTime { .. } | Kind::Time { .. } if !self.is_date => Cell::Null,
            Kind::Date | Kind::DateTime { .. } | Kind::Time { .. } => {
                Cell::Text(self.text.as_bytes())
            }
            Kind::Json => Cell::Json(self.bytes()),
            Kind::Text => Cell::Text(self.bytes()),
            Kind::Bytes => Cell::Bytes(self.bytes()),
        })
    }

    /// The value, if it is an integer that is not negative.
    pub(super) fn number(&self) -> Option<u64> {
        match self.cell() {
            Ok(Cell::Unsigned(number)) => Some(number),
            Ok(Cell::Integer(number)) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    fn bits(&self, is_single: bool) -> Cell<'_> {
        let bits = self.bytes().iter();
        let number = bits.fold(0_u64, |number, &byte| (number << 8) | u64::from(byte));
        if is_single {
            Cell::Bool(number != 0)
        } else {
            Cell::Unsigned(number)
        }
    }

    fn word(&self) -> u64 {
        self.buffer[0].get()
    }

    fn bytes(&self) -> &[u8] {
        let room = self.buffer.len() * WORD;
        let length = usize::try_from(self.length.get()).unwrap_or(room).min(room);
        // SAFETY: so many bytes are there and initialised. The library writes to them only while a value is read,
        // and nobody reads one while this one is borrowed.
        unsafe { slice::from_raw_parts(self.buffer.as_ptr().cast::<u8>(), length) }
    }
}

fn words(bytes: usize) -> Box<[StdCell<u64>]> {
    vec![StdCell::new(0); bytes.div_ceil(WORD).max(1)].into_boxed_slice()
}

/// A bind that binds nothing.
pub(super) fn empty_bind() -> ffi::MYSQL_BIND {
    let bind = MaybeUninit::<ffi::MYSQL_BIND>::zeroed();
    // SAFETY: zeros are null pointers, lengths of zero and the first of the types.
    unsafe { bind.assume_init() }
}
