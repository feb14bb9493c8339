//! Rows as JSON, written straight into the response body.
//!
//! No tree of values in between: a row costs what its bytes cost, and the limit on the response
//! is checked before each value is written, so that memory stays bounded too.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement, StatementStatus};

use crate::Error;

use super::failure::from_sqlite;

/// The member names of a row, encoded once: `"id":`.
#[derive(Debug)]
pub(super) struct Columns {
    keys: Vec<Vec<u8>>,
    reprepares: i32,
}

impl Columns {
    pub(super) fn of(statement: &Statement<'_>) -> Result<Self, Error> {
        if let Some(name) = duplicate_column(statement) {
            let source = format!("two columns are called `{name}`");
            let detail = "the answer has two columns of the same name";
            return Err(Error::internal(detail).with_source(source));
        }
        let keys = statement.column_names().map(|name| {
            let mut key = Vec::with_capacity(name.len() + 3);
            write_text(&mut key, name.as_bytes())?;
            key.push(b':');
            Ok(key)
        });
        Ok(Self {
            keys: keys.collect::<Result<_, Error>>()?,
            reprepares: reprepares(statement),
        })
    }

    /// When the schema changed, SQLite has prepared the statement anew: `*` may mean other columns.
    pub(super) fn refresh(&mut self, statement: &Statement<'_>) -> Result<(), Error> {
        if reprepares(statement) != self.reprepares {
            *self = Self::of(statement)?;
        }
        Ok(())
    }
}

/// The name that two columns of this statement share, if any: JSON objects cannot have both.
pub(super) fn duplicate_column(statement: &Statement<'_>) -> Option<String> {
    let mut seen = HashSet::new();
    let mut names = statement.column_names();
    names.find(|name| !seen.insert(*name)).map(str::to_owned)
}

fn reprepares(statement: &Statement<'_>) -> i32 {
    statement.get_status(StatementStatus::RePrepare)
}

/// A body that grows row by row up to a limit.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Body {
    pub(super) fn new(max_bytes: usize) -> Self {
        let bytes = Vec::with_capacity(256.min(max_bytes));
        Self { bytes, max_bytes }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn row(&mut self, row: &Row<'_>, columns: &Columns) -> Result<(), Error> {
        for (index, key) in columns.keys.iter().enumerate() {
            self.push(if index == 0 { b'{' } else { b',' });
            let value = row.get_ref(index).map_err(from_sqlite)?;
            self.make_room(key.len() + encoded_len_min(value))?;
            self.bytes.extend_from_slice(key);
            self.value(value)?;
        }
        self.push(b'}');
        self.make_room(0)
    }

    fn value(&mut self, value: ValueRef<'_>) -> Result<(), Error> {
        let out = &mut self.bytes;
        match value {
            ValueRef::Null => out.extend_from_slice(b"null"),
            ValueRef::Integer(integer) => {
                serde_json::to_writer(out, &integer).map_err(unwritable)?
            }
            // What is not a number, or infinite, has no JSON: it becomes null.
            ValueRef::Real(real) => serde_json::to_writer(out, &real).map_err(unwritable)?,
            ValueRef::Text(text) => write_text(out, text)?,
            ValueRef::Blob(blob) => write_base64(out, blob)?,
        }
        Ok(())
    }

    fn make_room(&self, more: usize) -> Result<(), Error> {
        if self.bytes.len().saturating_add(more) <= self.max_bytes {
            return Ok(());
        }
        Err(Error::internal(format!(
            "the answer is larger than the {} bytes that this location may send; ask for less",
            self.max_bytes
        )))
    }
}

/// How many bytes the value needs at least, once encoded.
fn encoded_len_min(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(text) => text.len().saturating_add(2),
        ValueRef::Blob(blob) => (blob.len() / 3).saturating_mul(4).saturating_add(2),
        _ => 1,
    }
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Error> {
    serde_json::to_writer(out, &*String::from_utf8_lossy(text)).map_err(unwritable)
}

fn write_base64(out: &mut Vec<u8>, blob: &[u8]) -> Result<(), Error> {
    let start = out.len() + 1;
    out.push(b'"');
    // At most four bytes for three, the last three begun.
    out.resize(start + blob.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(blob, &mut out[start..])
        .map_err(unwritable)?;
    out.truncate(start + written);
    out.push(b'"');
    Ok(())
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a value cannot be written as JSON").with_source(error)
}
