//! The values of a statement's parameters, as libpq wants them: one block of bytes and lists that point into it.

use std::ffi::{c_char, c_int};
use std::io::Write;
use std::ptr;

use pq_sys::Oid;

use crate::Error;
use crate::sql::{Parameter, Value, ValueKind};

use super::array;
use super::types::{self, Type};

/// As libpq's formats are numbered.
const TEXT: c_int = 0;
const BINARY: c_int = 1;

/// Values, ready to be sent.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    bytes: Vec<u8>,
    /// Where each is in `bytes`; `None` is NULL.
    starts: Vec<Option<usize>>,
    lengths: Vec<c_int>,
    formats: Vec<c_int>,
}

/// What libpq gets. The pointers are good for as long as the parameters are not changed.
pub(super) struct Raw<'p> {
    pub(super) count: c_int,
    pub(super) values: Vec<*const c_char>,
    pub(super) lengths: &'p [c_int],
    pub(super) formats: &'p [c_int],
}

impl Parameters {
    /// No values.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
        self.lengths.clear();
        self.formats.clear();
    }

    /// Adds the value of a parameter, whose type the server has told, if it has.
    ///
    /// # Errors
    ///
    /// 422 when PostgreSQL has no such value: a text with NUL, an array that is too deep.
    pub(super) fn push(
        &mut self,
        parameter: &Parameter,
        oid: Option<Oid>,
        kind: Option<Type>,
        value: &Value<'_>,
    ) -> Result<(), Error> {
        let start = self.bytes.len();
        let mut format = TEXT;
        match value {
            Value::Null => {
                self.starts.push(None);
                self.lengths.push(0);
                self.formats.push(TEXT);
                return Ok(());
            }
            Value::Bool(flag) => {
                self.bytes
                    .extend_from_slice(if *flag { b"true" } else { b"false" })
            }
            // Writing to memory does not fail.
            Value::Integer(integer) => drop(write!(self.bytes, "{integer}")),
            Value::Number(number) => self.bytes.extend_from_slice(number.as_bytes()),
            Value::Text(text) => self.text(text, &parameter.name)?,
            Value::Json(json) => match element_of(parameter, kind) {
                Some(element) => array::from_json(json, element, &mut self.bytes)
                    .map_err(|reason| reason.of(&parameter.name))?,
                None => self.text(json, &parameter.name)?,
            },
            Value::Bytes(bytes) => {
                // Without a copy in hexadecimal where the type is known to be sent as it is.
                if oid.is_some_and(types::is_sent_as_bytes) {
                    format = BINARY;
                    self.bytes.extend_from_slice(bytes);
                } else {
                    self.foreign_bytes(bytes, oid, &parameter.name)?;
                }
            }
        }
        let length = c_int::try_from(self.bytes.len() - start);
        let length = length.map_err(|error| {
            let detail = format!("the parameter `{}` is too large", parameter.name);
            Error::too_large(detail).with_source(error)
        })?;
        self.bytes.push(0);
        self.starts.push(Some(start));
        self.lengths.push(length);
        self.formats.push(format);
        Ok(())
    }

    fn text(&mut self, text: &str, name: &str) -> Result<(), Error> {
        if text.as_bytes().contains(&0) {
            return Err(array::Unfit::Nul.of(name));
        }
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Bytes for a type that is no `bytea`, such as a whole body of JSON, or for one that is not known.
    fn foreign_bytes(&mut self, bytes: &[u8], oid: Option<Oid>, name: &str) -> Result<(), Error> {
        if oid.is_none() {
            array::push_hex(bytes, &mut self.bytes);
            return Ok(());
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text, name),
            Err(error) => {
                let detail = format!("the parameter `{name}` is not UTF-8");
                Err(Error::unprocessable(detail).with_source(error))
            }
        }
    }

    pub(super) fn raw(&self) -> Raw<'_> {
        let start_of = |start: &Option<usize>| match start {
            Some(start) => self.bytes[*start..].as_ptr().cast(),
            None => ptr::null(),
        };
        Raw {
            // There are at most 65,535, or the server refuses the statement.
            count: c_int::try_from(self.starts.len()).unwrap_or(c_int::MAX),
            values: self.starts.iter().map(start_of).collect(),
            lengths: &self.lengths,
            formats: &self.formats,
        }
    }
}

/// The type of the elements when a JSON array becomes one of PostgreSQL's.
fn element_of(parameter: &Parameter, kind: Option<Type>) -> Option<Type> {
    match kind {
        Some(Type::Array(element)) => Some(element.into()),
        Some(_) => None,
        None => (parameter.kind == ValueKind::Array).then_some(Type::Text),
    }
}
