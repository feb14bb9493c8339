//! The values of a statement's parameters, as the library takes them.

use std::ffi::{c_ulong, c_void};

use mysqlclient_sys as ffi;
use mysqlclient_sys::enum_field_types as types;

use crate::sql::Value;

use super::slot::empty_bind;

/// More digits than a DECIMAL can have.
const DECIMAL_LENGTH_MAX: usize = 60;

/// Bound values. They borrow what they point to.
pub(super) struct Parameters<'v> {
    binds: Vec<ffi::MYSQL_BIND>,
    /// Numbers, which have no place of their own elsewhere. They stay where they are.
    _numbers: Vec<u64>,
    _values: std::marker::PhantomData<&'v [u8]>,
}

impl<'v> Parameters<'v> {
    /// Binds the value for each placeholder.
    pub(super) fn new(values: &'v [Value<'v>], placeholders: &[usize]) -> Self {
        let value = |index: &usize| &values[*index];
        let numbers: Vec<u64> = placeholders.iter().map(value).map(number).collect();
        let binds = placeholders.iter().map(value).zip(&numbers);
        Self {
            binds: binds.map(|(value, number)| bind(value, number)).collect(),
            _numbers: numbers,
            _values: std::marker::PhantomData,
        }
    }

    /// For the library, which only reads what is bound.
    pub(super) fn as_mut_ptr(&mut self) -> *mut ffi::MYSQL_BIND {
        self.binds.as_mut_ptr()
    }

    /// How many bytes the server gets of their values, at least.
    pub(super) fn bytes(&self) -> usize {
        let lengths = self.binds.iter().map(|bind| bind.buffer_length as usize);
        lengths.fold(0, usize::saturating_add)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.binds.len()
    }
}

/// What the library reads in place of the value itself.
fn number(value: &Value<'_>) -> u64 {
    match value {
        Value::Bool(flag) => u64::from(*flag),
        Value::Integer(integer) => *integer as u64,
        Value::Number(text) if !is_decimal(text) => {
            text.parse::<f64>().unwrap_or(f64::NAN).to_bits()
        }
        _ => 0,
    }
}

fn bind(value: &Value<'_>, number: &u64) -> ffi::MYSQL_BIND {
    let (kind, bytes): (_, &[u8]) = match value {
        Value::Null => (types::MYSQL_TYPE_NULL, &[]),
        Value::Bool(_) | Value::Integer(_) => {
            return bind_number(types::MYSQL_TYPE_LONGLONG, number);
        }
        Value::Number(text) if is_decimal(text) => (types::MYSQL_TYPE_NEWDECIMAL, text.as_bytes()),
        Value::Number(_) => return bind_number(types::MYSQL_TYPE_DOUBLE, number),
        Value::Text(text) | Value::Json(text) => (types::MYSQL_TYPE_STRING, text.as_bytes()),
        Value::Bytes(bytes) => (types::MYSQL_TYPE_BLOB, bytes),
    };
    let mut bind = empty_bind();
    bind.buffer_type = kind;
    bind.buffer = bytes.as_ptr().cast_mut().cast::<c_void>();
    bind.buffer_length = bytes.len() as c_ulong;
    bind.length_value = bytes.len() as c_ulong;
    bind
}

fn bind_number(kind: types, number: &u64) -> ffi::MYSQL_BIND {
    let mut bind = empty_bind();
    bind.buffer_type = kind;
    bind.buffer = std::ptr::from_ref(number).cast_mut().cast::<c_void>();
    bind.buffer_length = size_of::<u64>() as c_ulong;
    bind
}

/// Whether the server can take a number with all its digits; else it is a floating-point number.
fn is_decimal(text: &str) -> bool {
    text.len() <= DECIMAL_LENGTH_MAX && !text.contains(['e', 'E'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_used_twice_is_bound_twice() {
        let values = [Value::Integer(7), Value::Text("x".into())];
        let parameters = Parameters::new(&values, &[1, 0, 1]);
        let kinds: Vec<_> = parameters
            .binds
            .iter()
            .map(|bind| bind.buffer_type)
            .collect();
        let text = types::MYSQL_TYPE_STRING;
        assert_eq!(kinds, [text, types::MYSQL_TYPE_LONGLONG, text]);
        assert_eq!(parameters.len(), 3);
    }

    #[test]
    fn numbers_keep_their_digits_where_the_server_can() {
        assert!(is_decimal("-1.10") && is_decimal("12345678901234567890"));
        assert!(!is_decimal("1e400") && !is_decimal(&"9".repeat(70)));
    }
}
