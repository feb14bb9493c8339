//! What a column of a result is, and what its values become.
//!
//! | column | value |
//! | --- | --- |
//! | TINYINT(1), which BOOLEAN is | true for 1, false for 0, the integer for all else |
//! | other integers, YEAR | an integer, of 64 bits with or without a sign |
//! | BIT(1), other BIT | true or false, an integer |
//! | DECIMAL | a number with all its digits |
//! | FLOAT, DOUBLE | a number; of a FLOAT the digits that it has |
//! | DATE | `2024-02-29` |
//! | DATETIME | `2024-02-29T12:00:00.250`, without a zone, since it has none |
//! | TIMESTAMP | `2024-02-29T12:00:00Z`: the session's time zone is UTC |
//! | TIME | `-12:30:00`; up to 838 hours |
//! | a date with a month or day of zero | null: there is no such date |
//! | JSON, of MariaDB too | the document |
//! | CHAR, TEXT, ENUM, SET, UUID, INET6 | a text |
//! | BINARY, BLOB, GEOMETRY | bytes |

use std::ffi::c_uint;
use std::fmt::Write;
use std::ptr;
use std::slice;

use mysqlclient_sys as ffi;
use mysqlclient_sys::enum_field_types as types;

const UNSIGNED_FLAG: c_uint = 32;
/// The number of the character set of what has none.
const BINARY: c_uint = 63;
/// No number of decimals is this large: a column of an expression has as many as its values.
const DECIMALS_MAX: c_uint = 6;

/// What a column is, as far as its values go. All that an answer needs to know is in it, so that two equal
/// ones need the same buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// How long values may be, in bytes, as far as the server knows.
    pub(super) length_max: usize,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Integer,
    Unsigned,
    Bit { is_single: bool },
    Float,
    Double,
    Decimal,
    Date,
    DateTime { decimals: usize, is_utc: bool },
    Time { decimals: usize },
    Json,
    Text,
    Bytes,
}

/// Whether the library can read a column of this type. It calls a function that it finds by the type's number,
/// and there is none for those that newer servers have.
pub(super) fn is_known(field: &ffi::MYSQL_FIELD) -> bool {
    matches!(type_number(field), 0..=13 | 15 | 16 | 245..=255)
}

impl Column {
    /// What the library says of a column.
    pub(super) fn of(field: &ffi::MYSQL_FIELD) -> Self {
        Self {
            name: String::from_utf8_lossy(name(field)).into_owned(),
            kind: Kind::of(field),
            length_max: length(field),
        }
    }

    /// Whether this is what the library says.
    pub(super) fn is(&self, field: &ffi::MYSQL_FIELD) -> bool {
        self.name.as_bytes() == name(field)
            && self.length_max == length(field)
            && self.kind == Kind::of(field)
    }
}

fn name(field: &ffi::MYSQL_FIELD) -> &[u8] {
    if field.name.is_null() {
        return &[];
    }
    // SAFETY: the name has so many bytes, which live as long as the field.
    unsafe { slice::from_raw_parts(field.name.cast::<u8>(), field.name_length as usize) }
}

fn length(field: &ffi::MYSQL_FIELD) -> usize {
    usize::try_from(field.length).unwrap_or(usize::MAX)
}

impl Kind {
    fn of(field: &ffi::MYSQL_FIELD) -> Self {
        let is_unsigned = field.flags & UNSIGNED_FLAG != 0;
        let integer = if is_unsigned {
            Self::Unsigned
        } else {
            Self::Integer
        };
        let decimals = if field.decimals > DECIMALS_MAX {
            DECIMALS_MAX
        } else {
            field.decimals
        } as usize;
        let is = |one: types| type_number(field) == one as u32;
        let is_one_of = |all: &[types]| all.iter().any(|&one| is(one));
        if is(types::MYSQL_TYPE_NULL) {
            Self::Null
        } else if is(types::MYSQL_TYPE_TINY) && field.length == 1 && !is_unsigned {
            Self::Bool
        } else if is_one_of(&[
            types::MYSQL_TYPE_TINY,
            types::MYSQL_TYPE_SHORT,
            types::MYSQL_TYPE_LONG,
            types::MYSQL_TYPE_INT24,
            types::MYSQL_TYPE_LONGLONG,
            types::MYSQL_TYPE_YEAR,
        ]) {
            integer
        } else if is(types::MYSQL_TYPE_BIT) {
            let is_single = field.length == 1;
            Self::Bit { is_single }
        } else if is(types::MYSQL_TYPE_FLOAT) {
            Self::Float
        } else if is(types::MYSQL_TYPE_DOUBLE) {
            Self::Double
        } else if is_one_of(&[types::MYSQL_TYPE_DECIMAL, types::MYSQL_TYPE_NEWDECIMAL]) {
            Self::Decimal
        } else if is_one_of(&[types::MYSQL_TYPE_DATE, types::MYSQL_TYPE_NEWDATE]) {
            Self::Date
        } else if is_one_of(&[types::MYSQL_TYPE_DATETIME, types::MYSQL_TYPE_TIMESTAMP]) {
            let is_utc = is(types::MYSQL_TYPE_TIMESTAMP);
            Self::DateTime { decimals, is_utc }
        } else if is(types::MYSQL_TYPE_TIME) {
            Self::Time { decimals }
        } else if is(types::MYSQL_TYPE_JSON) || has_json_format(field) {
            Self::Json
        } else if field.charsetnr == BINARY {
            Self::Bytes
        } else {
            Self::Text
        }
    }

    /// The type of the buffer for it.
    pub(super) fn buffer_type(self) -> types {
        match self {
            Self::Null => types::MYSQL_TYPE_NULL,
            Self::Bool | Self::Integer | Self::Unsigned => types::MYSQL_TYPE_LONGLONG,
            Self::Float => types::MYSQL_TYPE_FLOAT,
            Self::Double => types::MYSQL_TYPE_DOUBLE,
            Self::Date => types::MYSQL_TYPE_DATE,
            Self::DateTime { .. } => types::MYSQL_TYPE_DATETIME,
            Self::Time { .. } => types::MYSQL_TYPE_TIME,
            Self::Decimal | Self::Json | Self::Text => types::MYSQL_TYPE_STRING,
            Self::Bit { .. } | Self::Bytes => types::MYSQL_TYPE_BLOB,
        }
    }

    /// Whether its values are as long as they please.
    pub(super) fn has_any_length(self) -> bool {
        matches!(
            self,
            Self::Decimal | Self::Json | Self::Text | Self::Bytes | Self::Bit { .. }
        )
    }
}

/// The type's number. The field is the library's: its type may be one that our list of them does not have.
fn type_number(field: &ffi::MYSQL_FIELD) -> u32 {
    let place = (&raw const field.type_).cast::<u32>();
    // SAFETY: the place is within a field that we have a reference of, and any number is good here.
    unsafe { place.read() }
}

/// Whether MariaDB says that a text column holds JSON: to it, JSON is a text with a check.
fn has_json_format(field: &ffi::MYSQL_FIELD) -> bool {
    let mut format = ffi::MARIADB_CONST_STRING {
        str_: ptr::null(),
        length: 0,
    };
    let what = ffi::mariadb_field_attr_t::MARIADB_FIELD_ATTR_FORMAT_NAME;
    // SAFETY: the field is whole. What it gives lives as long as the field.
    let failed = unsafe { ffi::mariadb_field_attr(&raw mut format, field, what) };
    if failed != 0 || format.str_.is_null() {
        return false;
    }
    // SAFETY: it says how many bytes there are.
    let format = unsafe { slice::from_raw_parts(format.str_.cast::<u8>(), format.length) };
    format == b"json"
}

/// Writes a date or time; `false` when it is none.
pub(super) fn write_time(out: &mut String, kind: Kind, time: &ffi::MYSQL_TIME) -> bool {
    out.clear();
    let is_date = (1..=12).contains(&time.month) && time.day > 0;
    // Writing to a string does not fail.
    let _ = match kind {
        Kind::Date if is_date => {
            write!(out, "{:04}-{:02}-{:02}", time.year, time.month, time.day)
        }
        Kind::DateTime { decimals, is_utc } if is_date => {
            let _ = write!(
                out,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                time.year, time.month, time.day, time.hour, time.minute, time.second
            );
            write_fraction(out, time, decimals);
            out.write_str(if is_utc { "Z" } else { "" })
        }
        Kind::Time { decimals } => {
            let sign = if time.neg == ffi::FALSE { "" } else { "-" };
            // The library gives days apart.
            let hours = time.day * 24 + time.hour;
            let _ = write!(
                out,
                "{sign}{hours:02}:{:02}:{:02}",
                time.minute, time.second
            );
            write_fraction(out, time, decimals);
            Ok(())
        }
        _ => return false,
    };
    true
}

fn write_fraction(out: &mut String, time: &ffi::MYSQL_TIME, decimals: usize) {
    if decimals > 0 {
        let digits = format!("{:06}", time.second_part);
        out.push('.');
        out.push_str(&digits[..decimals.min(digits.len())]);
    }
}
